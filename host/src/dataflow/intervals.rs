//! Intervals with owners: which of them hold a point, without looking at the others.
//!
//! A balanced tree (AVL) in the order of the intervals' starts, in which each node knows the last end below it: a part
//! that ends before the point, or starts after it, is not entered. See *interval tree*, Cormen et al., Introduction to
//! Algorithms, chapter 14.3. Its height follows from the number of intervals alone: whoever chooses the bounds of documents
//! cannot make it deep.

use std::cmp::Ordering;

/// Closed intervals from one `P` to another, each owned by a `T`; an owner has at most one interval with the same start.
#[derive(Debug)]
pub(super) struct Intervals<P, T>(Link<P, T>);

type Link<P, T> = Option<Box<Node<P, T>>>;

#[derive(Debug)]
struct Node<P, T> {
    from: P,
    to: P,
    owner: T,
    /// The greatest `to` here and below.
    last: P,
    height: u8,
    left: Link<P, T>,
    right: Link<P, T>,
}

impl<P: Ord + Clone, T: Ord + Copy> Intervals<P, T> {
    pub(super) fn new() -> Self {
        Intervals(None)
    }

    /// Adds an interval. One that ends before it starts holds no point.
    pub(super) fn insert(&mut self, from: P, to: P, owner: T) {
        let node = Node { last: to.clone(), from, to, owner, height: 1, left: None, right: None };
        insert(&mut self.0, Box::new(node));
    }

    /// Removes the owner's interval that starts at `from`, if it has one.
    pub(super) fn remove(&mut self, from: &P, owner: T) {
        remove(&mut self.0, from, owner);
    }

    /// Appends the owners of all intervals that hold the point, in the order of their starts. False: there are more than
    /// `most`, and it stopped there.
    pub(super) fn around(&self, point: &P, most: usize, found: &mut Vec<T>) -> bool {
        around(&self.0, point, most, found)
    }
}

impl<P: Ord + Clone, T: Ord + Copy> Node<P, T> {
    fn order(&self, from: &P, owner: T) -> Ordering {
        from.cmp(&self.from).then_with(|| owner.cmp(&self.owner))
    }

    /// Brings what it knows of those below up to date.
    fn update(&mut self) {
        self.height = 1 + height(&self.left).max(height(&self.right));
        let below = [&self.left, &self.right].into_iter().flatten().map(|node| &node.last);
        let last = below.fold(&self.to, |last, other| last.max(other));
        if *last != self.last {
            self.last = last.clone();
        }
    }
}

fn height<P, T>(link: &Link<P, T>) -> u8 {
    link.as_ref().map_or(0, |node| node.height)
}

fn insert<P: Ord + Clone, T: Ord + Copy>(link: &mut Link<P, T>, new: Box<Node<P, T>>) {
    match link {
        None => *link = Some(new),
        Some(node) => {
            let side = if node.order(&new.from, new.owner).is_lt() { &mut node.left } else { &mut node.right };
            insert(side, new);
            balance(link);
        }
    }
}

fn remove<P: Ord + Clone, T: Ord + Copy>(link: &mut Link<P, T>, from: &P, owner: T) {
    let Some(node) = link else { return };
    match node.order(from, owner) {
        Ordering::Less => remove(&mut node.left, from, owner),
        Ordering::Greater => remove(&mut node.right, from, owner),
        Ordering::Equal => {
            let (left, mut right) = (node.left.take(), node.right.take());
            *link = match take_first(&mut right) {
                None => left,
                Some(mut first) => {
                    (first.left, first.right) = (left, right);
                    Some(first)
                }
            };
        }
    }
    balance(link);
}

fn take_first<P: Ord + Clone, T: Ord + Copy>(link: &mut Link<P, T>) -> Link<P, T> {
    let node = link.as_mut()?;
    if node.left.is_some() {
        let first = take_first(&mut node.left);
        balance(link);
        return first;
    }
    let rest = node.right.take();
    std::mem::replace(link, rest)
}

