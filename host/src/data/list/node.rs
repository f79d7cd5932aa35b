//! The nodes of a list's B+ tree.
//!
//! Elements are in the leaves; an inner node knows each child's least key (exactly, not as a bound) and its number of
//! elements, so that a search or a rank touches one node per level. A clone of a node copies pointers, not elements'
//! contents. Recursion is as deep as the tree: 10 levels hold more elements than memory does.

use std::sync::Arc;

use super::ElementKey;

/// The most entries of a leaf and children of an inner node. Small, because a change copies one node per level and each
/// entry copied is two counters incremented; large enough that the tree adds little to its elements.
pub(super) const MAX: usize = 16;

/// Two neighbours are merged when one is less than half full and together they leave a quarter of a node free, so that
/// alternating insertions and removals do not split and merge each time.
const MERGED: usize = MAX * 3 / 4;

pub(super) type Entry<V> = (ElementKey, V);

#[derive(Clone)]
pub(super) enum Node<V> {
    /// Never empty, but for a moment during a removal.
    Leaf(Vec<Entry<V>>),
    Inner(Inner<V>),
}

#[derive(Clone)]
pub(super) struct Inner<V> {
    /// Levels below: 1 if the children are leaves.
    pub(super) height: u8,
    /// Elements below.
    len: usize,
    pub(super) children: Vec<Child<V>>,
}

pub(super) struct Child<V> {
    /// The least key below.
    pub(super) min: ElementKey,
    /// Elements below: as the node itself says, kept here so that a rank need not visit the siblings.
    pub(super) len: usize,
    pub(super) node: Arc<Node<V>>,
}

/// Whether a node lies at the beginning or at the end of the whole list.
#[derive(Clone, Copy)]
pub(super) struct Edge {
    first: bool,
    last: bool,
}

impl<V> Clone for Child<V> {
    fn clone(&self) -> Self {
        Child { min: self.min.clone(), len: self.len, node: self.node.clone() }
    }
}

impl<V> Child<V> {
    fn new(node: Arc<Node<V>>) -> Self {
        Child { min: node.min().clone(), len: node.len(), node }
    }
}

impl Edge {
    /// The root's.
    pub(super) const BOTH: Edge = Edge { first: true, last: true };

    /// Where to split a node of `MAX + 1` after an insertion at `at` (for children: of the right half of a child, so never
    /// at 0). In halves; but a list that only ever grows at one end, such as of messages, gets full nodes.
    fn split_at(self, at: usize, least: usize) -> usize {
        if self.last && at == MAX {
            MAX
        } else if self.first && at == least {
            1
        } else {
            MAX.div_ceil(2)
        }
    }
}

impl<V> Node<V> {
    /// Elements in this subtree.
    pub(super) fn len(&self) -> usize {
        match self {
            Node::Leaf(entries) => entries.len(),
            Node::Inner(inner) => inner.len,
        }
    }

    /// Levels below this node.
    pub(super) fn height(&self) -> u8 {
        match self {
            Node::Leaf(_) => 0,
            Node::Inner(inner) => inner.height,
        }
    }

    /// The least key.
    pub(super) fn min(&self) -> &ElementKey {
        match self {
            Node::Leaf(entries) => &entries[0].0,
            Node::Inner(inner) => &inner.children[0].min,
        }
    }

    /// The number of elements before `key`, and the element at it if there is one.
    pub(super) fn find(&self, key: &ElementKey) -> (usize, Option<&Entry<V>>) {
        let (mut node, mut before) = (self, 0);
        loop {
            match node {
                Node::Leaf(entries) => {
                    return match search(entries, key) {
                        Ok(at) => (before + at, Some(&entries[at])),
                        Err(at) => (before + at, None),
                    };
                }
                Node::Inner(inner) => {
                    let at = inner.child_of(key);
                    before += inner.children[..at].iter().map(|child| child.len).sum::<usize>();
                    node = &inner.children[at].node;
                }
            }
        }
    }

    /// The element at `index`, which is less than the length.
    pub(super) fn at(&self, mut index: usize) -> &Entry<V> {
        let mut node = self;
        loop {
            match node {
                Node::Leaf(entries) => return &entries[index],
                Node::Inner(inner) => {
                    let at;
                    (at, index) = inner.child_at(index);
                    node = &inner.children[at].node;
                }
            }
        }
    }

    /// A tree of entries in order; `None` if there are none.
    pub(super) fn build(entries: Vec<Entry<V>>) -> Option<Self> {
        let mut level: Vec<Self> = evenly(entries).map(Node::Leaf).collect();
        while level.len() > 1 {
            let nodes = level.into_iter().map(Arc::new).collect();
            level = evenly(nodes).map(Node::parent).collect();
        }
        level.pop()
    }

    /// An inner node of these children, at least one, all of one height.
    pub(super) fn parent(nodes: impl IntoIterator<Item = Arc<Self>>) -> Self {
        Self::inner(nodes.into_iter().map(Child::new).collect())
    }

    fn inner(children: Vec<Child<V>>) -> Self {
        let height = children[0].node.height() + 1;
        Node::Inner(Inner { height, len: children.iter().map(|child| child.len).sum(), children })
    }

    /// Entries of a leaf, children of an inner node.
    fn width(&self) -> usize {
        match self {
            Node::Leaf(entries) => entries.len(),
            Node::Inner(inner) => inner.children.len(),
        }
    }
}

