//! A list's elements in order.

use std::slice;

use super::ElementKey;
use super::node::{Child, Entry, Node};

/// Elements of a [`List`](super::List) in order.
pub struct Iter<'a, V> {
    /// What is left of the inner nodes above the leaf, the root's children first.
    above: Vec<slice::Iter<'a, Child<V>>>,
    leaf: slice::Iter<'a, Entry<V>>,
    left: usize,
}

impl<'a, V> Iter<'a, V> {
    /// The elements of the tree from `index` on.
    pub(super) fn new(root: Option<&'a Node<V>>, index: usize) -> Self {
        let mut iter = Iter { above: Vec::new(), leaf: [].iter(), left: 0 };
        if let Some(root) = root.filter(|root| index < root.len()) {
            iter.left = root.len() - index;
            iter.descend(root, index);
        }
        iter
    }

    /// Goes down to the leaf with the element at `index` of this subtree.
    fn descend(&mut self, mut node: &'a Node<V>, mut index: usize) {
        loop {
            match node {
                Node::Leaf(entries) => {
                    self.leaf = entries[index..].iter();
                    return;
                }
                Node::Inner(inner) => {
                    let at;
                    (at, index) = inner.child_at(index);
                    self.above.push(inner.children[at + 1..].iter());
                    node = &inner.children[at].node;
                }
            }
        }
    }
}

impl<'a, V> Iterator for Iter<'a, V> {
    type Item = (&'a ElementKey, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.leaf.next() {
                self.left -= 1;
                return Some((key, value));
            }
            match self.above.last_mut()?.next() {
                Some(child) => self.descend(&child.node, 0),
                None => {
                    self.above.pop();
                }
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<V> ExactSizeIterator for Iter<'_, V> {}

impl<V> Clone for Iter<'_, V> {
    fn clone(&self) -> Self {
        Iter { above: self.above.clone(), leaf: self.leaf.clone(), left: self.left }
    }
}
