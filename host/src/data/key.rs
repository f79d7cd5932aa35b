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

use super::json_write::{Numbers, write_jsonb};
use super::number::{Decimal, IntText};
use super::{Value, scalar, time};

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

/// A value as its class sees it: what comparing and encoding have in common.
enum Part<'a> {
    Bool(bool),
    /// Integers, and floats by their ordered bits.
    Int(i64),
    Uuid(u128),
    Numeric(Numeric<'a>),
    Text(&'a str),
    Bytea(&'a [u8]),
    Json(Json<'a>),
}

/// A value of `numeric`, in ascending order.
enum Numeric<'a> {
    MinusInfinity,
    Int(i64),
    Number(Decimal<'a>),
    Infinity,
    NaN,
}

/// A JSON value other than null.
enum Json<'a> {
    Bool(bool),
    Number(Numeric<'a>),
    Text(&'a str),
    Array(String),
    Object(String),
}

impl<'a> Part<'a> {
    /// `None` if the value is null or not of the class.
    fn of(class: &KeyClass, value: &'a Value) -> Option<Self> {
        Some(match (class, value) {
            (KeyClass::Json, value) => Part::Json(Json::of(value)?),
            (KeyClass::Bool, Value::Bool(value)) => Part::Bool(*value),
            (KeyClass::Int, Value::Int(value)) => Part::Int(*value),
            (KeyClass::Int, Value::Number(number)) => Part::Int(Decimal::read(number).to_i64()?),
            (KeyClass::Float, value) => Part::Int(ordered_bits(scalar::float(value)?)),
            (KeyClass::Numeric, value) => Part::Numeric(Numeric::of(value)?),
            (class, Value::Text(text)) => Part::of_text(class, text)?,
            _ => return None,
        })
    }

    fn of_text(class: &KeyClass, text: &'a str) -> Option<Self> {
        Some(match class {
            KeyClass::Text => Part::Text(text),
            KeyClass::BpChar => Part::Text(text.trim_end_matches(' ')),
            KeyClass::Bytea => Part::Bytea(scalar::bytea_digits(text)?),
            KeyClass::Uuid => Part::Uuid(scalar::uuid(text)?),
            KeyClass::Date => Part::Int(time::date(text)?.into()),
            KeyClass::Time => Part::Int(time::time(text)?),
            KeyClass::Timestamp => Part::Int(time::timestamp(text)?),
            KeyClass::Timestamptz => Part::Int(time::timestamptz(text)?),
            KeyClass::Enum { labels, .. } => {
                Part::Int(labels.iter().position(|label| **label == *text)?.try_into().ok()?)
            }
            _ => return None,
        })
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Part::Bool(a), Part::Bool(b)) => a.cmp(b),
            (Part::Int(a), Part::Int(b)) => a.cmp(b),
            (Part::Uuid(a), Part::Uuid(b)) => a.cmp(b),
            (Part::Numeric(a), Part::Numeric(b)) => a.compare(b),
            (Part::Text(a), Part::Text(b)) => a.cmp(b),
            (Part::Bytea(a), Part::Bytea(b)) => scalar::bytes_of_hex(a).cmp(scalar::bytes_of_hex(b)),
            (Part::Json(a), Part::Json(b)) => a.compare(b),
            _ => unreachable!("both are parts of one class"),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Part::Bool(value) => out.push(u8::from(*value)),
            Part::Int(value) => out.extend(signed(*value)),
            Part::Uuid(value) => out.extend(value.to_be_bytes()),
            Part::Numeric(numeric) => numeric.encode(out),
            Part::Text(text) => push_delimited(out, text.bytes()),
            Part::Bytea(digits) => push_delimited(out, scalar::bytes_of_hex(digits)),
            Part::Json(json) => json.encode(out),
        }
    }
}

impl<'a> Numeric<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        Some(match value {
            Value::Int(value) => Numeric::Int(*value),
            Value::Number(number) => Numeric::Number(Decimal::read(number)),
            Value::Text(text) => match &**text {
                "NaN" => Numeric::NaN,
                "Infinity" => Numeric::Infinity,
                "-Infinity" => Numeric::MinusInfinity,
                _ => return None,
            },
            _ => return None,
        })
    }

    /// Calls `see` with the number's digits; `None` for a special value.
    fn with_number<R>(&self, see: impl FnOnce(&Decimal<'_>) -> R) -> Option<R> {
        match self {
            Numeric::Int(int) => Some(see(&Decimal::read(IntText::new(*int).as_str()))),
            Numeric::Number(number) => Some(see(number)),
            _ => None,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Numeric::MinusInfinity => 0,
            Numeric::Int(_) | Numeric::Number(_) => 1,
            Numeric::Infinity => 2,
            Numeric::NaN => 3,
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        if let (Numeric::Int(a), Numeric::Int(b)) = (self, other) {
            return a.cmp(b);
        }
        let numbers = self.with_number(|a| other.with_number(|b| a.compare(b))).flatten();
        numbers.unwrap_or_else(|| self.rank().cmp(&other.rank()))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let special = match self {
            Numeric::MinusInfinity => 0,
            Numeric::Infinity => 4,
            _ => 5,
        };
        if self.with_number(|number| encode_number(number, out)).is_none() {
            out.push(special);
        }
    }
}

impl<'a> Json<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        let text = || {
            let mut text = String::new();
            write_jsonb(value, Numbers::Canonical, &mut text);
            text
        };
        Some(match value {
            Value::Null => return None,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => Json::Number(Numeric::Int(*value)),
            Value::Number(number) => Json::Number(Numeric::Number(Decimal::read(number))),
            Value::Text(text) => Json::Text(text),
            Value::Array(_) | Value::List(_) => Json::Array(text()),
            Value::Object(_) => Json::Object(text()),
        })
    }

    fn rank(&self) -> u8 {
        match self {
            Json::Bool(value) => u8::from(*value),
            Json::Number(_) => 2,
            Json::Text(_) => 3,
            Json::Array(_) => 4,
            Json::Object(_) => 5,
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Json::Number(a), Json::Number(b)) => a.compare(b),
            (Json::Text(a), Json::Text(b)) => a.cmp(b),
            (Json::Array(a), Json::Array(b)) | (Json::Object(a), Json::Object(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.rank());
        match self {
            Json::Bool(_) => {}
            Json::Number(number) => number.encode(out),
            Json::Text(text) => push_delimited(out, text.bytes()),
            Json::Array(text) | Json::Object(text) => push_delimited(out, text.bytes()),
        }
    }
}