impl<V: Clone> Node<V> {
    /// Puts `value` at `key`. Gives the value replaced, and the right part of this node if it had to be split.
    pub(super) fn insert(&mut self, key: ElementKey, value: V, edge: Edge) -> (Option<V>, Option<Self>) {
        match self {
            Node::Leaf(entries) => match search(entries, &key) {
                Ok(at) => (Some(std::mem::replace(&mut entries[at].1, value)), None),
                Err(at) => (None, insert_at(entries, at, (key, value), |at| edge.split_at(at, 0)).map(Node::Leaf)),
            },
            Node::Inner(inner) => {
                let (old, split) = inner.insert(key, value, edge);
                (old, split.map(Node::inner))
            }
        }
    }

    /// Takes out the element at `key`.
    pub(super) fn remove(&mut self, key: &ElementKey) -> Option<V> {
        match self {
            Node::Leaf(entries) => search(entries, key).ok().map(|at| entries.remove(at).1),
            Node::Inner(inner) => inner.remove(key),
        }
    }

    /// The elements from index `start` to before `end`, at least one.
    pub(super) fn cut(&self, start: usize, end: usize) -> Self {
        let inner = match self {
            Node::Leaf(entries) => return Node::Leaf(entries[start..end].to_vec()),
            Node::Inner(inner) => inner,
        };
        let mut children = Vec::new();
        let mut begin = 0;
        for child in &inner.children {
            let (from, to) = (start.saturating_sub(begin), end.saturating_sub(begin).min(child.len));
            if (from, to) == (0, child.len) {
                children.push(child.clone());
            } else if from < to {
                children.push(Child::new(Arc::new(child.node.cut(from, to))));
            }
            begin += child.len;
        }
        Self::inner(children)
    }

    /// Appends the neighbour to the right, of the same height.
    fn absorb(&mut self, right: Self) {
        match (self, right) {
            (Node::Leaf(left), Node::Leaf(right)) => left.extend(right),
            (Node::Inner(left), Node::Inner(right)) => {
                left.len += right.len;
                left.children.extend(right.children);
            }
            _ => unreachable!("all leaves of a list are at one depth"),
        }
    }
}

impl<V> Inner<V> {
    /// The index of the only child that can hold `key`.
    fn child_of(&self, key: &ElementKey) -> usize {
        self.children.partition_point(|child| child.min <= *key).saturating_sub(1)
    }

    /// The child that holds the element at `index`, and the element's index therein.
    pub(super) fn child_at(&self, mut index: usize) -> (usize, usize) {
        for (at, child) in self.children.iter().enumerate() {
            if index < child.len {
                return (at, index);
            }
            index -= child.len;
        }
        unreachable!("the index is less than the length")
    }
}

impl<V: Clone> Inner<V> {
    /// As [`Node::insert`]; a split gives the children of the right part.
    fn insert(&mut self, key: ElementKey, value: V, edge: Edge) -> (Option<V>, Option<Vec<Child<V>>>) {
        let at = self.child_of(&key);
        let below = Edge { first: edge.first && at == 0, last: edge.last && at + 1 == self.children.len() };
        let child = &mut self.children[at];
        if key < child.min {
            child.min = key.clone();
        }
        let (old, split) = Arc::make_mut(&mut child.node).insert(key, value, below);
        child.len = child.node.len();
        self.len += usize::from(old.is_none());
        let Some(right) = split else { return (old, None) };
        let right = insert_at(&mut self.children, at + 1, Child::new(Arc::new(right)), |at| edge.split_at(at, 1));
        self.len -= right.iter().flatten().map(|child| child.len).sum::<usize>();
        (old, right)
    }

    /// As [`Node::remove`].
    fn remove(&mut self, key: &ElementKey) -> Option<V> {
        let at = self.child_of(key);
        let child = &mut self.children[at];
        let removed = Arc::make_mut(&mut child.node).remove(key)?;
        self.len -= 1;
        child.len -= 1;
        if child.len == 0 {
            self.children.remove(at);
            return Some(removed);
        }
        if child.min == *key {
            child.min = child.node.min().clone();
        }
        if child.node.width() < MAX / 2 {
            self.merge(at);
        }
        Some(removed)
    }

    /// Merges the child with a neighbour, if both fit into one node.
    fn merge(&mut self, at: usize) {
        let fits = |left: usize| {
            let pair = self.children.get(left..left + 2)?;
            (pair[0].node.width() + pair[1].node.width() <= MERGED).then_some(left)
        };
        let Some(left) = fits(at).or_else(|| fits(at.checked_sub(1)?)) else { return };
        let right = self.children.remove(left + 1);
        let left = &mut self.children[left];
        Arc::make_mut(&mut left.node).absorb(Arc::unwrap_or_clone(right.node));
        left.len += right.len;
    }
}

fn search<V>(entries: &[Entry<V>], key: &ElementKey) -> Result<usize, usize> {
    entries.binary_search_by(|(have, _)| have.cmp(key))
}

/// Inserts into the entries or children of a node, and cuts off its right part if it gets too wide.
fn insert_at<T>(items: &mut Vec<T>, at: usize, item: T, split_at: impl Fn(usize) -> usize) -> Option<Vec<T>> {
    if items.len() == items.capacity() {
        // Most lists are short: do not round their only leaf up to Vec's least capacity, nor a full one beyond need.
        let capacity = (items.len() + 1).next_power_of_two().min(MAX + 1);
        items.reserve_exact(capacity.saturating_sub(items.len()).max(1));
    }
    items.insert(at, item);
    if items.len() <= MAX {
        return None;
    }
    let right = items.split_off(split_at(at));
    items.shrink_to_fit();
    Some(right)
}

/// The items in as few chunks of at most [`MAX`] as possible, all about equally long.
fn evenly<T>(items: Vec<T>) -> impl Iterator<Item = Vec<T>> {
    let (len, chunks) = (items.len(), items.len().div_ceil(MAX));
    let mut items = items.into_iter();
    (0..chunks).map(move |chunk| items.by_ref().take(len * (chunk + 1) / chunks - len * chunk / chunks).collect())
}
