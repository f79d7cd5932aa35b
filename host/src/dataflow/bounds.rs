//! Bounds on parameters: which groups of an arrangement a row may belong to, without testing it against each.
//!
//! A condition like `created_at >= $since and created_at < $until` gives each group an interval of the column's values, and
//! a row looks up the intervals around its own value. Every column that is compared with a parameter is an [`Axis`] with
//! its own intervals; a row asks the one that leaves fewest groups, the first to be done when all are asked in turns.
//!
//! What is easily got wrong:
//!
//! - **What is found is a candidate**: other conditions may stand beside the bounds, so the group's whole condition is
//!   tested on it. What is not found would have failed that test.
//! - **The order** is that of [`Key`]s, the one conditions have: NaN above infinity, -0 = 0, 1.0 = 1.00, texts by code point.
//! - **A null is equal to nothing**: a group with a null bound is in no interval, a row with a null in none that has a bound.
//!   An absent parameter has no condition, so such a group's interval holds every row, with a null too.

use smallvec::SmallVec;

use super::intervals::Intervals;
use super::tables::GroupId;
use crate::data::{Comparison, Expr, Field, Key, KeyBuilder, KeyClass, Operand, Value};

/// How many groups the first turn may find, if several axes can be asked.
const FIRST_TURN: usize = 16;

/// A column that a condition compares with parameters.
#[derive(Debug, PartialEq)]
pub(super) struct Axis {
    column: usize,
    class: KeyClass,
    /// The operators, and the parameters at their right.
    tests: SmallVec<[(Comparison, usize); 2]>,
}

/// A place on an axis. The order of the variants is the order of places.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Point {
    /// Where rows without a value are.
    Null,
    /// Before all values.
    Least,
    /// At a value, right before it, or right after it.
    Value(Key, Side),
    /// After all values.
    Greatest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Before,
    At,
    After,
}

/// The columns of an arrangement's condition that can be looked up: those of comparisons that all of it must meet.
pub(super) fn axes(condition: &Expr) -> Vec<Axis> {
    let mut axes = Vec::new();
    add_axes(condition, &mut axes);
    axes
}

fn add_axes(condition: &Expr, axes: &mut Vec<Axis>) {
    match condition {
        Expr::All(all) => all.iter().for_each(|one| add_axes(one, axes)),
        Expr::Compare { field: Field::Column(column), class, op, with: Operand::Param(param) }
            if *op != Comparison::Ne =>
        {
            match axes.iter_mut().find(|axis| axis.column == *column && axis.class == *class) {
                Some(axis) => axis.tests.push((*op, *param)),
                None => {
                    let tests = SmallVec::from_iter([(*op, *param)]);
                    axes.push(Axis { column: *column, class: class.clone(), tests });
                }
            }
        }
        _ => {}
    }
}

impl Axis {
    /// From where to where a row's value must be; `None`: no value will do.
    fn interval(&self, params: &[Option<Value>]) -> Option<(Point, Point)> {
        let (mut from, mut to) = (Point::Null, Point::Greatest);
        for (op, param) in &self.tests {
            let Some(bound) = &params[*param] else { continue };
            let key = self.key(bound)?;
            let at = |side| Point::Value(key.clone(), side);
            let (least, most) = match op {
                Comparison::Lt => (Point::Least, at(Side::Before)),
                Comparison::Lte => (Point::Least, at(Side::At)),
                Comparison::Gt => (at(Side::After), Point::Greatest),
                Comparison::Gte => (at(Side::At), Point::Greatest),
                Comparison::Eq => (at(Side::At), at(Side::At)),
                Comparison::Ne => continue,
            };
            from = from.max(least);
            to = to.min(most);
        }
        Some((from, to))
    }

    fn point(&self, value: &Value) -> Point {
        self.key(value).map_or(Point::Null, |key| Point::Value(key, Side::At))
    }

    fn key(&self, value: &Value) -> Option<Key> {
        let mut key = KeyBuilder::new();
        key.push(&self.class, value).then(|| key.finish())
    }
}

/// The intervals of some groups, for each axis of their arrangement. Every method is given the same axes.
#[derive(Debug)]
pub(super) struct Bounds {
    by_axis: Vec<Intervals<Point, GroupId>>,
}

impl Bounds {
    pub(super) fn new(axes: &[Axis]) -> Self {
        Bounds { by_axis: axes.iter().map(|_| Intervals::new()).collect() }
    }

    /// Adds a group with these parameters.
    pub(super) fn insert(&mut self, axes: &[Axis], params: &[Option<Value>], group: GroupId) {
        let Some(intervals) = axes.iter().map(|axis| axis.interval(params)).collect::<Option<Vec<_>>>() else { return };
        for (tree, (from, to)) in self.by_axis.iter_mut().zip(intervals) {
            tree.insert(from, to, group);
        }
    }

    /// Removes a group that was added with these parameters.
    pub(super) fn remove(&mut self, axes: &[Axis], params: &[Option<Value>], group: GroupId) {
        for (tree, axis) in self.by_axis.iter_mut().zip(axes) {
            if let Some((from, _)) = axis.interval(params) {
                tree.remove(&from, group);
            }
        }
    }

    /// The groups that a row with these column values may belong to; a value that is not known may be any. `None`: nothing
    /// that could tell is known, so it may be all of them.
    pub(super) fn around<'v>(
        &self,
        axes: &[Axis],
        value: impl Fn(usize) -> Option<&'v Value>,
    ) -> Option<SmallVec<[GroupId; 2]>> {
        let known = self.by_axis.iter().zip(axes);
        let known = known.filter_map(|(tree, axis)| Some((tree, axis.point(value(axis.column)?))));
        let known: SmallVec<[_; 2]> = known.collect();
        let mut found = Vec::new();
        let mut most = match known.len() {
            0 => return None,
            1 => usize::MAX,
            _ => FIRST_TURN,
        };
        loop {
            for (tree, point) in &known {
                found.clear();
                if tree.around(point, most, &mut found) {
                    return Some(SmallVec::from_vec(found));
                }
            }
            most = most.saturating_mul(4);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(column: usize, op: Comparison, param: usize) -> Expr {
        Expr::Compare { field: Field::Column(column), class: KeyClass::Int, op, with: Operand::Param(param) }
    }

    #[test]
    fn only_what_every_row_must_meet_is_looked_up() {
        use Comparison::*;
        let constant = Expr::Compare {
            field: Field::Column(9),
            class: KeyClass::Int,
            op: Gt,
            with: Operand::Value(Value::Int(1)),
        };
        let condition = Expr::All(vec![
            field(1, Gte, 0),
            Expr::Any(vec![field(2, Gte, 1)]),
            Expr::Not(Box::new(field(3, Gte, 2))),
            field(4, Ne, 3),
            constant,
            Expr::All(vec![field(5, Eq, 5), field(1, Lt, 4)]),
        ]);
        let found: Vec<(usize, Vec<(Comparison, usize)>)> =
            axes(&condition).into_iter().map(|axis| (axis.column, axis.tests.into_vec())).collect();
        assert_eq!(found, [(1, vec![(Gte, 0), (Lt, 4)]), (5, vec![(Eq, 5)])]);
        assert_eq!(axes(&field(1, Lte, 0)).len(), 1);
    }
}
