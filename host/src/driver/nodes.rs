//! The node host as the writer knows it: which versions there are, and batches of calls that come back answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::conduct::{Conduct, Outcome, Verdict};
use super::handle::{NodeInfo, NodeState};
use super::node::{Batch, Before, Change, Failures, Node, batch_of, times};
use super::open::Shared;
use crate::dataflow::Engine;
use crate::dataflow::guest::{GuestCall, GuestError};
use crate::dataflow::plan::NodeId;
use crate::wasm::{HostSettings, NodeEvent, NodeHost};

/// See the module.
pub(super) struct Nodes {
    pub settings: HostSettings,
    /// `None`: there was no node yet.
    pub host: Option<NodeHost>,
    pub events: Option<mpsc::Receiver<NodeEvent>>,
    pub nodes: BTreeMap<NodeId, Node>,
    /// What the next one that is new is called.
    pub next: NodeId,
    /// What nodes that are gone had not been asked yet.
    pub dismissed: Vec<Arc<GuestCall>>,
    /// Who asked for a look at a node's file, and which look it was.
    pub waiting: Vec<(NodeId, u64, oneshot::Sender<NodeInfo>)>,
}

/// Batches that may be worth answering in passing, at once.
const BATCHES_IN_PASSING: usize = 4;

/// A node's failures are told no more often than this.
const TELL: Duration = Duration::from_secs(1);

/// How much of a failing input the log shows, in bytes.
const SHOWN: usize = 200;

impl Nodes {
    /// None yet.
    pub(super) fn new(settings: HostSettings) -> Self {
        let (nodes, waiting, dismissed) = (BTreeMap::new(), Vec::new(), Vec::new());
        Nodes { settings, host: None, events: None, nodes, next: NodeId(0), waiting, dismissed }
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
        self.nodes.iter().map(|(id, node)| node.change(*id)).collect()
    }

    /// Whether every node that is served has been loaded, or has said why it cannot be.
    pub(super) fn are_known(&self) -> bool {
        self.nodes.values().all(|node| node.reported || node.is_tried)
    }

    /// Notes what happened to a file. What is to be asked, if that is new.
    pub(super) fn take(&mut self, event: NodeEvent, shared: &Shared) -> Option<Change> {
        if let NodeEvent::Looked { node, look } = event {
            for (_, _, reply) in self.waiting.extract_if(.., |(of, asked, _)| *of == node && *asked <= look) {
                let known = (self.nodes.get(&node), shared.nodes.borrow().get(&node).cloned());
                if let (Some(node), Some(info)) = known {
                    // Whoever asked may have gone.
                    let _ = reply.send(NodeInfo { usage: node.tally.usage(), ..info });
                }
            }
            return None;
        }
        let mut new = None;
        shared.nodes.send_modify(|infos| new = self.note(event, infos));
        new
    }

