//! Plays random events against the engine and checks what it emits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::LIMITS;
use super::queries::{self, Oracle};
use super::world::World;
use crate::data::{Answer, Change, Lsn, TableId, Upquery, Value};
use crate::dataflow::guest::{GuestCall, NodeVersion};
use crate::dataflow::plan::{DocumentId, NodeId, OnError};
use crate::dataflow::{DocumentKey, Effects, Engine, Size};

#[derive(Default)]
pub(super) struct Counts {
    pub emissions: usize,
    pub commits: usize,
}

struct Run {
    rng: SmallRng,
    world: World,
    engine: Engine,
    on_error: OnError,
    /// How many commits of the stream the engine was given.
    delivered: usize,
    /// Sent, not yet evaluated.
    sent: Vec<Upquery>,
    /// Evaluated, on their way back.
    found: Vec<Answer>,
    calls: Vec<Arc<GuestCall>>,
    documents: BTreeMap<DocumentKey, Open>,
    counts: Counts,
    /// Everything is to arrive, and to succeed.
    resting: bool,
}

struct Open {
    document: DocumentId,
    params: Vec<Option<Value>>,
    /// What was emitted last, and where.
    last: Option<(Lsn, Value)>,
}

pub(super) fn play(seed: u64) -> Counts {
    let mut rng = SmallRng::seed_from_u64(seed);
    let on_error = [OnError::Skip, OnError::Null, OnError::Hold][rng.random_range(0..3)];
    let mut world = World::new(&mut rng);
    let plan = Arc::new(queries::plan(on_error));
    let (origin, position) = world.start_stream();
    let engine = Engine::new(plan, origin, position, LIMITS, [3; 16]);
    let mut run = Run {
        rng,
        world,
        engine,
        on_error,
        delivered: 0,
        sent: Vec::new(),
        found: Vec::new(),
        calls: Vec::new(),
        documents: BTreeMap::new(),
        counts: Counts::default(),
        resting: false,
    };
    for node in 0..3 {
        if run.rng.random_bool(0.9) {
            run.load(node, Some(1));
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
            96..98 => {
                let (node, version) = (self.rng.random_range(0..3), self.rng.random_range(0..8));
                self.load(node, if version == 0 { None } else { Some(version % 3) });
            }
            98 if self.rng.random_bool(0.3) => self.reset(),
            99 if self.rng.random_bool(0.5) => {
                let effects = self.engine.refresh();
                self.take(effects);
            }
            99 => self.retry(),
            98 => {
                let reads = self.rng.random_bool(0.8);
                let effects = if reads { self.engine.read_whole() } else { self.engine.end_whole_read() };
                self.take(effects);
            }
            _ => {}
        }
    }

    fn deliver(&mut self) {
        if let Some(commit) = self.world.stream().get(self.delivered).cloned() {
            self.delivered += 1;
            self.counts.commits += 1;
            let effects = if self.rng.random_bool(0.03) {
                let tables: BTreeSet<TableId> = commit.changes.iter().map(Change::table).collect();
                self.engine.commit_unkept(commit.xid, commit.end, tables)
            } else {
                self.engine.commit(commit)
            };
            self.take(effects);
        }
    }

    fn keep_alive(&mut self) {
        let caught_up = self.delivered == self.world.stream().len();
        if caught_up {
            self.world.lsn.0 += self.rng.random_range(0..3);
            let effects = self.engine.advance(self.world.lsn);
            self.take(effects);
        }
    }

    fn open(&mut self) {
        let document = DocumentId(self.rng.random_range(0..queries::DOCUMENTS));
        let number = |rng: &mut SmallRng, absent: bool| {
            (!absent || rng.random_bool(0.8)).then(|| Value::Int(rng.random_range(0..6)))
        };
        let mut params = vec![number(&mut self.rng, false), number(&mut self.rng, true), number(&mut self.rng, true)];
        let bounds = [Value::Int(self.rng.random_range(0..6)), ["a", "b", "c", ""][self.rng.random_range(0..4)].into()];
        params.extend(bounds.map(|bound| match self.rng.random_range(0..8) {
            0 => None,
            1 => Some(Value::Null),
            _ => Some(bound),
        }));
        let (key, effects) = self.engine.open(document, &params);
        self.documents.entry(key).or_insert(Open { document, params, last: None });
        self.take(effects);
    }

    fn close(&mut self) {
        let index = self.rng.random_range(0..self.documents.len().max(1));
        if let Some(&key) = self.documents.keys().nth(index) {
            self.documents.remove(&key);
            let effects = self.engine.close(key);
            self.take(effects);
        }
    }

    fn evaluate(&mut self) {
        if !self.sent.is_empty() {
            let index = self.rng.random_range(0..self.sent.len());
            let upquery = self.sent.swap_remove(index);
            let breaks = !self.resting && self.rng.random_bool(0.03);
            match self.world.answer(&upquery).filter(|_| !breaks) {
                Some(answer) => self.found.push(answer),
                None => {
                    let effects = self.engine.failed(upquery.id);
                    self.take(effects);
                }
            }
        }
    }

    fn return_answer(&mut self) {
        if !self.found.is_empty() {
            let index = self.rng.random_range(0..self.found.len());
            let answer = self.found.swap_remove(index);
            let effects = self.engine.found(answer);
            self.take(effects);
        }
    }

    fn answer_guests(&mut self) {
        let mut answered = Vec::new();
        let mut left = Vec::new();
        for call in std::mem::take(&mut self.calls) {
            if self.rng.random_bool(0.6) {
                // Where a failed row shows, the document would differ from the oracle's; where it holds, nothing is emitted.
                let late = !self.resting && self.on_error == OnError::Hold && self.rng.random_bool(0.05);
                call.resolve(if late { Err(queries::late()) } else { queries::guest(&call) });
                answered.push(call);
            } else {
                left.push(call);
            }
        }
        self.calls = left;
        if !answered.is_empty() {
            let effects = self.engine.answered(&answered);
            self.take(effects);
        }
    }

    fn load(&mut self, node: u32, version: Option<u64>) {
        let effects = self.engine.node_changed(NodeId(node), version.map(NodeVersion), 0);
        self.take(effects);
    }

    fn retry(&mut self) {
        let effects = self.engine.retry(NodeId(self.rng.random_range(0..3)));
        self.take(effects);
    }

    fn reset(&mut self) {
        let (origin, position) = self.world.start_stream();
        self.delivered = 0;
        for open in self.documents.values_mut() {
            open.last = open.last.take().map(|(_, root)| (Lsn(0), root));
        }
        let effects = self.engine.reset(origin, position);
        self.take(effects);
    }

    fn take(&mut self, effects: Effects) {
        assert_eq!(effects.contradiction, None);
        if effects.release_snapshot {
            self.world.release();
        }
        self.sent.extend(effects.upqueries);
        self.calls.extend(effects.calls);
        for emission in effects.emissions {
            self.counts.emissions += 1;
            let open = self.documents.get_mut(&emission.document).expect("only open documents are emitted");
            if let Some((before, _)) = &open.last {
                assert!(*before <= emission.position, "{} after {before}", emission.position);
            }
            let state = self.world.at(emission.position);
            let oracle = Oracle { state: &state, versions: &emission.versions, on_error: self.on_error };
            let expected = oracle.document(open.document, &open.params);
            assert!(
                expected.as_ref() == Some(&emission.root),
                "document {:?} {:?} at {}\n emitted {}\nexpected {}",
                open.document,
                open.params,
                emission.position,
                emission.root.to_json(),
                expected.map_or("nothing: held".into(), |value| value.to_json()),
            );
            open.last = Some((emission.position, emission.root));
        }
    }

    /// Lets everything arrive, then every document must have been emitted as it is now, and nothing may be left behind.
    fn come_to_rest(&mut self) {
        self.world.reveal_all();
        self.resting = true;
        for node in 0..3 {
            self.load(node, Some(1));
            let effects = self.engine.retry(NodeId(node));
            self.take(effects);
        }
        for _ in 0..10_000 {
            while self.delivered < self.world.stream().len() {
                self.deliver();
            }
            self.keep_alive();
            while !self.sent.is_empty() {
                self.evaluate();
            }
            if self.found.is_empty() && self.calls.is_empty() {
                break;
            }
            self.return_answer();
            self.answer_guests();
        }
        assert!(self.sent.is_empty() && self.found.is_empty() && self.calls.is_empty(), "no end to the questions");
        let state = self.world.at(self.world.lsn);
        let oracle = Oracle { state: &state, versions: self.engine.versions(), on_error: self.on_error };
        for (key, open) in &self.documents {
            let expected = oracle.document(open.document, &open.params);
            let last = open.last.as_ref().map(|(_, root)| root);
            if expected.is_some() {
                assert!(
                    last == expected.as_ref(),
                    "at rest, {key:?} {:?} {:?}\n emitted {:?}\nexpected {:?}\n{}",
                    open.document,
                    open.params,
                    last.map(Value::to_json),
                    expected.map(|value| value.to_json()),
                    self.engine.describe(*key),
                );
            }
        }
        let mut keys: VecDeque<DocumentKey> = self.documents.keys().copied().collect();
        while let Some(key) = keys.pop_front() {
            let effects = self.engine.close(key);
            self.documents.remove(&key);
            self.take(effects);
        }
        assert!(!self.engine.stands_still(), "at rest, but not going on");
        assert_eq!(self.engine.size(), Size::default(), "nothing outlives the documents");
    }
}
