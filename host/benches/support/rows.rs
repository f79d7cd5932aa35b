//! Rows of places, and batches of them as guests are sent them.

use std::sync::Arc;

/// What all rows are asked with.
pub const ARGS: &str = r#"{"hour":12}"#;

/// A row, as it would come from a table.
pub fn row(id: i64) -> String {
    let (rating, opens, closes) = (id % 5, id % 12, 12 + id % 11);
    format!(r#"{{"id":{id},"name":"Place number {id}","rating":{rating},"opens":{opens},"closes":{closes}}}"#)
}

/// A batch, with the rows of places from this number on.
pub fn batch(first: i64, count: usize) -> Arc<str> {
    let rows: Vec<String> = (first..).take(count).map(row).collect();
    format!(r#"[{{"args":{ARGS},"rows":[{}]}}]"#, rows.join(",")).into()
}
