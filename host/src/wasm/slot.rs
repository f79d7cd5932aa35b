//! One node of the host: what its keeper loads, what is asked of it, and the pool its instances come from.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use super::cache::CodeCache;
use super::engine::Engine;
use super::error::NodeError;
use super::host::{HostSettings, NodeSpec};
use super::probe::Recent;
use super::program::{NodeKind, Program};
use super::runtime::Runtimes;
use super::work::Waker;
use crate::dataflow::guest::{GuestCall, NodeVersion};

/// Versions of a node that can be asked, the newest included. Older ones nobody should still ask.
const MAX_VERSIONS: usize = 8;

/// Bytes of memory the pool has for every instance; its node may be allowed less.
const LEAST_POOLED: usize = 64 << 20;

/// Nodes a pool has room for at least: those that a configuration may yet get.
const LEAST_ROOM: usize = 4;

/// What the host and the keeper of a node share.
pub(super) struct Slot {
    /// The newest last.
    versions: Mutex<Vec<Arc<Program>>>,
    /// What it was asked last.
    pub recent: Recent,
    /// How often somebody has asked for a look at the file.
    looks: AtomicU64,
    /// What queries use it as, where that is known.
    expected: Mutex<Option<NodeKind>>,
    seat: Seat,
    /// Makes the keeper look.
    changed: SyncSender<()>,
    /// For what waits of a version that is superseded.
    waker: Waker<Arc<GuestCall>>,
    /// The node has left the configuration.
    gone: AtomicBool,
}

impl Slot {
    /// Of a node that is used as `expected`, whose keeper looks when it is told through `changed`.
    pub fn new(
        expected: Option<NodeKind>,
        seat: Seat,
        changed: SyncSender<()>,
        waker: Waker<Arc<GuestCall>>,
    ) -> Arc<Self> {
        Arc::new(Slot {
            versions: Mutex::default(),
            recent: Recent::default(),
            looks: AtomicU64::new(0),
            expected: Mutex::new(expected),
            seat,
            changed,
            waker,
            gone: AtomicBool::new(false),
        })
    }

    /// What its instances run on.
    pub fn pool(&self) -> &Pool {
        &self.seat.0
    }

    /// The program of this version, if it is still there.
    pub fn get(&self, version: NodeVersion) -> Option<Arc<Program>> {
        self.versions().iter().find(|have| have.version() == version).cloned()
    }

    /// Makes `program` the newest. One of the same version, as after an edit was undone, is replaced.
    pub fn put(&self, program: Arc<Program>) {
        let mut versions = self.versions();
        versions.retain(|have| have.version() != program.version());
        versions.iter().for_each(|have| have.supersede());
        versions.push(program);
        if versions.len() > MAX_VERSIONS {
            versions.remove(0);
        }
        drop(versions);
        // One that failed need not rest any more.
        self.waker.wake();
    }

    /// Makes this version the newest, if it is still there.
    pub fn restore(&self, version: NodeVersion) -> bool {
        let Some(program) = self.get(version) else { return false };
        program.reinstate();
        self.put(program);
        true
    }

    /// Makes this version the last to go but for the newest.
    pub fn spare(&self, version: NodeVersion) {
        let mut versions = self.versions();
        let newest = versions.len().saturating_sub(1);
        if let Some(at) = versions.iter().position(|have| have.version() == version).filter(|at| *at < newest) {
            versions[at..newest].rotate_left(1);
        }
    }

    fn versions(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Program>>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What queries use it as.
    pub fn expected(&self) -> Option<NodeKind> {
        *self.lock_expected()
    }

    /// Queries use it as this from now on.
    pub fn expect(&self, kind: Option<NodeKind>) {
        *self.lock_expected() = kind;
    }

    fn lock_expected(&self) -> std::sync::MutexGuard<'_, Option<NodeKind>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a look at the file. The number of those that were asked for, with this one.
    pub fn look(&self) -> u64 {
        let look = 1 + self.looks.fetch_add(1, Ordering::Relaxed);
        self.wake();
        look
    }

    /// How many looks were asked for.
    pub fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }

    /// Nobody asks it any more: its keeper ends, and what runs of it is finished.
    pub fn leave(&self) {
        self.gone.store(true, Ordering::Relaxed);
        self.versions().iter().for_each(|have| have.supersede());
        self.waker.wake();
        self.wake();
    }

    /// Whether the node has left the configuration.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    fn wake(&self) {
        // Full: the keeper is about to look anyway.
        let _ = self.changed.try_send(());
    }
}

/// What instances of some nodes are made in and run on. It is made for a number of nodes and the most memory that one of them may have; a
/// node that does not fit gets another.
pub(super) struct Pool {
    pub engine: Engine,
    pub runtimes: Runtimes,
    /// Bytes of an instance, at most.
    memory: usize,
    /// Nodes that may yet join.
    room: AtomicUsize,
}

/// A node's place in a pool, until it is dropped.
pub(super) struct Seat(Arc<Pool>);

impl Pool {
    /// A pool with room for these nodes and a few that may yet come.
    pub fn start(settings: &HostSettings, nodes: &[NodeSpec]) -> Result<Arc<Self>, NodeError> {
        // With less than some component begins with, the pool would refuse it in words that name no setting.
        let memory = nodes.iter().map(|node| node.limits.memory).fold(LEAST_POOLED, usize::max);
        let room = nodes.len().max(LEAST_ROOM);
        // Each thread's running one and as many warm ones, for two versions of each node while one follows the other; and one
        // that reads its script.
        let instances = room.saturating_mul((settings.parallel + 1) * 4 + 1).clamp(16, 1_000);
        let engine = Engine::start(instances as u32, memory, CodeCache::open(settings.cache.join("code")))?;
        Ok(Arc::new(Pool { engine, runtimes: Runtimes::default(), memory, room: AtomicUsize::new(room) }))
    }

    /// A place for this node, if it fits and there is one.
    pub fn seat(self: &Arc<Self>, node: &NodeSpec) -> Option<Seat> {
        let less = |room: usize| room.checked_sub(1).filter(|_| node.limits.memory <= self.memory);
        self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok().then(|| Seat(self.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.room.fetch_add(1, Ordering::Relaxed);
    }
}
