//! A model of Postgres, as far as stitching depends on it.
//!
//! A transaction has an id from its first write and a place in the stream from its commit; snapshots see it some time
//! later (a synchronous standby may be away), and until then its row locks are held. Rows are small maps of integers
//! and texts; two columns of a user are large, so that the stream leaves them out when they do not change. Places are
//! stored in two partitions, the even ids apart from the odd ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::seq::IteratorRandom;
use rand::{Rng, RngCore};

use crate::data::{
    Answer, Ask, Change, Commit, KeyBuilder, KeyClass, LeafId, Lsn, Row, RowId, Snapshot, TableId, TooMany, Upquery,
    Value, Xid,
};

pub(super) const USERS: TableId = TableId(0);
pub(super) const FOLLOWS: TableId = TableId(1);
pub(super) const PLACES: TableId = TableId(2);
const LARGE: usize = 2;
const HEAVY: usize = 3;

/// The rows of all tables; the number is above one only in the bag (`follows`).
pub(super) type State = BTreeMap<(u32, RowId), (Row, u32)>;

pub(super) struct World {
    /// In commit order; the first `before` are from before the stream.
    pub commits: Vec<Arc<Commit>>,
    before: usize,
    state: State,
    next_xid: u32,
    open: BTreeSet<u32>,
    /// Committed, but snapshots do not see them yet; their rows are locked.
    unseen: BTreeMap<u32, BTreeSet<(u32, RowId)>>,
    pub lsn: Lsn,
    /// The number of the upquery that keeps a snapshot, the snapshot, and how far the log reached then.
    kept: Option<(u64, Snapshot, Lsn)>,
    /// Whose places the database refuses to tell.
    pub refused: Option<i64>,
    /// What some users have in their last column.
    heavy: Value,
}

/// About 64 MiB by weight, and much less in memory.
fn heavy() -> Value {
    let text = Value::from("x".repeat(1 << 16));
    let part = Value::array(std::iter::repeat_n(text, 32));
    Value::array(std::iter::repeat_n(part, 32))
}

pub(super) fn id_of(table: TableId, row: &Row) -> RowId {
    let mut key = KeyBuilder::new();
    if table == FOLLOWS {
        key.push_text(&format!("{} {}", row.get(0).to_json(), row.get(1).to_json()));
    } else {
        assert!(key.push(&KeyClass::Int, row.get(0)), "ids are numbers");
    }
    let leaf = match (table, row.get(0)) {
        (PLACES, Value::Int(id)) if id % 2 == 1 => ODD_PLACES,
        _ => LeafId(100 + table.0),
    };
    RowId { leaf, key: key.finish() }
}

/// Where places with an odd id are stored.
const ODD_PLACES: LeafId = LeafId(200);

fn apply(state: &mut State, change: &Change) {
    let table = change.table().0;
    let take = |state: &mut State, id: &RowId| {
        let key = (table, id.clone());
        let (row, count) = state.get_mut(&key).expect("the model changes rows that are there");
        let row = row.clone();
        *count -= 1;
        if *count == 0 {
            state.remove(&key);
        }
        row
    };
    match change {
        Change::Insert { id, row, .. } => state.entry((table, id.clone())).or_insert((row.clone(), 0)).1 += 1,
        Change::Delete { id, .. } => drop(take(state, id)),
        Change::Truncate { leaf, .. } => state.retain(|(other, id), _| *other != table || id.leaf != *leaf),
        Change::Update { old, id, row, unchanged, .. } => {
            let before = take(state, old);
            let mut values = row.values().to_vec();
            for &column in unchanged {
                values[usize::from(column)] = before.get(usize::from(column)).clone();
            }
            state.entry((table, id.clone())).or_insert((Row::new(values), 0)).1 += 1;
        }
    }
}

impl World {
    pub(super) fn new(rng: &mut SmallRng) -> Self {
        let mut world = World {
            commits: Vec::new(),
            before: 0,
            state: State::new(),
            next_xid: if rng.random_bool(0.3) { u32::MAX - rng.random_range(0..40) } else { 700 },
            open: BTreeSet::new(),
            unseen: BTreeMap::new(),
            lsn: Lsn(0x100),
            kept: None,
            refused: rng.random_bool(0.15).then(|| rng.random_range(0..6)),
            heavy: if rng.random_bool(0.05) { heavy() } else { Value::from("h") },
        };
        for _ in 0..rng.random_range(0..12) {
            world.begin();
            world.commit(rng);
        }
        world
    }

