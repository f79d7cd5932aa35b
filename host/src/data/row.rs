//! Rows and their identity.

use std::sync::Arc;

use super::{Key, Value};

/// A table of the plan: an index into its list of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

/// The relation a row is stored in, by Postgres's oid: the table itself, or the leaf partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafId(pub u32);

/// What makes a row this row: its replica identity, in the relation that stores it.
///
/// The identity is the one Postgres announces in the stream, not the primary key: with `REPLICA IDENTITY USING INDEX`
/// an update of the primary key carries no old tuple. Rows of a table without any key are a *bag*: their identity is
/// their whole text ([`Table::row_text`](super::Table::row_text)), and the same one may occur several times.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId {
    /// Where the row is stored.
    pub leaf: LeafId,
    /// Its replica identity's columns, in the order of [`Identity::Columns`](super::Identity), each ascending.
    pub key: Key,
}

/// One row: a value for each column of its [`Table`](super::Table), in that order, as `to_jsonb` shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    values: Arc<[Value]>,
}

impl Row {
    /// A row of these column values.
    pub fn new(values: impl Into<Arc<[Value]>>) -> Self {
        Row { values: values.into() }
    }

    /// The value of the column at `index` of the table's columns.
    pub fn get(&self, index: usize) -> &Value {
        &self.values[index]
    }

    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        fn of(value: &Value) -> usize {
            size_of::<Value>()
                + match value {
                    Value::Null | Value::Bool(_) | Value::Int(_) => 0,
                    Value::Number(text) | Value::Text(text) => text.len(),
                    Value::Array(elements) => elements.iter().map(of).sum(),
                    Value::Object(object) => object.values().iter().map(of).sum(),
                    Value::List(list) => list.len() * size_of::<Value>(),
                }
        }
        self.values.iter().map(of).sum()
    }

    /// All column values in the table's order.
    pub fn values(&self) -> &[Value] {
        &self.values
    }
}
