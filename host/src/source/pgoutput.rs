//! Messages of the logical replication protocol, as the `pgoutput` plugin writes them (Postgres, "Logical Replication
//! Message Formats"), versions 1 and 2.
//!
//! Bytes in, borrowed data out. What a reader could get wrong:
//!
//! - A message says nothing about those around it. In version 2, between stream start and stream stop, every message
//!   begins with a transaction id that it does not have outside: the caller knows where it is, and calls
//!   [`parse_in_stream`] there.
//! - An absent old tuple does not mean the row's identity is unknown: it is in the new tuple then, unchanged.
//! - [`Cell::Unchanged`] stands for a large value that was not sent; it comes in new tuples, and in an old tuple of
//!   identity columns every other column is [`Cell::Null`].
//! - A schema's name is empty for `pg_catalog`.
//! - Commit has two positions: the start of its record and the end. A revision names the end.
//!
//! Pure and total: any bytes give a message or an error, nothing is allocated on the word of a count, and a message with
//! bytes after its end is refused, since it is not of a version known here.

use crate::data::{Lsn, Xid};

mod reader;
#[cfg(test)]
mod tests;

use reader::Reader;

/// The bytes are not a message of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PgoutputError {
    #[error("replication message of {length} bytes ends within {what}")]
    Truncated { what: &'static str, length: usize },
    #[error("replication message {kind:?} has {extra} bytes after its end")]
    Trailing { kind: char, extra: usize },
    #[error("unknown replication message {0:?}: is the protocol version one or two?")]
    UnknownKind(char),
    #[error("unknown {what} {found} in a replication message")]
    Unknown { what: &'static str, found: i64 },
    #[error("{what} in a replication message is not UTF-8: the database's encoding must convert to UTF-8")]
    NotUtf8 { what: &'static str },
}

/// One message. Times are microseconds since 2000-01-01 UTC.
#[derive(Clone, Debug, PartialEq)]
pub enum Message<'a> {
    Begin(Begin),
    Commit(Commit),
    /// The transaction came from another node.
    Origin {
        commit: Lsn,
        name: &'a str,
    },
    Relation(Relation<'a>),
    Type {
        oid: u32,
        schema: &'a str,
        name: &'a str,
    },
    Insert {
        relation: u32,
        new: Tuple<'a>,
    },
    Update {
        relation: u32,
        old: Option<OldTuple<'a>>,
        new: Tuple<'a>,
    },
    Delete {
        relation: u32,
        old: OldTuple<'a>,
    },
    Truncate {
        relations: Vec<u32>,
        cascade: bool,
        restart_identity: bool,
    },
    /// `pg_logical_emit_message`.
    Logical {
        transactional: bool,
        lsn: Lsn,
        prefix: &'a str,
        content: &'a [u8],
    },
    /// Part of a transaction still in progress follows.
    StreamStart {
        xid: Xid,
        first: bool,
    },
    StreamStop,
    StreamCommit {
        xid: Xid,
        commit: Commit,
    },
    /// `xid` is rolled back as part of `top`; both are the same for a whole transaction.
    StreamAbort {
        top: Xid,
        xid: Xid,
    },
}

/// A transaction begins; its changes and [`Commit`] follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Where its commit record begins.
    pub commit: Lsn,
    pub committed_us: i64,
    /// Its top-level id.
    pub xid: Xid,
}

/// A transaction is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Where its commit record begins.
    pub commit: Lsn,
    /// Where its commit record ends: what is acknowledged, and what a revision names.
    pub end: Lsn,
    pub committed_us: i64,
}

/// A relation's columns, sent before its first change and after each change of its definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Relation<'a> {
    pub oid: u32,
    pub schema: &'a str,
    pub name: &'a str,
    pub identity: ReplicaIdentity,
    /// The published columns, in the order of tuples.
    pub columns: Vec<RelationColumn<'a>>,
}

/// One column of a [`Relation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelationColumn<'a> {
    pub name: &'a str,
    /// Whether it is part of the replica identity.
    pub key: bool,
    pub type_oid: u32,
    pub type_modifier: i32,
}

/// `REPLICA IDENTITY` of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// The primary key.
    Default,
    Nothing,
    /// All columns.
    Full,
    /// A unique index.
    Index,
}

/// A row's cells, in the order of its [`Relation`]'s columns.
pub type Tuple<'a> = Vec<Cell<'a>>;

