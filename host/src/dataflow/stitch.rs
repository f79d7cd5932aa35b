//! Joining what upqueries find to the stream, exactly.
//!
//! A stream is a sequence of commits, a snapshot is a set of transactions; the answer of an upquery is the state of some
//! groups in a snapshot. To know the groups as of the engine's position:
//!
//! ```text
//!   commits       c1   c2   c3   c4   c5 ...            in commit order, each with its transaction id
//!   snapshot sees x         x                           any subset: c2 may have written before c3 and be unseen
//!   stage =  rows of the answer + c2 + c4 + c5          what the snapshot has not seen, each once, in order
//! ```
//!
//! - *By position alone* ("rows as of LSN, then commits after it") is wrong: transactions become visible to snapshots in
//!   another order than their commit records have in the log, and later.
//! - *A stage opens when its upquery is sent*, and the log keeps every commit from then on, since the snapshot is taken
//!   at a moment nobody here knows. Commits that the log has dropped, or that the slot never delivers, must be in the
//!   snapshot; if one is not, the answer is useless and the question is asked again ([`Log::covers`](super::log::Log)).
//! - *A stage is merged when the stream has passed the answer's insert position*: every commit the snapshot sees ends
//!   there or before, so none of them is still to come and would be applied twice.
//! - *A row that both know must be equal in both*: if not, the database did something the stream does not tell (or there
//!   is an error here), and everything is asked anew.
//! - *A value that the stream did not send* because it is large and did not change stands in the row before. A row that
//!   enters a group from outside has no row before in the stage: its group is asked again.

use rustc_hash::{FxHashMap, FxHashSet};

use super::engine::{Engine, params_key};
use super::plan::{Arrangement, ArrangementId};
use super::tables::{Fill, GroupId, complete, group_key, passes};
use crate::data::{Answer, Ask, Change, Field, Key, Row, RowId, TableId, Upquery};

/// How many stages may be open for each upquery that may be under way: those answered wait for the stream only. When it is
/// behind, what is wanted meanwhile goes together too.
const OPEN_STAGES: usize = 8;

/// Statements of one upquery, and keys in all of them together: what is asked for at once is answered at once, and nobody
/// should wait for everybody else's.
const ASKS: usize = 64;
const KEYS: usize = 4096;

/// An upquery under way.
pub(super) struct OpenStage {
    /// The number of the first commit that it needs: the first that came after it was sent, once it is answered the first
    /// that its snapshot has not seen.
    pub opened: u64,
    /// For each ask, the groups its keys name.
    pub asks: Vec<Vec<GroupId>>,
    /// The [`Upquery::under`].
    pub under: Option<u64>,
    answer: Option<Answer>,
}

impl OpenStage {
    /// Whether it waits for the stream only.
    pub(super) fn is_answered(&self) -> bool {
        self.answer.is_some()
    }
}

/// The groups of unique keys that a commit's own inserts determine: no other row can be in them.
#[derive(Default)]
pub(super) struct Fresh(FxHashMap<(ArrangementId, Key), (RowId, Row)>);

impl Fresh {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Engine {
    /// Sends upqueries for the groups wanted, unless so many are under way that these wait and go together with later ones.
    pub(super) fn ask_wanted(&mut self) {
        while !self.wanted.is_empty() && (self.stands_still() || !self.is_busy()) {
            let asks = self.next_asks();
            if !asks.is_empty() {
                self.ask(asks);
            }
        }
    }

    fn is_busy(&self) -> bool {
        let under_way = self.stages.values().filter(|stage| !stage.is_answered()).count();
        under_way >= self.limits.upqueries || self.stages.len() >= OPEN_STAGES * self.limits.upqueries
    }

