//! The stream: from a session with Postgres to events, again and again.
//!
//! # One task, one order
//!
//! Everything that has an order goes through this task: rows, positions, and the news that a table is no longer what it
//! was. A change of a table found by the poll is told between two messages of the stream, so the engine can drop what it
//! read before and knows that what comes after is read by the new binding.
//!
//! # What the stream itself does not tell
//!
//! DDL sends nothing until the next write, and attaching, detaching or dropping a partition nothing at all. So the
//! fingerprint is polled. And a Relation message that is new or comes a second time (Postgres repeats it after any
//! change) makes the stream wait until the catalogue has been looked at: it may be a partition attached a moment ago, and
//! its first row must not be skipped.
//!
//! # Silence
//!
//! The walsender speaks at least every three seconds, unless it works through a large transaction of somebody else. So
//! silence alone says nothing; after some of it the server is asked, over another connection, whether our walsender still
//! holds the slot. It would have given up on us by then if it had not heard from us either.
//!
//! # A server that wants to stop
//!
//! It keeps walsenders until their clients have acknowledged everything, and the engine acknowledges when it gets to it. So
//! when SQL is refused because the server is stopping, the stream lets go.
//!
//! # Empty transactions
//!
//! Begin is held back until there is a row of a table in the plan. A transaction without one is only a position.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use pgwire_replication::{Lsn as WireLsn, ReplicationClient, ReplicationEvent};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::address::Address;
use super::binding::{Binding, Fingerprints, Misfit, fingerprints};
use super::connection::{NOTICE, connect_replication};
use super::error::{DefiniteError, SourceError};
use super::event::{SourceEvent, SourceSender, Started};
use super::pgoutput::{self, Message, Relation};
use super::rows::{BoundRelation, RowError};
use super::session::{Pool, flag, parse};
use super::slot;
use super::upquery::Place;
use super::{CHUNK_ROWS, SourceConfig, publication};
use crate::data::{Change, Lsn, Table, TableId, Xid};

/// Bytes of rows after which a chunk is sent, though it has fewer than [`CHUNK_ROWS`].
const CHUNK_BYTES: usize = 1 << 20;

/// What a row takes beside its text, about.
const ROW_BYTES: usize = 200;

/// How often the catalogue's fingerprint and the slot are looked at.
const POLL: Duration = Duration::from_secs(2);

/// Silence after which the server is asked whether it still streams to us; with the question's own time within [`NOTICE`].
const SILENCE: Duration = Duration::from_secs(7);

/// How many times in a row a full server (no slot, no walsender left) is asked again: our own last session may hold one.
const FULL_TRIES: u32 = 8;

/// What the stream and those who ask beside it share.
#[derive(Default)]
pub(super) struct Shared {
    /// What answers have to fit; `None` while there is no stream.
    pub place: Mutex<Option<Arc<Place>>>,
    /// Somebody saw a fingerprint that differs.
    pub look: Notify,
    /// The slot that was made last.
    pub slot: Mutex<Option<String>>,
}

impl Shared {
    fn set(&self, place: Option<Place>) {
        *self.place.lock().expect("no panic while it is held") = place.map(Arc::new);
    }
}

/// The task that streams.
pub(super) struct Stream {
    pub config: Arc<SourceConfig>,
    pub address: Address,
    pub control: Arc<Pool>,
    pub shared: Arc<Shared>,
    pub events: SourceSender,
    pub applied: watch::Receiver<Lsn>,
    pub tables: watch::Receiver<Arc<Vec<Table>>>,
}

/// Waits between attempts: doubling, from a tenth of a second to five.
struct Backoff(u32);

impl Backoff {
    async fn wait(&mut self) {
        let delay = Duration::from_millis(100 << self.0.min(6)).min(Duration::from_secs(5));
        self.0 += 1;
        tokio::time::sleep(delay).await;
    }
}

