//! What queries use nodes as, filters, maps, reduces, and which queries do.

use std::sync::Arc;

use crate::dataflow::plan::{DocumentId, List, NodeCall, NodeId, Plan, Shape, Step};
use crate::wasm::NodeKind;

/// What queries use this node as, if any does.
pub(super) fn kind_of(plan: &Plan, node: NodeId) -> Option<NodeKind> {
    let is = |call: &NodeCall| call.node == node;
    let steps = plan.elements.iter().flat_map(|element| &element.steps).find_map(|step| match step {
        Step::Filter(call) if is(call) => Some(NodeKind::Filter),
        Step::Map { call, .. } if is(call) => Some(NodeKind::Map),
        _ => None,
    });
    let reduces = |list: &List| matches!(&list.shape, Shape::Reduce(call) if is(call));
    steps.or_else(|| plan.lists.iter().any(reduces).then_some(NodeKind::Reduce))
}

/// The queries with this node among their steps, at any depth, by name.
pub(super) fn queries_of(plan: &Plan, node: NodeId) -> Vec<Arc<str>> {
    let users = plan.documents.iter().zip(0..).filter(|(_, id)| plan.nodes_of(DocumentId(*id)).contains(&node));
    users.map(|(document, _)| document.name.clone()).collect()
}
