//! Conditions: the one form that `where` takes on its way from the configuration to memory and to SQL.
//!
//! Three-valued, as in SQL: [`Expr::test`] answers `None` for unknown. A condition is evaluated here for rows that come
//! by the stream and by Postgres for rows that an upquery finds; both must agree on every value, or a document differs
//! from its query. A type whose comparison cannot be reproduced exactly is refused when a query is resolved.

use std::sync::Arc;

use super::{KeyClass, Value};

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
