//! What the rest of the program holds of the engine: ask for a document, wait for a position, read the health.
//!
//! The handle is the only way from sessions and routes to the single writer. It speaks strings and JSON, so that nobody
//! above it knows plans, cells or Postgres.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use futures_util::future::BoxFuture;

use crate::data::{Object, Shape};
use crate::diff::{self, DiffMemo};

pub use crate::data::{Lsn, Value};
pub use crate::revision::Revision;

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
    /// The first update must include every commit that the engine knows: the client waited for one ([`Documents::after`]).
    /// Without it a document that waits for a node begins with its last state.
    pub newest: bool,
}

/// The claims of a client that nobody vouches for.
pub fn no_claims() -> Value {
    Value::Object(Object::new(Shape::new([]), []))
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
    texts: Arc<Texts>,
}

/// The texts of an update, each written once by whoever needs it first: clones of one update share them.
#[derive(Debug, Default)]
struct Texts {
    patch: OnceLock<Arc<str>>,
    merge_patch: OnceLock<Arc<str>>,
    document: OnceLock<Arc<str>>,
}

impl Update {
    /// The whole document, for a client that holds nothing Sangre can build on.
    pub fn whole(revision: Revision, document: Value) -> Self {
        Update { revision, from: None, document, base: None, texts: Arc::default() }
    }

    /// A step from `base` at `from` to `document` at `revision`.
    pub fn step(revision: Revision, document: Value, from: Revision, base: Value) -> Self {
        Update { revision, from: Some(from), document, base: Some(base), texts: Arc::default() }
    }

    /// The same update with the text of its document already known. Only the first one given counts.
    pub fn with_document_text(self, document: impl Into<Arc<str>>) -> Self {
        self.texts.document.get_or_init(|| document.into());
        self
    }

    /// The same update with the text of its patch already known. Only the first one given counts.
    pub fn with_patch(self, patch: impl Into<Arc<str>>) -> Self {
        self.texts.patch.get_or_init(|| patch.into());
        self
    }

    /// The JSON text of the patch, an array of RFC 6902 operations, from `from` (or from nothing) to `document`.
    pub fn patch(&self) -> Arc<str> {
        let write = || match &self.base {
            Some(base) => diff::patch(base, &self.document, &DiffMemo::new()),
            None => diff::whole(&self.document),
        };
        self.texts.patch.get_or_init(|| write().into()).clone()
    }

    /// Whether the document at `from` is that at `revision`.
    pub fn is_empty(&self) -> bool {
        self.from.is_some() && diff::is_empty(&self.patch())
    }

    /// The JSON text of the RFC 7396 merge patch from `from` (or from nothing) to `document` without its null members.
    pub fn merge_patch(&self) -> Arc<str> {
        let write = || match &self.base {
            // Where nothing changed an object takes the empty patch, and anything else is sent again.
            Some(base) => diff::merge_patch(base, &self.document).unwrap_or_else(|| match self.document {
                Value::Object(_) => "{}".into(),
                _ => self.document_without_nulls(),
            }),
            None => self.document_without_nulls(),
        };
        self.texts.merge_patch.get_or_init(|| write().into()).clone()
    }

    /// The JSON text of the document without its null members: what merge patches are about.
    pub fn document_without_nulls(&self) -> String {
        diff::without_nulls(&self.document).to_json()
    }

    /// The JSON text of the document.
    pub fn document_text(&self) -> Arc<str> {
        self.texts.document.get_or_init(|| self.document.to_json().into()).clone()
    }
}

/// Whether what a client holds is still live.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Live, or what it is in place of that.
    pub state: State,
    /// Why it is not live, such as [`Code::DatabaseUnreachable`]; `None` if it is.
    pub code: Option<Code>,
    /// Since when, by this machine's clock.
    pub since: SystemTime,
}

/// See [`Status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

/// Why a request was refused or a stream ended: the codes that clients receive, on every transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The request makes no sense as it is written.
    BadRequest,
    /// The query has no parameter of that name.
    UnknownParameter,
    /// A parameter that is needed was not given.
    MissingParameter,
    /// A parameter's value is not of its type, or out of its bounds.
    InvalidParameter,
    /// Nobody vouches for the client.
    Unauthenticated,
    /// The client's token has expired.
    TokenExpired,
    /// The client may not do this.
    Forbidden,
    /// The query reads a claim (`$auth`) that there is not.
    MissingClaim,
    /// No query has this route.
    UnknownRoute,
    /// The document is larger than `limits.document`.
    DocumentTooLarge,
    /// A list of the document has more elements than `limits.list`.
    ListTooLong,
    /// There are as many connections or documents as there may be.
    TooMany,
    /// A defect of Sangre; the log has more.
    Internal,
    /// Nothing is served yet.
    Starting,
    /// The database is out of reach.
    DatabaseUnreachable,
    /// The query does not fit the database; the log says why.
    QueryBroken,
    /// A node that the document needs does not work for now.
    NodeUnavailable,
    /// The position of `after` was not reached in 10 s.
    AfterTimeout,
    /// The client does not read what it asked for.
    SlowClient,
    /// Sangre is ending.
    ShuttingDown,
}

/// What `?after=` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Lsn(Lsn),
    /// A 64-bit transaction id, as `pg_current_xact_id()` gives it.
    Xid(u64),
}

