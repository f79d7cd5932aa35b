//! The node host as the writer knows it: which versions there are, and batches of calls that come back answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::NodeOptions;
use super::handle::{NodeInfo, NodeState};
use super::open::Shared;
use crate::dataflow::guest::{GuestCall, NodeVersion};
use crate::dataflow::plan::{NodeCall, NodeId, Plan, Shape, Step};
use crate::wasm::{HostSettings, NodeError, NodeEvent, NodeHost, NodeKind, NodeSpec};

/// Calls of one version of a node.
type Batch = ((NodeId, NodeVersion), Vec<Arc<GuestCall>>);

/// See the module.
pub(super) struct Nodes {
    host: Option<NodeHost>,
    events: Option<mpsc::Receiver<NodeEvent>>,
    /// The version that each node has; `None`: never loaded.
    pub versions: Vec<Option<NodeVersion>>,
    failures: Vec<Failures>,
    /// Which nodes have said whether they can be loaded.
    reported: Vec<bool>,
    /// Who asked for a look at a node's file, and which look it was.
    waiting: Vec<(NodeId, u64, oneshot::Sender<NodeInfo>)>,
}

/// Rows that a version of a node failed on.
#[derive(Clone, Default)]
struct Failures {
    rows: u64,
    /// How many of them the log has not told yet, since when it last told any.
    untold: u64,
    told: Option<Instant>,
    /// When those that may pass are asked again.
    retry_at: Option<Instant>,
    /// When the last retry was due, and how long it was waited for.
    retried: Option<Instant>,
    pause: Duration,
}

/// The first and the longest pause before rows that a node failed on for a passing reason are asked again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Batches that may be worth answering in passing, at once.
const BATCHES_IN_PASSING: usize = 4;

/// A node's failures are told no more often than this.
const TELL: Duration = Duration::from_secs(1);

/// How much of a failing input the log shows, in bytes.
const SHOWN: usize = 200;

impl Failures {
    /// Each pause is twice as long as the one before; a retry that went well until now begins anew.
    fn plan_retry(&mut self, now: Instant) {
        if self.retry_at.is_some() {
            return;
        }
        let again = self.retried.is_some_and(|at| now.duration_since(at) < 2 * self.pause);
        self.pause = if again { (self.pause * 2).min(RETRY.1) } else { RETRY.0 };
        self.retried = Some(now + self.pause);
        self.retry_at = self.retried;
    }
}

