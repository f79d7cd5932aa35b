//! Lists against maps, and what their differences cost.

use std::collections::BTreeMap;
use std::time::Instant;

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::*;
use crate::data::KeyBuilder;

fn key(n: u32) -> ElementKey {
    let mut builder = KeyBuilder::new();
    builder.push_raw(&n.to_be_bytes());
    ElementKey::new(builder.finish(), 0)
}

fn ascending(n: u32) -> List<u32> {
    List::from_sorted((0..n).map(|n| (key(n), n)))
}

/// What `edits` should find, the slow way: (old index, new index, key, old value, new value).
type Difference = (usize, usize, u32, Option<u32>, Option<u32>);

fn expected(old: &BTreeMap<u32, u32>, new: &BTreeMap<u32, u32>) -> Vec<Difference> {
    let keys: std::collections::BTreeSet<u32> = old.keys().chain(new.keys()).copied().collect();
    let before = |map: &BTreeMap<u32, u32>, key| map.range(..key).count();
    keys.into_iter()
        .filter(|key| old.get(key) != new.get(key))
        .map(|key| (before(old, key), before(new, key), key, old.get(&key).copied(), new.get(&key).copied()))
        .collect()
}

fn found(old: &List<u32>, new: &List<u32>) -> Vec<Difference> {
    let number = |key: &ElementKey| u32::from_be_bytes(key.identity().try_into().unwrap());
    List::edits(old, new, |a, b| a == b)
        .map(|Placed { edit, old_at, new_at }| match edit {
            Edit::Remove { key, value } => (old_at, new_at, number(key), Some(*value), None),
            Edit::Add { key, value } => (old_at, new_at, number(key), None, Some(*value)),
            Edit::Change { key, old, new } => (old_at, new_at, number(key), Some(*old), Some(*new)),
        })
        .collect()
}

/// Every way of reading the list agrees with the model, and the tree keeps its own rules.
fn agree(list: &List<u32>, model: &BTreeMap<u32, u32>) {
    let pairs: Vec<_> = model.iter().map(|(&k, &v)| (key(k), v)).collect();
    assert_eq!(list.iter().map(|(k, v)| (k.clone(), *v)).collect::<Vec<_>>(), pairs);
    assert_eq!((list.len(), list.iter().len(), list.is_empty()), (pairs.len(), pairs.len(), pairs.is_empty()));
    for (rank, (k, v)) in pairs.iter().enumerate() {
        assert_eq!(list.get(k), Some(v));
        assert_eq!(list.rank(k), Some(rank));
        assert_eq!(list.at(rank), Some((k, v)));
    }
    assert_eq!(list.at(pairs.len()), None);
    assert_eq!(list.first().map(|(_, v)| v), model.values().next());
    assert_eq!(list.last().map(|(_, v)| v), model.values().last());
    if let Some(root) = &list.0 {
        sound(root);
    }
}

