//! Which numbers of a batch a 64-bit float does not hold, told beside them: a language that reads JSON into floats can then make an
//! error of what it would change, or keep the digits.
//!
//! In a group's text `"inexact_args"` and `"inexact"` (of its rows) are lists of a way and the number's text:
//! `[[0,"id"],"9007199254740993"]` is the member `id` of the first row. There are none nearly always, and then nothing is written; to
//! find that out costs a look at each value, far less than to write it.

use std::sync::Arc;

use crate::data::{Step, Value, write_json_text};
use crate::dataflow::guest::GuestCall;

/// What a question is about.
pub(super) trait Values {
    fn args(&self) -> &Value;
    fn input(&self) -> &Value;
}

impl Values for Arc<GuestCall> {
    fn args(&self) -> &Value {
        &self.args
    }

    fn input(&self) -> &Value {
        &self.input
    }
}

/// Appends what of `args` is inexact to their text.
pub(super) fn write_args(args: &Value, out: &mut String) {
    let mut found = String::new();
    write(args, None, &mut found);
    write_key("inexact_args", &found, out);
}

/// What is inexact in the rows of a group that is being written.
#[derive(Default)]
pub(super) struct InexactRows {
    rows: usize,
    found: String,
}

impl InexactRows {
    /// Looks at the next row.
    pub fn note(&mut self, row: &Value) {
        write(row, Some(self.rows), &mut self.found);
        self.rows += 1;
    }

    /// Bytes of what was found.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Ends the group's text after its last row, and begins another.
    pub fn end_group(&mut self, out: &mut String) {
        out.push(']');
        write_key("inexact", &self.found, out);
        out.push('}');
        (self.rows, self.found) = (0, String::new());
    }
}

fn write_key(key: &str, found: &str, out: &mut String) {
    if !found.is_empty() {
        out.extend([",\"", key, "\":[", found, "]"]);
    }
}

/// Appends way and text of each number; ways begin with `row`, if there is one.
fn write(value: &Value, row: Option<usize>, out: &mut String) {
    if value.fits_floats() {
        return;
    }
    let mut way: Vec<Step<'_>> = row.map(Step::Element).into_iter().collect();
    value.each_beyond_floats(&mut way, &mut |way, text| {
        out.push_str(if out.is_empty() { "[[" } else { ",[[" });
        for (index, step) in way.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            match step {
                Step::Member(name) => write_json_text(name, out),
                Step::Element(index) => out.push_str(&index.to_string()),
            }
        }
        out.extend(["],\"", text, "\"]"]);
    });
}
