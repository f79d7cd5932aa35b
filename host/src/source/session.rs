//! SQL sessions: a small pool of them, and texts run on them by the simple protocol.
//!
//! The simple protocol takes a whole transaction in one round trip, gives every value as the text the stream would show,
//! and needs nothing of a pooler. A session goes back to the pool only after a batch that ended well: whatever else
//! happened to it (an error, a caller that lost interest), it may sit in the middle of a transaction.

use std::sync::{Arc, Mutex};

use futures_util::TryStreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::address::Address;
use super::connection::{PINNED_SQL, connect};
use super::error::SourceError;

/// At most so many SQL sessions with one address.
pub(super) struct Pool {
    address: Arc<Address>,
    idle: Mutex<Vec<Client>>,
    permits: Arc<Semaphore>,
}

/// A session lent by a [`Pool`]. Dropped, it is closed; see [`Session::give_back`].
pub(super) struct Session {
    pub client: Client,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

/// How often a transaction that gave way to others is run.
const TRIES: u32 = 20;

/// The rows of each statement of a batch that has rows.
pub(super) type Sets = Vec<Vec<SimpleQueryRow>>;

impl Pool {
    pub fn new(address: Arc<Address>, sessions: usize) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(sessions.max(1)));
        Arc::new(Pool { address, idle: Mutex::default(), permits })
    }

    /// A session, waited for if all are lent.
    pub async fn lend(self: &Arc<Self>) -> Result<Session, SourceError> {
        let closed = |_| SourceError::transient("the source was stopped");
        let permit = self.permits.clone().acquire_owned().await.map_err(closed)?;
        let client = match self.take_idle() {
            Some(client) => client,
            None => connect(&self.address).await?,
        };
        Ok(Session { client, pool: self.clone(), _permit: permit })
    }

    fn take_idle(&self) -> Option<Client> {
        let mut idle = self.idle.lock().expect("no panic while it is held");
        std::iter::from_fn(|| idle.pop()).find(|client| !client.is_closed())
    }

    /// Runs one transaction, pinned as all are, and gives the rows of its statements. One that Postgres rolled back for the
    /// sake of others (a deadlock, a lock not to be had at once) is run again.
    pub async fn transaction(self: &Arc<Self>, begin: &str, statements: &str) -> Result<Sets, SourceError> {
        let mut tries = 1;
        loop {
            let session = self.lend().await?;
            let error = match query(&session.client, &format!("{begin}; {PINNED_SQL} {statements}; COMMIT")).await {
                Ok(sets) => {
                    session.give_back();
                    return Ok(sets);
                }
                Err(error) => error,
            };
            session.recover().await;
            let gave_way =
                matches!(error.code(), Some(&SqlState::T_R_DEADLOCK_DETECTED | &SqlState::LOCK_NOT_AVAILABLE));
            if !gave_way || tries == TRIES {
                return Err(SourceError::from_sql(&error));
            }
            tries += 1;
        }
    }

    /// As [`Pool::transaction`], read-only. In one snapshot if `repeatable`.
    pub async fn read(self: &Arc<Self>, statements: &str) -> Result<Sets, SourceError> {
        // Functions of the catalogue lock what they describe. Rather give way than have Postgres find a deadlock after a
        // second, and perhaps end the application's transaction for it.
        let patient = format!("SET LOCAL lock_timeout = '300ms'; {statements}");
        self.transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", &patient).await
    }
}

impl Session {
    /// Returns the session to its pool; only outside a transaction.
    pub fn give_back(self) {
        let Session { client, pool, _permit } = self;
        if !client.is_closed() {
            pool.idle.lock().expect("no panic while it is held").push(client);
        }
    }

    /// Ends the transaction that an error left open, and returns the session if that worked.
    pub async fn recover(self) {
        if self.client.batch_execute("ROLLBACK").await.is_ok() {
            self.give_back();
        }
    }
}

/// Runs a batch and gathers its rows. (Of statements with many rows, stream them instead.)
pub(super) async fn query(client: &Client, batch: &str) -> Result<Sets, tokio_postgres::Error> {
    let mut messages = std::pin::pin!(client.simple_query_raw(batch).await?);
    let mut sets = Sets::new();
    while let Some(message) = messages.try_next().await? {
        match message {
            SimpleQueryMessage::RowDescription(_) => sets.push(Vec::new()),
            SimpleQueryMessage::Row(row) => sets.last_mut().expect("a description comes first").push(row),
            _ => {}
        }
    }
    Ok(sets)
}

/// The value of a column, `None` for null.
pub(super) fn nullable(row: &SimpleQueryRow, column: usize) -> Result<Option<&str>, SourceError> {
    row.try_get(column).map_err(|error| SourceError::transient(format!("an answer of the database: {error}")))
}

/// The value of a column that is never null.
pub(super) fn text(row: &SimpleQueryRow, column: usize) -> Result<&str, SourceError> {
    nullable(row, column)?.ok_or_else(|| SourceError::transient("the database answered null where it never does"))
}

/// The value of a column, read as `T`.
pub(super) fn parse<T: std::str::FromStr>(row: &SimpleQueryRow, column: usize) -> Result<T, SourceError> {
    let text = text(row, column)?;
    text.parse()
        .map_err(|_| SourceError::transient(format!("the database answered {text:?}, which makes no sense here")))
}

/// Whether the column is true.
pub(super) fn flag(row: &SimpleQueryRow, column: usize) -> Result<bool, SourceError> {
    Ok(text(row, column)? == "t")
}

/// The only row of the next statement.
pub(super) fn single(sets: &mut impl Iterator<Item = Vec<SimpleQueryRow>>) -> Result<SimpleQueryRow, SourceError> {
    let missing = || SourceError::transient("an answer of the database is incomplete");
    sets.next().ok_or_else(missing)?.into_iter().next().ok_or_else(missing)
}