    /// What one upquery asks of what is wanted: groups that are alike in one statement.
    fn next_asks(&mut self) -> Vec<Vec<GroupId>> {
        let mut asks: Vec<Vec<GroupId>> = Vec::new();
        let mut alike: FxHashMap<(ArrangementId, Key), usize> = FxHashMap::default();
        let (mut taken, mut keys) = (0, 0);
        for &id in &self.wanted {
            if let Some(group) = self.tables.groups.get_mut(id).filter(|group| group.state == Fill::Wanted) {
                let of = (group.arrangement, params_key(&group.params));
                let index = *alike.entry(of).or_insert(asks.len());
                if index == ASKS || keys == KEYS {
                    break;
                }
                match asks.get_mut(index) {
                    Some(groups) => groups.push(id),
                    None => asks.push(vec![id]),
                }
                group.state = Fill::Asked;
                keys += 1;
            }
            taken += 1;
        }
        self.wanted.drain(..taken);
        asks
    }

    /// Sends an upquery for these groups and opens its stage. While the engine stands still, under the kept snapshot.
    pub(super) fn ask(&mut self, asks: Vec<Vec<GroupId>>) {
        let kept = self.whole_read.as_ref().filter(|read| read.stands).map(|read| read.id);
        self.ask_under(asks, kept);
    }

    pub(super) fn ask_under(&mut self, asks: Vec<Vec<GroupId>>, under: Option<u64>) {
        let id = self.next_stage;
        self.next_stage += 1;
        let asked = asks.iter().map(|groups| {
            let first = &self.tables.groups[groups[0]];
            let arrangement = self.tables.arrangement(first.arrangement);
            Ask {
                table: arrangement.table,
                key: arrangement.key.clone(),
                keys: groups.iter().map(|&group| self.tables.groups[group].values.clone()).collect(),
                filter: first.filter.as_deref().cloned(),
                row_limit: self.limits.list_elements as u64 + 1,
            }
        });
        self.effects.upqueries.push(Upquery { id, asks: asked.collect(), under });
        self.stages.insert(id, OpenStage { opened: self.log.end(), asks, under, answer: None });
    }

    /// What an upquery found. One that was forgotten, by a reset, is ignored.
    pub fn found(&mut self, answer: Answer) -> super::Effects {
        if let Some(under) = self.stages.get(&answer.id).map(|stage| stage.under) {
            if !self.is_kept(under, &answer.snapshot) && !self.log.covers(&answer.snapshot) {
                self.ask_again(answer.id);
            } else if let Some(stage) = self.stages.get_mut(&answer.id) {
                self.log.settle(&answer.snapshot);
                // Commits from before the question, too, may be unseen; they have to stay until this is merged.
                let unseen = self.log.first_unseen(&answer.snapshot);
                stage.opened = stage.opened.min(unseen);
                if let Some(read) = self.whole_read.as_mut().filter(|read| read.id == answer.id) {
                    read.opened = read.opened.min(unseen);
                    read.snapshot = Some(answer.snapshot.clone());
                }
                self.effects.provoke = self.position < answer.insert && answer.flush < answer.insert;
                self.answered.insert((answer.insert, answer.id));
                stage.answer = Some(answer);
                self.merge_due();
            }
        }
        self.finish(super::engine::Cause::Other)
    }

    /// The database refuses to answer an upquery, and asking again is of no use: of several questions one may be to blame, so
    /// each is asked alone, and the one that is refused then stays without an answer.
    pub fn refused(&mut self, id: u64) -> super::Effects {
        if self.stages.get(&id).is_some_and(|stage| stage.under.is_some()) {
            return self.failed(id);
        }
        let asks = self.stages.remove(&id).map(|stage| stage.asks).unwrap_or_default();
        let groups: Vec<GroupId> = asks.into_iter().flatten().collect();
        // Those nobody wants any more may have been to blame, too.
        let alone = groups.len() == 1;
        for group in groups {
            if alone && self.is_asked(group) {
                self.tables.groups[group].state = Fill::Refused;
                self.group_news(group);
            } else if self.is_asked(group) {
                self.ask(vec![vec![group]]);
            }
        }
        self.finish(super::engine::Cause::Other)
    }

