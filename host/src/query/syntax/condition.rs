//! `where`: conditions as they were written.
//!
//! A mapping is the conjunction of its members. `all`, `any` and `not` are never columns here; a column of such a name
//! stands under `columns`.

use super::read::read_operand;
use super::{Operand, OperandKind};
use crate::query::fields::{Fields, Keys, list, members};
use crate::query::problem::{Path, Problems, one_of};
use crate::query::tree::{Kind, Name, Tree};

/// A condition.
#[derive(Clone, Debug)]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    IsNull(Name),
    Test { field: Name, op: Op, with: Operand },
}

/// A comparison with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Eq,
    Ne,
    Lt,
    Lte,
    Gt,
    Gte,
    In,
    NotIn,
    Like,
    Ilike,
    Contains,
    Overlaps,
}

/// Keys of operators.
pub const OPERATORS: Keys = Keys {
    known: &["eq", "ne", "lt", "lte", "gt", "gte", "in", "not_in", "like", "ilike", "contains", "overlaps"],
    later: &["exists"],
};

/// The operators, in the order of their keys.
const OPS: [Op; 12] = [
    Op::Eq,
    Op::Ne,
    Op::Lt,
    Op::Lte,
    Op::Gt,
    Op::Gte,
    Op::In,
    Op::NotIn,
    Op::Like,
    Op::Ilike,
    Op::Contains,
    Op::Overlaps,
];

impl Op {
    fn of(key: &str) -> Option<Op> {
        OPERATORS.known.iter().position(|known| *known == key).map(|index| OPS[index])
    }

    /// Its key.
    pub fn key(self) -> &'static str {
        OPS.iter().position(|op| *op == self).map_or("", |index| OPERATORS.known[index])
    }
}

/// Reads a mapping of conditions, all of which must hold.
pub fn read_condition(tree: &Tree, path: &Path, problems: &mut Problems) -> Condition {
    let mut all = Vec::new();
    for (name, value) in members(tree, path, problems) {
        let at = path.then(&name.text);
        match name.as_str() {
            "all" => all.push(Condition::All(read_conditions(value, &at, problems))),
            "any" => all.push(Condition::Any(read_conditions(value, &at, problems))),
            "not" => all.push(Condition::Not(Box::new(read_condition(value, &at, problems)))),
            "columns" => {
                for (name, value) in members(value, &at, problems) {
                    read_tests(name, value, &at.then(&name.text), &mut all, problems);
                }
            }
            "exists" if is_exists(value) => {
                problems.push(name.place, path, "`exists` is not supported yet");
            }
            _ => read_tests(name, value, &at, &mut all, problems),
        }
    }
    match all.len() {
        1 => all.remove(0),
        _ => Condition::All(all),
    }
}

fn is_exists(tree: &Tree) -> bool {
    matches!(&tree.kind, Kind::Map(members) if members.iter().any(|(name, _)| name.as_str() == "from"))
}

fn read_conditions(tree: &Tree, path: &Path, problems: &mut Problems) -> Vec<Condition> {
    let items = list(tree, path, problems);
    items.iter().enumerate().map(|(index, item)| read_condition(item, &path.at(index), problems)).collect()
}

/// `column: value` and `column: { op: value, ... }`.
fn read_tests(field: &Name, value: &Tree, path: &Path, all: &mut Vec<Condition>, problems: &mut Problems) {
    if !matches!(value.kind, Kind::Map(_)) {
        if matches!(value.kind, Kind::List(_)) {
            problems.push(value.place, path, "a list is written `{ in: [...] }`");
        } else {
            all.extend(read_test(field, Op::Eq, value, path, problems));
        }
        return;
    }
    let Some(fields) = Fields::open(value, path, &OPERATORS, problems) else { return };
    let tests = members(value, path, problems);
    if tests.is_empty() {
        problems.push(fields.place, path, format!("no operator: expected {}", one_of(OPERATORS.known.iter().copied())));
    }
    for (name, value) in tests {
        if let Some(op) = Op::of(name.as_str()) {
            all.extend(read_test(field, op, value, &path.then(op.key()), problems));
        }
    }
}

fn read_test(field: &Name, op: Op, value: &Tree, path: &Path, problems: &mut Problems) -> Option<Condition> {
    if matches!(value.kind, Kind::Null) {
        return match op {
            Op::Eq => Some(Condition::IsNull(field.clone())),
            Op::Ne => Some(Condition::Not(Box::new(Condition::IsNull(field.clone())))),
            _ => {
                problems.push(
                    value.place,
                    path,
                    "a comparison with null is never true: test for null by `null` or `ne: null`",
                );
                None
            }
        };
    }
    let with = read_operand(value, path, problems)?;
    if matches!(with.kind, OperandKind::List(_)) && !matches!(op, Op::In | Op::NotIn) {
        problems.push(
            value.place,
            path,
            format!("a list with parameters in it stands under `in` or `not_in`, not `{}`", op.key()),
        );
        return None;
    }
    Some(Condition::Test { field: field.clone(), op, with })
}
