//! Keeps one node up to date with its file: a thread that looks when it is told to, and loads what is new.
//!
//! Loading takes from a millisecond to seconds and happens here, never where guests run or clients are served. Whatever
//! fails, the version before goes on; a bad file costs a message.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::batch::Numbers;
use super::bindings::SourceFile;
use super::component::{Code, read};
use super::engine::{Engine, give_back};
use super::error::{NodeError, shortened};
use super::host::{HostSettings, NodeEvent, NodeSource, NodeSpec};
use super::limits::Limits;
use super::log::NodeLog;
use super::probe::Recent;
use super::program::{Parts, Program};
use super::runtime::{Language, Runtime, Runtimes};
use super::sources::Sources;
use super::tools::Stop;
use crate::data::with_causes;
use crate::dataflow::guest::NodeVersion;

/// A file is taken as it is once two looks this far apart saw the same.
const SETTLE: Duration = Duration::from_millis(10);

/// How long a file may be missing (while an editor replaces it) before it counts as deleted.
const MISSING: Duration = Duration::from_millis(200);

/// Versions of a node that can be asked, the newest included. Older ones nobody should still ask.
const MAX_VERSIONS: usize = 8;

/// What keepers and the host share.
pub(super) struct Shared {
    pub settings: HostSettings,
    pub engine: Engine,
    pub runtimes: Runtimes,
    /// By node.
    pub versions: Vec<Versions>,
    /// By node.
    pub recent: Vec<Recent>,
    /// By node, how often somebody has asked for a look at the file.
    pub looks: Vec<AtomicU64>,
    pub events: mpsc::Sender<NodeEvent>,
    pub stopped: AtomicBool,
    /// Ends the build of a runtime.
    pub stop: Stop,
}

/// The versions of one node, the newest last.
#[derive(Default)]
pub(super) struct Versions(Mutex<Vec<Arc<Program>>>);

impl Versions {
    /// The program of this version, if it is still there.
    pub fn get(&self, version: NodeVersion) -> Option<Arc<Program>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|have| have.version() == version).cloned()
    }

    /// Makes this version the newest, if it is still there.
    pub fn restore(&self, version: NodeVersion) -> bool {
        let Some(program) = self.get(version) else { return false };
        program.reinstate();
        self.put(program);
        true
    }

    /// Makes `program` the newest. One of the same version, as after an edit was undone, is replaced.
    fn put(&self, program: Arc<Program>) {
        let mut programs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        programs.retain(|have| have.version() != program.version());
        programs.iter().for_each(|have| have.supersede());
        programs.push(program);
        if programs.len() > MAX_VERSIONS {
            programs.remove(0);
        }
    }
}

/// What a node's file holds.
enum Content {
    Component(Arc<[u8]>),
    /// With the files for the runtime, or why they cannot be read.
    Script(Runtime, Result<Vec<SourceFile>, NodeError>),
}

/// The keeper of one node.
pub(super) struct Keeper {
    pub spec: NodeSpec,
    pub index: usize,
    pub shared: Arc<Shared>,
    pub changed: Receiver<()>,
    pub log: NodeLog,
    /// The script's files, if it is one.
    pub sources: Sources,
    /// What was last loaded or found bad.
    pub seen: Option<blake3::Hash>,
    /// How many of the looks that were asked for are done.
    pub looked: u64,
}

