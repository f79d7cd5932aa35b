//! A plan that uses every operator, and what its documents must be, written without looking at the plan.

use std::cmp::Ordering;
use std::sync::Arc;

use super::world::{FOLLOWS, PLACES, State, USERS};
use crate::data::{
    Column, ColumnType, Comparison, Decode, Expr, Field, Identity, KeyClass, Operand, Row, Table, TableId, Value,
};
use crate::dataflow::guest::{GuestCall, GuestError};
use crate::dataflow::plan::*;

pub(super) const FILTER: NodeId = NodeId(0);
pub(super) const MAP: NodeId = NodeId(1);
pub(super) const REDUCE: NodeId = NodeId(2);

/// The documents: a user with nested lists; places between ratings; users through two stages; a reduced list; users with
/// columns of their join rows.
pub(super) const DOCUMENTS: u32 = 5;

fn table(name: &str, columns: &[(&str, KeyClass)], identity: Identity, primary_key: Vec<usize>) -> Table {
    let columns = columns.iter().map(|(name, class)| Column {
        name: (*name).into(),
        ty: Arc::new(ColumnType {
            oid: 0,
            sql: class.sql().into(),
            decode: Decode::Text,
            class: Some(class.clone()),
            element: None,
        }),
        not_null: false,
    });
    Table { schema: "public".into(), name: name.into(), columns: columns.collect(), identity, primary_key }
}

fn call(node: NodeId, args: Vec<(Arc<str>, Arg)>, input: Option<Vec<(Arc<str>, Field)>>) -> NodeCall {
    NodeCall { node, args, input }
}

fn column(name: &str, index: usize) -> (Arc<str>, Field) {
    (name.into(), Field::Column(index))
}

fn path(name: &str) -> Field {
    Field::Path(vec![name.into()])
}

fn stage(element: u32, params: Vec<usize>, order: Vec<OrderBy>, offset: Count, limit: Option<Count>) -> Stage {
    Stage { element: ElementRef { id: ElementId(element), params }, order, offset, limit }
}

fn rows(arrangement: u32, key: Vec<KeySource>, params: Vec<usize>) -> ArrangementRef {
    ArrangementRef { id: ArrangementId(arrangement), key, params }
}

