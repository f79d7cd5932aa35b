//! The groups of one arrangement: found by their key, by their parameters, and by the rows that may belong to them.
//!
//! Nearly every key has one group, which costs no more than itself. Where parameters differ, a key has as many as there are
//! documents, and none may be looked at that a row cannot belong to: see [`bounds`](super::bounds).

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use smallvec::{SmallVec, smallvec};

use super::bounds::{Axis, Bounds, axes};
use super::engine::params_key;
use super::evaluate::Params;
use super::tables::{GroupId, same_params};
use crate::data::{Expr, Key, Value};

/// See the module.
pub(super) struct Index {
    axes: Vec<Axis>,
    by_key: FxHashMap<Key, Bucket>,
}

/// The groups of one key.
enum Bucket {
    One(GroupId, Params),
    Many(Box<Many>),
}

struct Many {
    by_params: BTreeMap<Key, GroupId>,
    bounds: Bounds,
}

impl Index {
    /// An index of an arrangement with this condition.
    pub(super) fn new(condition: Option<&Expr>) -> Self {
        Index { axes: condition.map(axes).unwrap_or_default(), by_key: FxHashMap::default() }
    }

    /// The group of this key and these parameters.
    pub(super) fn get(&self, key: &Key, params: &Params) -> Option<GroupId> {
        match self.by_key.get(key)? {
            Bucket::One(group, own) => same_params(own, params).then_some(*group),
            Bucket::Many(many) => many.by_params.get(&params_key(params)).copied(),
        }
    }

    /// Adds a group; none has the same key and parameters.
    pub(super) fn insert(&mut self, key: Key, params: Params, group: GroupId) {
        let Some(bucket) = self.by_key.get_mut(&key) else {
            self.by_key.insert(key, Bucket::One(group, params));
            return;
        };
        if let Bucket::One(first, own) = bucket {
            let mut many = Many { by_params: BTreeMap::new(), bounds: Bounds::new(&self.axes) };
            many.insert(&self.axes, own, *first);
            *bucket = Bucket::Many(Box::new(many));
        }
        if let Bucket::Many(many) = bucket {
            many.insert(&self.axes, &params, group);
        }
    }

    /// Removes a group that was added with this key and these parameters.
    pub(super) fn remove(&mut self, key: &Key, params: &Params, group: GroupId) {
        let is_empty = match self.by_key.get_mut(key) {
            None => return,
            Some(Bucket::One(only, _)) => *only == group,
            Some(Bucket::Many(many)) => {
                many.by_params.remove(&params_key(params));
                many.bounds.remove(&self.axes, params, group);
                many.by_params.is_empty()
            }
        };
        if is_empty {
            self.by_key.remove(key);
        }
    }

    /// All groups.
    pub(super) fn all(&self) -> impl Iterator<Item = GroupId> {
        self.by_key.values().flat_map(Bucket::all)
    }

    /// All groups of a key.
    pub(super) fn at(&self, key: &Key) -> impl Iterator<Item = GroupId> + use<'_> {
        self.by_key.get(key).into_iter().flat_map(Bucket::all)
    }

    /// The groups of a key that a row may belong to, as far as its column values are known: all to which it does belong,
    /// and others.
    pub(super) fn candidates<'v>(
        &self,
        key: &Key,
        value: impl Fn(usize) -> Option<&'v Value>,
    ) -> SmallVec<[GroupId; 2]> {
        match self.by_key.get(key) {
            None => SmallVec::new(),
            Some(Bucket::One(group, _)) => smallvec![*group],
            Some(Bucket::Many(many)) => match many.bounds.around(&self.axes, value) {
                Some(groups) => groups,
                None => many.by_params.values().copied().collect(),
            },
        }
    }
}

impl Bucket {
    fn all(&self) -> impl Iterator<Item = GroupId> + use<'_> {
        let (one, many) = match self {
            Bucket::One(group, _) => (Some(*group), None),
            Bucket::Many(many) => (None, Some(many.by_params.values().copied())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

impl Many {
    fn insert(&mut self, axes: &[Axis], params: &Params, group: GroupId) {
        self.by_params.insert(params_key(params), group);
        self.bounds.insert(axes, params, group);
    }
}

#[cfg(test)]
mod tests;
