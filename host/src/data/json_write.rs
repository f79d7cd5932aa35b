//! Writes a [`Value`] as JSON text, and as the text Postgres gives for `jsonb`.

use std::cmp::Ordering;

use super::number::{IntText, canonical_text, numeric_text};
use super::value::Value;

/// Appends JSON text without white space.
pub(super) fn write(value: &Value, out: &mut String) {
    write_with::<false>(value, out);
}

/// The same with every number in quotes.
pub(super) fn write_quoting_numbers(value: &Value, out: &mut String) {
    write_with::<true>(value, out);
}

fn write_with<const QUOTED: bool>(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Int(_) | Value::Number(_) if QUOTED => {
            out.push('"');
            write(value, out);
            out.push('"');
        }
        Value::Int(int) => out.push_str(IntText::new(*int).as_str()),
        Value::Number(number) => out.push_str(number),
        Value::Text(text) => write_json_text(text, out),
        Value::Object(object) => {
            out.push('{');
            for (index, (name, value)) in object.members().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_json_text(name, out);
                out.push(':');
                write_with::<QUOTED>(value, out);
            }
            out.push('}');
        }
        Value::Array(_) | Value::List(_) => {
            out.push('[');
            for (index, element) in value.elements().into_iter().flatten().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_with::<QUOTED>(element, out);
            }
            out.push(']');
        }
    }
}

/// What is left of `most` bytes after the value's JSON text; `None` if it has more. Costs O(most), however large the value is.
pub(super) fn left_of(most: usize, value: &Value) -> Option<usize> {
    let brackets_and_commas = |count: usize| most.checked_sub(2 + count.saturating_sub(1));
    match value {
        Value::Null | Value::Bool(true) => most.checked_sub(4),
        Value::Bool(false) => most.checked_sub(5),
        Value::Int(int) => most.checked_sub(IntText::new(*int).as_str().len()),
        Value::Number(number) => most.checked_sub(number.len()),
        Value::Text(text) => left_of_text(most, text),
        Value::Object(object) => {
            let left = brackets_and_commas(object.values().len())?;
            object
                .members()
                .try_fold(left, |left, (name, value)| left_of(left_of_text(left, name)?.checked_sub(1)?, value))
        }
        Value::Array(values) => values.iter().try_fold(brackets_and_commas(values.len())?, left_of),
        Value::List(list) => list.values().try_fold(brackets_and_commas(list.len())?, left_of),
    }
}

/// What is left of `most` bytes after what [`write_json_text`] writes.
fn left_of_text(most: usize, text: &str) -> Option<usize> {
    let left = most.checked_sub(text.len() + 2)?;
    let more = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0C => 1,
        0x20.. => 0,
        _ => 5,
    };
    left.checked_sub(text.bytes().map(more).sum())
}

/// How numbers are written by [`write_jsonb`].
#[derive(Clone, Copy)]
pub(super) enum Numbers {
    /// As `numeric`: with as many digits after the point as were written.
    AsWritten,
    /// Equal numbers alike: without zeros at the end.
    Canonical,
}

/// Appends the text Postgres gives for this value as `jsonb`.
pub(super) fn write_jsonb(value: &Value, numbers: Numbers, out: &mut String) {
    match value {
        Value::Number(number) => match numbers {
            Numbers::AsWritten => out.push_str(numeric_text(number).as_deref().unwrap_or(number)),
            Numbers::Canonical => out.push_str(&canonical_text(number)),
        },
        Value::Object(object) => {
            let mut members: Vec<_> = object.members().collect();
            members.sort_unstable_by(|a, b| jsonb_name_order(a.0, b.0));
            out.push('{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_json_text(name, out);
                out.push_str(": ");
                write_jsonb(value, numbers, out);
            }
            out.push('}');
        }
        Value::Array(_) | Value::List(_) => {
            out.push('[');
            for (index, element) in value.elements().into_iter().flatten().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_jsonb(element, numbers, out);
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Text(_) => write(value, out),
    }
}

/// Shorter names first, then by bytes (Postgres, `lengthCompareJsonbString`).
fn jsonb_name_order(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Appends `text` as a JSON string, quoted and escaped.
pub fn write_json_text(text: &str, out: &mut String) {
    out.reserve(text.len() + 2);
    out.push('"');
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            0x20.. => continue,
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0C => "\\f",
            _ => "\\u00",
        };
        out.push_str(&text[start..at]);
        out.push_str(escape);
        if escape == "\\u00" {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
        start = at + 1;
    }
    out.push_str(&text[start..]);
    out.push('"');
}