pub(super) fn plan(on_error: OnError) -> Plan {
    use KeyClass::{Int, Text};
    let by =
        |field: Field, class: KeyClass, descending: bool| OrderBy { field, class, descending, nulls_first: descending };
    let arrangement = |table: TableId, key: Vec<(usize, KeyClass)>, filter: Option<Expr>, params: usize| Arrangement {
        table,
        key,
        filter,
        params,
    };
    let bound = |column: usize, class: KeyClass, op: Comparison, param: usize| Expr::Compare {
        field: Field::Column(column),
        class,
        op,
        with: Operand::Param(param),
    };
    // An interval of ratings, and a bound of another column.
    let between = Expr::All(vec![
        bound(2, Int, Comparison::Gte, 0),
        bound(2, Int, Comparison::Lte, 1),
        bound(3, Int, Comparison::Lt, 1),
    ]);
    // Of the large column, whose value is not always known.
    let named = Expr::All(vec![Expr::Not(Box::new(Expr::IsNull(Field::Column(1)))), bound(2, Text, Comparison::Gt, 0)]);
    let scored =
        Expr::Compare { field: path("score"), class: KeyClass::Json, op: Comparison::Lt, with: Operand::Param(1) };
    Plan {
        tables: vec![
            table("users", &[("id", Int), ("name", Text), ("large", Text)], Identity::Columns(vec![0]), vec![0]),
            table("follows", &[("follower", Int), ("followed", Int)], Identity::Bag, vec![]),
            table(
                "places",
                &[("id", Int), ("owner", Int), ("rating", Int), ("note", Int)],
                Identity::Columns(vec![0]),
                vec![0],
            ),
        ],
        arrangements: vec![
            arrangement(USERS, vec![(0, Int)], None, 0),
            arrangement(FOLLOWS, vec![(0, Int)], None, 0),
            arrangement(PLACES, vec![(1, Int)], None, 0),
            arrangement(PLACES, vec![], Some(between), 2),
            arrangement(USERS, vec![], Some(named), 1),
        ],
        elements: vec![
            // 0: a place under a user, filtered and mapped. Parameters: min, most.
            Element {
                base: Base::Row {
                    table: PLACES,
                    columns: vec![("id".into(), 0), ("rating".into(), 2)],
                    children: vec![],
                },
                steps: vec![
                    Step::Filter(call(FILTER, vec![("min".into(), Arg::Param(0))], None)),
                    Step::Map {
                        call: call(MAP, vec![], Some(vec![column("id", 0), column("rating", 2)])),
                        into: Some("score".into()),
                    },
                    Step::Where(scored),
                ],
                params: 2,
            },
            // 1: a followed user with places.
            Element {
                base: Base::Row {
                    table: USERS,
                    columns: vec![("id".into(), 0), ("name".into(), 1), ("large".into(), 2)],
                    children: vec![("places".into(), ListRef { id: ListId(0), on: vec![0], params: vec![0, 1] })],
                },
                steps: vec![],
                params: 2,
            },
            // 2: a user with followed users, and the best place.
            Element {
                base: Base::Row {
                    table: USERS,
                    columns: vec![("id".into(), 0), ("name".into(), 1)],
                    children: vec![
                        ("friends".into(), ListRef { id: ListId(1), on: vec![0], params: vec![0, 1] }),
                        ("best".into(), ListRef { id: ListId(2), on: vec![0], params: vec![] }),
                    ],
                },
                steps: vec![],
                params: 2,
            },
            // 3: a bare place.
            Element {
                base: Base::Row {
                    table: PLACES,
                    columns: vec![("id".into(), 0), ("rating".into(), 2)],
                    children: vec![],
                },
                steps: vec![],
                params: 0,
            },
            // 4, 5: a user, mapped after a window.
            Element {
                base: Base::Row { table: USERS, columns: vec![("id".into(), 0), ("name".into(), 1)], children: vec![] },
                steps: vec![],
                params: 0,
            },
            Element {
                base: Base::Element(ElementRef { id: ElementId(4), params: vec![] }),
                steps: vec![
                    Step::Map { call: call(MAP, vec![], Some(vec![column("id", 0)])), into: Some("score".into()) },
                    Step::Filter(call(FILTER, vec![], None)),
                ],
                params: 0,
            },
            // 6: a user with those named by the ratings of their places.
            Element {
                base: Base::Row {
                    table: USERS,
                    columns: vec![("id".into(), 0)],
                    children: vec![("named".into(), ListRef { id: ListId(7), on: vec![0], params: vec![] })],
                },
                steps: vec![],
                params: 0,
            },
            // 7: a user under a join row, filtered.
            Element {
                base: Base::Element(ElementRef { id: ElementId(4), params: vec![] }),
                steps: vec![Step::Filter(call(FILTER, vec![], None))],
                params: 0,
            },
        ],
        lists: vec![
            // 0: the places of a user, by score.
            List {
                source: Source::Rows(rows(2, vec![KeySource::Parent(0)], vec![])),
                stages: vec![stage(
                    0,
                    vec![0, 1],
                    vec![by(path("score"), KeyClass::Json, true)],
                    Count::Fixed(0),
                    Some(Count::Fixed(2)),
                )],
                shape: Shape::Array,
                parents: 1,
                params: 2,
            },
            // 1: followed users, by name.
            List {
                source: Source::Through {
                    joins: rows(1, vec![KeySource::Parent(0)], vec![]),
                    rows: rows(0, vec![KeySource::Join(1)], vec![]),
                    add: vec![],
                },
                stages: vec![stage(1, vec![0, 1], vec![by(Field::Column(1), Text, false)], Count::Fixed(0), None)],
                shape: Shape::Array,
                parents: 1,
                params: 2,
            },
            // 2: the best place.
            List {
                source: Source::Rows(rows(2, vec![KeySource::Parent(0)], vec![])),
                stages: vec![stage(3, vec![], vec![by(Field::Column(2), Int, true)], Count::Fixed(0), None)],
                shape: Shape::One,
                parents: 1,
                params: 0,
            },
            // 3: a user.
            List {
                source: Source::Rows(rows(0, vec![KeySource::Param(0)], vec![])),
                stages: vec![stage(2, vec![1, 2], vec![], Count::Fixed(0), None)],
                shape: Shape::One,
                parents: 0,
                params: 3,
            },
            // 4: places from a rating on, up to another, without the first.
            List {
                source: Source::Rows(rows(3, vec![], vec![0, 2])),
                stages: vec![stage(
                    3,
                    vec![],
                    vec![by(Field::Column(2), Int, true)],
                    Count::Fixed(1),
                    Some(Count::Param(1)),
                )],
                shape: Shape::Array,
                parents: 0,
                params: 3,
            },
            // 5: the first three users that have a name, by name, mapped and filtered, by falling id, then two of them.
            List {
                source: Source::Rows(rows(4, vec![], vec![0])),
                stages: vec![
                    stage(4, vec![], vec![by(Field::Column(1), Text, false)], Count::Fixed(0), Some(Count::Fixed(3))),
                    stage(5, vec![], vec![by(Field::Column(0), Int, true)], Count::Fixed(0), Some(Count::Fixed(2))),
                ],
                shape: Shape::Array,
                parents: 0,
                params: 1,
            },
            // 6: all places of some ratings, reduced.
            List {
                source: Source::Rows(rows(3, vec![], vec![0, 1])),
                stages: vec![stage(3, vec![], vec![], Count::Fixed(0), None)],
                shape: Shape::Reduce(call(REDUCE, vec![("from".into(), Arg::Param(0))], None)),
                parents: 0,
                params: 2,
            },
            // 7: users by the ratings of places, with the places' notes, by falling note; cut, then by id.
            List {
                source: Source::Through {
                    joins: rows(2, vec![KeySource::Parent(0)], vec![]),
                    rows: rows(0, vec![KeySource::Join(2)], vec![]),
                    add: vec![("note".into(), 3), ("place".into(), 0)],
                },
                stages: vec![
                    stage(4, vec![], vec![], Count::Fixed(0), None),
                    stage(
                        7,
                        vec![],
                        vec![by(path("note"), Int, true), by(path("place"), Int, false)],
                        Count::Fixed(0),
                        Some(Count::Fixed(3)),
                    ),
                    stage(7, vec![], vec![by(path("place"), Int, true)], Count::Fixed(0), None),
                ],
                shape: Shape::Array,
                parents: 1,
                params: 0,
            },
            // 8: a user.
            List {
                source: Source::Rows(rows(0, vec![KeySource::Param(0)], vec![])),
                stages: vec![stage(6, vec![], vec![], Count::Fixed(0), None)],
                shape: Shape::One,
                parents: 0,
                params: 1,
            },
        ],
        nodes: ["filter", "map", "reduce"].map(|name| Node { name: name.into(), on_error }).into(),
        documents: vec![
            Document { name: "user".into(), list: ListId(3), params: vec![0, 1, 2] },
            Document { name: "places".into(), list: ListId(4), params: vec![1, 2, 3] },
            Document { name: "stages".into(), list: ListId(5), params: vec![4] },
            Document { name: "reduced".into(), list: ListId(6), params: vec![1, 3] },
            Document { name: "named".into(), list: ListId(8), params: vec![0] },
        ],
    }
}

