//! Which documents have waited for rows so long that these are read under one snapshot ([`Engine::read_whole`]).
//!
//! [`Engine::read_whole`]: crate::dataflow::Engine::read_whole

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::dataflow::{Blocked, DocumentKey};

/// How long a document waits in the usual way: a hundred rounds, if nobody is slow.
const PATIENCE: Duration = Duration::from_millis(250);

/// For how long the engine stands still at most.
const STANDS: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Default)]
pub(super) struct Starving {
    since: HashMap<DocumentKey, Instant>,
    /// When the last reading began.
    read: Option<Instant>,
}

impl Starving {
    /// Why a document has no newer state, as the engine says.
    pub(super) fn blocked(&mut self, document: DocumentKey, reason: Option<Blocked>) {
        match reason {
            Some(Blocked::Missing) => drop(self.since.entry(document).or_insert_with(Instant::now)),
            _ => drop(self.since.remove(&document)),
        }
    }

    pub(super) fn closed(&mut self, document: DocumentKey) {
        self.since.remove(&document);
    }

    /// Whether it is time to read all that is missing.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let long = |since: &Instant| now.duration_since(*since) >= PATIENCE;
        let due = self.read.as_ref().is_none_or(long) && self.since.values().any(long);
        if due {
            self.read = Some(now);
        }
        due
    }

    /// Whether the reading that stands still now has taken too long.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.read.is_none_or(|read| now.duration_since(read) >= PATIENCE + STANDS)
    }
}
