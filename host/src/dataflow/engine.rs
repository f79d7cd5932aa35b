//! The engine's events and effects, and the life of documents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use slotmap::SlotMap;

use super::cells::{Blocked, DocumentCell, DocumentKey, ElementCell, ListCell, ListState, Reader};
use super::evaluate::{Calls, Context, Shapes, Versions};
use super::guest::{GuestCall, NodeVersion, Origin};
use super::log::Log;
use super::memo::{Memo, RESERVED, address};
use super::plan::{DocumentId, NodeId, Plan, Shape, Step};
use super::propagate::Heights;
use super::stitch::{Fresh, OpenStage};
use super::tables::{ElementCellId, Fill, GroupId, ListCellId, Tables, Touched};
use super::whole_read::WholeRead;
use crate::data::{Commit, Key, KeyBuilder, Lsn, RowId, Snapshot, TableId, Upquery, Value, Xid};

/// What a step asks of the world.
#[derive(Default)]
pub struct Effects {
    /// To be sent at once: their stages are open from now on.
    pub upqueries: Vec<Upquery>,
    /// Upqueries among them whose answer came too early to be of use: better after a moment.
    pub again: bool,
    /// New calls of guests. Answer them with [`GuestCall::resolve`], then [`Engine::answered`].
    pub calls: Vec<Arc<GuestCall>>,
    /// New states of documents, in order.
    pub emissions: Vec<Emission>,
    /// Documents whose last emission holds for the engine's position after they had waited, or might have changed.
    pub unchanged: Vec<DocumentKey>,
    /// Documents that have no newer state, and why; `None`: the reason is gone.
    pub blocked: Vec<(DocumentKey, Option<Blocked>)>,
    /// The snapshot kept by a [whole read](Engine::read_whole) is not needed any more.
    pub release_snapshot: bool,
    /// An answer waits for a position that the stream may be long in passing: write something.
    pub provoke: bool,
    /// A table whose known rows contradict what the database says: see [`Engine::table_changed`].
    pub contradiction: Option<TableId>,
}

impl Effects {
    /// Adds what a later step asks.
    pub fn append(&mut self, later: Effects) {
        self.upqueries.extend(later.upqueries);
        self.again |= later.again;
        self.calls.extend(later.calls);
        self.emissions.extend(later.emissions);
        self.unchanged.extend(later.unchanged);
        self.blocked.extend(later.blocked);
        self.release_snapshot |= later.release_snapshot;
        self.provoke |= later.provoke;
        self.contradiction = later.contradiction.or(self.contradiction.take());
    }
}

/// A new state of a document.
pub struct Emission {
    pub document: DocumentKey,
    /// The commits up to here are in it, and no other.
    pub position: Lsn,
    pub root: Value,
    /// The node versions it was made with.
    pub versions: Arc<Versions>,
}

/// How much the engine holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub rows: usize,
    pub groups: usize,
    pub elements: usize,
    pub lists: usize,
    pub documents: usize,
    /// Upqueries under way.
    pub stages: usize,
}

/// What the engine keeps to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most elements a list may have.
    pub list_elements: usize,
    /// So many upqueries under way at once: what is wanted meanwhile is asked together, as soon as one is answered. (Those
    /// that are asked again may come on top.)
    pub upqueries: usize,
}

/// What led to a step, as far as a waiting document is concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Answers of guests only: nothing is newer than the commit a document waits at.
    Answers,
    /// A commit, rows, a node's new version.
    Other,
}