    /// An upquery had no answer for so long that it is asked anew, table by table: one that is locked keeps no other waiting.
    pub fn failed(&mut self, id: u64) -> super::Effects {
        if let Some(under) = self.stages.get(&id).map(|stage| stage.under) {
            self.drop_if_read(under);
        }
        for groups in self.stages.remove(&id).map(|stage| stage.asks).unwrap_or_default() {
            let groups: Vec<GroupId> = groups.into_iter().filter(|&group| self.is_asked(group)).collect();
            if !groups.is_empty() {
                self.ask(vec![groups]);
            }
        }
        self.finish(super::engine::Cause::Other)
    }

    fn is_asked(&self, group: GroupId) -> bool {
        self.tables.groups.get(group).is_some_and(|group| group.state == Fill::Asked)
    }

    /// The log reaches back too far for upqueries that take long: they are asked anew.
    pub(super) fn shorten_log(&mut self) {
        self.drop_whole_read();
        let newest = self.log.end();
        let old: Vec<u64> = self.stages.iter().filter(|(_, stage)| stage.opened < newest).map(|(&id, _)| id).collect();
        old.into_iter().for_each(|id| self.ask_again(id));
    }

    /// The snapshot misses a commit that cannot be replayed: the same question, under a later one.
    fn ask_again(&mut self, id: u64) {
        let Some(stage) = self.stages.remove(&id) else { return };
        self.drop_if_read(stage.under);
        let live =
            |groups: Vec<GroupId>| groups.into_iter().filter(|&group| self.is_asked(group)).collect::<Vec<GroupId>>();
        let asks: Vec<Vec<GroupId>> = stage.asks.into_iter().map(live).filter(|groups| !groups.is_empty()).collect();
        if !asks.is_empty() {
            self.effects.again = true;
            self.ask(asks);
        }
    }

    /// Merges every stage whose answer's insert position the stream has passed.
    pub(super) fn merge_due(&mut self) {
        while let Some(&(insert, id)) = self.answered.first().filter(|(insert, _)| *insert <= self.position) {
            self.answered.remove(&(insert, id));
            if let Some(OpenStage { asks, answer: Some(answer), .. }) = self.stages.remove(&id) {
                self.merge(asks, answer);
                self.stand_if_read(id);
            }
        }
    }

    fn merge(&mut self, asks: Vec<Vec<GroupId>>, answer: Answer) {
        let snapshot = answer.snapshot;
        for (groups, rows) in asks.into_iter().zip(answer.rows) {
            let alone = groups.len() == 1;
            let waiting: Vec<GroupId> = groups.into_iter().filter(|&group| self.is_asked(group)).collect();
            if waiting.is_empty() {
                continue;
            }
            match rows {
                Err(_) if alone => {
                    self.tables.groups[waiting[0]].state = Fill::TooLong;
                    self.group_news(waiting[0]);
                }
                // Together they are too many, while each may be short: again by halves.
                Err(_) => {
                    let (one, other) = waiting.split_at(waiting.len() / 2);
                    for half in [one, other].into_iter().filter(|half| !half.is_empty()) {
                        self.ask(vec![half.to_vec()]);
                    }
                }
                Ok(rows) => {
                    let stage = self.stage(&waiting, rows, &snapshot);
                    self.settle_stage(waiting, stage);
                }
            }
        }
    }

    /// Answers under way about this table are void.
    pub(super) fn forget_asks(&mut self, table: TableId) {
        let (tables, stages) = (&self.tables, &mut self.stages);
        for groups in stages.values_mut().flat_map(|stage| &mut stage.asks) {
            let of_table = |group: &GroupId| {
                let group = tables.groups.get(*group);
                group.is_some_and(|group| tables.arrangement(group.arrangement).table == table)
            };
            groups.retain(|group| !of_table(group));
        }
    }

