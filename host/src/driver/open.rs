//! The handle: what requests go through on their way to the writer.

use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};

use super::documents::Opened;
use super::handle::{After, Ask, Code, Documents, Health, NodeInfo, Problem, State, Status, Subscription};
use super::subscription::Follower;
use crate::data::{Lsn, Upquery, Value};
use crate::diff::DiffMemo;
use crate::query::syntax::{Query, TableRule};
use crate::query::{Binding, Bound, Pending, RequestError, Routes};
use crate::revision::Revision;
use crate::source::{Source, XidStatus, decode};

/// How long `after` waits.
pub(super) const AFTER: Duration = Duration::from_secs(10);

/// A position that the stream has not passed by itself after this long is provoked.
const PATIENCE: Duration = Duration::from_millis(30);

/// What the writer is asked.
pub(super) enum Command {
    /// Follow a document. `generation` says which plan `bound` belongs to.
    Open {
        bound: Bound,
        generation: u64,
        resume: Option<Revision>,
        /// See [`Ask::newest`].
        newest: bool,
        reply: oneshot::Sender<Result<Opened, Refused>>,
    },
    /// Make the stream move, if nobody is doing so already.
    Provoke,
    /// Load a node's file anew.
    Reload { node: usize },
    /// Serve these queries in place of those before.
    Replace { queries: Vec<Query>, tables: Vec<TableRule> },
}

/// Why the writer did not open a document.
pub(super) enum Refused {
    /// The request was bound to an earlier plan: bind it again.
    OldPlan,
    Problem(Problem),
}

/// What keeps a server from being ready whose start has come to nothing yet, good or bad.
const NOT_BEGUN: &str = "the stream from the database has not begun";

/// What requests can be bound to.
#[derive(Clone)]
pub(super) struct Serving {
    pub routes: Arc<Routes>,
    pub source: Arc<dyn Source>,
    /// Counts plans.
    pub generation: u64,
}

/// What handle and writer share.
pub(super) struct Shared {
    pub commands: mpsc::Sender<Command>,
    pub serving: RwLock<Option<Serving>>,
    pub status: watch::Sender<Status>,
    pub position: watch::Sender<Lsn>,
    /// What keeps the server from being ready.
    pub health: watch::Sender<Vec<String>>,
    pub nodes: watch::Sender<Vec<NodeInfo>>,
    pub memo: DiffMemo,
    pub document_bytes: usize,
}

impl Shared {
    pub(super) fn new<'a>(
        commands: mpsc::Sender<Command>,
        document_bytes: usize,
        nodes: impl Iterator<Item = &'a str>,
    ) -> Self {
        let info = |name: &str| NodeInfo {
            name: name.into(),
            kind: String::new(),
            version: String::new(),
            error: Some("not loaded yet".into()),
        };
        let starting = Status { state: State::Stale, code: Some(Code::Starting), since: SystemTime::now() };
        Shared {
            commands,
            serving: RwLock::new(None),
            status: watch::Sender::new(starting),
            position: watch::Sender::new(Lsn(0)),
            health: watch::Sender::new(vec![NOT_BEGUN.into()]),
            nodes: watch::Sender::new(nodes.map(info).collect()),
            memo: DiffMemo::new(),
            document_bytes,
        }
    }

    /// Notes whether every commit arrives, and why not.
    pub(super) fn set_status(&self, code: Option<Code>, reasons: Vec<String>) {
        self.set_health(reasons);
        let state = if code.is_some() { State::Stale } else { State::Live };
        self.status.send_if_modified(|status| {
            let differs = status.state != state || status.code != code;
            if differs {
                *status = Status { state, code, since: SystemTime::now() };
            }
            differs
        });
    }

    /// Notes what keeps the server from being ready.
    pub(super) fn set_health(&self, reasons: Vec<String>) {
        self.health.send_replace(reasons);
    }

    /// The writer has gone: nothing is served any more, and nobody here holds on to the database.
    pub(super) fn end(&self) {
        *self.serving.write().expect("nothing panics under it") = None;
        self.set_status(Some(Code::ShuttingDown), vec!["the engine has ended".into()]);
    }

    fn serving(&self) -> Option<Serving> {
        self.serving.read().expect("nothing panics under it").clone()
    }

    /// Why nothing can be served.
    pub(super) fn unavailable(&self) -> Problem {
        if self.commands.is_closed() {
            return gone();
        }
        match self.status.borrow().code {
            Some(Code::DatabaseUnreachable) => problem(Code::DatabaseUnreachable, "the database is out of reach"),
            _ => problem(Code::Starting, "the server is starting"),
        }
    }
}

