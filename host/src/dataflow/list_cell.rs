//! The cells of lists: which rows are in them, and where.
//!
//! A list's members follow from its groups: the rows of one group, or for each join row of one group the rows of the group
//! it points at. What changed since the last refresh is noted as it happens ([`News`](super::cells::News)), so a refresh looks at that and at nothing
//! else.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use super::cells::{Blocked, ElementState, ListCell, ListState, Member, News, Place, Reader, SourceCell, leave};
use super::element_cell::worse;
use super::engine::{Dirty, Engine, Orphan, Waiter, push_params};
use super::evaluate::{Calls, Params, any_failed};
use super::guest::GuestCall;
use super::memo::address;
use super::plan::{ArrangementRef, Count, KeySource, ListId, Plan, Source};
use super::sequence::{First, Frame, Hole, PendingList, Settled, Stage, keeps_rows, settle, sort_terms};
use super::small_map::SmallMap;
use super::tables::{Fill, GroupId, ListCellId, Tables};
use crate::data::{ElementKey, Identity, Key, KeyBuilder, Row, RowId, Table, Value};

impl Engine {
    /// The list's cell under these parents' values, made if there is none. The caller adds itself as a reader.
    pub(super) fn list(&mut self, id: ListId, parents: Vec<Value>, params: Params) -> ListCellId {
        let key = list_key(&parents, &params);
        if let Some(&found) = self.list_index[id.0 as usize].get(&key) {
            return found;
        }
        let plan = self.plan.clone();
        let definition = &plan.lists[id.0 as usize];
        let source = self.source(&definition.source, &parents, &params);
        let cell = ListCell {
            list: id,
            key: key.clone(),
            windows: windows(definition.stages.iter().map(|stage| (&stage.offset, &stage.limit)), &params),
            params,
            source,
            members: SmallMap::default(),
            occurrences: 0,
            is_long: false,
            blocked: [0; 4],
            stages: vec![Stage::default(); definition.stages.len()],
            state: ListState::Blocked(Blocked::Missing),
            readers: SmallMap::default(),
            calls: Calls::new(),
            news: News::default(),
        };
        let group = cell.source.first();
        let cell_id = self.lists.insert(Some(Box::new(cell)));
        self.list_index[id.0 as usize].insert(key, cell_id);
        if let Some(group) = group {
            *self.tables.groups[group].readers.or_default(cell_id) += 1;
            self.list_mut(cell_id).news.groups.push(group);
        }
        self.refresh_list(cell_id);
        cell_id
    }

    fn source(&mut self, source: &Source, parents: &[Value], params: &Params) -> SourceCell {
        match source {
            Source::Rows(rows) => SourceCell::Rows(self.group(rows, parents, None, params)),
            Source::Through { joins, .. } => SourceCell::Through {
                joins: self.group(joins, parents, None, params),
                by_join: SmallMap::default(),
                targets: SmallMap::default(),
                unfilled: FxHashSet::default(),
            },
        }
    }

    /// The group a reference names, asked for if it is new.
    pub(super) fn group(
        &mut self,
        reference: &ArrangementRef,
        parents: &[Value],
        join: Option<&Row>,
        params: &Params,
    ) -> Option<GroupId> {
        let values = reference.key.iter().map(|source| match *source {
            KeySource::Parent(index) => parents[index].clone(),
            KeySource::Param(index) => params[index].clone().unwrap_or(Value::Null),
            KeySource::Join(column) => join.expect("only the second step of a join has a join row").get(column).clone(),
        });
        let params = reference.params.iter().map(|&index| params[index].clone()).collect();
        let group = self.tables.group(reference.id, values.collect(), params)?;
        if self.tables.groups[group].state == Fill::Wanted && !self.fill_fresh(group) {
            self.wanted.push(group);
        }
        Some(group)
    }

    pub(super) fn release_list(&mut self, id: ListCellId, reader: Reader) {
        if let Some(Some(list)) = self.lists.get_mut(id) {
            leave(&mut list.readers, &reader);
            if list.readers.is_empty() {
                self.orphans.push(Orphan::List(id));
            }
        }
    }

    /// Brings a list up to date. True if its state changed.
    pub(super) fn refresh_list(&mut self, id: ListCellId) -> bool {
        let mut cell = self.lists[id].take().expect("a list is refreshed once at a time");
        let news = std::mem::take(&mut cell.news);
        let mut changed = news.elements;
        let affected = self.affected_rows(id, &mut cell, news.rows, news.groups, &mut changed);
        self.update_members(id, &mut cell, affected, changed);
        let state = self.list_state(id, &mut cell);
        let changed = !same_list(&cell.state, &state);
        cell.state = state;
        self.lists[id] = Some(cell);
        changed
    }

