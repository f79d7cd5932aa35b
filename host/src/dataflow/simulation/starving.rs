//! A document that needs a key nobody has asked for with every commit, which comes before the answer about the one before.

use std::sync::Arc;

use super::LIMITS;
use super::queries;
use super::world::{FOLLOWS, USERS, id_of};
use crate::data::{Answer, Change, Commit, Lsn, Row, RowId, Snapshot, Upquery, Value, Xid};
use crate::dataflow::guest::NodeVersion;
use crate::dataflow::plan::{DocumentId, NodeId, OnError};
use crate::dataflow::{Effects, Emission, Engine};

/// User 0 follows users 1 to `follows`, the last by transaction 100 + `follows`. All of them have been there before.
struct Database {
    follows: u32,
    kept: Option<(u64, u32)>,
}

impl Database {
    fn follow(&self, followed: u32) -> (RowId, Row) {
        let row = Row::new(vec![Value::Int(0), Value::Int(followed.into())]);
        (id_of(FOLLOWS, &row), row)
    }

    fn commit(&mut self) -> Arc<Commit> {
        self.follows += 1;
        let (id, row) = self.follow(self.follows);
        let changes = vec![Change::Insert { table: FOLLOWS, id, row }];
        Arc::new(Commit { xid: Xid(100 + self.follows), end: self.end(self.follows), changes })
    }

    fn end(&self, follows: u32) -> Lsn {
        Lsn(u64::from(follows) * 8)
    }

    fn answer(&mut self, upquery: &Upquery) -> Answer {
        let mut seen = self.follows;
        match (upquery.under, self.kept) {
            (Some(id), _) if id == upquery.id => self.kept = Some((id, seen)),
            (Some(id), Some((kept, then))) if id == kept => seen = then,
            (None, _) => {}
            (Some(id), _) => panic!("the snapshot of {id} is gone"),
        }
        let rows = upquery.asks.iter().map(|ask| {
            let rows = ask.keys.iter().flat_map(|key| match (ask.table, &key[0]) {
                (USERS, id) => {
                    let row = Row::new(vec![id.clone(), Value::from("a"), Value::Null, Value::Null]);
                    vec![(id_of(USERS, &row), row)]
                }
                (FOLLOWS, Value::Int(0)) => (1..=seen).map(|followed| self.follow(followed)).collect(),
                _ => Vec::new(),
            });
            Ok(rows.collect())
        });
        let next = Xid(101 + seen);
        let snapshot = Snapshot { xmin: next, xmax: next, running: Vec::new() };
        Answer { id: upquery.id, snapshot, insert: self.end(seen), flush: self.end(seen), rows: rows.collect() }
    }
}

struct Play {
    engine: Engine,
    database: Database,
    sent: Vec<Upquery>,
    emissions: Vec<Emission>,
    released: bool,
}

impl Play {
    fn take(&mut self, effects: Effects) {
        self.sent.extend(effects.upqueries);
        self.emissions.extend(effects.emissions);
        self.released |= effects.release_snapshot;
    }

    /// Questions are answered, but a commit is always faster, unless the engine would rather have none.
    fn round(&mut self) {
        let sent = std::mem::take(&mut self.sent);
        let answers: Vec<Answer> = sent.iter().map(|upquery| self.database.answer(upquery)).collect();
        if !self.engine.stands_still() {
            let commit = self.database.commit();
            let effects = self.engine.commit(commit);
            self.take(effects);
        }
        for answer in answers {
            let effects = self.engine.found(answer);
            self.take(effects);
        }
    }
}

#[test]
fn what_needs_new_keys_with_every_commit_is_read_whole() {
    let origin = Snapshot { xmin: Xid(101), xmax: Xid(101), running: Vec::new() };
    let engine = Engine::new(Arc::new(queries::plan(OnError::Skip)), origin, Lsn(0), LIMITS, [3; 16]);
    let database = Database { follows: 0, kept: None };
    let mut play = Play { engine, database, sent: Vec::new(), emissions: Vec::new(), released: false };
    for node in 0..3 {
        let effects = play.engine.node_changed(NodeId(node), Some(NodeVersion(1)), 0);
        play.take(effects);
    }
    let (_, effects) = play.engine.open(DocumentId(0), &[Some(Value::Int(0)), None, None]);
    play.take(effects);
    (0..50).for_each(|_| play.round());
    assert!(play.emissions.is_empty(), "the case is one that would wait for ever");
    let effects = play.engine.read_whole();
    play.take(effects);
    let rounds = (1..=20).find(|_| {
        play.round();
        !play.emissions.is_empty()
    });
    assert!(rounds.is_some_and(|rounds| rounds <= 5), "{rounds:?}: as many rounds as the query nests, and one");
    assert!(play.released && !play.engine.stands_still());
    let emission = play.emissions.pop().expect("just seen");
    let friends = emission.root.to_json().matches("\"places\"").count() as u32;
    assert_eq!(play.database.end(friends), emission.position, "each of its commits brought one");
}