    /// The snapshot that was kept is let go, and with it the locks on all tables.
    pub(super) fn release(&mut self) {
        self.kept = None;
    }

    /// Begins a transaction that writes.
    pub(super) fn begin(&mut self) {
        self.open.insert(self.next_xid);
        self.next_xid = self.next_xid.wrapping_add(1);
    }

    /// One of the open transactions rolls back.
    pub(super) fn roll_back(&mut self, rng: &mut SmallRng) {
        if let Some(&xid) = self.open.iter().choose(rng) {
            self.open.remove(&xid);
        }
    }

    /// One of the open transactions commits; snapshots may see it at once or later.
    pub(super) fn commit(&mut self, rng: &mut SmallRng) {
        let Some(&xid) = self.open.iter().choose(rng) else { return };
        self.open.remove(&xid);
        let mut changes = Vec::new();
        let mut locked = BTreeSet::new();
        if rng.random_bool(0.15) {
            self.come_back(rng, &mut changes, &mut locked);
        }
        for _ in 0..rng.random_range(1..5) {
            self.change(rng, &mut changes, &mut locked);
        }
        self.lsn.0 += rng.random_range(8..40);
        let commit = Commit { xid: Xid(xid), end: self.lsn, changes };
        self.commits.push(Arc::new(commit));
        let exclusive = self
            .commits
            .last()
            .is_some_and(|commit| commit.changes.iter().any(|change| matches!(change, Change::Truncate { .. })));
        if !exclusive && rng.random_bool(0.4) {
            self.unseen.insert(xid, locked);
        }
    }

    /// Snapshots see one more of the committed transactions.
    pub(super) fn reveal(&mut self, rng: &mut SmallRng) {
        if let Some(&xid) = self.unseen.keys().choose(rng) {
            self.unseen.remove(&xid);
        }
    }

    pub(super) fn reveal_all(&mut self) {
        self.unseen.clear();
    }

    /// A standby takes over that has not heard of the last commits; whatever was running is gone, and ids are used again.
    pub(super) fn fail_over(&mut self, rng: &mut SmallRng) {
        let kept = self.commits.len() - rng.random_range(0..4).min(self.commits.len());
        self.commits.truncate(kept);
        self.open.clear();
        self.unseen.clear();
        self.kept = None;
        self.lsn = self.commits.last().map_or(Lsn(0x100), |commit| commit.end);
        self.state = self.at(self.lsn);
        let newest = self.commits.iter().map(|commit| commit.xid).reduce(|a, b| if a.precedes(b) { b } else { a });
        self.next_xid = newest.map_or(self.next_xid, |newest| newest.0.wrapping_add(1));
    }

    /// The stream begins (again) here. Its origin sees every commit so far, whatever ordinary snapshots see.
    pub(super) fn start_stream(&mut self) -> (Snapshot, Lsn) {
        self.before = self.commits.len();
        (self.snapshot_without(&self.open), self.lsn)
    }

    /// The commits of the stream, from the first after its start.
    pub(super) fn stream(&self) -> &[Arc<Commit>] {
        &self.commits[self.before..]
    }

    fn snapshot_without(&self, running: &BTreeSet<u32>) -> Snapshot {
        let mut running: Vec<Xid> = running.iter().map(|&xid| Xid(xid)).collect();
        running.sort_by_key(|xid| xid.0.wrapping_sub(self.next_xid));
        let xmax = Xid(self.next_xid);
        Snapshot { xmin: running.first().copied().unwrap_or(xmax), xmax, running }
    }

    /// What an upquery finds now; nothing, if the snapshot it is to be answered under is gone.
    pub(super) fn answer(&mut self, upquery: &Upquery) -> Option<Answer> {
        let hidden = self.open.iter().chain(self.unseen.keys()).copied().collect();
        let mut taken = (self.snapshot_without(&hidden), self.lsn);
        match upquery.under {
            Some(id) if id == upquery.id => self.kept = Some((id, taken.0.clone(), taken.1)),
            Some(id) => {
                let (_, snapshot, insert) = self.kept.as_ref().filter(|(kept, ..)| *kept == id)?;
                taken = (snapshot.clone(), *insert);
            }
            None => {}
        }
        let (snapshot, insert) = taken;
        let mut seen = State::new();
        for commit in self.commits.iter().filter(|commit| snapshot.sees(commit.xid)) {
            commit.changes.iter().for_each(|change| apply(&mut seen, change));
        }
        let rows = upquery.asks.iter().map(|ask| find(&seen, ask)).collect();
        Some(Answer { id: upquery.id, snapshot, insert, flush: insert, rows })
    }

