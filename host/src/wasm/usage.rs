//! What a program's batches took, counted as they end, for whoever wants to show it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Counts of one program, from its start. Counters of their own: read together they may be of slightly different moments.
#[derive(Debug, Default)]
pub(super) struct Usage {
    calls: AtomicU64,
    computed_ns: AtomicU64,
    memory: AtomicUsize,
}

/// What [`Usage`] has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Batches that were asked.
    pub calls: u64,
    /// What guests computed for them.
    pub computed: Duration,
    /// The most bytes of memory an instance had.
    pub memory: usize,
}

impl Usage {
    /// Counts a call, whatever came of it.
    pub fn count(&self, computed: Duration, memory: usize) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.computed_ns.fetch_add(computed.as_nanos() as u64, Ordering::Relaxed);
        self.memory.fetch_max(memory, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn so_far(&self) -> Used {
        Used {
            calls: self.calls.load(Ordering::Relaxed),
            computed: Duration::from_nanos(self.computed_ns.load(Ordering::Relaxed)),
            memory: self.memory.load(Ordering::Relaxed),
        }
    }
}
