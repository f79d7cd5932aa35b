//! The node host as the writer knows it: which versions there are, and batches of calls that come back answered.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};

use super::NodeOptions;
use super::conduct::{Conduct, Outcome, Verdict};
use super::handle::{NodeInfo, NodeState};
use super::kinds::kind_of;
use super::open::Shared;
use super::tally::Tally;
use crate::dataflow::guest::{GuestCall, GuestError, NodeVersion};
use crate::dataflow::plan::{NodeId, Plan};
use crate::wasm::{HostSettings, NodeError, NodeEvent, NodeHost, NodeKind, NodeSpec};

/// Calls of one version of a node in one tick.
type Batch = ((NodeId, NodeVersion, u64), Vec<Arc<GuestCall>>);

/// See the module.
pub(super) struct Nodes {
    host: Option<NodeHost>,
    events: Option<mpsc::Receiver<NodeEvent>>,
    nodes: Vec<Node>,
    /// Who asked for a look at a node's file, and which look it was.
    waiting: Vec<(NodeId, u64, oneshot::Sender<NodeInfo>)>,
}

/// One node of the configuration.
#[derive(Default)]
struct Node {
    /// The version that is asked; `None`: never loaded.
    version: Option<NodeVersion>,
    /// What that is.
    kind: Option<NodeKind>,
    /// What queries use it as, if any does.
    expected: Option<NodeKind>,
    /// The one to go back to.
    before: Option<Before>,
    /// What it was asked first, until that is judged.
    opening: Option<Opening>,
    /// Tells one asking anew from the next: the number of times; with `every`, the time in milliseconds since 1970.
    tick: u64,
    every: Option<Duration>,
    /// When `every` is due next.
    due: Option<Instant>,
    /// Batches that are being answered.
    open: usize,
    /// What is to be asked when one of them is done; nothing, if there are less than there may be.
    backlog: Vec<Arc<GuestCall>>,
    /// Whether it has said if it can be loaded.
    reported: bool,
    conduct: Conduct,
    failures: Failures,
}

/// The last version that answered rows well; while none did, the last that nothing is known against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Before {
    version: NodeVersion,
    is_proven: bool,
}

/// The first batch that a version on trial is asked: all that documents show, when it takes the place of another.
///
/// What it is asked after that (of rows that are written meanwhile) is answered sooner, one row at a time. If that counted, rows
/// that are written often would decide; and if it was shown, clients would see a version that is rolled back.
struct Opening {
    /// Tells the batch from others.
    first: Arc<GuestCall>,
    /// Dropped when the batch has been judged: then the others are.
    judged: watch::Sender<()>,
}

/// What the engine is to ask from now on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub node: NodeId,
    /// `None`: nothing, so documents wait.
    pub version: Option<NodeVersion>,
    pub tick: u64,
}

/// Rows that a version of a node failed on.
#[derive(Clone, Default)]
struct Failures {
    rows: u64,
    /// How many of them the log has not told yet, since when it last told any.
    untold: u64,
    told: Option<Instant>,
    /// Why the last one did.
    last: String,
}

/// Batches that may be worth answering in passing, at once.
const BATCHES_IN_PASSING: usize = 4;

/// A node's failures are told no more often than this.
const TELL: Duration = Duration::from_secs(1);

/// How much of a failing input the log shows, in bytes.
const SHOWN: usize = 200;

impl Node {
    fn change(&self, node: NodeId) -> Change {
        Change { node, version: self.version.filter(|_| self.fits() && !self.conduct.rests()), tick: self.tick }
    }

    /// Whether it is what queries use it as. If they change it may not be, and its answers mean nothing to them.
    fn fits(&self) -> bool {
        self.expected.is_none_or(|expected| self.kind.is_none_or(|kind| kind == expected))
    }

    /// Whether this is the version to be asked, and nothing is known of it yet.
    fn is_on_trial(&self, version: NodeVersion) -> bool {
        self.version == Some(version) && self.conduct.is_untried()
    }

