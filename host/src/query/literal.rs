//! Texts and literals as values of a column's type, parsed as Postgres parses them.
//!
//! Only the forms that every version of Postgres reads alike are read here, so that the usual request needs no round trip.
//! Whatever else might be legal (`1_000`, `yesterday`, `{uuid}`) is Postgres's to say: [`Parsed::Ask`]. A wrong guess here
//! would make a document differ from its query, so in doubt ask.

use std::sync::Arc;

use super::tree::{Kind, Tree};
use crate::data::{ColumnType, KeyClass, Value};

/// What came of a text.
#[derive(Clone, Debug)]
pub enum Parsed {
    /// The value, as decoding a column of this type gives it.
    Value(Value),
    /// Postgres must say: the text, to be cast to the type.
    Ask(String),
    /// Not of this type in any version.
    Invalid(String),
}

/// Reads the text of a value of type `ty`.
pub fn parse_text(ty: &ColumnType, text: &str) -> Parsed {
    if text.contains('\0') {
        return Parsed::Invalid("a text cannot contain a zero byte".to_string());
    }
    match &ty.class {
        Some(KeyClass::Bool) => parse_bool(text),
        Some(KeyClass::Int) => parse_int(ty, text),
        Some(KeyClass::Numeric) => parse_numeric(ty, text),
        Some(KeyClass::Float) => parse_float(ty, text),
        Some(KeyClass::Text) if matches!(&*ty.sql, "name" | "\"char\"") => Parsed::Ask(text.to_string()),
        Some(KeyClass::Text | KeyClass::BpChar) => Parsed::Value(Value::Text(text.into())),
        Some(KeyClass::Uuid) => parse_uuid(text),
        Some(KeyClass::Date) if is_date(text) => Parsed::Value(Value::Text(text.into())),
        Some(KeyClass::Timestamp) => parse_timestamp(text, false),
        Some(KeyClass::Timestamptz) => parse_timestamp(text, true),
        Some(KeyClass::Enum { labels, .. }) => match labels.iter().find(|label| &***label == text) {
            Some(label) => Parsed::Value(Value::Text(label.clone())),
            None => Parsed::Invalid(format!("{} has no value \"{text}\"", ty.sql)),
        },
        _ => Parsed::Ask(text.to_string()),
    }
}

/// Reads a literal of the configuration as a value of type `ty`.
pub fn parse_literal(ty: &ColumnType, tree: &Tree) -> Parsed {
    let invalid = || Parsed::Invalid(format!("expected a value of type {}, found {}", ty.sql, tree.what()));
    let number = |text: &str| match ty.class {
        Some(KeyClass::Int | KeyClass::Numeric) => Parsed::Value(tree.to_value()),
        Some(KeyClass::Float) => parse_float(ty, text),
        Some(KeyClass::Text | KeyClass::BpChar) => {
            Parsed::Invalid(format!("expected a text, found a number: write it in quotes, \"{text}\""))
        }
        _ => invalid(),
    };
    match &tree.kind {
        Kind::Text(text) => parse_text(ty, text),
        Kind::Int(int) => number(&int.to_string()),
        Kind::Number(text) => number(text),
        Kind::Bool(bool) if ty.class == Some(KeyClass::Bool) => Parsed::Value(Value::Bool(*bool)),
        Kind::Null => Parsed::Value(Value::Null),
        _ => invalid(),
    }
}

/// `boolin`: white space around, any case, and unique prefixes are fine.
fn parse_bool(text: &str) -> Parsed {
    let word = text.trim().to_ascii_lowercase();
    let prefix_of = |full: &str, least: usize| word.len() >= least && full.starts_with(&word);
    if prefix_of("true", 1) || prefix_of("yes", 1) || word == "on" || word == "1" {
        Parsed::Value(Value::Bool(true))
    } else if prefix_of("false", 1) || prefix_of("no", 1) || prefix_of("off", 2) || word == "0" {
        Parsed::Value(Value::Bool(false))
    } else {
        Parsed::Invalid("expected true or false".to_string())
    }
}

fn parse_int(ty: &ColumnType, text: &str) -> Parsed {
    let word = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let digits = word.strip_prefix(['+', '-']).unwrap_or(word);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // Newer versions read 0x1F, 0o17, 0b11 and 1_000.
        let may_be = digits.bytes().next().is_some_and(|byte| byte.is_ascii_digit())
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit() || b"xXoO_".contains(&byte));
        return if may_be { Parsed::Ask(text.to_string()) } else { Parsed::Invalid("expected a whole number".into()) };
    }
    let range = match &*ty.sql {
        "int2" => i64::from(i16::MIN)..=i64::from(i16::MAX),
        "int4" => i64::from(i32::MIN)..=i64::from(i32::MAX),
        _ => i64::MIN..=i64::MAX,
    };
    match word.parse::<i64>() {
        Ok(int) if range.contains(&int) => Parsed::Value(Value::Int(int)),
        _ => Parsed::Invalid(format!("{word} is out of range for {}", ty.sql)),
    }
}