    fn note(&mut self, event: NodeEvent, infos: &mut BTreeMap<NodeId, NodeInfo>) -> Option<Change> {
        match event {
            NodeEvent::Loaded { node: id, version, kind } => {
                let (node, info) = (self.nodes.get_mut(&id)?, infos.get_mut(&id)?);
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
                    (info.state, info.error, info.reason) = (NodeState::Running, None, None);
                    node.failures = Failures::default();
                }
                if !is_new {
                    return None;
                }
                tracing::info!("node {} runs version {}", info.name, info.version);
                let before = node.version.replace(version).filter(|_| node.conduct.is_well());
                let known = node.before.take_if(|before| before.version == version);
                // One on trial that nobody asked yet, or that has not answered, is no better than one that did.
                let is_unknown = node.conduct.is_untried() && node.before.is_some_and(|before| before.is_proven);
                if node.opening.is_none() && !is_unknown {
                    node.before = before.map(|version| Before { version, is_proven: node.conduct.is_proven() });
                }
                // Of one that was good enough before only what it failed on is asked again, and says nothing of the rest.
                node.conduct = match known {
                    Some(Before { is_proven: true, .. }) => Conduct::again(true),
                    _ => Conduct::begin(node.before.is_some()),
                };
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
                let (node, info) = (self.nodes.get_mut(&id)?, infos.get_mut(&id)?);
                let reason = node.placed(&reason);
                node.reported = true;
                let stays = !info.version.is_empty() && node.fits();
                let told = if stays { "; the version before stays" } else { "" };
                tracing::warn!("node {} cannot be loaded: {reason}{told}{}", info.name, info.needed());
                info.state = if stays { NodeState::Outdated } else { NodeState::Broken };
                (info.error, info.reason) = (Some(reason.clone()), Some(reason));
                None
            }
            NodeEvent::Looked { .. } => None,
        }
    }

    /// Notes what came of calls, before the engine is told or can see it. The versions that are withdrawn, and what takes their
    /// places.
    pub(super) fn judge(&mut self, calls: &[Arc<GuestCall>], engine: Option<&Engine>, shared: &Shared) -> Vec<Change> {
        self.note_failures(calls, engine, shared);
        // Those who wait for it go on when all of this is done.
        let _judged = calls.iter().find_map(|call| self.nodes.get_mut(&call.node)?.opening.take_if(|it| it.is(call)));
        let mut outcomes: Vec<(NodeId, Outcome)> = Vec::new();
        for call in calls {
            let Some(node) = self.nodes.get(&call.node) else { continue };
            node.tally.rows.add(1);
            node.tally.errors.add(usize::from(matches!(call.outcome(), Some(Err(_)))));
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
        let node = self.nodes.get_mut(&id)?;
        let change = |f: &mut dyn FnMut(&mut NodeInfo)| {
            shared.nodes.send_modify(|infos| infos.get_mut(&id).into_iter().for_each(f));
        };
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
                let last = node.placed(&last);
                change(&mut |info| {
                    let Outcome { failed, answered, .. } = outcome;
                    let version = &info.version;
                    let reason =
                        format!("version {version} failed on {failed} of {answered} rows at once, last: {last}");
                    tracing::warn!("node {}: {reason}; the version before stays", info.name);
                    (info.state, info.error, info.reason) = (NodeState::Outdated, Some(reason), Some(last.clone()));
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
        Some(node.change(id))
    }

    /// Tells the log and the operator of rows that nodes failed on; clients see only what the node's policy makes of it.
    fn note_failures(&mut self, calls: &[Arc<GuestCall>], engine: Option<&Engine>, shared: &Shared) {
        for call in calls {
            let Some(error) = self.failure(call) else { continue };
            let Some(Node { failures, .. }) = self.nodes.get_mut(&call.node) else { continue };
            failures.rows += 1;
            failures.untold += 1;
            failures.last = error.message.clone();
        }
        for call in calls.iter().rev() {
            let Some(error) = self.failure(call) else { continue };
            let Some(node) = self.nodes.get_mut(&call.node) else { continue };
            if node.failures.told.is_some_and(|told| told.elapsed() < TELL) {
                continue;
            }
            let error = node.placed(&error.message);
            let row = engine.and_then(|engine| engine.origin(call));
            let of = row.map(|row| format!(" of {row}")).unwrap_or_default();
            let Node { failures, conduct, .. } = node;
            let mut input = call.input.to_json();
            if input.len() > SHOWN {
                input.truncate(input.floor_char_boundary(SHOWN));
                input.push('…');
            }
            shared.nodes.send_modify(|infos| {
                let Some(info) = infos.get_mut(&call.node) else { return };
                tracing::warn!(
                    "node {} (version {:016x}) failed {}, last: {error}; its input{of} was {input}",
                    info.name,
                    call.version.0,
                    failures.since_told(),
                );
                if info.state == NodeState::Outdated {
                    // Why its file is not taken is what there is to mend.
                    return;
                }
                if !conduct.rests() {
                    info.state = NodeState::Failing;
                }
                let failed = times(failures.rows);
                let version = &info.version;
                info.error =
                    Some(format!("version {version} failed {failed}, last: {error}; its input{of} was {input}"));
                info.reason = Some(error);
            });
            failures.untold = 0;
            failures.told = Some(Instant::now());
        }
    }

    /// What a call failed on, unless another version has taken the place of the one that did.
    fn failure<'a>(&self, call: &'a GuestCall) -> Option<&'a GuestError> {
        let error = call.outcome()?.as_ref().err()?;
        (self.nodes.get(&call.node)?.version == Some(call.version)).then_some(error)
    }

    /// The nodes that are now to be asked again what they failed on for a passing reason.
    pub(super) fn due_retries(&mut self, now: Instant) -> Vec<NodeId> {
        self.nodes.iter_mut().filter_map(|(id, node)| node.conduct.is_retry_due(now).then_some(*id)).collect()
    }

    /// The nodes that are now to be asked everything anew: those with `every` whose time has come, unless they still answer what they
    /// were asked before, and those that have rested.
    pub(super) fn due(&mut self, now: Instant, shared: &Shared) -> Vec<Change> {
        let mut due = Vec::new();
        for (id, node) in &mut self.nodes {
            let rested = node.conduct.is_rested(now);
            let ticks = node.due.is_some_and(|at| at <= now) && node.open == 0 && !node.conduct.rests();
            if !rested && !ticks {
                continue;
            }
            node.ask_anew(now);
            if rested {
                let failing = |info: &mut NodeInfo| info.state = NodeState::Failing;
                shared.nodes.send_modify(|infos| infos.get_mut(id).into_iter().for_each(failing));
            }
            due.push(node.change(*id));
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
                !self.nodes.get(node).is_some_and(|node| node.is_on_trial(*version))
                    && host.answer_in_passing(*node, *version, calls)
            }) {
                answered.extend(calls);
            }
        }
        let most = host.parallel();
        let mut asked = Vec::new();
        for (of, calls) in batches {
            let Some(node) = self.nodes.get_mut(&of.0) else { continue };
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
        let node = calls.first().and_then(|call| self.nodes.get_mut(&call.node));
        if let (Some(node), Some(host)) = (node, &self.host) {
            node.open -= 1;
            while let Some(batch) = node.next_batch(host.parallel(), &mut abandoned) {
                asked.push(ask(host, node, batch));
            }
        }
        (abandoned, asked)
    }

    /// Looks at a node's file as if it had changed; `reply` is told how the node is then.
    pub(super) fn reload(&mut self, node: NodeId, reply: oneshot::Sender<NodeInfo>) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::guest::NodeVersion;
    use crate::wasm::NodeKind;

    fn call(version: u64) -> Vec<Arc<GuestCall>> {
        let args = crate::data::Value::Null;
        vec![Arc::new(GuestCall::new(NodeId(0), NodeVersion(version), 0, args.clone(), args))]
    }

    fn info() -> NodeInfo {
        NodeInfo { name: "n".into(), ..NodeInfo::default() }
    }

    fn load(nodes: &mut Nodes, version: u64) -> Option<u64> {
        let (node, version) = (NodeId(0), NodeVersion(version));
        nodes.note(NodeEvent::Loaded { node, version, kind: NodeKind::Map }, &mut [(node, info())].into());
        nodes.nodes[&node].before.map(|before| before.version.0)
    }

    #[test]
    fn a_version_that_nothing_is_known_of_is_not_gone_back_to() {
        let mut nodes = Nodes::new(HostSettings::default());
        nodes.nodes.insert(NodeId(0), Node::default());
        fn only(nodes: &mut Nodes) -> &mut Node {
            nodes.nodes.get_mut(&NodeId(0)).expect("it is there")
        }
        assert_eq!(load(&mut nodes, 1), None);
        assert_eq!(load(&mut nodes, 2), Some(1));
        assert_eq!(load(&mut nodes, 3), Some(2), "nobody asks any of them");
        only(&mut nodes).conduct.judge(Outcome { answered: 2, failed: 1, passing: 0 }, Instant::now());
        assert_eq!(load(&mut nodes, 4), Some(3), "it answered");
        assert_eq!(load(&mut nodes, 5), Some(3), "nobody asked 4");
        assert!(only(&mut nodes).wait_for_opening(NodeVersion(5), &call(5)).is_none());
        assert_eq!(load(&mut nodes, 6), Some(3), "5 has not answered yet");
        assert!(only(&mut nodes).opening.is_none(), "who waits for 5 goes on");
    }

    #[test]
    fn a_version_that_comes_again_is_not_gone_back_to_from_itself() {
        let mut nodes = Nodes::new(HostSettings::default());
        nodes.nodes.insert(NodeId(0), Node::default());
        let judge = |nodes: &mut Nodes, answered, failed| {
            let node = nodes.nodes.get_mut(&NodeId(0)).expect("it is there");
            node.conduct.judge(Outcome { answered, failed, passing: 0 }, Instant::now())
        };
        load(&mut nodes, 1);
        judge(&mut nodes, 3, 0);
        assert_eq!(load(&mut nodes, 2), Some(1));
        assert_eq!(judge(&mut nodes, 3, 1), Verdict::GoOn, "it is good enough");
        assert_eq!(load(&mut nodes, 1), Some(2));
        // All that is shown was answered by this version: nobody asks it. Then the other is asked what it failed on.
        assert_eq!(load(&mut nodes, 2), Some(1));
        assert_eq!(judge(&mut nodes, 1, 1), Verdict::GoOn);
    }
}