    /// What the answers to these calls are to wait for, if they must. The first of a version on trial are its opening.
    fn wait_for_opening(&mut self, version: NodeVersion, calls: &[Arc<GuestCall>]) -> Option<watch::Receiver<()>> {
        if !self.is_on_trial(version) {
            return None;
        }
        if let Some(opening) = &self.opening {
            return Some(opening.judged.subscribe());
        }
        self.opening = calls.first().map(|first| Opening { first: first.clone(), judged: watch::Sender::new(()) });
        None
    }

    /// A batch of what waits, if there may be another: of the version and tick to be asked now, before others. What nobody needs any
    /// more is added to `abandoned`.
    fn next_batch(&mut self, most: usize, abandoned: &mut Vec<Arc<GuestCall>>) -> Option<Batch> {
        if self.open >= most {
            return None;
        }
        // Who needs an answer holds the call, too: a cell, or a state of a document.
        abandoned.extend(self.backlog.extract_if(.., |call| Arc::strong_count(call) == 1));
        let is_current = |call: &&Arc<GuestCall>| self.version == Some(call.version) && self.tick == call.tick;
        let of = batch_of(self.backlog.iter().find(is_current).or(self.backlog.first())?);
        Some((of, self.backlog.extract_if(.., |call| batch_of(call) == of).collect()))
    }

    /// Nothing that was answered before answers what is asked from now on.
    fn ask_anew(&mut self, now: Instant) {
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
        let next = self.tick + 1;
        self.tick = if self.every.is_some() { next.max(time) } else { next };
        self.due = self.every.map(|every| now + every);
    }
}

impl Opening {
    fn is(&self, call: &Arc<GuestCall>) -> bool {
        Arc::ptr_eq(&self.first, call)
    }
}

impl NodeOptions {
    /// This node as the host knows it, in queries with this plan.
    pub(crate) fn spec(&self, id: NodeId, plan: &Plan) -> NodeSpec {
        NodeSpec {
            id,
            name: self.name.clone(),
            source: self.source.clone(),
            kind: kind_of(plan, id),
            limits: self.limits,
            numbers: self.numbers,
            has_clock: self.every.is_some(),
            usage: Arc::default(),
        }
    }
}

impl Nodes {
    pub(super) fn start(
        settings: HostSettings,
        nodes: &[NodeOptions],
        plan: &Plan,
        tally: &Tally,
    ) -> Result<Self, NodeError> {
        let spec = |(node, index): (&NodeOptions, u32)| NodeSpec {
            usage: tally.nodes[index as usize].usage.clone(),
            ..node.spec(NodeId(index), plan)
        };
        let specs: Vec<_> = nodes.iter().zip(0..).map(spec).collect();
        let node = |(node, spec): (&NodeOptions, &NodeSpec)| Node {
            every: node.every,
            expected: spec.kind,
            ..Node::default()
        };
        let state = nodes.iter().zip(&specs).map(node).collect();
        let (host, events) = match nodes.is_empty() {
            true => (None, None),
            false => {
                let (host, events) = NodeHost::start(settings, specs)?;
                (Some(host), Some(events))
            }
        };
        Ok(Nodes { host, events, nodes: state, waiting: Vec::new() })
    }

    /// The next change; never, without nodes.
    pub(super) async fn event(&mut self) -> NodeEvent {
        if let Some(events) = &mut self.events {
            match events.recv().await {
                Some(event) => return event,
                None => self.events = None,
            }
        }
        std::future::pending().await
    }

    /// What is to be asked of each node.
    pub(super) fn all(&self) -> Vec<Change> {
        self.nodes.iter().zip(0..).map(|(node, index)| node.change(NodeId(index))).collect()
    }

    /// Queries are these now.
    pub(super) fn expect(&mut self, plan: &Plan) {
        for (node, index) in self.nodes.iter_mut().zip(0..) {
            let (id, expected) = (NodeId(index), kind_of(plan, NodeId(index)));
            if node.expected != expected {
                node.expected = expected;
                node.before = None;
                self.host.iter().for_each(|host| host.expect(id, expected));
            }
        }
    }

    /// Whether every node has been loaded, or has said why it cannot be.
    pub(super) fn are_known(&self) -> bool {
        self.nodes.iter().all(|node| node.reported)
    }