/// Why everything ends when the engine does.
pub(super) fn gone() -> Problem {
    problem(Code::ShuttingDown, "the server is shutting down")
}

/// Why a client that waited for a position gets nothing.
pub(super) fn late() -> Problem {
    problem(Code::AfterTimeout, "the position was not reached in 10 s")
}

pub(super) fn problem(code: Code, message: impl Into<String>) -> Problem {
    Problem { code, message: message.into() }
}

/// See the module. Clones share everything.
#[derive(Clone)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Handle { shared }
    }

    /// Serves these queries, under these rules, in place of those before, if they resolve; otherwise the log says why not.
    /// Streams of queries that did not change go on.
    pub async fn replace(&self, queries: Vec<Query>, tables: Vec<TableRule>) {
        // The writer is gone: so is what would be replaced.
        let _ = self.shared.commands.send(Command::Replace { queries, tables }).await;
    }

    /// Waits until it is known how the start went: the stream has begun, or what it waits for is known. False: the engine has
    /// ended already.
    pub async fn begun(&self) -> bool {
        let mut health = self.shared.health.subscribe();
        let _ = health.wait_for(|reasons| reasons.first().is_none_or(|reason| reason != NOT_BEGUN)).await;
        !self.shared.commands.is_closed()
    }

    /// Waits until documents can be served for the first time: the database answers, and each node is loaded or found bad.
    pub async fn ready(&self) {
        let mut health = self.shared.health.subscribe();
        let _ = health.wait_for(Vec::is_empty).await;
    }

    /// What a follower of this document starts from.
    pub(super) async fn open(&self, ask: &Ask) -> Result<Opened, Problem> {
        let resume = ask.resume.as_deref().and_then(|text| Revision::parse(text).ok());
        loop {
            let serving = self.shared.serving().ok_or_else(|| self.shared.unavailable())?;
            let bound = bind(&serving, ask).await?;
            let (reply, opened) = oneshot::channel();
            let (generation, newest) = (serving.generation, ask.newest);
            let command = Command::Open { bound, generation, resume, newest, reply };
            self.shared.commands.send(command).await.map_err(|_| gone())?;
            match opened.await.map_err(|_| gone())? {
                Ok(opened) => return Ok(opened),
                Err(Refused::Problem(problem)) => return Err(problem),
                Err(Refused::OldPlan) => {}
            }
        }
    }

    async fn wait_for(&self, after: After) -> Result<(), Problem> {
        tokio::time::timeout(AFTER, self.reach(after)).await.map_err(|_| late())?
    }

    async fn reach(&self, after: After) -> Result<(), Problem> {
        let serving = self.shared.serving().ok_or_else(|| self.shared.unavailable())?;
        let lsn = match after {
            After::Lsn(lsn) => lsn,
            After::Xid(xid) => committed_before(&*serving.source, xid).await?,
        };
        let mut position = self.shared.position.subscribe();
        let mut patience = PATIENCE;
        while *position.borrow_and_update() < lsn {
            tokio::select! {
                changed = position.changed() => {
                    changed.map_err(|_| gone())?;
                }
                () = tokio::time::sleep(patience) => {
                    // A full queue has somebody else's.
                    let _ = self.shared.commands.try_send(Command::Provoke);
                    patience *= 2;
                }
            }
        }
        Ok(())
    }
}