/// Sign, digits before and after the point, if the text is a plain decimal number.
fn decimal(text: &str) -> Option<(bool, &str, &str)> {
    let word = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let (negative, digits) = match word.as_bytes().first()? {
        b'-' => (true, &word[1..]),
        b'+' => (false, &word[1..]),
        _ => (false, word),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let some = !whole.is_empty() || !fraction.is_empty();
    (some && plain(whole) && plain(fraction)).then_some((negative, whole, fraction))
}

/// Whether a text could be a number at all: what is not must not cost a round trip.
fn may_be_number(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit() || b"nNiI".contains(&byte))
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._ \t\n\r".contains(&byte))
}

fn ask_number(text: &str) -> Parsed {
    if may_be_number(text) { Parsed::Ask(text.to_string()) } else { Parsed::Invalid("expected a number".to_string()) }
}

fn parse_numeric(_: &ColumnType, text: &str) -> Parsed {
    /// Far below the limits of `numeric`.
    const LONG: usize = 1000;
    let Some((negative, whole, fraction)) = decimal(text).filter(|_| text.len() < LONG) else {
        return ask_number(text);
    };
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let zero = whole == "0" && fraction.bytes().all(|byte| byte == b'0');
    let sign = if negative && !zero { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    Parsed::Value(number(format!("{sign}{whole}{point}{fraction}")))
}

fn number(text: String) -> Value {
    text.parse::<i64>().map_or_else(|_| Value::Number(text.into()), Value::Int)
}

fn parse_float(ty: &ColumnType, text: &str) -> Parsed {
    let mantissa = text.trim_matches(|c: char| c.is_ascii_whitespace()).split(['e', 'E']).next().unwrap_or_default();
    let Some((_, whole, fraction)) = decimal(mantissa) else { return ask_number(text) };
    let zero = whole.bytes().chain(fraction.bytes()).all(|byte| byte == b'0');
    let word = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let shortest = if &*ty.sql == "float4" {
        word.parse::<f32>().ok().filter(|f| f.is_finite() && (*f != 0.0) != zero).map(|f| f.to_string())
    } else {
        word.parse::<f64>().ok().filter(|f| f.is_finite() && (*f != 0.0) != zero).map(|f| f.to_string())
    };
    match shortest {
        Some(text) if text == "-0" => Parsed::Value(Value::Number("-0".into())),
        Some(text) => Parsed::Value(number(text)),
        // Out of range, or a form that Rust does not read: Postgres's words on it are the right ones.
        None => ask_number(text),
    }
}

fn parse_uuid(text: &str) -> Parsed {
    let hyphens = |index: usize| matches!(index, 8 | 13 | 18 | 23);
    let canonical = text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| if hyphens(i) { b == b'-' } else { b.is_ascii_hexdigit() });
    if canonical {
        return Parsed::Value(Value::Text(text.to_ascii_lowercase().into()));
    }
    if text.bytes().all(|byte| byte.is_ascii_hexdigit() || b"{}-".contains(&byte)) && text.len() >= 32 {
        Parsed::Ask(text.to_string())
    } else {
        Parsed::Invalid("expected a uuid".to_string())
    }
}

/// `2024-02-29`, a day that exists, of a year with four digits.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return false;
    }
    let part = |range: std::ops::Range<usize>| {
        text.get(range)
            .filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|p| p.parse::<u32>().ok())
    };
    let (Some(year), Some(month), Some(day)) = (part(0..4), part(5..7), part(8..10)) else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    year >= 1 && (1..=days).contains(&day)
}

/// ISO 8601 with seconds; with a time zone only UTC, written out.
fn parse_timestamp(text: &str, zoned: bool) -> Parsed {
    canonical_timestamp(text, zoned).map_or_else(|| Parsed::Ask(text.to_string()), |t| Parsed::Value(Value::Text(t)))
}