    /// Notes what happened to a file. What is to be asked, if that is new.
    pub(super) fn take(&mut self, event: NodeEvent, shared: &Shared) -> Option<Change> {
        if let NodeEvent::Looked { node, look } = event {
            for (_, _, reply) in self.waiting.extract_if(.., |(of, asked, _)| *of == node && *asked <= look) {
                let at = node.0 as usize;
                let usage = shared.tally.nodes[at].usage();
                // Whoever asked may have gone.
                let _ = reply.send(NodeInfo { usage, ..shared.nodes.borrow()[at].clone() });
            }
            return None;
        }
        let mut new = None;
        shared.nodes.send_modify(|infos| new = self.note(event, infos));
        new
    }

    fn note(&mut self, event: NodeEvent, infos: &mut [NodeInfo]) -> Option<Change> {
        match event {
            NodeEvent::Loaded { node: id, version, kind } => {
                let (node, info) = (&mut self.nodes[id.0 as usize], &mut infos[id.0 as usize]);
                node.reported = true;
                node.kind = Some(kind);
                info.kind = kind.to_string();
                info.version = format!("{:016x}", version.0);
                let is_new = node.version != Some(version);
                // What the same code failed on it would fail on again.
                if is_new || !matches!(info.state, NodeState::Failing | NodeState::Suspended) {
                    if !is_new && info.error.is_some() {
                        tracing::info!("node {} is as it was: version {} goes on", info.name, info.version);
                    }
                    (info.state, info.error) = (NodeState::Running, None);
                    node.failures = Failures::default();
                }
                if !is_new {
                    return None;
                }
                tracing::info!("node {} runs version {}", info.name, info.version);
                let before = node.version.replace(version).filter(|_| node.conduct.is_well());
                // One on trial that nobody asked yet, or that has not answered, is no better than one that did.
                let is_unknown = node.conduct.is_untried() && node.before.is_some_and(|before| before.is_proven);
                if node.opening.is_none() && !is_unknown {
                    node.before = before.map(|version| Before { version, is_proven: node.conduct.is_proven() });
                }
                node.conduct = Conduct::begin(node.before.is_some());
                node.opening = None;
                if let Some(host) = &self.host {
                    // If the version before was taken back after this one was loaded, this one is not kept warm.
                    host.restore(id, version);
                    if let Some(before) = node.before {
                        host.spare(id, before.version);
                    }
                }
                if node.every.is_some() {
                    node.ask_anew(Instant::now());
                }
                Some(node.change(id))
            }
            NodeEvent::Failed { node: id, reason } => {
                let (node, info) = (&mut self.nodes[id.0 as usize], &mut infos[id.0 as usize]);
                node.reported = true;
                let stays = !info.version.is_empty() && node.fits();
                let told = if stays { "; the version before stays" } else { "" };
                tracing::warn!("node {} cannot be loaded: {reason}{told}", info.name);
                info.state = if stays { NodeState::Outdated } else { NodeState::Broken };
                info.error = Some(reason);
                None
            }
            NodeEvent::Looked { .. } => None,
        }
    }

    /// Notes what came of calls, before the engine is told or can see it. The versions that are withdrawn, and what takes their
    /// places.
    pub(super) fn judge(&mut self, calls: &[Arc<GuestCall>], shared: &Shared) -> Vec<Change> {
        self.note_failures(calls, shared);
        // Those who wait for it go on when all of this is done.
        let _judged = calls.iter().find_map(|call| self.nodes[call.node.0 as usize].opening.take_if(|it| it.is(call)));
        for call in calls {
            let tally = &shared.tally.nodes[call.node.0 as usize];
            tally.rows.add(1);
            tally.errors.add(usize::from(matches!(call.outcome(), Some(Err(_)))));
        }
        let mut outcomes: Vec<(NodeId, Outcome)> = Vec::new();
        for call in calls {
            let node = &self.nodes[call.node.0 as usize];
            if node.version != Some(call.version) || node.tick != call.tick {
                continue;
            }
            let at = outcomes.iter().position(|(id, _)| *id == call.node).unwrap_or_else(|| {
                outcomes.push((call.node, Outcome::default()));
                outcomes.len() - 1
            });
            let outcome = &mut outcomes[at].1;
            outcome.answered += 1;
            if let Some(Err(error)) = call.outcome() {
                outcome.failed += 1;
                outcome.passing += usize::from(error.passing);
            }
        }
        let now = Instant::now();
        outcomes.into_iter().filter_map(|(id, outcome)| self.judge_one(id, outcome, now, shared)).collect()
    }