    /// Whether it refuses to answer.
    pub(super) fn refuses(&self, upquery: &Upquery) -> bool {
        let Some(refused) = self.refused else { return false };
        let of_owners = |ask: &&Ask| ask.table == PLACES && ask.key.iter().map(|(column, _)| *column).eq([1]);
        upquery.asks.iter().filter(of_owners).any(|ask| ask.keys.contains(&vec![Value::Int(refused)]))
    }

    /// The rows after every commit that ends at or before `position`.
    pub(super) fn at(&self, position: Lsn) -> State {
        let mut state = State::new();
        for commit in self.commits.iter().filter(|commit| commit.end <= position) {
            commit.changes.iter().for_each(|change| apply(&mut state, change));
        }
        state
    }

    fn random_row(&self, table: TableId, rng: &mut SmallRng) -> Row {
        let heavy = rng.random_bool(0.5).then(|| self.heavy.clone());
        random_row(table, heavy.unwrap_or(Value::Null), rng)
    }

    fn is_locked(&self, table: TableId, id: &RowId) -> bool {
        self.unseen.values().any(|rows| rows.contains(&(table.0, id.clone())))
    }

    /// A user goes and comes back as another in one transaction, and a place begins to name it: a row that some list still
    /// shows as it was, while another finds it anew.
    fn come_back(&mut self, rng: &mut SmallRng, changes: &mut Vec<Change>, locked: &mut BTreeSet<(u32, RowId)>) {
        let users = self.state.keys().filter(|(table, id)| *table == USERS.0 && !self.is_locked(USERS, id));
        let Some((_, id)) = users.choose(rng).cloned() else { return };
        let number = self.state[&(USERS.0, id.clone())].0.get(0).clone();
        let user = |rng: &mut SmallRng| {
            let mut values = self.random_row(USERS, rng).values().to_vec();
            values[0] = number.clone();
            values
        };
        let mut all = vec![
            Change::Delete { table: USERS, id: id.clone() },
            Change::Insert { table: USERS, id: id.clone(), row: Row::new(user(rng)) },
        ];
        if rng.random_bool(0.5) {
            let (row, unchanged) = leave_out(user(rng), rng);
            all.push(Change::Update { table: USERS, old: id.clone(), id: id.clone(), row, unchanged });
        }
        let mut values = self.random_row(PLACES, rng).values().to_vec();
        values[2] = number.clone();
        let place = Row::new(values);
        let place_id = id_of(PLACES, &place);
        if !self.state.contains_key(&(PLACES.0, place_id.clone())) && !self.is_locked(PLACES, &place_id) {
            locked.insert((PLACES.0, place_id.clone()));
            all.push(Change::Insert { table: PLACES, id: place_id, row: place });
        }
        locked.insert((USERS.0, id));
        all.iter().for_each(|change| apply(&mut self.state, change));
        changes.extend(all);
    }

