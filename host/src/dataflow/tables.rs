//! Rows and arrangements: the part of the database that is known, exactly as of the engine's position.
//!
//! Only demanded rows are here: a row is kept while it is in a filled cell of an arrangement, or an element still shows
//! it. A change to any other row finds no cell to go to and costs a look-up in the [`Index`] of each arrangement of its
//! table.
//! Cells that are not filled ignore changes: what they miss, the stage of their upquery replays.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use slotmap::{SlotMap, new_key_type};
use smallvec::SmallVec;

use super::evaluate::Params;
use super::index::Index;
use super::plan::{Arrangement, ArrangementId, Plan};
use super::small_map::SmallMap;
use crate::data::{Change, Expr, Field, Key, KeyBuilder, LeafId, Row, RowId, TableId, Value};

new_key_type! {
    /// A cell of an arrangement.
    pub(super) struct GroupId;
    /// A cell of an element.
    pub(super) struct ElementCellId;
    /// A cell of a list.
    pub(super) struct ListCellId;
}

/// One arrangement at one key: the rows of a group.
pub(super) struct Group {
    pub arrangement: ArrangementId,
    pub key: Key,
    /// The key's values, for the upquery.
    pub values: Vec<Value>,
    pub params: Params,
    pub filter: Option<Arc<Expr>>,
    pub state: Fill,
    /// The rows, with their number (above one only for a bag).
    pub rows: SmallMap<RowId, u32, 1>,
    /// The rows it had before it was emptied, until its readers have looked at what it has now.
    pub before: Vec<RowId>,
    /// The lists that read it, with the number of times.
    pub readers: SmallMap<ListCellId, u32, 1>,
}

/// Whether a group's rows are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// Nobody asked the database yet.
    Wanted,
    /// An upquery is under way.
    Asked,
    Filled,
    /// More rows than a list may have.
    TooLong,
    /// The database refuses to answer.
    Refused,
}

/// A known row.
pub(super) struct Known {
    pub row: Row,
    /// How many groups hold it, a bag's row as often as it occurs.
    holders: u32,
    /// The elements that show it.
    pub elements: SmallVec<[ElementCellId; 2]>,
}

impl Known {
    /// Whether a group vouches for its values.
    pub(super) fn is_held(&self) -> bool {
        self.holders > 0
    }
}

/// What a change did to live cells.
#[derive(Default)]
pub(super) struct Touched {
    /// Groups in which this row came, went or changed.
    pub groups: Vec<(GroupId, RowId)>,
    /// Known rows with new values.
    pub rows: Vec<(TableId, RowId)>,
    /// Groups that have to be asked again: a row came whose values are not all known.
    pub emptied: Vec<GroupId>,
}

/// See the module.
pub(super) struct Tables {
    plan: Arc<Plan>,
    pub groups: SlotMap<GroupId, Group>,
    known: Vec<FxHashMap<RowId, Known>>,
    /// For each arrangement, its cells.
    index: Vec<Index>,
    /// For each table, its arrangements.
    arrangements: Vec<Vec<ArrangementId>>,
    /// Rows that may have lost their last holder.
    loose: Vec<(TableId, RowId)>,
    /// Rows that came back while elements still showed what they were before.
    pub shown: Vec<(TableId, RowId)>,
}

