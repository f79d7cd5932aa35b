//! Replays a database's commits, one by one and in order, into a second database.
//!
//! A logical slot of the test's own (`pgoutput`, read by `pg_logical_slot_get_binary_changes`) holds all that was
//! committed since it was made. The reader is written apart from the product's: it knows text values only, and finds
//! rows by the text of their columns, so that nothing is ever "equal enough" (1.0 is not 1.00 here).
//!
//! The second database runs with `session_replication_role = replica`: what foreign keys did on the first is in the
//! stream already.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use tokio_postgres::Client;

use super::kinds::{ident, quote};
use super::postgres::Database;

/// What the publication is called; slots are the cluster's, so theirs has the database's name in it.
const PUBLICATION: &str = "oracle";
const SLOT: &str = "('oracle_' || current_database())::name";

/// One commit of the primary.
#[derive(Debug)]
pub struct Commit {
    /// Where its commit record ends.
    pub end_lsn: u64,
    pub xid: u32,
    /// SQL that does the same again.
    pub statements: Vec<String>,
}

/// Reads commits.
pub struct Replay {
    relations: HashMap<u32, Relation>,
}

struct Relation {
    name: String,
    columns: Vec<Column>,
}

struct Column {
    name: String,
    /// Part of the replica identity.
    identity: bool,
}

/// A value in a tuple.
enum Datum {
    Null,
    /// Stored out of line and not changed.
    Unchanged,
    Text(String),
}

/// Makes the slot and its publication; whatever commits from now on is replayed.
pub async fn prepare(primary: &Client) -> Result<()> {
    primary.batch_execute(&format!("create publication {PUBLICATION} for all tables")).await?;
    primary.query(&format!("select pg_create_logical_replication_slot({SLOT}, 'pgoutput')"), &[]).await?;
    Ok(())
}

/// A session of the second database, ready for [`Commit::apply`].
pub async fn session(database: &Database) -> Result<Client> {
    let client = database.connect().await?;
    client.batch_execute("set session_replication_role = replica; set synchronous_commit = off").await?;
    Ok(client)
}

impl Replay {
    pub fn new() -> Self {
        Replay { relations: HashMap::new() }
    }

    /// All commits since the last call.
    pub async fn commits(&mut self, primary: &Client) -> Result<Vec<Commit>> {
        let sql = format!(
            "select data from pg_logical_slot_get_binary_changes({SLOT}, null, null, 'proto_version', '1', \
             'publication_names', '{PUBLICATION}')"
        );
        let mut commits: Vec<Commit> = Vec::new();
        for row in primary.query(&sql, &[]).await? {
            let message: &[u8] = row.get(0);
            self.message(message, &mut commits).with_context(|| format!("message {message:?}"))?;
        }
        ensure!(commits.windows(2).all(|pair| pair[0].end_lsn < pair[1].end_lsn), "commits are not in order");
        Ok(commits)
    }

    fn message(&mut self, message: &[u8], commits: &mut Vec<Commit>) -> Result<()> {
        let mut reader = Reader(message);
        let kind = reader.u8()?;
        let current = commits.last_mut();
        match kind {
            b'B' => {
                reader.take(16)?;
                commits.push(Commit { end_lsn: u64::MAX, xid: reader.u32()?, statements: Vec::new() });
            }
            b'C' => {
                reader.take(9)?;
                current.context("a commit without begin")?.end_lsn = reader.u64()?;
            }
            b'R' => {
                let id = reader.u32()?;
                self.relations.insert(id, Relation::read(&mut reader)?);
            }
            b'I' | b'U' | b'D' => {
                let relation = self.relation(reader.u32()?)?;
                let statement = relation.change(kind, &mut reader)?;
                current.context("a change without begin")?.statements.extend(statement);
            }
            b'T' => {
                let count = reader.u32()?;
                reader.u8()?;
                let ids: Result<Vec<u32>> = (0..count).map(|_| reader.u32()).collect();
                let names: Result<Vec<&str>> =
                    ids?.into_iter().map(|id| Ok(self.relation(id)?.name.as_str())).collect();
                // All that a cascade reached is listed, but Postgres asks for the word again. On the second database it
                // reaches no further: the same tables refer to each other.
                let statement = format!("truncate {} cascade", names?.join(", "));
                current.context("a truncate without begin")?.statements.push(statement);
            }
            // Types and origins say nothing that text needs.
            b'Y' | b'O' => {}
            other => bail!("unknown message {:?}", other as char),
        }
        Ok(())
    }

    fn relation(&self, id: u32) -> Result<&Relation> {
        self.relations.get(&id).with_context(|| format!("relation {id} was not announced"))
    }
}

