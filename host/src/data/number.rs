//! Exact arithmetic-free comparison of decimal numbers by their text.

use std::cmp::Ordering;

/// Compares two JSON number texts by their exact value, whatever their exponents and trailing zeros.
pub fn compare_numbers(_a: &str, _b: &str) -> Ordering {
    unimplemented!()
}
