//! The handle: what requests go through on their way to the writer.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};

use super::documents::{Asked, Opened};
use super::handle::{
    After, Ask, Code, Counts, Documents, Health, NodeInfo, NodeState, Problem, State, Status, Subscription,
};
use super::questions::Questions;
use super::subscription::Follower;
use super::tally::Tally;
use super::{NodeOptions, Options};
use crate::data::Lsn;
use crate::dataflow::plan::NodeId;
use crate::diff::DiffMemo;
use crate::query::problem::Problems;
use crate::query::syntax::{Query, TableRule};
use crate::query::{Binding, Bound, RequestError, Routes};
use crate::revision::Revision;
use crate::source::Source;

/// How long `after` waits.
pub(super) const AFTER: Duration = Duration::from_secs(10);

/// A position that the stream has not passed by itself after this long is provoked.
const PATIENCE: Duration = Duration::from_millis(30);

/// What the writer is asked.
pub(super) enum Command {
    /// Follow a document. `generation` says which plan `bound` belongs to.
    Open { bound: Bound, generation: u64, asked: Asked, reply: oneshot::Sender<Result<Opened, Refused>> },
    /// Make the stream move, if nobody is doing so already.
    Provoke,
    /// Load a node's file anew, and tell how the node is then.
    Reload { node: NodeId, reply: oneshot::Sender<NodeInfo> },
    /// The configuration as it is now cannot be used, for these reasons.
    Refuse(Vec<String>),
    /// Serve these queries, with these nodes, in place of those before.
    Replace { queries: Vec<Query>, tables: Vec<TableRule>, nodes: Vec<NodeOptions> },
}

/// Why the writer did not open a document.
pub(super) enum Refused {
    /// The request was bound to an earlier plan: bind it again.
    OldPlan,
    /// The client holds a state of this very document as of an LSN that the engine has not reached.
    Ahead(Lsn),
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
    /// What is wrong with queries that are not served.
    broken: watch::Sender<Vec<String>>,
    /// What is wrong with the configuration as it is now, which is not used.
    pub(super) refused: watch::Sender<Vec<String>>,
    /// The routes that the configuration has, for as long as nothing is served.
    declared: Routes,
    pub nodes: watch::Sender<BTreeMap<NodeId, NodeInfo>>,
    pub tally: Tally,
    pub memo: DiffMemo,
    pub questions: Questions,
    pub document_bytes: usize,
}

