//! Documents that are made up: each path is a behaviour.

use std::sync::Mutex;
use std::time::SystemTime;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::driver::handle::{
    After, Ask, Code, Counts, Documents, Event, Health, Lsn, NodeInfo, NodeState, NodeUsage, Problem, Revision, State,
    Status, Subscription, Update, Value,
};
use crate::revision::Subject;

/// All codes, for routes such as `/fail/0`.
pub const CODES: [Code; 20] = [
    Code::BadRequest,
    Code::UnknownParameter,
    Code::MissingParameter,
    Code::InvalidParameter,
    Code::Unauthenticated,
    Code::TokenExpired,
    Code::Forbidden,
    Code::MissingClaim,
    Code::UnknownRoute,
    Code::DocumentTooLarge,
    Code::ListTooLong,
    Code::TooMany,
    Code::Internal,
    Code::Starting,
    Code::DatabaseUnreachable,
    Code::QueryBroken,
    Code::NodeUnavailable,
    Code::AfterTimeout,
    Code::SlowClient,
    Code::ShuttingDown,
];

/// The document is `{"n":N,"pad":"..","none":null}`, N the number of commits.
pub struct Fake {
    pub commits: watch::Sender<u64>,
    pub asks: Mutex<Vec<Ask>>,
    pub reasons: Mutex<Vec<String>>,
    pub reloaded: Mutex<Vec<String>>,
}

impl Default for Fake {
    fn default() -> Self {
        let commits = watch::Sender::new(1);
        Fake { commits, asks: Mutex::default(), reasons: Mutex::default(), reloaded: Mutex::default() }
    }
}

impl Fake {
    pub fn commit(&self) {
        self.commits.send_modify(|n| *n += 1);
    }

    /// How many subscriptions are open.
    pub fn open(&self) -> usize {
        self.commits.receiver_count()
    }
}

struct Followed {
    path: String,
    commits: watch::Receiver<u64>,
    /// What the client holds.
    held: Option<u64>,
    /// Told right after the first update.
    then: Option<Result<Event, Problem>>,
    first: bool,
}

impl Documents for Fake {
    fn subscribe(&self, ask: Ask) -> BoxFuture<'_, Result<Box<dyn Subscription>, Problem>> {
        self.asks.lock().expect("a lock").push(ask.clone());
        let numbered =
            |prefix| ask.path.strip_prefix(prefix)?.parse::<usize>().ok().and_then(|i| CODES.get(i).copied());
        if let Some(code) = numbered("/fail/") {
            return async move { Err(Problem { code, message: "as asked".into() }) }.boxed();
        }
        let late = numbered("/late/").map(|code| Err(Problem { code, message: "as asked".into() }));
        let stale = (ask.path == "/stale").then(|| {
            let code = Some(Code::DatabaseUnreachable);
            Ok(Event::Status(Status { state: State::Stale, code, since: SystemTime::UNIX_EPOCH }))
        });
        let known = late.is_some() || ["/doc", "/big", "/stale", "/never"].contains(&&*ask.path);
        if !known {
            return async { Err(Problem { code: Code::UnknownRoute, message: "no query has this route".into() }) }
                .boxed();
        }
        let commits = self.commits.subscribe();
        let newest = *commits.borrow();
        let resumed = ask.resume.as_ref().and_then(|text| {
            let held = Revision::parse(text).ok()?;
            (held == revision(&ask.path[1..], held.lsn().0)).then_some(held.lsn().0).filter(|n| *n <= newest)
        });
        let followed = Followed { path: ask.path, commits, held: resumed, then: late.or(stale), first: true };
        async { Ok(Box::new(followed) as Box<dyn Subscription>) }.boxed()
    }

    fn after(&self, after: After) -> BoxFuture<'_, Result<(), Problem>> {
        async move {
            match after {
                After::Lsn(lsn) => {
                    let mut commits = self.commits.subscribe();
                    let included = commits.wait_for(|n| Lsn(*n) >= lsn).await;
                    included.map(|_| ()).map_err(|_| crate::session::shutting_down())
                }
                After::Xid(_) => Err(Problem { code: Code::AfterTimeout, message: "not yet".into() }),
            }
        }
        .boxed()
    }

    fn health(&self) -> Health {
        Health { reasons: self.reasons.lock().expect("a lock").clone(), broken: vec!["q is broken".into()] }
    }

    fn position(&self) -> Lsn {
        Lsn(*self.commits.borrow())
    }

    fn nodes(&self) -> Vec<NodeInfo> {
        vec![NodeInfo {
            name: "a".into(),
            file: "a.js".into(),
            deadline: std::time::Duration::from_millis(100),
            memory_limit: 1 << 20,
            queries: vec!["q".into()],
            kind: "map".into(),
            version: "1f".into(),
            state: NodeState::Failing,
            error: Some("oh".into()),
            reason: Some("oh\nat a.js".into()),
            is_tried: false,
            usage: NodeUsage { batches: 2, rows: 30, ..NodeUsage::default() },
        }]
    }

    fn counts(&self) -> Counts {
        Counts { commits: *self.commits.borrow(), ..Counts::default() }
    }

    fn reload<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<NodeInfo, Problem>> {
        async move {
            let mut info = self.nodes().remove(0);
            if node != info.name {
                return Err(Problem { code: Code::UnknownRoute, message: format!("no node is called \"{node}\"") });
            }
            let mut reloaded = self.reloaded.lock().expect("a lock");
            // The second time its file is bad.
            info.state = if reloaded.is_empty() { NodeState::Running } else { NodeState::Outdated };
            reloaded.push(node.into());
            Ok(info)
        }
        .boxed()
    }
}

impl Subscription for Followed {
    fn next(&mut self) -> BoxFuture<'_, Result<Event, Problem>> {
        async move {
            if self.path == "/never" {
                return std::future::pending().await;
            }
            if !self.first {
                if let Some(then) = self.then.take() {
                    return then;
                }
                let held = self.held;
                let seen = self.commits.wait_for(|n| Some(*n) != held).await;
                seen.map_err(|_| crate::session::shutting_down())?;
            }
            self.first = false;
            let (from, n) = (self.held, *self.commits.borrow());
            self.held = Some(n);
            Ok(Event::Update(update(&self.path[1..], from, n)))
        }
        .boxed()
    }
}

/// The revision of that document after that many commits.
pub fn revision(name: &str, n: u64) -> Revision {
    let subject = Subject { definition: name.as_bytes(), ..Subject::default() };
    Revision::new(Lsn(n), 0, subject.identity())
}

fn document(name: &str, n: u64) -> Value {
    let pad = if name == "big" { format!("{n}").repeat((1 << 20) / n.to_string().len()) } else { String::new() };
    let (n, pad) = (Value::Int(n as i64), Value::Text(pad.into()));
    Value::object([("n".into(), n), ("pad".into(), pad), ("none".into(), Value::Null)])
}

fn update(name: &str, from: Option<u64>, n: u64) -> Update {
    let (revision_now, document_now) = (revision(name, n), document(name, n));
    match from {
        None => Update::whole(revision_now, document_now),
        Some(from) => Update::step(revision_now, document_now, revision(name, from), document(name, from)),
    }
}
