//! The difference between two plain arrays, whose elements have no keys.
//!
//! What is equal at both ends stays; what is left is compared in order, and the rest added or removed. Arrays of columns and
//! of answers are short; a longer script of edits would rarely beat replacing them.

use super::delta::Delta;
use super::memo::DiffMemo;
use super::ops::{At, Op, Ops};
use crate::data::Value;

/// O(n).
pub(super) fn ops(old: &[Value], new: &[Value], memo: &DiffMemo) -> Ops {
    let equal = |(a, b): &(&Value, &Value)| a.is_same(b) || a == b;
    let head = old.iter().zip(new).take_while(equal).count();
    let (old, new) = (&old[head..], &new[head..]);
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(equal).count();
    let (old, new) = (&old[..old.len() - tail], &new[..new.len() - tail]);

    let mut ops = Ops::default();
    let common = old.len().min(new.len());
    for _ in common..old.len() {
        ops.push(Op::Remove(At::Index(head + common)));
    }
    for (at, value) in new.iter().enumerate().skip(common) {
        ops.push(Op::Add(At::Index(head + at), memo.text(value)));
    }
    for (at, (old, new)) in old.iter().zip(new).enumerate() {
        ops.push_delta(At::Index(head + at), Delta::between(old, new, memo));
    }
    ops
}