fn signed(value: i64) -> [u8; 8] {
    ((value as u64) ^ (1 << 63)).to_be_bytes()
}

/// The bits of a float as an integer of the same order: one zero, and NaN above infinity.
fn ordered_bits(value: f64) -> i64 {
    let value = if value == 0.0 { 0.0 } else { value };
    let bits = if value.is_nan() { f64::NAN.to_bits() & !(1 << 63) } else { value.to_bits() } as i64;
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

/// Bytes with an end: `00 00`, which sorts before all that can follow; a 0 among them becomes `00 FF`.
fn push_delimited(out: &mut Vec<u8>, bytes: impl Iterator<Item = u8>) {
    for byte in bytes {
        out.push(byte);
        if byte == 0 {
            out.push(0xFF);
        }
    }
    out.extend([0, 0]);
}

/// A byte for the sign, then how large, then the digits: two to a byte, none of them 0, and a 0 at the end. All of it
/// inverted for negative numbers.
fn encode_number(number: &Decimal<'_>, out: &mut Vec<u8>) {
    if number.is_zero() {
        out.push(2);
        return;
    }
    out.push(if number.negative { 1 } else { 3 });
    let start = out.len();
    encode_magnitude(number.magnitude, out);
    let mut digits = number.digits().map(|digit| digit - b'0');
    while let Some(high) = digits.next() {
        out.push(high * 10 + digits.next().unwrap_or(0) + 1);
    }
    out.push(0);
    if number.negative {
        out[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

/// One byte for what is common; another and the whole number for what is far out on either side.
fn encode_magnitude(magnitude: i64, out: &mut Vec<u8>) {
    const COMMON: std::ops::RangeInclusive<i64> = -100..=100;
    if COMMON.contains(&magnitude) {
        out.push((magnitude + 128) as u8);
    } else {
        out.push(if magnitude < 0 { 0 } else { 255 });
        out.extend(signed(magnitude));
    }
}

#[cfg(test)]
mod tests;
