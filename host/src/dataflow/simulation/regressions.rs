//! What the random test found once in thousands of seeds, each as the few events it takes.
//!
//! Who answers a question, and in which order, is the test's to say: most of these need one answer before another.

use std::collections::VecDeque;
use std::sync::Arc;

use super::LIMITS;
use super::queries::{self, FILTER, MAP};
use super::world::{FOLLOWS, PLACES, State, USERS, find, id_of};
use crate::data::{Answer, Change, Commit, Field, Lsn, Row, Snapshot, TableId, Upquery, Value, Xid};
use crate::dataflow::guest::NodeVersion;
use crate::dataflow::log::Log;
use crate::dataflow::plan::{DocumentId, NodeId, OnError, Plan, Step};
use crate::dataflow::{Blocked, DocumentKey, Effects, Engine};

/// Documents of the plan: a user with those named by the ratings of their places, and whom somebody follows.
const NAMED: DocumentId = DocumentId(4);
const FOLLOWED: DocumentId = DocumentId(8);

/// Who waits while nodes are loaded for the first time waits for their answers too, and is told then that there are none.
#[test]
fn that_a_node_holds_is_told_anew_of_who_waits_for_its_first_answers() {
    let rows = [user(0, "a"), user(1, "b"), follow(0, 1), place(10, 1, 1, 0)];
    let mut play = Play::with_plan(queries::plan(OnError::Hold), &rows);
    play.step(|engine| engine.node_changed(FILTER, None, 0));
    let document = play.open(DocumentId(0), 0);
    play.answer_all();
    assert_eq!(play.engine.blocked(document), Some(Blocked::Held));
    let asked = play.engine.node_changed(FILTER, Some(NodeVersion(1)), 0).calls;
    assert_eq!(asked.len(), 1);
    play.engine.tell_held_anew();
    assert_eq!(play.engine.blocked(document), None);
    asked[0].resolve(Err(queries::late()));
    assert_eq!(play.engine.answered(&asked).blocked, [(document, Some(Blocked::Held))]);
}

/// While a row is asked again what a node failed on, its documents show no more than they did.
#[test]
fn a_document_that_lacks_a_row_lacks_it_while_that_is_asked_again() {
    let mut play = Play::new(&[user(0, "a"), user(1, "b"), follow(0, 1), place(10, 1, 1, 0)]);
    let document = play.open(DocumentId(0), 0);
    play.answer_all();
    let asked = play.engine.node_changed(FILTER, Some(NodeVersion(2)), 0).calls;
    asked[0].resolve(Err(queries::late()));
    play.step(|engine| engine.answered(&asked));
    assert!(play.engine.failing_documents().contains(&document));
    let again = play.engine.retry(FILTER).calls;
    assert_eq!(again.len(), 1);
    assert!(play.engine.failing_documents().contains(&document), "nothing is known yet");
    again[0].resolve(Ok(true.into()));
    play.step(|engine| engine.answered(&again));
    assert!(!play.engine.failing_documents().contains(&document));
}

/// An engine and what snapshots see of its database. Nodes keep every row, and answer at once.
struct Play {
    engine: Engine,
    rows: State,
    next_xid: u32,
    /// Committed and in the stream, but snapshots do not see them yet.
    unseen: Vec<(Xid, (TableId, Row))>,
    sent: VecDeque<Upquery>,
    emitted: Vec<(DocumentKey, Lsn, String)>,
    /// The node of each call.
    called: Vec<NodeId>,
}

impl Play {
    /// Its log keeps nothing back that nobody needs, as if the commits were large.
    fn new(rows: &[(TableId, Row)]) -> Self {
        Play::with_plan(queries::plan(OnError::Skip), rows)
    }

    fn with_plan(plan: Plan, rows: &[(TableId, Row)]) -> Self {
        let origin = Snapshot { xmin: Xid(100), xmax: Xid(100), running: Vec::new() };
        let mut engine = Engine::new(Arc::new(plan), origin.clone(), Lsn(800), LIMITS, [3; 16]);
        engine.log = Log::new(origin, 0);
        let (sent, emitted) = (VecDeque::new(), Vec::new());
        let mut play =
            Play { engine, rows: State::new(), next_xid: 100, unseen: Vec::new(), sent, emitted, called: Vec::new() };
        rows.iter().for_each(|row| play.write(row.clone()));
        for node in 0..3 {
            play.step(|engine| engine.node_changed(NodeId(node), Some(NodeVersion(1)), 0));
        }
        play
    }

