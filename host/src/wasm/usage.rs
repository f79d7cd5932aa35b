//! What a node has cost so far, for whoever operates the server. Counted as it happens, by whoever does it, and read at any time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts of one node, over all its versions since the server started.
#[derive(Debug, Default)]
pub struct Usage {
    batches: AtomicU64,
    computed_ns: AtomicU64,
    memory: AtomicU64,
    instances: AtomicU64,
    starting_ns: AtomicU64,
}

/// See [`Usage`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Calls of a guest, each with some rows.
    pub batches: u64,
    /// What guests computed in them.
    pub computed: Duration,
    /// The most bytes of memory an instance had.
    pub memory: u64,
    /// Instances that were started.
    pub instances: u64,
    /// What it took to start them, sources loaded.
    pub starting: Duration,
}

impl Usage {
    /// Counts a call, whatever came of it.
    pub(super) fn count(&self, computed: Duration, memory: usize) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.computed_ns.fetch_add(computed.as_nanos() as u64, Ordering::Relaxed);
        self.memory.fetch_max(memory as u64, Ordering::Relaxed);
    }

    /// Counts an instance that was started.
    pub(super) fn started(&self, took: Duration) {
        self.instances.fetch_add(1, Ordering::Relaxed);
        self.starting_ns.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
    }

    /// The counts now.
    pub fn now(&self) -> Used {
        Used {
            batches: self.batches.load(Ordering::Relaxed),
            computed: Duration::from_nanos(self.computed_ns.load(Ordering::Relaxed)),
            memory: self.memory.load(Ordering::Relaxed),
            instances: self.instances.load(Ordering::Relaxed),
            starting: Duration::from_nanos(self.starting_ns.load(Ordering::Relaxed)),
        }
    }
}
