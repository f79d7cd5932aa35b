//! The database tells a row in two ways, though no commit changed it: a rewrite that the stream does not tell of.

use std::sync::Arc;

use super::LIMITS;
use super::queries;
use super::world::{USERS, id_of};
use crate::data::{Answer, Lsn, Row, Snapshot, Upquery, Value, Xid};
use crate::dataflow::plan::{DocumentId, OnError};
use crate::dataflow::{Effects, Engine};

/// Answers each ask with one user of this name.
fn answer(engine: &mut Engine, upqueries: Vec<Upquery>, name: &str) -> Effects {
    let mut all = Effects::default();
    for upquery in upqueries {
        let row = Row::new(vec![Value::Int(1), name.into(), "a".into(), Value::Null]);
        let rows = upquery.asks.iter().map(|_| Ok(vec![(id_of(USERS, &row), row.clone())])).collect();
        let snapshot = Snapshot { xmin: Xid(100), xmax: Xid(100), running: Vec::new() };
        all.append(engine.found(Answer { id: upquery.id, snapshot, insert: Lsn(8), flush: Lsn(8), rows }));
    }
    all
}

#[test]
fn a_row_told_in_two_ways_is_not_shown_until_it_is_read_anew() {
    let origin = Snapshot { xmin: Xid(100), xmax: Xid(100), running: Vec::new() };
    let mut engine = Engine::new(Arc::new(queries::plan(OnError::Skip)), origin, Lsn(8), LIMITS, [3; 16]);
    let (all, alike) = (DocumentId(7), DocumentId(6));
    let params = |text: Option<&str>| [Some(Value::Int(0)), None, None, None, text.map(Value::from)];
    let names = |effects: &Effects| -> Vec<bool> {
        effects.emissions.iter().map(|emission| emission.root.to_json().contains("new")).collect()
    };

    let (_, effects) = engine.open(all, &params(None));
    let effects = answer(&mut engine, effects.upqueries, "old");
    assert_eq!((names(&effects), effects.contradiction), (vec![false], None));
    let (_, effects) = engine.open(alike, &params(Some("a")));
    let effects = answer(&mut engine, effects.upqueries, "new");
    assert!(names(&effects).is_empty() && effects.contradiction == Some(USERS));

    let effects = engine.table_changed(USERS);
    assert!(names(&effects).is_empty());
    let effects = answer(&mut engine, effects.upqueries, "new");
    assert_eq!((names(&effects), effects.contradiction), (vec![true, true], None));
}