impl Commit {
    /// Does it again in the second database.
    pub async fn apply(&self, target: &Client) -> Result<()> {
        let script = format!("begin; {}; commit", self.statements.join("; "));
        target.batch_execute(&script).await.with_context(|| format!("cannot replay: {script}"))
    }
}

impl Relation {
    fn read(reader: &mut Reader<'_>) -> Result<Relation> {
        let (schema, name) = (reader.text0()?, reader.text0()?);
        reader.u8()?;
        let columns: Result<Vec<Column>> = (0..reader.u16()?)
            .map(|_| {
                let identity = reader.u8()? & 1 == 1;
                let name = ident(&reader.text0()?);
                reader.take(8)?;
                Ok(Column { name, identity })
            })
            .collect();
        Ok(Relation { name: format!("{}.{}", ident(&schema), ident(&name)), columns: columns? })
    }

    /// The statement of an insert, update or delete; `None` if it changes nothing.
    fn change(&self, kind: u8, reader: &mut Reader<'_>) -> Result<Option<String>> {
        let mut marker = reader.u8()?;
        let mut old = None;
        if marker == b'K' || marker == b'O' {
            let whole = marker == b'O';
            old = Some(self.find(&reader.tuple()?, whole));
            if kind == b'D' {
                let find = old.expect("just read");
                return Ok(Some(format!("delete from {} where {find}", self.name)));
            }
            marker = reader.u8()?;
        }
        ensure!(marker == b'N', "a tuple marked {:?}", marker as char);
        let new = reader.tuple()?;
        ensure!(new.len() == self.columns.len(), "{} has {} columns, not {}", self.name, self.columns.len(), new.len());
        if kind == b'I' {
            return Ok(Some(self.insert(&new)));
        }
        let find = old.unwrap_or_else(|| self.find(&new, false));
        let sets: Vec<String> = self
            .columns
            .iter()
            .zip(&new)
            .filter_map(|(column, datum)| Some(format!("{} = {}", column.name, datum.sql()?)))
            .collect();
        Ok((!sets.is_empty()).then(|| format!("update {} set {} where {find}", self.name, sets.join(", "))))
    }

    fn insert(&self, new: &[Datum]) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let values: Vec<String> = new.iter().map(|datum| datum.sql().unwrap_or_else(|| "null".into())).collect();
        format!("insert into {} ({}) values ({})", self.name, names.join(", "), values.join(", "))
    }

    /// A condition that finds exactly one row: by its identity, or by everything that is known of it.
    fn find(&self, tuple: &[Datum], whole: bool) -> String {
        let conditions: Vec<String> = self
            .columns
            .iter()
            .zip(tuple)
            .filter(|(column, _)| whole || column.identity)
            .filter_map(|(column, datum)| match datum {
                Datum::Null => Some(format!("{} is null", column.name)),
                // What the type's output function gives; a cast to text is another thing for some types (bool).
                Datum::Text(text) => {
                    Some(format!("{0} is not null and format('%s', {0}) = {1}", column.name, quote(text)))
                }
                Datum::Unchanged => None,
            })
            .collect();
        let table = &self.name;
        format!("ctid = (select ctid from {table} where {} limit 1)", conditions.join(" and "))
    }
}

impl Datum {
    /// As SQL writes it; `None` if it is not known.
    fn sql(&self) -> Option<String> {
        match self {
            Datum::Null => Some("null".into()),
            Datum::Text(text) => Some(quote(text)),
            Datum::Unchanged => None,
        }
    }
}

/// Reads big-endian fields.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count).context("the message is too short")?;
        self.0 = tail;
        Ok(head)
    }

    fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_be_bytes(self.take(2)?.try_into()?))
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_be_bytes(self.take(8)?.try_into()?))
    }

    /// A text that ends with a zero byte.
    fn text0(&mut self) -> Result<String> {
        let end = self.0.iter().position(|&byte| byte == 0).context("a text without end")?;
        let text = String::from_utf8(self.take(end)?.to_vec())?;
        self.u8()?;
        Ok(text)
    }

    fn tuple(&mut self) -> Result<Vec<Datum>> {
        (0..self.u16()?)
            .map(|_| {
                Ok(match self.u8()? {
                    b'n' => Datum::Null,
                    b'u' => Datum::Unchanged,
                    b't' => {
                        let length = self.u32()? as usize;
                        Datum::Text(String::from_utf8(self.take(length)?.to_vec())?)
                    }
                    other => bail!("a value marked {:?}", other as char),
                })
            })
            .collect()
    }
}
