//! A live document: its name, its history, and who follows it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{broadcast, watch};

use super::handle::{Code, Problem};
use super::open::problem;
use crate::data::{Lsn, Value};
use crate::dataflow::plan::{DocumentId, Plan};
use crate::dataflow::{Blocked, Emission as Emitted, Versions};
use crate::diff::{DiffMemo, Scales};
use crate::revision::{Emission, Entry, History, Identity, Recent, Revision, Subject};
use crate::source;

/// How long a document outlives its last follower, so that a client that comes back finds what it left.
const LINGER: Duration = Duration::from_secs(60);

/// Emissions a follower may be behind before it is sent one step over all it missed.
const BEHIND: usize = 4;

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

/// Whether a node keeps a document from following, or has failed on a part of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    held: bool,
    failing: bool,
    /// Since when it is as it is.
    pub since: SystemTime,
}

impl Held {
    /// Whether the document shows less than it should.
    pub(super) fn is_degraded(&self) -> bool {
        self.held || self.failing
    }
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

/// What a follower asks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    /// What its client holds.
    pub resume: Option<Revision>,
    /// See [`Ask::newest`](super::handle::Ask::newest).
    pub newest: bool,
}

/// How a document stands when somebody asks for it.
pub(super) struct Standing {
    /// What new states of it are states of.
    pub identity: Identity,
    /// The engine's.
    pub position: Lsn,
    /// Whether its newest state is right at this position.
    pub settled: bool,
    pub blocked: Option<Blocked>,
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
    /// The end of the first commit since the newest state by which the document may have been touched; 0: it is not known
    /// since when. `None`: by none.
    touched: Option<Lsn>,
    /// Whether it calls nodes: then its states are its own ([`Subject::instance`]), and nobody else can name one in between.
    calls_nodes: bool,
    /// Told apart from every other life of this document, here or in another run.
    instance: u64,
    /// Since when nobody follows it.
    idle: Option<Instant>,
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
    pub(super) fn new(
        plan: &Plan,
        name: Name,
        params: Vec<Option<Value>>,
        definition: Arc<str>,
        instance: u64,
    ) -> Self {
        Document {
            calls_nodes: !plan.nodes_of(name.0).is_empty(),
            touched: None,
            name,
            params,
            definition,
            news: broadcast::Sender::new(BEHIND),
            newest: None,
            held: watch::Sender::new(Held { held: false, failing: false, since: SystemTime::UNIX_EPOCH }),
            history: Recent::new(),
            identity: None,
            instance,
            idle: None,
        }
    }

    /// A new state, come at `at` ([`Entry::at`]), through this commit if through one. Followers are told.
    pub(super) fn emit(
        &mut self,
        emitted: Emitted,
        identity: Identity,
        scales: &mut Scales,
        at: u64,
        commit: Option<Lsn>,
    ) {
        let Emitted { position, root, .. } = emitted;
        let touched = self.touched.take().or(commit).filter(|_| !self.calls_nodes).unwrap_or(Lsn(0));
        let (emission, cost) = match &self.newest {
            None => {
                let revision = Revision::new(position, 0, identity);
                (Emission::first(revision, root.clone()), Some(0))
            }
            Some(newest) => {
                let revision = newest.revision().next(position, identity);
                let weight = scales.weigh(newest.root(), &root);
                let emission = newest.then(revision, root.clone(), weight.map(|weight| weight.grown));
                (emission, weight.map(|weight| weight.kept + size_of::<Entry>()))
            }
        };
        self.history.push(Entry { revision: emission.revision(), root, touched, cost, at });
        let emission = Arc::new(emission);
        self.newest = Some(emission.clone());
        self.tell(News::Emission(emission));
    }

    /// Bytes that its states before the newest take.
    pub(super) fn kept(&self) -> usize {
        self.history.cost()
    }

