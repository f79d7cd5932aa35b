//! `steps`: each is a mapping with one key, the step's name.

use super::condition::read_condition;
use super::read::{read_count, read_element, read_operand, read_order, read_select};
use super::{Call, Step};
use crate::query::fields::{Fields, Keys, list, members, text};
use crate::query::problem::{Path, Problems, one_of};
use crate::query::tree::{Kind, Tree};

/// Names of the steps.
pub const STEP: Keys = Keys {
    known: &["filter", "map", "reduce", "where", "select", "order_by", "offset", "limit"],
    later: &["exists", "aggregate", "group_by", "distinct"],
};

/// Keys of a call of a `filter` or `reduce` node.
pub const CALL: Keys = Keys { known: &["node", "args", "input"], later: &[] };

/// Keys of a call of a `map` node.
pub const MAP_CALL: Keys = Keys { known: &["node", "args", "into", "input"], later: &[] };

/// Reads the list of steps.
pub fn read_steps(tree: &Tree, path: &Path, problems: &mut Problems) -> Vec<Step> {
    let items = list(tree, path, problems);
    items.iter().enumerate().filter_map(|(index, item)| read_step(item, &path.at(index), problems)).collect()
}

fn read_step(tree: &Tree, path: &Path, problems: &mut Problems) -> Option<Step> {
    Fields::open(tree, path, &STEP, problems)?;
    let Kind::Map(members) = &tree.kind else { return None };
    let [(name, value)] = members.as_slice() else {
        problems.push(tree.place, path, format!("a step has one key: {}", one_of(STEP.known.iter().copied())));
        return None;
    };
    let at = path.then(&name.text);
    match name.as_str() {
        "filter" => Some(Step::Filter(read_call(value, &at, &CALL, problems)?)),
        "map" => {
            let call = read_call(value, &at, &MAP_CALL, problems)?;
            Some(Step::Map { call, into: read_into(value, &at, problems) })
        }
        "reduce" => Some(Step::Reduce(read_call(value, &at, &CALL, problems)?)),
        "where" => Some(Step::Where(read_condition(value, &at, problems))),
        "select" => Some(Step::Select(read_element(value, &at, problems))),
        "order_by" => read_order(value, &at, problems).map(Step::OrderBy),
        "offset" => read_count(value, &at, problems).map(Step::Offset),
        "limit" => read_count(value, &at, problems).map(Step::Limit),
        _ => None,
    }
}

/// A node's name, or a mapping with its name.
fn read_call(tree: &Tree, path: &Path, keys: &'static Keys, problems: &mut Problems) -> Option<Call> {
    if matches!(tree.kind, Kind::Text(_)) {
        return Some(Call { node: text(tree, path, problems)?, args: Vec::new(), input: None });
    }
    let fields = Fields::open(tree, path, keys, problems)?;
    fields.need("node", problems)?;
    let node = fields.text("node", problems)?;
    let at = fields.at("args");
    let args = fields.get("args").map_or(&[][..], |tree| members(tree, &at, problems));
    let args = args
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), read_operand(value, &at.then(&name.text), problems)?)))
        .collect();
    let input = fields.get("input").map(|tree| read_select(tree, &fields.at("input"), problems));
    Some(Call { node, args, input })
}

fn read_into(tree: &Tree, path: &Path, problems: &mut Problems) -> Option<crate::query::tree::Name> {
    let Kind::Map(members) = &tree.kind else { return None };
    let (_, into) = members.iter().find(|(name, _)| name.as_str() == "into")?;
    text(into, &path.then("into"), problems)
}