    fn judge_one(&mut self, id: NodeId, outcome: Outcome, now: Instant, shared: &Shared) -> Option<Change> {
        let node = &mut self.nodes[id.0 as usize];
        let change = |f: &mut dyn FnMut(&mut NodeInfo)| shared.nodes.send_modify(|infos| f(&mut infos[id.0 as usize]));
        match node.conduct.judge(outcome, now) {
            Verdict::GoOn => return None,
            Verdict::RollBack => {
                node.conduct = Conduct::begin(false);
                let is_there =
                    |before: &Before| self.host.as_ref().is_some_and(|host| host.restore(id, before.version));
                let Before { version: before, is_proven } = node.before.take().filter(is_there)?;
                node.version = Some(before);
                node.conduct = Conduct::again(is_proven);
                let last = std::mem::take(&mut node.failures).last;
                change(&mut |info| {
                    let Outcome { failed, answered, .. } = outcome;
                    let version = &info.version;
                    let reason =
                        format!("version {version} failed on {failed} of {answered} rows at once, last: {last}");
                    tracing::warn!("node {}: {reason}; the version before stays", info.name);
                    (info.state, info.error) = (NodeState::Outdated, Some(reason));
                    info.version = format!("{:016x}", before.0);
                });
            }
            Verdict::Suspend => {
                let pause = node.conduct.pause().as_secs();
                change(&mut |info| {
                    tracing::warn!("node {} keeps failing: it is tried again in {pause} s", info.name);
                    info.state = NodeState::Suspended;
                });
            }
        }
        Some(self.nodes[id.0 as usize].change(id))
    }

    /// Tells the log and the operator of rows that nodes failed on; clients see only what the node's policy makes of it.
    fn note_failures(&mut self, calls: &[Arc<GuestCall>], shared: &Shared) {
        for call in calls {
            let Some(error) = self.failure(call) else { continue };
            let failures = &mut self.nodes[call.node.0 as usize].failures;
            failures.rows += 1;
            failures.untold += 1;
            failures.last = error.message.clone();
        }
        for call in calls.iter().rev() {
            let Some(error) = self.failure(call) else { continue };
            let index = call.node.0 as usize;
            let rests = self.nodes[index].conduct.rests();
            let failures = &mut self.nodes[index].failures;
            if failures.told.is_some_and(|told| told.elapsed() < TELL) {
                continue;
            }
            let mut input = call.input.to_json();
            if input.len() > SHOWN {
                input.truncate(input.floor_char_boundary(SHOWN));
                input.push('…');
            }
            shared.nodes.send_modify(|infos| {
                let info = &mut infos[index];
                tracing::warn!(
                    "node {} (version {:016x}) failed on {} rows, last: {error}; its input was {input}",
                    info.name,
                    call.version.0,
                    failures.untold,
                );
                if !rests {
                    info.state = NodeState::Failing;
                }
                info.error = Some(format!("failed on {} rows so far, last: {error}", failures.rows));
            });
            failures.untold = 0;
            failures.told = Some(Instant::now());
        }
    }

