//! One value of a [`KeyClass`], ready to be compared or encoded.

use std::cmp::Ordering;

use super::KeyClass;
use crate::data::json_write::{Numbers, write_jsonb};
use crate::data::number::{Decimal, IntText};
use crate::data::{Value, scalar, time};

/// A value as its class sees it: what comparing and encoding have in common.
pub(super) enum Part<'a> {
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
pub(super) enum Numeric<'a> {
    MinusInfinity,
    Int(i64),
    Number(Decimal<'a>),
    Infinity,
    NaN,
}

/// A JSON value other than null.
pub(super) enum Json<'a> {
    Bool(bool),
    Number(Numeric<'a>),
    Text(&'a str),
    Array(String),
    Object(String),
}

impl<'a> Part<'a> {
    /// `None` if the value is null or not of the class.
    pub fn of(class: &KeyClass, value: &'a Value) -> Option<Self> {
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

    /// Compares parts of one class.
    pub fn compare(&self, other: &Self) -> Ordering {
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

    /// Appends the bytes that stand for it.
    pub fn encode(&self, out: &mut Vec<u8>) {
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
pub(super) fn push_delimited(out: &mut Vec<u8>, bytes: impl Iterator<Item = u8>) {
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
