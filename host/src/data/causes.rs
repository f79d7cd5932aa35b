//! An error told in one line.

use std::error::Error;
use std::fmt::Write;

/// The message of an error and of all its causes, in one line; many libraries keep the telling part in the cause.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let _ = write!(text, ": {inner}");
        cause = inner.source();
    }
    text
}