/// What is known of a row before a change.
#[derive(Clone, Debug, PartialEq)]
pub enum OldTuple<'a> {
    /// The values of its identity's columns; all others are null here.
    Key(Tuple<'a>),
    /// All its values (`REPLICA IDENTITY FULL`).
    Full(Tuple<'a>),
}

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    Null,
    /// A large value that is stored out of line and did not change.
    Unchanged,
    /// The type's text output.
    Text(&'a str),
    /// The type's binary output, if the stream was asked for it.
    Binary(&'a [u8]),
}

/// Reads a message that stands outside a streamed part of a transaction.
pub fn parse(message: &[u8]) -> Result<Message<'_>, PgoutputError> {
    let mut reader = Reader::new(message);
    let kind = reader.u8("its kind")?;
    let message = body(kind, &mut reader)?;
    reader.finish(kind, message)
}

/// Reads a message from between [`Message::StreamStart`] and [`Message::StreamStop`], with the id of the transaction or
/// subtransaction it belongs to; a message that starts, stops, commits or aborts a stream has none.
pub fn parse_in_stream(message: &[u8]) -> Result<(Option<Xid>, Message<'_>), PgoutputError> {
    let mut reader = Reader::new(message);
    let kind = reader.u8("its kind")?;
    let xid = match kind {
        b'R' | b'Y' | b'I' | b'U' | b'D' | b'T' | b'M' => Some(reader.xid()?),
        _ => None,
    };
    let message = body(kind, &mut reader)?;
    Ok((xid, reader.finish(kind, message)?))
}

fn body<'a>(kind: u8, reader: &mut Reader<'a>) -> Result<Message<'a>, PgoutputError> {
    Ok(match kind {
        b'B' => {
            Message::Begin(Begin { commit: reader.lsn()?, committed_us: reader.i64("a time")?, xid: reader.xid()? })
        }
        b'C' => {
            reader.no_flags()?;
            Message::Commit(commit(reader)?)
        }
        b'O' => Message::Origin { commit: reader.lsn()?, name: reader.text("an origin's name")? },
        b'R' => Message::Relation(relation(reader)?),
        b'Y' => Message::Type {
            oid: reader.u32("an oid")?,
            schema: reader.text("a schema's name")?,
            name: reader.text("a type's name")?,
        },
        b'I' => {
            let relation = reader.u32("an oid")?;
            reader.expect(b'N')?;
            Message::Insert { relation, new: tuple(reader)? }
        }
        b'U' => update(reader)?,
        b'D' => {
            let relation = reader.u32("an oid")?;
            let kind = reader.u8("a tuple's kind")?;
            Message::Delete { relation, old: old_tuple(kind, reader)? }
        }
        b'T' => truncate(reader)?,
        b'M' => {
            let flags = reader.u8("flags")?;
            let (lsn, prefix) = (reader.lsn()?, reader.text("a prefix")?);
            Message::Logical { transactional: flags & 1 != 0, lsn, prefix, content: reader.counted("content")? }
        }
        b'S' => Message::StreamStart { xid: reader.xid()?, first: reader.u8("a flag")? != 0 },
        b'E' => Message::StreamStop,
        b'c' => {
            let xid = reader.xid()?;
            reader.no_flags()?;
            Message::StreamCommit { xid, commit: commit(reader)? }
        }
        b'A' => Message::StreamAbort { top: reader.xid()?, xid: reader.xid()? },
        other => return Err(PgoutputError::UnknownKind(char::from(other))),
    })
}

fn commit(reader: &mut Reader<'_>) -> Result<Commit, PgoutputError> {
    Ok(Commit { commit: reader.lsn()?, end: reader.lsn()?, committed_us: reader.i64("a time")? })
}

fn relation<'a>(reader: &mut Reader<'a>) -> Result<Relation<'a>, PgoutputError> {
    let oid = reader.u32("an oid")?;
    let (schema, name) = (reader.text("a schema's name")?, reader.text("a relation's name")?);
    let identity = match reader.u8("a replica identity")? {
        b'd' => ReplicaIdentity::Default,
        b'n' => ReplicaIdentity::Nothing,
        b'f' => ReplicaIdentity::Full,
        b'i' => ReplicaIdentity::Index,
        other => return Err(PgoutputError::Unknown { what: "replica identity", found: other.into() }),
    };
    let count = reader.u16("a number of columns")?;
    // A column has at least its flags, the end of its name, a type and a modifier.
    let columns = reader.many(count.into(), 10, "columns", |reader| {
        Ok(RelationColumn {
            key: reader.u8("flags")? & 1 != 0,
            name: reader.text("a column's name")?,
            type_oid: reader.u32("an oid")?,
            type_modifier: reader.u32("a type modifier")? as i32,
        })
    })?;
    Ok(Relation { oid, schema, name, identity, columns })
}

fn update<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, PgoutputError> {
    let relation = reader.u32("an oid")?;
    let old = match reader.u8("a tuple's kind")? {
        b'N' => None,
        kind => {
            let old = old_tuple(kind, reader)?;
            reader.expect(b'N')?;
            Some(old)
        }
    };
    Ok(Message::Update { relation, old, new: tuple(reader)? })
}

fn old_tuple<'a>(kind: u8, reader: &mut Reader<'a>) -> Result<OldTuple<'a>, PgoutputError> {
    match kind {
        b'K' => Ok(OldTuple::Key(tuple(reader)?)),
        b'O' => Ok(OldTuple::Full(tuple(reader)?)),
        other => Err(PgoutputError::Unknown { what: "kind of tuple", found: other.into() }),
    }
}

fn tuple<'a>(reader: &mut Reader<'a>) -> Result<Tuple<'a>, PgoutputError> {
    let count = reader.u16("a number of cells")?;
    reader.many(count.into(), 1, "cells", |reader| match reader.u8("a cell's kind")? {
        b'n' => Ok(Cell::Null),
        b'u' => Ok(Cell::Unchanged),
        b't' => reader.counted_text("a cell").map(Cell::Text),
        b'b' => reader.counted("a cell").map(Cell::Binary),
        other => Err(PgoutputError::Unknown { what: "kind of cell", found: other.into() }),
    })
}

fn truncate<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, PgoutputError> {
    let count = reader.u32("a number of relations")?;
    let flags = reader.u8("flags")?;
    let relations = reader.many(count, 4, "relations", |reader| reader.u32("an oid"))?;
    Ok(Message::Truncate { relations, cascade: flags & 1 != 0, restart_identity: flags & 2 != 0 })
}