    /// The rows whose membership may have changed, after join rows and groups are brought up to date.
    fn affected_rows(
        &mut self,
        id: ListCellId,
        cell: &mut ListCell,
        rows: Vec<(GroupId, RowId)>,
        groups: Vec<GroupId>,
        changed: &mut Vec<RowId>,
    ) -> BTreeSet<RowId> {
        let mut affected: BTreeSet<RowId> = BTreeSet::new();
        let refilled: FxHashSet<GroupId> = groups.into_iter().collect();
        if let SourceCell::Through { joins: Some(joins), .. } = cell.source {
            let touched = rows.iter().filter(|(group, _)| *group == joins).map(|(_, row)| row.clone());
            let mut touched: BTreeSet<RowId> = touched.collect();
            if refilled.contains(&joins) && self.tables.groups[joins].state == Fill::Filled {
                touched.extend(self.tables.groups[joins].rows.keys().cloned());
                if let SourceCell::Through { by_join, .. } = &cell.source {
                    touched.extend(by_join.keys().cloned());
                }
            }
            for join in touched {
                self.refresh_join(id, cell, joins, join, &mut affected, changed);
            }
        }
        // A join row's identity is nobody's in another table; in the same one it may be a member's.
        affected.extend(rows.into_iter().map(|(_, row)| row));
        let first = cell.source.first();
        let source = &self.plan.lists[cell.list.0 as usize].source;
        let adds = matches!(source, Source::Through { add, .. } if !add.is_empty());
        for group in refilled {
            let joins_only = match &cell.source {
                SourceCell::Rows(_) => false,
                SourceCell::Through { targets, .. } => Some(group) == first && !targets.contains_key(&group),
            };
            if joins_only {
                continue;
            }
            let Some(filled) = self.tables.groups.get(group) else { continue };
            if let SourceCell::Through { unfilled, targets, .. } = &mut cell.source {
                match filled.state {
                    Fill::Filled => unfilled.remove(&group),
                    _ => targets.contains_key(&group) && unfilled.insert(group),
                };
            }
            if filled.state == Fill::Filled {
                affected.extend(filled.rows.keys().chain(&filled.before).cloned());
                // Their join rows may have been read anew while these were not there.
                if adds {
                    changed.extend(filled.rows.keys().cloned());
                }
            }
        }
        affected
    }

    /// A join row came, went or changed.
    fn refresh_join(
        &mut self,
        id: ListCellId,
        cell: &mut ListCell,
        joins: GroupId,
        join: RowId,
        affected: &mut BTreeSet<RowId>,
        changed: &mut Vec<RowId>,
    ) {
        let plan = self.plan.clone();
        let Source::Through { joins: join_ref, rows, add } = &plan.lists[cell.list.0 as usize].source else { return };
        let join_table = plan.arrangements[join_ref.id.0 as usize].table;
        let count = self.tables.groups[joins].rows.get(&join).copied().unwrap_or(0);
        let now = match self.tables.row(join_table, &join).filter(|_| count > 0).cloned() {
            // A target's key never comes from the parent: the join row carries it.
            Some(row) => Some((self.group(rows, &[], Some(&row), &cell.params), count)),
            None => None,
        };
        let SourceCell::Through { by_join, targets, unfilled, .. } = &mut cell.source else { return };
        let before = match &now {
            Some(now) => by_join.insert(join.clone(), *now),
            None => by_join.remove(&join),
        };
        if before == now {
            // The same place in the list, perhaps with other values.
            let group = now.filter(|_| !add.is_empty()).and_then(|(target, _)| self.tables.groups.get(target?));
            changed.extend(group.into_iter().flat_map(|group| group.rows.keys().cloned()));
            return;
        }
        let target = |of: &Option<(Option<GroupId>, u32)>| of.and_then(|(target, _)| target);
        for group in [target(&before), target(&now)].into_iter().flatten() {
            if let Some(group) = self.tables.groups.get(group) {
                affected.extend(group.rows.keys().chain(&group.before).cloned());
            }
        }
        let (before, now) = (target(&before), target(&now));
        if before == now {
            return;
        }
        if let Some(group) = now {
            let joins = targets.or_default(group);
            joins.push(join.clone());
            if joins.len() == 1 {
                *self.tables.groups[group].readers.or_default(id) += 1;
                if self.tables.groups[group].state != Fill::Filled {
                    unfilled.insert(group);
                }
            }
        }
        if let Some(group) = before
            && let Some(joins) = targets.get_mut(&group)
        {
            joins.retain(|other| *other != join);
            if joins.is_empty() {
                targets.remove(&group);
                unfilled.remove(&group);
                self.release_group(group, id);
            }
        }
    }