    /// The rows of the answer, with every commit that its snapshot has not seen applied.
    fn stage(&self, groups: &[GroupId], rows: Vec<(RowId, Row)>, snapshot: &crate::data::Snapshot) -> Stage {
        let arrangement = self.tables.arrangement(self.tables.groups[groups[0]].arrangement);
        let by_key = groups.iter().map(|&group| (self.tables.groups[group].key.clone(), group)).collect();
        let mut stage = Stage {
            arrangement: arrangement.clone(),
            by_key,
            rows: FxHashMap::default(),
            poisoned: FxHashSet::default(),
        };
        for (id, row) in rows {
            stage.add(self, id, row);
        }
        for commit in self.log.unseen(snapshot) {
            for change in commit.changes.iter().filter(|change| change.table() == arrangement.table) {
                stage.apply(self, change);
            }
        }
        stage
    }

    fn settle_stage(&mut self, groups: Vec<GroupId>, stage: Stage) {
        let table = stage.arrangement.table;
        let mut rows: FxHashMap<GroupId, Vec<(RowId, Row, u32)>> = FxHashMap::default();
        if stage.rows.iter().any(|(id, (row, ..))| self.contradicts(table, id, row)) {
            self.effects.contradiction = Some(table);
            groups.into_iter().for_each(|group| self.tables.groups[group].state = Fill::Wanted);
            return;
        }
        for (id, (row, count, group)) in stage.rows {
            rows.entry(group).or_default().push((id, row, count));
        }
        let (poisoned, whole): (Vec<GroupId>, _) = groups.into_iter().partition(|group| stage.poisoned.contains(group));
        if !poisoned.is_empty() {
            // Under a snapshot of its own: under a kept one the same would be found.
            self.ask_under(vec![poisoned], None);
        }
        for group in whole {
            self.tables.fill(group, rows.remove(&group).unwrap_or_default());
            self.group_news(group);
        }
        self.spread(Default::default());
    }

    fn contradicts(&self, table: TableId, id: &RowId, row: &Row) -> bool {
        self.tables.known(table, id).is_some_and(|known| known.is_held() && known.row != *row)
    }

    /// Notes the groups of unique keys that these changes determine, and fills those that wait for an answer.
    pub(super) fn learn_fresh(&mut self, changes: &[Change]) {
        let plan = self.plan.clone();
        let unique = |arrangement: &Arrangement| {
            let key = &plan.tables[arrangement.table.0 as usize].primary_key;
            !key.is_empty() && key.iter().all(|column| arrangement.key.iter().any(|(other, _)| other == column))
        };
        let arrangements: Vec<(ArrangementId, &Arrangement)> = plan
            .arrangements
            .iter()
            .enumerate()
            .filter(|(_, arrangement)| unique(arrangement))
            .map(|(index, arrangement)| (ArrangementId(index as u32), arrangement))
            .collect();
        if arrangements.is_empty() || !changes.iter().any(|change| matches!(change, Change::Insert { .. })) {
            return;
        }
        for ((table, id), row) in inserted(changes) {
            for (arrangement_id, arrangement) in arrangements.iter().filter(|(_, other)| other.table == table) {
                let values = arrangement.key.iter().map(|(column, _)| row.get(*column));
                if let Some(key) = group_key(arrangement, values) {
                    self.fresh.0.insert((*arrangement_id, key), (id.clone(), row.clone()));
                }
            }
        }
        let keys: Vec<(ArrangementId, Key)> = self.fresh.0.keys().cloned().collect();
        for (arrangement, key) in keys {
            for group in self.tables.unfilled(arrangement, &key) {
                if self.fill_fresh(group) {
                    self.group_news(group);
                }
            }
        }
    }

