//! The vocabulary every layer shares: values, rows, keys, schemas, and Postgres's positions and snapshots.
//!
//! Nothing here does I/O, reads a clock or knows another module. Everything is cheap to clone: what is large sits
//! behind an `Arc` and never changes once made.

#[cfg(test)]
mod beside_serde;
mod catalogue;
mod causes;
mod change;
mod expr;
mod floats;
mod json_read;
mod json_write;
mod key;
mod list;
mod lsn;
mod number;
mod row;
mod scalar;
mod schema;
mod snapshot;
mod time;
mod upquery;
mod value;

pub use catalogue::{
    Catalogue, CatalogueColumn, CatalogueTable, ForeignKey, IdentityError, Leaf, ReplicaIdentity, RowIdentity,
    TableKind, UniqueKey, quote_identifier,
};
pub use causes::with_causes;
pub use change::{Change, Commit};
pub use expr::{Comparison, Expr, Field, Operand, is_like_pattern};
pub use floats::Step;
pub(crate) use json_read::{LoneSurrogates, read as read_json, read_number};
pub use json_read::{MAX_DEPTH, ParseJsonError};
pub use json_write::write_json_text;
pub use key::{Key, KeyBuilder, KeyClass};
pub use list::{Edit, Edits, ElementKey, List, Placed};
pub use lsn::{Lsn, ParseLsnError};
pub use number::compare_numbers;
pub use row::{LeafId, Row, RowId, TableId};
pub use schema::{Column, ColumnType, Decode, Identity, Table};
pub use snapshot::{ParseSnapshotError, Snapshot, Xid};
pub use upquery::{Answer, Ask, TooMany, Upquery, UpqueryError};
pub use value::{Elements, Object, Shape, Value};
