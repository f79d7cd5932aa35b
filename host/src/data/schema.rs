//! The tables a plan uses: their columns, how their text becomes a value, what identifies a row.

use std::sync::Arc;

use super::{KeyClass, Row, Value};

/// A table as the plan uses it.
///
/// `columns` are the columns in use by any query, plus those of identity and primary key; a bag has all its columns.
/// Rows of the table have their values in this order.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The schema's name, such as `public`.
    pub schema: Arc<str>,
    /// The table's name.
    pub name: Arc<str>,
    /// The columns in use.
    pub columns: Vec<Column>,
    /// What identifies a row in the stream.
    pub identity: Identity,
    /// Indexes of the primary key's columns, in key order; empty without one.
    pub primary_key: Vec<usize>,
}

/// One column in use.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub ty: Arc<ColumnType>,
    /// Whether it is declared `NOT NULL`.
    pub not_null: bool,
}

/// A Postgres type, as far as Sangre has to know it.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnType {
    /// The type's oid.
    pub oid: u32,
    /// Its name as SQL writes it, schema-qualified and quoted where needed (`int4`, `public."Mood"`, `int4[]`).
    pub sql: Arc<str>,
    /// How its text output becomes the value `to_jsonb` gives.
    pub decode: Decode,
    /// How its values compare; `None` for a type whose equality or order is not reproduced exactly.
    pub class: Option<KeyClass>,
    /// For an array: its elements' type.
    pub element: Option<Arc<ColumnType>>,
}

/// How the text output of a type becomes the JSON that `to_jsonb` makes of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Decode {
    /// `t` or `f`.
    Bool,
    /// int2, int4, int8, float4, float8, numeric: a JSON number, a JSON string for NaN and infinities. (`oid` is text.)
    Number,
    /// json and jsonb: the JSON itself, normalised as jsonb does.
    Json,
    /// `date` as ISO 8601.
    Date,
    /// `timestamp` as ISO 8601.
    Timestamp,
    /// `timestamptz` as ISO 8601 with its offset.
    Timestamptz,
    /// An array of any dimensions; `delimiter` is a comma for all types but `box`.
    Array { element: Box<Decode>, delimiter: u8 },
    /// A composite type: an object of these fields.
    Composite(Vec<(Arc<str>, Decode)>),
    /// Everything else: a JSON string of the text output.
    Text,
}

/// What identifies a row of a table in the stream (`REPLICA IDENTITY`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The values of these columns (indexes into the table's columns): primary key, or the chosen unique index.
    Columns(Vec<usize>),
    /// The table has no key and `REPLICA IDENTITY FULL`: a row is its whole content, and equal rows are counted.
    Bag,
}

impl Table {
    /// `schema.name`, or `name` in `public`: how configuration and messages name it.
    pub fn label(&self) -> String {
        if &*self.schema == "public" { self.name.to_string() } else { format!("{}.{}", self.schema, self.name) }
    }

    /// The index of the column called `name`.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| &*column.name == name)
    }

    /// The text of `to_jsonb(row)` over the columns in use: a bag's identity, and what orders rows without a primary key.
    pub fn row_text(&self, row: &Row) -> String {
        let fields = self.columns.iter().zip(row.values()).map(|(column, value)| (column.name.clone(), value.clone()));
        Value::object(fields).jsonb_text()
    }
}
