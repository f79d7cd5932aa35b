//! The difference between two lists, whose elements have keys.
//!
//! A patch is applied one operation at a time, so an index means the list as the operations before have left it. Four
//! passes make every index a matter of counting:
//!
//! 1. removals from the last to the first: an index is that of the old list;
//! 2. moves in the order of the new list: see [`moves`];
//! 3. additions from the first to the last: an index is that of the new list;
//! 4. edits inside elements: an index is that of the new list.
//!
//! With c differences that is O(c log n) in all, wherever they are.

use super::delta::Delta;
use super::memo::DiffMemo;
use super::ops::{At, Op, Ops};
use crate::data::{Edit, ElementKey, List, Placed, Value};

/// A key that is in one of the lists only.
struct Side<'a> {
    key: &'a ElementKey,
    value: &'a Value,
    /// Its index in its own list.
    at: usize,
    fate: Fate,
}

/// An element with the same key in both lists: its index in the new one, its old value, its new value.
type Edited<'a> = (usize, &'a Value, &'a Value);

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    /// Its element is in this list only.
    Alone,
    /// The element has another key in the other list, but stays where it is among those that stay.
    Stays,
    /// The element has another key in the other list and stands elsewhere.
    Moves,
}

/// The operations, and whether no element of the old list is in the new one.
pub(super) fn ops(old: &List<Value>, new: &List<Value>, memo: &DiffMemo) -> (Ops, bool) {
    let (mut gone, mut came, mut edited) = (Vec::new(), Vec::new(), Vec::<Edited<'_>>::new());
    for Placed { edit, old_at, new_at } in List::edits(old, new, Value::is_same) {
        match edit {
            Edit::Remove { key, value } => gone.push(Side { key, value, at: old_at, fate: Fate::Alone }),
            Edit::Add { key, value } => came.push(Side { key, value, at: new_at, fate: Fate::Alone }),
            Edit::Change { old, new, .. } => edited.push((new_at, old, new)),
        }
    }
    if is_equal(old, new, &gone, &came, &edited) {
        return (Ops::default(), false);
    }
    let pairs = pair(&gone, &came);
    settle(&mut gone, &mut came, &pairs);

    let mut ops = Ops::default();
    for side in gone.iter().rev().filter(|side| side.fate == Fate::Alone) {
        ops.push(Op::Remove(At::Index(side.at)));
    }
    for (from, to) in moves(&gone, &came, &pairs) {
        ops.push(Op::Move { from, to });
    }
    for side in came.iter().filter(|side| side.fate == Fate::Alone) {
        ops.push(Op::Add(At::Index(side.at), memo.text(side.value)));
    }
    edited.extend(pairs.iter().map(|&(from, to)| (came[to].at, gone[from].value, came[to].value)));
    edited.sort_by_key(|&(at, ..)| at);
    for (at, old, new) in edited {
        ops.push_delta(At::Index(at), Delta::between(old, new, memo));
    }
    (ops, gone.len() == old.len() && pairs.is_empty())
}

/// Whether lists whose keys differ stand for equal arrays: rows were deleted and inserted again, or changed places, and
/// what is shown of them is the same.
///
/// Stops at the first difference, which is near the first edit unless elements look alike. When so many do that it
/// would cost more than the edits, the answer is no, and the patch (right, if needless) is sent.
fn is_equal(old: &List<Value>, new: &List<Value>, gone: &[Side<'_>], came: &[Side<'_>], edited: &[Edited<'_>]) -> bool {
    let (Some(gone_first), Some(came_first)) = (gone.first(), came.first()) else { return false };
    if gone.len() != came.len() {
        return false;
    }
    // Outside of these positions an index means the same element in both lists.
    let start = gone_first.at.min(came_first.at);
    let end = 1 + gone[gone.len() - 1].at.max(came[came.len() - 1].at);
    let cheap = 64 + 16 * gone.len();
    let mut pairs = old.iter_from(start).zip(new.iter_from(start)).take(end - start);
    end - start <= cheap
        && pairs.all(|((_, old), (_, new))| looks_alike(old, new))
        && edited.iter().filter(|(at, ..)| !(start..end).contains(at)).all(|(_, old, new)| looks_alike(old, new))
}

fn looks_alike(old: &Value, new: &Value) -> bool {
    old.is_same(new) || old == new
}

/// The elements with another key than before, as indexes into `gone` and `came`, in the order of the new list.
fn pair(gone: &[Side<'_>], came: &[Side<'_>]) -> Vec<(usize, usize)> {
    if gone.is_empty() || came.is_empty() {
        return Vec::new();
    }
    let by_identity = |sides: &[Side<'_>]| {
        let mut order: Vec<usize> = (0..sides.len()).collect();
        order.sort_by_key(|&at| sides[at].key.identity());
        order
    };
    let (from, to) = (by_identity(gone), by_identity(came));
    let (mut from, mut to) = (from.into_iter().peekable(), to.into_iter().peekable());
    let mut pairs = Vec::new();
    while let (Some(&old), Some(&new)) = (from.peek(), to.peek()) {
        let order = gone[old].key.identity().cmp(came[new].key.identity());
        if order.is_eq() {
            pairs.push((old, new));
        }
        if order.is_le() {
            from.next();
        }
        if order.is_ge() {
            to.next();
        }
    }
    pair_equal(gone, came, &mut pairs);
    pairs.sort_by_key(|&(_, new)| new);
    pairs
}

/// Adds pairs of elements that are not the same but look it, and stand at the same place between unchanged keys: rows
/// deleted and inserted again, as when an application replaces all children of a parent.
fn pair_equal(gone: &[Side<'_>], came: &[Side<'_>], pairs: &mut Vec<(usize, usize)>) {
    let alone = |sides: &[Side<'_>], paired: Vec<usize>| {
        let mut is_paired = vec![false; sides.len()];
        paired.into_iter().for_each(|index| is_paired[index] = true);
        (0..sides.len()).filter(move |&index| !is_paired[index])
    };
    let mut from = alone(gone, pairs.iter().map(|&(old, _)| old).collect()).peekable();
    let mut to = alone(came, pairs.iter().map(|&(_, new)| new).collect()).peekable();
    while let (Some(&old), Some(&new)) = (from.peek(), to.peek()) {
        let order = (gone[old].at - old).cmp(&(came[new].at - new));
        if order.is_eq() && looks_alike(gone[old].value, came[new].value) {
            pairs.push((old, new));
        }
        if order.is_le() {
            from.next();
        }
        if order.is_ge() {
            to.next();
        }
    }
}

/// Decides which of the pairs have to move.
///
/// One that stands between the same two unchanged keys as before can stay; of these, as many stay as are in their old
/// order (a longest increasing subsequence, by patience sorting: Fredman 1975).
fn settle(gone: &mut [Side<'_>], came: &mut [Side<'_>], pairs: &[(usize, usize)]) {
    // Each pile's top, as an index into `pairs`; and for each pair the one below it in such a subsequence.
    let mut tops: Vec<usize> = Vec::new();
    let mut below: Vec<Option<usize>> = vec![None; pairs.len()];
    for (index, &(old, new)) in pairs.iter().enumerate() {
        (gone[old].fate, came[new].fate) = (Fate::Moves, Fate::Moves);
        // Unchanged keys before it: all before it but those that are in this list only.
        if gone[old].at - old != came[new].at - new {
            continue;
        }
        let pile = tops.partition_point(|&top| pairs[top].0 < old);
        below[index] = pile.checked_sub(1).map(|pile| tops[pile]);
        match tops.get_mut(pile) {
            Some(top) => *top = index,
            None => tops.push(index),
        }
    }
    let mut next = tops.last().copied();
    while let Some(index) = next {
        let (old, new) = pairs[index];
        (gone[old].fate, came[new].fate) = (Fate::Stays, Fate::Stays);
        next = below[index];
    }
}

/// The moves, as indexes from and to, after the removals.
///
/// The elements that stay divide the list into gaps. Moving in the order of the new list, each gap holds first those that
/// have arrived, in order, then those that still have to leave, in their old order. So an index is the number of
/// those that stay, plus arrivals, plus not yet departed before it; a Fenwick tree counts the last.
fn moves(gone: &[Side<'_>], came: &[Side<'_>], pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let departures = gaps(gone);
    let arrivals = gaps(came);
    let mut waiting = Counts::ones(departures.len());
    let moving = pairs.iter().filter(|&&(old, _)| gone[old].fate == Fate::Moves);
    let mut moves = Vec::new();
    for (arrived, &(old, _)) in moving.enumerate() {
        let at = departures.partition_point(|&(index, _)| index < old);
        let (_, gap) = departures[at];
        let arrived_before = arrivals[..arrived].partition_point(|&(_, arrival)| arrival <= gap);
        let from = gap + arrived_before + waiting.before(at);
        waiting.take(at);
        let (_, gap) = arrivals[arrived];
        let to = gap + arrived + waiting.before(departures.partition_point(|&(_, departure)| departure < gap));
        if from != to {
            moves.push((from, to));
        }
    }
    moves
}

/// For each side that moves: its index, and the number of elements before it that stay.
fn gaps(sides: &[Side<'_>]) -> Vec<(usize, usize)> {
    let mut not_staying = 0;
    let mut gaps = Vec::new();
    for (index, side) in sides.iter().enumerate() {
        if side.fate == Fate::Moves {
            gaps.push((index, side.at - not_staying));
        }
        not_staying += usize::from(side.fate != Fate::Stays);
    }
    gaps
}

/// Ones and zeros with prefix sums (Fenwick 1994).
struct Counts(Vec<usize>);

impl Counts {
    fn ones(len: usize) -> Self {
        Counts((1..=len).map(|at| at & at.wrapping_neg()).collect())
    }

    /// Takes the one at `index` away.
    fn take(&mut self, index: usize) {
        let mut at = index + 1;
        while let Some(count) = self.0.get_mut(at - 1) {
            *count -= 1;
            at += at & at.wrapping_neg();
        }
    }

    /// How many ones are before `index`.
    fn before(&self, index: usize) -> usize {
        let (mut at, mut sum) = (index, 0);
        while at > 0 {
            sum += self.0[at - 1];
            at &= at - 1;
        }
        sum
    }
}
