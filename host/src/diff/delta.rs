//! The difference between two values.

use std::sync::Arc;

use super::memo::DiffMemo;
use super::ops::{At, Op, Ops};
use super::{array, list};
use crate::data::{Object, Value};

/// What makes one value of another.
#[derive(Clone, Debug)]
pub(super) enum Delta {
    /// They are equal.
    Same,
    /// The new one, encoded.
    Whole(Arc<str>),
    /// Operations on the old one.
    Parts(Arc<Ops>),
}

impl Delta {
    /// The difference of two parts of documents, remembered if they have parts themselves.
    pub(super) fn between(old: &Value, new: &Value, memo: &DiffMemo) -> Delta {
        if old.is_same(new) {
            return Delta::Same;
        }
        match (old, new) {
            (Value::Object(_), Value::Object(_))
            | (Value::List(_), Value::List(_))
            | (Value::Array(_), Value::Array(_)) => memo.delta(old, new, || Self::between_roots(old, new, memo)),
            _ => Self::of_other_kinds(old, new, memo),
        }
    }

    /// The same, remembering only what the difference of their parts is.
    pub(super) fn between_roots(old: &Value, new: &Value, memo: &DiffMemo) -> Delta {
        if old.is_same(new) {
            return Delta::Same;
        }
        let (ops, shorter) = match (old, new) {
            (Value::Object(old), Value::Object(new)) => {
                let ops = object(old, new, memo);
                // While any member stays, a change of an object is shown member by member.
                let all_changed = ops.parts() >= old.values().len().max(new.values().len());
                (ops, all_changed.then_some(1))
            }
            (Value::List(from), Value::List(to)) => {
                let (ops, nothing_stays) = list::ops(from, to, memo);
                (ops, Some(if nothing_stays { 1 } else { 2 }))
            }
            (Value::Array(old), Value::Array(new)) => (array::ops(old, new, memo), Some(1)),
            _ => return Self::of_other_kinds(old, new, memo),
        };
        match shorter {
            _ if ops.is_empty() => Delta::Same,
            Some(times) if ops.parts() > 1 && new.json_len(ops.size() / times).is_some() => {
                Delta::Whole(memo.text(new))
            }
            _ => Delta::Parts(Arc::new(ops)),
        }
    }

    fn of_other_kinds(old: &Value, new: &Value, memo: &DiffMemo) -> Delta {
        if old == new { Delta::Same } else { Delta::Whole(memo.text(new)) }
    }
}

/// Objects of one shape are compared by index, others by name.
fn object(old: &Object, new: &Object, memo: &DiffMemo) -> Ops {
    let mut ops = Ops::default();
    let same_shape = Arc::ptr_eq(old.shape(), new.shape()) || old.shape() == new.shape();
    if same_shape {
        for ((name, old), new) in new.shape().names().iter().zip(old.values()).zip(new.values()) {
            ops.push_delta(At::Name(name.clone()), Delta::between(old, new, memo));
        }
        return ops;
    }
    for name in old.shape().names().iter().filter(|name| new.shape().index(name).is_none()) {
        ops.push(Op::Remove(At::Name(name.clone())));
    }
    for (name, value) in new.shape().names().iter().zip(new.values()) {
        let at = At::Name(name.clone());
        match old.get(name) {
            Some(old) => ops.push_delta(at, Delta::between(old, value, memo)),
            None => ops.push(Op::Add(at, memo.text(value))),
        }
    }
    ops
}
