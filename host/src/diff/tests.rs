//! Patches: by hand, and applied by another implementation.

use std::sync::Arc;

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::data::{ElementKey, KeyBuilder, List, Object, Shape};

/// The document a JSON text stands for. An array of objects with an `id` becomes a list in the order of (`at`, `id`),
/// identified by `id` (with an `n`: by both).
fn doc(text: &str) -> Value {
    listed(&Value::parse_json(text).unwrap())
}

fn listed(value: &Value) -> Value {
    match value {
        Value::Array(values) if values.iter().all(|value| int(value, "id").is_some()) => {
            Value::List(values.iter().map(|value| (element_key(value), listed(value))).collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(listed).collect()),
        Value::Object(object) => {
            let values: Vec<Value> = object.values().iter().map(listed).collect();
            Value::Object(Object::new(object.shape().clone(), values))
        }
        scalar => scalar.clone(),
    }
}

fn int(value: &Value, name: &str) -> Option<i64> {
    match value {
        Value::Object(object) => match object.get(name)? {
            Value::Int(number) => Some(*number),
            _ => None,
        },
        _ => None,
    }
}

fn element_key(element: &Value) -> ElementKey {
    let mut key = KeyBuilder::new();
    let part = |name| int(element, name).unwrap_or(0).to_be_bytes();
    key.push_raw(&part("at"));
    let identity_at = key.len();
    key.push_raw(&part("id"));
    key.push_raw(&part("n"));
    ElementKey::new(key.finish(), identity_at)
}

fn serde(value: &Value) -> serde_json::Value {
    serde_json::from_str(&value.to_json()).unwrap()
}

fn value(json: &serde_json::Value) -> Value {
    Value::parse_json(&json.to_string()).unwrap()
}

/// Applies the patch as a client would; the operations must be those allowed.
fn applied(old: &Value, patch: &str) -> Value {
    let mut document = serde(old);
    let operations: serde_json::Value = serde_json::from_str(patch).expect(patch);
    for operation in operations.as_array().unwrap() {
        assert!(matches!(operation["op"].as_str(), Some("add" | "remove" | "replace" | "move")), "{patch}");
        assert!(!operation["path"].as_str().unwrap().ends_with("/-"), "{patch}");
    }
    let operations: json_patch::Patch = serde_json::from_str(patch).unwrap();
    json_patch::patch(&mut document, &operations)
        .unwrap_or_else(|error| panic!("{error}: {patch} on {}", old.to_json()));
    value(&document)
}

/// Both kinds of patch turn `old` into `new`; gives the JSON Patch.
fn checked(old: &Value, new: &Value, memo: &DiffMemo) -> String {
    let text = patch(old, new, memo);
    assert_eq!(applied(old, &text), *new, "{text}\n of {}\n to {}", old.to_json(), new.to_json());
    assert_eq!(is_empty(&text), old == new, "{text}");
    let weight = Scales::default().weigh(old, new).expect("small");
    let len = |value: &Value| value.json_len(usize::MAX).expect("no text is longer");
    assert_eq!((len(old), len(new)), (old.to_json().len(), new.to_json().len()));
    assert_eq!(len(old) as i64 + weight.grown, len(new) as i64, "{text}");
    let mut merged = serde(&without_nulls(old));
    match merge_patch(old, new) {
        Some(text) => json_patch::merge(&mut merged, &serde_json::from_str(&text).expect(&text)),
        None => assert_eq!(without_nulls(old), without_nulls(new)),
    }
    assert_eq!(value(&merged), without_nulls(new));
    text
}

#[track_caller]
fn check(old: &str, new: &str, expected: &str) {
    let text = checked(&doc(old), &doc(new), &DiffMemo::new());
    let (text, expected): (serde_json::Value, serde_json::Value) =
        (serde_json::from_str(&text).unwrap(), serde_json::from_str(expected).unwrap());
    assert_eq!(text, expected, "{text}");
}

#[test]
fn equal_documents_need_nothing() {
    check("null", "null", "[]");
    check(r#"{"a":1,"b":[1,{"c":2}]}"#, r#"{"b":[1,{"c":2}],"a":1.0}"#, "[]");
    check(r#"[{"id":1,"l":[]}]"#, r#"[{"id":1,"l":[]}]"#, "[]");
    let long = format!(r#"{{"t":"{}"}}"#, "x".repeat(500));
    check(&long, &long, "[]");
}

#[test]
fn members() {
    check(r#"{"a":1,"b":2}"#, r#"{"a":1,"b":3}"#, r#"[{"op":"replace","path":"/b","value":3}]"#);
    check(r#"{"a":1,"b":2}"#, r#"{"a":1}"#, r#"[{"op":"remove","path":"/b"}]"#);
    check(r#"{"a":1}"#, r#"{"a":1,"b":null}"#, r#"[{"op":"add","path":"/b","value":null}]"#);
    check(
        r#"{"a":{"x":1,"y":2},"b":0}"#,
        r#"{"a":{"x":1,"y":3},"b":0}"#,
        r#"[{"op":"replace","path":"/a/y","value":3}]"#,
    );
    check(r#"{"a/b":{"m~n\"":1}}"#, r#"{"a/b":{"m~n\"":2}}"#, r#"[{"op":"replace","path":"/a~1b/m~0n\"","value":2}]"#);
    check(r#"{"":1,"x":2}"#, r#"{"":3,"x":2}"#, r#"[{"op":"replace","path":"/","value":3}]"#);
}

#[test]
fn other_kinds_are_replaced() {
    check("null", r#"{"a":1}"#, r#"[{"op":"replace","path":"","value":{"a":1}}]"#);
    check(r#"{"id":1,"a":{"b":1}}"#, r#"{"id":1,"a":null}"#, r#"[{"op":"replace","path":"/a","value":null}]"#);
    check(r#"{"id":1,"a":null}"#, r#"{"id":1,"a":[]}"#, r#"[{"op":"replace","path":"/a","value":[]}]"#);
    check(r#"{"id":1,"a":"1"}"#, r#"{"id":1,"a":1}"#, r#"[{"op":"replace","path":"/a","value":1}]"#);
    check(r#"{"id":1,"a":[1]}"#, r#"{"id":1,"a":{"0":1}}"#, r#"[{"op":"replace","path":"/a","value":{"0":1}}]"#);
}

#[test]
fn what_changed_everywhere_is_replaced() {
    check(r#"{"a":1,"b":2}"#, r#"{"c":1,"d":2}"#, r#"[{"op":"replace","path":"","value":{"c":1,"d":2}}]"#);
    check(r#"{"k":0,"l":[{"id":1},{"id":2}]}"#, r#"{"k":0,"l":[]}"#, r#"[{"op":"replace","path":"/l","value":[]}]"#);
    check(
        r#"[{"id":1},{"id":2},{"id":3}]"#,
        r#"[{"id":4},{"id":5}]"#,
        r#"[{"op":"replace","path":"","value":[{"id":4},{"id":5}]}]"#,
    );
}

#[test]
fn plain_arrays() {
    let (head, tail) = ("1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26", "31,32,33");
    let around = |middle: &str| format!("[{head},{middle}{tail}]");
    check(&around(""), &around("\"x\","), r#"[{"op":"add","path":"/26","value":"x"}]"#);
    check(&around("\"x\","), &around(""), r#"[{"op":"remove","path":"/26"}]"#);
    check(
        &around("{\"a\":1,\"b\":2},"),
        &around("{\"a\":1,\"b\":3},"),
        r#"[{"op":"replace","path":"/26/b","value":3}]"#,
    );
    check("[1,2,3]", "[4,5,6]", r#"[{"op":"replace","path":"","value":[4,5,6]}]"#);
    check("[1,1,1]", "[1,1]", r#"[{"op":"remove","path":"/2"}]"#);
}

#[test]
fn elements_of_lists() {
    let list =
        |elements: &str| format!(r#"[{{"id":1,"s":"aaaaaaaaaaaaaaaaaaaa"}},{elements}{{"id":9,"s":"zzzzzzzzzzzz"}}]"#);
    check(&list(""), &list(r#"{"id":5},"#), r#"[{"op":"add","path":"/1","value":{"id":5}}]"#);
    check(&list(r#"{"id":5},"#), &list(""), r#"[{"op":"remove","path":"/1"}]"#);
    check(
        &list(r#"{"id":5,"a":1},{"id":6},"#),
        &list(r#"{"id":3},{"id":5,"a":2},"#),
        r#"[{"op":"remove","path":"/2"},{"op":"add","path":"/1","value":{"id":3}},{"op":"replace","path":"/2/a","value":2}]"#,
    );
}

#[test]
fn an_element_with_another_key_moves() {
    check(
        r#"[{"at":1,"id":1,"s":"a long text"},{"at":2,"id":2},{"at":3,"id":3}]"#,
        r#"[{"at":2,"id":2},{"at":3,"id":3},{"at":9,"id":1,"s":"a long text"}]"#,
        r#"[{"op":"move","from":"/0","path":"/2"},{"op":"replace","path":"/2/at","value":9}]"#,
    );
    // A new key without a new place: only its member changes.
    check(
        r#"[{"at":1,"id":1},{"at":5,"id":2,"s":"text"},{"at":9,"id":3}]"#,
        r#"[{"at":1,"id":1},{"at":6,"id":2,"s":"text"},{"at":9,"id":3}]"#,
        r#"[{"op":"replace","path":"/1/at","value":6}]"#,
    );
    // All keys are new, and one element passes the others: one move.
    let (s, t) = ("x".repeat(80), "y".repeat(80));
    check(
        &format!(r#"[{{"at":1,"id":1,"s":"{s}"}},{{"at":2,"id":2,"s":"{t}"}},{{"at":3,"id":3,"s":"{s}"}}]"#),
        &format!(r#"[{{"at":12,"id":2,"s":"{t}"}},{{"at":13,"id":3,"s":"{s}"}},{{"at":14,"id":1,"s":"{s}"}}]"#),
        r#"[{"op":"move","from":"/0","path":"/2"},{"op":"replace","path":"/0/at","value":12},
            {"op":"replace","path":"/1/at","value":13},{"op":"replace","path":"/2/at","value":14}]"#,
    );
}

#[test]
fn occurrences_of_one_row_are_elements_of_their_own() {
    let s = "a text that is worth keeping";
    check(
        &format!(r#"[{{"id":1,"n":0,"s":"{s}"}},{{"id":1,"n":1,"s":"{s}"}},{{"id":2,"s":"{s}"}}]"#),
        &format!(r#"[{{"id":1,"n":0,"s":"{s}"}},{{"id":2,"s":"{s}"}}]"#),
        r#"[{"op":"remove","path":"/1"}]"#,
    );
}

/// `{"id", "friends": [...]}` with these elements, each an object in memory that others may hold too.
fn with_friends(shape: &Arc<Shape>, id: i64, friends: &[&Value]) -> Value {
    let friends = friends.iter().map(|&friend| (element_key(friend), friend.clone())).collect();
    Value::Object(Object::new(shape.clone(), [Value::Int(id), Value::List(friends)]))
}

#[test]
fn an_element_in_many_places_is_compared_once_and_patched_everywhere() {
    let shape = Shape::new(["id".into(), "friends".into()]);
    let places = |name: &str| format!(r#"{{"id":7,"name":"{name}","places":[{{"id":1}},{{"id":2}}]}}"#);
    let (before, after, other) = (doc(&places("ann")), doc(&places("bob")), doc(r#"{"id":3}"#));
    let memo = DiffMemo::new();
    for id in 0..100 {
        let (old, new) = (with_friends(&shape, id, &[&other, &before]), with_friends(&shape, id, &[&other, &after]));
        assert_eq!(checked(&old, &new, &memo), r#"[{"op":"replace","path":"/friends/1/name","value":"bob"}]"#);
    }
    // The element and the three parts of it that are not the same in memory once; the hundred lists once each.
    assert_eq!(memo.delta_count(), 104);

    let nested = |friend: &Value| {
        let inner: Vec<Value> = (1..4).map(|id| with_friends(&shape, id, &[&other, friend])).collect();
        with_friends(&shape, 0, &inner.iter().collect::<Vec<_>>())
    };
    let text = checked(&nested(&before), &nested(&after), &memo);
    assert_eq!(text.matches("/friends/1/name").count(), 3);
    for at in 0..3 {
        assert!(text.contains(&format!("\"/friends/{at}/friends/1/name\"")), "{text}");
    }
}

#[test]
fn one_edit_in_a_long_list_costs_a_path() {
    let element =
        |id: i64, s: &str| Value::object([("id".into(), Value::Int(id)), ("s".into(), Value::Text(s.into()))]);
    let list: List<Value> = (0..50_000).map(|id| element(id, "a")).map(|value| (element_key(&value), value)).collect();
    let mut next = list.clone();
    next.insert(element_key(&element(40_000, "")), element(40_000, "b"));
    next.remove(&element_key(&element(10, "")));
    let memo = DiffMemo::new();
    assert_eq!(
        patch(&Value::List(list), &Value::List(next), &memo),
        r#"[{"op":"remove","path":"/10"},{"op":"replace","path":"/39999/s","value":"b"}]"#
    );
    assert_eq!(memo.delta_count(), 1);
}

#[test]
fn the_memo_is_bounded_and_forgets() {
    let memo = DiffMemo::bounded(10, 1 << 20);
    let pairs: Vec<_> =
        (0..1000).map(|n| (doc(&format!(r#"[{{"a":{n},"b":1}}]"#)), doc(&format!(r#"[{{"a":{n},"b":2}}]"#)))).collect();
    for (old, new) in &pairs {
        assert_eq!(checked(old, new, &memo), r#"[{"op":"replace","path":"/0/b","value":2}]"#);
        assert!(memo.delta_count() <= 20);
    }
    // What was asked for lately outlives one turn, and nothing two.
    let (old, new) = &pairs[0];
    checked(old, new, &memo);
    memo.age();
    assert!(memo.delta_count() > 0);
    memo.age();
    assert_eq!(memo.delta_count(), 0);
    let small = DiffMemo::bounded(1000, 100);
    pairs.iter().for_each(|(old, new)| drop(checked(old, new, &small)));
    assert!(small.delta_count() < 20);
}

#[test]
fn threads_share_a_memo() {
    let memo = DiffMemo::new();
    let shape = Shape::new(["id".into(), "friends".into()]);
    let (before, after) = (doc(r#"{"id":7,"a":[1,2,{"b":1,"c":1}]}"#), doc(r#"{"id":7,"a":[1,2,{"b":2,"c":1}]}"#));
    let (old, new) = (with_friends(&shape, 1, &[&before]), with_friends(&shape, 1, &[&after]));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let expected = r#"[{"op":"replace","path":"/friends/0/a/2/b","value":2}]"#;
                    assert_eq!(patch(&old, &new, &memo), expected);
                }
            });
        }
    });
    assert_eq!(memo.delta_count(), 4);
}

#[test]
fn merge_patches() {
    let merge = |old: &str, new: &str| {
        checked(&doc(old), &doc(new), &DiffMemo::new());
        merge_patch(&doc(old), &doc(new))
    };
    for (old, new, expected) in [
        (r#"{"a":1,"b":{"c":1,"d":2}}"#, r#"{"a":1,"b":{"c":1,"d":3}}"#, Some(r#"{"b":{"d":3}}"#)),
        (r#"{"a":1,"b":2}"#, r#"{"a":1,"b":null}"#, Some(r#"{"b":null}"#)),
        (r#"{"a":1,"b":null}"#, r#"{"a":1}"#, None),
        (r#"{"a":1}"#, r#"{"b":1}"#, Some(r#"{"a":null,"b":1}"#)),
        (r#"{"a":null}"#, r#"{"a":{"b":null,"c":1}}"#, Some(r#"{"a":{"c":1}}"#)),
        (r#"{"l":[{"id":1},{"id":2}]}"#, r#"{"l":[{"id":2,"x":null}]}"#, Some(r#"{"l":[{"id":2}]}"#)),
        (r#"{"l":[{"id":1}]}"#, r#"{"l":[{"id":1,"x":null}]}"#, None),
        (r#"{"a":[1,null]}"#, r#"{"a":[null,{"b":null}]}"#, Some(r#"{"a":[null,{}]}"#)),
        (r#"{"a":{"b":1}}"#, r#"{"a":{}}"#, Some(r#"{"a":{"b":null}}"#)),
        (r#"{"a":1}"#, r#"{"a":{}}"#, Some(r#"{"a":{}}"#)),
        ("[1]", "[1]", None),
        ("[1]", "null", Some("null")),
    ] {
        assert_eq!(merge(old, new).as_deref(), expected, "{old} {new}");
    }
}

#[test]
fn without_nulls_shares_what_has_none() {
    let value = doc(r#"{"a":[{"id":1,"b":[1,null]}],"c":null}"#);
    let clean = without_nulls(&value);
    assert_eq!(clean.to_json(), r#"{"a":[{"id":1,"b":[1,null]}]}"#);
    let (Value::Object(value), Value::Object(clean)) = (&value, &clean) else { panic!() };
    assert!(value.get("a").unwrap().is_same(clean.get("a").unwrap()));
}

/// JSON of few names and values, so that two of them often agree in part.
fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (0..4i64).prop_map(Value::Int),
        "[a\"/~\n]{0,2}".prop_map(|text| Value::Text(text.into())),
        Just(Value::Number("1.50".into())),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        let name = prop_oneof![Just("a"), Just("b"), Just("c/~\""), Just("")];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(|values| Value::Array(values.into())),
            proptest::collection::vec((name.prop_map(Arc::from), inner.clone()), 0..4).prop_map(Value::object),
            proptest::collection::btree_map((0..5i64, 0..6i64), inner, 0..6).prop_map(|elements| {
                let element = |((at, id), value): ((i64, i64), Value)| (plain_key(at, id), value);
                Value::List(elements.into_iter().map(element).collect())
            }),
        ]
    })
}

fn plain_key(at: i64, id: i64) -> ElementKey {
    element_key(&Value::object([("at".into(), Value::Int(at)), ("id".into(), Value::Int(id))]))
}

proptest! {
    #[test]
    fn any_tree_becomes_any_other(old in tree(), new in tree()) {
        checked(&old, &new, &DiffMemo::new());
        checked(&new, &old, &DiffMemo::new());
    }

    /// Lists that descend from one another: elements come, go, change, move, and are held twice.
    #[test]
    fn lists_follow_their_history(seed in any::<u64>(), len in 0..40i64, edits in 0..25usize, window in 0..3usize) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let memo = DiffMemo::bounded(16, 1000);
        let pool: Vec<Value> = (0..4).map(|n| doc(&format!(r#"{{"x":{n},"l":[{{"id":1,"y":[{n},0]}}]}}"#))).collect();
        // Where each identity stands.
        let mut at: Vec<(i64, i64)> = (0..len).map(|id| (rng.random_range(0..30), id)).collect();
        let mut list: List<Value> =
            at.iter().map(|&(at, id)| (plain_key(at, id), pool[rng.random_range(0..4)].clone())).collect();
        let mut root = Value::object([("l".into(), Value::List(list.clone())), ("k".into(), Value::Null)]);
        let mut last = root.clone();
        for step in 0..edits {
            match rng.random_range(0..4) {
                0 => {
                    at.push((rng.random_range(0..30), len + step as i64));
                    let &(at, id) = at.last().unwrap();
                    list.insert(plain_key(at, id), pool[rng.random_range(0..4)].clone());
                }
                1 if !at.is_empty() => {
                    let (at, id) = at.swap_remove(rng.random_range(0..at.len()));
                    prop_assert!(list.remove(&plain_key(at, id)).is_some());
                }
                2 if !at.is_empty() => {
                    let index = rng.random_range(0..at.len());
                    let (from, id) = at[index];
                    let value = list.remove(&plain_key(from, id)).unwrap();
                    at[index].0 = rng.random_range(0..30);
                    list.insert(plain_key(at[index].0, id), value);
                }
                3 if !at.is_empty() => {
                    let (at, id) = at[rng.random_range(0..at.len())];
                    list.insert(plain_key(at, id), pool[rng.random_range(0..4)].clone());
                }
                _ => {}
            }
            if rng.random_bool(0.3) {
                let shown = match window { 0 => list.clone(), 1 => list.slice(3, Some(20)), _ => list.slice(0, Some(40)) };
                let next = Value::object([("l".into(), Value::List(shown)), ("k".into(), Value::Null)]);
                checked(&last, &next, &memo);
                checked(&root, &next, &memo);
                last = next;
                if rng.random_bool(0.2) {
                    root = last.clone();
                }
            }
        }
    }

    /// The positions of moved elements are right whatever the permutation.
    #[test]
    fn every_permutation(keys in proptest::collection::vec((0..40i64, 0..40i64, 0..10u8), 0..30)) {
        let list = |pick: fn(&(i64, i64, u8)) -> Option<i64>| {
            let text = |id| Value::Text(format!("{id}: worth moving rather than writing again{}", " ".repeat(100)).into());
            let element = |(id, key): (usize, &(i64, i64, u8))| Some((plain_key(pick(key)?, id as i64), text(id)));
            Value::List(keys.iter().enumerate().filter_map(element).collect())
        };
        // One in ten is not in the old list, one in ten not in the new one, two in ten have the same key.
        let old = list(|&(old, _, kind)| (kind != 0).then_some(old));
        let new = list(|&(old, new, kind)| (kind != 1).then_some(if kind < 4 { old } else { new }));
        let text = checked(&old, &new, &DiffMemo::new());
        prop_assert!(text.matches(r#""op":"move""#).count() < keys.len().max(1));
    }
}
