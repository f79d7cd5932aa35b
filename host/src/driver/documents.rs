//! The documents that are live: their names, their history, and who follows them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{broadcast, watch};

use super::handle::{Code, Problem};
use super::open::problem;
use super::replan::definition;
use crate::data::{Lsn, Value};
use crate::dataflow::plan::{DocumentId, Plan};
use crate::dataflow::{Blocked, DocumentKey, Versions};
use crate::diff::DiffMemo;
use crate::revision::{Emission, Entry, History, Identity, Recent, Revision, Subject};

/// How long a document outlives its last follower, so that a client that comes back finds what it left.
const LINGER: Duration = Duration::from_secs(60);

/// Emissions a follower may be behind before it is sent one step over all it missed.
const BEHIND: usize = 16;

/// What keeping a state costs beside what it shares with the next, in bytes: not measured, since that is a patch's work.
const STATE_COST: usize = 1024;

/// What followers of a document are told.
#[derive(Clone, Debug)]
pub(super) enum News {
    Emission(Arc<Emission>),
    /// The last emission holds for the newest position too.
    Settled,
    Ended(Problem),
    /// The query is another now: whoever follows begins anew.
    Changed,
}

/// Whether a node keeps a document from following.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub held: bool,
    pub since: SystemTime,
}

/// What a follower starts from.
pub(super) struct Opened {
    pub news: broadcast::Receiver<News>,
    /// The newest state, if there is one yet.
    pub newest: Option<Arc<Emission>>,
    /// The follower must begin with a state that includes this position; the newest does not yet. News says when.
    pub waits_for: Option<Lsn>,
    /// The state the client holds, if that is certain.
    pub base: Option<(Revision, Value)>,
    pub held: watch::Receiver<Held>,
}

/// What tells documents apart, in one plan: the definition and the bound parameters.
pub(super) type Name = (DocumentId, String);

/// A live document.
pub(super) struct Document {
    pub name: Name,
    pub params: Vec<Option<Value>>,
    /// What it is defined as: the same in the next plan if the query did not change.
    pub definition: Arc<str>,
    news: broadcast::Sender<News>,
    newest: Option<Arc<Emission>>,
    held: watch::Sender<Held>,
    history: Recent,
    identity: Option<(Arc<Versions>, Identity)>,
    /// Told apart from every other life of this document, here or in another run.
    instance: u64,
    /// Since when nobody follows it.
    idle: Option<Instant>,
}

/// Which database and timeline revisions are of.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    pub system: String,
    pub timeline: u32,
}

/// All live documents.
#[derive(Default)]
pub(super) struct Live {
    pub by_key: HashMap<DocumentKey, Document>,
    pub by_name: HashMap<Name, DocumentKey>,
    /// Of the documents that were opened in this plan, each once for all parameters: they are long.
    definitions: HashMap<DocumentId, Arc<str>>,
}

impl Live {
    /// What a document is defined as.
    pub(super) fn definition(&mut self, plan: &Plan, document: DocumentId) -> Arc<str> {
        self.definitions.entry(document).or_insert_with(|| definition(plan, document).into()).clone()
    }
}

/// The name of a document: of the bound parameters only those count that its definition has.
pub(super) fn name(plan: &Plan, document: DocumentId, params: &[Option<Value>]) -> Name {
    let mut text = String::new();
    for &index in &plan.documents[document.0 as usize].params {
        match &params[index] {
            Some(value) => value.write_json(&mut text),
            None => text.push('-'),
        }
        text.push('\n');
    }
    (document, text)
}

impl Document {
    pub(super) fn new(name: Name, params: Vec<Option<Value>>, definition: Arc<str>, instance: u64) -> Self {
        Document {
            name,
            params,
            definition,
            news: broadcast::Sender::new(BEHIND),
            newest: None,
            held: watch::Sender::new(Held { held: false, since: SystemTime::UNIX_EPOCH }),
            history: Recent::new(),
            identity: None,
            instance,
            idle: None,
        }
    }

    /// A new state. Followers are told.
    pub(super) fn emit(&mut self, plan: &Plan, origin: &Origin, root: Value, position: Lsn, versions: &Arc<Versions>) {
        let identity = self.identity(plan, origin, versions);
        let (revision, emission, touched) = match &self.newest {
            None => {
                let revision = Revision::new(position, 0, identity);
                (revision, Emission::first(revision, root.clone()), position)
            }
            Some(newest) => {
                let revision = newest.revision().next(position, identity);
                let previous = (newest.revision(), newest.root().clone());
                // By which commit it was touched first is not known here, only that it was not before the last state.
                let touched = newest.revision().lsn();
                (revision, Emission::after(previous, revision, root.clone()), touched)
            }
        };
        self.history.push(Entry { revision, root, touched, cost: STATE_COST });
        let emission = Arc::new(emission);
        self.newest = Some(emission.clone());
        self.tell(News::Emission(emission));
    }

