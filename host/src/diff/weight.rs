//! How much two states of a document differ, without writing the difference.
//!
//! What a reader could get wrong: bytes of memory are an estimate, bytes of text are exact, for whoever adds them up over
//! thousands of steps must come to the length of the last state.

use rustc_hash::FxHashMap;

use super::memo::{Place, place};
use crate::data::{Edit, List, Object, Value};

/// How far one state of a document is from the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Bytes of memory that only the old one takes, about: what it costs to keep it beside the new one.
    pub kept: usize,
    /// Bytes by which the JSON text of the new one is longer.
    pub grown: i64,
}

/// Weighs differences; those that several documents share once.
///
/// For one step: it keeps alive what it has weighed.
#[derive(Default)]
pub struct Scales {
    known: FxHashMap<(Place, Place), Known>,
    /// How many parts may still be looked at.
    left: usize,
}

struct Known {
    weight: Option<Weight>,
    /// Keeps the addresses in the key taken.
    _alive: [Value; 2],
}

/// How many parts of two documents are looked at. What differs in more is not worth a patch.
const MOST_PARTS: usize = 20_000;

/// The two counters in front of what is shared.
const SHARED: usize = 16;

/// A node of a list, about: it is less than full, and each entry has a key that the list's other states have, too.
const NODE: usize = 512;

impl Weight {
    fn add(&mut self, other: Weight) {
        self.kept += other.kept;
        self.grown += other.grown;
    }
}

impl Scales {
    /// Weighs the difference of two states of one document. `None`: they differ in too much to be looked at.
    ///
    /// Costs what differs, however large they are.
    pub fn weigh(&mut self, old: &Value, new: &Value) -> Option<Weight> {
        self.left = MOST_PARTS;
        // No other document has these roots.
        if old.is_same(new) { Some(Weight::default()) } else { self.parts(old, new) }
    }

    fn between(&mut self, old: &Value, new: &Value) -> Option<Weight> {
        if old.is_same(new) {
            return Some(Weight::default());
        }
        self.once([old, new], |scales| scales.parts(old, new))
    }

    /// What a value takes that is in one of the states only: memory and text.
    fn alone(&mut self, value: &Value) -> Option<Weight> {
        self.once([value, value], |scales| scales.all(value))
    }

    fn once(&mut self, of: [&Value; 2], weigh: impl FnOnce(&mut Self) -> Option<Weight>) -> Option<Weight> {
        self.left = self.left.checked_sub(1)?;
        let (Some(old), Some(new)) = (place(of[0]), place(of[1])) else { return weigh(self) };
        if let Some(known) = self.known.get(&(old, new)) {
            return known.weight;
        }
        let weight = weigh(self);
        self.known.insert((old, new), Known { weight, _alive: of.map(Value::clone) });
        weight
    }

    fn parts(&mut self, old: &Value, new: &Value) -> Option<Weight> {
        match (old, new) {
            (Value::Object(old), Value::Object(new)) if old.shape() == new.shape() => {
                let mut weight = Weight { kept: values(old), grown: 0 };
                for (old, new) in old.values().iter().zip(new.values()) {
                    weight.add(self.between(old, new)?);
                }
                Some(weight)
            }
            (Value::List(old), Value::List(new)) => self.lists(old, new),
            _ => {
                let (old, new) = (self.alone(old)?, self.alone(new)?);
                Some(Weight { kept: old.kept, grown: new.grown - old.grown })
            }
        }
    }

    fn lists(&mut self, old: &List<Value>, new: &List<Value>) -> Option<Weight> {
        let mut weight = Weight { kept: 0, grown: commas(new.len()) - commas(old.len()) };
        let mut edits = List::edits(old, new, Value::is_same);
        for placed in edits.by_ref() {
            match placed.edit {
                Edit::Remove { key, value } => {
                    let gone = self.alone(value)?;
                    weight.add(Weight { kept: gone.kept + key.key().as_bytes().len(), grown: -gone.grown });
                }
                Edit::Add { value, .. } => weight.grown += self.alone(value)?.grown,
                Edit::Change { old, new, .. } => weight.add(self.between(old, new)?),
            }
        }
        weight.kept += edits.opened() / 2 * NODE;
        Some(weight)
    }