impl Tables {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        let mut arrangements = vec![Vec::new(); plan.tables.len()];
        for (index, arrangement) in plan.arrangements.iter().enumerate() {
            arrangements[arrangement.table.0 as usize].push(ArrangementId(index as u32));
        }
        Tables {
            groups: SlotMap::with_key(),
            known: plan.tables.iter().map(|_| FxHashMap::default()).collect(),
            index: plan.arrangements.iter().map(|of| Index::new(of.filter.as_ref())).collect(),
            arrangements,
            loose: Vec::new(),
            shown: Vec::new(),
            plan,
        }
    }

    pub(super) fn arrangement(&self, id: ArrangementId) -> &Arrangement {
        &self.plan.arrangements[id.0 as usize]
    }

    /// The row, if it is known.
    pub(super) fn row(&self, table: TableId, id: &RowId) -> Option<&Row> {
        self.known[table.0 as usize].get(id).map(|known| &known.row)
    }

    pub(super) fn known(&self, table: TableId, id: &RowId) -> Option<&Known> {
        self.known[table.0 as usize].get(id)
    }

    pub(super) fn known_mut(&mut self, table: TableId, id: &RowId) -> Option<&mut Known> {
        self.known[table.0 as usize].get_mut(id)
    }

    /// How many rows are known, in all tables.
    pub(super) fn len(&self) -> usize {
        self.known.iter().map(FxHashMap::len).sum()
    }

    /// The group of this key and these parameters, made (not filled) if there is none. `None`: a null in the key, which
    /// is equal to nothing.
    pub(super) fn group(&mut self, id: ArrangementId, values: Vec<Value>, params: Params) -> Option<GroupId> {
        let arrangement = &self.plan.arrangements[id.0 as usize];
        let key = group_key(arrangement, values.iter())?;
        if let Some(found) = self.index[id.0 as usize].get(&key, &params) {
            return Some(found);
        }
        let filter = arrangement.filter.as_ref().map(|filter| Arc::new(filter.bind(&params)));
        let group = self.groups.insert(Group {
            arrangement: id,
            key: key.clone(),
            values,
            params: params.clone(),
            filter,
            state: Fill::Wanted,
            rows: SmallMap::default(),
            before: Vec::new(),
            readers: SmallMap::default(),
        });
        self.index[id.0 as usize].insert(key, params, group);
        Some(group)
    }

    /// Forgets a group that nobody reads.
    pub(super) fn forget(&mut self, id: GroupId) {
        let Some(group) = self.groups.remove(id) else { return };
        let table = self.plan.arrangements[group.arrangement.0 as usize].table;
        for (row, count) in group.rows.into_entries() {
            self.release(table, row, count);
        }
        self.index[group.arrangement.0 as usize].remove(&group.key, &group.params, id);
    }

    /// Fills a group with these rows.
    pub(super) fn fill(&mut self, id: GroupId, rows: impl IntoIterator<Item = (RowId, Row, u32)>) {
        let table = self.plan.arrangements[self.groups[id].arrangement.0 as usize].table;
        self.groups[id].state = Fill::Filled;
        for (row_id, row, count) in rows {
            self.hold(table, &row_id, &row, count);
            self.groups[id].rows.insert(row_id, count);
        }
    }

    /// Takes a group's rows away, so that it has to be asked again.
    pub(super) fn empty(&mut self, id: GroupId, state: Fill) {
        let group = &mut self.groups[id];
        group.state = state;
        let table = self.plan.arrangements[group.arrangement.0 as usize].table;
        for (row, count) in std::mem::take(&mut group.rows).into_entries() {
            self.groups[id].before.push(row.clone());
            self.release(table, row, count);
        }
    }

    /// The readers of a group that is filled know what it has.
    pub(super) fn forget_before(&mut self, id: GroupId) {
        if let Some(group) = self.groups.get_mut(id).filter(|group| group.state == Fill::Filled) {
            group.before = Vec::new();
        }
    }

    /// Applies a change to every filled group it concerns.
    pub(super) fn apply(&mut self, change: &Change, touched: &mut Touched) {
        match change {
            Change::Insert { table, id, row } => self.insert(*table, id, row, touched),
            Change::Delete { table, id } => self.remove(*table, id, touched),
            Change::Update { table, old, id, row, unchanged } => {
                self.update(*table, old, id, row, unchanged, touched);
            }
            Change::Truncate { table, leaf } => self.truncate(*table, *leaf, touched),
        }
    }

    fn insert(&mut self, table: TableId, id: &RowId, row: &Row, touched: &mut Touched) {
        for position in 0..self.arrangements[table.0 as usize].len() {
            let arrangement = self.arrangements[table.0 as usize][position];
            for group in self.matching(arrangement, row) {
                self.hold(table, id, row, 1);
                *self.groups[group].rows.or_default(id.clone()) += 1;
                touched.groups.push((group, id.clone()));
            }
        }
    }

    fn remove(&mut self, table: TableId, id: &RowId, touched: &mut Touched) {
        let Some(row) = self.row(table, id).cloned() else { return };
        for position in 0..self.arrangements[table.0 as usize].len() {
            let arrangement = self.arrangements[table.0 as usize][position];
            for group in self.holding(arrangement, id, &row) {
                self.take(table, group, id, touched);
            }
        }
    }

    fn take(&mut self, table: TableId, group: GroupId, id: &RowId, touched: &mut Touched) {
        let rows = &mut self.groups[group].rows;
        match rows.get_mut(id) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => drop(rows.remove(id)),
            None => return,
        }
        self.release(table, id.clone(), 1);
        touched.groups.push((group, id.clone()));
    }

    fn update(&mut self, table: TableId, old: &RowId, id: &RowId, row: &Row, unchanged: &[u16], touched: &mut Touched) {
        // Of a row that only an element still shows nobody knows the values.
        let known = self.known[table.0 as usize].get(old);
        let before = known.filter(|known| known.is_held()).map(|known| known.row.clone());
        if before.is_none() && !unchanged.is_empty() {
            return self.arrives_incomplete(table, row, unchanged, touched);
        }
        let row = complete(row, unchanged, before.as_ref());
        match before {
            Some(before) if old == id => self.change(table, id, &before, &row, touched),
            Some(_) => {
                self.remove(table, old, touched);
                self.insert(table, id, &row, touched);
            }
            None => self.insert(table, id, &row, touched),
        }
    }

    /// New values for a known row that keeps its identity.
    fn change(&mut self, table: TableId, id: &RowId, before: &Row, row: &Row, touched: &mut Touched) {
        if same_texts(before, row) {
            // Of the columns in use none changed.
            return;
        }
        for position in 0..self.arrangements[table.0 as usize].len() {
            let arrangement = self.arrangements[table.0 as usize][position];
            let (mut was, mut is) = (self.holding(arrangement, id, before), self.matching(arrangement, row));
            was.sort_unstable();
            is.sort_unstable();
            for &group in &was {
                if is.binary_search(&group).is_ok() {
                    touched.groups.push((group, id.clone()));
                } else {
                    self.take(table, group, id, touched);
                }
            }
            for &group in is.iter().filter(|group| was.binary_search(group).is_err()) {
                self.hold(table, id, row, 1);
                self.groups[group].rows.insert(id.clone(), 1);
                touched.groups.push((group, id.clone()));
            }
        }
        if let Some(known) = self.known[table.0 as usize].get_mut(id) {
            known.row = row.clone();
            touched.rows.push((table, id.clone()));
        }
    }

    /// A row that was in no group, whose large values were not sent: a group it may belong to has to be asked again.
    fn arrives_incomplete(&mut self, table: TableId, row: &Row, unchanged: &[u16], touched: &mut Touched) {
        for position in 0..self.arrangements[table.0 as usize].len() {
            let id = self.arrangements[table.0 as usize][position];
            let groups = self.possible(id, row, unchanged);
            for group in groups {
                self.empty(group, Fill::Wanted);
                touched.emptied.push(group);
            }
        }
    }

    /// The filled groups a row may belong to, of which the columns `unchanged` are not known.
    fn possible(&self, id: ArrangementId, row: &Row, unchanged: &[u16]) -> SmallVec<[GroupId; 2]> {
        let arrangement = self.arrangement(id);
        let unknown = |column: usize| unchanged.iter().any(|&other| usize::from(other) == column);
        let filled = |group: &GroupId| self.groups[*group].state == Fill::Filled;
        if arrangement.key.iter().any(|(column, _)| unknown(*column)) {
            return self.index[id.0 as usize].all().filter(filled).collect();
        }
        let undecided = arrangement.filter.as_ref().is_some_and(|filter| {
            filter.fields().any(|field| matches!(field, Field::Column(column) if unknown(*column)))
        });
        let mut groups = self.candidates(id, row, |column| (!unknown(column)).then(|| row.get(column)));
        groups.retain(|group| filled(group) && (undecided || passes(&self.groups[*group], row)));
        groups
    }

    fn truncate(&mut self, table: TableId, leaf: LeafId, touched: &mut Touched) {
        let known = &self.known[table.0 as usize];
        let mut gone: Vec<RowId> = known.keys().filter(|id| id.leaf == leaf).cloned().collect();
        gone.sort_unstable();
        for id in gone {
            // A bag's row is removed as often as it occurs.
            let mut holders = u32::MAX;
            while self.known[table.0 as usize].get(&id).is_some_and(|known| (1..holders).contains(&known.holders)) {
                holders = self.known[table.0 as usize][&id].holders;
                self.remove(table, &id, touched);
            }
        }
    }

    /// The groups of an arrangement that a row may belong to, filled or not. Its key columns are known; `known` gives the
    /// values of the others that are.
    fn candidates<'v>(
        &self,
        id: ArrangementId,
        row: &Row,
        known: impl Fn(usize) -> Option<&'v Value>,
    ) -> SmallVec<[GroupId; 2]> {
        let key = self.key_of(id, row);
        key.map_or_else(SmallVec::new, |key| self.index[id.0 as usize].candidates(&key, known))
    }

    fn key_of(&self, id: ArrangementId, row: &Row) -> Option<Key> {
        let arrangement = self.arrangement(id);
        group_key(arrangement, arrangement.key.iter().map(|(column, _)| row.get(*column)))
    }

    /// The filled groups a row belongs to.
    fn matching(&self, id: ArrangementId, row: &Row) -> SmallVec<[GroupId; 2]> {
        let mut groups = self.candidates(id, row, |column| Some(row.get(column)));
        groups.retain(|&mut group| {
            let group = &self.groups[group];
            group.state == Fill::Filled && passes(group, row)
        });
        groups
    }

    /// The groups that hold a row, whose values are these.
    fn holding(&self, arrangement: ArrangementId, id: &RowId, row: &Row) -> SmallVec<[GroupId; 2]> {
        let mut groups = self.candidates(arrangement, row, |column| Some(row.get(column)));
        groups.retain(|group| self.groups[*group].rows.contains_key(id));
        groups
    }

    /// The group of an arrangement, with these parameters, whose key columns the row has.
    pub(super) fn holder(&self, id: ArrangementId, row: &Row, params: &Params) -> Option<GroupId> {
        self.index[id.0 as usize].get(&self.key_of(id, row)?, params)
    }

    /// The groups at this key that are not filled.
    pub(super) fn unfilled(&self, id: ArrangementId, key: &Key) -> SmallVec<[GroupId; 1]> {
        let groups = self.index[id.0 as usize].at(key);
        groups.filter(|&group| matches!(self.groups[group].state, Fill::Wanted | Fill::Asked)).collect()
    }

    fn hold(&mut self, table: TableId, id: &RowId, row: &Row, count: u32) {
        let known = self.known[table.0 as usize].entry(id.clone()).or_insert_with(|| Known {
            row: row.clone(),
            holders: 0,
            elements: SmallVec::new(),
        });
        if known.holders == 0 {
            known.row = row.clone();
            if !known.elements.is_empty() {
                self.shown.push((table, id.clone()));
            }
        }
        known.holders += count;
    }

    fn release(&mut self, table: TableId, id: RowId, count: u32) {
        if let Some(known) = self.known[table.0 as usize].get_mut(&id) {
            known.holders -= count;
            if known.holders == 0 {
                self.loose.push((table, id));
            }
        }
    }

    /// An element shows this row no longer.
    pub(super) fn forget_element(&mut self, table: TableId, id: &RowId, element: ElementCellId) {
        if let Some(known) = self.known[table.0 as usize].get_mut(id) {
            known.elements.retain(|other| *other != element);
            if known.holders == 0 {
                self.loose.push((table, id.clone()));
            }
        }
    }

    /// Drops the rows that nobody holds or shows. Called when a step is done: within one, a row may go and come back.
    pub(super) fn sweep(&mut self) {
        for (table, id) in std::mem::take(&mut self.loose) {
            let known = &mut self.known[table.0 as usize];
            if known.get(&id).is_some_and(|known| known.holders == 0 && known.elements.is_empty()) {
                known.remove(&id);
            }
        }
    }
}