impl Shared {
    pub(super) fn new(commands: mpsc::Sender<Command>, options: &Options) -> Self {
        let starting = Status { state: State::Stale, code: Some(Code::Starting), since: SystemTime::now() };
        Shared {
            commands,
            serving: RwLock::new(None),
            status: watch::Sender::new(starting),
            position: watch::Sender::new(Lsn(0)),
            health: watch::Sender::new(vec![NOT_BEGUN.into()]),
            broken: watch::Sender::default(),
            refused: watch::Sender::default(),
            declared: Routes::declared(&options.queries),
            tally: Tally::default(),
            nodes: watch::Sender::new(options.nodes.iter().map(|node| (node.id, node.info())).collect()),
            memo: DiffMemo::new(),
            questions: Questions::default(),
            document_bytes: options.document_bytes,
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

    /// Notes which queries are not served, and why.
    pub(super) fn set_broken(&self, problems: &Problems, file: &str) {
        self.broken.send_replace(problems.0.iter().map(|problem| problem.in_file(file)).collect());
    }

    /// Notes what is wrong with the configuration as it is now.
    pub(super) fn refuse(&self, problems: Vec<String>) {
        self.refused.send_replace(problems);
    }

    fn serving(&self) -> Result<Serving, Problem> {
        self.serving.read().expect("nothing panics under it").clone().ok_or_else(|| self.unavailable())
    }

    /// What requests for this path are bound to; while there is nothing yet, whether there will be.
    fn serving_at(&self, ask: &Ask) -> Result<Serving, Problem> {
        self.serving().map_err(|away| match self.declared.bind(&ask.path, &ask.query, &ask.claims) {
            Err(error @ RequestError::UnknownRoute) => request_problem(error),
            _ => away,
        })
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

    /// Serves these queries, under these rules and with these nodes, in place of those before, if they resolve; otherwise the log says
    /// why not. Streams of queries that did not change go on.
    pub async fn replace(&self, queries: Vec<Query>, tables: Vec<TableRule>, nodes: Vec<NodeOptions>) {
        // The writer is gone: so is what would be replaced.
        let _ = self.shared.commands.send(Command::Replace { queries, tables, nodes }).await;
    }

    /// The configuration as it is now cannot be used, for this reason: the one before stays, and the operator is told.
    pub async fn refuse(&self, reason: impl std::fmt::Display) {
        let reasons: Vec<String> = reason.to_string().lines().map(str::to_owned).collect();
        for reason in &reasons {
            tracing::error!("the changed configuration is not used, the one before stays: {reason}");
        }
        // An engine that has ended has nothing to keep to.
        let _ = self.shared.commands.send(Command::Refuse(reasons)).await;
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
        let mut asked = Asked { resume, newest: ask.newest };
        let patience = tokio::time::Instant::now() + AFTER;
        loop {
            let serving = self.shared.serving_at(ask)?;
            let bound = match serving.routes.bind(&ask.path, &ask.query, &ask.claims).map_err(request_problem)? {
                Binding::Done(bound) => bound,
                Binding::Ask(pending) => self.shared.questions.read(&*serving.source, pending).await?,
            };
            let (reply, opened) = oneshot::channel();
            let command = Command::Open { bound, generation: serving.generation, asked, reply };
            self.shared.commands.send(command).await.map_err(|_| gone())?;
            match opened.await.map_err(|_| gone())? {
                Ok(opened) => return Ok(opened),
                Err(Refused::Problem(problem)) => return Err(problem),
                Err(Refused::OldPlan) => {}
                // Another host was faster; nobody is shown an earlier state than the one they hold.
                Err(Refused::Ahead(lsn)) => match tokio::time::timeout_at(patience, self.pass(lsn)).await {
                    Ok(passed) => passed?,
                    Err(_) if self.shared.status.borrow().state == State::Stale => {
                        return Err(self.shared.unavailable());
                    }
                    // The database was set back, or the revision is made up: it names no state that will ever be.
                    Err(_) => asked.resume = None,
                },
            }
        }
    }

    async fn wait_for(&self, after: After) -> Result<(), Problem> {
        tokio::time::timeout(AFTER, self.reach(after)).await.map_err(|_| late())?
    }

    async fn reach(&self, after: After) -> Result<(), Problem> {
        let serving = self.shared.serving()?;
        let lsn = match after {
            After::Lsn(lsn) => lsn,
            After::Xid(xid) => self.shared.questions.committed_before(&*serving.source, xid).await?,
        };
        self.pass(lsn).await
    }

    /// Waits until everything up to this position is included.
    async fn pass(&self, lsn: Lsn) -> Result<(), Problem> {
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

pub(super) fn request_problem(error: RequestError) -> Problem {
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
        let mut broken = self.shared.broken.borrow().clone();
        for node in self.nodes().iter().filter(|node| node.state == NodeState::Broken) {
            let reason = node.error.as_deref().unwrap_or_default();
            broken.push(format!("node {} cannot be loaded: {reason}{}", node.name, node.needed()));
        }
        let refused = self.shared.refused.borrow();
        broken.extend(refused.iter().map(|line| format!("the changed configuration is not used: {line}")));
        Health { reasons: self.shared.health.borrow().clone(), broken }
    }

    fn position(&self) -> Lsn {
        *self.shared.position.borrow()
    }

    fn nodes(&self) -> Vec<NodeInfo> {
        let (nodes, tallies) = (self.shared.nodes.borrow().clone(), self.shared.tally.nodes());
        let usage = |id: &NodeId| tallies.get(id).map(|tally| tally.usage()).unwrap_or_default();
        // Of two of one name the later is the one that is meant to stay, if it is more than tried.
        let mut named = BTreeMap::new();
        for (place, (id, info)) in nodes.into_iter().enumerate() {
            if info.is_tried && named.contains_key(&info.name) {
                continue;
            }
            named.insert(info.name.clone(), (place, NodeInfo { usage: usage(&id), ..info }));
        }
        let mut nodes: Vec<_> = named.into_values().collect();
        nodes.sort_by_key(|(place, _)| *place);
        nodes.into_iter().map(|(_, info)| info).collect()
    }

    fn counts(&self) -> Counts {
        self.shared.tally.counts()
    }

    fn reload<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<NodeInfo, Problem>> {
        Box::pin(async move {
            let unknown = || problem(Code::UnknownRoute, format!("there is no node \"{node}\""));
            let named = |infos: &BTreeMap<NodeId, NodeInfo>| {
                let named = || infos.iter().rev().filter(|(_, info)| info.name == node);
                named().find(|(_, info)| !info.is_tried).or_else(|| named().next()).map(|(id, _)| *id)
            };
            let id = named(&self.shared.nodes.borrow()).ok_or_else(unknown)?;
            // Before anything is served no node is looked at.
            self.shared.serving()?;
            let (reply, told) = oneshot::channel();
            self.shared.commands.send(Command::Reload { node: id, reply }).await.map_err(|_| gone())?;
            // Unless the engine has ended, the configuration has lost the node.
            told.await.map_err(|_| if self.shared.commands.is_closed() { gone() } else { unknown() })
        })
    }
}
