//! The node host as the driver sees it: start it with the configured nodes, hear of versions, have calls answered.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::batch::{Numbers, Question, Questions};
use super::cache::CodeCache;
use super::compiler::Compiler;
use super::engine::{Engine, STACK_SIZE};
use super::error::{Failure, NodeError};
use super::files::cache_dir;
use super::keeper::{Keeper, Shared, Versions};
use super::limits::Limits;
use super::log::NodeLog;
use super::probe::Recent;
use super::program::{NodeKind, Program};
use super::runtime::{Language, Runtimes};
use super::sources::Sources;
use super::tools::Stop;
use super::usage::Usage;
use super::watch::Watch;
use super::work::{Job, Workers};
use crate::data::Value;
use crate::dataflow::guest::{GuestCall, GuestError, NodeVersion};
use crate::dataflow::plan::NodeId;

/// Settings of all nodes together.
#[derive(Clone, Debug)]
pub struct HostSettings {
    /// The folder for what can be made again: runtimes, compiled code.
    pub cache: PathBuf,
    /// How many batches of one node run at once.
    pub parallel: usize,
}

impl Default for HostSettings {
    /// The cache of this user, and as many batches as there are processors but for one, which a node leaves to all else.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        HostSettings { cache: cache_dir(), parallel: (processors - 1).max(1) }
    }
}

/// Where a node's code is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeSource {
    /// A source file that a ready runtime is given.
    Script(PathBuf),
    /// A WebAssembly component.
    Component(PathBuf),
}

impl NodeSource {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            NodeSource::Script(path) | NodeSource::Component(path) => path,
        }
    }
}

/// One node of the configuration.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    pub id: NodeId,
    /// For the log.
    pub name: Arc<str>,
    pub source: NodeSource,
    /// What queries use it as: a version of another kind is refused, and a script's default export has this kind.
    pub kind: Option<NodeKind>,
    pub limits: Limits,
    /// How it is given numbers, in rows and in args.
    pub numbers: Numbers,
    /// Whether it may read a clock: that of the tick it is asked in.
    pub has_clock: bool,
    /// Counts what it costs.
    pub usage: Arc<Usage>,
}

impl NodeSpec {
    /// A node with the default limits, and the memory that its script's language needs.
    pub fn new(id: NodeId, name: impl Into<Arc<str>>, source: NodeSource) -> Self {
        let language = match &source {
            NodeSource::Script(path) => Language::of(path),
            NodeSource::Component(_) => None,
        };
        NodeSpec {
            id,
            name: name.into(),
            source,
            kind: None,
            limits: Limits { memory: language.map_or(Limits::DEFAULT.memory, Language::memory), ..Limits::DEFAULT },
            numbers: Numbers::AsNumbers,
            has_clock: false,
            usage: Arc::default(),
        }
    }
}

/// What happened to a node's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeEvent {
    /// This version is the newest: ask it from now on. Comes again, with the same version, when a file that was bad or
    /// gone is as it was.
    Loaded { node: NodeId, version: NodeVersion, kind: NodeKind },
    /// The file is bad or gone. What was loaded before, if anything was, goes on answering.
    Failed {
        node: NodeId,
        /// One line for whoever operates the server; has paths, so it is not for clients.
        reason: String,
    },
    /// The file has been looked at because of [`NodeHost::reload`], and what came of it was told before: this look, and all
    /// that were asked for before it.
    Looked { node: NodeId, look: u64 },
}

/// Runs the nodes. Ends with this value: batches that run are finished first.
pub struct NodeHost {
    /// Dropped first, so that nobody is told of changes any more.
    _watch: Arc<Watch>,
    /// One for each node, to make its keeper look at the file.
    wakers: Vec<SyncSender<()>>,
    shared: Arc<Shared>,
    ids: Vec<NodeId>,
    workers: Workers<Arc<GuestCall>>,
}

/// Calls that may be worth answering in passing.
const CALLS_IN_PASSING: usize = 64;

