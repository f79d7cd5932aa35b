//! What the engine asks of the database when it meets keys it has never seen, and what it hears back.
//!
//! All asks of one upquery are answered under one snapshot. The answer says what that snapshot sees and by which position
//! the stream has certainly delivered it; joining the two is the engine's work (see `dataflow`).

use super::{Expr, KeyClass, Lsn, Row, RowId, Snapshot, TableId, Value};

/// Questions to be answered under one snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Upquery {
    /// The engine's number for it; comes back with the answer.
    pub id: u64,
    pub asks: Vec<Ask>,
    /// `None`: under a snapshot of its own. The number of an upquery: under the snapshot that this one took, to be kept until
    /// it is released; its own number: take it. One is kept at a time, and all tables are locked before it is taken.
    pub under: Option<u64>,
}

/// The rows of some groups of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    pub table: TableId,
    /// The columns that group (indexes into the table's), each with the class its values are compared in. Empty: the
    /// whole table is one group, and `keys` is not looked at.
    pub key: Vec<(usize, KeyClass)>,
    /// The groups: a value for each key column. A null in one makes it a group without rows.
    pub keys: Vec<Vec<Value>>,
    /// What rows must meet besides. Bound: no [`Operand::Param`](super::Operand) and no [`Field::Path`](super::Field).
    pub filter: Option<Expr>,
    /// How many rows this ask may find in all its groups together.
    pub row_limit: u64,
}

/// What an [`Upquery`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// That of the upquery.
    pub id: u64,
    /// The transactions whose effects are in the rows.
    pub snapshot: Snapshot,
    /// Every transaction that the snapshot sees has its commit record at or before this position.
    pub insert: Lsn,
    /// How far the log was flushed then. Less than `insert`: the stream may be long in passing `insert` by itself, so
    /// provoke it.
    pub flush: Lsn,
    /// For each ask, in their order: each row once, in no order; equal rows of a bag as often as they occur.
    pub rows: Vec<Result<Vec<(RowId, Row)>, TooMany>>,
}

/// An ask found more rows than its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {limit} rows")]
pub struct TooMany {
    pub limit: u64,
}

/// Why an [`Upquery`] has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpqueryError {
    /// The connection broke, a lock was not to be had in time, the database is in recovery: ask again with backoff.
    #[error("{0}")]
    Transient(String),
    /// Asking again will not help.
    #[error("{0}")]
    Definite(String),
    /// A table is no longer what it was when the stream began, or was last checked. The source says so in the stream too:
    /// wait for that, then ask again.
    #[error("table {} changed: {reason}", .table.0)]
    TableChanged { table: TableId, reason: String },
}
