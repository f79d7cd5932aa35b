//! What the rest of the program holds of the engine: ask for a document, wait for a position, read the health.
//!
//! The handle is the only way from sessions and routes to the single writer. It speaks strings and JSON, so that nobody
//! above it knows plans, cells or Postgres.

use std::sync::Arc;
use std::time::SystemTime;

use crate::data::{Lsn, Value};
use crate::revision::Revision;

/// A request for a document, as it came over the wire.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The percent-decoded path segments' source: the raw path of the URL, such as `/followeds/1`.
    pub path: String,
    /// Decoded pairs of the query string without the reserved keys (`revision, after, format, access_token`), in order.
    pub query: Vec<(String, String)>,
    /// The verified claims, an object; empty without authentication. Never filled from the request itself.
    pub claims: Value,
    /// The revision the client holds, unverified text.
    pub resume: Option<String>,
}

/// What a subscription yields.
#[derive(Clone, Debug)]
pub enum Event {
    Update(Update),
    Status(Status),
}

/// A step from the document the client holds to a newer one.
#[derive(Clone, Debug)]
pub struct Update {
    pub revision: Revision,
    /// The revision the patch applies to; `None`: start anew, the patch replaces the whole document.
    pub from: Option<Revision>,
    /// The whole document at `revision`.
    pub document: Value,
    /// The whole document at `from`.
    pub base: Option<Value>,
    pub(crate) patch: Arc<std::sync::OnceLock<Arc<str>>>,
}

/// Whether what a client holds is still live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub state: State,
    /// Why it is not live, such as `database_unreachable`.
    pub code: Option<Code>,
    pub since: SystemTime,
}

/// See [`Status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Every commit reaches the client.
    Live,
    /// What the client holds is right as of its revision, but newer commits do not arrive for now.
    Stale,
    /// Live, but parts are missing or held because a node fails.
    Degraded,
}

/// A reason a request was refused or ended, with a message fit for clients: no SQL, no guest text, no rows of others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    pub code: Code,
    pub message: String,
}

/// The codes of the interface; what each means on the wire is the session's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    BadRequest,
    UnknownParameter,
    MissingParameter,
    InvalidParameter,
    Unauthenticated,
    TokenExpired,
    Forbidden,
    MissingClaim,
    UnknownRoute,
    DocumentTooLarge,
    ListTooLong,
    TooMany,
    Internal,
    Starting,
    DatabaseUnreachable,
    QueryBroken,
    NodeUnavailable,
    AfterTimeout,
    SlowClient,
    ShuttingDown,
}

/// What `?after=` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Lsn(Lsn),
    /// A 64-bit transaction id, as `pg_current_xact_id()` gives it.
    Xid(u64),
}

/// Whether the server can serve.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Empty: ready. Otherwise what is missing, one sentence each.
    pub reasons: Vec<String>,
}
