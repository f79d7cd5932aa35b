//! Plays random events against the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::LIMITS;
use super::checks::{Cause, View};
use super::queries;
use super::world::{USERS, World};
use crate::data::{Answer, Change, Commit, Lsn, Snapshot, TableId, Upquery, Value};
use crate::dataflow::guest::{GuestCall, NodeVersion};
use crate::dataflow::log::Log;
use crate::dataflow::plan::{DocumentId, NodeId, OnError};
use crate::dataflow::{Blocked, DocumentKey, Effects, Engine, Limits};

#[derive(Default)]
pub(super) struct Counts {
    pub emissions: usize,
    pub commits: usize,
}

pub(super) struct Run {
    pub rng: SmallRng,
    pub world: World,
    pub engine: Engine,
    pub on_error: OnError,
    /// The most elements a list may have.
    pub limit: usize,
    /// How many commits of the stream the engine was given.
    pub delivered: usize,
    /// Sent, not yet evaluated.
    pub sent: Vec<Upquery>,
    /// Evaluated, on their way back.
    pub found: Vec<Reply>,
    pub calls: Vec<Arc<GuestCall>>,
    favourite: u32,
    /// The version and tick of each node.
    loaded: [Option<(u64, u64)>; 3],
    pub documents: BTreeMap<DocumentKey, Open>,
    pub counts: Counts,
    /// Everything is to arrive, and to succeed.
    pub resting: bool,
}

pub(super) struct Open {
    pub document: DocumentId,
    pub params: Vec<Option<Value>>,
    /// What was emitted last, and where.
    pub last: Option<(Lsn, Value)>,
    /// What was told of why there is nothing newer.
    pub told: Option<Blocked>,
}

/// What comes back of an upquery.
pub(super) enum Reply {
    Found(Answer),
    Refused(u64),
    Failed(u64),
}

pub(super) fn play(seed: u64) -> Counts {
    let mut rng = SmallRng::seed_from_u64(seed);
    let on_error = [OnError::Skip, OnError::Null, OnError::Hold][rng.random_range(0..3)];
    let limit = if rng.random_bool(0.3) { rng.random_range(1..6) } else { 1000 };
    let mut world = World::new(&mut rng);
    let plan = Arc::new(queries::plan(on_error));
    let (origin, position) = world.start_stream();
    let engine = Engine::new(plan, origin.clone(), position, Limits { list_elements: limit, ..LIMITS }, [3; 16]);
    let mut run = Run {
        rng,
        world,
        engine,
        on_error,
        limit,
        delivered: 0,
        sent: Vec::new(),
        found: Vec::new(),
        calls: Vec::new(),
        favourite: (seed % u64::from(queries::DOCUMENTS)) as u32,
        loaded: [None; 3],
        documents: BTreeMap::new(),
        counts: Counts::default(),
        resting: false,
    };
    run.shorten_log(origin);
    for node in 0..3 {
        if run.rng.random_bool(0.9) {
            run.load(node, Some((1, 0)));
        }
    }
    for _ in 0..run.rng.random_range(20..300) {
        run.event();
    }
    run.come_to_rest();
    run.counts
}

impl Run {
    fn event(&mut self) {
        match self.rng.random_range(0..100) {
            0..10 => self.world.begin(),
            10..24 => self.world.commit(&mut self.rng),
            24..26 => self.world.roll_back(&mut self.rng),
            26..34 => self.world.reveal(&mut self.rng),
            // What comes while the engine would rather stand still is right all the same.
            34..54 if self.engine.stands_still() && self.rng.random_bool(0.9) => {}
            34..50 => self.deliver(),
            50..54 => self.keep_alive(),
            54..60 => self.open(),
            60..62 => self.close(),
            62..73 => self.evaluate(),
            73..84 => self.return_answer(),
            84..96 => self.answer_guests(),
            96 => {
                let (node, version) = (self.rng.random_range(0..3), self.rng.random_range(0..8));
                let loaded = (version % 3, self.rng.random_range(0..2));
                self.load(node, (version > 0).then_some(loaded));
            }
            97 => {
                for _ in 0..self.rng.random_range(1..4) {
                    let table = TableId(self.rng.random_range(0..3));
                    self.step(Cause::News, |engine| engine.table_changed(table));
                }
            }
            98 if self.rng.random_bool(0.3) => self.restart(),
            98 if self.rng.random_bool(0.8) => self.step(Cause::News, Engine::read_whole),
            98 => self.step(Cause::News, Engine::end_whole_read),
            99 if self.rng.random_bool(0.5) => self.step(Cause::News, Engine::refresh),
            99 => self.retry(),
            _ => {}
        }
    }

