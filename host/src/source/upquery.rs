//! Upqueries (S3): questions of the engine, answered in one round trip under one snapshot.
//!
//! # Locks come before the snapshot
//!
//! TRUNCATE, a rewriting ALTER TABLE and COPY FREEZE ignore snapshots: a table truncated after our snapshot was taken
//! and before we read it would look empty under a snapshot that does not see the truncation, and the stream would empty
//! it a second time, or rather, rows inserted in between would be lost. With the lock first, whatever we read had ended
//! before the snapshot or has not begun. Nothing before `LOCK TABLE` may take a snapshot: `SET LOCAL` does not,
//! `SELECT set_config(...)` would.
//!
//! # What the answer carries
//!
//! The snapshot, to tell which commits of the stream are in the rows. The insert position, read after the rows, by which
//! the stream has told every transaction that the snapshot sees; and the flush position, for if that is behind, the stream
//! is waiting for somebody to flush. System and timeline, for a snapshot of another server means nothing here; a server in
//! recovery lists no running transactions. And the fingerprint of the tables, under the same locks: the rows are decoded by
//! what the stream knows of them.
//!
//! # A kept snapshot
//!
//! An upquery may ask for its transaction to stay open, so that later ones read under the same snapshot. It locks the tables
//! of all of them in advance: a lock taken later would come after the snapshot. The insert position stays the first one's,
//! since the snapshot sees nothing that came after it.
//!
//! # The same decoder
//!
//! Values come as their types' text output and go through the decoder of the stream. `to_jsonb` in SQL would be another
//! path, and fails on some legal rows.

use std::fmt::Write as _;
use std::sync::Arc;

use futures_util::TryStreamExt;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use super::binding::{Binding, qualified, shape_of};
use super::connection::PINNED_SQL;
use super::error::{DefiniteError, SourceError};
use super::rows::{decode_text, row_id};
use super::session::{Pool, Session, flag, nullable, parse, text};
use super::sql;
use crate::data::{
    Answer, Ask, LeafId, Lsn, Row, RowId, Snapshot, Table, TableId, TableKind, TooMany, Upquery, UpqueryError, Value,
};

/// For how long an upquery waits for a lock, and how long it may take in all.
const LIMITS: &str = "SET LOCAL row_security = off; SET LOCAL lock_timeout = '500ms'; SET LOCAL statement_timeout = '60s'; \
    SET LOCAL idle_in_transaction_session_timeout = '60s'; ";

/// The stream an answer has to fit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub binding: Arc<Binding>,
    pub system: String,
    pub timeline: u32,
}

/// A transaction that is kept open for the sake of its snapshot. Dropped, its session is closed.
pub(super) struct Kept {
    /// The number of the upquery that opened it.
    id: u64,
    place: Place,
    session: Session,
    /// How far the log had been written and flushed when it was opened.
    positions: (Lsn, Lsn),
}

/// Asks under the snapshot that `kept` holds, or has it hold one from now on.
pub(super) async fn ask_kept(
    pool: &Arc<Pool>,
    place: &Place,
    upquery: &Upquery,
    kept: &mut Option<Kept>,
) -> Result<Answer, UpqueryError> {
    let lost = || UpqueryError::Transient("the snapshot kept for this question is gone".into());
    let Some(id) = upquery.under else { return ask(pool, place, upquery).await };
    if upquery.id == id {
        *kept = None;
        let session = pool.lend().await.map_err(fault)?;
        let all: Vec<TableId> = (0..place.binding.tables.len() as u32).map(TableId).collect();
        let batch = Batch::new(place, upquery, Some(all), "")?;
        let answer = batch.run(&session, place, upquery).await?;
        let positions = (answer.insert, answer.flush);
        *kept = Some(Kept { id, place: place.clone(), session, positions });
        return Ok(answer);
    }
    // Whatever goes wrong breaks the transaction off.
    let open = kept.take().filter(|kept| kept.id == id && kept.place == *place).ok_or_else(lost)?;
    let answer = Batch::new(place, upquery, None, "")?.run(&open.session, place, upquery).await?;
    let (insert, flush) = open.positions;
    *kept = Some(open);
    Ok(Answer { insert, flush, ..answer })
}