fn canonical_timestamp(text: &str, zoned: bool) -> Option<Arc<str>> {
    let (date, time) = (text.get(..10)?, text.get(11..)?);
    if !is_date(date) || !matches!(text.as_bytes()[10], b'T' | b' ') {
        return None;
    }
    let (time, zone) = if zoned {
        let end = time.find(['Z', '+'])?;
        matches!(&time[end..], "Z" | "+00" | "+00:00").then_some((&time[..end], "+00:00"))?
    } else {
        (time, "")
    };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let digit = |range: std::ops::Range<usize>, below: u32| {
        let part = clock.get(range).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?;
        part.parse::<u32>().ok().filter(|number| *number < below)
    };
    let colons = clock.len() == 8 && clock.as_bytes()[2] == b':' && clock.as_bytes()[5] == b':';
    let plain = (1..=6).contains(&fraction.len()) && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if !colons || !plain {
        return None;
    }
    digit(0..2, 24).and(digit(3..5, 60)).and(digit(6..8, 60))?;
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{date}T{clock}{point}{fraction}{zone}").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Decode;

    fn show(sql: &str, class: KeyClass, text: &str) -> String {
        let ty = ColumnType { oid: 0, sql: sql.into(), decode: Decode::Text, class: Some(class), element: None };
        match parse_text(&ty, text) {
            Parsed::Value(Value::Int(int)) => format!("int {int}"),
            Parsed::Value(Value::Number(number)) => format!("number {number}"),
            Parsed::Value(Value::Text(text)) => format!("text {text}"),
            Parsed::Value(Value::Bool(bool)) => format!("bool {bool}"),
            Parsed::Value(other) => format!("{other:?}"),
            Parsed::Ask(_) => "ask".to_string(),
            Parsed::Invalid(_) => "invalid".to_string(),
        }
    }

    #[test]
    fn plain_forms_are_read_and_others_left_to_postgres() {
        for (sql, class, text, expect) in [
            ("int4", KeyClass::Int, "12", "int 12"),
            ("int4", KeyClass::Int, " -12 ", "int -12"),
            ("int4", KeyClass::Int, "2147483648", "invalid"),
            ("int8", KeyClass::Int, "2147483648", "int 2147483648"),
            ("int8", KeyClass::Int, "9223372036854775808", "invalid"),
            ("int4", KeyClass::Int, "0x1F", "ask"),
            ("int4", KeyClass::Int, "1_000", "ask"),
            ("int4", KeyClass::Int, "abc", "invalid"),
            ("int4", KeyClass::Int, "", "invalid"),
            ("int4", KeyClass::Int, "1;drop", "invalid"),
            ("numeric", KeyClass::Numeric, "007.50", "number 7.50"),
            ("numeric", KeyClass::Numeric, "-0", "int 0"),
            ("numeric", KeyClass::Numeric, ".5", "number 0.5"),
            ("numeric", KeyClass::Numeric, "5.", "int 5"),
            ("numeric", KeyClass::Numeric, "1e5", "ask"),
            ("numeric", KeyClass::Numeric, "NaN", "ask"),
            ("numeric", KeyClass::Numeric, "(1)", "invalid"),
            ("float8", KeyClass::Float, "1.50", "number 1.5"),
            ("float8", KeyClass::Float, "1e3", "int 1000"),
            ("float8", KeyClass::Float, "1e999", "ask"),
            ("float8", KeyClass::Float, "1e-999", "ask"),
            ("float8", KeyClass::Float, "Infinity", "ask"),
            ("float4", KeyClass::Float, "0.1", "number 0.1"),
            ("bool", KeyClass::Bool, "T", "bool true"),
            ("bool", KeyClass::Bool, "of", "bool false"),
            ("bool", KeyClass::Bool, "o", "invalid"),
            ("text", KeyClass::Text, "", "text "),
            ("text", KeyClass::Text, "a\0", "invalid"),
            ("name", KeyClass::Text, "a", "ask"),
            (
                "uuid",
                KeyClass::Uuid,
                "A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11",
                "text a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            ),
            ("uuid", KeyClass::Uuid, "a0eebc999c0b4ef8bb6d6bb9bd380a11", "ask"),
            ("uuid", KeyClass::Uuid, "1", "invalid"),
            ("date", KeyClass::Date, "2024-02-29", "text 2024-02-29"),
            ("date", KeyClass::Date, "2023-02-29", "ask"),
            ("date", KeyClass::Date, "today", "ask"),
            ("timestamp", KeyClass::Timestamp, "2024-01-01 10:20:30.500", "text 2024-01-01T10:20:30.5"),
            ("timestamp", KeyClass::Timestamp, "2024-01-01", "ask"),
            ("timestamptz", KeyClass::Timestamptz, "2024-01-01T10:20:30Z", "text 2024-01-01T10:20:30+00:00"),
            ("timestamptz", KeyClass::Timestamptz, "2024-01-01T10:20:30+02:00", "ask"),
            ("timestamptz", KeyClass::Timestamptz, "2024-01-01T10:20:30", "ask"),
            ("time", KeyClass::Time, "10:20", "ask"),
        ] {
            assert_eq!(show(sql, class, text), expect, "{sql} {text:?}");
        }
    }

    #[test]
    fn enums_know_their_labels() {
        let class = KeyClass::Enum { sql: "mood".into(), labels: ["sad".into(), "ok".into()].into() };
        assert_eq!(show("mood", class.clone(), "ok"), "text ok");
        assert_eq!(show("mood", class, "glad"), "invalid");
    }
}
