//! The differences between two lists, at the cost of what they do not share.
//!
//! Both trees are read from left to right as a sequence of subtrees and elements, opened as late as possible. Look at what
//! comes next on either side:
//!
//! - the same node twice: skip both;
//! - one begins with a smaller key: the other side has nothing at that key any more, so nothing on the other side can be
//!   the same node. If it is an element it is a difference, else it is opened;
//! - both begin with the same key, but are not the same node: one may be the first part of the other. All leaves being
//!   at one depth, that can only be so if their heights differ, so the higher one is opened; of equal height, both.
//!
//! So no node is opened that the other side has too: the cost is that of the nodes copied between the two lists, however
//! splits, merges and slices moved the rest.

use std::cmp::Ordering;
use std::sync::Arc;

use super::node::Node;
use super::{Edit, ElementKey};

/// A difference and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed<'a, V> {
    pub edit: Edit<'a, V>,
    /// The element's index in the old list; for [`Edit::Add`] how many old elements come before it.
    pub old_at: usize,
    /// The element's index in the new list; for [`Edit::Remove`] how many new elements come before it.
    pub new_at: usize,
}

/// The differences between two lists in the order of keys; made by [`List::edits`](super::List::edits).
pub struct Edits<'a, V, F> {
    old: Side<'a, V>,
    new: Side<'a, V>,
    same: F,
}

/// What one list still has to show.
struct Side<'a, V> {
    /// The next part is the last one.
    parts: Vec<Part<'a, V>>,
    /// Elements that have passed.
    passed: usize,
    opened: usize,
}

enum Part<'a, V> {
    Tree(&'a ElementKey, &'a Arc<Node<V>>),
    Element(&'a ElementKey, &'a V),
}

/// What to do next.
enum Turn {
    Skip,
    Open { old: bool, new: bool },
    Remove,
    Add,
    Compare,
}

impl<'a, V, F: Fn(&V, &V) -> bool> Edits<'a, V, F> {
    pub(super) fn new(old: Option<&'a Arc<Node<V>>>, new: Option<&'a Arc<Node<V>>>, same: F) -> Self {
        Edits { old: Side::new(old), new: Side::new(new), same }
    }

    /// How many nodes of both lists were read so far: what the comparison cost.
    pub fn opened(&self) -> usize {
        self.old.opened + self.new.opened
    }

    /// Decides by the next part of either side; `None` at the end.
    fn turn(&self) -> Option<Turn> {
        use Part::{Element, Tree};
        Some(match (self.old.parts.last(), self.new.parts.last()) {
            (None, None) => return None,
            (Some(Tree(..)), None) => Turn::Open { old: true, new: false },
            (None, Some(Tree(..))) => Turn::Open { old: false, new: true },
            (Some(Element(..)), None) => Turn::Remove,
            (None, Some(Element(..))) => Turn::Add,
            (Some(Tree(_, old)), Some(Tree(_, new))) if Arc::ptr_eq(old, new) => Turn::Skip,
            (Some(old), Some(new)) => match (old.min().cmp(new.min()), old, new) {
                (Ordering::Less, Tree(..), _) => Turn::Open { old: true, new: false },
                (Ordering::Less, Element(..), _) => Turn::Remove,
                (Ordering::Greater, _, Tree(..)) => Turn::Open { old: false, new: true },
                (Ordering::Greater, _, Element(..)) => Turn::Add,
                (Ordering::Equal, Element(..), Element(..)) => Turn::Compare,
                (Ordering::Equal, _, _) => {
                    Turn::Open { old: old.height() >= new.height(), new: new.height() >= old.height() }
                }
            },
        })
    }

    /// Does it; a difference if that is one.
    fn take(&mut self, turn: Turn) -> Option<Placed<'a, V>> {
        let (old_at, new_at) = (self.old.passed, self.new.passed);
        let edit = match turn {
            Turn::Open { old, new } => {
                if old {
                    self.old.open();
                }
                if new {
                    self.new.open();
                }
                return None;
            }
            Turn::Skip => {
                self.old.pass();
                self.new.pass();
                return None;
            }
            Turn::Remove => self.old.pass().map(|(key, value)| Edit::Remove { key, value }),
            Turn::Add => self.new.pass().map(|(key, value)| Edit::Add { key, value }),
            Turn::Compare => {
                let ((_, old), (key, new)) = (self.old.pass()?, self.new.pass()?);
                (!(self.same)(old, new)).then_some(Edit::Change { key, old, new })
            }
        };
        edit.map(|edit| Placed { edit, old_at, new_at })
    }
}

impl<'a, V, F: Fn(&V, &V) -> bool> Iterator for Edits<'a, V, F> {
    type Item = Placed<'a, V>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let turn = self.turn()?;
            if let Some(placed) = self.take(turn) {
                return Some(placed);
            }
        }
    }
}

impl<'a, V> Side<'a, V> {
    fn new(root: Option<&'a Arc<Node<V>>>) -> Self {
        Side { parts: root.map(|root| Part::Tree(root.min(), root)).into_iter().collect(), passed: 0, opened: 0 }
    }

    /// Replaces the next part by its own parts; an element stays.
    fn open(&mut self) {
        let Some(&Part::Tree(_, node)) = self.parts.last() else { return };
        self.parts.pop();
        self.opened += 1;
        match &**node {
            Node::Leaf(entries) => {
                self.parts.extend(entries.iter().rev().map(|(key, value)| Part::Element(key, value)))
            }
            Node::Inner(inner) => {
                self.parts.extend(inner.children.iter().rev().map(|child| Part::Tree(&child.min, &child.node)));
            }
        }
    }

    /// Leaves the next part behind; gives it if it is an element.
    fn pass(&mut self) -> Option<(&'a ElementKey, &'a V)> {
        match self.parts.pop()? {
            Part::Tree(_, node) => {
                self.passed += node.len();
                None
            }
            Part::Element(key, value) => {
                self.passed += 1;
                Some((key, value))
            }
        }
    }
}

impl<'a, V> Part<'a, V> {
    fn min(&self) -> &'a ElementKey {
        match self {
            Part::Tree(key, _) | Part::Element(key, _) => key,
        }
    }

    /// An element is lower than a leaf.
    fn height(&self) -> i16 {
        match self {
            Part::Tree(_, node) => i16::from(node.height()),
            Part::Element(..) => -1,
        }
    }
}
