//! `@>` and `&&`: jsonb containment (Postgres, "jsonb Containment and Existence") and the operators of arrays.

use std::cmp::Ordering;

use crate::data::{KeyClass, Value};

/// `whole @> part` of jsonb; unknown if either is null.
pub(super) fn jsonb(whole: &Value, part: &Value) -> Option<bool> {
    if whole.is_null() || part.is_null() {
        return None;
    }
    Some(match (whole.elements(), is_container(part)) {
        // The one exception at the top: an array may contain a primitive value.
        (Some(mut elements), false) => elements.any(|element| element == part),
        _ => contains(whole, part),
    })
}

/// The members of an object are each contained in the member of that name, the elements of an array each in some
/// element, whatever their order and number; scalars are equal.
fn contains(whole: &Value, part: &Value) -> bool {
    if let (Value::Object(whole), Value::Object(part)) = (whole, part) {
        return part.members().all(|(name, part)| whole.get(name).is_some_and(|whole| contains(whole, part)));
    }
    match (whole.elements(), part.elements()) {
        (Some(_), Some(mut parts)) => {
            parts.all(|part| whole.elements().into_iter().flatten().any(|element| contains(element, part)))
        }
        (None, None) => !is_container(whole) && whole == part,
        _ => false,
    }
}

fn is_container(value: &Value) -> bool {
    matches!(value, Value::Object(_) | Value::Array(_) | Value::List(_))
}

/// `whole @> part` of arrays: every element of `part` equals one of `whole`. A null element equals none.
pub(super) fn array(class: &KeyClass, whole: &Value, part: &Value) -> Option<bool> {
    let (whole, part) = (flat(class, whole)?, flat(class, part)?);
    Some(part.iter().all(|part| whole.iter().any(|element| equal(class, element, part))))
}

/// `a && b` of arrays: they have an element in common. A null element equals none.
pub(super) fn overlaps(class: &KeyClass, a: &Value, b: &Value) -> Option<bool> {
    let (a, b) = (flat(class, a)?, flat(class, b)?);
    Some(b.iter().any(|b| a.iter().any(|a| equal(class, a, b))))
}

fn equal(class: &KeyClass, a: &Value, b: &Value) -> bool {
    class.compare(a, b).is_some_and(Ordering::is_eq)
}

/// The elements of an array of any dimensions; `None` if the value is no array. Elements that are JSON themselves are
/// taken as they are: nobody could tell an inner dimension from a JSON array.
fn flat<'a>(class: &KeyClass, value: &'a Value) -> Option<Vec<&'a Value>> {
    let mut flat = Vec::new();
    for element in value.elements()? {
        match if *class == KeyClass::Json { None } else { self::flat(class, element) } {
            Some(inner) => flat.extend(inner),
            None => flat.push(element),
        }
    }
    Some(flat)
}