/// Bytes of memory the pool has for every instance; its node may be allowed less.
const LEAST_POOLED: usize = 64 << 20;

/// Events that may wait to be read.
const EVENTS: usize = 64;

impl NodeHost {
    /// Starts to load and watch `nodes`; each reports at least once, in any order. Returns before anything is loaded.
    pub fn start(settings: HostSettings, nodes: Vec<NodeSpec>) -> Result<(Self, mpsc::Receiver<NodeEvent>), NodeError> {
        let (events, receiver) = mpsc::channel(EVENTS);
        // With less than some component begins with, the pool would refuse it in words that name no setting.
        let memory = nodes.iter().map(|node| node.limits.memory).fold(LEAST_POOLED, usize::max);
        // Each thread's running one and as many warm ones, for two versions of each node while one follows the other; and one
        // that reads its script.
        let instances = nodes.len().saturating_mul((settings.parallel + 1) * 4 + 1).clamp(16, 1_000);
        let workers = Workers::start(nodes.len(), settings.parallel)?;
        let cache = CodeCache::open(settings.cache.join("code"));
        let shared = Arc::new(Shared {
            engine: Engine::start(instances as u32, memory, cache)?,
            runtimes: Runtimes::default(),
            versions: nodes.iter().map(|_| Versions::default()).collect(),
            recent: nodes.iter().map(|_| Recent::default()).collect(),
            looks: nodes.iter().map(|_| AtomicU64::new(0)).collect(),
            expected: nodes.iter().map(|node| Mutex::new(node.kind)).collect(),
            events,
            stopped: AtomicBool::new(false),
            stop: Stop::default(),
            waker: workers.waker(),
            settings,
        });
        let ids = nodes.iter().map(|node| node.id).collect();
        let (watch, wakers) = keep(&shared, nodes)?;
        Ok((NodeHost { _watch: watch, wakers, shared, ids, workers }, receiver))
    }

    /// How many batches of one node run at once.
    pub fn parallel(&self) -> usize {
        self.shared.settings.parallel
    }

    /// Makes an earlier version the newest again. False if it is not there any more.
    pub fn restore(&self, node: NodeId, version: NodeVersion) -> bool {
        let index = self.ids.iter().position(|id| *id == node);
        let is_there = index.is_some_and(|index| self.shared.versions[index].restore(version));
        // The one that failed need not rest any more.
        self.shared.waker.wake();
        is_there
    }

    /// Keeps this version, which may be restored, longer than others that are not the newest.
    pub fn spare(&self, node: NodeId, version: NodeVersion) {
        if let Some(index) = self.ids.iter().position(|id| *id == node) {
            self.shared.versions[index].spare(version);
        }
    }

    /// Queries use this node as something else now (`None`: as nothing), so its file is looked at again.
    pub fn expect(&self, node: NodeId, kind: Option<NodeKind>) {
        if let Some(index) = self.ids.iter().position(|id| *id == node) {
            *self.shared.expected[index].lock().unwrap_or_else(PoisonError::into_inner) = kind;
            self.reload(node);
        }
    }

    /// Looks at a node's file as if it had changed; what comes of it is told as an event, and then
    /// [`NodeEvent::Looked`] with the number given here. `None`: there is no such node.
    pub fn reload(&self, node: NodeId) -> Option<u64> {
        let index = self.ids.iter().position(|id| *id == node)?;
        let look = 1 + self.shared.looks[index].fetch_add(1, Ordering::Relaxed);
        // Full: the keeper is about to look anyway.
        let _ = self.wakers[index].try_send(());
        Some(look)
    }

    /// Answers every call, all of one tick, right here, on the thread of the caller, if the node is known to answer in microseconds; if not, none,
    /// and false. A guest that does not keep to what is known of it holds up the caller for a few milliseconds, once in a while.
    pub fn answer_in_passing(&self, node: NodeId, version: NodeVersion, calls: &[Arc<GuestCall>]) -> bool {
        if calls.len() > CALLS_IN_PASSING {
            return false;
        }
        let Some((index, program)) = self.program(node, version) else { return false };
        let answered = Questions::new(calls.to_vec(), program.numbers()).ask_in_passing(&program);
        if answered {
            self.shared.recent[index].note(calls);
        }
        answered
    }

