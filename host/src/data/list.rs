//! Persistent sorted sequences with ranks: what the lists of documents are made of.
//!
//! A [`List`] is a B+ tree behind `Arc`s. A clone costs nothing and shares everything; an insertion or removal copies the
//! nodes on one path (in place where nobody else holds them); [`List::edits`] compares two lists and skips what they
//! share. So the old document, the new one and the difference between them cost what changed, not what is there.
//!
//! What a reader could get wrong:
//!
//! - The shape of the tree depends on its history: two equal lists may share nothing. Only *descent* makes `edits` cheap;
//!   its answer is right for any two lists.
//! - Nodes have no least fill. A slice cuts nodes at its two ends and leaves them thin, which later edits tolerate; all
//!   leaves are at one depth always, and that is what `edits` relies on.

mod edits;
mod iter;
mod node;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use edits::{Edits, Placed};
pub use iter::Iter;

use self::node::{Edge, MAX, Node};
use super::Key;

/// The position of an element in its list, and what tells it apart: sort terms, tie-break, identity, as one byte string.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementKey {
    key: Key,
    /// Where in `key` the identity begins; the bytes before it are the sort terms.
    identity_at: u32,
}

impl ElementKey {
    /// `identity_at` counts the bytes of `key` before the element's identity (row, join row, occurrence).
    pub fn new(key: Key, identity_at: usize) -> Self {
        ElementKey { key, identity_at: u32::try_from(identity_at).expect("keys are far below 4 GiB") }
    }

    /// What tells the element apart wherever it stands: equal before and after a move.
    pub fn identity(&self) -> &[u8] {
        &self.key.as_bytes()[self.identity_at as usize..]
    }

    /// The whole key.
    pub fn key(&self) -> &Key {
        &self.key
    }
}

/// A sequence in the order of its keys, each once. A clone shares everything.
///
/// The size of a pointer; an empty list has no allocation. `n` below is the number of elements.
pub struct List<V>(Option<Arc<Node<V>>>);

/// A difference between two lists, as [`List::diff`] finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit<'a, V> {
    Remove {
        key: &'a ElementKey,
        value: &'a V,
    },
    Add {
        key: &'a ElementKey,
        value: &'a V,
    },
    /// Same key, another value (by the caller's test).
    Change {
        key: &'a ElementKey,
        old: &'a V,
        new: &'a V,
    },
}

impl<V> List<V> {
    /// The empty list.
    pub const fn new() -> Self {
        List(None)
    }

    /// How many elements there are. O(1).
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |root| root.len())
    }

    /// Whether there are none. O(1).
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The value at `key`. O(log n).
    pub fn get(&self, key: &ElementKey) -> Option<&V> {
        self.0.as_ref()?.find(key).1.map(|(_, value)| value)
    }

    /// The index of `key`, if it is there. O(log n).
    pub fn rank(&self, key: &ElementKey) -> Option<usize> {
        self.position(key).ok()
    }

    /// The index of `key`, or as an error the index it would be inserted at. O(log n).
    pub fn position(&self, key: &ElementKey) -> Result<usize, usize> {
        let Some(root) = &self.0 else { return Err(0) };
        match root.find(key) {
            (rank, Some(_)) => Ok(rank),
            (rank, None) => Err(rank),
        }
    }

    /// The element at `index`. O(log n).
    pub fn at(&self, index: usize) -> Option<(&ElementKey, &V)> {
        let root = self.0.as_ref().filter(|root| index < root.len())?;
        let (key, value) = root.at(index);
        Some((key, value))
    }

    /// The first element. O(log n).
    pub fn first(&self) -> Option<(&ElementKey, &V)> {
        self.at(0)
    }

    /// The last element. O(log n).
    pub fn last(&self) -> Option<(&ElementKey, &V)> {
        self.at(self.len().checked_sub(1)?)
    }

    /// All elements in order. O(1) each, amortised.
    pub fn iter(&self) -> Iter<'_, V> {
        self.iter_from(0)
    }

    /// The elements from `index` on, in order. O(log n) to start, then O(1) each, amortised.
    pub fn iter_from(&self, index: usize) -> Iter<'_, V> {
        Iter::new(self.0.as_deref(), index)
    }

    /// All values in order. O(1) each, amortised.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Whether both are the very same list in memory: never true of different lists, but false of equal ones that were
    /// made apart. O(1).
    pub fn is_same(&self, other: &Self) -> bool {
        self.address() == other.address()
    }

    /// Where the list is in memory: equal for lists that [are the same](List::is_same), and for no others while both
    /// live. 0 for the empty list.
    pub fn address(&self) -> usize {
        self.0.as_ref().map_or(0, |root| Arc::as_ptr(root).addr())
    }

    /// The differences from `old` to `new`, in the order of their keys; `same` tells whether two values under one key
    /// are equal (`false` is always safe).
    ///
    /// O(c log n) for c changes if one list descends from the other or both from a third, slices included; O(n) for lists
    /// that share nothing.
    pub fn edits<'a, F>(old: &'a Self, new: &'a Self, same: F) -> Edits<'a, V, F>
    where
        F: Fn(&V, &V) -> bool,
    {
        Edits::new(old.0.as_ref(), new.0.as_ref(), same)
    }

    /// Calls `visit` with each of the [`edits`](List::edits).
    pub fn diff<'a, F>(old: &'a Self, new: &'a Self, same: F, mut visit: impl FnMut(Edit<'a, V>))
    where
        F: Fn(&V, &V) -> bool,
    {
        Self::edits(old, new, same).for_each(|placed| visit(placed.edit));
    }

    /// A list of these elements. O(n) if the keys ascend, as they should; otherwise they are sorted, and of equal keys the
    /// last counts.
    pub fn from_sorted(elements: impl IntoIterator<Item = (ElementKey, V)>) -> Self {
        let mut entries: Vec<_> = elements.into_iter().collect();
        if !entries.is_sorted_by(|(a, _), (b, _)| a < b) {
            entries.reverse();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            entries.dedup_by(|(a, _), (b, _)| a == b);
        }
        List(Node::build(entries).map(Arc::new))
    }
}