/// Makes the heights of both sides differ by one at most; they differ by two at most.
fn balance<P: Ord + Clone, T: Ord + Copy>(link: &mut Link<P, T>) {
    let Some(node) = link else { return };
    let (left, right) = (height(&node.left), height(&node.right));
    if left > right + 1 {
        if node.left.as_ref().is_some_and(|left| height(&left.left) < height(&left.right)) {
            raise_right(&mut node.left);
        }
        raise_left(link);
    } else if right > left + 1 {
        if node.right.as_ref().is_some_and(|right| height(&right.right) < height(&right.left)) {
            raise_left(&mut node.right);
        }
        raise_right(link);
    } else {
        node.update();
    }
}

/// Puts the left child in its parent's place.
fn raise_left<P: Ord + Clone, T: Ord + Copy>(link: &mut Link<P, T>) {
    let Some(mut top) = link.take() else { return };
    let Some(mut left) = top.left.take() else {
        *link = Some(top);
        return;
    };
    top.left = left.right.take();
    top.update();
    left.right = Some(top);
    left.update();
    *link = Some(left);
}

/// Puts the right child in its parent's place.
fn raise_right<P: Ord + Clone, T: Ord + Copy>(link: &mut Link<P, T>) {
    let Some(mut top) = link.take() else { return };
    let Some(mut right) = top.right.take() else {
        *link = Some(top);
        return;
    };
    top.right = right.left.take();
    top.update();
    right.left = Some(top);
    right.update();
    *link = Some(right);
}

fn around<P: Ord + Clone, T: Ord + Copy>(link: &Link<P, T>, point: &P, most: usize, found: &mut Vec<T>) -> bool {
    let Some(node) = link.as_ref().filter(|node| *point <= node.last) else { return true };
    if !around(&node.left, point, most, found) {
        return false;
    }
    if *point < node.from {
        return true;
    }
    if *point <= node.to {
        found.push(node.owner);
        if found.len() > most {
            return false;
        }
    }
    around(&node.right, point, most, found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Checks order, balance and ends; gives the number of nodes.
    fn check(link: &Link<u8, u32>) -> usize {
        let Some(node) = link else { return 0 };
        let (left, right) = (height(&node.left), height(&node.right));
        assert!(left.abs_diff(right) <= 1, "unbalanced");
        assert_eq!(node.height, 1 + left.max(right));
        let below = [&node.left, &node.right];
        let last = below.iter().filter_map(|side| Some(side.as_ref()?.last)).max();
        assert_eq!(node.last, node.to.max(last.unwrap_or(0)));
        if let Some(left) = &node.left {
            assert!(node.order(&left.from, left.owner).is_lt());
        }
        if let Some(right) = &node.right {
            assert!(node.order(&right.from, right.owner).is_gt());
        }
        1 + check(&node.left) + check(&node.right)
    }

    proptest! {
        #[test]
        fn a_point_finds_what_looking_at_each_finds(
            intervals in prop::collection::vec((0u8..40, 0u8..40), 0..200),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..200),
        ) {
            let mut tree = Intervals::new();
            let mut all: Vec<(u8, u8, u32)> = Vec::new();
            for (&(from, to), owner) in intervals.iter().zip(0..) {
                tree.insert(from, to, owner);
                all.push((from, to, owner));
                prop_assert_eq!(check(&tree.0), all.len());
            }
            for index in removed {
                if !all.is_empty() {
                    let (from, _, owner) = all.swap_remove(index.index(all.len()));
                    tree.remove(&from, owner);
                    // Those that are not there: nothing happens.
                    tree.remove(&from, owner);
                    prop_assert_eq!(check(&tree.0), all.len());
                }
            }
            all.sort_unstable_by_key(|&(from, _, owner)| (from, owner));
            for point in 0..41 {
                let expected: Vec<u32> =
                    all.iter().filter(|(from, to, _)| (*from..=*to).contains(&point)).map(|&(.., owner)| owner).collect();
                let mut found = Vec::new();
                prop_assert!(tree.around(&point, usize::MAX, &mut found));
                prop_assert_eq!(&found, &expected);
                let mut few = Vec::new();
                prop_assert_eq!(tree.around(&point, 3, &mut few), expected.len() <= 3);
                prop_assert_eq!(&few[..], &expected[..few.len()]);
            }
        }
    }

    #[test]
    fn bounds_that_come_in_order_make_no_deep_tree() {
        let mut tree = Intervals::new();
        for owner in 0..10_000u32 {
            tree.insert(owner, u32::MAX, owner);
        }
        assert!(height(&tree.0) <= 19, "1.44 log2(10,000): {}", height(&tree.0));
    }
}