impl Nodes {
    pub(super) fn start(settings: HostSettings, nodes: &[NodeOptions], plan: &Plan) -> Result<Self, NodeError> {
        let specs = nodes.iter().enumerate().map(|(index, node)| NodeSpec {
            id: NodeId(index as u32),
            name: node.name.clone(),
            source: node.source.clone(),
            kind: kind_of(plan, NodeId(index as u32)),
            deadline: node.deadline,
            memory: node.memory,
            numbers: node.numbers,
        });
        let versions = vec![None; nodes.len()];
        if nodes.is_empty() {
            return Ok(Nodes {
                host: None,
                events: None,
                versions,
                failures: Vec::new(),
                reported: Vec::new(),
                waiting: Vec::new(),
            });
        }
        let (host, events) = NodeHost::start(settings, specs.collect())?;
        Ok(Nodes {
            host: Some(host),
            events: Some(events),
            versions,
            failures: vec![Failures::default(); nodes.len()],
            reported: vec![false; nodes.len()],
            waiting: Vec::new(),
        })
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

    /// Whether every node has been loaded, or has said why it cannot be.
    pub(super) fn are_known(&self) -> bool {
        self.reported.iter().all(|reported| *reported)
    }

    /// Notes a change. The node and its version, if that is new.
    pub(super) fn take(&mut self, event: NodeEvent, shared: &Shared) -> Option<(NodeId, NodeVersion)> {
        match event {
            NodeEvent::Loaded { node, .. } | NodeEvent::Failed { node, .. } => self.reported[node.0 as usize] = true,
            NodeEvent::Looked { node, look } => {
                for (_, _, reply) in self.waiting.extract_if(.., |(of, asked, _)| *of == node && *asked <= look) {
                    // Whoever asked may have gone.
                    let _ = reply.send(shared.nodes.borrow()[node.0 as usize].clone());
                }
                return None;
            }
        }
        let mut new = None;
        shared.nodes.send_modify(|infos| new = self.note(event, infos));
        new
    }

    fn note(&mut self, event: NodeEvent, infos: &mut [NodeInfo]) -> Option<(NodeId, NodeVersion)> {
        match event {
            NodeEvent::Loaded { node, version, kind } => {
                let index = node.0 as usize;
                let info = &mut infos[index];
                info.kind = kind_name(kind).into();
                info.version = format!("{:016x}", version.0);
                let is_new = self.versions[index].replace(version) != Some(version);
                // What the same code failed on it would fail on again.
                if is_new || info.state != NodeState::Failing {
                    (info.state, info.error) = (NodeState::Running, None);
                    self.failures[index] = Failures::default();
                }
                if is_new {
                    tracing::info!("node {} runs version {}", info.name, info.version);
                }
                is_new.then_some((node, version))
            }
            NodeEvent::Failed { node, reason } => {
                let info = &mut infos[node.0 as usize];
                let stays = if info.version.is_empty() { "" } else { "; the version before stays" };
                tracing::warn!("node {} cannot be loaded: {reason}{stays}", info.name);
                info.state = if info.version.is_empty() { NodeState::Broken } else { NodeState::Outdated };
                info.error = Some(reason);
                None
            }
            NodeEvent::Looked { .. } => None,
        }
    }

    /// Tells the log and the operator of rows that nodes failed on; clients see only what the node's policy makes of it.
    pub(super) fn note_failures(&mut self, calls: &[Arc<GuestCall>], shared: &Shared) {
        for call in calls {
            let Some(Err(error)) = call.answer() else { continue };
            let index = call.node.0 as usize;
            let failures = &mut self.failures[index];
            failures.rows += 1;
            failures.untold += 1;
            if error.passing {
                failures.plan_retry(Instant::now());
            }
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
                info.state = NodeState::Failing;
                info.error = Some(format!("failed on {} rows so far, last: {error}", failures.rows));
            });
            failures.untold = 0;
            failures.told = Some(Instant::now());
        }
    }

    /// The nodes that are now to be asked again what they failed on for a passing reason.
    pub(super) fn due_retries(&mut self, now: Instant) -> Vec<NodeId> {
        let due = |failures: &mut Failures| failures.retry_at.take_if(|at| *at <= now).is_some();
        let nodes = self.failures.iter_mut().zip(0..);
        nodes.filter_map(|(failures, index)| due(failures).then_some(NodeId(index))).collect()
    }

    /// Asks guests. What can be answered in a moment is, if there is that moment; those calls are given back. For the rest one
    /// future for each node and version, whose calls are answered when it is done.
    pub(super) fn evaluate(
        &self,
        calls: Vec<Arc<GuestCall>>,
        in_passing: bool,
    ) -> (Vec<Arc<GuestCall>>, Vec<impl Future<Output = Vec<Arc<GuestCall>>> + Send + use<>>) {
        let mut batches: Vec<Batch> = Vec::new();
        for call in calls {
            let of = (call.node, call.version);
            match batches.iter_mut().find(|(other, _)| *other == of) {
                Some((_, batch)) => batch.push(call),
                None => batches.push((of, vec![call])),
            }
        }
        let Some(host) = &self.host else { return (Vec::new(), Vec::new()) };
        let mut answered = Vec::new();
        if in_passing && batches.len() <= BATCHES_IN_PASSING {
            for (_, calls) in
                batches.extract_if(.., |((node, version), calls)| host.answer_in_passing(*node, *version, calls))
            {
                answered.extend(calls);
            }
        }
        let ask = |((node, version), calls): Batch| {
            let answered = host.evaluate(node, version, calls.clone());
            async move {
                answered.await;
                calls
            }
        };
        (answered, batches.into_iter().map(ask).collect())
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

fn kind_name(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Filter => "filter",
        NodeKind::Map => "map",
        NodeKind::Reduce => "reduce",
    }
}

/// What queries use a node as.
pub(crate) fn kind_of(plan: &Plan, node: NodeId) -> Option<NodeKind> {
    let is = |call: &NodeCall| call.node == node;
    let steps = plan.elements.iter().flat_map(|element| &element.steps).find_map(|step| match step {
        Step::Filter(call) if is(call) => Some(NodeKind::Filter),
        Step::Map { call, .. } if is(call) => Some(NodeKind::Map),
        _ => None,
    });
    let reduces = |list: &crate::dataflow::plan::List| matches!(&list.shape, Shape::Reduce(call) if is(call));
    steps.or_else(|| plan.lists.iter().any(reduces).then_some(NodeKind::Reduce))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_retries_fail() {
        let mut failures = Failures::default();
        let mut now = Instant::now();
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            failures.plan_retry(now);
            failures.plan_retry(now);
            let at = failures.retry_at.take().expect("planned");
            assert_eq!(at - now, Duration::from_secs(seconds));
            now = at;
        }
        now += Duration::from_secs(600);
        failures.plan_retry(now);
        assert_eq!(failures.retry_at, Some(now + Duration::from_secs(1)), "it was well for long");
    }
}