/// Whether a row meets a group's condition.
pub(super) fn passes(group: &Group, row: &Row) -> bool {
    group.filter.as_ref().is_none_or(|filter| filter.test_row(row) == Some(true))
}

/// Whether two rows look the same to everybody, nodes included.
fn same_texts(a: &Row, b: &Row) -> bool {
    a.values().iter().zip(b.values()).all(|(a, b)| a.is_written_alike(b))
}

/// The row's new values, those not sent taken from the row before.
pub(super) fn complete(row: &Row, unchanged: &[u16], before: Option<&Row>) -> Row {
    match before {
        Some(before) if !unchanged.is_empty() => {
            let mut values = row.values().to_vec();
            for &column in unchanged {
                values[usize::from(column)] = before.get(usize::from(column)).clone();
            }
            Row::new(values)
        }
        _ => row.clone(),
    }
}

/// The key of these values; `None` if one is null.
pub(super) fn group_key<'a>(arrangement: &Arrangement, values: impl Iterator<Item = &'a Value>) -> Option<Key> {
    let mut key = KeyBuilder::new();
    for ((_, class), value) in arrangement.key.iter().zip(values) {
        if !key.push(class, value) {
            return None;
        }
    }
    Some(key.finish())
}

/// Whether two cells have the same parameters: as texts, so that what a guest would tell apart stays apart.
pub(super) fn same_params(a: &Params, b: &Params) -> bool {
    let same = |a: &Option<Value>, b: &Option<Value>| match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.is_written_alike(b),
        _ => false,
    };
    Arc::ptr_eq(a, b) || (a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a, b)))
}