    pub(super) fn release_group(&mut self, group: GroupId, reader: ListCellId) {
        let Some(cell) = self.tables.groups.get_mut(group) else { return };
        leave(&mut cell.readers, &reader);
        if cell.readers.is_empty() {
            self.orphans.push(Orphan::Group(group));
        }
    }

    /// How often a row is in the list, and for which join rows.
    fn occurrences(&self, cell: &ListCell, row: &RowId) -> SmallVec<[(Option<RowId>, u32); 1]> {
        match &cell.source {
            SourceCell::Rows(group) => {
                let group = group.map(|group| &self.tables.groups[group]);
                let count = group.and_then(|group| group.rows.get(row)).copied().unwrap_or(0);
                (count > 0).then_some((None, count)).into_iter().collect()
            }
            SourceCell::Through { by_join, targets, .. } => {
                let Source::Through { rows, .. } = &self.plan.lists[cell.list.0 as usize].source else {
                    return SmallVec::new();
                };
                let table = self.plan.arrangements[rows.id.0 as usize].table;
                let params: Params = rows.params.iter().map(|&index| cell.params[index].clone()).collect();
                let Some(values) = self.tables.row(table, row) else { return SmallVec::new() };
                let Some(group) = self.tables.holder(rows.id, values, &params) else { return SmallVec::new() };
                let Some(count) = self.tables.groups[group].rows.get(row) else { return SmallVec::new() };
                let joins = targets.get(&group).into_iter().flatten();
                joins.map(|join| (Some(join.clone()), count * by_join[join].1)).collect()
            }
        }
    }

    /// Adds, removes and places the members of the first stage.
    fn update_members(&mut self, id: ListCellId, cell: &mut ListCell, affected: BTreeSet<RowId>, changed: Vec<RowId>) {
        let mut moved: BTreeSet<RowId> = changed.into_iter().collect();
        let mut come = Vec::new();
        // Removals first: a row that moved to another partition has a new identity and may have the same key.
        for row in affected {
            let occurrences = self.occurrences(cell, &row);
            match cell.members.get_mut(&row) {
                None if occurrences.is_empty() => {}
                None => come.push((row, occurrences)),
                Some(member) if occurrences.is_empty() => {
                    let element = member.element;
                    cell.occurrences -= total(&member.occurrences);
                    self.unplace(cell, &row);
                    cell.members.remove(&row);
                    self.release_element(element, id);
                }
                Some(member) if member.occurrences != occurrences => {
                    let mut occurrences = occurrences;
                    cell.occurrences += total(&occurrences);
                    std::mem::swap(&mut member.occurrences, &mut occurrences);
                    cell.occurrences -= total(&occurrences);
                    moved.insert(row);
                }
                Some(_) => {}
            }
        }
        for row in &moved {
            self.unplace(cell, row);
        }
        cell.occurrences += come.iter().map(|(_, occurrences)| total(occurrences)).sum::<usize>();
        self.clear_if_too_long(cell, &mut moved);
        for (row, occurrences) in come {
            let element = self.element(id, cell, &row);
            cell.members.insert(row.clone(), Member { element, occurrences, place: Place::Nowhere });
            self.place(cell, &row);
            // Its join row may have been read anew in this very step, too; who is placed twice counts twice.
            moved.remove(&row);
        }
        for row in moved {
            self.place(cell, &row);
        }
    }

    /// A list that is too long places nobody: what it would show is of no use, and may be beyond all memory. One that is not
    /// any more places everybody.
    fn clear_if_too_long(&mut self, cell: &mut ListCell, moved: &mut BTreeSet<RowId>) {
        let is_long = cell.occurrences > self.limits.list_elements;
        if std::mem::replace(&mut cell.is_long, is_long) != is_long {
            let members: Vec<RowId> = cell.members.keys().cloned().collect();
            members.iter().for_each(|row| self.unplace(cell, row));
            moved.extend(members);
        }
    }

    /// Takes a member out of the first stage.
    fn unplace(&mut self, cell: &mut ListCell, row: &RowId) {
        let Some(member) = cell.members.get_mut(row) else { return };
        let stage = &mut cell.stages[0];
        match std::mem::replace(&mut member.place, Place::Nowhere) {
            Place::Nowhere => {}
            Place::Kept(keys) => keys.iter().for_each(|key| stage.take(key)),
            Place::Pending(keys) => keys.iter().for_each(|key| drop(stage.pending.remove(key))),
            Place::Blocked(reason) => cell.blocked[reason.index()] -= 1,
        }
    }

