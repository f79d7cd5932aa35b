//! What is wrong with a row or args that a node's types cannot read, and with which of their fields.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use serde_path_to_error::{Path, Segment};

/// `row.opens: invalid type: null, expected u8`; `error` is what reading `text` as a `T` came to.
///
/// The text is read once more, now with an eye on the place: rows that fit pay nothing for that.
#[cold]
#[inline(never)]
pub fn misfit<T: DeserializeOwned>(noun: &str, text: &RawValue, error: &serde_json::Error) -> String {
    let reader = &mut serde_json::Deserializer::from_str(text.get());
    let Err(placed) = serde_path_to_error::deserialize::<_, T>(reader) else {
        return format!("{noun}: {}", without_place(error));
    };
    let said = without_place(placed.inner());
    let optional = if said.starts_with("invalid type: null") { ": a type that takes null is an Option" } else { "" };
    format!("{}: {said}{optional}{}", place(noun, placed.path()), fields_of(noun, text, placed.path()))
}

/// What is wrong, without its place in a text that nobody sees.
fn without_place(error: &serde_json::Error) -> String {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let said = error.to_string();
    said.strip_suffix(&place).unwrap_or(&said).to_owned()
}

/// `row.place.opens`, and of a list `rows[0].opens`.
fn place(noun: &str, path: &Path) -> String {
    let dot = match path.iter().next() {
        None => return noun.to_owned(),
        Some(Segment::Seq { .. }) => "",
        Some(_) => ".",
    };
    format!("{noun}{dot}{path}")
}

/// ` (the row has id, name)`: a name may be misspelt, or left out of the query's `input`.
fn fields_of(noun: &str, text: &RawValue, path: &Path) -> String {
    const MOST: usize = 20;
    let Ok(whole) = serde_json::from_str::<Value>(text.get()) else { return String::new() };
    let Some(Value::Object(fields)) = path.iter().try_fold(&whole, step) else { return String::new() };
    let names: Vec<&str> = fields.keys().take(MOST).map(String::as_str).collect();
    let more = if fields.len() > MOST { ", ..." } else { "" };
    let whose = match (path.iter().next(), noun) {
        (Some(_), _) => "it has",
        (None, "args") => "args have",
        (None, _) => "the row has",
    };
    let lead = if is_row(noun, path) { LEAD } else { "" };
    match names.len() {
        0 => format!(" ({whose} no fields{lead})"),
        _ => format!(" ({whose} {}{more}{lead})", names.join(", ")),
    }
}

/// After the fields of a row.
const LEAD: &str = ": the query's input: or select: says which";

/// Whether the path ends at a row, or at one of a list.
fn is_row(noun: &str, path: &Path) -> bool {
    let mut steps = path.iter();
    noun != "args" && matches!((steps.next(), steps.next()), (None | Some(Segment::Seq { .. }), None))
}

fn step<'a>(value: &'a Value, segment: &Segment) -> Option<&'a Value> {
    match segment {
        Segment::Seq { index } => value.get(index),
        Segment::Map { key } => value.get(key),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Place {
        opens: u8,
        owner: Option<Owner>,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Owner {
        name: String,
    }

    fn said<T: DeserializeOwned + Debug>(noun: &str, text: &str) -> String {
        let error = serde_json::from_str::<T>(text).expect_err("it does not fit");
        misfit::<T>(noun, &RawValue::from_string(text.into()).expect("JSON"), &error)
    }

    #[test]
    fn a_misfit_names_its_field() {
        for (text, expected) in [
            (r#"{"opens":null}"#, "row.opens: invalid type: null, expected u8: a type that takes null is an Option"),
            (r#"{"opens":300}"#, "row.opens: invalid value: integer `300`, expected u8"),
            (
                r#"{"id":1,"open":9}"#,
                "row: missing field `opens` (the row has id, open: the query's input: or select: says which)",
            ),
            ("{}", "row: missing field `opens` (the row has no fields: the query's input: or select: says which)"),
            (r#"{"opens":9,"owner":{"id":1}}"#, "row.owner: missing field `name` (it has id)"),
            (r#"{"opens":9,"owner":{"name":true}}"#, "row.owner.name: invalid type: boolean `true`, expected a string"),
            ("3", "row: invalid type: integer `3`, expected struct Place"),
        ] {
            assert_eq!(said::<Place>("row", text), expected);
        }
        assert_eq!(
            said::<Vec<Place>>("rows", r#"[{"opens":1},{}]"#),
            "rows[1]: missing field `opens` (it has no fields: the query's input: or select: says which)"
        );
        assert_eq!(said::<Place>("args", r#"{"open":1}"#), "args: missing field `opens` (args have open)");
    }
}