    /// The program that answers as `version` of `node`, for a trial.
    pub(super) fn program_of(&self, node: NodeId, version: NodeVersion) -> Option<Arc<Program>> {
        self.program(node, version).map(|(_, program)| program)
    }

    fn program(&self, node: NodeId, version: NodeVersion) -> Option<(usize, Arc<Program>)> {
        let index = self.ids.iter().position(|id| *id == node)?;
        Some((index, self.shared.versions[index].get(version)?))
    }

    /// Has every call, all of one tick, answered ([`GuestCall::answer`]) by `version` of `node`, which may be an older one. The future is
    /// done when all are; dropping it stops nothing.
    pub fn evaluate(
        &self,
        node: NodeId,
        version: NodeVersion,
        calls: Vec<Arc<GuestCall>>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let finished = match self.program(node, version) {
            _ if calls.is_empty() => None,
            Some((index, program)) => {
                self.shared.recent[index].note(&calls);
                let (job, finished) = Job::new(program, calls);
                self.workers.push(index, job);
                Some(finished)
            }
            None => {
                for call in &calls {
                    call.answer(Err(Failure::passing("this version of the node is not loaded")));
                }
                None
            }
        };
        async move {
            if let Some(finished) = finished {
                // An error means that the host has stopped; so has whoever waits.
                let _ = finished.await;
            }
        }
    }
}

impl Drop for NodeHost {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.shared.stop.stop();
    }
}

/// Starts a keeper for each node, and the watch that wakes them. The watch is there first, so no edit is missed.
fn keep(shared: &Arc<Shared>, nodes: Vec<NodeSpec>) -> Result<(Arc<Watch>, Vec<SyncSender<()>>), NodeError> {
    let (wakers, changes): (Vec<_>, Vec<_>) = nodes.iter().map(|_| std::sync::mpsc::sync_channel(1)).unzip();
    let watch = Arc::new(Watch::start(wakers.clone()));
    for (index, (spec, changed)) in nodes.into_iter().zip(changes).enumerate() {
        let path = spec.source.path();
        watch.follow(index, path);
        let sources = Sources::new(path, Arc::downgrade(&watch), index);
        let log = NodeLog::new(spec.name.clone(), spec.limits.log_lines);
        let compiler = Compiler::new(shared.engine.clone(), spec.limits.compile_time, Arc::downgrade(&watch), index);
        let shared = shared.clone();
        let keeper = Keeper { spec, index, shared, changed, log, sources, compiler, seen: None, looked: 0 };
        let named = std::thread::Builder::new().name("node-keeper".into()).stack_size(STACK_SIZE);
        named.spawn(move || keeper.run()).map_err(|error| NodeError::Engine(error.to_string()))?;
    }
    Ok((watch, wakers))
}

fn write(value: &Value, numbers: Numbers, out: &mut String) {
    match numbers {
        Numbers::AsNumbers => value.write_json(out),
        Numbers::AsStrings => value.write_json_quoting_numbers(out),
    }
}

impl Question for Arc<GuestCall> {
    fn write_args(&self, numbers: Numbers, out: &mut String) {
        write(&self.args, numbers, out);
    }

    fn write_input(&self, numbers: Numbers, out: &mut String) {
        write(&self.input, numbers, out);
    }

    fn tick(&self) -> u64 {
        self.tick
    }

    fn has_same_args(&self, other: &Self) -> bool {
        self.args.is_written_alike(&other.args)
    }

    fn answer(&self, answer: Result<Value, Failure>) {
        self.resolve(answer.map_err(|Failure { message, passing }| Arc::new(GuestError { message, passing })));
    }
}