    /// Puts a member where its element's state says.
    fn place(&mut self, cell: &mut ListCell, row: &RowId) {
        let Some(member) = cell.members.get_mut(row).filter(|_| !cell.is_long) else { return };
        let element = &self.elements[member.element];
        let definition = &self.plan.lists[cell.list.0 as usize];
        let table = &self.plan.tables[element.table.0 as usize];
        let stage = &mut cell.stages[0];
        let (plan, tables) = (&self.plan, &self.tables);
        let join_tie = |join: &RowId| match &definition.source {
            Source::Through { joins, add, .. } if !add.is_empty() => {
                let table = plan.arrangements[joins.id.0 as usize].table;
                let mut tie = KeyBuilder::new();
                push_tie(&mut tie, &plan.tables[table.0 as usize], tables.row(table, join)?);
                Some(tie.finish())
            }
            _ => None,
        };
        member.place = match &element.state {
            ElementState::Dropped => Place::Nowhere,
            ElementState::Blocked(reason) => {
                cell.blocked[reason.index()] += 1;
                Place::Blocked(*reason)
            }
            ElementState::Ready(value) => {
                let terms = sort_terms(&definition.stages[0].order, &element.row, value);
                let keys = element_keys(table, row, &element.row, terms, &member.occurrences, &join_tie);
                let kept_row = keeps_rows(definition, 0).then_some(&element.row);
                let mut added = added_columns(plan, tables, &definition.source, &member.occurrences);
                for key in &keys {
                    let value = match added.next().flatten() {
                        Some(added) => self.shapes.with_added(cell.list, value, &added),
                        None => value.clone(),
                    };
                    stage.keep(key.clone(), value, kept_row);
                }
                Place::Kept(keys)
            }
            ElementState::Pending(pending) => {
                let keys = element_keys(table, row, &element.row, KeyBuilder::new(), &member.occurrences, &join_tie);
                let mut added = added_columns(plan, tables, &definition.source, &member.occurrences);
                for key in &keys {
                    let hole = Hole { element: pending.clone(), added: added.next().flatten() };
                    stage.pending.insert(key.clone(), hole);
                }
                Place::Pending(keys)
            }
        };
    }

    fn list_state(&mut self, id: ListCellId, cell: &mut ListCell) -> ListState {
        if let Some(reason) = self.list_blocked(cell) {
            return ListState::Blocked(reason);
        }
        let frame = Frame {
            list: cell.list,
            params: cell.params.clone(),
            versions: self.versions.clone(),
            windows: cell.windows.clone(),
        };
        let (mut open, mut calls) = (Vec::new(), Calls::new());
        let settled = settle(&mut self.context(), &frame, &mut cell.stages, First::Cells, &mut open, &mut calls);
        let failed = any_failed(&calls) || cell.stages.iter().any(|stage| stage.failed > 0);
        self.note_failing(Dirty::List(id), failed, matches!(settled, Settled::Waiting));
        cell.calls = calls;
        self.wait(Waiter::List(id), &open);
        match settled {
            Settled::Ready(value) => ListState::Ready(value),
            Settled::Held => ListState::Blocked(Blocked::Held),
            Settled::Waiting => ListState::Pending(Arc::new(PendingList::new(frame, cell.stages.clone()))),
        }
    }

    fn list_blocked(&self, cell: &ListCell) -> Option<Blocked> {
        let of_group = |group: GroupId| match self.tables.groups[group].state {
            Fill::Filled => None,
            Fill::Wanted | Fill::Asked => Some(Blocked::Missing),
            Fill::TooLong => Some(Blocked::TooLong),
            Fill::Refused => Some(Blocked::Refused),
        };
        let mut worst = cell.source.first().and_then(of_group);
        if let SourceCell::Through { unfilled, .. } = &cell.source {
            worst = unfilled.iter().filter_map(|&group| of_group(group)).fold(worst, worse);
        }
        for reason in [Blocked::Held, Blocked::Missing, Blocked::TooLong, Blocked::Refused] {
            if cell.blocked[reason.index()] > 0 {
                worst = worse(worst, reason);
            }
        }
        if cell.is_long {
            worst = worse(worst, Blocked::TooLong);
        }
        worst
    }

    pub(super) fn wait(&mut self, waiter: Waiter, calls: &[Arc<GuestCall>]) {
        for call in calls {
            self.waiters.entry(address(call)).or_default().insert(waiter);
        }
    }
}

