//! What can go wrong between Sangre and Postgres: what passes by itself, and what somebody has to put right.
//!
//! The same SQLSTATE reaches us by two clients: tokio-postgres gives it as a field, the replication client only at the end
//! of its message's text. Both are read here, so that nobody else looks at codes.

use pgwire_replication::PgWireError;

use crate::data::{IdentityError, with_causes};

/// Why the source could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It may pass: the database is away, starting, overloaded. Try again with backoff.
    #[error("{0}")]
    Transient(String),
    /// The server is stopping or starting; otherwise as [`SourceError::Transient`].
    #[error("{0}")]
    Leaving(String),
    /// It stays until somebody does what the message says.
    #[error(transparent)]
    Definite(#[from] DefiniteError),
}

/// A fault that retrying does not mend, with its remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefiniteError {
    #[error("the database's address is not valid: {0}")]
    Address(String),
    #[error("cannot log in to the database: {0}")]
    Login(String),
    #[error("TLS to the database failed: {0}")]
    Tls(String),
    #[error("PostgreSQL {0} is too old: Sangre needs version 14 or newer")]
    TooOld(String),
    #[error(
        "wal_level is \"{0}\" but must be \"logical\": run ALTER SYSTEM SET wal_level = logical and restart PostgreSQL"
    )]
    WalLevel(String),
    #[error(
        "role \"{role}\" may not replicate: run ALTER ROLE {quoted} REPLICATION (managed services have a role to grant instead)"
    )]
    NoReplication { role: String, quoted: String },
    #[error(
        "all replication slots are in use: drop those that nobody reads (see pg_replication_slots) or raise max_replication_slots and restart PostgreSQL"
    )]
    NoSlotLeft,
    #[error("all walsenders are in use: raise max_wal_senders and restart PostgreSQL")]
    NoSenderLeft,
    #[error(
        "the replication connection goes through a connection pooler ({0}): set replication_url to the database's own address"
    )]
    Pooler(String),
    #[error("table \"{0}\" does not exist")]
    TableMissing(String),
    #[error("column \"{column}\" of table \"{table}\" does not exist")]
    ColumnMissing { table: String, column: String },
    #[error("table \"{table}\" cannot be followed: {reason}")]
    NotFollowable { table: String, reason: String },
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("role \"{role}\" may not do this, so the database's owner has to: run {sql}")]
    CannotPublish { role: String, sql: String },
    #[error("publication \"{publication}\" {fault}: run {remedy}")]
    Publication { publication: String, fault: String, remedy: String },
    #[error(
        "row-level security would hide rows of the tables in use from role \"{role}\": run ALTER ROLE {quoted} BYPASSRLS"
    )]
    RowSecurity { role: String, quoted: String },
    #[error("role \"{role}\" may not {what}: run {sql}")]
    CannotSelect { role: String, what: String, sql: String },
    #[error("role \"{role}\" may not read what is needed ({message}): run GRANT SELECT on the tables in use")]
    CannotRead { role: String, message: String },
    #[error("Sangre's role lacks a right: {0}")]
    Forbidden(String),
    #[error("{0}")]
    Other(String),
}

impl SourceError {
    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        !matches!(self, SourceError::Definite(_))
    }

    pub(super) fn transient(message: impl Into<String>) -> Self {
        SourceError::Transient(message.into())
    }

    /// What an error of an SQL session means.
    pub(super) fn from_sql(error: &tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) => by_state(db.code().code(), db.message()),
            None => from_message(&with_causes(error)),
        }
    }

    /// What an error of the replication session means.
    pub(super) fn from_replication(error: &PgWireError) -> Self {
        match error {
            PgWireError::Server(text) => {
                let (message, state) = split_state(text);
                by_state(state, message)
            }
            PgWireError::Auth(text) => DefiniteError::Login(text.clone()).into(),
            PgWireError::Tls(text) => tls(text),
            PgWireError::MessageTooLarge { .. } => DefiniteError::Other(error.to_string()).into(),
            _ => SourceError::Transient(error.to_string()),
        }
    }
}

/// Errors that no server sent: the socket's, and TLS's.
fn from_message(text: &str) -> SourceError {
    if text.contains("certificate") || text.contains("TLS") { tls(text) } else { SourceError::Transient(text.into()) }
}

/// A handshake cut short is a server that stops or starts; the rest is a matter of settings.
fn tls(text: &str) -> SourceError {
    let passing = ["eof", "reset", "broken pipe", "timed out"].iter().any(|word| text.to_lowercase().contains(word));
    if passing { SourceError::Transient(text.into()) } else { DefiniteError::Tls(text.into()).into() }
}

/// Splits `message (SQLSTATE 12345)`.
fn split_state(text: &str) -> (&str, &str) {
    text.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (SQLSTATE ")).unwrap_or((text, ""))
}

/// What a SQLSTATE means (Postgres, appendix "PostgreSQL Error Codes"). Unknown ones are taken for transient: a wrong
/// retry costs little, a wrong stop is an outage.
fn by_state(state: &str, message: &str) -> SourceError {
    let pooler = |part: &str| SourceError::from(DefiniteError::Pooler(part.to_string()));
    match state {
        // PgBouncer says this of `replication` and `options`; it has 08P01 for all its complaints.
        "08P01" if message.contains("startup parameter") => pooler(message),
        "0A000" if message.contains("pooler") => pooler(message),
        "57P01" | "57P02" | "57P03" => SourceError::Leaving(message.into()),
        "42501" => DefiniteError::Forbidden(message.into()).into(),
        "28000" | "28P01" => DefiniteError::Login(message.into()).into(),
        "3D000" => DefiniteError::Login(message.into()).into(),
        "53400" if message.contains("replication slot") => DefiniteError::NoSlotLeft.into(),
        "53300" if message.contains("standby") || message.contains("max_wal_senders") => {
            DefiniteError::NoSenderLeft.into()
        }
        "42601" | "42704" | "22023" | "0A000" | "54000" => DefiniteError::Other(message.into()).into(),
        _ => SourceError::Transient(message.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart() {
        let server = |text: &str| SourceError::from_replication(&PgWireError::Server(text.into()));
        assert_eq!(server("all replication slots are in use (SQLSTATE 53400)"), DefiniteError::NoSlotLeft.into());
        assert!(server("the database system is starting up (SQLSTATE 57P03)").is_transient());
        assert!(server("terminating connection (SQLSTATE 57P01)").is_transient());
        assert!(matches!(
            server("unsupported startup parameter: replication (SQLSTATE 08P01)"),
            SourceError::Definite(DefiniteError::Pooler(_))
        ));
        assert!(matches!(server("x (SQLSTATE 28P01)"), SourceError::Definite(DefiniteError::Login(_))));
    }
}
