//! Looking up against testing one by one.

use proptest::prelude::*;
use slotmap::SlotMap;

use super::*;
use crate::data::{Comparison, Field, KeyBuilder, KeyClass, Operand, Row};

/// The columns of the table: a class each, and values that are easily got wrong. The last one is not of the class.
const COLUMNS: [(KeyClass, &[&str]); 5] = [
    (KeyClass::Int, &["null", "-1", "0", "1", "2", "3", "9223372036854775807", "\"x\""]),
    (
        KeyClass::Numeric,
        &["null", "\"-Infinity\"", "-0.0", "0", "1.0", "1.00", "1", "1e0", "1.01", "\"Infinity\"", "\"NaN\"", "true"],
    ),
    (KeyClass::Float, &["null", "\"-Infinity\"", "-0.0", "0", "1e-300", "1.5", "\"Infinity\"", "\"NaN\"", "\"x\""]),
    (KeyClass::Text, &["null", "\"\"", "\"A\"", "\"B\"", "\"a\"", "\"ab\"", "\"é\"", "\"😀\"", "1"]),
    (KeyClass::Date, &["null", "\"-infinity\"", "\"0001-01-01 BC\"", "\"2024-02-29\"", "\"infinity\"", "\"x\""]),
];

const OPERATORS: [Comparison; 6] =
    [Comparison::Eq, Comparison::Ne, Comparison::Lt, Comparison::Lte, Comparison::Gt, Comparison::Gte];

fn value_of(column: usize, choice: usize) -> Value {
    let values = COLUMNS[column].1;
    Value::parse_json(values[choice % values.len()]).expect("JSON of a test")
}

fn compare(column: usize, op: Comparison, param: usize) -> Expr {
    let class = COLUMNS[column].0.clone();
    Expr::Compare { field: Field::Column(column), class, op, with: Operand::Param(param) }
}

fn key(value: i64) -> Key {
    let mut key = KeyBuilder::new();
    assert!(key.push(&KeyClass::Int, &Value::Int(value)));
    key.finish()
}

/// Groups at one key, as an index has them and as a list.
struct Groups {
    condition: Expr,
    ids: SlotMap<GroupId, ()>,
    index: Index,
    all: Vec<(GroupId, Params)>,
}

impl Groups {
    fn new(condition: Expr) -> Self {
        let index = Index::new(Some(&condition));
        Groups { condition, ids: SlotMap::with_key(), index, all: Vec::new() }
    }

    fn add(&mut self, params: Vec<Option<Value>>) {
        let params: Params = params.into();
        let known = self.all.iter().find(|(_, own)| same_params(own, &params)).map(|(group, _)| *group);
        assert_eq!(self.index.get(&key(1), &params), known);
        if known.is_none() {
            let group = self.ids.insert(());
            self.index.insert(key(1), params.clone(), group);
            self.all.push((group, params));
        }
    }

    fn remove(&mut self, at: usize) {
        let (group, params) = self.all.swap_remove(at);
        self.index.remove(&key(1), &params, group);
        assert_eq!(self.index.get(&key(1), &params), None);
    }

    /// The groups a row belongs to, tested one by one.
    fn matching(&self, row: &Row) -> Vec<GroupId> {
        let passes = |params: &Params| self.condition.bind(params).test_row(row) == Some(true);
        let mut groups: Vec<_> = self.all.iter().filter(|(_, own)| passes(own)).map(|(group, _)| *group).collect();
        groups.sort_unstable();
        groups
    }

    /// The groups that are looked up, each once, if the column `unknown` is not known.
    fn candidates(&self, row: &Row, unknown: Option<usize>) -> Vec<GroupId> {
        let known = |column: usize| (Some(column) != unknown).then(|| row.get(column));
        let mut groups = self.index.candidates(&key(1), known).into_vec();
        groups.sort_unstable();
        assert!(groups.windows(2).all(|pair| pair[0] < pair[1]), "a group twice");
        groups
    }

    fn check(&self, rows: &[Row], exact: bool) {
        assert_eq!(self.index.all().count(), self.all.len());
        assert_eq!(self.index.at(&key(1)).count(), self.all.len());
        for row in rows {
            let matching = self.matching(row);
            let found = self.candidates(row, None);
            assert!(matching.iter().all(|group| found.contains(group)), "a group of {row:?} is not found");
            if exact && self.all.len() > 1 {
                assert_eq!(found, matching, "of a single column nothing else is tested: {row:?}");
            }
            for unknown in 0..COLUMNS.len() {
                let found = self.candidates(row, Some(unknown));
                assert!(matching.iter().all(|group| found.contains(group)), "column {unknown} of {row:?} is not known");
            }
        }
    }
}

/// A column, the index of an operator, and whether the comparison stands where no group can be looked up by it.
type Test = (usize, usize, bool);