    fn change(&mut self, rng: &mut SmallRng, changes: &mut Vec<Change>, locked: &mut BTreeSet<(u32, RowId)>) {
        let table = TableId(rng.random_range(0..3));
        let row = self.random_row(table, rng);
        let id = id_of(table, &row);
        let existing =
            self.state.keys().filter(|(other, id)| *other == table.0 && !self.is_locked(table, id)).choose(rng);
        let existing = existing.map(|(_, id)| id.clone());
        let taken = |id: &RowId| table != FOLLOWS && (self.state.contains_key(&(table.0, id.clone())));
        let change = match (rng.random_range(0..20), existing) {
            (0, _) if self.unseen.is_empty() && self.kept.is_none() && rng.random_bool(0.4) => {
                let leaf = if table == PLACES && rng.random_bool(0.5) { ODD_PLACES } else { LeafId(100 + table.0) };
                Change::Truncate { table, leaf }
            }
            // The same row once more.
            (14..17, Some(id)) if table == FOLLOWS => {
                let row = self.state[&(table.0, id.clone())].0.clone();
                Change::Insert { table, id, row }
            }
            (1..5, Some(id)) => Change::Delete { table, id },
            (5..14, Some(old)) => {
                let before = self.state[&(table.0, old.clone())].0.clone();
                let keeps_id = table != FOLLOWS && rng.random_bool(0.8);
                let mut values = row.values().to_vec();
                if keeps_id {
                    values[0] = before.get(0).clone();
                }
                let (row, unchanged) =
                    if table == USERS { leave_out(values, rng) } else { (Row::new(values), Vec::new()) };
                let id = id_of(table, &row);
                if id != old && (taken(&id) || self.is_locked(table, &id)) {
                    return;
                }
                if id.leaf != old.leaf {
                    // Postgres moves a row between partitions by deleting and inserting it.
                    locked.insert((table.0, old.clone()));
                    let moved = Change::Delete { table, id: old };
                    apply(&mut self.state, &moved);
                    changes.push(moved);
                    Change::Insert { table, id, row }
                } else {
                    Change::Update { table, old, id, row, unchanged }
                }
            }
            _ if taken(&id) || self.is_locked(table, &id) => return,
            _ => Change::Insert { table, id, row },
        };
        match &change {
            Change::Insert { id, .. } | Change::Delete { id, .. } => drop(locked.insert((table.0, id.clone()))),
            Change::Update { old, id, .. } => locked.extend([(table.0, old.clone()), (table.0, id.clone())]),
            Change::Truncate { .. } => {}
        }
        apply(&mut self.state, &change);
        changes.push(change);
    }
}

/// What an ask finds in these rows.
pub(super) fn find(seen: &State, ask: &Ask) -> Result<Vec<(RowId, Row)>, TooMany> {
    let wanted = |row: &Row| {
        let matches = |key: &Vec<Value>| {
            ask.key.iter().zip(key).all(|((column, class), value)| {
                class.compare(row.get(*column), value) == Some(std::cmp::Ordering::Equal)
            })
        };
        (ask.key.is_empty() || ask.keys.iter().any(matches))
            && ask.filter.as_ref().is_none_or(|filter| filter.test_row(row) == Some(true))
    };
    let rows = seen.iter().filter(|((table, _), (row, _))| *table == ask.table.0 && wanted(row));
    let rows = rows.flat_map(|((_, id), (row, count))| (0..*count).map(|_| (id.clone(), row.clone())));
    let rows: Vec<(RowId, Row)> = rows.collect();
    if rows.len() as u64 > ask.row_limit { Err(TooMany { limit: ask.row_limit }) } else { Ok(rows) }
}

/// Some of a user's large values did not change, so the stream does not tell them.
fn leave_out(mut values: Vec<Value>, rng: &mut SmallRng) -> (Row, Vec<u16>) {
    let mut unchanged = Vec::new();
    for column in [LARGE, HEAVY] {
        if rng.random_bool(0.6) {
            values[column] = Value::Null;
            unchanged.push(column as u16);
        }
    }
    (Row::new(values), unchanged)
}

fn random_row(table: TableId, heavy: Value, rng: &mut SmallRng) -> Row {
    let mut below = |bound: u32| Value::Int(i64::from(rng.next_u32() % bound));
    let mut values = match table {
        // id, name, large, heavy
        USERS => vec![below(6), below(5), below(4)],
        // follower, followed: a bag
        FOLLOWS => vec![below(6), below(6)],
        // id, owner, rating, note
        _ => vec![below(12), below(6), below(6), below(4)],
    };
    for (column, value) in values.iter_mut().enumerate() {
        if table == USERS && column > 0 {
            *value = Value::from(TEXTS[text_index(value)]);
        }
        if (column > 0 || table == FOLLOWS) && rng.random_ratio(1, 7) {
            *value = Value::Null;
        }
    }
    if table == USERS {
        values.push(heavy);
    }
    Row::new(values)
}

/// What users' texts are.
pub(super) const TEXTS: [&str; 5] = ["a", "b", "c", "dd", "e"];

fn text_index(value: &Value) -> usize {
    match value {
        Value::Int(index) => *index as usize,
        _ => 0,
    }
}
