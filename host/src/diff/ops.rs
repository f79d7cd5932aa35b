//! Operations without a place: their paths begin at the value they are about.
//!
//! A part of a document is compared once, wherever and in however many documents it stands. So its operations form a
//! tree that follows the document's, values are encoded already, and paths are put together when a document's patch is
//! written.

use std::sync::Arc;

use super::delta::Delta;
use super::pointer::{Mark, Pointer};

/// Operations on one value, to be applied in order.
#[derive(Debug, Default)]
pub(super) struct Ops {
    items: Vec<Op>,
    /// Operations in all, nested ones included.
    count: usize,
    size: usize,
}

/// An operation on a direct part of the value, or those inside it.
#[derive(Debug)]
pub(super) enum Op {
    Remove(At),
    Add(At, Arc<str>),
    Replace(At, Arc<str>),
    Move { from: usize, to: usize },
    Under(At, Arc<Ops>),
}

/// A direct part of an object or an array.
#[derive(Clone, Debug)]
pub(super) enum At {
    Name(Arc<str>),
    Index(usize),
}

impl At {
    fn enter(&self, path: &mut Pointer) -> Mark {
        match self {
            At::Name(name) => path.push_name(name),
            At::Index(index) => path.push_index(*index),
        }
    }

    /// Bytes in a path, about.
    fn size(&self) -> usize {
        1 + match self {
            At::Name(name) => name.len(),
            At::Index(index) => index.checked_ilog10().map_or(1, |log| log as usize + 1),
        }
    }
}

impl Op {
    /// Bytes when written, about, the path to the value not counted.
    fn size(&self) -> usize {
        match self {
            Op::Remove(at) => r#"{"op":"remove","path":""},"#.len() + at.size(),
            Op::Add(at, value) => r#"{"op":"add","path":"","value":},"#.len() + at.size() + value.len(),
            Op::Replace(at, value) => r#"{"op":"replace","path":"","value":},"#.len() + at.size() + value.len(),
            Op::Move { from, to } => {
                r#"{"op":"move","from":"","path":""},"#.len() + At::Index(*from).size() + At::Index(*to).size()
            }
            Op::Under(at, ops) => ops.size + ops.count * at.size(),
        }
    }
}

impl Ops {
    pub(super) fn push(&mut self, op: Op) {
        self.size += op.size();
        self.count += if let Op::Under(_, ops) = &op { ops.count } else { 1 };
        self.items.push(op);
    }

    /// Adds what makes the part at `at` new.
    pub(super) fn push_delta(&mut self, at: At, delta: Delta) {
        match delta {
            Delta::Same => {}
            Delta::Whole(value) => self.push(Op::Replace(at, value)),
            Delta::Parts(ops) => self.push(Op::Under(at, ops)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Direct parts that are touched; a moved element that is also edited counts twice.
    pub(super) fn parts(&self) -> usize {
        self.items.len()
    }

    /// Bytes when written, about: paths begin at the value.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Appends the operations, separated by commas, for the value at `path`. `out` ends with `[` before the first one.
    pub(super) fn write(&self, path: &mut Pointer, out: &mut String) {
        for op in &self.items {
            match op {
                Op::Remove(at) => write_op(r#"{"op":"remove","path":""#, at, None, path, out),
                Op::Add(at, value) => write_op(r#"{"op":"add","path":""#, at, Some(value), path, out),
                Op::Replace(at, value) => write_op(r#"{"op":"replace","path":""#, at, Some(value), path, out),
                Op::Move { from, to } => write_move(*from, *to, path, out),
                Op::Under(at, ops) => {
                    let mark = at.enter(path);
                    ops.write(path, out);
                    path.truncate(mark);
                }
            }
        }
    }
}

fn separate(out: &mut String) {
    if !out.ends_with('[') {
        out.push(',');
    }
}

fn write_op(head: &str, at: &At, value: Option<&str>, path: &mut Pointer, out: &mut String) {
    separate(out);
    out.push_str(head);
    let mark = at.enter(path);
    out.push_str(path.as_json());
    path.truncate(mark);
    out.push('"');
    if let Some(value) = value {
        out.push_str(",\"value\":");
        out.push_str(value);
    }
    out.push('}');
}

fn write_move(from: usize, to: usize, path: &mut Pointer, out: &mut String) {
    separate(out);
    out.push_str(r#"{"op":"move","from":""#);
    let mark = path.push_index(from);
    out.push_str(path.as_json());
    path.truncate(mark);
    out.push_str(r#"","path":""#);
    path.push_index(to);
    out.push_str(path.as_json());
    path.truncate(mark);
    out.push_str("\"}");
}
