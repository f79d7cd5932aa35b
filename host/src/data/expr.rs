//! Conditions: the one form that `where` takes on its way from the configuration to memory and to SQL.
//!
//! Three-valued, as in SQL: [`Expr::test`] answers `None` for unknown. A condition is evaluated here for rows that come
//! by the stream and by Postgres for rows that an upquery finds; both must agree on every value, or a document differs
//! from its query. A type whose comparison cannot be reproduced exactly is refused when a query is resolved.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{KeyClass, Row, Value};

mod contain;
mod like;
#[cfg(test)]
mod tests;

pub use like::is_like_pattern;

/// Where a condition, an order or a projection finds a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// A column of the element's row (index into the table's columns).
    Column(usize),
    /// A member of the element as it stands at this step: a computed field, or a child's member (`last.created_at`).
    Path(Vec<Arc<str>>),
}

/// A value a condition compares with.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// Known when the plan is made, or bound since.
    Value(Value),
    /// The parameter at this index of the sub-plan's own parameters.
    Param(usize),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    Eq,
    Ne,
    Lt,
    Lte,
    Gt,
    Gte,
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// True if all are; true if there are none.
    All(Vec<Expr>),
    /// True if any is; false if there are none.
    Any(Vec<Expr>),
    /// SQL's `NOT`: unknown stays unknown.
    Not(Box<Expr>),
    /// `is null`; never unknown.
    IsNull(Field),
    /// `field op with`, both compared as `class`.
    Compare { field: Field, class: KeyClass, op: Comparison, with: Operand },
    /// `field = any(list)`: the operand is a JSON array.
    In { field: Field, class: KeyClass, list: Operand },
    /// `field like pattern` (`ilike` if `fold`); `\` escapes.
    Like { field: Field, pattern: Operand, fold: bool },
    /// `field @> with` for jsonb and arrays (`element`: the class of an array's elements, `None` for jsonb).
    Contains { field: Field, element: Option<KeyClass>, with: Operand },
    /// `field && with` for arrays.
    Overlaps { field: Field, element: KeyClass, with: Operand },
}

impl Comparison {
    /// Whether the comparison holds of two values in this order.
    pub fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Eq => order.is_eq(),
            Comparison::Ne => order.is_ne(),
            Comparison::Lt => order.is_lt(),
            Comparison::Lte => order.is_le(),
            Comparison::Gt => order.is_gt(),
            Comparison::Gte => order.is_ge(),
        }
    }
}

/// Reading and rewriting.
impl Expr {
    /// This condition and all within it, each before its members.
    pub fn walk(&self) -> impl Iterator<Item = &Expr> {
        let mut rest = vec![self];
        std::iter::from_fn(move || {
            let next = rest.pop()?;
            match next {
                Expr::All(members) | Expr::Any(members) => rest.extend(members.iter().rev()),
                Expr::Not(member) => rest.push(member),
                _ => {}
            }
            Some(next)
        })
    }

    /// The fields the condition looks at; one may come several times.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.walk().filter_map(|expr| match expr {
            Expr::All(_) | Expr::Any(_) | Expr::Not(_) => None,
            Expr::IsNull(field)
            | Expr::Compare { field, .. }
            | Expr::In { field, .. }
            | Expr::Like { field, .. }
            | Expr::Contains { field, .. }
            | Expr::Overlaps { field, .. } => Some(field),
        })
    }

    /// The values and parameters the condition compares with.
    pub fn operands(&self) -> impl Iterator<Item = &Operand> {
        self.walk().filter_map(|expr| match expr {
            Expr::All(_) | Expr::Any(_) | Expr::Not(_) | Expr::IsNull(_) => None,
            Expr::Compare { with: operand, .. }
            | Expr::In { list: operand, .. }
            | Expr::Like { pattern: operand, .. }
            | Expr::Contains { with: operand, .. }
            | Expr::Overlaps { with: operand, .. } => Some(operand),
        })
    }

    /// The parameters the condition uses; one may come several times.
    pub fn params(&self) -> impl Iterator<Item = usize> {
        self.operands().filter_map(|operand| match operand {
            Operand::Param(index) => Some(*index),
            Operand::Value(_) => None,
        })
    }

    /// The condition with its parameters replaced by these values.
    ///
    /// `None` is an optional parameter that is absent: the conditions that use it are left out, and so is whatever has
    /// no member left after that. If nothing is left, the result is true ([`Expr::All`] of nothing). Panics if a
    /// parameter is beyond `params`: were it left out too, a condition that guards rows would be gone.
    pub fn bind(&self, params: &[Option<Value>]) -> Expr {
        let bound = self.replace(&|operand| match operand {
            Operand::Value(value) => Some(Operand::Value(value.clone())),
            Operand::Param(index) => params[*index].clone().map(Operand::Value),
        });
        bound.unwrap_or(Expr::All(Vec::new()))
    }

    /// The same condition whose parameters have other numbers.
    pub fn renumber(&self, number: impl Fn(usize) -> usize) -> Expr {
        let renumbered = self.replace(&|operand| match operand {
            Operand::Value(value) => Some(Operand::Value(value.clone())),
            Operand::Param(index) => Some(Operand::Param(number(*index))),
        });
        renumbered.expect("every operand has a replacement")
    }

    /// The condition with other operands; without those that have none, or `None` if nothing is left.
    fn replace(&self, operand: &dyn Fn(&Operand) -> Option<Operand>) -> Option<Expr> {
        Some(match self {
            Expr::All(members) => Expr::All(replace_members(members, operand)?),
            Expr::Any(members) => Expr::Any(replace_members(members, operand)?),
            Expr::Not(member) => Expr::Not(Box::new(member.replace(operand)?)),
            Expr::IsNull(field) => Expr::IsNull(field.clone()),
            Expr::Compare { field, class, op, with } => {
                Expr::Compare { field: field.clone(), class: class.clone(), op: *op, with: operand(with)? }
            }
            Expr::In { field, class, list } => {
                Expr::In { field: field.clone(), class: class.clone(), list: operand(list)? }
            }
            Expr::Like { field, pattern, fold } => {
                Expr::Like { field: field.clone(), pattern: operand(pattern)?, fold: *fold }
            }
            Expr::Contains { field, element, with } => {
                Expr::Contains { field: field.clone(), element: element.clone(), with: operand(with)? }
            }
            Expr::Overlaps { field, element, with } => {
                Expr::Overlaps { field: field.clone(), element: element.clone(), with: operand(with)? }
            }
        })
    }
}