    /// What a call failed on, unless another version has taken the place of the one that did.
    fn failure<'a>(&self, call: &'a GuestCall) -> Option<&'a GuestError> {
        let error = call.outcome()?.as_ref().err()?;
        (self.nodes[call.node.0 as usize].version == Some(call.version)).then_some(error)
    }

    /// The nodes that are now to be asked again what they failed on for a passing reason.
    pub(super) fn due_retries(&mut self, now: Instant) -> Vec<NodeId> {
        let nodes = self.nodes.iter_mut().zip(0..);
        nodes.filter_map(|(node, index)| node.conduct.is_retry_due(now).then_some(NodeId(index))).collect()
    }

    /// The nodes that are now to be asked everything anew: those with `every` whose time has come, unless they still answer what they
    /// were asked before, and those that have rested.
    pub(super) fn due(&mut self, now: Instant, shared: &Shared) -> Vec<Change> {
        let mut due = Vec::new();
        for (node, index) in self.nodes.iter_mut().zip(0..) {
            let rested = node.conduct.is_rested(now);
            let ticks = node.due.is_some_and(|at| at <= now) && node.open == 0 && !node.conduct.rests();
            if !rested && !ticks {
                continue;
            }
            node.ask_anew(now);
            if rested {
                shared.nodes.send_modify(|infos| infos[index as usize].state = NodeState::Failing);
            }
            due.push(node.change(NodeId(index)));
        }
        due
    }

    /// Asks guests. What can be answered in a moment is, if there is that moment; those calls are given back. For the rest one
    /// future for each node and version, whose calls are answered when it is done; the answers are withheld until they are judged.
    /// A node that answers as many batches as there may be is asked when one is done: then in one go, and no more of what was
    /// changed meanwhile. So one that is too slow for what is written falls behind by a batch or two, not ever more.
    pub(super) fn evaluate(
        &mut self,
        calls: Vec<Arc<GuestCall>>,
        in_passing: bool,
    ) -> (Vec<Arc<GuestCall>>, Vec<impl Asked + use<>>) {
        let mut batches: Vec<Batch> = Vec::new();
        for call in calls {
            let of = batch_of(&call);
            match batches.iter_mut().find(|(other, _)| *other == of) {
                Some((_, batch)) => batch.push(call),
                None => batches.push((of, vec![call])),
            }
        }
        let Some(host) = &self.host else { return (Vec::new(), Vec::new()) };
        let mut answered = Vec::new();
        if in_passing && batches.len() <= BATCHES_IN_PASSING {
            for (_, calls) in batches.extract_if(.., |((node, version, _), calls)| {
                !self.nodes[node.0 as usize].is_on_trial(*version) && host.answer_in_passing(*node, *version, calls)
            }) {
                answered.extend(calls);
            }
        }
        let most = host.parallel();
        let mut asked = Vec::new();
        for (of, calls) in batches {
            let node = &mut self.nodes[of.0.0 as usize];
            if node.open < most {
                asked.push(ask(host, node, (of, calls)));
            } else {
                node.backlog.extend(calls);
            }
        }
        (answered, asked)
    }

    /// A future of [`Nodes::evaluate`] is done. The calls that will not be asked, since nobody needs them any more, and futures as
    /// those for what is asked in its place.
    pub(super) fn finished(&mut self, calls: &[Arc<GuestCall>]) -> (Vec<Arc<GuestCall>>, Vec<impl Asked + use<>>) {
        let (mut abandoned, mut asked) = (Vec::new(), Vec::new());
        if let (Some(call), Some(host)) = (calls.first(), &self.host) {
            let node = &mut self.nodes[call.node.0 as usize];
            node.open -= 1;
            while let Some(batch) = node.next_batch(host.parallel(), &mut abandoned) {
                asked.push(ask(host, node, batch));
            }
        }
        (abandoned, asked)
    }

    /// Looks at a node's file as if it had changed; `reply` is told how the node is then.
    pub(super) fn reload(&mut self, node: usize, reply: oneshot::Sender<NodeInfo>) {
        let node = NodeId(node as u32);
        if let Some(look) = self.host.as_ref().and_then(|host| host.reload(node)) {
            self.waiting.retain(|(_, _, reply)| !reply.is_closed());
            self.waiting.push((node, look, reply));
        }
    }
}

/// Gives the calls of a batch when they are answered and may be seen.
pub(super) trait Asked: Future<Output = Vec<Arc<GuestCall>>> + Send + 'static {}

impl<F: Future<Output = Vec<Arc<GuestCall>>> + Send + 'static> Asked for F {}

