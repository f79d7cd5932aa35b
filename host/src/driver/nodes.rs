//! The node host as the writer knows it: which versions there are, and batches of calls that come back answered.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::NodeOptions;
use super::handle::NodeInfo;
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
        });
        let versions = vec![None; nodes.len()];
        if nodes.is_empty() {
            return Ok(Nodes { host: None, events: None, versions });
        }
        let (host, events) = NodeHost::start(settings, specs.collect())?;
        Ok(Nodes { host: Some(host), events: Some(events), versions })
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

    /// Notes a change. The node and its version, if that is new.
    pub(super) fn take(&mut self, event: NodeEvent, shared: &Shared) -> Option<(NodeId, NodeVersion)> {
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
                info.error = None;
                tracing::info!("node {} runs version {}", info.name, info.version);
                (self.versions[index].replace(version) != Some(version)).then_some((node, version))
            }
            NodeEvent::Failed { node, reason } => {
                let info = &mut infos[node.0 as usize];
                let stays = if info.version.is_empty() { "" } else { "; the version before stays" };
                tracing::warn!("node {} cannot be loaded: {reason}{stays}", info.name);
                info.error = Some(reason);
                None
            }
        }
    }

    /// Asks guests. One future for each node and version; its calls are answered when it is done.
    pub(super) fn evaluate(
        &self,
        calls: Vec<Arc<GuestCall>>,
    ) -> Vec<impl Future<Output = Vec<Arc<GuestCall>>> + Send + use<>> {
        let mut batches: Vec<Batch> = Vec::new();
        for call in calls {
            let of = (call.node, call.version);
            match batches.iter_mut().find(|(other, _)| *other == of) {
                Some((_, batch)) => batch.push(call),
                None => batches.push((of, vec![call])),
            }
        }
        let Some(host) = &self.host else { return Vec::new() };
        let ask = |((node, version), calls): Batch| {
            let answered = host.evaluate(node, version, calls.clone());
            async move {
                answered.await;
                calls
            }
        };
        batches.into_iter().map(ask).collect()
    }

    /// Looks at a node's file as if it had changed.
    pub(super) fn reload(&self, node: usize) {
        if let Some(host) = &self.host {
            host.reload(NodeId(node as u32));
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