/// A position at or after the commit of this transaction, once it has committed.
async fn committed_before(source: &dyn Source, xid: u64) -> Result<Lsn, Problem> {
    let bad = |message: &str| problem(Code::BadRequest, message);
    let away = || problem(Code::DatabaseUnreachable, "the database is out of reach");
    loop {
        match source.xid_status(xid).await.map_err(|_| away())? {
            // An upquery that asks nothing tells how far the log reaches now.
            XidStatus::Committed => {
                let answer = source.ask(Upquery { id: 0, asks: Vec::new(), under: None }).await;
                return answer.map(|answer| answer.insert).map_err(|_| away());
            }
            XidStatus::InProgress => tokio::time::sleep(PATIENCE).await,
            XidStatus::Aborted => return Err(bad("the transaction of `after` was rolled back")),
            XidStatus::Unknown => return Err(bad("the transaction of `after` is too old, or was never begun")),
        }
    }
}

async fn bind(serving: &Serving, ask: &Ask) -> Result<Bound, Problem> {
    match serving.routes.bind(&ask.path, &ask.query, &ask.claims).map_err(request_problem)? {
        Binding::Done(bound) => Ok(bound),
        Binding::Ask(pending) => read_by_postgres(serving, pending).await,
    }
}

/// Has Postgres read the texts that only it can read.
async fn read_by_postgres(serving: &Serving, pending: Pending) -> Result<Bound, Problem> {
    let away = |_| problem(Code::DatabaseUnreachable, "the database is out of reach");
    let mut values: Vec<Value> = Vec::new();
    for question in pending.questions() {
        let refused = || request_problem(question.refused());
        let read = serving.source.canonical(question.ty.sql.clone(), question.text.clone()).await.map_err(away)?;
        let text = read.map_err(|reason| {
            match &question.query {
                Some(query) => tracing::error!("query \"{query}\": Postgres refuses {}: {reason}", question.label),
                None => tracing::debug!("parameter {} is refused by Postgres: {reason}", question.label),
            }
            refused()
        })?;
        values.push(decode::decode(&question.ty.decode, &text).map_err(|_| refused())?);
    }
    pending.finish(values).map_err(request_problem)
}

fn request_problem(error: RequestError) -> Problem {
    let code = match &error {
        RequestError::UnknownRoute => Code::UnknownRoute,
        RequestError::Broken(_) => Code::QueryBroken,
        RequestError::UnknownParameter(_) => Code::UnknownParameter,
        RequestError::MissingParameter(_) => Code::MissingParameter,
        RequestError::MissingClaim(_) => Code::MissingClaim,
        RequestError::InvalidParameter { .. } => Code::InvalidParameter,
        RequestError::BadRequest(_) => Code::BadRequest,
    };
    problem(code, error.to_string())
}

impl Documents for Handle {
    fn subscribe(&self, ask: Ask) -> BoxFuture<'_, Result<Box<dyn Subscription>, Problem>> {
        Box::pin(async {
            let opened = self.open(&ask).await?;
            Ok(Box::new(Follower::new(self.clone(), ask, opened)) as Box<dyn Subscription>)
        })
    }

    fn after(&self, after: After) -> BoxFuture<'_, Result<(), Problem>> {
        Box::pin(self.wait_for(after))
    }

    fn health(&self) -> Health {
        Health { reasons: self.shared.health.borrow().clone() }
    }

    fn position(&self) -> Lsn {
        *self.shared.position.borrow()
    }

    fn nodes(&self) -> Vec<NodeInfo> {
        self.shared.nodes.borrow().clone()
    }

    fn reload(&self, node: &str) -> Result<(), Problem> {
        let index = self.nodes().iter().position(|info| info.name == node);
        let node = index.ok_or_else(|| problem(Code::UnknownRoute, format!("there is no node \"{node}\"")))?;
        let busy = |_| problem(Code::TooMany, "too many requests are waiting: try again later");
        self.shared.commands.try_send(Command::Reload { node }).map_err(busy)
    }
}