impl Stream {
    /// Streams until something definite happens. To stop it, drop the future: its connections close with it.
    pub async fn run(mut self) {
        let mut backoff = Backoff(0);
        let mut full = 0;
        loop {
            let ended = self.attempt(&mut backoff).await;
            self.shared.set(None);
            let error = match ended {
                Ok(()) => continue,
                Err(error) => error,
            };
            full = if matches!(error, SourceError::Definite(DefiniteError::NoSlotLeft | DefiniteError::NoSenderLeft)) {
                full + 1
            } else {
                0
            };
            match error {
                SourceError::Definite(error) if full == 0 || full > FULL_TRIES => {
                    tracing::debug!(%error, "the source failed");
                    self.events.send(SourceEvent::Failed(error), 0).await;
                    return;
                }
                error => {
                    tracing::debug!(%error, "the attempt ended");
                    if !self.events.send(SourceEvent::Lost { reason: error.to_string() }, 0).await {
                        return;
                    }
                }
            }
            backoff.wait().await;
        }
    }

    /// Sets up a stream and follows it. `Ok`: begin anew at once, with other tables.
    async fn attempt(&mut self, backoff: &mut Backoff) -> Result<(), SourceError> {
        let tables = self.tables.borrow_and_update().clone();
        let publication = self.config.publication.clone();
        let binding = match Binding::load(&self.control, &tables, &publication).await? {
            Ok(binding) => Arc::new(binding),
            Err(misfits) => return self.wait_for_tables(misfits).await,
        };
        publication::ensure(&self.control, &publication, &tables).await?;
        let name = slot::unique_name();
        *self.shared.slot.lock().expect("no panic while it is held") = Some(name.clone());
        let client = connect_replication(&self.address, &name, &publication).await?;
        let mut client = Guard(client);
        let version = binding.server_version;
        let slot = slot::create(&mut client.0, &self.control, &name, version, &self.events).await?;
        let wire = |error| SourceError::from_replication(&error);
        client.0.start().await.map_err(wire)?;
        let started = timeout(NOTICE, client.0.wait_started()).await;
        started.map_err(|_| SourceError::transient("the stream does not start"))?.map_err(wire)?;

        let history = slot.history;
        let place = Place { binding: binding.clone(), system: history.system.clone(), timeline: history.timeline };
        self.shared.set(Some(place.clone()));
        let (snapshot, position) = (slot.snapshot, slot.position);
        tracing::info!(slot = name, %position, "streaming");
        let started = Started { tables, history, snapshot, position };
        self.events.send(SourceEvent::Started(started), 0).await;
        backoff.0 = 0;
        let follow = Following {
            stream: self,
            client,
            slot: name,
            place,
            relations: HashMap::new(),
            misfits: HashSet::new(),
            transaction: None,
            last: position,
        };
        // What is wrong for good shows when the next attempt sets up.
        follow.run().await.map_err(|error| SourceError::transient(error.to_string()))
    }

    async fn wait_for_tables(&mut self, misfits: Vec<Misfit>) -> Result<(), SourceError> {
        for Misfit { table, error } in misfits {
            let reason = error.to_string();
            self.events.send(SourceEvent::TableChanged { table, reason, replan: true }, 0).await;
        }
        // Or it comes back by itself: a table that is dropped and created again.
        let _ = timeout(Duration::from_secs(5), self.tables.changed()).await;
        Ok(())
    }
}

/// Ends the session when dropped, at once: the server then drops the slot, as soon as it notices.
struct Guard(ReplicationClient);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A transaction being received.
struct Transaction {
    xid: Xid,
    /// When it committed, by Postgres's clock: microseconds since 2000-01-01 UTC.
    committed_us: i64,
    /// Whether its Begin was told.
    begun: bool,
    changes: Vec<Change>,
    bytes: usize,
}