    /// The row as it is from now on; in the bag, once.
    fn write(&mut self, (table, row): (TableId, Row)) {
        self.rows.insert((table.0, id_of(table, &row)), (row, 1));
    }

    fn step(&mut self, event: impl FnOnce(&mut Engine) -> Effects) {
        let mut effects = event(&mut self.engine);
        while !effects.calls.is_empty() {
            let calls = std::mem::take(&mut effects.calls);
            for call in &calls {
                self.called.push(call.node);
                call.resolve(Ok(if call.node == FILTER { Value::Bool(true) } else { Value::Int(1) }));
            }
            effects.append(self.engine.answered(&calls));
        }
        assert_eq!(effects.contradiction, None);
        self.sent.extend(effects.upqueries);
        let emissions = effects.emissions.into_iter();
        self.emitted.extend(emissions.map(|emission| (emission.document, emission.position, emission.root.to_json())));
    }

    fn open(&mut self, document: DocumentId, id: i64) -> DocumentKey {
        let mut opened = None;
        self.step(|engine| {
            let (key, effects) = engine.open(document, &[Some(Value::Int(id)), None, None, None, None]);
            opened = Some(key);
            effects
        });
        opened.expect("just opened")
    }

    /// The oldest question under way.
    fn question(&mut self) -> Upquery {
        self.sent.pop_front().expect("something is asked")
    }

    /// The question that asks for this key alone.
    fn question_alone(&mut self, table: TableId, key: i64) -> Upquery {
        let alone = |upquery: &Upquery| match &upquery.asks[..] {
            [ask] => ask.table == table && ask.keys == [[Value::Int(key)]],
            _ => false,
        };
        let at = self.sent.iter().position(alone);
        at.and_then(|at| self.sent.remove(at)).unwrap_or_else(|| panic!("{:?}", self.sent))
    }

    /// What snapshots see now.
    fn answer(&self, upquery: &Upquery) -> Answer {
        let running: Vec<Xid> = self.unseen.iter().map(|(xid, _)| *xid).collect();
        let xmax = Xid(self.next_xid);
        let snapshot = Snapshot { xmin: running.first().copied().unwrap_or(xmax), xmax, running };
        let rows = upquery.asks.iter().map(|ask| find(&self.rows, ask)).collect();
        let position = self.engine.position();
        Answer { id: upquery.id, snapshot, insert: position, flush: position, rows }
    }

    fn found(&mut self, answer: Answer) {
        self.step(|engine| engine.found(answer));
    }

    /// Answers everything, oldest first.
    fn answer_all(&mut self) {
        while let Some(upquery) = self.sent.pop_front() {
            self.found(self.answer(&upquery));
        }
    }

    /// A commit that inserts this row comes, before any snapshot sees it.
    fn commit_unseen(&mut self, row: (TableId, Row)) {
        let (xid, end) = self.next_transaction();
        self.unseen.push((xid, row.clone()));
        let (table, row) = row;
        let changes = vec![Change::Insert { table, id: id_of(table, &row), row }];
        self.step(|engine| engine.commit(Arc::new(Commit { xid, end, changes })));
    }

    /// The standby is back: snapshots see all that is committed.
    fn reveal(&mut self) {
        for (_, row) in std::mem::take(&mut self.unseen) {
            self.write(row);
        }
    }

    /// A transaction that was too large to be kept wrote these rows.
    fn commit_unkept(&mut self, rows: &[(TableId, Row)]) {
        let (xid, end) = self.next_transaction();
        rows.iter().for_each(|row| self.write(row.clone()));
        self.step(|engine| engine.commit_unkept(xid, end, [USERS, PLACES]));
    }

