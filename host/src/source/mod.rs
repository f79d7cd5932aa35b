//! Postgres in, commits out.
//!
//! A source yields commits in order and a position, and answers questions about the present. [`Source`] is what the driver
//! knows of it; [`PostgresSource`] is the one there is, by logical replication. Nothing outside knows of slots,
//! publications or connections, so commits may one day come from a log that many hosts read.
//!
//! ```text
//!   Postgres ──pgoutput──> stream ──> rows ──────────> SourceEvents ──> driver
//!            <──────────── acknowledge <───────────────────────────────┤
//!            <──SQL─────── upquery (own connections) <──────── ask ────┘
//! ```
//!
//! How the two meet is explained where it is done: where a stream begins in `slot`, what an answer carries in `upquery`.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::data::{Answer, Catalogue, Lsn, Table, Upquery, UpqueryError};

mod address;
mod binding;
mod catalogue;
mod connection;
pub mod decode;
mod error;
mod event;
mod owed;
pub mod pgoutput;
mod publication;
mod question;
mod rows;
mod session;
mod slot;
mod sql;
mod stream;
mod tls;
mod types;
mod upquery;

use address::Address;
use session::Pool;
use stream::{Shared, Stream};

pub use error::{DefiniteError, SourceError};
pub use event::{History, SourceEvent, SourceEvents, SourceSender, Started, channel};
pub use owed::Owed;
pub use question::XidStatus;
pub use tls::install_provider;

/// The most rows in one [`SourceEvent::Changes`].
pub const CHUNK_ROWS: usize = 1000;

/// How many events, and how many bytes of rows, wait for the driver at most.
const QUEUE_EVENTS: usize = 1024;
const QUEUE_BYTES: usize = 64 << 20;

/// What the driver asks of a source. Its events come through [`SourceEvents`].
pub trait Source: Send + Sync + 'static {
    /// Everything up to this position is applied and will not be needed again. Called some times a second, idle too.
    fn acknowledge(&self, position: Lsn);

    /// Asks for rows, under one snapshot.
    fn ask(&self, upquery: Upquery) -> BoxFuture<'static, Result<Answer, UpqueryError>>;

    /// The snapshot that an upquery asked to keep ([`Upquery::under`]) is not needed any more.
    fn release_snapshot(&self);

    /// Makes the stream pass every position given in an answer so far soon, however quiet the database is.
    fn provoke(&self) -> BoxFuture<'static, Result<(), SourceError>>;

    /// Begins a new stream with these tables; [`SourceEvent::Started`] says when.
    fn replace_tables(&self, tables: Arc<Vec<Table>>);

    /// What the database's tables are now.
    fn catalogue(&self) -> BoxFuture<'static, Result<Catalogue, SourceError>>;

    /// What became of a transaction, by the 64-bit id that `pg_current_xact_id()` gave.
    fn xid_status(&self, xid: u64) -> BoxFuture<'static, Result<XidStatus, SourceError>>;

    /// How Postgres reads `text` as a value of the type (its name as [`ColumnType::sql`](crate::data::ColumnType) has it),
    /// given back as text. The inner error is Postgres's own message: the text is not of the type.
    fn canonical(&self, ty: Arc<str>, text: String) -> BoxFuture<'static, Result<Result<String, String>, SourceError>>;
}

/// Where the database is and how it is used.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceConfig {
    /// A connection string: URL or keywords. It may lead to a pooler.
    pub url: String,
    /// The same for the stream, which needs the database itself; `None`: `url`.
    pub replication_url: Option<String>,
    /// The publication's name.
    pub publication: String,
    /// How many connections upqueries may use.
    pub connections: usize,
    /// How much log the slot may hold back before the stream is begun anew.
    pub max_lag_bytes: i64,
}

impl SourceConfig {
    /// The defaults: publication `sangre`, 8 connections, 1 GiB of log.
    pub fn new(url: impl Into<String>) -> Self {
        SourceConfig {
            url: url.into(),
            replication_url: None,
            publication: "sangre".into(),
            connections: 8,
            max_lag_bytes: 1 << 30,
        }
    }

    fn address(&self) -> Result<Address, SourceError> {
        Address::parse(&self.url)
    }

    fn replication_address(&self) -> Result<Address, SourceError> {
        Address::parse(self.replication_url.as_deref().unwrap_or(&self.url))
    }
}

/// A source that reads Postgres's logical replication stream. Dropped or stopped, it closes its connections, and its slot
/// is gone.
pub struct PostgresSource {
    upqueries: Arc<Pool>,
    /// For everything but upqueries and what clients ask, so that it never waits for them.
    control: Arc<Pool>,
    /// For what clients ask.
    questions: Arc<Pool>,
    /// The snapshot that is kept; one upquery under it at a time.
    kept: Arc<tokio::sync::Mutex<Option<upquery::Kept>>>,
    shared: Arc<Shared>,
    applied: watch::Sender<Lsn>,
    tables: watch::Sender<Arc<Vec<Table>>>,
    stop: CancellationToken,
}

impl PostgresSource {
    /// Looks whether the database can be followed at all, and reads its catalogue. Starts nothing.
    pub async fn check(config: &SourceConfig) -> Result<Catalogue, SourceError> {
        let pool = Pool::new(Arc::new(config.address()?), 1);
        let catalogue = catalogue::load(&pool).await?;
        question::wal_level(&pool).await?;
        connection::connect_replication(&config.replication_address()?, "sangre_check", &config.publication)
            .await?
            .abort();
        Ok(catalogue)
    }