/// A condition of these comparisons, each with a parameter of its own; and whether it is about bounds of one column only.
fn condition(tests: &[Test]) -> (Expr, bool) {
    let members = tests.iter().enumerate().map(|(param, &(column, op, apart))| {
        let test = compare(column, OPERATORS[op], param);
        if apart { Expr::Any(vec![test, Expr::IsNull(Field::Column(column))]) } else { test }
    });
    let mut members: Vec<Expr> = members.collect();
    let exact = tests.iter().all(|&(column, op, apart)| column == tests[0].0 && op != 1 && !apart);
    // Conjunctions within conjunctions are the same.
    let rest = members.split_off(members.len() / 2);
    (Expr::All(vec![Expr::All(members), Expr::All(rest)]), exact)
}

fn params(tests: &[Test], choices: &[usize]) -> Vec<Option<Value>> {
    // One in four is absent.
    let chosen = tests.iter().zip(choices);
    chosen.map(|(&(column, ..), &choice)| (choice % 4 > 0).then(|| value_of(column, choice / 4))).collect()
}

proptest! {
    #[test]
    fn looking_up_finds_what_testing_one_by_one_finds(
        tests in prop::collection::vec((0..COLUMNS.len(), 0..OPERATORS.len(), prop::bool::weighted(0.2)), 1..5),
        one_column in any::<bool>(),
        groups in prop::collection::vec(prop::collection::vec(0usize..100, 5), 0..60),
        rows in prop::collection::vec(prop::collection::vec(0usize..100, COLUMNS.len()), 1..12),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let column = tests[0].0;
        let tests: Vec<Test> =
            tests.iter().map(|&(own, op, apart)| (if one_column { column } else { own }, op, apart)).collect();
        let (condition, exact) = condition(&tests);
        let mut all = Groups::new(condition);
        for choices in &groups {
            all.add(params(&tests, choices));
        }
        let row = |choices: &Vec<usize>| -> Row {
            Row::new(choices.iter().enumerate().map(|(column, &choice)| value_of(column, choice)).collect::<Vec<_>>())
        };
        let rows: Vec<Row> = rows.iter().map(row).collect();
        all.check(&rows, exact);
        for index in removed {
            if !all.all.is_empty() {
                all.remove(index.index(all.all.len()));
            }
        }
        // A bucket that once had many groups looks up the one that is left as well.
        all.check(&rows, exact);
        while !all.all.is_empty() {
            all.remove(0);
        }
        prop_assert!(all.index.by_key.is_empty(), "nothing outlives the groups");
    }
}

fn int(value: i64) -> Option<Value> {
    Some(Value::Int(value))
}

/// A row whose columns are null but the first.
fn row(first: i64) -> Row {
    Row::new([vec![Value::Int(first)], vec![Value::Null; COLUMNS.len() - 1]].concat())
}

#[test]
fn of_ten_thousand_groups_only_those_a_row_belongs_to_are_tested() {
    use Comparison::{Gte, Lt};
    let mut since = Groups::new(Expr::All(vec![compare(0, Gte, 0)]));
    let mut between = Groups::new(Expr::All(vec![compare(0, Gte, 0), compare(0, Lt, 1)]));
    for group in 0..10_000 {
        let (id, params): (_, Params) = (since.ids.insert(()), [int(group)].into());
        since.index.insert(key(1), params, id);
        let (id, params): (_, Params) = (between.ids.insert(()), [int(group), int(group + 2)].into());
        between.index.insert(key(1), params, id);
    }
    let tested = |groups: &Groups, value: i64| groups.candidates(&row(value), None).len();
    assert_eq!([-1, 0, 4, 9_999, 50_000].map(|value| tested(&since, value)), [0, 1, 5, 10_000, 10_000]);
    assert_eq!([-1, 0, 4, 9_999, 50_000].map(|value| tested(&between, value)), [0, 1, 2, 2, 0]);
}

#[test]
fn a_column_that_tells_nothing_is_not_the_one_that_is_asked() {
    use Comparison::{Gte, Lt};
    let mut groups = Groups::new(Expr::All(vec![compare(0, Gte, 0), compare(1, Lt, 1)]));
    for group in 0..10_000 {
        // The first bound is the same in all of them.
        let id = groups.ids.insert(());
        groups.index.insert(key(1), [int(0), int(group)].into(), id);
    }
    let row = Row::new([Value::Int(5), Value::Int(9_989), Value::Null, Value::Null, Value::Null]);
    assert_eq!(groups.candidates(&row, None).len(), 10);
    // Where it is not known, the other has to do.
    assert_eq!(groups.candidates(&row, Some(1)).len(), 10_000);
}

#[test]
fn absent_bounds_let_all_rows_in_and_null_bounds_none() {
    let mut groups = Groups::new(Expr::All(vec![compare(0, Comparison::Gte, 0)]));
    groups.add(vec![None]);
    groups.add(vec![Some(Value::Null)]);
    groups.add(vec![int(3)]);
    let ids: Vec<GroupId> = groups.all.iter().map(|(group, _)| *group).collect();
    let nothing = Row::new(vec![Value::Null; COLUMNS.len()]);
    assert_eq!(groups.candidates(&nothing, None), [ids[0]]);
    assert_eq!(groups.candidates(&row(2), None), [ids[0]]);
    assert_eq!(groups.candidates(&row(3), None), [ids[0], ids[2]]);
    assert_eq!(groups.candidates(&row(3), Some(0)), ids);
}