    fn next_transaction(&mut self) -> (Xid, Lsn) {
        let xid = Xid(self.next_xid);
        self.next_xid += 1;
        (xid, Lsn(u64::from(self.next_xid) * 8))
    }

    /// What this document emitted since it was last asked.
    fn emitted_by(&mut self, document: DocumentKey) -> Vec<(Lsn, String)> {
        let (its, others) = std::mem::take(&mut self.emitted).into_iter().partition(|(key, ..)| *key == document);
        self.emitted = others;
        let its: Vec<(DocumentKey, Lsn, String)> = its;
        its.into_iter().map(|(_, position, json)| (position, json)).collect()
    }
}

fn user(id: i64, name: &str) -> (TableId, Row) {
    (USERS, Row::new(vec![Value::Int(id), name.into(), Value::Null, Value::Null]))
}

fn follow(follower: i64, followed: i64) -> (TableId, Row) {
    (FOLLOWS, Row::new(vec![Value::Int(follower), Value::Int(followed)]))
}

fn place(id: i64, owner: i64, rating: i64, note: i64) -> (TableId, Row) {
    (PLACES, Row::new([id, owner, rating, note].map(Value::Int).to_vec()))
}

/// A commit comes while the first question is under way; the others are sent after it, so nothing but the first is known to
/// need it.
#[test]
fn a_commit_that_an_answer_has_not_seen_stays_in_the_log_until_it_is_merged() {
    let mut play = Play::new(&[]);
    play.open(FOLLOWED, 0);
    play.commit_unseen(follow(2, 5));
    play.open(FOLLOWED, 1);
    let document = play.open(FOLLOWED, 2);
    let (first, _slow, question) = (play.question(), play.question(), play.question());

    // The stream has yet to pass this answer's position, and what kept the log so far is answered meanwhile.
    let answer = play.answer(&question);
    let later = Lsn(answer.insert.0 + 8);
    play.found(Answer { insert: later, flush: later, ..answer });
    assert!(play.engine.waits_for_position());
    play.reveal();
    play.found(play.answer(&first));
    assert!(play.emitted_by(document).is_empty());

    play.step(|engine| engine.advance(later));
    assert_eq!(play.emitted_by(document), [(later, r#"[{"follower":2,"followed":5}]"#.to_owned())]);
}

/// The same of a snapshot that is kept open: whatever is asked under it later has not seen the commit either.
#[test]
fn a_commit_that_a_kept_snapshot_has_not_seen_stays_in_the_log_while_it_is_read_under() {
    let mut play = Play::new(&[]);
    play.open(FOLLOWED, 0);
    play.commit_unseen(follow(3, 5));
    play.open(FOLLOWED, 1);
    play.open(FOLLOWED, 2);
    let document = play.open(FOLLOWED, 3);
    let (first, _slow, _slower) = (play.question(), play.question(), play.question());
    assert!(play.sent.is_empty(), "so many are under way that the last has to wait");

    play.step(Engine::read_whole);
    let taken = play.question();
    play.found(play.answer(&taken));
    let question = play.question();
    assert_eq!((question.under, play.engine.stands_still()), (Some(taken.id), true));
    let answer = play.answer(&question);
    play.reveal();
    play.found(play.answer(&first));

    play.found(answer);
    let position = play.engine.position();
    assert_eq!(play.emitted_by(document), [(position, r#"[{"follower":3,"followed":5}]"#.to_owned())]);
}

#[test]
fn a_row_that_comes_as_its_join_row_is_read_anew_is_placed_once() {
    // The place names a user who is not there.
    let mut play = Play::new(&[user(0, "a"), place(10, 0, 1, 3)]);
    let document = play.open(NAMED, 0);
    play.answer_all();
    assert_eq!(play.emitted_by(document).pop().map(|(_, json)| json), Some(r#"{"id":0,"named":[]}"#.to_owned()));

    play.commit_unkept(&[user(1, "b")]);
    let together = play.question();
    assert!(play.sent.is_empty() && together.asks.len() == 2, "users and places, in one step: {together:?}");
    play.found(play.answer(&together));
    assert!(play.emitted_by(document).is_empty(), "the new user's places are not known yet");
    play.answer_all();
    let named = r#"{"id":0,"named":[{"id":1,"name":"b","places":[],"note":3,"place":10}]}"#;
    assert_eq!(play.emitted_by(document), [(play.engine.position(), named.to_owned())]);
    assert!(play.engine.is_settled(document));
}

#[test]
fn a_refusal_of_several_groups_is_not_blamed_on_the_one_still_wanted() {
    let mut play = Play::new(&[follow(1, 5)]);
    let gone = play.open(FOLLOWED, 0);
    let document = play.open(FOLLOWED, 1);
    play.sent.clear();
    play.step(|engine| engine.table_changed(FOLLOWS));
    let together = play.question();
    assert_eq!(together.asks[0].keys, [[Value::Int(0)], [Value::Int(1)]]);

    play.step(|engine| engine.close(gone));
    play.step(|engine| engine.refused(together.id));
    assert_eq!(play.engine.blocked(document), Some(Blocked::Missing));
    let alone = play.question_alone(FOLLOWS, 1);
    assert!(play.sent.is_empty(), "nobody wants the other");
    play.found(play.answer(&alone));
    let followed = r#"[{"follower":1,"followed":5}]"#;
    assert_eq!(play.emitted_by(document), [(play.engine.position(), followed.to_owned())]);

    // Who is refused alone is to blame.
    play.step(|engine| engine.table_changed(FOLLOWS));
    let alone = play.question_alone(FOLLOWS, 1);
    play.step(|engine| engine.refused(alone.id));
    assert_eq!(play.engine.blocked(document), Some(Blocked::Refused));
}

#[test]
fn an_element_placed_while_its_join_row_was_unknown_gets_its_columns() {
    let mut play = Play::new(&[user(0, "a"), user(1, "b"), place(10, 0, 1, 3)]);
    let document = play.open(NAMED, 0);
    play.answer_all();
    let named =
        |note: i64| format!(r#"{{"id":0,"named":[{{"id":1,"name":"b","places":[],"note":{note},"place":10}}]}}"#);
    assert_eq!(play.emitted_by(document).pop().map(|(_, json)| json), Some(named(3)));

    // Users and places are read anew; since that is refused, each group by itself.
    play.commit_unkept(&[place(10, 0, 1, 2)]);
    let together = play.question();
    play.step(|engine| engine.refused(together.id));
    // First what is nested in the element, then the join rows, then the element's own row.
    for (table, key) in [(PLACES, 1), (USERS, 0), (PLACES, 0), (USERS, 1)] {
        assert!(play.emitted_by(document).is_empty());
        let alone = play.question_alone(table, key);
        play.found(play.answer(&alone));
    }
    assert!(play.sent.is_empty());
    assert_eq!(play.emitted_by(document), [(play.engine.position(), named(2))]);
}

/// While a place is filtered anew, its map has not asked again yet; then it asks what it asked before.
#[test]
fn a_node_is_not_asked_again_because_the_one_before_it_is() {
    let mut plan = queries::plan(OnError::Skip);
    let Step::Map { call, .. } = &mut plan.elements[0].steps[1] else { panic!("a place is filtered, then mapped") };
    call.input = Some(vec![("id".into(), Field::Column(0))]);
    let mut play = Play::with_plan(plan, &[user(0, "a"), user(1, "b"), follow(0, 1), place(10, 1, 1, 0)]);
    play.open(DocumentId(0), 0);
    play.answer_all();
    assert_eq!(std::mem::take(&mut play.called), [FILTER, MAP]);

    // So many calls of others that none of these is among the latest.
    for n in 0..10_000 {
        play.engine.memo.ask(FILTER, NodeVersion(1), 0, Value::object([]), Value::Int(n), || None);
        play.engine.memo.take_asked();
    }
    let (_, row) = place(10, 1, 2, 0);
    let id = id_of(PLACES, &row);
    let (xid, end) = play.next_transaction();
    let changes = vec![Change::Update { table: PLACES, old: id.clone(), id, row, unchanged: Vec::new() }];
    play.step(|engine| engine.commit(Arc::new(Commit { xid, end, changes })));
    assert_eq!(play.called, [FILTER]);
}