    /// What has to be run before these tables can be served; what `sangre check` tells and `--sql` prints.
    pub async fn owed(config: &SourceConfig, tables: &[Table]) -> Result<Owed, SourceError> {
        owed::owed(&Pool::new(Arc::new(config.address()?), 1), &config.publication, tables).await
    }

    /// Makes the publication contain these tables, or says what somebody else has to run.
    pub async fn publish(config: &SourceConfig, tables: &[Table]) -> Result<(), SourceError> {
        publication::ensure(&Pool::new(Arc::new(config.address()?), 1), &config.publication, tables).await
    }

    /// How Postgres reads texts of types (names as [`Source::canonical`] takes them): for each its text, or why not.
    pub async fn read_texts(
        config: &SourceConfig,
        texts: impl IntoIterator<Item = (&str, &str)>,
    ) -> Result<Vec<Result<String, String>>, SourceError> {
        let pool = Pool::new(Arc::new(config.address()?), 1);
        let mut read = Vec::new();
        for (ty, text) in texts {
            read.push(match question::canonical(&pool, ty, text).await {
                Err(SourceError::Definite(error)) => Err(error.to_string()),
                told => told?,
            });
        }
        Ok(read)
    }

    /// Starts streaming, now and after every failure, until `stop`. Only an unreadable address is an error here.
    pub fn spawn(
        config: SourceConfig,
        tables: Arc<Vec<Table>>,
        stop: CancellationToken,
    ) -> Result<(Self, SourceEvents), SourceError> {
        let address = Arc::new(config.address()?);
        let replication_address = config.replication_address()?;
        let (applied, applied_seen) = watch::channel(Lsn(0));
        let (tables, tables_seen) = watch::channel(tables);
        let (sender, events) = channel(QUEUE_EVENTS, QUEUE_BYTES);
        let source = PostgresSource {
            upqueries: Pool::new(address.clone(), config.connections),
            control: Pool::new(address.clone(), 2),
            questions: Pool::new(address, 2),
            kept: Arc::default(),
            shared: Arc::default(),
            applied,
            tables,
            stop: stop.child_token(),
        };
        let stream = Stream {
            config: Arc::new(config),
            address: replication_address,
            control: source.control.clone(),
            shared: source.shared.clone(),
            events: sender,
            applied: applied_seen,
            tables: tables_seen,
        };
        let (stopped, shared, control) = (source.stop.clone(), source.shared.clone(), source.control.clone());
        // Who hears nothing more may take it that nothing is left in the database.
        let until_left = stream.events.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = stream.run() => {}
            }
            let slot = shared.slot.lock().expect("no panic while it is held").take();
            if let Some(slot) = slot {
                slot::leave(&control, &slot).await;
            }
            drop(until_left);
        });
        Ok((source, events))
    }
}

impl Drop for PostgresSource {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Source for PostgresSource {
    fn acknowledge(&self, position: Lsn) {
        self.applied.send_if_modified(|applied| {
            let more = position > *applied;
            *applied = position.max(*applied);
            more
        });
    }

    fn ask(&self, upquery: Upquery) -> BoxFuture<'static, Result<Answer, UpqueryError>> {
        let (pool, kept, shared) = (self.upqueries.clone(), self.kept.clone(), self.shared.clone());
        Box::pin(async move {
            let place = shared.place.lock().expect("no panic while it is held").clone();
            let Some(place) = place else {
                return Err(UpqueryError::Transient("there is no stream an answer could be joined with".into()));
            };
            let answer = match upquery.under {
                None => upquery::ask(&pool, &place, &upquery).await,
                Some(_) => upquery::ask_kept(&pool, &place, &upquery, &mut *kept.lock().await).await,
            };
            if let Err(UpqueryError::TableChanged { .. }) = answer {
                shared.look.notify_one();
            }
            answer
        })
    }

    fn release_snapshot(&self) {
        let kept = self.kept.clone();
        tokio::spawn(async move {
            if let Some(kept) = kept.lock().await.take() {
                upquery::release(kept).await;
            }
        });
    }

    fn provoke(&self) -> BoxFuture<'static, Result<(), SourceError>> {
        let pool = self.control.clone();
        Box::pin(async move { question::provoke(&pool).await })
    }

    fn replace_tables(&self, tables: Arc<Vec<Table>>) {
        self.tables.send_replace(tables);
    }

    fn catalogue(&self) -> BoxFuture<'static, Result<Catalogue, SourceError>> {
        let pool = self.control.clone();
        Box::pin(async move { catalogue::load(&pool).await })
    }

    fn xid_status(&self, xid: u64) -> BoxFuture<'static, Result<XidStatus, SourceError>> {
        let pool = self.questions.clone();
        Box::pin(async move { question::xid_status(&pool, xid).await })
    }

    fn canonical(&self, ty: Arc<str>, text: String) -> BoxFuture<'static, Result<Result<String, String>, SourceError>> {
        let pool = self.questions.clone();
        Box::pin(async move { question::canonical(&pool, &ty, &text).await })
    }
}