/// The state of one stream.
struct Following<'a> {
    stream: &'a mut Stream,
    client: Guard,
    slot: String,
    place: Place,
    /// Relations announced so far, with what they are to the plan: several tables, if a partition is also queried by
    /// itself; none, if it is somebody else's.
    relations: HashMap<u32, Vec<BoundRelation>>,
    /// Tables that were told to be no longer as planned.
    misfits: HashSet<TableId>,
    transaction: Option<Transaction>,
    last: Lsn,
}

/// What a look at the database from beside the stream finds.
struct Look {
    fingerprints: HashMap<u32, Fingerprints>,
    /// Whether the slot is held by a session, and how many bytes of log it holds back; `None`: it is gone.
    slot: Option<(bool, i64)>,
}

impl Following<'_> {
    async fn run(mut self) -> Result<(), SourceError> {
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look: Option<BoxFuture<'static, Result<Look, SourceError>>> = None;
        let mut heard = Instant::now();
        let shared = self.stream.shared.clone();
        loop {
            tokio::select! {
                event = self.client.0.recv() => {
                    let event = event.map_err(|error| SourceError::from_replication(&error))?;
                    let event = event.ok_or_else(|| SourceError::transient("the server ended the stream"))?;
                    self.event(event).await?;
                    heard = Instant::now();
                }
                applied = self.stream.applied.changed() => {
                    if applied.is_err() {
                        return Err(SourceError::transient("nobody listens any more"));
                    }
                    self.acknowledge();
                }
                changed = self.stream.tables.changed() => {
                    return changed.map_err(|_| SourceError::transient("nobody listens any more"));
                }
                _ = poll.tick(), if look.is_none() => look = Some(self.look()),
                () = shared.look.notified(), if look.is_none() => look = Some(self.look()),
                found = async { look.as_mut().expect("guarded").await }, if look.is_some() => {
                    look = None;
                    match found {
                        Ok(found) => self.compare(found).await?,
                        // A server that stops waits until we have acknowledged all it sent, which may never be.
                        Err(error @ SourceError::Leaving(_)) => return Err(error),
                        Err(error) => tracing::debug!(%error, "could not look at the catalogue"),
                    }
                }
                () = sleep_until(heard + SILENCE) => {
                    self.probe().await?;
                    heard = Instant::now();
                }
            }
        }
    }

    fn acknowledge(&mut self) {
        let applied = *self.stream.applied.borrow_and_update();
        self.client.0.update_applied_lsn(WireLsn::from_u64(applied.0));
    }

    /// Sends an event; acknowledgements go on while it waits for room.
    async fn tell(&mut self, event: SourceEvent, bytes: usize) -> Result<(), SourceError> {
        let events = self.stream.events.clone();
        let mut sending = std::pin::pin!(events.send(event, bytes));
        loop {
            tokio::select! {
                sent = &mut sending => {
                    return if sent { Ok(()) } else { Err(SourceError::transient("nobody listens any more")) };
                }
                Ok(()) = self.stream.applied.changed() => self.acknowledge(),
            }
        }
    }

    async fn event(&mut self, event: ReplicationEvent) -> Result<(), SourceError> {
        match event {
            ReplicationEvent::Begin { xid, commit_time_micros: committed_us, .. } => {
                let (xid, changes) = (Xid(xid), Vec::new());
                self.transaction = Some(Transaction { xid, committed_us, begun: false, changes, bytes: 0 });
            }
            ReplicationEvent::XLogData { data, .. } => self.message(data).await?,
            ReplicationEvent::Commit { end_lsn, .. } => self.commit(Lsn(end_lsn.as_u64())).await?,
            ReplicationEvent::KeepAlive { wal_end, .. } if self.transaction.is_none() => {
                self.position(Lsn(wal_end.as_u64())).await?;
            }
            // A keepalive inside a transaction; a logical message, whose commit moves the position.
            _ => {}
        }
        Ok(())
    }

    async fn position(&mut self, position: Lsn) -> Result<(), SourceError> {
        if position > self.last {
            self.last = position;
            self.tell(SourceEvent::Position(position), 0).await?;
        }
        Ok(())
    }

    async fn commit(&mut self, end: Lsn) -> Result<(), SourceError> {
        self.flush().await?;
        match self.transaction.take() {
            Some(Transaction { begun: true, committed_us, .. }) => {
                self.last = end;
                tracing::trace!(target: "sangre::stages", lsn = %end, committed_us, "received");
                self.tell(SourceEvent::Commit { end }, 0).await
            }
            _ => self.position(end).await,
        }
    }

    /// Sends the changes gathered so far.
    async fn flush(&mut self) -> Result<(), SourceError> {
        let Some(transaction) = &mut self.transaction else { return Ok(()) };
        if transaction.changes.is_empty() {
            return Ok(());
        }
        let xid = transaction.xid;
        let begin = !std::mem::replace(&mut transaction.begun, true);
        let (changes, bytes) = (std::mem::take(&mut transaction.changes), std::mem::take(&mut transaction.bytes));
        if begin {
            self.tell(SourceEvent::Begin { xid }, 0).await?;
        }
        self.tell(SourceEvent::Changes(changes), bytes).await
    }

    async fn message(&mut self, data: Bytes) -> Result<(), SourceError> {
        let broken = |error: pgoutput::PgoutputError| SourceError::transient(error.to_string());
        let size = data.len();
        match pgoutput::parse(&data).map_err(broken)? {
            Message::Relation(relation) => self.relation(&relation).await,
            Message::Insert { relation, new } => self.rows(relation, size, |bound| bound.insert(&new)).await,
            Message::Update { relation, old, new } => {
                self.rows(relation, size, |bound| bound.update(old.as_ref(), &new)).await
            }
            Message::Delete { relation, old } => self.rows(relation, size, |bound| bound.delete(&old)).await,
            Message::Truncate { relations, .. } => {
                for relation in relations {
                    self.rows(relation, 0, |bound| Ok(bound.truncate())).await?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Adds what a message means to each table that stores its rows there.
    async fn rows(
        &mut self,
        relation: u32,
        size: usize,
        change: impl Fn(&BoundRelation) -> Result<Change, RowError>,
    ) -> Result<(), SourceError> {
        let unannounced = || SourceError::transient("the stream tells of a relation it did not announce");
        let transaction = self.transaction.as_mut().ok_or_else(unannounced)?;
        let mut faults = Vec::new();
        for bound in self.relations.get(&relation).ok_or_else(unannounced)? {
            match change(bound) {
                Ok(change) => {
                    transaction.changes.push(change);
                    transaction.bytes += size + ROW_BYTES;
                }
                Err(error) => faults.push((bound.table, error.to_string())),
            }
        }
        if transaction.changes.len() >= CHUNK_ROWS || transaction.bytes >= CHUNK_BYTES {
            self.flush().await?;
        }
        for (table, reason) in faults {
            self.drop_table(table, reason).await?;
        }
        Ok(())
    }

    /// Tells that a table cannot be followed as planned, and stops following it.
    async fn drop_table(&mut self, table: TableId, reason: String) -> Result<(), SourceError> {
        for bound in self.relations.values_mut() {
            bound.retain(|bound| bound.table != table);
        }
        if !self.misfits.insert(table) {
            return Ok(());
        }
        self.flush().await?;
        self.tell(SourceEvent::TableChanged { table, reason, replan: true }, 0).await
    }

    /// A relation is announced, for the first time or anew.
    async fn relation(&mut self, relation: &Relation<'_>) -> Result<(), SourceError> {
        let again = self.relations.contains_key(&relation.oid);
        if again || self.place.binding.tables_of(relation.oid).next().is_none() {
            let late = |_| SourceError::transient("the catalogue is not to be read");
            let look = timeout(NOTICE, self.look()).await.map_err(late)??;
            self.compare(look).await?;
        }
        let (mut bound, mut faults) = (Vec::new(), Vec::new());
        for table in self.place.binding.tables_of(relation.oid) {
            match BoundRelation::new(relation, &self.place.binding.tables, table) {
                _ if self.misfits.contains(&table) => {}
                Ok(relation) => bound.push(relation),
                Err(reason) => faults.push((table, reason)),
            }
        }
        self.relations.insert(relation.oid, bound);
        for (table, reason) in faults {
            self.drop_table(table, reason).await?;
        }
        Ok(())
    }

    /// Looks at fingerprints and slot.
    fn look(&self) -> BoxFuture<'static, Result<Look, SourceError>> {
        let (pool, oids) = (self.stream.control.clone(), self.place.binding.oids());
        let (version, slot) = (self.place.binding.server_version, self.slot.clone());
        let publication = self.stream.config.publication.clone();
        Box::pin(async move {
            let fingerprints = fingerprints(&pool, &oids, version, &publication).await?;
            let sql = format!(
                "SELECT active, coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn), 0)::int8 \
                 FROM pg_replication_slots WHERE slot_name = '{slot}'"
            );
            let sets = pool.read(&sql).await?;
            let slot = match sets.first().and_then(|rows| rows.first()) {
                Some(row) => Some((flag(row, 0)?, parse(row, 1)?)),
                None => None,
            };
            Ok(Look { fingerprints, slot })
        })
    }

    /// After a silence: goes on if the server still streams to us.
    async fn probe(&mut self) -> Result<(), SourceError> {
        match timeout(NOTICE - SILENCE, self.look()).await {
            Ok(Ok(Look { slot: Some((true, _)), .. })) => Ok(()),
            _ => Err(SourceError::transient("the stream has gone silent")),
        }
    }

    /// Acts on what a look found: tells of tables that changed, and of a slot that is lost or lags.
    async fn compare(&mut self, look: Look) -> Result<(), SourceError> {
        match look.slot {
            None => return Err(SourceError::transient("the replication slot is gone")),
            Some((_, lag)) if lag > self.stream.config.max_lag_bytes => {
                return Err(SourceError::transient(format!(
                    "the slot holds back {lag} bytes of log, more than allowed"
                )));
            }
            Some(_) => {}
        }
        let binding = &self.place.binding;
        let differs = |bound: &super::binding::BoundTable| {
            look.fingerprints.get(&bound.catalogue.oid) != Some(&bound.fingerprints)
        };
        let found: Vec<usize> = (0..binding.bound.len()).filter(|&index| differs(&binding.bound[index])).collect();
        if found.iter().all(|&index| self.misfits.contains(&TableId(index as u32))) {
            return Ok(());
        }
        self.rebind().await
    }

    async fn rebind(&mut self) -> Result<(), SourceError> {
        let publication = self.stream.config.publication.clone();
        let tables = self.place.binding.tables.clone();
        let newer = match Binding::load(&self.stream.control, &tables, &publication).await? {
            Ok(newer) => Arc::new(newer),
            Err(misfits) => {
                for Misfit { table, error } in misfits {
                    self.drop_table(table, error.to_string()).await?;
                }
                return Ok(());
            }
        };
        // A table that left the publication and came back may have missed commits: only a new slot is certain.
        let rest = publication::lacking(&self.stream.control, &publication, &tables).await?;
        if rest.is_some() {
            return Err(SourceError::transient(format!("publication \"{publication}\" no longer has all tables")));
        }
        let changed = self.place.binding.changed(&newer);
        self.place.binding = newer.clone();
        self.stream.shared.set(Some(self.place.clone()));
        for (oid, bound) in &mut self.relations {
            bound.retain(|relation| newer.bound[relation.table.0 as usize].leaf(*oid).is_some());
        }
        self.flush().await?;
        for (table, replan) in changed {
            let reason = if replan { "its definition changed" } else { "its partitions or the publication changed" };
            self.tell(SourceEvent::TableChanged { table, reason: reason.into(), replan }, 0).await?;
        }
        Ok(())
    }
}