/// Ends the transaction.
pub(super) async fn release(kept: Kept) {
    kept.session.recover().await;
}

/// Asks, and decodes the answer.
pub(super) async fn ask(pool: &Arc<Pool>, place: &Place, upquery: &Upquery) -> Result<Answer, UpqueryError> {
    let mut tables: Vec<TableId> = upquery.asks.iter().map(|ask| ask.table).collect();
    tables.sort_unstable();
    tables.dedup();
    let batch = Batch::new(place, upquery, Some(tables), "; COMMIT")?;
    let session = pool.lend().await.map_err(fault)?;
    match batch.run(&session, place, upquery).await {
        Ok(answer) => {
            session.give_back();
            Ok(answer)
        }
        Err(error) => {
            session.recover().await;
            Err(error)
        }
    }
}

fn fault(error: SourceError) -> UpqueryError {
    match error {
        SourceError::Transient(message) | SourceError::Leaving(message) => UpqueryError::Transient(message),
        SourceError::Definite(error) => UpqueryError::Definite(error.to_string()),
    }
}

/// The text of an upquery, and which of its result sets is which ask.
struct Batch {
    sql: String,
    /// The tables read, each once.
    tables: Vec<TableId>,
    /// For each ask, whether it has a statement.
    stated: Vec<bool>,
}

