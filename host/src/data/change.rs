//! What a transaction did, as the replication stream tells it.

use super::{LeafId, Lsn, Row, RowId, TableId, Xid};

/// A committed transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// Its top-level transaction id.
    pub xid: Xid,
    /// The end of its commit record: the position whose prefix includes it.
    pub end: Lsn,
    /// What it did to tables of the plan, in order.
    pub changes: Vec<Change>,
}

/// One change to one row, or the emptying of a relation.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A row that was not there.
    Insert { table: TableId, id: RowId, row: Row },
    /// A row's new values.
    Update {
        table: TableId,
        /// The row's identity before.
        old: RowId,
        /// Its identity now; equal to `old` unless an identity column changed.
        id: RowId,
        /// The values now. Those listed in `unchanged` are null here and stand in the row before.
        row: Row,
        /// Columns (indexes into the table's) whose large value was not sent because it did not change.
        unchanged: Vec<u16>,
    },
    /// A row that is gone.
    Delete { table: TableId, id: RowId },
    /// Every row stored in this relation is gone.
    Truncate { table: TableId, leaf: LeafId },
}

impl Change {
    /// The table it concerns.
    pub fn table(&self) -> TableId {
        match *self {
            Change::Insert { table, .. }
            | Change::Update { table, .. }
            | Change::Delete { table, .. }
            | Change::Truncate { table, .. } => table,
        }
    }

    /// About how many bytes it takes.
    pub fn weight(&self) -> usize {
        let row = match self {
            Change::Insert { row, .. } | Change::Update { row, .. } => row.weight(),
            Change::Delete { .. } | Change::Truncate { .. } => 0,
        };
        size_of::<Change>() + row
    }
}