fn sound(node: &Node<u32>) {
    match node {
        Node::Leaf(entries) => assert!((1..=MAX).contains(&entries.len())),
        Node::Inner(inner) => {
            assert!((1..=MAX).contains(&inner.children.len()));
            assert_eq!(node.len(), inner.children.iter().map(|child| child.len).sum::<usize>());
            for child in &inner.children {
                assert_eq!((child.len, &child.min), (child.node.len(), child.node.min()));
                assert_eq!(child.node.height() + 1, inner.height);
                sound(&child.node);
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Action {
    Insert(u32, u32),
    Remove(u32),
    Slice(usize, Option<usize>),
}

fn actions(keys: u32) -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        6 => (0..keys, 0..3u32).prop_map(|(k, v)| Action::Insert(k, v)),
        5 => (0..keys).prop_map(Action::Remove),
        1 => (0..20usize, proptest::option::of(100..400usize)).prop_map(|(o, l)| Action::Slice(o, l)),
    ];
    proptest::collection::vec(action, 0..120)
}

fn act(list: &mut List<u32>, model: &mut BTreeMap<u32, u32>, action: &Action) {
    match *action {
        Action::Insert(k, v) => assert_eq!(list.insert(key(k), v), model.insert(k, v)),
        Action::Remove(k) => assert_eq!(list.remove(&key(k)), model.remove(&k)),
        Action::Slice(offset, limit) => {
            *list = list.slice(offset, limit);
            *model = model.iter().skip(offset).take(limit.unwrap_or(usize::MAX)).map(|(&k, &v)| (k, v)).collect();
        }
    }
}

proptest! {
    #[test]
    fn behaves_as_a_sorted_map(start in 0u32..600, actions in actions(700)) {
        let mut model: BTreeMap<u32, u32> = (0..start).map(|n| (n, n)).collect();
        let mut list = ascending(start);
        let (first_list, first_model) = (list.clone(), model.clone());
        for action in &actions {
            act(&mut list, &mut model, action);
        }
        agree(&list, &model);
        agree(&first_list, &first_model);
        prop_assert_eq!(found(&first_list, &list), expected(&first_model, &model));
        prop_assert_eq!(found(&list, &first_list), expected(&model, &first_model));
        prop_assert!(found(&list, &list.clone()).is_empty());
    }

    #[test]
    fn finds_the_differences_of_unrelated_lists(
        old in proptest::collection::btree_map(0..200u32, 0..2u32, 0..150),
        new in proptest::collection::btree_map(0..200u32, 0..2u32, 0..150),
    ) {
        let [a, b] = [&old, &new].map(|map| List::from_sorted(map.iter().map(|(&k, &v)| (key(k), v))));
        prop_assert_eq!(found(&a, &b), expected(&old, &new));
    }

    #[test]
    fn positions_of_absent_keys(keys in proptest::collection::btree_set(0..500u32, 0..200), probe in 0..500u32) {
        let list: List<()> = keys.iter().map(|&k| (key(k), ())).collect();
        let before = keys.range(..probe).count();
        prop_assert_eq!(list.position(&key(probe)), if keys.contains(&probe) { Ok(before) } else { Err(before) });
        prop_assert!(list.iter_from(before).map(|(k, ())| k.clone()).eq(keys.range(probe..).map(|&k| key(k))));
    }

    #[test]
    fn disorder_is_put_in_order(pairs in proptest::collection::vec((0..50u32, 0..1000u32), 0..100)) {
        let list = List::from_sorted(pairs.iter().map(|&(k, v)| (key(k), v)));
        agree(&list, &pairs.into_iter().collect());
    }
}

#[test]
fn one_change_in_100_000_reads_one_path() {
    let old = ascending(100_000);
    for at in [0, 1, 777, 49_999, 50_000, 99_999] {
        let mut removed = old.clone();
        assert_eq!(removed.remove(&key(at)), Some(at));
        let mut changed = old.clone();
        changed.insert(key(at), 1_000_000);
        let mut restored = removed.clone();
        restored.insert(key(at), 1_000_000);
        for (a, b) in [(&old, &removed), (&removed, &old), (&old, &changed), (&removed, &changed), (&old, &restored)] {
            let mut edits = List::edits(a, b, |a, b| a == b);
            assert_eq!(edits.by_ref().count(), 1);
            assert!(edits.opened() <= 16, "{} nodes at {at}", edits.opened());
        }
    }
}

#[test]
fn windows_of_related_lists_are_compared_at_their_ends() {
    let old = ascending(100_000);
    let mut new = old.clone();
    new.insert(key(500_000), 1);
    new.remove(&key(60_000));
    for (offset, limit, changes) in
        [(0, 70_000, 2), (10_000, 70_000, 2), (50_000, 200, 0), (59_990, 20, 2), (70_000, 16, 2)]
    {
        let (a, b) = (old.slice(offset, Some(limit)), new.slice(offset, Some(limit)));
        let mut edits = List::edits(&a, &b, |a, b| a == b);
        assert_eq!(edits.by_ref().count(), changes, "{offset} {limit}");
        assert!(edits.opened() <= 40, "{} nodes for {offset} {limit}", edits.opened());
    }
}

#[test]
fn a_thousand_changes_read_a_thousand_paths_at_most() {
    let mut rng = SmallRng::seed_from_u64(1);
    let old = ascending(100_000);
    let mut new = old.clone();
    let mut touched = std::collections::BTreeSet::new();
    while touched.len() < 1000 {
        let at = rng.random_range(0..100_000);
        if touched.insert(at) {
            new.remove(&key(at));
        }
    }
    let mut edits = List::edits(&old, &new, |a, b| a == b);
    assert_eq!(edits.by_ref().count(), 1000);
    assert!(edits.opened() <= 1000 * 10, "{}", edits.opened());
}

#[test]
fn clones_share_and_equal_lists_need_not_be_same() {
    let list = ascending(1000);
    let mut other = list.clone();
    assert!(list.is_same(&other) && list.slice(0, None).is_same(&list) && list.slice(0, Some(1000)).is_same(&list));
    assert_eq!(other.remove(&key(5000)), None);
    assert!(list.is_same(&other), "removing what is not there copies nothing");
    other.insert(key(5), 5);
    assert!(!list.is_same(&other) && found(&list, &other).is_empty());
    assert!(List::<u32>::new().is_same(&list.slice(1000, None)) && list.slice(3, Some(0)).is_empty());
    assert_eq!(format!("{:?}", List::from_sorted([(key(1), 'x')])).matches("'x'").count(), 1);
}

#[test]
fn an_unshared_list_is_changed_in_place() {
    let mut list = ascending(1000);
    let address = list.address();
    list.insert(key(5), 7);
    list.remove(&key(900));
    assert_eq!(list.address(), address);
}

#[test]
fn lists_that_grow_at_one_end_have_full_nodes() {
    for order in [(0..16_000).collect::<Vec<u32>>(), (0..16_000).rev().collect()] {
        let mut list = List::new();
        for n in order {
            list.insert(key(n), n);
        }
        assert!(leaves(list.0.as_ref().unwrap()) <= 1001);
        agree(&list, &(0..16_000).map(|n| (n, n)).collect());
    }
}

fn leaves<V>(node: &Node<V>) -> usize {
    match node {
        Node::Leaf(_) => 1,
        Node::Inner(inner) => inner.children.iter().map(|child| leaves(&child.node)).sum(),
    }
}

/// Bytes of the nodes, without what keys and values point at.
fn bytes<V>(node: &Node<V>) -> usize {
    let own = 2 * size_of::<usize>() + size_of::<Node<V>>();
    own + match node {
        Node::Leaf(entries) => entries.capacity() * size_of::<(ElementKey, V)>(),
        Node::Inner(inner) => {
            let below: usize = inner.children.iter().map(|child| bytes(&child.node)).sum();
            inner.children.capacity() * size_of::<node::Child<V>>() + below
        }
    }
}

/// `cargo test --lib -- --ignored --nocapture costs_of_a_list` prints what lists cost.
#[test]
#[ignore = "prints measurements"]
fn costs_of_a_list() {
    const N: u32 = 100_000;
    let mut rng = SmallRng::seed_from_u64(1);
    let mut order: Vec<u32> = (0..N).collect();
    order.shuffle(&mut rng);
    let size = |list: &List<[u64; 4]>| bytes(list.0.as_ref().unwrap()) as f64 / list.len() as f64;
    let report = |what: &str, start: Instant, count: u32| {
        eprintln!("{what}: {:.0} ns", start.elapsed().as_nanos() as f64 / f64::from(count));
    };
    let sorted = List::from_sorted((0..N).map(|n| (key(n), [0; 4])));
    eprintln!("entry: {} bytes; per element, bulk: {:.1}", size_of::<(ElementKey, [u64; 4])>(), size(&sorted));
    let mut random = List::new();
    let start = Instant::now();
    for &n in &order {
        random.insert(key(n), [0; 4]);
    }
    report("insert in place", start, N);
    eprintln!("per element, random insertions: {:.1}", size(&random));
    let start = Instant::now();
    for &n in &order {
        assert!(sorted.rank(&key(n)).is_some());
    }
    report("rank", start, N);
    let mut versions = Vec::new();
    let start = Instant::now();
    for &n in order.iter().take(1000) {
        let mut next = random.clone();
        next.insert(key(n), [1; 4]);
        versions.push(next);
    }
    report("change a shared list", start, 1000);
    let start = Instant::now();
    for version in &versions {
        assert_eq!(List::edits(&random, version, |a, b| a == b).count(), 1);
    }
    report("find that change", start, 1000);
    let start = Instant::now();
    assert_eq!(sorted.iter().count(), N as usize);
    report("iterate", start, N);
}