    /// An event, its effects, and what must hold of them.
    pub(super) fn step(&mut self, cause: Cause, event: impl FnOnce(&mut Engine) -> Effects) {
        let before = self.views();
        let effects = event(&mut self.engine);
        self.take(effects, before, cause);
    }

    pub(super) fn deliver(&mut self) {
        let Some(commit) = self.world.stream().get(self.delivered).cloned() else { return };
        self.delivered += 1;
        self.counts.commits += 1;
        if self.rng.random_bool(0.03) {
            let tables: BTreeSet<TableId> = commit.changes.iter().map(Change::table).collect();
            self.step(Cause::News, |engine| engine.commit_unkept(commit.xid, commit.end, tables));
        } else {
            self.step(Cause::News, |engine| {
                let effects = engine.commit(commit.clone());
                asks_for_no_new_user(&commit, &effects);
                effects
            });
        }
    }

    pub(super) fn keep_alive(&mut self) {
        let caught_up = self.delivered == self.world.stream().len();
        if caught_up {
            self.world.lsn.0 += self.rng.random_range(0..3);
            let position = self.world.lsn;
            self.step(Cause::News, |engine| engine.advance(position));
        }
    }

    fn open(&mut self) {
        // One is opened more than others, so that it is met in many ways.
        let any = self.rng.random_range(0..queries::DOCUMENTS);
        let document = DocumentId(if self.rng.random_bool(0.5) { self.favourite } else { any });
        let number = |rng: &mut SmallRng, absent: bool| {
            (!absent || rng.random_bool(0.8)).then(|| Value::Int(rng.random_range(0..6)))
        };
        let mut params = vec![number(&mut self.rng, false), number(&mut self.rng, true), number(&mut self.rng, true)];
        let text = ["a", "b", "c", ""][self.rng.random_range(0..4)];
        let bounds = [Value::Int(self.rng.random_range(0..6)), text.into()];
        params.extend(bounds.map(|bound| match self.rng.random_range(0..8) {
            0 => None,
            1 => Some(Value::Null),
            _ => Some(bound),
        }));
        self.open_with(document, params, None);
    }

    fn open_with(&mut self, document: DocumentId, params: Vec<Option<Value>>, last: Option<(Lsn, Value)>) {
        let before = self.views();
        let (key, effects) = self.engine.open(document, &params);
        self.documents.entry(key).or_insert(Open { document, params, last, told: None });
        self.take(effects, before, Cause::News);
    }

    fn close(&mut self) {
        let index = self.rng.random_range(0..self.documents.len().max(1));
        if let Some(&key) = self.documents.keys().nth(index) {
            self.documents.remove(&key);
            self.step(Cause::News, |engine| engine.close(key));
        }
    }

    /// The database looks at an upquery; some get lost on the way.
    pub(super) fn evaluate(&mut self) {
        if !self.sent.is_empty() {
            let index = self.rng.random_range(0..self.sent.len());
            let upquery = self.sent.swap_remove(index);
            let breaks = !self.resting && self.rng.random_bool(0.05);
            self.found.push(if self.world.refuses(&upquery) {
                Reply::Refused(upquery.id)
            } else {
                let answer = self.world.answer(&upquery).filter(|_| !breaks);
                answer.map_or(Reply::Failed(upquery.id), Reply::Found)
            });
        }
    }

    pub(super) fn return_answer(&mut self) {
        if !self.found.is_empty() {
            let index = self.rng.random_range(0..self.found.len());
            let reply = self.found.swap_remove(index);
            self.step(Cause::News, |engine| match reply {
                Reply::Found(answer) => engine.found(answer),
                Reply::Refused(id) => engine.refused(id),
                Reply::Failed(id) => engine.failed(id),
            });
        }
    }