    /// Fills a group from this commit's inserts, if they determine it.
    pub(super) fn fill_fresh(&mut self, id: GroupId) -> bool {
        let group = &self.tables.groups[id];
        let Some((row_id, row)) = self.fresh.0.get(&(group.arrangement, group.key.clone())) else { return false };
        let rows = passes(group, row).then(|| (row_id.clone(), row.clone(), 1));
        self.tables.fill(id, rows);
        true
    }
}

/// The rows that a commit inserted and left, with their last values. Only tables with a key: in a bag nothing is unique.
fn inserted(changes: &[Change]) -> FxHashMap<(TableId, RowId), Row> {
    let mut rows: FxHashMap<(TableId, RowId), Row> = FxHashMap::default();
    for change in changes {
        match change {
            Change::Insert { table, id, row } => drop(rows.insert((*table, id.clone()), row.clone())),
            Change::Update { table, old, id, row, unchanged } => {
                if let Some(before) = rows.remove(&(*table, old.clone())) {
                    rows.insert((*table, id.clone()), complete(row, unchanged, Some(&before)));
                }
            }
            Change::Delete { table, id } => drop(rows.remove(&(*table, id.clone()))),
            Change::Truncate { table, leaf } => rows.retain(|(other, id), _| other != table || id.leaf != *leaf),
        }
    }
    rows
}

/// The groups of one ask on their way from a snapshot to the engine's position.
struct Stage {
    arrangement: Arrangement,
    by_key: FxHashMap<Key, GroupId>,
    rows: FxHashMap<RowId, (Row, u32, GroupId)>,
    /// Groups that a row entered whose values are not all known.
    poisoned: FxHashSet<GroupId>,
}

impl Stage {
    fn group_of(&self, engine: &Engine, row: &Row) -> Option<GroupId> {
        let values = self.arrangement.key.iter().map(|(column, _)| row.get(*column));
        let group = *self.by_key.get(&group_key(&self.arrangement, values)?)?;
        passes(&engine.tables.groups[group], row).then_some(group)
    }

    fn add(&mut self, engine: &Engine, id: RowId, row: Row) {
        if let Some(group) = self.group_of(engine, &row) {
            self.rows.entry(id).and_modify(|(_, count, _)| *count += 1).or_insert((row, 1, group));
        }
    }

    fn remove(&mut self, id: &RowId) -> Option<Row> {
        let (row, count, _) = self.rows.get_mut(id)?;
        let row = row.clone();
        *count -= 1;
        if *count == 0 {
            self.rows.remove(id);
        }
        Some(row)
    }

    fn apply(&mut self, engine: &Engine, change: &Change) {
        match change {
            Change::Insert { id, row, .. } => self.add(engine, id.clone(), row.clone()),
            Change::Delete { id, .. } => drop(self.remove(id)),
            Change::Truncate { leaf, .. } => self.rows.retain(|id, _| id.leaf != *leaf),
            Change::Update { old, id, row, unchanged, .. } => match self.remove(old) {
                Some(before) => self.add(engine, id.clone(), complete(row, unchanged, Some(&before))),
                None if unchanged.is_empty() => self.add(engine, id.clone(), row.clone()),
                None => self.poison(engine, row, unchanged),
            },
        }
    }

    /// A row came from outside, and some of its values are not known: no group it may be in can be told.
    fn poison(&mut self, engine: &Engine, row: &Row, unchanged: &[u16]) {
        let unknown = |column: usize| unchanged.iter().any(|&other| usize::from(other) == column);
        if self.arrangement.key.iter().any(|(column, _)| unknown(*column)) {
            self.poisoned.extend(self.by_key.values());
            return;
        }
        let values = self.arrangement.key.iter().map(|(column, _)| row.get(*column));
        let Some(&group) = group_key(&self.arrangement, values).and_then(|key| self.by_key.get(&key)) else { return };
        let undecided = self.arrangement.filter.as_ref().is_some_and(|filter| {
            filter.fields().any(|field| matches!(field, Field::Column(column) if unknown(*column)))
        });
        if undecided || passes(&engine.tables.groups[group], row) {
            self.poisoned.insert(group);
        }
    }
}
