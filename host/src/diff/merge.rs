//! JSON Merge Patch (RFC 7396).
//!
//! In a merge patch a null member means "remove", so a document that is sent this way has no null members at all: absent
//! and null are one. Nulls that are elements of an array stay. Arrays and lists are replaced as a whole.

use crate::data::{List, Object, Shape, Value};

/// The merge patch that makes [`without_nulls`]`(new)` of [`without_nulls`]`(old)`; `None` if they are equal, for there is
/// no merge patch that leaves an array as it is.
///
/// Skips what both share in memory.
pub fn merge_patch(old: &Value, new: &Value) -> Option<String> {
    if is_equal(old, new) {
        return None;
    }
    let mut out = String::new();
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => write_object(old, new, &mut out),
        _ => without_nulls(new).write_json(&mut out),
    }
    Some(out)
}

/// The value without null members, at any depth.
pub fn without_nulls(value: &Value) -> Value {
    stripped(value).unwrap_or_else(|| value.clone())
}

/// The value without null members; `None` if it has none, so that what is unaffected stays shared.
fn stripped(value: &Value) -> Option<Value> {
    match value {
        Value::Object(object) => stripped_object(object),
        Value::Array(values) => {
            let parts: Vec<_> = values.iter().map(stripped).collect();
            parts.iter().any(Option::is_some).then(|| {
                let values = values.iter().zip(parts);
                Value::Array(values.map(|(value, part)| part.unwrap_or_else(|| value.clone())).collect())
            })
        }
        Value::List(list) => {
            let parts: Vec<_> = list.values().map(stripped).collect();
            parts.iter().any(Option::is_some).then(|| {
                let elements = list.iter().zip(parts);
                let element = |((key, value), part): ((&_, &Value), Option<Value>)| {
                    (Clone::clone(key), part.unwrap_or_else(|| value.clone()))
                };
                Value::List(List::from_sorted(elements.map(element)))
            })
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Number(_) | Value::Text(_) => None,
    }
}

fn stripped_object(object: &Object) -> Option<Value> {
    let parts: Vec<_> = object.values().iter().map(stripped).collect();
    let has_null = object.values().iter().any(|value| matches!(value, Value::Null));
    if !has_null && parts.iter().all(Option::is_none) {
        return None;
    }
    let members = object.shape().names().iter().zip(object.values()).zip(parts);
    let (names, values): (Vec<_>, Vec<_>) = members
        .filter(|((_, value), _)| !matches!(value, Value::Null))
        .map(|((name, value), part)| (name.clone(), part.unwrap_or_else(|| value.clone())))
        .unzip();
    let shape = if has_null { Shape::new(names) } else { object.shape().clone() };
    Some(Value::Object(Object::new(shape, values)))
}

/// Whether both are equal but for null members.
fn is_equal(old: &Value, new: &Value) -> bool {
    if old.is_same(new) {
        return true;
    }
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            members(old).all(|(name, value)| member(new, name).is_some_and(|new| is_equal(value, new)))
                && members(new).all(|(name, _)| member(old, name).is_some())
        }
        _ => without_nulls(old) == without_nulls(new),
    }
}

fn write_object(old: &Object, new: &Object, out: &mut String) {
    out.push('{');
    for (name, _) in members(old).filter(|(name, _)| member(new, name).is_none()) {
        write_name(name, out);
        out.push_str("null");
    }
    for (name, value) in members(new) {
        let before = member(old, name);
        if before.is_some_and(|before| is_equal(before, value)) {
            continue;
        }
        write_name(name, out);
        match (before, value) {
            (Some(Value::Object(before)), Value::Object(value)) => write_object(before, value, out),
            _ => without_nulls(value).write_json(out),
        }
    }
    out.push('}');
}

/// The members that are not null.
fn members(object: &Object) -> impl Iterator<Item = (&str, &Value)> {
    let members = object.shape().names().iter().zip(object.values());
    members.map(|(name, value)| (&**name, value)).filter(|(_, value)| !matches!(value, Value::Null))
}

fn member<'a>(object: &'a Object, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !matches!(value, Value::Null))
}

fn write_name(name: &str, out: &mut String) {
    if !out.ends_with('{') {
        out.push(',');
    }
    Value::Text(name.into()).write_json(out);
    out.push(':');
}
