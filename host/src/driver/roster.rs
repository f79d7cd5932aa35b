//! Which nodes there are: those of the configuration as it is now, and those that queries of before still use.
//!
//! A node is its name, its file and its settings: with another file or another limit it is another one, under the same name, and both are
//! there until no query uses the one before.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::NodeOptions;
use super::handle::{NodeInfo, NodeState};
use super::kinds::{kind_of, queries_of};
use super::node::Node;
use super::nodes::Nodes;
use super::open::Shared;
use crate::dataflow::plan::{NodeId, Plan};
use crate::wasm::{NodeError, NodeHost, NodeSpec};

impl NodeOptions {
    /// This node as the host knows it, in queries with this plan.
    pub(crate) fn spec(&self, plan: &Plan) -> NodeSpec {
        NodeSpec {
            id: self.id,
            name: self.name.clone(),
            source: self.source.clone(),
            kind: kind_of(plan, self.id),
            limits: self.limits,
            numbers: self.numbers,
            has_clock: self.every.is_some(),
            usage: Arc::default(),
        }
    }

    /// Whether the host would not tell one from the other.
    fn is(&self, other: &Self) -> bool {
        let all = |node: &Self| (node.name.clone(), node.source.clone(), node.limits, node.numbers, node.every);
        all(self) == all(other)
    }

    /// How it is before anything is known of it.
    pub(super) fn info(&self) -> NodeInfo {
        NodeInfo {
            name: (*self.name).into(),
            file: self.source.path().to_owned(),
            deadline: self.limits.deadline,
            memory_limit: self.limits.memory,
            error: Some("not loaded yet".into()),
            ..NodeInfo::default()
        }
    }
}

impl Nodes {
    /// Calls each of `wanted` what it is called among `known`; those that are new, what no node was called before.
    pub(super) fn enlist(&self, known: &[NodeOptions], wanted: &mut [NodeOptions]) {
        let mut next = self.next.0;
        for node in wanted {
            node.id = match known.iter().find(|known| known.is(node)) {
                Some(known) => known.id,
                None => {
                    next += 1;
                    NodeId(next - 1)
                }
            };
        }
    }

    /// Starts to load and watch those that are new, for queries with this plan, which is not served yet: they are tried until it
    /// [is](Nodes::settle).
    pub(super) fn adopt(&mut self, wanted: &[NodeOptions], plan: &Plan, shared: &Shared) -> Result<(), NodeError> {
        let mut specs = Vec::new();
        for options in wanted {
            if self.nodes.contains_key(&options.id) {
                continue;
            }
            let (id, tally) = (options.id, shared.tally.add(options.id));
            let spec = NodeSpec { usage: tally.usage.clone(), ..options.spec(plan) };
            let info = NodeInfo { queries: queries_of(plan, id), is_tried: true, ..options.info() };
            shared.nodes.send_modify(|infos| drop(infos.insert(id, info)));
            let folder = options.source.folder().to_owned();
            let node =
                Node { every: options.every, expected: spec.kind, folder, tally, is_tried: true, ..Node::default() };
            self.nodes.insert(id, node);
            self.next = self.next.max(NodeId(id.0 + 1));
            specs.push(spec);
        }
        let ids: Vec<NodeId> = specs.iter().map(|spec| spec.id).collect();
        let begun = match &mut self.host {
            Some(host) => host.add(specs),
            None if specs.is_empty() => Ok(()),
            None => NodeHost::start(self.settings.clone(), specs).map(|(host, events)| {
                (self.host, self.events) = (Some(host), Some(events));
            }),
        };
        begun.inspect_err(|_| ids.into_iter().for_each(|id| self.dismiss(id, shared)))
    }

    /// Those that were tried are taken.
    pub(super) fn settle(&mut self, shared: &Shared) {
        self.nodes.values_mut().for_each(|node| node.is_tried = false);
        shared.nodes.send_modify(|infos| infos.values_mut().for_each(|info| info.is_tried = false));
    }

    /// Those of `wanted` that would take the place of another among `known`, of the same name, that runs.
    pub(super) fn replacing(&self, known: &[NodeOptions], wanted: &[NodeOptions]) -> Vec<NodeId> {
        let runs = |known: &NodeOptions| self.nodes.get(&known.id).is_some_and(|node| node.version.is_some());
        let replaces = |node: &&NodeOptions| {
            let before = known.iter().find(|known| known.name == node.name);
            before.is_some_and(|before| before.id != node.id && runs(before))
        };
        wanted.iter().filter(replaces).map(|node| node.id).collect()
    }

    /// Whether each of these runs.
    pub(super) fn are_loaded(&self, ids: &[NodeId]) -> bool {
        ids.iter().all(|id| self.nodes.get(id).is_some_and(|node| node.version.is_some()))
    }

    /// Which of these cannot be loaded as their files are, and why.
    pub(super) fn failed(&self, ids: &[NodeId], shared: &Shared) -> Vec<String> {
        let infos = shared.nodes.borrow();
        let broken = |id: &NodeId| infos.get(id).filter(|info| info.state == NodeState::Broken);
        let said = |info: &NodeInfo| format!("nodes.{}: {}", info.name, info.error.as_deref().unwrap_or_default());
        ids.iter().filter_map(broken).map(said).collect()
    }

    /// Queries are these now, and all the nodes they use are among `wanted`.
    pub(super) fn expect(&mut self, plan: &Plan, wanted: &BTreeSet<NodeId>, shared: &Shared) {
        for (id, node) in self.nodes.iter_mut().filter(|(_, node)| !node.is_tried) {
            let expected = kind_of(plan, *id);
            if node.expected != expected {
                node.expected = expected;
                node.before = None;
                self.host.iter().for_each(|host| host.expect(*id, expected));
            }
        }
        shared.nodes.send_modify(|infos| {
            let served = infos.iter_mut().filter(|(_, info)| !info.is_tried);
            served.for_each(|(id, info)| info.queries = queries_of(plan, *id));
        });
        self.keep(wanted, shared);
    }

    /// Nobody asks others than these any more.
    pub(super) fn keep(&mut self, wanted: &BTreeSet<NodeId>, shared: &Shared) {
        let gone: Vec<NodeId> = self.nodes.keys().filter(|id| !wanted.contains(id)).copied().collect();
        gone.into_iter().for_each(|id| self.dismiss(id, shared));
    }

    /// Nobody asks this node any more. What it still answers is for nobody.
    fn dismiss(&mut self, id: NodeId, shared: &Shared) {
        self.dismissed.extend(self.nodes.remove(&id).into_iter().flat_map(|node| node.backlog));
        self.waiting.retain(|(node, ..)| *node != id);
        self.host.iter_mut().for_each(|host| host.remove(id));
        shared.tally.remove(id);
        shared.nodes.send_modify(|infos| drop(infos.remove(&id)));
    }
}
