//! Patches: from two documents to the text that turns one into the other.
//!
//! [`patch`] writes JSON Patch (RFC 6902), [`merge_patch`] JSON Merge Patch (RFC 7396). Both compare two roots and skip
//! what they share in memory, so they cost what changed. It does not matter how far apart the two are: a document that was
//! held back, resynchronised, reloaded or resumed is compared the same way as one that follows every commit.
//!
//! What a reader could get wrong:
//!
//! - A patch is applied operation by operation: an index counts in the list as the operations before have left it.
//!   In each list all removals, moves and additions come before the edits inside its elements.
//! - A part that several documents share is compared and encoded once ([`DiffMemo`]); its operations have no path yet,
//!   and each document writes its own in front.
//! - Patches use `add`, `remove`, `replace`, `move`, and never the index `-`.

mod array;
mod delta;
mod list;
mod memo;
mod merge;
mod ops;
pub mod pointer;
#[cfg(test)]
mod tests;
mod weight;

pub use memo::DiffMemo;
pub use merge::{merge_patch, without_nulls};
pub use weight::{Scales, Weight};

use self::delta::Delta;
use self::pointer::Pointer;
use crate::data::Value;

/// The patch that changes nothing.
const EMPTY: &str = "[]";

/// What comes before the value when a whole document is replaced.
const WHOLE: &str = r#"[{"op":"replace","path":"","value":"#;

/// The JSON Patch that makes `new` of `old`; [`is_empty`] if they are equal.
///
/// Costs what differs: an operation for each difference and, for each, the rank of the elements above it. A list or object
/// that changed (nearly) everywhere is replaced as a whole if that is shorter.
pub fn patch(old: &Value, new: &Value, memo: &DiffMemo) -> String {
    // The root belongs to one document: remembering it would only crowd out parts that many share.
    match Delta::between_roots(old, new, memo) {
        Delta::Same => EMPTY.to_owned(),
        Delta::Whole(value) => [WHOLE, &value, "}]"].concat(),
        Delta::Parts(ops) => {
            let mut out = String::with_capacity(ops.size() + 2);
            out.push('[');
            ops.write(&mut Pointer::default(), &mut out);
            out.push(']');
            out
        }
    }
}

/// The JSON Patch that makes `new` of any document.
pub fn whole(new: &Value) -> String {
    let mut out = WHOLE.to_owned();
    new.write_json(&mut out);
    out.push_str("}]");
    out
}

/// Whether a text made by [`patch`] changes nothing.
pub fn is_empty(patch: &str) -> bool {
    patch == EMPTY
}
