//! What a source tells, and the channel it tells it through.
//!
//! The channel is bounded twice: by the number of events, and by the bytes of the rows in them, for a thousand rows may be
//! a kilobyte or a gigabyte. When the engine falls behind, the source stops reading, and Postgres keeps the log.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::error::DefiniteError;
use crate::data::{Change, Lsn, Snapshot, Table, TableId, Xid};

/// Something the source has to tell. After `Started`, in the order of commits: `Begin`, any number of `Changes`, `Commit`;
/// everything else only between two transactions, except `TableChanged`, `Lost` and `Failed`.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceEvent {
    /// Not streaming yet, and why it takes so long: a transaction that has to end first.
    Starting { waiting_for: String },
    /// The stream begins, anew each time: nothing that was known before can be continued.
    Started(Started),
    /// A transaction that touched tables of the plan.
    Begin { xid: Xid },
    /// Some of what it did, in order; never empty, at most [`CHUNK_ROWS`](super::CHUNK_ROWS) rows.
    Changes(Vec<Change>),
    /// Its end: all before is now to be shown. A transaction that is not followed by this never happened.
    Commit { end: Lsn },
    /// Every commit that ends at or before this position has been told. Grows strictly.
    Position(Lsn),
    /// What was read of this table before is not to be joined with what comes: ask its keys again.
    TableChanged {
        table: TableId,
        reason: String,
        /// Its columns or identity are not those of the plan, so queries have to be resolved anew against the catalogue
        /// and the source given the new tables; until then its rows may be missing from the stream.
        replan: bool,
    },
    /// The stream broke off, perhaps inside a transaction. The source tries to come back, and then says `Started`.
    Lost { reason: String },
    /// The stream is over: somebody has to do what the error says. Nothing follows.
    Failed(DefiniteError),
}

/// The beginning of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Started {
    /// The tables of which the stream tells; [`TableId`]s are indexes into them.
    pub tables: Arc<Vec<Table>>,
    /// Which history of the database its positions are of.
    pub history: History,
    /// What this sees the stream does not tell; all else it does.
    pub snapshot: Snapshot,
    /// Where the stream begins.
    pub position: Lsn,
}

/// A history of a database: two positions can be compared exactly if their histories are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The database system's identifier.
    pub system: String,
    /// Its timeline.
    pub timeline: u32,
    /// Where the timeline left its parent; 0 for the first, or if that cannot be known.
    pub timeline_start: Lsn,
    /// When the database server was started, in seconds as text. Histories that part without a new timeline, or with equal ones,
    /// part here; the price is that a restart of the server counts as a parting, too.
    pub server_start: String,
}

/// The receiving end.
pub struct SourceEvents(mpsc::Receiver<(SourceEvent, Option<OwnedSemaphorePermit>)>);

/// The sending end; a source of another kind may use it too.
#[derive(Clone)]
pub struct SourceSender {
    events: mpsc::Sender<(SourceEvent, Option<OwnedSemaphorePermit>)>,
    /// One permit is a KiB.
    room: Arc<Semaphore>,
    room_kib: u32,
}

/// A channel for at most `events` events with at most about `bytes` bytes of rows.
pub fn channel(events: usize, bytes: usize) -> (SourceSender, SourceEvents) {
    let room_kib = u32::try_from(bytes / 1024).unwrap_or(u32::MAX).clamp(1, u32::MAX >> 4);
    let (sender, receiver) = mpsc::channel(events.max(1));
    let room = Arc::new(Semaphore::new(room_kib as usize));
    (SourceSender { events: sender, room, room_kib }, SourceEvents(receiver))
}

impl SourceEvents {
    /// The next event; `None` once the source has stopped.
    pub async fn recv(&mut self) -> Option<SourceEvent> {
        self.0.recv().await.map(|(event, _room)| event)
    }

    /// How many events wait.
    #[allow(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The next event, if it is there already.
    pub fn try_recv(&mut self) -> Option<SourceEvent> {
        self.0.try_recv().ok().map(|(event, _room)| event)
    }
}

impl SourceSender {
    /// Waits for room and sends; `bytes` is about what the event's rows take. False if nobody listens any more.
    pub async fn send(&self, event: SourceEvent, bytes: usize) -> bool {
        // A chunk larger than the whole room passes alone.
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).min(self.room_kib);
        let room = if kib == 0 { None } else { self.room.clone().acquire_many_owned(kib).await.ok() };
        self.events.send((event, room)).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_bound_the_channel() {
        let (sender, mut events) = channel(10, 4096);
        assert!(sender.send(SourceEvent::Position(Lsn(1)), 3000).await);
        let blocked = tokio::spawn(async move { sender.send(SourceEvent::Position(Lsn(2)), 1 << 30).await });
        tokio::task::yield_now().await;
        assert!(!blocked.is_finished(), "no room for both");
        assert_eq!(events.recv().await, Some(SourceEvent::Position(Lsn(1))));
        assert!(blocked.await.expect("no panic"));
        assert_eq!(events.recv().await, Some(SourceEvent::Position(Lsn(2))));
        assert_eq!(events.recv().await, None);
    }
}
