//! Persistent sorted sequences with ranks: what the lists of documents are made of.

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
#[derive(Clone, Debug)]
pub struct List<V>(std::marker::PhantomData<V>);

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
    /// Keys and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&ElementKey, &V)> {
        std::iter::empty()
    }

    /// Whether both are the same in memory.
    pub fn is_same(&self, _other: &Self) -> bool {
        false
    }
}