    /// Forgets states until the rest takes at most so many bytes.
    pub(super) fn shrink(&mut self, most_bytes: usize) {
        self.history.shrink(most_bytes);
        self.let_go();
    }

    /// Forgets the states that had a successor before `at`.
    pub(super) fn forget_before(&mut self, at: u64) {
        self.history.forget_before(at);
        self.let_go();
    }

    /// The newest emission knows the state before: no longer than the history does.
    fn let_go(&mut self) {
        if self.history.len() == 1
            && let Some(newest) = self.newest.take_if(|newest| newest.previous().is_some())
        {
            self.newest = Some(Arc::new(newest.alone()));
        }
    }

    /// The newest state may not be right any more: since this commit, or since one that is not known.
    pub(super) fn touch(&mut self, commit: Option<Lsn>) {
        self.touched.get_or_insert(commit.unwrap_or(Lsn(0)));
    }

    /// Up to where the newest state is certainly right, exclusive.
    fn untouched(&self, position: Lsn, settled: bool) -> Lsn {
        match self.touched {
            _ if self.calls_nodes => Lsn(0),
            None if settled => Lsn(position.0.saturating_add(1)),
            touched => touched.unwrap_or(Lsn(0)),
        }
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
        self.degrade(|now| std::mem::replace(&mut now.held, held) != held);
    }

    /// Notes whether a node has failed on a part of it.
    pub(super) fn fail(&self, failing: bool) {
        self.degrade(|now| std::mem::replace(&mut now.failing, failing) != failing);
    }

    fn degrade(&self, change: impl FnOnce(&mut Held) -> bool) {
        self.held.send_if_modified(|now| {
            let was = now.is_degraded();
            let changed = change(now);
            if now.is_degraded() != was {
                now.since = SystemTime::now();
            }
            changed
        });
    }

    /// Whether it calls nodes and has no state yet.
    pub(super) fn begins_with_nodes(&self) -> bool {
        self.calls_nodes && self.newest.is_none()
    }

    /// What a new follower starts from, given what it asks and how the document stands.
    pub(super) fn open(&mut self, asked: &Asked, now: &Standing) -> Result<Opened, Problem> {
        match now.blocked {
            Some(reason @ (Blocked::TooLong | Blocked::Refused)) => return Err(blocked_problem(reason)),
            Some(Blocked::Held) if self.newest.is_none() => return Err(blocked_problem(Blocked::Held)),
            _ => {}
        }
        self.idle = None;
        let untouched = self.untouched(now.position, now.settled);
        let found = |revision: Revision| Some((revision, self.history.find(&revision, untouched)?.clone()));
        let base = asked.resume.and_then(found);
        // Whoever holds a later state, of another host's, must not be taken back.
        let newest = self.newest.as_ref().map(|newest| newest.revision().lsn());
        let behind = asked.resume.is_some_and(|held| held.identity() == now.identity && Some(held.lsn()) > newest);
        let waits = asked.newest || (behind && base.is_none());
        Ok(Opened {
            news: self.news.subscribe(),
            newest: self.newest.clone(),
            waits_for: (waits && !now.settled).then_some(now.position),
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

    /// Since when, as far as was noticed ([`Document::is_abandoned`]).
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.idle
    }

    pub(super) fn has_state(&self) -> bool {
        self.newest.is_some()
    }

    /// What a state of it made with these versions is a state of.
    pub(super) fn identity(&mut self, plan: &Plan, origin: &source::History, versions: &Arc<Versions>) -> Identity {
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
                (&*plan.nodes[&node].name, version)
            })
            .collect();
        let subject = Subject {
            system: &origin.system,
            timeline: origin.timeline,
            timeline_start: origin.timeline_start,
            server_start: &origin.server_start,
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

    /// The stream begins anew, perhaps on another timeline: what was committed meanwhile nobody knows.
    pub(super) fn begin_anew(&mut self) {
        self.identity = None;
        self.touched = Some(Lsn(0));
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
