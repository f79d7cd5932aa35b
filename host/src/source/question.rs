//! Small questions to the database beside the stream.

use std::sync::Arc;

use super::connection::PINNED_SQL;
use super::error::{DefiniteError, SourceError};
use super::session::{Pool, query, single, text};
use super::sql::literal;

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XidStatus {
    Committed,
    InProgress,
    Aborted,
    /// So long ago that Postgres no longer knows, or not an id it has given out.
    Unknown,
}

/// Refuses a server that does not write what logical decoding needs.
pub(super) async fn wal_level(pool: &Arc<Pool>) -> Result<(), SourceError> {
    let row = single(&mut pool.read("SELECT current_setting('wal_level')").await?.into_iter())?;
    match text(&row, 0)? {
        "logical" => Ok(()),
        other => Err(DefiniteError::WalLevel(other.into()).into()),
    }
}

/// Writes and flushes a transaction that says nothing, so that the stream passes all that was written before. It does not
/// wait for standbys: the walsender needs only the local flush.
pub(super) async fn provoke(pool: &Arc<Pool>) -> Result<(), SourceError> {
    let batch = "SET LOCAL synchronous_commit = local; SELECT pg_logical_emit_message(true, 'sangre', '')";
    pool.transaction("BEGIN READ WRITE", batch).await.map(drop)
}

pub(super) async fn xid_status(pool: &Arc<Pool>, xid: u64) -> Result<XidStatus, SourceError> {
    let session = pool.lend().await?;
    let sets = match query(&session.client, &format!("SELECT pg_catalog.pg_xact_status('{xid}'::xid8)")).await {
        Ok(sets) => {
            session.give_back();
            sets
        }
        Err(error) => {
            session.recover().await;
            // An id of the future is an invalid parameter to Postgres.
            return match error.code() {
                Some(code) if code.code().starts_with("22") => Ok(XidStatus::Unknown),
                _ => Err(SourceError::from_sql(&error)),
            };
        }
    };
    let row = single(&mut sets.into_iter())?;
    Ok(match super::session::nullable(&row, 0)? {
        Some("committed") => XidStatus::Committed,
        Some("in progress") => XidStatus::InProgress,
        Some("aborted") => XidStatus::Aborted,
        _ => XidStatus::Unknown,
    })
}

pub(super) async fn canonical(pool: &Arc<Pool>, ty: &str, value: &str) -> Result<Result<String, String>, SourceError> {
    if value.contains('\0') {
        return Ok(Err("a text cannot contain the character with code 0".into()));
    }
    let session = pool.lend().await?;
    let sql = format!("BEGIN READ ONLY; {PINNED_SQL} SELECT {}::{ty}; COMMIT", literal(value));
    match query(&session.client, &sql).await {
        Ok(sets) => {
            session.give_back();
            let row = single(&mut sets.into_iter())?;
            Ok(Ok(text(&row, 0)?.to_string()))
        }
        Err(error) => {
            session.recover().await;
            match error.as_db_error() {
                // Class 22: the text is not of the type. 23514: a domain's check refuses it.
                Some(db) if db.code().code().starts_with("22") || db.code().code().starts_with("23") => {
                    Ok(Err(db.message().to_string()))
                }
                _ => Err(SourceError::from_sql(&error)),
            }
        }
    }
}
