//! The node host as the driver sees it: start it with the configured nodes, hear of versions, have calls answered.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::background::spawn;
use super::batch::{Numbers, Question, Questions};
use super::compiler::Compiler;
use super::error::{Failure, NodeError};
use super::files::cache_dir;
use super::keeper::{Keeper, Shared};
use super::limits::Limits;
use super::log::NodeLog;
use super::program::{NodeKind, Program};
use super::runtime::Language;
use super::slot::{Pool, Seat, Slot};
use super::sources::Sources;
use super::tools::Stop;
use super::usage::Usage;
use super::work::{Job, Workers};
use crate::data::Value;
use crate::dataflow::guest::{GuestCall, GuestError, NodeVersion};
use crate::dataflow::plan::NodeId;
use crate::watch::{Following, Watch};

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

    /// Where the file is.
    pub fn folder(&self) -> &Path {
        self.path().parent().unwrap_or(Path::new(""))
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
    watch: Arc<Watch<NodeId>>,
    shared: Arc<Shared>,
    nodes: BTreeMap<NodeId, Arc<Slot>>,
    /// For nodes that come later, while they fit.
    pool: Arc<Pool>,
    workers: Workers<Arc<GuestCall>>,
}

/// Calls that may be worth answering in passing.
const CALLS_IN_PASSING: usize = 64;

/// Events that may wait to be read.
const EVENTS: usize = 64;

impl NodeHost {
    /// Starts to load and watch `nodes`; each reports at least once, in any order. Returns before anything is loaded.
    pub fn start(settings: HostSettings, nodes: Vec<NodeSpec>) -> Result<(Self, mpsc::Receiver<NodeEvent>), NodeError> {
        let (events, receiver) = mpsc::channel(EVENTS);
        let workers = Workers::start(settings.parallel)?;
        let pool = Pool::start(&settings, &nodes)?;
        let shared = Arc::new(Shared { settings, events, stop: Stop::default() });
        let watch = Arc::new(Watch::start());
        let mut host = NodeHost { watch, shared, nodes: BTreeMap::new(), pool, workers };
        host.add(nodes)?;
        Ok((host, receiver))
    }

    /// Starts to load and watch these too, whose ids no node of this host ever had.
    pub fn add(&mut self, nodes: Vec<NodeSpec>) -> Result<(), NodeError> {
        for (index, spec) in nodes.iter().enumerate() {
            let seat = match self.pool.seat(spec) {
                Some(seat) => seat,
                None => {
                    self.pool = Pool::start(&self.shared.settings, &nodes[index..])?;
                    self.pool.seat(spec).expect("it was made for this node")
                }
            };
            self.keep(spec.clone(), seat)?;
        }
        Ok(())
    }

    /// Starts a node's keeper, which follows the node's file before it reads it.
    fn keep(&mut self, spec: NodeSpec, seat: Seat) -> Result<(), NodeError> {
        let (node, path) = (spec.id, spec.source.path());
        let (change, changed) = std::sync::mpsc::sync_channel(1);
        let tell = change.clone();
        self.watch.join(node, move || {
            // Full: the keeper was told already and has not looked yet.
            let _ = tell.try_send(());
        });
        let slot = Slot::new(spec.kind, seat, change, self.workers.waker());
        let following = Following::new(Arc::downgrade(&self.watch), node);
        let keeper = Keeper {
            log: NodeLog::new(spec.name.clone(), spec.source.folder(), spec.limits.log_lines),
            sources: Sources::new(path, following.clone()),
            compiler: Compiler::new(slot.pool().engine.clone(), spec.limits.compile_time, following.clone()),
            following,
            spec,
            shared: self.shared.clone(),
            slot: slot.clone(),
            changed,
            seen: None,
            told: None,
            looked: 0,
        };
        self.nodes.insert(node, slot);
        spawn("node-keeper", move || keeper.run()).map(drop)
    }

    /// Neither watches nor asks this node any more. What it was asked is answered.
    pub fn remove(&mut self, node: NodeId) {
        self.watch.leave(node);
        if let Some(slot) = self.nodes.remove(&node) {
            slot.leave();
        }
    }

    /// How many batches of one node run at once.
    pub fn parallel(&self) -> usize {
        self.shared.settings.parallel
    }

    /// Makes an earlier version the newest again. False if it is not there any more.
    pub fn restore(&self, node: NodeId, version: NodeVersion) -> bool {
        self.nodes.get(&node).is_some_and(|slot| slot.restore(version))
    }

    /// Keeps this version, which may be restored, longer than others that are not the newest.
    pub fn spare(&self, node: NodeId, version: NodeVersion) {
        self.nodes.get(&node).inspect(|slot| slot.spare(version));
    }

    /// Queries use this node as something else now (`None`: as nothing), so its file is looked at again.
    pub fn expect(&self, node: NodeId, kind: Option<NodeKind>) {
        if let Some(slot) = self.nodes.get(&node) {
            slot.expect(kind);
            slot.look();
        }
    }

    /// Looks at a node's file as if it had changed; what comes of it is told as an event, and then
    /// [`NodeEvent::Looked`] with the number given here. `None`: there is no such node.
    pub fn reload(&self, node: NodeId) -> Option<u64> {
        self.nodes.get(&node).map(|slot| slot.look())
    }

    /// Answers every call, all of one tick, right here, on the thread of the caller, if the node is known to answer in microseconds; if not, none,
    /// and false. A guest that does not keep to what is known of it holds up the caller for a few milliseconds, once in a while.
    pub fn answer_in_passing(&self, node: NodeId, version: NodeVersion, calls: &[Arc<GuestCall>]) -> bool {
        if calls.len() > CALLS_IN_PASSING {
            return false;
        }
        let Some((slot, program)) = self.program(node, version) else { return false };
        let answered = Questions::new(calls.to_vec(), program.numbers()).ask_in_passing(&program);
        if answered {
            slot.recent.note(calls);
        }
        answered
    }

    /// The program that answers as `version` of `node`, for a trial.
    pub(super) fn program_of(&self, node: NodeId, version: NodeVersion) -> Option<Arc<Program>> {
        self.program(node, version).map(|(_, program)| program)
    }

    fn program(&self, node: NodeId, version: NodeVersion) -> Option<(&Slot, Arc<Program>)> {
        let slot = self.nodes.get(&node)?;
        Some((slot, slot.get(version)?))
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
            Some((slot, program)) => {
                slot.recent.note(&calls);
                let (job, finished) = Job::new(program, calls);
                self.workers.push(node, job);
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
        self.shared.stop.stop();
        self.nodes.values().for_each(|slot| slot.leave());
    }
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
