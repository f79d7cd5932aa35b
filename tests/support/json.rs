//! Equality of JSON values as the interface means it: numbers by their exact value, members in any order.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Number, Value};

/// Reads JSON of any depth.
pub fn parse(text: &str) -> Result<Value> {
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    let value = Value::deserialize(&mut reader).with_context(|| text.chars().take(200).collect::<String>())?;
    reader.end()?;
    Ok(value)
}

/// Whether both are the same JSON value.
pub fn same(a: &Value, b: &Value) -> bool {
    difference(a, b).is_none()
}

/// Where two values differ first, as a JSON Pointer; `None` if they are the same.
pub fn difference(a: &Value, b: &Value) -> Option<String> {
    let mut path = String::new();
    if walk(a, b, &mut path) { None } else { Some(path) }
}

fn walk(a: &Value, b: &Value, path: &mut String) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || decimal(a) == decimal(b),
        (Value::Array(a), Value::Array(b)) => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                // Most elements of most lists: told without a path.
                if a != b && !under(a, b, &index.to_string(), path) {
                    return false;
                }
            }
            a.len() == b.len() || {
                path.push_str(&format!("/{} (one array is longer)", a.len().min(b.len())));
                false
            }
        }
        (Value::Object(a), Value::Object(b)) => {
            for (name, a) in a {
                if !b.get(name).is_some_and(|b| under(a, b, name, path)) {
                    if b.get(name).is_none() {
                        path.push_str(&format!("/{name} (not in the other)"));
                    }
                    return false;
                }
            }
            match b.keys().find(|name| !a.contains_key(*name)) {
                Some(name) => {
                    path.push_str(&format!("/{name} (not in the one)"));
                    false
                }
                None => true,
            }
        }
        _ => a == b,
    }
}

/// Compares a member; a path that leads to no difference is taken back.
fn under(a: &Value, b: &Value, name: &str, path: &mut String) -> bool {
    let length = path.len();
    path.push('/');
    path.push_str(&name.replace('~', "~0").replace('/', "~1"));
    let equal = walk(a, b, path);
    if equal {
        path.truncate(length);
    }
    equal
}

/// Sign, digits without zeros at either end, and the power of ten of the last digit.
fn decimal(number: &Number) -> (bool, String, i64) {
    let text = number.to_string();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.as_str()),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let trimmed = digits.trim_end_matches('0');
    if trimmed.is_empty() {
        return (false, String::new(), 0);
    }
    let exponent: i64 = exponent.parse().unwrap_or(i64::MAX / 2);
    let zeros = (digits.len() - trimmed.len()) as i64;
    (negative, trimmed.to_owned(), exponent - fraction.len() as i64 + zeros)
}

#[test]
fn numbers_are_compared_exactly() {
    let number = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    for (a, b, equal) in [
        ("1.0", "1", true),
        ("1e2", "100.00", true),
        ("-0", "0", true),
        ("0.1", "0.10000000000000000001", false),
        ("9007199254740993", "9007199254740992", false),
        ("-1", "1", false),
        (r#"{"a":1.0,"b":[null]}"#, r#"{"b":[null],"a":1}"#, true),
        (r#"{"a":null}"#, "{}", false),
        ("[1,2]", "[1]", false),
    ] {
        assert_eq!(same(&number(a), &number(b)), equal, "{a} and {b}");
    }
    assert_eq!(difference(&number(r#"{"a":[1,{"b/c":2}]}"#), &number(r#"{"a":[1,{"b/c":3}]}"#)).unwrap(), "/a/1/b~1c");
}
