//! Keys: values as bytes whose order and equality are SQL's.
//!
//! One byte string serves as hash key of an arrangement's cell, as identity of a row and as position in a list, so a
//! comparison of any number of columns, ascending or descending, is one `memcmp`. Each part delimits itself: no part's
//! bytes begin another's, so parts can follow each other, and each can be inverted for a descending order.
//!
//! | class | bytes |
//! | --- | --- |
//! | bool, int, date, time, timestamps, enum | fixed width, big-endian, sign bit flipped |
//! | float | the IEEE bits, ordered; one zero, one NaN |
//! | numeric | a byte for sign or special value, magnitude, two digits to a byte, an end |
//! | text, bpchar, bytea | the bytes, 0 escaped, an end |
//! | JSON | a byte for its kind, then as above; arrays and objects as text |

use std::cmp::Ordering;
use std::sync::Arc;

use super::Value;

mod part;

use part::{Part, push_delimited};

/// One or more values, encoded so that the order of the bytes is the order of the values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<[u8]>);

/// How values of a column compare, by SQL's rules for its type; wider classes serve joins of different types.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyClass {
    Bool,
    /// int2, int4, int8.
    Int,
    /// float4 and float8: -0 = 0, NaN is equal to itself and greatest.
    Float,
    /// numeric: 1.0 = 1.00; NaN greatest, then infinity. Also an int joined with a numeric.
    Numeric,
    /// text, varchar, name, "char": by code point (collation "C").
    Text,
    /// char(n): as text without trailing spaces.
    BpChar,
    Bytea,
    Uuid,
    Date,
    /// time without time zone.
    Time,
    Timestamp,
    Timestamptz,
    /// An enum: by the order of its labels. `sql` is the type's qualified name.
    Enum {
        sql: Arc<str>,
        labels: Arc<[Arc<str>]>,
    },
    /// JSON of unknown type, as nodes answer it: null < false < true < numbers < texts < arrays < objects; the last two by
    /// jsonb text, with equal numbers written alike.
    Json,
}

impl KeyClass {
    /// The SQL type in which a literal of this class is compared (`int8`, `numeric`, `text`, ...); `jsonb` for `Json`.
    pub fn sql(&self) -> &str {
        match self {
            KeyClass::Bool => "bool",
            KeyClass::Int => "int8",
            KeyClass::Float => "float8",
            KeyClass::Numeric => "numeric",
            KeyClass::Text => "text",
            KeyClass::BpChar => "bpchar",
            KeyClass::Bytea => "bytea",
            KeyClass::Uuid => "uuid",
            KeyClass::Date => "date",
            KeyClass::Time => "time",
            KeyClass::Timestamp => "timestamp",
            KeyClass::Timestamptz => "timestamptz",
            KeyClass::Enum { sql, .. } => sql,
            KeyClass::Json => "jsonb",
        }
    }

    /// SQL's comparison of two values; `None` if one is null or not of this class.
    pub fn compare(&self, a: &Value, b: &Value) -> Option<Ordering> {
        match (self, a, b) {
            (KeyClass::Int | KeyClass::Numeric, Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (KeyClass::Text, Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            _ => Some(Part::of(self, a)?.compare(&Part::of(self, b)?)),
        }
    }
}

impl Key {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Builds a [`Key`] part by part.
#[derive(Debug, Default)]
pub struct KeyBuilder(Vec<u8>);

/// What stands before a value in an order, so that nulls come first or last.
const NULL_FIRST: u8 = 0;
const NOT_NULL: u8 = 1;
const NULL_LAST: u8 = 2;

impl KeyBuilder {
    /// An empty key.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a value for equality. False, and nothing appended, if it is null or not of this class: such a value is
    /// equal to nothing.
    #[must_use]
    pub fn push(&mut self, class: &KeyClass, value: &Value) -> bool {
        let part = Part::of(class, value);
        if let Some(part) = &part {
            part.encode(&mut self.0);
        }
        part.is_some()
    }

    /// Appends a value for order; a value that is not of this class (JSON from a node) sorts as null.
    pub fn push_ordered(&mut self, class: &KeyClass, value: &Value, descending: bool, nulls_first: bool) {
        let Some(part) = Part::of(class, value) else {
            self.0.push(if nulls_first { NULL_FIRST } else { NULL_LAST });
            return;
        };
        self.0.push(NOT_NULL);
        let start = self.0.len();
        part.encode(&mut self.0);
        if descending {
            self.0[start..].iter_mut().for_each(|byte| *byte = !*byte);
        }
    }

    /// Appends bytes that delimit themselves: another key, or a fixed number of bytes.
    pub fn push_raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Appends a text that may hold any bytes, delimited.
    pub fn push_text(&mut self, text: &str) {
        push_delimited(&mut self.0, text.bytes());
    }

    /// How many bytes there are so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was appended yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key.
    pub fn finish(self) -> Key {
        Key(self.0.into())
    }
}

#[cfg(test)]
mod tests;