impl SourceCell {
    /// The group that is there from the start: the rows, or the join rows.
    pub(super) fn first(&self) -> Option<GroupId> {
        match self {
            SourceCell::Rows(group) => *group,
            SourceCell::Through { joins, .. } => *joins,
        }
    }
}

fn list_key(parents: &[Value], params: &Params) -> Key {
    let mut key = KeyBuilder::new();
    for parent in parents {
        key.push_text(&parent.to_json());
    }
    push_params(&mut key, params);
    key.finish()
}

fn windows<'a>(
    stages: impl Iterator<Item = (&'a Count, &'a Option<Count>)>,
    params: &Params,
) -> Arc<[(usize, Option<usize>)]> {
    let number = |count: &Count| match count {
        Count::Fixed(count) => Some(*count as usize),
        Count::Param(index) => match params[*index] {
            Some(Value::Int(count)) => Some(usize::try_from(count).unwrap_or(0)),
            _ => None,
        },
    };
    stages.map(|(offset, limit)| (number(offset).unwrap_or(0), limit.as_ref().and_then(number))).collect()
}

/// The keys of an element's occurrences: sort terms, then what tells the element apart.
///
/// Ties of the sort terms are broken by the primary key, without one by the row's JSON text; between several join rows of one
/// row, which can be told apart if their columns are added (`join_tie`), by theirs. Where the primary key is the row's
/// identity it stands for both; otherwise the identity follows.
fn element_keys(
    table: &Table,
    id: &RowId,
    row: &Row,
    mut terms: KeyBuilder,
    occurrences: &[(Option<RowId>, u32)],
    join_tie: &dyn Fn(&RowId) -> Option<Key>,
) -> SmallVec<[ElementKey; 1]> {
    let identity_at = terms.len();
    push_tie(&mut terms, table, row);
    let identified = matches!(&table.identity, Identity::Columns(columns) if *columns == table.primary_key);
    let start = terms.finish();
    let mut keys = SmallVec::new();
    for (join, count) in occurrences {
        for occurrence in 0..*count {
            let mut key = KeyBuilder::new();
            key.push_raw(start.as_bytes());
            if let Some(tie) = join.as_ref().and_then(join_tie) {
                key.push_raw(tie.as_bytes());
            }
            if !identified {
                push_id(&mut key, id);
            }
            if let Some(join) = join {
                push_id(&mut key, join);
            }
            if occurrence > 0 {
                key.push_raw(&occurrence.to_be_bytes());
            }
            keys.push(ElementKey::new(key.finish(), identity_at));
        }
    }
    keys
}

/// What breaks ties between rows: the primary key, without one the row's JSON text.
fn push_tie(key: &mut KeyBuilder, table: &Table, row: &Row) {
    if table.primary_key.is_empty() {
        key.push_text(&table.row_text(row));
    }
    for &column in &table.primary_key {
        match &table.columns[column].ty.class {
            Some(class) => key.push_ordered(class, row.get(column), false, false),
            None => key.push_text(&row.get(column).to_json()),
        }
    }
}

fn total(occurrences: &[(Option<RowId>, u32)]) -> usize {
    occurrences.iter().map(|(_, count)| *count as usize).sum()
}

/// For each occurrence, in the order of its keys, the columns of the join row that the list adds.
fn added_columns<'a>(
    plan: &'a Plan,
    tables: &'a Tables,
    source: &'a Source,
    occurrences: &'a [(Option<RowId>, u32)],
) -> impl Iterator<Item = Option<Arc<[Value]>>> + 'a {
    let of_join = move |join: &RowId| match source {
        Source::Through { joins, add, .. } if !add.is_empty() => {
            let table = plan.arrangements[joins.id.0 as usize].table;
            let row = tables.row(table, join)?;
            Some(add.iter().map(|(_, column)| row.get(*column).clone()).collect())
        }
        _ => None,
    };
    occurrences.iter().flat_map(move |(join, count)| {
        let added: Option<Arc<[Value]>> = join.as_ref().and_then(of_join);
        std::iter::repeat_n(added, *count as usize)
    })
}

fn push_id(key: &mut KeyBuilder, id: &RowId) {
    key.push_raw(&id.leaf.0.to_be_bytes());
    key.push_raw(&(id.key.as_bytes().len() as u32).to_be_bytes());
    key.push_raw(id.key.as_bytes());
}

fn same_list(a: &ListState, b: &ListState) -> bool {
    match (a, b) {
        (ListState::Ready(a), ListState::Ready(b)) => a.is_same(b),
        (ListState::Blocked(a), ListState::Blocked(b)) => a == b,
        (ListState::Pending(a), ListState::Pending(b)) => Arc::ptr_eq(a, b),
        _ => false,
    }
}