fn ask(host: &NodeHost, node: &mut Node, ((id, version, _), calls): Batch) -> impl Asked + use<> {
    node.open += 1;
    let opening = node.wait_for_opening(version, &calls);
    calls.iter().for_each(|call| call.withhold());
    let answered = host.evaluate(id, version, calls.clone());
    async move {
        answered.await;
        if let Some(mut opening) = opening {
            // Nothing is ever sent: an error says that it is over.
            let _ = opening.changed().await;
        }
        calls
    }
}

fn batch_of(call: &GuestCall) -> (NodeId, NodeVersion, u64) {
    (call.node, call.version, call.tick)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(version: u64) -> Vec<Arc<GuestCall>> {
        let args = crate::data::Value::Null;
        vec![Arc::new(GuestCall::new(NodeId(0), NodeVersion(version), 0, args.clone(), args))]
    }

    fn info() -> NodeInfo {
        let (name, usage) = ("n".into(), Default::default());
        NodeInfo { name, kind: String::new(), version: String::new(), state: NodeState::Loading, error: None, usage }
    }

    fn load(nodes: &mut Nodes, version: u64) -> Option<u64> {
        let (node, version) = (NodeId(0), NodeVersion(version));
        nodes.note(NodeEvent::Loaded { node, version, kind: NodeKind::Map }, &mut [info()]);
        nodes.nodes[0].before.map(|before| before.version.0)
    }

    #[test]
    fn a_version_that_nothing_is_known_of_is_not_gone_back_to() {
        let mut nodes = Nodes { host: None, events: None, nodes: vec![Node::default()], waiting: Vec::new() };
        assert_eq!(load(&mut nodes, 1), None);
        assert_eq!(load(&mut nodes, 2), Some(1));
        assert_eq!(load(&mut nodes, 3), Some(2), "nobody asks any of them");
        nodes.nodes[0].conduct.judge(Outcome { answered: 2, failed: 1, passing: 0 }, Instant::now());
        assert_eq!(load(&mut nodes, 4), Some(3), "it answered");
        assert_eq!(load(&mut nodes, 5), Some(3), "nobody asked 4");
        assert!(nodes.nodes[0].wait_for_opening(NodeVersion(5), &call(5)).is_none());
        assert_eq!(load(&mut nodes, 6), Some(3), "5 has not answered yet");
        assert!(nodes.nodes[0].opening.is_none(), "who waits for 5 goes on");
    }

    #[test]
    fn what_nobody_needs_any_more_is_not_asked_and_what_is_new_is_asked_first() {
        let (old, needed, new) = (call(1), call(1), call(2));
        let backlog = [old, needed.clone(), new.clone()].concat();
        let mut node = Node { version: Some(NodeVersion(2)), open: 1, backlog, ..Node::default() };
        let mut abandoned = Vec::new();
        assert!(node.next_batch(1, &mut abandoned).is_none(), "one is open");
        node.open = 0;
        let (of, calls) = node.next_batch(1, &mut abandoned).expect("a batch");
        assert_eq!((of.1, calls.len(), abandoned.len()), (NodeVersion(2), 1, 1));
        assert!(Arc::ptr_eq(&calls[0], &new[0]));
        let (of, calls) = node.next_batch(1, &mut abandoned).expect("another");
        assert_eq!((of.1, calls.len(), abandoned.len()), (NodeVersion(1), 1, 1));
        assert!(Arc::ptr_eq(&calls[0], &needed[0]));
        assert!(node.next_batch(1, &mut abandoned).is_none() && node.backlog.is_empty());
    }

    #[test]
    fn answers_after_the_first_wait_until_those_are_judged() {
        let mut node = Node { version: Some(NodeVersion(2)), conduct: Conduct::begin(true), ..Node::default() };
        let opening = call(2);
        assert!(node.wait_for_opening(NodeVersion(1), &call(1)).is_none(), "of the version before");
        assert!(node.wait_for_opening(NodeVersion(2), &opening).is_none());
        let late = node.wait_for_opening(NodeVersion(2), &call(2)).expect("it waits");
        assert!(late.has_changed().is_ok());
        assert!(node.opening.take_if(|it| it.is(&call(2)[0])).is_none());
        assert!(node.opening.take_if(|it| it.is(&opening[0])).is_some());
        assert!(late.has_changed().is_err(), "it waits no longer");
    }
}
