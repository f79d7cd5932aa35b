//! What queries use nodes as, filters, maps, reduces, and which queries do.

use std::sync::Arc;

use crate::dataflow::plan::{Base, ElementRef, List, ListId, NodeCall, NodeId, Plan, Shape, Step};
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
    let users = plan.documents.iter().filter(|document| uses(plan, document.list, node));
    users.map(|document| document.name.clone()).collect()
}

fn uses(plan: &Plan, list: ListId, node: NodeId) -> bool {
    let list = &plan.lists[list.0 as usize];
    let reduces = matches!(&list.shape, Shape::Reduce(call) if call.node == node);
    reduces || list.stages.iter().any(|stage| element_uses(plan, &stage.element, node))
}

fn element_uses(plan: &Plan, element: &ElementRef, node: NodeId) -> bool {
    let element = &plan.elements[element.id.0 as usize];
    let calls = |step: &Step| matches!(step, Step::Filter(call) | Step::Map { call, .. } if call.node == node);
    element.steps.iter().any(calls)
        || match &element.base {
            Base::Row { children, .. } => children.iter().any(|(_, child)| uses(plan, child.id, node)),
            Base::Element(before) => element_uses(plan, before, node),
        }
}
