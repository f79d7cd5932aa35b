//! A plan that uses every operator, and what its nodes answer.

use std::sync::Arc;

use super::world::{FOLLOWS, PLACES, USERS};
use crate::data::{
    Column, ColumnType, Comparison, Decode, Expr, Field, Identity, KeyClass, Operand, Table, TableId, Value,
};
use crate::dataflow::guest::{GuestCall, GuestError};
use crate::dataflow::plan::*;

pub(super) const FILTER: NodeId = NodeId(0);
pub(super) const MAP: NodeId = NodeId(1);
pub(super) const REDUCE: NodeId = NodeId(2);

/// The documents: a user with nested lists; places between ratings; users through two stages; a reduced list; users with
/// columns of their join rows; a place of a rating with its owner; users found by their large column, and by a condition on
/// it; the rows of a bag.
pub(super) const DOCUMENTS: u32 = 9;

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
    NodeCall::new(node, args, input)
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

/// An element of columns only.
fn bare(table: TableId, columns: Vec<(Arc<str>, usize)>) -> Element {
    Element { base: Base::Row { table, columns, children: vec![] }, steps: vec![], params: 0 }
}

/// A list that is nothing but the rows of one group, in this order.
fn plain(
    source: Source,
    element: u32,
    order: Vec<OrderBy>,
    limit: Option<Count>,
    shape: Shape,
    keys: [usize; 2],
) -> List {
    let [parents, params] = keys;
    List { source, stages: vec![stage(element, vec![], order, Count::Fixed(0), limit)], shape, parents, params }
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
            table(
                "users",
                &[("id", Int), ("name", Text), ("large", Text), ("heavy", Text)],
                Identity::Columns(vec![0]),
                vec![0],
            ),
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
            arrangement(PLACES, vec![(0, Int)], Some(bound(2, Int, Comparison::Gte, 0)), 1),
            arrangement(USERS, vec![(2, Text)], None, 0),
            arrangement(USERS, vec![], Some(bound(2, Text, Comparison::Lt, 0)), 1),
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
            bare(PLACES, vec![("id".into(), 0), ("rating".into(), 2)]),
            // 4, 5: a user, mapped after a window.
            bare(USERS, vec![("id".into(), 0), ("name".into(), 1)]),
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
                    children: vec![("named".into(), ListRef { id: ListId(7), on: vec![0], params: vec![0, 1] })],
                },
                steps: vec![],
                params: 2,
            },
            // 7, 8: a user under a join row, with places; filtered.
            Element {
                base: Base::Row {
                    table: USERS,
                    columns: vec![("id".into(), 0), ("name".into(), 1)],
                    children: vec![("places".into(), ListRef { id: ListId(0), on: vec![0], params: vec![0, 1] })],
                },
                steps: vec![],
                params: 2,
            },
            Element {
                base: Base::Element(ElementRef { id: ElementId(7), params: vec![0, 1] }),
                steps: vec![Step::Filter(call(FILTER, vec![], None))],
                params: 2,
            },
            // 9: a place with its owner.
            Element {
                base: Base::Row {
                    table: PLACES,
                    columns: vec![("id".into(), 0), ("rating".into(), 2)],
                    children: vec![("owner".into(), ListRef { id: ListId(9), on: vec![1], params: vec![] })],
                },
                steps: vec![],
                params: 0,
            },
            // 10: a user with the large column.
            bare(USERS, vec![("id".into(), 0), ("name".into(), 1), ("large".into(), 2)]),
            // 11: a row of the bag.
            bare(FOLLOWS, vec![("follower".into(), 0), ("followed".into(), 1)]),
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
            // 5: the first three users that have a name, by name, mapped and filtered, by a column not shown, then two of them.
            List {
                source: Source::Rows(rows(4, vec![], vec![0])),
                stages: vec![
                    stage(4, vec![], vec![by(Field::Column(1), Text, false)], Count::Fixed(0), Some(Count::Fixed(3))),
                    stage(5, vec![], vec![by(Field::Column(2), Text, true)], Count::Fixed(0), Some(Count::Fixed(2))),
                ],
                shape: Shape::Array,
                parents: 0,
                params: 1,
            },
            // 6: all places of some ratings but the first by note, reduced; the node sees columns that are not shown.
            List {
                source: Source::Rows(rows(3, vec![], vec![0, 1])),
                stages: vec![stage(3, vec![], vec![by(Field::Column(3), Int, false)], Count::Fixed(1), None)],
                shape: Shape::Reduce(call(
                    REDUCE,
                    vec![("from".into(), Arg::Param(0))],
                    Some(vec![column("id", 0), column("note", 3)]),
                )),
                parents: 0,
                params: 2,
            },
            // 7: users by the ratings of places, with the places' notes, by falling note; cut, then by place.
            List {
                source: Source::Through {
                    joins: rows(2, vec![KeySource::Parent(0)], vec![]),
                    rows: rows(0, vec![KeySource::Join(2)], vec![]),
                    add: vec![("note".into(), 3), ("place".into(), 0)],
                },
                stages: vec![
                    stage(7, vec![0, 1], vec![], Count::Fixed(0), None),
                    stage(8, vec![0, 1], vec![by(path("note"), Int, true)], Count::Fixed(0), Some(Count::Fixed(2))),
                    stage(8, vec![0, 1], vec![by(path("place"), Int, true)], Count::Fixed(0), None),
                ],
                shape: Shape::Array,
                parents: 1,
                params: 2,
            },
            // 8: a user.
            List {
                source: Source::Rows(rows(0, vec![KeySource::Param(0)], vec![])),
                stages: vec![stage(6, vec![1, 2], vec![], Count::Fixed(0), None)],
                shape: Shape::One,
                parents: 0,
                params: 3,
            },
            // 9: the owner of a place.
            plain(Source::Rows(rows(0, vec![KeySource::Parent(0)], vec![])), 4, vec![], None, Shape::One, [1, 0]),
            // 10: a place, if its rating is high enough.
            plain(Source::Rows(rows(5, vec![KeySource::Param(0)], vec![1])), 9, vec![], None, Shape::One, [0, 2]),
            // 11: users of a large text.
            plain(
                Source::Rows(rows(6, vec![KeySource::Param(0)], vec![])),
                10,
                vec![by(Field::Column(1), Text, true)],
                None,
                Shape::Array,
                [0, 1],
            ),
            // 12: users of a smaller one.
            plain(
                Source::Rows(rows(7, vec![], vec![0])),
                10,
                vec![by(Field::Column(2), Text, false)],
                None,
                Shape::Array,
                [0, 1],
            ),
            // 13: whom somebody follows.
            plain(
                Source::Rows(rows(1, vec![KeySource::Param(0)], vec![])),
                11,
                vec![by(Field::Column(1), Int, false)],
                Some(Count::Param(1)),
                Shape::Array,
                [0, 2],
            ),
        ],
        nodes: [(FILTER, "filter"), (MAP, "map"), (REDUCE, "reduce")]
            .map(|(id, name)| (id, Node { name: name.into(), on_error }))
            .into(),
        documents: vec![
            Document { name: "user".into(), list: ListId(3), params: vec![0, 1, 2] },
            Document { name: "places".into(), list: ListId(4), params: vec![1, 2, 3] },
            Document { name: "stages".into(), list: ListId(5), params: vec![4] },
            Document { name: "reduced".into(), list: ListId(6), params: vec![1, 3] },
            Document { name: "named".into(), list: ListId(8), params: vec![0, 1, 2] },
            Document { name: "place".into(), list: ListId(10), params: vec![0, 1] },
            Document { name: "alike".into(), list: ListId(11), params: vec![4] },
            Document { name: "smaller".into(), list: ListId(12), params: vec![4] },
            Document { name: "followed".into(), list: ListId(13), params: vec![0, 2] },
        ],
    }
}

/// What the guests answer: some function of everything a call holds, failing now and then.
pub(super) fn guest(call: &GuestCall) -> Result<Value, Arc<GuestError>> {
    let text = format!("{} {} {} {}", call.version.0, call.tick, call.args.to_json(), call.input.to_json());
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
