//! A map for cells, of which there are many and most have one entry or a few: then it is a list without room to spare.
//!
//! The order of its entries is nobody's business, but the same events give the same order.

use std::fmt;
use std::hash::Hash;
use std::ops::Index;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// Entries up to which looking at each is as fast as hashing.
const FEW: usize = 8;

/// A map; up to `INLINE` entries are kept within it.
#[derive(Clone)]
pub(super) enum SmallMap<K, V, const INLINE: usize> {
    Few(SmallVec<[(K, V); INLINE]>),
    Many(Box<FxHashMap<K, V>>),
}

impl<K, V, const INLINE: usize> Default for SmallMap<K, V, INLINE> {
    fn default() -> Self {
        SmallMap::Few(SmallVec::new())
    }
}

impl<K: Eq + Hash, V, const INLINE: usize> SmallMap<K, V, INLINE> {
    pub fn len(&self) -> usize {
        match self {
            SmallMap::Few(entries) => entries.len(),
            SmallMap::Many(map) => map.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        match self {
            SmallMap::Few(entries) => entries.iter().find(|(have, _)| have == key).map(|(_, value)| value),
            SmallMap::Many(map) => map.get(key),
        }
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        match self {
            SmallMap::Few(entries) => entries.iter_mut().find(|(have, _)| have == key).map(|(_, value)| value),
            SmallMap::Many(map) => map.get_mut(key),
        }
    }

    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Sets a key's value; the value it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.get_mut(&key) {
            Some(old) => Some(std::mem::replace(old, value)),
            None => {
                self.add(key, value);
                None
            }
        }
    }

    /// The value of a key, which it gets now if it has none.
    pub fn or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        if !self.contains_key(&key) {
            return self.add(key, V::default());
        }
        self.get_mut(&key).expect("it is there")
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        match self {
            SmallMap::Few(entries) => {
                let at = entries.iter().position(|(have, _)| have == key)?;
                Some(entries.swap_remove(at).1)
            }
            SmallMap::Many(map) => map.remove(key),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let (few, many) = match self {
            SmallMap::Few(entries) => (Some(entries), None),
            SmallMap::Many(map) => (None, Some(map)),
        };
        let few = few.into_iter().flatten().map(|(key, value)| (key, value));
        few.chain(many.into_iter().flat_map(|map| map.iter()))
    }

    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    pub fn into_entries(self) -> impl Iterator<Item = (K, V)> {
        let (few, many) = match self {
            SmallMap::Few(entries) => (Some(entries), None),
            SmallMap::Many(map) => (None, Some(*map)),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten())
    }

    /// Adds a key that is not there.
    fn add(&mut self, key: K, value: V) -> &mut V {
        if let SmallMap::Few(entries) = self
            && entries.len() == FEW
        {
            *self = SmallMap::Many(Box::new(entries.drain(..).collect()));
        }
        match self {
            SmallMap::Few(entries) => {
                entries.reserve_exact(1);
                entries.push((key, value));
                &mut entries.last_mut().expect("just put there").1
            }
            SmallMap::Many(map) => map.entry(key).or_insert(value),
        }
    }
}

impl<K: Eq + Hash, V, const INLINE: usize> Index<&K> for SmallMap<K, V, INLINE> {
    type Output = V;

    fn index(&self, key: &K) -> &V {
        self.get(key).expect("the key is there")
    }
}

impl<K: Eq + Hash + fmt::Debug, V: fmt::Debug, const INLINE: usize> fmt::Debug for SmallMap<K, V, INLINE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn does_what_a_map_does(changes in prop::collection::vec((0..24_u8, prop::option::of(any::<u8>())), 0..80)) {
            let (mut small, mut map) = (SmallMap::<u8, u8, 1>::default(), FxHashMap::default());
            for (key, value) in changes {
                match value {
                    Some(0) => prop_assert_eq!(*small.or_default(key), *map.entry(key).or_default()),
                    Some(value) => prop_assert_eq!(small.insert(key, value), map.insert(key, value)),
                    None => prop_assert_eq!(small.remove(&key), map.remove(&key)),
                }
                prop_assert_eq!((small.len(), small.is_empty()), (map.len(), map.is_empty()));
                prop_assert_eq!(small.get(&key), map.get(&key));
                let mut entries: Vec<_> = small.iter().map(|(key, value)| (*key, *value)).collect();
                let mut expected: Vec<_> = map.iter().map(|(key, value)| (*key, *value)).collect();
                entries.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(entries, expected);
            }
        }
    }
}