/// `None` if there were members and none is left; one that was empty from the start means what it says.
fn replace_members(members: &[Expr], operand: &dyn Fn(&Operand) -> Option<Operand>) -> Option<Vec<Expr>> {
    let left: Vec<Expr> = members.iter().filter_map(|member| member.replace(operand)).collect();
    if left.is_empty() && !members.is_empty() { None } else { Some(left) }
}

/// Evaluation.
impl Expr {
    /// Whether the condition holds of an element, `None` for unknown. `look_up` gives the values of fields; a missing
    /// one is null. A parameter that was not bound counts as null.
    pub fn test<'a>(&self, look_up: &dyn Fn(&Field) -> Option<&'a Value>) -> Option<bool> {
        let value = |field: &Field| look_up(field).unwrap_or(&Value::Null);
        match self {
            Expr::All(members) => fold(members.iter().map(|member| member.test(look_up)), false),
            Expr::Any(members) => fold(members.iter().map(|member| member.test(look_up)), true),
            Expr::Not(member) => member.test(look_up).map(|truth| !truth),
            Expr::IsNull(field) => Some(value(field).is_null()),
            Expr::Compare { field, class, op, with } => {
                class.compare(value(field), with.value()).map(|order| op.holds(order))
            }
            Expr::In { field, class, list } => is_in(class, value(field), list.value()),
            Expr::Like { field, pattern, fold } => match (value(field), pattern.value()) {
                (Value::Text(text), Value::Text(pattern)) => Some(like::matches(text, pattern, *fold)),
                _ => None,
            },
            Expr::Contains { field, element: None, with } => contain::jsonb(value(field), with.value()),
            Expr::Contains { field, element: Some(class), with } => contain::array(class, value(field), with.value()),
            Expr::Overlaps { field, element, with } => contain::overlaps(element, value(field), with.value()),
        }
    }

    /// Whether the condition, which has no [`Field::Path`], holds of a row; `None` for unknown.
    pub fn test_row(&self, row: &Row) -> Option<bool> {
        self.test(&|field| match field {
            Field::Column(index) => Some(row.get(*index)),
            Field::Path(_) => None,
        })
    }
}

impl Operand {
    fn value(&self) -> &Value {
        match self {
            Operand::Value(value) => value,
            Operand::Param(_) => &Value::Null,
        }
    }
}

/// SQL's `OR` of the members if `decisive` is true, its `AND` if it is false.
fn fold(members: impl Iterator<Item = Option<bool>>, decisive: bool) -> Option<bool> {
    let mut result = Some(!decisive);
    for member in members {
        match member {
            Some(truth) if truth == decisive => return Some(decisive),
            Some(_) => {}
            None => result = None,
        }
    }
    result
}

/// `value = any(list)`: false of an empty list even for null, as Postgres has it.
fn is_in(class: &KeyClass, value: &Value, list: &Value) -> Option<bool> {
    let equal = |element| class.compare(value, element).map(Ordering::is_eq);
    fold(list.elements()?.map(equal), true)
}
