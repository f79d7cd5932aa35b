//! What a guest may use: time, memory, and the size of what it says.

use std::time::{Duration, Instant};

use wasmtime::ResourceLimiter;

use super::error::Fault;

/// The limits of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For one batch, in time the guest itself computes: a machine that is busy with other things fails no node.
    pub deadline: Duration,
    /// Bytes of linear memory of one instance.
    pub memory: usize,
    /// Bytes of its file; of all files of a script together.
    pub size: u64,
    /// Files of a script.
    pub files: usize,
    /// For compiling a component, by the clock on the wall. A compiler cannot be stopped: it is how long a node is waited for.
    pub compile_time: Duration,
    /// Bytes of the answers to one batch.
    pub output: usize,
    /// Levels of nesting of an answer; never more than 100, whatever is said here.
    pub depth: usize,
    /// Bytes of what else a guest says in one call: lines for the log, why rows failed, last words.
    pub messages: usize,
    /// Lines it may write to the log in a second.
    pub log_lines: u32,
    /// Calls after which an instance is replaced: engines of scripting languages leak.
    pub calls: u32,
    /// Bytes an instance's memory may grow by after its first call until the instance is replaced.
    pub growth: usize,
}

impl Limits {
    /// What a node may use if nothing is said.
    pub const DEFAULT: Limits = Limits {
        deadline: Duration::from_millis(100),
        memory: 64 << 20,
        size: 64 << 20,
        files: 1_000,
        compile_time: Duration::from_secs(120),
        output: 8 << 20,
        depth: MAX_DEPTH,
        messages: 4 << 20,
        log_lines: 100,
        calls: 1_000,
        growth: 16 << 20,
    };

    /// Levels of nesting that an answer may have.
    pub(super) fn levels(&self) -> usize {
        self.depth.min(MAX_DEPTH)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits::DEFAULT
    }
}

/// How many times its deadline a batch may take by the clock on the wall, however little of it the guest computed.
const WALL_FACTOR: u32 = 10;

/// Levels of nesting that an answer may have at most: reading, comparing and dropping values recurse, in clients too.
const MAX_DEPTH: usize = 100;

/// Counts the memory of one instance.
#[derive(Debug)]
pub(super) struct MemoryLimit {
    limit: usize,
    used: usize,
    /// A guest that asked for more than it may have usually traps soon after; then this is the reason.
    refused: Option<Fault>,
}

impl MemoryLimit {
    pub fn new(limit: usize) -> Self {
        MemoryLimit { limit, used: 0, refused: None }
    }

    /// Bytes of linear memory at present.
    pub fn used(&self) -> usize {
        self.used
    }

    /// The fault to report if the guest was refused memory since this was last asked.
    pub fn take_refusal(&mut self) -> Option<Fault> {
        self.refused.take()
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_sub(current).saturating_add(desired);
        let allowed = used <= self.limit && maximum.is_none_or(|maximum| desired <= maximum);
        if allowed {
            self.used = used;
        } else {
            self.refused = Some(Fault::Memory { limit: self.limit });
        }
        Ok(allowed)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = desired <= MAX_TABLE_ELEMENTS;
        if !allowed {
            self.refused = Some(Fault::Table { limit: MAX_TABLE_ELEMENTS });
        }
        Ok(allowed)
    }
}

/// Of one table; a script runtime has a few thousand.
pub(super) const MAX_TABLE_ELEMENTS: usize = 100_000;

/// Handles (streams, resources of a guest's own) that one instance may hold. They are the host's memory, which no limit of linear
/// memory reaches.
pub(super) const MAX_HANDLES: usize = 10_000;

/// Measures one batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopwatch {
    wall: Instant,
    cpu: Duration,
}

impl Stopwatch {
    /// Starts now. Reads the time of the calling thread, so it must be asked on the same thread.
    pub fn start() -> Self {
        Stopwatch { wall: Instant::now(), cpu: thread_time() }
    }

    /// What the thread has computed since the start.
    pub fn computed(&self) -> Duration {
        thread_time().saturating_sub(self.cpu)
    }

    /// What it has taken since the start as far as that counts: a deadline is over after as much of this.
    pub fn spent(&self) -> Duration {
        self.computed().max(self.wall.elapsed() / WALL_FACTOR)
    }

    /// How much computing is left of `deadline`; `None` if nothing, or if it took far too long anyhow.
    pub fn left(&self, deadline: Duration) -> Option<Duration> {
        let is_over = self.spent() >= deadline;
        (!is_over).then(|| deadline.saturating_sub(self.computed()))
    }
}

/// The processor time of the calling thread.
#[cfg(unix)]
fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live local of the right type.
    if unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) } != 0 {
        return Duration::ZERO;
    }
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The time since some fixed moment: without a clock of threads, time on the wall has to do.
#[cfg(not(unix))]
fn thread_time() -> Duration {
    static ORIGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    ORIGIN.get_or_init(Instant::now).elapsed()
}
