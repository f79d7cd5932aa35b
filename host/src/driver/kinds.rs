//! What queries use nodes as: filters, maps, reduces.

use crate::dataflow::plan::{List, NodeCall, NodeId, Plan, Shape, Step};
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