    pub(super) fn tell(&self, news: News) {
        // Nobody listens: that is what lingering is.
        let _ = self.news.send(news);
    }

    pub(super) fn blocked(&self, reason: Option<Blocked>) {
        match reason {
            None => self.hold(false),
            Some(Blocked::Missing) => {}
            Some(Blocked::Held) if self.newest.is_some() => self.hold(true),
            Some(reason) => self.tell(News::Ended(blocked_problem(reason))),
        }
    }

    fn hold(&self, held: bool) {
        self.held.send_if_modified(|now| {
            let differs = now.held != held;
            if differs {
                *now = Held { held, since: SystemTime::now() };
            }
            differs
        });
    }

    /// What a new follower starts from. `waits_for`: a position that its first state must include and the newest does not;
    /// `blocked` as the engine says.
    pub(super) fn open(
        &mut self,
        resume: Option<Revision>,
        waits_for: Option<Lsn>,
        blocked: Option<Blocked>,
    ) -> Result<Opened, Problem> {
        match blocked {
            Some(reason @ (Blocked::TooLong | Blocked::Refused)) => return Err(blocked_problem(reason)),
            Some(Blocked::Held) if self.newest.is_none() => return Err(blocked_problem(Blocked::Held)),
            _ => {}
        }
        self.idle = None;
        let base = resume.and_then(|revision| Some((revision, self.history.find(&revision)?.clone())));
        Ok(Opened {
            news: self.news.subscribe(),
            newest: self.newest.clone(),
            waits_for,
            base,
            held: self.held.subscribe(),
        })
    }

    /// Whether nobody has followed it for so long that it can go.
    pub(super) fn is_abandoned(&mut self, now: Instant) -> bool {
        if self.news.receiver_count() > 0 {
            self.idle = None;
            return false;
        }
        now.duration_since(*self.idle.get_or_insert(now)) > LINGER
    }

    /// Whether nobody follows it right now.
    pub(super) fn is_idle(&self) -> bool {
        self.news.receiver_count() == 0
    }

    pub(super) fn has_state(&self) -> bool {
        self.newest.is_some()
    }

    fn identity(&mut self, plan: &Plan, origin: &Origin, versions: &Arc<Versions>) -> Identity {
        if let Some((of, identity)) = &self.identity
            && Arc::ptr_eq(of, versions)
        {
            return *identity;
        }
        let used: Vec<(&str, u64)> = plan
            .nodes_of(self.name.0)
            .into_iter()
            .map(|node| {
                let version = versions.0[node.0 as usize].map_or(0, |(version, _)| version.0);
                (&*plan.nodes[node.0 as usize].name, version)
            })
            .collect();
        let subject = Subject {
            system: &origin.system,
            timeline: origin.timeline,
            definition: self.definition.as_bytes(),
            parameters: &[("", self.name.1.as_bytes())],
            // What a node does with a failing row may depend on how busy the machine is.
            instance: (!used.is_empty()).then_some(self.instance),
            nodes: &used,
            ..Subject::default()
        };
        let identity = subject.identity();
        self.identity = Some((versions.clone(), identity));
        identity
    }

    /// The stream begins anew, perhaps on another timeline.
    pub(super) fn forget_identity(&mut self) {
        self.identity = None;
    }
}

fn blocked_problem(reason: Blocked) -> Problem {
    match reason {
        Blocked::TooLong => problem(Code::ListTooLong, "a list of this document has more elements than allowed"),
        Blocked::Held => problem(Code::NodeUnavailable, "a node that this document needs does not work for now"),
        Blocked::Refused => problem(Code::QueryBroken, "the database refuses to answer this query"),
        Blocked::Missing => problem(Code::DatabaseUnreachable, "the database is out of reach"),
    }
}

/// The text of a step, from what the client holds to `to`: shared if the client holds the state before.
pub(super) fn step(from: &(Revision, Value), to: &Emission, memo: &DiffMemo) -> Arc<str> {
    match to.previous() {
        Some((revision, _)) if *revision == from.0 => to.patch(memo),
        _ if to.revision() == from.0 => "[]".into(),
        _ => crate::diff::patch(&from.1, to.root(), memo).into(),
    }
}
