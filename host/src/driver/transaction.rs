//! A transaction on its way in: nothing of it is shown before its commit.
//!
//! It is kept in memory until then, and one of any size may come (a bulk load, a migration). Past a bound its rows are let
//! go, and when it commits, what is in use of the tables it touched is read anew: that costs what is subscribed to, not
//! what was written.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::data::{Change, Commit, Lsn, TableId, Xid};
use crate::dataflow::{Effects, Engine};

/// How many bytes of rows one transaction may bring.
const LIMIT: usize = 64 << 20;

/// See the module.
pub(super) struct Transaction {
    xid: Xid,
    rows: Rows,
    limit: usize,
}

enum Rows {
    Kept {
        changes: Vec<Change>,
        bytes: usize,
    },
    /// Too many: only the tables are remembered.
    Unkept(BTreeSet<TableId>),
}

impl Transaction {
    pub(super) fn begin(xid: Xid) -> Self {
        Transaction { xid, rows: Rows::Kept { changes: Vec::new(), bytes: 0 }, limit: LIMIT }
    }

    /// Adds some of what it did.
    pub(super) fn extend(&mut self, more: Vec<Change>) {
        match &mut self.rows {
            Rows::Kept { changes, bytes } => {
                *bytes += more.iter().map(Change::weight).sum::<usize>();
                if *bytes <= self.limit {
                    changes.extend(more);
                } else {
                    let tables = changes.iter().chain(&more).map(Change::table).collect();
                    tracing::info!(
                        "a transaction is larger than {} MiB: its tables will be read anew",
                        self.limit >> 20
                    );
                    self.rows = Rows::Unkept(tables);
                }
            }
            Rows::Unkept(tables) => tables.extend(more.iter().map(Change::table)),
        }
    }

    /// Gives it to the engine, now that it has committed.
    pub(super) fn commit(self, end: Lsn, engine: &mut Engine) -> Effects {
        match self.rows {
            Rows::Kept { changes, .. } => engine.commit(Arc::new(Commit { xid: self.xid, end, changes })),
            Rows::Unkept(tables) => engine.commit_unkept(self.xid, end, tables),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::LeafId;

    fn truncate(table: u32) -> Change {
        Change::Truncate { table: TableId(table), leaf: LeafId(1) }
    }

    #[test]
    fn past_the_bound_only_tables_are_remembered() {
        let mut transaction = Transaction { limit: 2 * truncate(0).weight(), ..Transaction::begin(Xid(1)) };
        transaction.extend(vec![truncate(3), truncate(1)]);
        assert!(matches!(&transaction.rows, Rows::Kept { changes, .. } if changes.len() == 2));
        transaction.extend(vec![truncate(3)]);
        transaction.extend(vec![truncate(2)]);
        let tables = [1, 2, 3].map(TableId);
        assert!(matches!(&transaction.rows, Rows::Unkept(unkept) if unkept.iter().eq(&tables)));
    }
}