/// Whether documents can be served.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Health {
    /// Empty: ready. Otherwise what is missing, one sentence each.
    pub reasons: Vec<String>,
    /// Queries that are not served, nodes that nothing runs of, an edit of the configuration that is not used, and why, one line for each
    /// mistake: for the operator. All else is served.
    pub broken: Vec<String>,
}

/// A node of the configuration and the state it is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeInfo {
    pub name: String,
    /// Its script or component.
    pub file: PathBuf,
    /// The longest a batch may be computed.
    pub deadline: std::time::Duration,
    /// The most that an instance may have, in bytes.
    pub memory_limit: usize,
    /// The queries that use it, by name.
    pub queries: Vec<Arc<str>>,
    /// It is of an edit of the configuration that is not taken yet.
    pub is_tried: bool,
    /// `filter`, `map` or `reduce`; empty while the node was never loaded.
    pub kind: String,
    /// What identifies the code that runs, such as the beginning of its hash; empty while the node was never loaded.
    pub version: String,
    pub state: NodeState,
    /// The last error: why the newest version of its file was not taken, or what the one that runs failed on, in the guest's or
    /// compiler's own words: for the operator, never for clients.
    pub error: Option<String>,
    /// The message in it alone: without counts and without the row.
    pub reason: Option<String>,
    pub usage: NodeUsage,
}

/// What a node has done since the server started, in all its versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeUsage {
    /// Calls of a guest, each with some rows.
    pub batches: u64,
    pub rows: u64,
    /// Rows that failed.
    pub errors: u64,
    /// What guests computed.
    pub computed: std::time::Duration,
    /// Rows whose answer was known, so that no guest was asked.
    pub memo_hits: u64,
    /// The most that an instance had.
    pub memory_bytes: u64,
    /// Instances that were started.
    pub instances: u64,
    /// What it took to start them, sources loaded.
    pub starting: std::time::Duration,
}

/// What the engine has done since the server started, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Transactions applied.
    pub commits: u64,
    /// New states of documents.
    pub emissions: u64,
    /// Questions to the database for rows.
    pub upqueries: u64,
    /// Documents kept live now.
    pub documents: u64,
    /// Rows known now.
    pub rows: u64,
    /// Bytes of past states of documents.
    pub history_bytes: u64,
}

/// See [`NodeInfo`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeState {
    /// On its way for the first time.
    #[default]
    Loading,
    Running,
    /// It runs, and has failed on rows.
    Failing,
    /// It kept failing, and is tried again after a pause; until then documents that need it wait.
    Suspended,
    /// The newest version of its file is no good: the version before runs.
    Outdated,
    /// Its file is bad, and nothing runs.
    Broken,
}

impl NodeInfo {
    /// Whom it matters to, as the end of a message: `; the query "followeds" needs it`.
    pub(super) fn needed(&self) -> String {
        let names: Vec<_> = self.queries.iter().map(|name| format!("\"{name}\"")).collect();
        match &names[..] {
            [] => String::new(),
            [name] => format!("; the query {name} needs it"),
            _ => format!("; the queries {} need it", names.join(", ")),
        }
    }
}

impl NodeState {
    /// As operators read it.
    pub fn name(self) -> &'static str {
        match self {
            NodeState::Loading => "loading",
            NodeState::Running => "running",
            NodeState::Failing => "failing",
            NodeState::Suspended => "suspended",
            NodeState::Outdated => "outdated",
            NodeState::Broken => "broken",
        }
    }
}

/// The engine as sessions and routes see it: implemented by the driver, and by fakes in tests.
pub trait Documents: Send + Sync + 'static {
    /// Asks for a document and for all that becomes of it.
    ///
    /// Errors are what a client can be told: an unknown route, a wrong parameter, a database out of reach.
    fn subscribe(&self, ask: Ask) -> BoxFuture<'_, Result<Box<dyn Subscription>, Problem>>;

    /// Waits until `after` is included: a subscription made afterwards begins with a document that includes it, too.
    /// [`Code::AfterTimeout`] after 10 s.
    fn after(&self, after: After) -> BoxFuture<'_, Result<(), Problem>>;

    /// Whether the server can serve, and what it lacks.
    fn health(&self) -> Health;

    /// Up to where commits are included.
    fn position(&self) -> Lsn;

    /// The nodes of the configuration, in its order.
    fn nodes(&self) -> Vec<NodeInfo>;

    /// What was done so far.
    fn counts(&self) -> Counts;

    /// Loads the node's file anew as if it had changed, and says how the node is then. [`Code::UnknownRoute`] if no node has
    /// that name.
    fn reload<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<NodeInfo, Problem>>;
}

/// One document as one client follows it. Dropping it ends it.
pub trait Subscription: Send {
    /// The next thing this client has to be told.
    ///
    /// The first is always an update: the whole document (`from: None`), or what changed since [`Ask::resume`]
    /// (`from: Some`, maybe an empty patch). If the document is not live, a status is ready right behind it. Updates coalesce
    /// for a reader that is slow: each goes from what was yielded last to the newest. An error ends the subscription.
    ///
    /// Cancel safe: a future that is dropped before it is ready has taken nothing.
    fn next(&mut self) -> BoxFuture<'_, Result<Event, Problem>>;
}