impl Keeper {
    /// Runs until nobody can tell of changes any more.
    pub fn run(mut self) {
        let mut first = true;
        loop {
            // Read before the look: who asks from here on is told by the next one.
            let look = self.shared.looks[self.index].load(Ordering::Relaxed);
            let asked = std::mem::replace(&mut self.looked, look) != look;
            if asked {
                self.seen = None;
            }
            let told = asked.then_some(NodeEvent::Looked { node: self.spec.id, look });
            for event in self.look().into_iter().chain(told) {
                if self.shared.events.blocking_send(event).is_err() {
                    return;
                }
            }
            // A start reads and compiles most. After an edit somebody waits for the memory's locks.
            if std::mem::take(&mut first) {
                give_back();
            }
            if self.changed.recv().is_err() || self.shared.stopped.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// Loads the file if it is not what it was.
    fn look(&mut self) -> Option<NodeEvent> {
        let outcome = match self.settle() {
            Ok((_, hash)) if self.seen == Some(hash) => return None,
            Ok((content, hash)) => {
                self.seen = Some(hash);
                self.load(content, hash)
            }
            Err(error) => {
                self.seen = None;
                Err(error)
            }
        };
        let (node, name) = (self.spec.id, &*self.spec.name);
        Some(match outcome {
            Ok(program) => {
                let (version, kind) = (program.version(), program.kind());
                self.shared.versions[self.index].put(Arc::new(program));
                tracing::debug!(node = name, "loaded the {kind}, version {:016x}", version.0);
                NodeEvent::Loaded { node, version, kind }
            }
            Err(error) => {
                let reason = shortened(with_causes(&error));
                tracing::debug!(node = name, "not loaded: {reason}");
                NodeEvent::Failed { node, reason }
            }
        })
    }

    /// What there is to load, once it stays the same.
    fn settle(&mut self) -> Result<(Content, blake3::Hash), NodeError> {
        let since = Instant::now();
        let mut before = None;
        loop {
            match self.content() {
                Ok((content, hash)) => {
                    if before == Some(hash) {
                        return Ok((content, hash));
                    }
                    before = Some(hash);
                }
                Err(NodeError::Missing(_) | NodeError::MissingImport { .. }) if since.elapsed() < MISSING => {
                    before = None
                }
                Err(error) => return Err(error),
            }
            std::thread::sleep(SETTLE);
        }
    }

    fn content(&mut self) -> Result<(Content, blake3::Hash), NodeError> {
        let limit = self.shared.settings.component_bytes;
        match &self.spec.source {
            NodeSource::Script(path) => {
                let runtime = self.runtime(path)?;
                let found = self.sources.look(&runtime, limit, &self.log)?;
                Ok((Content::Script(runtime, found.files), found.hash))
            }
            NodeSource::Component(path) => {
                let bytes = read(path, limit)?;
                let hash = blake3::hash(&bytes);
                Ok((Content::Component(bytes), hash))
            }
        }
    }

    fn load(&self, content: Content, hash: blake3::Hash) -> Result<Program, NodeError> {
        let (code, source) = match content {
            Content::Script(runtime, files) => (runtime.code, Some(files?)),
            Content::Component(bytes) => (Arc::new(Code::load(&self.shared.engine, &bytes)?), None),
        };
        if source.is_none() && code.is_runtime() {
            return Err(NodeError::NoNode);
        }
        let program = Program::start(Parts {
            version: self.version(&code, hash),
            code,
            source,
            expected: self.spec.kind,
            limits: Limits {
                deadline: self.spec.deadline,
                memory: self.spec.memory,
                output: self.shared.settings.output_bytes,
            },
            numbers: self.spec.numbers,
            has_clock: self.spec.has_clock,
            usage: self.spec.usage.clone(),
            log: self.log.clone(),
        })?;
        self.shared.recent[self.index].probe(&program)?;
        Ok(program)
    }

    /// What runs and reads scripts like `path`; built and compiled if this is the first.
    fn runtime(&self, path: &Path) -> Result<Runtime, NodeError> {
        let language = Language::of(path).ok_or_else(|| NodeError::UnknownLanguage(path.to_owned()))?;
        let Shared { runtimes, engine, settings, stop, .. } = &*self.shared;
        runtimes.get(language, engine, &settings.cache, stop)
    }

    /// Code and every setting an answer may depend on.
    fn version(&self, code: &Code, content: blake3::Hash) -> NodeVersion {
        let mut hasher = blake3::Hasher::new();
        hasher.update(code.hash.as_bytes()).update(content.as_bytes());
        hasher.update(&self.spec.deadline.as_nanos().to_le_bytes()).update(&self.spec.memory.to_le_bytes());
        hasher.update(&self.shared.settings.output_bytes.to_le_bytes()).update(&[self.spec.has_clock.into()]);
        hasher.update(&[u8::from(self.spec.numbers == Numbers::AsStrings)]);
        let hash = hasher.finalize();
        let (head, _) = hash.as_bytes().split_first_chunk::<8>().expect("a hash has 32 bytes");
        NodeVersion(u64::from_le_bytes(*head))
    }
}