/// What the guests answer: some function of everything a call holds, failing now and then.
pub(super) fn guest(call: &GuestCall) -> Result<Value, Arc<GuestError>> {
    let text = format!("{} {} {}", call.version.0, call.args.to_json(), call.input.to_json());
    let hash = text.bytes().fold(7u64, |hash, byte| (hash.wrapping_mul(31) ^ u64::from(byte)) % 1_000_003);
    match call.node {
        _ if hash % 11 == 0 => Err(Arc::new(GuestError { message: "no".into(), passing: false })),
        FILTER => Ok(Value::Bool(hash % 4 != 0)),
        MAP => Ok(Value::Int((hash % 7) as i64)),
        _ => Ok(Value::Int((hash % 101) as i64)),
    }
}

/// What a guest answers now and then: it might have answered another time.
pub(super) fn late() -> Arc<GuestError> {
    Arc::new(GuestError { message: "late".into(), passing: true })
}

/// The oracle.
pub(super) struct Oracle<'a> {
    pub state: &'a State,
    pub versions: &'a crate::dataflow::Versions,
    pub on_error: OnError,
}

impl Oracle<'_> {
    /// What the document must be; `None`: it may not be emitted at all, since a node's failure holds it.
    pub(super) fn document(&self, document: DocumentId, params: &[Option<Value>]) -> Option<Value> {
        let int = |index: usize| match &params[index] {
            Some(Value::Int(value)) => Some(*value),
            _ => None,
        };
        match document.0 {
            0 => {
                let id = int(0)?;
                let user = self.rows(USERS).into_iter().find(|row| number(row, 0) == Some(id));
                match user {
                    Some(user) => self.user(&user, &params[1], &params[2]),
                    None => Some(Value::Null),
                }
            }
            1 => {
                let mut places = self.places_between(int(1), &params[3]);
                places.sort_by(by_rating);
                let places = places.iter().skip(1).take(int(2).map_or(usize::MAX, |limit| limit as usize));
                Some(Value::array(places.map(place)))
            }
            2 => self.staged(&params[4]),
            4 => self.named(int(0)?),
            _ => {
                let mut places = self.places_between(int(1), &params[3]);
                places.sort_by_key(|row| number(row, 0));
                let args = object(params[1].iter().map(|value| ("from", value.clone())));
                self.ask(REDUCE, args, Value::array(places.iter().map(place)))
                    .map(|answer| answer.unwrap_or(Value::Null))
            }
        }
    }

    fn rows(&self, table: TableId) -> Vec<Row> {
        let of_table = self.state.iter().filter(|((other, _), _)| *other == table.0);
        of_table.flat_map(|(_, (row, count))| std::iter::repeat_n(row.clone(), *count as usize)).collect()
    }

    /// `None`: held. `Some(None)`: skipped.
    fn ask(&self, node: NodeId, args: Value, input: Value) -> Option<Option<Value>> {
        let (version, tick) = self.versions.0[node.0 as usize]?;
        match guest(&GuestCall::new(node, version, tick, args, input)) {
            Ok(answer) => Some(Some(answer)),
            Err(_) if self.on_error == OnError::Hold => None,
            Err(_) if self.on_error == OnError::Null => Some(Some(Value::Null)),
            Err(_) => Some(None),
        }
    }

    fn places_between(&self, rating: Option<i64>, most: &Option<Value>) -> Vec<Row> {
        let mut places = self.rows(PLACES);
        // An absent parameter leaves its conditions out; a null meets none.
        places.retain(|row| rating.is_none() || number(row, 2).is_some_and(|have| Some(have) >= rating));
        match most {
            None => {}
            Some(Value::Int(most)) => places.retain(|row| {
                number(row, 2).is_some_and(|rating| rating <= *most) && number(row, 3).is_some_and(|note| note < *most)
            }),
            Some(_) => places.clear(),
        }
        places
    }

    fn user(&self, user: &Row, min: &Option<Value>, most: &Option<Value>) -> Option<Value> {
        let id = number(user, 0);
        let follows = self.rows(FOLLOWS).into_iter().filter(|row| number(row, 0) == id && id.is_some());
        let mut friends = Vec::new();
        for follow in follows {
            friends.extend(self.rows(USERS).into_iter().filter(|row| number(row, 0) == number(&follow, 1)));
        }
        friends.sort_by(by_name);
        let friends = friends.iter().map(|friend| {
            let places = self.places(friend, min, most)?;
            Some(object([
                ("id", friend.get(0).clone()),
                ("name", friend.get(1).clone()),
                ("large", friend.get(2).clone()),
                ("places", places),
            ]))
        });
        let friends: Vec<Value> = friends.collect::<Option<_>>()?;
        let mut own: Vec<Row> = self.rows(PLACES).into_iter().filter(|row| number(row, 1) == id).collect();
        own.sort_by(by_rating);
        Some(object([
            ("id", user.get(0).clone()),
            ("name", user.get(1).clone()),
            ("friends", Value::array(friends)),
            ("best", own.first().map_or(Value::Null, place)),
        ]))
    }

    fn places(&self, user: &Row, min: &Option<Value>, most: &Option<Value>) -> Option<Value> {
        let mut scored = Vec::new();
        for row in self.rows(PLACES).iter().filter(|row| number(row, 1) == number(user, 0)) {
            let args = object(min.iter().map(|value| ("min", value.clone())));
            match self.ask(FILTER, args, place(row))? {
                Some(Value::Bool(true)) => {}
                _ => continue,
            }
            let Some(score) = self.ask(MAP, object([]), place(row))? else { continue };
            let passes = match (&score, most) {
                (_, None) => true,
                (Value::Int(score), Some(Value::Int(most))) => score < most,
                _ => false,
            };
            if passes {
                scored.push((score, row.clone()));
            }
        }
        scored.sort_by_key(|(score, row)| match score {
            // Nulls first where it falls.
            Value::Int(score) => (1, -score, number(row, 0)),
            _ => (0, 0, number(row, 0)),
        });
        let objects = scored.iter().take(2).map(|(score, row)| {
            object([("id", row.get(0).clone()), ("rating", row.get(2).clone()), ("score", score.clone())])
        });
        Some(Value::array(objects))
    }

    fn named(&self, id: i64) -> Option<Value> {
        let users = self.rows(USERS);
        if !users.iter().any(|user| number(user, 0) == Some(id)) {
            return Some(Value::Null);
        }
        let mut kept = Vec::new();
        for place in self.rows(PLACES).iter().filter(|place| number(place, 1) == Some(id)) {
            for user in users.iter().filter(|user| number(user, 0) == number(place, 2)) {
                let element = object([
                    ("id", user.get(0).clone()),
                    ("name", user.get(1).clone()),
                    ("note", place.get(3).clone()),
                    ("place", place.get(0).clone()),
                ]);
                if let Some(Value::Bool(true)) = self.ask(FILTER, object([]), element.clone())? {
                    // Falling, nulls first.
                    let note = number(place, 3).map_or((0, 0), |note| (1, -note));
                    kept.push((note, number(place, 0), element));
                }
            }
        }
        kept.sort_by_key(|(note, place, _)| (*note, *place));
        kept.truncate(3);
        kept.sort_by_key(|(_, place, _)| std::cmp::Reverse(*place));
        let named = Value::array(kept.into_iter().map(|(_, _, element)| element));
        Some(object([("id", Value::Int(id)), ("named", named)]))
    }

    fn staged(&self, above: &Option<Value>) -> Option<Value> {
        let mut users = self.rows(USERS);
        users.retain(|user| !user.get(1).is_null());
        users.retain(|user| match (user.get(2), above) {
            (_, None) => true,
            (Value::Text(have), Some(Value::Text(above))) => have > above,
            _ => false,
        });
        users.sort_by(by_name);
        users.truncate(3);
        let mut kept = Vec::new();
        for user in &users {
            let Some(score) = self.ask(MAP, object([]), object([("id", user.get(0).clone())]))? else { continue };
            let element = object([("id", user.get(0).clone()), ("name", user.get(1).clone()), ("score", score)]);
            if let Some(Value::Bool(true)) = self.ask(FILTER, object([]), element.clone())? {
                kept.push((number(user, 0), element));
            }
        }
        kept.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
        Some(Value::array(kept.into_iter().take(2).map(|(_, element)| element)))
    }
}

fn object<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::object(members.into_iter().map(|(name, value)| (name.into(), value)))
}

fn place(row: &Row) -> Value {
    object([("id", row.get(0).clone()), ("rating", row.get(2).clone())])
}

fn number(row: &Row, column: usize) -> Option<i64> {
    match row.get(column) {
        Value::Int(value) => Some(*value),
        _ => None,
    }
}

/// By name, nulls last, then by id.
fn by_name(a: &Row, b: &Row) -> Ordering {
    let key = |row: &Row| (row.get(1).is_null(), row.get(1).to_json(), number(row, 0));
    key(a).cmp(&key(b))
}

/// By falling rating, nulls first, then by id.
fn by_rating(a: &Row, b: &Row) -> Ordering {
    let key = |row: &Row| (number(row, 2).map_or((0, 0), |rating| (1, -rating)), number(row, 0));
    key(a).cmp(&key(b))
}