impl Batch {
    /// The batch begins a transaction and locks tables `begin`, or is in one that did; it ends with `end`.
    fn new(place: &Place, upquery: &Upquery, begin: Option<Vec<TableId>>, end: &str) -> Result<Self, UpqueryError> {
        let binding = &place.binding;
        let oid_of = |table: TableId| {
            let unknown = || UpqueryError::Definite(format!("table {} is not in the plan", table.0));
            Ok(binding.bound.get(table.0 as usize).ok_or_else(unknown)?.catalogue.oid)
        };
        let mut sql = String::new();
        let begins = begin.is_some();
        let tables = begin.unwrap_or_else(|| upquery.asks.iter().map(|ask| ask.table).collect());
        let oids = tables.iter().map(|&table| oid_of(table)).collect::<Result<Vec<_>, _>>()?;
        if begins {
            let _ = write!(sql, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {PINNED_SQL}{LIMITS}");
            let names = tables.iter().map(|table| &binding.tables[table.0 as usize]);
            let names: Vec<String> = names.map(|table| qualified(&table.schema, &table.name)).collect();
            if !names.is_empty() {
                let _ = write!(sql, "LOCK TABLE {} IN ACCESS SHARE MODE; ", names.join(", "));
            }
        }
        // The first statement to take the snapshot.
        sql.push_str(
            "SELECT pg_current_snapshot(), pg_is_in_recovery(), (SELECT system_identifier FROM pg_control_system()); ",
        );
        let _ = write!(sql, "{}; ", shape_of(&oids));
        let mut stated = Vec::with_capacity(upquery.asks.len());
        for ask in &upquery.asks {
            let statement = select(binding, ask)?;
            stated.push(statement.is_some());
            if let Some(statement) = statement {
                let _ = write!(sql, "{statement}; ");
            }
        }
        sql.push_str(
            "SELECT pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn(), \
             left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)",
        );
        sql.push_str(end);
        Ok(Batch { sql, tables, stated })
    }

    async fn run(&self, session: &Session, place: &Place, upquery: &Upquery) -> Result<Answer, UpqueryError> {
        let failed = |error: &tokio_postgres::Error| self.failed(error, place);
        let stream = session.client.simple_query_raw(&self.sql).await.map_err(|error| failed(&error))?;
        let mut stream = std::pin::pin!(stream);
        let mut reader = Reader::new(place, &upquery.asks, &self.stated);
        while let Some(message) = stream.try_next().await.map_err(|error| failed(&error))? {
            match message {
                SimpleQueryMessage::RowDescription(_) => reader.next_set(),
                SimpleQueryMessage::Row(row) => reader.row(&row)?,
                _ => {}
            }
        }
        reader.finish(upquery.id, place, &self.tables)
    }

    /// What an error of the batch means to who asked.
    fn failed(&self, error: &tokio_postgres::Error, place: &Place) -> UpqueryError {
        let Some(db) = error.as_db_error() else { return fault(SourceError::from_sql(error)) };
        let table = self.tables.first().copied();
        match (db.code().code(), table) {
            // A table, column or type that is gone.
            ("42P01" | "42703" | "42704" | "42883" | "3F000", Some(table)) => {
                UpqueryError::TableChanged { table, reason: db.message().to_string() }
            }
            ("42501", _) if db.message().contains("row-level security") => {
                let role = place.binding.role.clone();
                let quoted = crate::data::quote_identifier(&role);
                UpqueryError::Definite(DefiniteError::RowSecurity { role, quoted }.to_string())
            }
            ("42501", _) => {
                let (role, message) = (place.binding.role.clone(), db.message().to_string());
                UpqueryError::Definite(DefiniteError::CannotRead { role, message }.to_string())
            }
            // Errors of values (class 22) and of syntax: the same question has the same answer.
            (state, _) if state.starts_with("22") || state.starts_with("42") => {
                UpqueryError::Definite(db.message().to_string())
            }
            _ => fault(SourceError::from_sql(error)),
        }
    }
}

/// The statement that finds an ask's rows; `None` if there can be none.
fn select(binding: &Binding, ask: &Ask) -> Result<Option<String>, UpqueryError> {
    let table = &binding.tables[ask.table.0 as usize];
    let definite = |error: sql::SqlError| UpqueryError::Definite(error.to_string());
    let Some(mut condition) = sql::keys(table, &ask.key, &ask.keys).map_err(definite)? else { return Ok(None) };
    if let Some(filter) = &ask.filter {
        let _ = write!(condition, " AND {}", sql::condition(table, filter).map_err(definite)?);
    }
    let columns: Vec<String> =
        table.columns.iter().map(|column| format!("t.{}", crate::data::quote_identifier(&column.name))).collect();
    let leaf = match binding.bound[ask.table.0 as usize].catalogue.kind {
        TableKind::Partitioned => "t.tableoid".to_string(),
        _ => binding.bound[ask.table.0 as usize].catalogue.oid.to_string(),
    };
    let (name, limit) = (qualified(&table.schema, &table.name), ask.row_limit.saturating_add(1).min(i64::MAX as u64));
    Ok(Some(format!(
        "SELECT {leaf}{}{} FROM {name} t WHERE {condition} LIMIT {limit}",
        if columns.is_empty() { "" } else { ", " },
        columns.join(", "),
    )))
}

/// Reads result sets as they arrive: snapshot, fingerprints, one for each stated ask, positions.
struct Reader<'a> {
    place: &'a Place,
    asks: &'a [Ask],
    /// Which ask each set after the first two is of.
    order: Vec<usize>,
    set: usize,
    snapshot: Option<Snapshot>,
    shapes: Vec<(u32, String)>,
    rows: Vec<Result<Vec<(RowId, Row)>, TooMany>>,
    positions: Option<(Lsn, Lsn)>,
}

/// The sets before those of asks.
const HEAD: usize = 2;

impl<'a> Reader<'a> {
    fn new(place: &'a Place, asks: &'a [Ask], stated: &[bool]) -> Self {
        Reader {
            place,
            asks,
            order: (0..asks.len()).filter(|&ask| stated[ask]).collect(),
            set: 0,
            snapshot: None,
            shapes: Vec::new(),
            rows: asks.iter().map(|_| Ok(Vec::new())).collect(),
            positions: None,
        }
    }