/// See the [module](super).
pub struct Engine {
    pub(super) plan: Arc<Plan>,
    pub(super) shapes: Shapes,
    pub(super) heights: Heights,
    pub(super) memo: Memo,
    pub(super) versions: Arc<Versions>,
    pub(super) tables: Tables,
    pub(super) elements: SlotMap<ElementCellId, ElementCell>,
    pub(super) element_index: Vec<FxHashMap<(RowId, Key), ElementCellId>>,
    pub(super) lists: SlotMap<ListCellId, Option<Box<ListCell>>>,
    pub(super) list_index: Vec<FxHashMap<Key, ListCellId>>,
    pub(super) documents: SlotMap<DocumentKey, DocumentCell>,
    pub(super) document_index: FxHashMap<(DocumentId, Key), DocumentKey>,
    pub(super) log: Log,
    pub(super) stages: BTreeMap<u64, OpenStage>,
    /// Stages with an answer, by the position they wait for; some may be gone.
    pub(super) answered: BTreeSet<(Lsn, u64)>,
    pub(super) next_stage: u64,
    pub(super) whole_read: Option<WholeRead>,
    pub(super) position: Lsn,
    pub(super) limits: Limits,
    /// Cells to refresh, by height.
    pub(super) dirty: BTreeSet<(u16, Dirty)>,
    /// Groups to be asked for when the step ends.
    pub(super) wanted: Vec<GroupId>,
    /// Groups known from the inserts of this very commit.
    pub(super) fresh: Fresh,
    /// Groups that were filled or emptied in this step.
    pub(super) noticed: Vec<GroupId>,
    /// Cells that may have lost their last reader.
    pub(super) orphans: Vec<Orphan>,
    /// Documents whose root changed in this step.
    pub(super) changed: BTreeSet<DocumentKey>,
    /// Who waits for a call, by the call's address; the call lives as long as it is open.
    pub(super) waiters: FxHashMap<usize, FxHashSet<Waiter>>,
    /// Cells that a node has failed on; some may be gone.
    pub(super) failing: BTreeSet<Dirty>,
    pub(super) effects: Effects,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Dirty {
    Element(ElementCellId),
    List(ListCellId),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Orphan {
    Group(GroupId),
    Element(ElementCellId),
    List(ListCellId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Waiter {
    Element(ElementCellId),
    List(ListCellId),
    Document(DocumentKey),
}

/// How many bytes of commits the log keeps when no upquery is open: answers that miss the latest commits are common.
const LOG_KEEPS: usize = 1 << 20;

/// How many bytes of commits the log may take. Beyond that the oldest upqueries are asked anew, so that it need not reach back
/// to when they were sent.
const LOG_LIMIT: usize = 256 << 20;

/// So many commits to be remembered by id are brought down by an upquery that asks for nothing but a snapshot.
const REMEMBERED: usize = 100_000;

impl Engine {
    /// An engine at the start of a stream: `origin` is the slot's snapshot, `position` where it begins. `memo_key` keys
    /// the hashes of guests' inputs.
    pub fn new(plan: Arc<Plan>, origin: Snapshot, position: Lsn, limits: Limits, memo_key: [u8; 16]) -> Self {
        let memo = Memo::new(memo_key);
        Engine { memo, ..Engine::with_log(plan, Log::new(origin, LOG_KEEPS), position, limits) }
    }

    fn with_log(plan: Arc<Plan>, log: Log, position: Lsn, limits: Limits) -> Self {
        Engine {
            shapes: Shapes::new(&plan),
            heights: Heights::new(&plan),
            memo: Memo::new([0; 16]),
            versions: Arc::new(Versions(vec![
                None;
                plan.nodes.last_key_value().map_or(0, |(id, _)| id.0 as usize + 1)
            ])),
            tables: Tables::new(plan.clone()),
            elements: SlotMap::with_key(),
            element_index: plan.elements.iter().map(|_| FxHashMap::default()).collect(),
            lists: SlotMap::with_key(),
            list_index: plan.lists.iter().map(|_| FxHashMap::default()).collect(),
            documents: SlotMap::with_key(),
            document_index: FxHashMap::default(),
            log,
            stages: BTreeMap::new(),
            answered: BTreeSet::new(),
            next_stage: 0,
            whole_read: None,
            position,
            limits,
            dirty: BTreeSet::new(),
            wanted: Vec::new(),
            fresh: Fresh::default(),
            noticed: Vec::new(),
            orphans: Vec::new(),
            changed: BTreeSet::new(),
            waiters: FxHashMap::default(),
            failing: BTreeSet::new(),
            effects: Effects::default(),
            plan,
        }
    }

    /// An engine for another plan of the same tables, in the same stream at the same position. Its documents are to be
    /// opened anew.
    pub fn replanned(self, plan: Arc<Plan>) -> Engine {
        assert_eq!(plan.tables, self.plan.tables, "table ids in the log mean the same");
        let (log, memo, next_stage) = (self.log, self.memo, self.next_stage);
        Engine { memo, next_stage, ..Engine::with_log(plan, log, self.position, self.limits) }
    }

    /// The position whose prefix of commits the cells show.
    pub fn position(&self) -> Lsn {
        self.position
    }

    /// The node versions in use.
    pub fn versions(&self) -> &Arc<Versions> {
        &self.versions
    }

    #[cfg(test)]
    pub(super) fn describe(&self, id: DocumentKey) -> String {
        let document = &self.documents[id];
        let waiting = document.waiting.as_ref().map(|waiting| (waiting.position, waiting.frozen));
        let mut text = format!("waiting {waiting:?}, told {:?}", document.told);
        for (id, group) in &self.tables.groups {
            text +=
                &format!("\n{id:?} {:?} {:?} {:?}: {}", group.arrangement, group.values, group.state, group.rows.len());
        }
        for (id, list) in &self.lists {
            let list = list.as_ref().expect("at rest");
            text += &format!("\n{id:?} {:?} blocked {:?} {:?}", list.list, list.blocked, list.state);
            if let super::cells::SourceCell::Through { unfilled, by_join, .. } = &list.source {
                text += &format!(" unfilled {unfilled:?} joins {by_join:?}");
            }
        }
        text
    }

    /// Whether the document's last emission includes everything up to the engine's position.
    pub fn is_settled(&self, document: DocumentKey) -> bool {
        self.documents.get(document).is_some_and(|document| {
            document.waiting.is_none() && matches!(self.list_ref(document.list).state, ListState::Ready(_))
        })
    }

    /// Why a document has no newer state than its last.
    pub fn blocked(&self, document: DocumentKey) -> Option<Blocked> {
        self.documents.get(document).and_then(|document| document.told)
    }

    /// That a node held documents which now wait for its answers is told anew, if these hold them too: nobody was told before.
    pub fn tell_held_anew(&mut self) {
        for document in self.documents.values_mut() {
            document.told.take_if(|told| *told == Blocked::Held && document.waiting.is_some());
        }
    }

    /// Whether an answer waits for the stream to pass a position.
    pub fn waits_for_position(&self) -> bool {
        self.stages.values().any(OpenStage::is_answered)
    }

    /// How much there is.
    pub fn size(&self) -> Size {
        Size {
            rows: self.tables.len(),
            groups: self.tables.groups.len(),
            elements: self.elements.len(),
            lists: self.lists.len(),
            documents: self.documents.len(),
            stages: self.stages.len(),
        }
    }

    /// How often an element needed no guest of this node, since the same question had been asked.
    pub fn memo_hits(&self, node: NodeId) -> u64 {
        self.memo.hits(node)
    }

    /// Asks for a snapshot if no upquery is under way. To be called now and then, at least once in 2^30 transactions of the
    /// database: ids are compared modulo 2^32, so what is known of old ones has to be renewed.
    pub fn refresh(&mut self) -> Effects {
        self.ask_snapshot();
        self.finish(Cause::Other)
    }

    fn ask_snapshot(&mut self) {
        if self.stages.is_empty() {
            self.ask(Vec::new());
        }
    }

    /// A committed transaction, the next in the stream.
    pub fn commit(&mut self, commit: Arc<Commit>) -> Effects {
        let mut touched = Touched::default();
        for change in &commit.changes {
            self.tables.apply(change, &mut touched);
        }
        self.learn_fresh(&commit.changes);
        self.log.push(commit.clone());
        self.position = self.position.max(commit.end);
        self.spread(touched);
        self.merge_due();
        self.finish(Cause::Other)
    }

    /// A committed transaction, the next in the stream, that was too large to be kept: what it touched is asked anew, and
    /// nothing of it is shown before all of it is.
    pub fn commit_unkept(&mut self, xid: Xid, end: Lsn, tables: impl IntoIterator<Item = TableId>) -> Effects {
        self.log.miss(xid);
        self.drop_whole_read();
        self.position = self.position.max(end);
        tables.into_iter().for_each(|table| self.forget_table(table));
        self.merge_due();
        self.finish(Cause::Other)
    }

    /// The stream has passed `position`: every commit that ends at or before it was given to [`Engine::commit`].
    pub fn advance(&mut self, position: Lsn) -> Effects {
        self.position = self.position.max(position);
        self.merge_due();
        self.finish(Cause::Other)
    }

    /// Calls that were [resolved](GuestCall::resolve).
    pub fn answered(&mut self, calls: &[Arc<GuestCall>]) -> Effects {
        let mut finished = Vec::new();
        for call in calls.iter().filter(|call| call.answer().is_some()) {
            self.memo.remember(call.clone());
            for waiter in self.waiters.remove(&address(call)).unwrap_or_default() {
                match waiter {
                    Waiter::Element(id) if self.elements.contains_key(id) => self.mark_element(id),
                    Waiter::List(id) if self.lists.contains_key(id) => self.mark_list(id),
                    Waiter::Document(id) => finished.extend(self.count_answer(id)),
                    Waiter::Element(_) | Waiter::List(_) => {}
                }
            }
        }
        if self.waiters.is_empty() {
            self.waiters.shrink_to(RESERVED);
        }
        for document in finished {
            self.finish_tree(document);
        }
        self.finish(Cause::Answers)
    }

    /// These were never asked, since nothing needs their answers any more: nobody but the caller holds them. They end here, since one that
    /// lives is found when its question comes up again.
    pub fn abandoned(&mut self, calls: Vec<Arc<GuestCall>>) {
        for call in calls {
            self.waiters.remove(&address(&call));
            self.memo.close(&call);
        }
    }

    /// The row that a call which is open was first asked of, for people. `None`: it is about a whole list.
    pub fn origin(&self, call: &Arc<GuestCall>) -> Option<&Origin> {
        self.memo.origin(call)
    }

    /// A node has a new version, or (`None`) none that works. `tick` counts its re-evaluations. One that the plan does not have changes
    /// nothing.
    pub fn node_changed(&mut self, node: NodeId, version: Option<NodeVersion>, tick: u64) -> Effects {
        let now = version.map(|version| (version, tick));
        if self.plan.nodes.contains_key(&node) && self.versions.0[node.0 as usize] != now {
            let before = self.versions.0[node.0 as usize];
            let mut versions = (*self.versions).clone();
            versions.0[node.0 as usize] = now;
            self.versions = Arc::new(versions);
            // Of a version that comes again somebody wants to know why it fails, and has been told nothing since.
            if let Some(version) = version.filter(|version| before.is_none_or(|(before, _)| before != *version)) {
                self.memo.forget_failures(node, version);
            }
            self.mark_users(node, |_| true);
        }
        self.finish(Cause::Other)
    }

    /// The version that a node has turns out to be no good: another one takes its place, or (`None`) none, and no state that waits
    /// for its answers is shown.
    pub fn withdraw(&mut self, node: NodeId, version: Option<NodeVersion>, tick: u64) -> Effects {
        let at = node.0 as usize;
        let Some(&withdrawn) = self.versions.0.get(at) else { return Effects::default() };
        for (id, document) in &mut self.documents {
            if document.waiting.take_if(|waiting| waiting.versions().0[at] == withdrawn).is_some() {
                self.changed.insert(id);
            }
        }
        // If it is loaded again it is judged again, by what it is asked then.
        if let Some((version, _)) = withdrawn {
            self.memo.forget_version(node, version);
        }
        self.node_changed(node, version, tick)
    }

    /// Asks a node again what it failed on for a reason that may pass ([`GuestError::passing`](super::guest::GuestError)).
    pub fn retry(&mut self, node: NodeId) -> Effects {
        self.memo.forget_passing(node);
        self.mark_users(node, |calls| calls.iter().any(|call| call.is_passing_failure()));
        self.finish(Cause::Other)
    }

    /// What was read of this table before is not to be joined with what comes: its keys are asked again.
    pub fn table_changed(&mut self, table: TableId) -> Effects {
        self.drop_whole_read();
        self.forget_table(table);
        self.finish(Cause::Other)
    }

    fn forget_table(&mut self, table: TableId) {
        self.forget_asks(table);
        let arrangements = &self.plan.arrangements;
        let groups = self.tables.groups.iter();
        let concerned: Vec<GroupId> = groups
            .filter(|(_, group)| arrangements[group.arrangement.0 as usize].table == table)
            .map(|(id, _)| id)
            .collect();
        for group in concerned {
            self.tables.empty(group, Fill::Wanted);
            self.wanted.push(group);
            self.group_news(group);
        }
    }

    /// The stream has lost its place and begins again: everything is asked anew. Documents keep what they emitted last.
    pub fn reset(&mut self, origin: Snapshot, position: Lsn) -> Effects {
        self.tables = Tables::new(self.plan.clone());
        self.elements.clear();
        self.element_index.iter_mut().for_each(FxHashMap::clear);
        self.lists.clear();
        self.list_index.iter_mut().for_each(FxHashMap::clear);
        self.log = Log::new(origin, LOG_KEEPS);
        self.drop_whole_read();
        self.stages.clear();
        self.answered.clear();
        self.waiters.clear();
        self.dirty.clear();
        self.wanted.clear();
        self.orphans.clear();
        self.position = position;
        let documents: Vec<DocumentKey> = self.documents.keys().collect();
        for id in documents {
            let (document, params) = (self.documents[id].document, self.documents[id].params.clone());
            let definition = self.plan.documents[document.0 as usize].list;
            let list = self.list(definition, Vec::new(), params);
            self.list_mut(list).readers.insert(Reader::Document(id), 1);
            let cell = &mut self.documents[id];
            cell.list = list;
            cell.waiting = None;
            self.changed.insert(id);
        }
        self.finish(Cause::Other)
    }

    /// Ends a step: refreshes what is dirty, considers the documents, frees what nobody reads, collects the effects.
    pub(super) fn finish(&mut self, cause: Cause) -> Effects {
        self.refresh_dirty();
        while let Some(document) = self.changed.pop_first() {
            self.consider(document, cause);
        }
        self.free_orphans();
        for group in std::mem::take(&mut self.noticed) {
            self.tables.forget_before(group);
        }
        self.tables.sweep();
        self.fresh.clear();
        self.ask_wanted();
        if self.log.remembered() > REMEMBERED {
            self.ask_snapshot();
        }
        if self.log.size() > LOG_LIMIT {
            self.shorten_log();
        }
        self.end_if_read();
        if self.log.is_long() {
            let kept = self.whole_read.as_ref().map(|read| read.opened);
            let needed = self.stages.values().map(|stage| stage.opened).chain(kept).min();
            self.log.trim(needed);
        }
        self.effects.calls = self.memo.take_asked();
        std::mem::take(&mut self.effects)
    }

    /// Passes on what changes did to groups and rows.
    pub(super) fn spread(&mut self, touched: Touched) {
        for (group, row) in touched.groups {
            let readers: Vec<ListCellId> = self.tables.groups[group].readers.keys().copied().collect();
            for list in readers {
                self.list_mut(list).news.rows.push((group, row.clone()));
                self.mark_list(list);
            }
        }
        for group in touched.emptied {
            self.wanted.push(group);
            self.group_news(group);
        }
        let shown = std::mem::take(&mut self.tables.shown);
        for (table, row) in touched.rows.into_iter().chain(shown) {
            let elements = self.tables.known_mut(table, &row).map(|known| known.elements.clone()).unwrap_or_default();
            for element in elements {
                self.mark_element(element);
            }
        }
    }

    /// A group was filled or emptied.
    pub(super) fn group_news(&mut self, group: GroupId) {
        self.noticed.push(group);
        let readers: Vec<ListCellId> = self.tables.groups[group].readers.keys().copied().collect();
        for list in readers {
            self.list_mut(list).news.groups.push(group);
            self.mark_list(list);
        }
    }

    pub(super) fn list_mut(&mut self, id: ListCellId) -> &mut ListCell {
        self.lists[id].as_mut().expect("a list's cell is away only while it is refreshed, and its readers are higher")
    }

    pub(super) fn list_ref(&self, id: ListCellId) -> &ListCell {
        self.lists[id].as_ref().expect("a list's cell is away only while it is refreshed, and its readers are higher")
    }

    pub(super) fn context(&mut self) -> Context<'_> {
        Context { plan: &self.plan, shapes: &self.shapes, memo: &mut self.memo }
    }

    /// Marks every cell that calls this node; of elements, those whose calls are `concerned`.
    fn mark_users(&mut self, node: NodeId, concerned: impl Fn(&Calls) -> bool) {
        let plan = self.plan.clone();
        let uses: Vec<bool> =
            plan.elements.iter().map(|element| element.steps.iter().any(|s| calls(s, node))).collect();
        let elements = self
            .elements
            .iter()
            .filter(|(_, cell)| uses[cell.element.0 as usize] && (concerned(&cell.calls) || concerned(&cell.asked)));
        let elements: Vec<ElementCellId> = elements.map(|(id, _)| id).collect();
        elements.into_iter().for_each(|id| self.mark_element(id));
        let lists: Vec<ListCellId> = self.lists.keys().collect();
        for id in lists {
            let definition = &plan.lists[self.list_ref(id).list.0 as usize];
            let first = definition.stages.iter().skip(1).position(|stage| uses[stage.element.id.0 as usize]);
            let reduces = matches!(&definition.shape, Shape::Reduce(call) if call.node == node);
            if let Some(first) = first {
                for stage in &mut self.list_mut(id).stages[first + 1..] {
                    *stage = Default::default();
                }
            }
            if first.is_some() || reduces {
                self.mark_list(id);
            }
        }
    }
}

fn calls(step: &Step, node: NodeId) -> bool {
    match step {
        Step::Filter(call) | Step::Map { call, .. } => call.node == node,
        Step::Where(_) | Step::Select(_) => false,
    }
}

/// A key for a sub-plan's parameters.
pub(super) fn params_key(params: &[Option<Value>]) -> Key {
    let mut key = KeyBuilder::new();
    push_params(&mut key, params);
    key.finish()
}

pub(super) fn push_params(key: &mut KeyBuilder, params: &[Option<Value>]) {
    for param in params {
        match param {
            None => key.push_raw(&[0]),
            Some(value) => {
                key.push_raw(&[1]);
                key.push_text(&value.to_json());
            }
        }
    }
}
