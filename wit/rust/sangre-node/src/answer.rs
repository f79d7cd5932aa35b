//! A batch in, its answers out.
//!
//! A row that cannot be read, a function that answers an error, a number JSON lacks: that row fails and the others do not.
//! A panic cannot be caught here (the target aborts), so it leaves its message with the host, which finds the row.

use std::fmt::Display;
use std::panic;
use std::sync::Once;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::finite;
use crate::misfit::misfit;

/// What is said to a batch.
pub struct Answers {
    /// A JSON array.
    pub values: String,
    /// Row, message.
    pub failures: Vec<(u32, String)>,
}

#[derive(Deserialize)]
struct Group<'a> {
    #[serde(borrow)]
    args: &'a RawValue,
    #[serde(borrow)]
    rows: Vec<&'a RawValue>,
}

/// Calls `node` with each row and its group's args, which are read once for the whole group. Messages call a row `noun`.
pub fn answer<R, A, T>(noun: &str, batch: &str, node: impl Fn(R, &A) -> Result<T, String>) -> Answers
where
    R: DeserializeOwned,
    A: DeserializeOwned,
    T: Serialize,
{
    each_group(batch, |group, out| {
        let args = read_args::<A>(group.args);
        for row in &group.rows {
            out.push(args.as_ref().map_err(String::clone).and_then(|args| node(read(noun, row)?, args)));
        }
    })
}

/// As [`answer`], for a function that takes its args by value: they are read anew for each row.
pub fn answer_owned<R, A, T>(noun: &str, batch: &str, node: impl Fn(R, A) -> Result<T, String>) -> Answers
where
    R: DeserializeOwned,
    A: DeserializeOwned,
    T: Serialize,
{
    each_group(batch, |group, out| {
        for row in &group.rows {
            let args = read_args::<A>(group.args);
            out.push(args.and_then(|args| node(read(noun, row)?, args)));
        }
    })
}

/// What a filter may answer.
#[diagnostic::on_unimplemented(message = "a filter answers true or false: write -> bool", label = "is no bool")]
pub trait Kept {
    /// Whether the row stays, or why nobody knows.
    fn kept(self) -> Result<bool, String>;
}

impl Kept for bool {
    fn kept(self) -> Result<bool, String> {
        Ok(self)
    }
}

impl<E: Display> Kept for Result<bool, E> {
    fn kept(self) -> Result<bool, String> {
        self.map_err(|error| error.to_string())
    }
}

/// What the function of a filter has answered.
pub fn kept(answer: impl Kept) -> Result<bool, String> {
    answer.kept()
}

/// Leaves a panic's message, with file and line, to `fail`.
pub fn on_panic(fail: fn(&str)) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        panic::set_hook(Box::new(move |info| {
            let message = info.payload_as_str().unwrap_or("panicked with a value that is no text");
            match info.location() {
                Some(at) => fail(&format!("{}:{}: {message}", at.file(), at.line())),
                None => fail(message),
            }
        }));
    });
}

fn each_group(batch: &str, ask: impl Fn(&Group<'_>, &mut Writer)) -> Answers {
    let groups: Vec<Group<'_>> = serde_json::from_str(batch).expect("the host sends batches as the interface says");
    let mut out = Writer { values: Vec::with_capacity(batch.len()), failures: Vec::new(), rows: 0 };
    out.values.push(b'[');
    for group in &groups {
        ask(group, &mut out);
    }
    out.values.push(b']');
    Answers { values: String::from_utf8(out.values).expect("JSON is UTF-8"), failures: out.failures }
}

fn read_args<A: DeserializeOwned>(args: &RawValue) -> Result<A, String> {
    read("args", args)
}

fn read<T: DeserializeOwned>(noun: &str, text: &RawValue) -> Result<T, String> {
    serde_json::from_str(text.get()).map_err(|error| misfit::<T>(noun, text, &error))
}

struct Writer {
    values: Vec<u8>,
    failures: Vec<(u32, String)>,
    rows: u32,
}

impl Writer {
    fn push<T: Serialize>(&mut self, answer: Result<T, String>) {
        if self.rows > 0 {
            self.values.push(b',');
        }
        let written = self.values.len();
        if let Err(message) = answer.and_then(|answer| write(&answer, &mut self.values)) {
            self.values.truncate(written);
            self.values.extend_from_slice(b"null");
            self.failures.push((self.rows, message));
        }
        self.rows += 1;
    }
}

fn write<T: Serialize>(answer: &T, out: &mut Vec<u8>) -> Result<(), String> {
    finite::check(answer)?;
    serde_json::to_writer(out, answer).map_err(|error| format!("answer: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Row {
        x: f64,
    }

    #[test]
    fn one_bad_row_harms_no_other() {
        let batch = r#"[{"args":{},"rows":[{"x":1},{"y":2},{"x":0}]},{"args":{"by":2},"rows":[{"x":4}]}]"#;
        let node = |row: Row, args: &crate::Args| {
            let by = args.get("by").and_then(|by| by.as_f64()).unwrap_or(1.0);
            Ok::<f64, String>(by / row.x)
        };
        let answers = answer("row", batch, node);
        assert_eq!(answers.values, "[1.0,null,null,0.5]");
        assert_eq!(
            answers.failures[0],
            (1, "row: missing field `x` (the row has y: the query's input: or select: says which)".into())
        );
        assert_eq!(answers.failures[1], (2, "answered inf: JSON has no such number".into()));
    }
}
