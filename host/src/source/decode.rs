//! Text output of Postgres's types -> the JSON that `to_jsonb` makes of the same value.
//!
//! Rows come as text by the stream and by upqueries alike, and both go through [`decode`], so they cannot differ. What a
//! reader could get wrong:
//!
//! - Text output depends on settings. It is read right only if the session pins them: `TimeZone` UTC, `DateStyle` ISO,
//!   `IntervalStyle` postgres, `extra_float_digits` 1, `bytea_output` hex, `lc_monetary` C, `search_path` empty.
//! - Numbers keep their text (`1e+20`, where `to_jsonb` writes 21 digits): they are equal as JSON, compared exactly.
//! - `json` allows what `to_jsonb` fails on: `\u0000`, half a surrogate pair (read as U+FFFD), numbers beyond `numeric`.
//! - int2vector and oidvector are arrays to `to_jsonb`, but their text is theirs alone: `1 2 3`.
//! - Lower bounds of an array (`[0:2]={1,2,3}`) are lost in JSON.
//!
//! Pure and total: any text gives a value or an error, and what is nested is bounded by the type.

use std::sync::Arc;

use crate::data::{Decode, LoneSurrogates, Object, Shape, Value, read_json, read_number};

mod literal;
#[cfg(test)]
mod tests;

/// A text is not what its type's output function writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the text of {what}: the session's settings or the column's type are not what was expected")]
pub struct DecodeError {
    what: &'static str,
    /// The beginning of the text.
    text: String,
}

impl DecodeError {
    fn new(what: &'static str, text: &str) -> Self {
        DecodeError { what, text: text.chars().take(60).collect() }
    }
}

/// The value that `to_jsonb` gives for what has this text output.
pub fn decode(ty: &Decode, text: &str) -> Result<Value, DecodeError> {
    match ty {
        Decode::Text | Decode::Date => Ok(Value::Text(text.into())),
        Decode::Bool => match text {
            "t" => Ok(Value::Bool(true)),
            "f" => Ok(Value::Bool(false)),
            _ => Err(DecodeError::new("a bool", text)),
        },
        Decode::Number => number(text),
        Decode::Json => read_json(text, LoneSurrogates::Replace).map_err(|_| DecodeError::new("json", text)),
        Decode::Timestamp => timestamp(text),
        Decode::Timestamptz => timestamptz(text),
        Decode::Array { element, delimiter } => array(element, *delimiter, text),
        Decode::Composite(fields) => composite(fields, text),
    }
}

fn number(text: &str) -> Result<Value, DecodeError> {
    if let Some(number) = read_number(text) {
        return Ok(number);
    }
    match text {
        "NaN" | "Infinity" | "-Infinity" => Ok(Value::Text(text.into())),
        _ => Err(DecodeError::new("a number", text)),
    }
}

/// `2020-01-02 03:04:05.6`, possibly with ` BC` -> with a `T`. Infinities stay as they are.
fn timestamp(text: &str) -> Result<Value, DecodeError> {
    if matches!(text, "infinity" | "-infinity") {
        return Ok(Value::Text(text.into()));
    }
    match text.split_once(' ') {
        Some((date, time)) => Ok(Value::from(format!("{date}T{time}"))),
        None => Err(DecodeError::new("a timestamp", text)),
    }
}

/// As [`timestamp`]; an offset of whole hours gets its minutes: `+00` -> `+00:00`.
fn timestamptz(text: &str) -> Result<Value, DecodeError> {
    if matches!(text, "infinity" | "-infinity") {
        return Ok(Value::Text(text.into()));
    }
    let bad = || DecodeError::new("a timestamptz", text);
    let (date, rest) = text.split_once(' ').ok_or_else(bad)?;
    let (time, era) = match rest.split_once(' ') {
        Some((time, _)) => (time, &rest[time.len()..]),
        None => (rest, ""),
    };
    let sign = time.rfind(['+', '-']).ok_or_else(bad)?;
    let minutes = if time[sign..].contains(':') { "" } else { ":00" };
    Ok(Value::from(format!("{date}T{time}{minutes}{era}")))
}

fn array(element: &Decode, delimiter: u8, text: &str) -> Result<Value, DecodeError> {
    if !text.starts_with(['{', '[']) {
        return vector(element, text);
    }
    let mut reader = literal::Array::open(text, delimiter).ok_or_else(|| DecodeError::new("an array", text))?;
    // Elements collected so far, for each dimension that is open.
    let mut open: Vec<Vec<Value>> = Vec::new();
    while let Some(token) = reader.next() {
        match token.ok_or_else(|| DecodeError::new("an array", text))? {
            literal::Token::Open => open.push(Vec::new()),
            literal::Token::Close => {
                let closed = Value::from(open.pop().unwrap_or_default());
                match open.last_mut() {
                    Some(outer) => outer.push(closed),
                    None => return Ok(closed),
                }
            }
            literal::Token::Element(text) => {
                let value = text.map_or(Ok(Value::Null), |text| decode(element, &text))?;
                open.last_mut().ok_or_else(|| DecodeError::new("an array", &reader.rest()))?.push(value);
            }
        }
    }
    Err(DecodeError::new("an array", text))
}

/// int2vector and oidvector: numbers with blanks between them.
fn vector(element: &Decode, text: &str) -> Result<Value, DecodeError> {
    let numbers = text.split(' ').filter(|number| !number.is_empty());
    let elements: Result<Vec<Value>, DecodeError> = numbers
        .map(|number| match number.parse::<i64>() {
            Ok(_) => decode(element, number),
            Err(_) => Err(DecodeError::new("an array", text)),
        })
        .collect();
    Ok(elements?.into())
}

fn composite(fields: &[(Arc<str>, Decode)], text: &str) -> Result<Value, DecodeError> {
    let bad = || DecodeError::new("a composite type", text);
    let texts = literal::composite(text, fields.len()).ok_or_else(bad)?;
    let values: Result<Vec<Value>, DecodeError> = fields
        .iter()
        .zip(texts)
        .map(|((_, ty), text)| text.map_or(Ok(Value::Null), |text| decode(ty, &text)))
        .collect();
    let shape = Shape::new(fields.iter().map(|(name, _)| name.clone()));
    let values = values?;
    if shape.names().len() != values.len() {
        return Err(bad());
    }
    Ok(Value::Object(Object::new(shape, values)))
}