    fn next_set(&mut self) {
        self.set += 1;
    }

    fn row(&mut self, row: &SimpleQueryRow) -> Result<(), UpqueryError> {
        match self.set.saturating_sub(1) {
            0 => self.head(row).map_err(fault)?,
            1 => self.shapes.push((parse(row, 0).map_err(fault)?, text(row, 1).map_err(fault)?.to_string())),
            set => match self.order.get(set - HEAD) {
                Some(&ask) => self.ask(ask, row)?,
                None => self.tail(row)?,
            },
        }
        Ok(())
    }

    fn head(&mut self, row: &SimpleQueryRow) -> Result<(), SourceError> {
        if flag(row, 1)? {
            return Err(SourceError::transient("the database of upqueries is in recovery: a primary is needed"));
        }
        if text(row, 2)? != self.place.system {
            return Err(SourceError::transient("upqueries reach another database system than the stream"));
        }
        self.snapshot = Some(parse(row, 0)?);
        Ok(())
    }

    fn tail(&mut self, row: &SimpleQueryRow) -> Result<(), UpqueryError> {
        let timeline = u32::from_str_radix(text(row, 2).map_err(fault)?, 16);
        if timeline != Ok(self.place.timeline) {
            return Err(UpqueryError::Transient("upqueries reach another timeline than the stream".into()));
        }
        self.positions = Some((parse(row, 0).map_err(fault)?, parse(row, 1).map_err(fault)?));
        Ok(())
    }

    fn ask(&mut self, index: usize, row: &SimpleQueryRow) -> Result<(), UpqueryError> {
        let ask = &self.asks[index];
        let table = &self.place.binding.tables[ask.table.0 as usize];
        let Ok(rows) = &mut self.rows[index] else { return Ok(()) };
        if rows.len() as u64 >= ask.row_limit {
            self.rows[index] = Err(TooMany { limit: ask.row_limit });
            return Ok(());
        }
        let oid = parse(row, 0).map_err(fault)?;
        let Some(leaf) = self.place.binding.bound[ask.table.0 as usize].leaf(oid) else {
            let reason = "it has a new partition".into();
            return Err(UpqueryError::TableChanged { table: ask.table, reason });
        };
        rows.push(decode_row(table, leaf, row)?);
        Ok(())
    }

    fn finish(self, id: u64, place: &Place, tables: &[TableId]) -> Result<Answer, UpqueryError> {
        for &table in tables {
            let bound = &place.binding.bound[table.0 as usize];
            let shape = self.shapes.iter().find(|(oid, _)| *oid == bound.catalogue.oid).map(|(_, shape)| shape);
            if shape != Some(&bound.fingerprints.shape) {
                let reason = "its columns, identity or partitions are no longer what they were".into();
                return Err(UpqueryError::TableChanged { table, reason });
            }
        }
        let (Some(snapshot), Some((insert, flush))) = (self.snapshot, self.positions) else {
            return Err(UpqueryError::Transient("the answer of the database is incomplete".into()));
        };
        Ok(Answer { id, snapshot, insert, flush, rows: self.rows })
    }
}

fn decode_row(table: &Table, leaf: LeafId, row: &SimpleQueryRow) -> Result<(RowId, Row), UpqueryError> {
    let mut values = Vec::with_capacity(table.columns.len());
    for (index, column) in table.columns.iter().enumerate() {
        values.push(match nullable(row, index + 1).map_err(fault)? {
            None => Value::Null,
            Some(text) => decode_text(&column.ty, text).map_err(|message| {
                UpqueryError::Definite(format!("table \"{}\", column \"{}\": {message}", table.label(), column.name))
            })?,
        });
    }
    let row = Row::new(values);
    Ok((row_id(table, leaf, &row), row))
}
