//! What was compared and encoded already, for the other documents that hold the same values.

use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustc_hash::FxHashMap;

use super::delta::Delta;
use crate::data::Value;

/// Differences and encodings of values that several documents share, each made once.
///
/// The friend of 10,000 users is compared with its predecessor once and encoded once; each of the 10,000 patches adds
/// paths. Values are told apart by their place in memory, so the memo keeps them alive: otherwise another value could
/// come to stand there. For any number of threads; one that needs what another is making waits for it.
///
/// Bounded: entries that nobody asked for during a while are dropped (two generations: a hit moves an entry to the young one,
/// and when that is full, or [of age](DiffMemo::age), it takes the place of the old one).
#[derive(Debug)]
pub struct DiffMemo {
    deltas: Cache<(Place, Place), Delta>,
    texts: Cache<Place, Arc<str>>,
}

/// Where a value is in memory. The second part tells values at one address apart: an object's shape, or the kind.
pub(super) type Place = (usize, usize);

impl Default for DiffMemo {
    /// At most twice 8,192 entries of either kind, and about twice 8 MiB of text of either kind.
    fn default() -> Self {
        Self::bounded(8192, 8 << 20)
    }
}

impl DiffMemo {
    /// As the default.
    pub fn new() -> Self {
        Self::default()
    }

    /// A memo whose generations hold at most this many entries, and begin anew beyond this many bytes of text.
    pub fn bounded(entries: usize, bytes: usize) -> Self {
        DiffMemo { deltas: Cache::bounded(entries, bytes), texts: Cache::bounded(entries, bytes) }
    }

    /// Forgets what nobody has asked for since the call before this one, and lets go of its values. Called now and then, it
    /// leaves nothing behind that a busy time brought.
    pub fn age(&self) {
        self.deltas.age();
        self.texts.age();
    }

    /// The difference of two values of one kind that have parts; `make` is called if it is not known.
    pub(super) fn delta(&self, old: &Value, new: &Value, make: impl FnOnce() -> Delta) -> Delta {
        let (Some(from), Some(to)) = (place(old), place(new)) else { return make() };
        let size = |delta: &Delta| match delta {
            Delta::Same => 0,
            Delta::Whole(text) => text.len(),
            Delta::Parts(ops) => ops.size(),
        };
        self.deltas.get((from, to), [old, new], make, size)
    }

    /// The value's JSON text.
    pub(super) fn text(&self, value: &Value) -> Arc<str> {
        match place(value) {
            Some(at) => self.texts.get(at, [value, value], || value.to_json().into(), |text| text.len()),
            None => value.to_json().into(),
        }
    }
}

/// Where a value with parts is; `None` for one without.
pub(super) fn place(value: &Value) -> Option<Place> {
    match value {
        Value::Object(object) => Some((object.values().as_ptr().addr(), Arc::as_ptr(object.shape()).addr())),
        Value::List(list) => Some((list.address(), 1)),
        Value::Array(values) => Some((values.as_ptr().addr(), 0)),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Number(_) | Value::Text(_) => None,
    }
}

#[derive(Debug)]
struct Cache<K, T> {
    generations: Mutex<Generations<K, T>>,
    most_entries: usize,
    most_bytes: usize,
}

#[derive(Debug)]
struct Generations<K, T> {
    young: FxHashMap<K, Arc<Entry<T>>>,
    old: FxHashMap<K, Arc<Entry<T>>>,
    young_bytes: usize,
}

#[derive(Debug)]
struct Entry<T> {
    /// What was asked for, and the bytes it holds, about.
    made: OnceLock<(T, usize)>,
    /// Keeps the addresses in the key taken.
    _alive: [Value; 2],
}

impl<K, T> Default for Generations<K, T> {
    fn default() -> Self {
        Generations { young: FxHashMap::default(), old: FxHashMap::default(), young_bytes: 0 }
    }
}

impl<K: Copy + Eq + Hash, T: Clone> Cache<K, T> {
    fn bounded(most_entries: usize, most_bytes: usize) -> Self {
        Cache { generations: Mutex::default(), most_entries: most_entries.max(1), most_bytes }
    }

    fn age(&self) {
        let dropped = self.lock().turn();
        drop(dropped);
    }

    fn get(&self, key: K, alive: [&Value; 2], make: impl FnOnce() -> T, size: impl FnOnce(&T) -> usize) -> T {
        let entry = self.entry(key, alive);
        let mut made_here = 0;
        // Not under the lock. `make` asks for parts of these values in turn, never for the values themselves: they are
        // trees, so nobody waits in a circle.
        let (made, _) = entry.made.get_or_init(|| {
            let made = make();
            made_here = size(&made);
            (made, made_here)
        });
        if made_here > 0 {
            let dropped = self.lock().weigh(made_here, self.most_bytes);
            drop(dropped);
        }
        made.clone()
    }

    fn entry(&self, key: K, alive: [&Value; 2]) -> Arc<Entry<T>> {
        let mut generations = self.lock();
        if let Some(entry) = generations.young.get(&key) {
            return entry.clone();
        }
        let entry = match generations.old.remove(&key) {
            Some(entry) => entry,
            None => Arc::new(Entry { made: OnceLock::new(), _alive: alive.map(Value::clone) }),
        };
        let dropped = (generations.young.len() >= self.most_entries).then(|| generations.turn());
        generations.young_bytes += entry.made.get().map_or(0, |&(_, bytes)| bytes);
        generations.young.insert(key, entry.clone());
        drop(generations);
        // Freeing values takes its time: not under the lock.
        drop(dropped);
        entry
    }

    fn lock(&self) -> MutexGuard<'_, Generations<K, T>> {
        // Nothing panics under the lock that could leave the maps half changed.
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, T> Generations<K, T> {
    /// Counts what a young entry holds, and begins a new generation if that is too much.
    fn weigh(&mut self, bytes: usize, most: usize) -> Option<FxHashMap<K, Arc<Entry<T>>>> {
        self.young_bytes += bytes;
        (self.young_bytes > most).then(|| self.turn())
    }

    /// The young generation becomes the old one, which is given away.
    fn turn(&mut self) -> FxHashMap<K, Arc<Entry<T>>> {
        self.young_bytes = 0;
        std::mem::replace(&mut self.old, std::mem::take(&mut self.young))
    }
}

#[cfg(test)]
impl DiffMemo {
    /// How many differences it holds.
    pub(super) fn delta_count(&self) -> usize {
        let generations = self.deltas.lock();
        generations.young.len() + generations.old.len()
    }
}