impl<V: Clone> List<V> {
    /// Puts `value` at `key` and returns the one it replaces. O(log n); clones share all but the path to `key`.
    pub fn insert(&mut self, key: ElementKey, value: V) -> Option<V> {
        let Some(root) = &mut self.0 else {
            self.0 = Some(Arc::new(Node::Leaf(vec![(key, value)])));
            return None;
        };
        let (old, split) = Arc::make_mut(root).insert(key, value, Edge::BOTH);
        if let Some(right) = split {
            *root = Arc::new(Node::parent([root.clone(), Arc::new(right)]));
        }
        old
    }

    /// Takes the value at `key` out, if it is there. O(log n); clones share all but the path to `key`.
    pub fn remove(&mut self, key: &ElementKey) -> Option<V> {
        // Looked up first: an absent key must not copy the path.
        self.get(key)?;
        let removed = Arc::make_mut(self.0.as_mut()?).remove(key);
        self.collapse();
        removed
    }

    /// The elements from index `offset` on, at most `limit` of them. O(log n); shares all nodes but those at the two ends.
    pub fn slice(&self, offset: usize, limit: Option<usize>) -> Self {
        let len = self.len();
        let start = offset.min(len);
        let end = limit.map_or(len, |limit| start.saturating_add(limit).min(len));
        match &self.0 {
            Some(_) if (start, end) == (0, len) => self.clone(),
            Some(root) if start < end => {
                let count = end - start;
                if count <= MAX {
                    let entries = self.iter_from(start).take(count).map(|(key, value)| (key.clone(), value.clone()));
                    return List(Some(Arc::new(Node::Leaf(entries.collect()))));
                }
                let mut list = List(Some(Arc::new(root.cut(start, end))));
                list.collapse();
                list
            }
            _ => List::new(),
        }
    }

    /// Takes away levels at the top that hold one node only, and a root without elements.
    fn collapse(&mut self) {
        while let Some(root) = &self.0 {
            match &**root {
                Node::Leaf(entries) if entries.is_empty() => self.0 = None,
                Node::Inner(inner) if inner.children.is_empty() => self.0 = None,
                Node::Inner(inner) if inner.children.len() == 1 => self.0 = Some(inner.children[0].node.clone()),
                _ => return,
            }
        }
    }
}

impl<V> Clone for List<V> {
    fn clone(&self) -> Self {
        List(self.0.clone())
    }
}

impl<V> Default for List<V> {
    fn default() -> Self {
        List::new()
    }
}

impl<V: fmt::Debug> fmt::Debug for List<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<V> FromIterator<(ElementKey, V)> for List<V> {
    fn from_iter<I: IntoIterator<Item = (ElementKey, V)>>(elements: I) -> Self {
        List::from_sorted(elements)
    }
}

impl<'a, V> IntoIterator for &'a List<V> {
    type Item = (&'a ElementKey, &'a V);
    type IntoIter = Iter<'a, V>;

    fn into_iter(self) -> Iter<'a, V> {
        self.iter()
    }
}