    /// A value with all its parts.
    fn all(&mut self, value: &Value) -> Option<Weight> {
        let mut weight = match value {
            Value::Null | Value::Bool(_) | Value::Int(_) => Weight::default(),
            Value::Number(text) | Value::Text(text) => Weight { kept: SHARED + text.len(), grown: 0 },
            Value::Array(elements) => {
                Weight { kept: SHARED + size_of_val(&**elements), grown: 2 + commas(elements.len()) }
            }
            Value::List(list) => Weight { kept: list.len() * 4 * size_of::<Value>(), grown: 2 + commas(list.len()) },
            Value::Object(object) => {
                let names = object.shape().names().iter();
                let names: usize =
                    names.map(|name| 1 + Value::Text(name.clone()).json_len(usize::MAX).unwrap_or(0)).sum();
                Weight { kept: values(object), grown: 2 + names as i64 + commas(object.values().len()) }
            }
        };
        match value {
            Value::Object(object) => {
                for value in object.values() {
                    weight.add(self.within(value)?);
                }
            }
            Value::Array(_) | Value::List(_) => {
                for value in value.elements().into_iter().flatten() {
                    weight.add(self.within(value)?);
                }
            }
            scalar => weight.grown += scalar.json_len(usize::MAX).unwrap_or(0) as i64,
        }
        Some(weight)
    }

    fn within(&mut self, value: &Value) -> Option<Weight> {
        self.left = self.left.checked_sub(1)?;
        self.all(value)
    }
}

/// The memory of an object beside what its members share.
fn values(object: &Object) -> usize {
    SHARED + size_of_val(object.values())
}

fn commas(count: usize) -> i64 {
    count.saturating_sub(1) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ElementKey, KeyBuilder};

    fn key(at: u64) -> ElementKey {
        let mut key = KeyBuilder::new();
        key.push_raw(&at.to_be_bytes());
        ElementKey::new(key.finish(), 0)
    }

    fn list(elements: impl IntoIterator<Item = (u64, Value)>) -> List<Value> {
        elements.into_iter().map(|(at, value)| (key(at), value)).collect()
    }

    fn text(bytes: usize) -> Value {
        Value::Text("x".repeat(bytes).into())
    }

    fn weigh(old: &List<Value>, new: &List<Value>) -> Option<Weight> {
        Scales::default().weigh(&Value::List(old.clone()), &Value::List(new.clone()))
    }

    #[test]
    fn what_is_shared_weighs_nothing() {
        let old = list((0..100_000).map(|at| (at, text(100))));
        let mut new = old.clone();
        new.insert(key(500), text(101));
        let weight = weigh(&old, &new).expect("one element");
        assert_eq!(weight.grown, 1);
        assert!((100..10_000).contains(&weight.kept), "of 10 MB: {}", weight.kept);
        assert_eq!(weigh(&old, &old.clone()), Some(Weight::default()));
    }

    #[test]
    fn what_only_the_old_state_has_is_kept() {
        let old = list((0..10).map(|at| (at, text(10_000))));
        let mut new = old.clone();
        new.remove(&key(3));
        let gone = weigh(&old, &new).expect("one element");
        assert!((10_000..12_000).contains(&gone.kept), "{}", gone.kept);
        assert_eq!(gone.grown, -10_003);
        let back = weigh(&new, &old).expect("one element");
        assert!(back.kept < 2_000, "an addition leaves nothing behind but a node: {}", back.kept);
        assert_eq!(back.grown, 10_003);
    }

    #[test]
    fn what_differs_in_everything_is_not_looked_at() {
        let many = |value: i64| list((0..2 * MOST_PARTS as u64).map(|at| (at, Value::Int(value))));
        assert_eq!(weigh(&many(1), &many(2)), None);
    }

    #[test]
    fn what_documents_share_is_weighed_once() {
        let friend = |n: i64| Value::List(list((0..5_000).map(|at| (at, Value::Int(n)))));
        let (before, after) = (friend(1), friend(20));
        let mut scales = Scales::default();
        for _ in 0..10_000 {
            let of = |friend: &Value| Value::object([("friend".into(), friend.clone()), ("id".into(), Value::Int(1))]);
            assert_eq!(scales.weigh(&of(&before), &of(&after)).expect("known").grown, 5_000);
        }
        assert_eq!(scales.known.len(), 1);
        assert!(scales.left >= MOST_PARTS - 2, "the last ones were not looked into");
    }
}
