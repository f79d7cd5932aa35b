//! The cells of elements, lists and documents: an operator at a key, its value, and who depends on it.

use std::sync::Arc;

use rustc_hash::FxHashSet;
use slotmap::new_key_type;
use smallvec::SmallVec;

use super::evaluate::{Calls, Params, Pending, Versions};
use super::plan::{DocumentId, ElementId, ListId};
use super::sequence::{PendingList, Stage};
use super::small_map::SmallMap;
use super::tables::{ElementCellId, GroupId, ListCellId};
use crate::data::{ElementKey, Key, Lsn, Row, RowId, TableId, Value};

new_key_type! {
    /// A document the engine keeps live.
    pub struct DocumentKey;
}

/// Why a cell has no value, not even one that waits for a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blocked {
    /// Rows were never asked for, or are being asked for again.
    Missing,
    /// A node failed and its policy is to hold, or the node is not there.
    Held,
    /// More elements than a list may have.
    TooLong,
    /// The database refuses to tell the rows.
    Refused,
}

/// The state of an element's cell.
#[derive(Clone, Debug)]
pub(super) enum ElementState {
    Blocked(Blocked),
    /// Left out by a step.
    Dropped,
    Ready(Value),
    Pending(Arc<Pending>),
}

/// The state of a list's cell.
#[derive(Clone, Debug)]
pub(super) enum ListState {
    Blocked(Blocked),
    Ready(Value),
    Pending(Arc<PendingList>),
}

/// An element's definition at one row.
pub(super) struct ElementCell {
    pub element: ElementId,
    pub table: TableId,
    pub id: RowId,
    pub row: Row,
    pub params: Params,
    /// One for each child of the definition.
    pub children: Vec<ListCellId>,
    pub state: ElementState,
    /// The lists that hold it, with the number of members (one; kept as a count for symmetry with other readers).
    pub readers: SmallMap<ListCellId, u32, 1>,
    /// Keeps the answers it was made with in the memo, also while it waits for others: then steps that come after the one it
    /// waits at have not asked again yet, and their inputs may be what they were.
    pub calls: Calls,
    /// The calls of an evaluation that waits.
    pub asked: Calls,
}

/// A list's definition at one parent.
pub(super) struct ListCell {
    pub list: ListId,
    pub key: Key,
    pub params: Params,
    pub windows: Arc<[(usize, Option<usize>)]>,
    pub source: SourceCell,
    /// The elements of the first stage, by row.
    pub members: SmallMap<RowId, Member, 0>,
    /// How often all members together are in it.
    pub occurrences: usize,
    /// Whether that is more than a list may have; then nobody is placed.
    pub is_long: bool,
    /// How many members are blocked, by [`Blocked`].
    pub blocked: [usize; 4],
    pub stages: Vec<Stage>,
    pub state: ListState,
    pub readers: SmallMap<Reader, u32, 1>,
    pub calls: Calls,
    /// What changed since the last refresh.
    pub news: News,
}

/// What a list has to look at.
#[derive(Default)]
pub(super) struct News {
    /// Rows that came, went or changed in a group it reads.
    pub rows: Vec<(GroupId, RowId)>,
    /// Groups that were filled or emptied.
    pub groups: Vec<GroupId>,
    /// Members whose element changed.
    pub elements: Vec<RowId>,
}

/// The groups a list reads.
pub(super) enum SourceCell {
    /// `None`: a null in the key, so no rows.
    Rows(Option<GroupId>),
    Through {
        joins: Option<GroupId>,
        /// For each join row, the group it points at (`None`: a null) and how often the join row occurs.
        by_join: SmallMap<RowId, (Option<GroupId>, u32), 0>,
        /// For each group pointed at, the join rows that do.
        targets: SmallMap<GroupId, SmallVec<[RowId; 1]>, 0>,
        /// Those of them that are not filled.
        unfilled: FxHashSet<GroupId>,
    },
}

/// An element in a list.
pub(super) struct Member {
    pub element: ElementCellId,
    /// The join rows (`None`: the list has none) it is there for, and how often for each.
    pub occurrences: SmallVec<[(Option<RowId>, u32); 1]>,
    pub place: Place,
}

/// Where a member stands in the first stage.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Nowhere,
    Kept(SmallVec<[ElementKey; 1]>),
    Pending(SmallVec<[ElementKey; 1]>),
    Blocked(Blocked),
}

/// Who depends on a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Reader {
    Element(ElementCellId),
    Document(DocumentKey),
}

/// A document.
pub(super) struct DocumentCell {
    pub document: DocumentId,
    pub key: Key,
    pub params: Params,
    pub list: ListCellId,
    /// What was emitted last.
    pub last: Option<Value>,
    pub waiting: Option<Waiting>,
    /// What was last told of why it has no newer value.
    pub told: Option<Blocked>,
}

/// A document's state at a commit, waiting for guests. See the module [`super`].
pub(super) struct Waiting {
    pub tree: Arc<PendingList>,
    pub position: Lsn,
    /// The live cells have gone on: the tree is finished by itself when this many calls are answered.
    pub frozen: Option<usize>,
}

impl Waiting {
    pub(super) fn versions(&self) -> &Arc<Versions> {
        self.tree.versions()
    }
}

impl Blocked {
    /// The index into [`ListCell::blocked`].
    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// A reader depends on a cell once less.
pub(super) fn leave<K: Eq + std::hash::Hash>(readers: &mut SmallMap<K, u32, 1>, reader: &K) {
    if let Some(count) = readers.get_mut(reader) {
        *count -= 1;
        if *count == 0 {
            readers.remove(reader);
        }
    }
}
