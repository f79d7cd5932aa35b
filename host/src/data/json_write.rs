//! Writes a [`Value`] as JSON text, and as the text Postgres gives for `jsonb`.

use std::cmp::Ordering;

use super::number::{IntText, canonical_text, numeric_text};
use super::value::Value;

/// Appends JSON text without white space.
pub(super) fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
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
                write(value, out);
            }
            out.push('}');
        }
        Value::Array(_) | Value::List(_) => {
            out.push('[');
            for (index, element) in value.elements().into_iter().flatten().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(element, out);
            }
            out.push(']');
        }
    }
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
