//! What must hold after every event, and at rest.

use std::collections::BTreeSet;

use rand::Rng;

use super::oracle::Oracle;
use super::run::Run;
use super::world::State;
use crate::data::{Lsn, TableId, Value};
use crate::dataflow::element_cell::worse;
use crate::dataflow::plan::{NodeId, OnError};
use crate::dataflow::tables::Fill;
use crate::dataflow::{Blocked, DocumentKey, Effects, Engine, Size, Versions};

/// How many bytes the log may ever take.
const LOG_LIMIT: usize = 256 << 20;

/// What led to a step.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    News,
    /// Answers of guests.
    Answers,
    /// Everything begins anew.
    Restart,
}

/// A document before a step.
pub(super) struct View {
    is_settled: bool,
    /// The commit whose state waits for guests.
    waits_at: Option<Lsn>,
}

impl View {
    pub(super) fn of(engine: &Engine, key: DocumentKey) -> View {
        let waiting = engine.documents.get(key).and_then(|document| document.waiting.as_ref());
        View { is_settled: engine.is_settled(key), waits_at: waiting.map(|waiting| waiting.position) }
    }
}

impl Run {
    fn oracle<'a>(&self, state: &'a State, versions: &'a Versions, is_fresh: bool) -> Oracle<'a> {
        let (on_error, limit, refused) = (self.on_error, self.limit, self.world.refused);
        Oracle { state, versions, on_error, limit, refused, is_fresh }
    }

    pub(super) fn take(&mut self, effects: Effects, before: Vec<(DocumentKey, View)>, cause: Cause) {
        assert_eq!(effects.contradiction, None);
        if effects.release_snapshot {
            self.world.release();
        }
        self.sent.extend(effects.upqueries);
        self.calls.extend(effects.calls);
        let mut told: BTreeSet<(DocumentKey, Lsn)> = BTreeSet::new();
        for emission in effects.emissions {
            self.counts.emissions += 1;
            let open = &self.documents.get(&emission.document).expect("only open documents are emitted");
            if let Some((before, _)) = &open.last {
                assert!(*before <= emission.position, "{} after {before}", emission.position);
            }
            let state = self.world.at(emission.position);
            let expected = self.oracle(&state, &emission.versions, false).document(open.document, &open.params);
            assert!(
                expected.as_ref() == Ok(&emission.root),
                "document {:?} {:?} at {}\n emitted {}\nexpected {:?}",
                open.document,
                open.params,
                emission.position,
                emission.root.to_json(),
                expected.map(|value| value.to_json()),
            );
            told.insert((emission.document, emission.position));
            let open = self.documents.get_mut(&emission.document).expect("just seen");
            open.last = Some((emission.position, emission.root));
        }
        for (key, reason) in effects.blocked {
            self.documents.get_mut(&key).expect("only open documents are told of").told = reason;
        }
        assert!(self.engine.log.size() <= LOG_LIMIT, "the log takes {} bytes", self.engine.log.size());
        for (key, before) in before.into_iter().filter(|(key, _)| self.documents.contains_key(key)) {
            let is_told = effects.unchanged.contains(&key);
            self.followers_hear(key, &before, is_told, &told, cause);
        }
        let documents: Vec<DocumentKey> = self.documents.keys().copied().collect();
        for key in documents {
            assert_eq!(self.documents[&key].told, self.engine.blocked(key), "of {key:?}");
            if self.engine.is_settled(key) && (effects.unchanged.contains(&key) || self.rng.random_bool(0.05)) {
                self.is_up_to_date(key);
            }
        }
    }

    /// Whoever waits for a document to arrive at a position hears of it; and a state that waits for guests is not given up
    /// for a later one, or a document that changes all the time would never be seen.
    fn followers_hear(
        &self,
        key: DocumentKey,
        before: &View,
        is_told: bool,
        told: &BTreeSet<(DocumentKey, Lsn)>,
        cause: Cause,
    ) {
        let now = View::of(&self.engine, key);
        let emitted = told.range((key, Lsn(0))..=(key, Lsn(u64::MAX))).next().is_some();
        if now.is_settled && !before.is_settled {
            assert!(emitted || is_told, "{key:?} is settled now, and nobody was told");
        }
        if let (Some(position), Cause::News) = (before.waits_at, cause)
            && self.on_error != OnError::Hold
        {
            let arrived = told.contains(&(key, position)) || is_told;
            assert!(now.waits_at == Some(position) || arrived, "{key:?} waited at {position} and was given up");
        }
    }

    /// A document that is said to have everything has it.
    fn is_up_to_date(&self, key: DocumentKey) {
        let open = &self.documents[&key];
        let state = self.world.at(self.engine.position());
        let expected = self.oracle(&state, self.engine.versions(), false).document(open.document, &open.params);
        let last = open.last.as_ref().map(|(_, root)| root);
        assert!(
            expected.as_ref().ok() == last && open.told.is_none(),
            "settled at {}, {key:?} {:?} {:?}\n emitted {:?}\nexpected {:?}, told {:?}",
            self.engine.position(),
            open.document,
            open.params,
            last.map(Value::to_json),
            expected.map(|value| value.to_json()),
            open.told,
        );
    }

    /// Lets everything arrive, then every document must have been emitted as it is now, and nothing may be left behind.
    pub(super) fn come_to_rest(&mut self) {
        self.world.reveal_all();
        self.resting = true;
        for node in 0..3 {
            self.load(node, Some((1, 0)));
            self.step(Cause::News, |engine| engine.retry(NodeId(node)));
        }
        self.settle();
        self.judge(false);
        // Read once more: lists that were too long may not be so any more.
        for table in 0..3 {
            self.step(Cause::News, |engine| engine.table_changed(TableId(table)));
        }
        self.settle();
        self.judge(true);
        while let Some((key, _)) = self.documents.pop_first() {
            self.step(Cause::News, |engine| engine.close(key));
        }
        assert!(!self.engine.stands_still(), "at rest, but not going on");
        assert_eq!(self.engine.size(), Size::default(), "nothing outlives the documents");
    }

    fn settle(&mut self) {
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
    }

    fn judge(&self, is_fresh: bool) {
        let state = self.world.at(self.world.lsn);
        let oracle = self.oracle(&state, self.engine.versions(), is_fresh);
        // A list that was too long when it was read is not followed, so it may be short enough by now.
        let was_long = self.engine.tables.groups.values().any(|group| group.state == Fill::TooLong);
        for (key, open) in &self.documents {
            let expected = oracle.document(open.document, &open.params);
            let last = open.last.as_ref().map(|(_, root)| root);
            let holds = match &expected {
                Ok(_) if open.told.is_some() => !is_fresh && was_long,
                Ok(expected) => last == Some(expected) && self.engine.is_settled(*key),
                Err(reason) => open.told.is_some_and(|told| {
                    worse(Some(told), *reason) == Some(told) || (told == Blocked::TooLong && !is_fresh && was_long)
                }),
            };
            assert!(
                holds,
                "at rest, {key:?} {:?} {:?}\n emitted {:?}\nexpected {:?}\n{}",
                open.document,
                open.params,
                last.map(Value::to_json),
                expected.map(|value| value.to_json()),
                self.engine.describe(*key),
            );
        }
    }
}