    pub(super) fn answer_guests(&mut self) {
        let mut answered = Vec::new();
        let mut left = Vec::new();
        let mut abandoned = Vec::new();
        for call in std::mem::take(&mut self.calls) {
            if Arc::strong_count(&call) == 1 && self.rng.random_bool(0.5) {
                abandoned.push(call);
            } else if self.rng.random_bool(0.6) {
                // Where a failed row shows, the document would differ from the oracle's; where it holds, nothing is emitted.
                let late = !self.resting && self.on_error == OnError::Hold && self.rng.random_bool(0.05);
                call.resolve(if late { Err(queries::late()) } else { queries::guest(&call) });
                answered.push(call);
            } else {
                left.push(call);
            }
        }
        self.calls = left;
        self.engine.abandoned(abandoned);
        if !answered.is_empty() {
            self.step(Cause::Answers, |engine| engine.answered(&answered));
        }
    }

    pub(super) fn load(&mut self, node: u32, version: Option<(u64, u64)>) {
        self.loaded[node as usize] = version;
        let (of, tick) = version.map_or((None, 0), |(version, tick)| (Some(NodeVersion(version)), tick));
        if self.rng.random_bool(0.3) {
            // What waits for the version before is given up.
            self.step(Cause::Restart, |engine| engine.withdraw(NodeId(node), of, tick));
        } else {
            self.step(Cause::News, |engine| engine.node_changed(NodeId(node), of, tick));
        }
    }

    fn retry(&mut self) {
        let node = NodeId(self.rng.random_range(0..3));
        self.step(Cause::News, |engine| engine.retry(node));
    }

    /// Another stream, another server, or another plan.
    fn restart(&mut self) {
        match self.rng.random_range(0..3) {
            0 => return self.replan(),
            1 => self.world.fail_over(&mut self.rng),
            _ => {}
        }
        let (origin, position) = self.world.start_stream();
        self.delivered = 0;
        for open in self.documents.values_mut() {
            open.last = open.last.take().map(|(_, root)| (Lsn(0), root));
        }
        self.step(Cause::Restart, |engine| engine.reset(origin.clone(), position));
        if self.rng.random_bool(0.5) {
            self.shorten_log(origin);
        }
    }

    /// What nodes do on errors is another matter now. Answers of upqueries may still arrive from before.
    fn replan(&mut self) {
        self.on_error = [OnError::Skip, OnError::Null, OnError::Hold][self.rng.random_range(0..3)];
        let plan = Arc::new(queries::plan(self.on_error));
        let nowhere = Snapshot { xmin: crate::data::Xid(0), xmax: crate::data::Xid(0), running: Vec::new() };
        let placeholder = Engine::new(plan.clone(), nowhere, Lsn(0), LIMITS, [0; 16]);
        self.engine = std::mem::replace(&mut self.engine, placeholder).replanned(plan);
        self.world.release();
        let documents = std::mem::take(&mut self.documents);
        for (node, version) in self.loaded.into_iter().enumerate() {
            self.load(node as u32, version);
            // What was late shows in a document unless it holds.
            self.step(Cause::News, |engine| engine.retry(NodeId(node as u32)));
        }
        for open in documents.into_values() {
            self.open_with(open.document, open.params, open.last);
        }
    }

    /// The log keeps next to nothing back, so that it is short of commits as it is in years of service.
    fn shorten_log(&mut self, origin: Snapshot) {
        if self.rng.random_bool(0.7) {
            self.engine.log = Log::new(origin, self.rng.random_range(0..2000));
        }
    }

    fn views(&self) -> Vec<(DocumentKey, View)> {
        self.documents.keys().map(|&key| (key, View::of(&self.engine, key))).collect()
    }
}

/// A user that a commit inserts is known by that; nobody has to be asked.
fn asks_for_no_new_user(commit: &Commit, effects: &Effects) {
    let mut new: BTreeMap<_, &Value> = BTreeMap::new();
    for change in commit.changes.iter().filter(|change| change.table() == USERS) {
        match change {
            Change::Insert { id, row, .. } => drop(new.insert(id, row.get(0))),
            Change::Update { old, id, row, .. } => {
                if new.remove(old).is_some() {
                    new.insert(id, row.get(0));
                }
            }
            Change::Delete { id, .. } => drop(new.remove(id)),
            Change::Truncate { .. } => new.clear(),
        }
    }
    for ask in effects.upqueries.iter().flat_map(|upquery| &upquery.asks).filter(|ask| ask.table == USERS) {
        let by_id = ask.key.iter().map(|(column, _)| *column).eq([0]);
        assert!(
            !by_id || ask.keys.iter().all(|key| !new.values().any(|id| **id == key[0])),
            "{ask:?} after {commit:?}"
        );
    }
}
