//! Keeps one node up to date with its file: a thread that looks when it is told to, and loads what is new.
//!
//! Loading takes from a millisecond to seconds and happens here, never where guests run or clients are served. Whatever
//! fails, the version before goes on; a bad file costs a message.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::batch::Numbers;
use super::bindings::SourceFile;
use super::compiler::Compiler;
use super::component::{Code, check_header, hash_of, read};
use super::engine::give_back;
use super::error::{NodeError, shortened};
use super::host::{HostSettings, NodeEvent, NodeSource, NodeSpec};
use super::limits::Limits;
use super::log::NodeLog;
use super::program::{Parts, Program};
use super::runtime::{Language, Runtime};
use super::slot::Slot;
use super::sources::Sources;
use super::tools::Stop;
use super::trial::placed;
use crate::data::with_causes;
use crate::dataflow::guest::NodeVersion;
use crate::dataflow::plan::NodeId;
use crate::watch::Following;

/// A file is taken as it is once two looks this far apart saw the same.
const SETTLE: Duration = Duration::from_millis(10);

/// How long a file may be missing (while an editor replaces it) before it counts as deleted.
const MISSING: Duration = Duration::from_millis(200);

/// What all keepers and the host share.
pub(super) struct Shared {
    pub settings: HostSettings,
    pub events: mpsc::Sender<NodeEvent>,
    /// Ends the build of a runtime.
    pub stop: Stop,
}

/// What a node's file holds.
enum Content {
    /// Which is read as a whole only if it has to be compiled.
    Component,
    /// With the files for the runtime, or why they cannot be read.
    Script(Runtime, Result<Vec<SourceFile>, NodeError>),
}

impl Content {
    /// Since when all of it has been seen, if the look began then: the next has to begin [`SETTLE`] later.
    fn seen(&self, look: Instant) -> Instant {
        match self {
            // Its bytes are read as fast each time, so as far apart as looks begin.
            Content::Component => look,
            // A file of a script is read once its reader has told it from those before, and not told again the next time.
            Content::Script(..) => Instant::now(),
        }
    }
}

/// What a node's file held at two looks.
enum Settled {
    Content(Content),
    /// Loaded between them.
    Loaded(Result<Program, NodeError>),
}

/// The keeper of one node.
pub(super) struct Keeper {
    pub spec: NodeSpec,
    pub shared: Arc<Shared>,
    pub slot: Arc<Slot>,
    /// Told when to look.
    pub changed: Receiver<()>,
    pub log: NodeLog,
    /// Of the node's file.
    pub following: Following<NodeId>,
    /// The script's files, if it is one.
    pub sources: Sources,
    /// Compiles its component, if it is one.
    pub compiler: Compiler,
    /// What was last loaded or found bad.
    pub seen: Option<blake3::Hash>,
    /// Why the file could not be read, as it was told last.
    pub told: Option<String>,
    /// How many of the looks that were asked for are done.
    pub looked: u64,
}

impl Keeper {
    /// Runs until the node is gone.
    pub fn run(self) {
        let (node, events) = (self.spec.id, self.shared.events.clone());
        or_tell(node, &events, || self.run_with(Keeper::look));
    }

    /// The same with another way to look at the file.
    fn run_with(mut self, mut look_at: impl FnMut(&mut Keeper) -> Option<NodeEvent>) {
        let mut first = true;
        loop {
            // Read before the look: who asks from here on is told by the next one.
            let look = self.slot.looks();
            let asked = std::mem::replace(&mut self.looked, look) != look;
            if asked {
                (self.seen, self.told) = (None, None);
            }
            let told = asked.then_some(NodeEvent::Looked { node: self.spec.id, look });
            for event in self.caught(&mut look_at).into_iter().chain(told) {
                if self.shared.events.blocking_send(event).is_err() {
                    return;
                }
            }
            // A start reads and compiles most. After an edit somebody waits for the memory's locks.
            if std::mem::take(&mut first) {
                give_back();
            }
            // Who asked while the file settled has woken that look, which may have been the end of an earlier one.
            let is_asked = self.slot.looks() != self.looked;
            if self.slot.is_gone() || (!is_asked && self.changed.recv().is_err()) || self.slot.is_gone() {
                return;
            }
        }
    }

    /// What a look comes to. One that panics is a failure as any other: the next may do better.
    fn caught(&mut self, look_at: &mut impl FnMut(&mut Keeper) -> Option<NodeEvent>) -> Option<NodeEvent> {
        let outcome = catch_unwind(AssertUnwindSafe(|| look_at(self)));
        outcome.unwrap_or_else(|panic| {
            let error = NodeError::panicked(&*panic);
            // A log that panics is no reason to end.
            let _ = catch_unwind(AssertUnwindSafe(|| tracing::error!(node = &*self.spec.name, "{error}")));
            Some(NodeEvent::Failed { node: self.spec.id, reason: shortened(error.to_string()) })
        })
    }

    /// Loads the file if it is not what it was.
    fn look(&mut self) -> Option<NodeEvent> {
        let outcome = loop {
            match self.settled()? {
                // It had not settled, after all.
                Err(NodeError::Changed(_)) => self.seen = None,
                outcome => break outcome,
            }
        };
        if let Err(NodeError::CompileTime { .. } | NodeError::CompilerTaken { .. }) = outcome {
            // There is more to come of it, and somebody says when.
            self.seen = None;
        }
        let (node, name) = (self.spec.id, &*self.spec.name);
        Some(match outcome {
            Ok(program) => {
                let (version, kind) = (program.version(), program.kind());
                self.slot.put(Arc::new(program));
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

    /// What comes of the file once it stays the same. `None`: it is what it was.
    fn settled(&mut self) -> Option<Result<Program, NodeError>> {
        Some(match self.settle() {
            Ok((_, hash)) if self.seen == Some(hash) => return None,
            Ok((settled, hash)) => {
                (self.seen, self.told) = (Some(hash), None);
                match settled {
                    Settled::Loaded(outcome) => outcome,
                    Settled::Content(content) => self.load(content, hash),
                }
            }
            Err(error) => {
                self.seen = None;
                let reason = with_causes(&error);
                // Much on the way to a file may change while it is missing.
                if self.told.as_ref() == Some(&reason) {
                    return None;
                }
                self.told = Some(reason);
                Err(error)
            }
        })
    }

    /// What there is to load, once it stays the same.
    fn settle(&mut self) -> Result<(Settled, blake3::Hash), NodeError> {
        let since = Instant::now();
        let mut before: Option<(Settled, blake3::Hash, Instant)> = None;
        loop {
            let look = Instant::now();
            match self.content() {
                Ok((content, hash)) => match before.take() {
                    Some((settled, same, seen)) if same == hash => {
                        if look.duration_since(seen) >= SETTLE {
                            return Ok((settled, hash));
                        }
                        before = Some((settled, hash, seen));
                    }
                    _ => {
                        let seen = content.seen(look);
                        before = Some((self.ahead(content, hash), hash, seen));
                    }
                },
                Err(error) if error.is_missing() && since.elapsed() < MISSING => before = None,
                Err(error) => return Err(error),
            }
            let stays = before.as_ref().map_or(Duration::ZERO, |(_, _, seen)| seen.elapsed());
            // Whoever writes a file in two steps is not made to wait because of the first.
            let _ = self.changed.recv_timeout(SETTLE.saturating_sub(stays));
            if self.slot.is_gone() {
                return Err(NodeError::Engine("nobody asks the node any more".into()));
            }
        }
    }

    /// Loads what takes no compiler while it is not yet certain to stay: the time passes anyhow. What a script that was half written says
    /// while it is loaded is in the log, then.
    fn ahead(&mut self, content: Content, hash: blake3::Hash) -> Settled {
        let at_once = match &content {
            Content::Script(_, files) => files.is_ok(),
            Content::Component => self.slot.pool().engine.has(hash),
        };
        if at_once && self.seen != Some(hash) {
            Settled::Loaded(self.load(content, hash))
        } else {
            Settled::Content(content)
        }
    }

    fn content(&mut self) -> Result<(Content, blake3::Hash), NodeError> {
        // Before it is read, so that no change is missed.
        self.following.begin(self.spec.source.path());
        match &self.spec.source {
            NodeSource::Script(path) => {
                let runtime = self.runtime(path)?;
                let found = self.sources.look(&runtime, &self.spec.limits, &self.log)?;
                Ok((Content::Script(runtime, found.files), found.hash))
            }
            NodeSource::Component(path) => Ok((Content::Component, hash_of(path, self.spec.limits.size)?)),
        }
    }

    fn load(&mut self, content: Content, hash: blake3::Hash) -> Result<Program, NodeError> {
        let (code, source) = match content {
            Content::Script(runtime, files) => (runtime.code, Some(files?)),
            Content::Component => {
                let spec = &self.spec;
                let compiled = self.compiler.component(hash, || component(spec, hash))?;
                (Arc::new(Code::of(&self.slot.pool().engine, compiled, hash)?), None)
            }
        };
        if source.is_none() && code.is_runtime() {
            return Err(NodeError::NoNode);
        }
        let program = Program::start(Parts {
            version: self.version(&code, hash),
            code,
            source,
            expected: self.slot.expected(),
            limits: self.spec.limits,
            numbers: self.spec.numbers,
            has_clock: self.spec.has_clock,
            usage: self.spec.usage.clone(),
            log: self.log.clone(),
        })?;
        self.slot.recent.probe(&program).map_err(|error| match error {
            NodeError::Probe { failed, tried, last } => {
                NodeError::Probe { failed, tried, last: placed(self.spec.source.folder(), &last) }
            }
            other => other,
        })?;
        Ok(program)
    }

    /// What runs and reads scripts like `path`; built and compiled if this is the first.
    fn runtime(&self, path: &Path) -> Result<Runtime, NodeError> {
        let language = Language::of(path).ok_or_else(|| NodeError::UnknownLanguage(path.to_owned()))?;
        let (pool, Shared { settings, stop, .. }) = (self.slot.pool(), &*self.shared);
        pool.runtimes.get(language, &pool.engine, &settings.cache, stop)
    }

    /// Code and every setting an answer may depend on.
    fn version(&self, code: &Code, content: blake3::Hash) -> NodeVersion {
        let mut hasher = blake3::Hasher::new();
        hasher.update(code.hash.as_bytes()).update(content.as_bytes());
        let Limits { deadline, memory, output, depth, messages, .. } = self.spec.limits;
        hasher.update(&deadline.as_nanos().to_le_bytes());
        for limit in [memory, output, depth, messages] {
            hasher.update(&limit.to_le_bytes());
        }
        hasher.update(&[self.spec.has_clock.into(), u8::from(self.spec.numbers == Numbers::AsStrings)]);
        let hash = hasher.finalize();
        let (head, _) = hash.as_bytes().split_first_chunk::<8>().expect("a hash has 32 bytes");
        NodeVersion(u64::from_le_bytes(*head))
    }
}

/// The bytes of a node's component that had this hash a moment ago.
fn component(spec: &NodeSpec, hash: blake3::Hash) -> Result<Arc<[u8]>, NodeError> {
    match read(spec.source.path(), spec.limits.size) {
        Ok(bytes) if blake3::hash(&bytes) == hash => check_header(&bytes).map(|()| bytes),
        Ok(_) => Err(NodeError::Changed(spec.source.path().to_owned())),
        Err(error) if error.is_missing() => Err(NodeError::Changed(spec.source.path().to_owned())),
        Err(error) => Err(error),
    }
}

/// Runs a keeper. If it panics, whoever waits for the node is told that nobody looks at its file any more.
fn or_tell(node: NodeId, events: &mpsc::Sender<NodeEvent>, run: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
        let error = NodeError::panicked(&*panic);
        let reason = shortened(format!("{error}; it is looked at again at the next start"));
        // An error means that nobody waits.
        let _ = events.blocking_send(NodeEvent::Failed { node, reason });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Weak, mpsc as std_mpsc};

    use super::super::slot::Pool;
    use super::super::work::Workers;
    use super::*;

    /// A log that cannot be written to.
    struct Closed;

    impl tracing::Subscriber for Closed {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, _: &tracing::Event<'_>) {
            panic!("nobody reads this");
        }

        fn enter(&self, _: &tracing::span::Id) {}

        fn exit(&self, _: &tracing::span::Id) {}
    }

    #[test]
    fn whoever_waits_for_a_keeper_that_ended_is_told() {
        let (events, mut told) = mpsc::channel(1);
        or_tell(NodeId(3), &events, || panic!("a mistake"));
        let reason = "the server failed while it loaded the file: a mistake; it is looked at again at the next start";
        assert_eq!(told.blocking_recv(), Some(NodeEvent::Failed { node: NodeId(3), reason: reason.into() }));
        or_tell(NodeId(3), &events, || {});
        drop(events);
        assert_eq!(told.blocking_recv(), None);
    }

    #[test]
    fn a_look_that_panics_is_a_failure_and_not_the_last() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = HostSettings { cache: folder.path().to_owned(), parallel: 1 };
        let (events, mut told) = mpsc::channel(8);
        let path = folder.path().join("node.js");
        let node = NodeId(0);
        let spec = NodeSpec::new(node, "node", NodeSource::Script(path.clone()));
        let (change, changed) = std_mpsc::sync_channel(1);
        let pool = Pool::start(&settings, std::slice::from_ref(&spec)).expect("starts");
        let seat = pool.seat(&spec).expect("there is room");
        let waker = Workers::start(1).expect("starts").waker();
        let slot = Slot::new(None, seat, change, waker);
        let following = Following::new(Weak::new(), node);
        let keeper = Keeper {
            log: NodeLog::new(spec.name.clone(), folder.path(), spec.limits.log_lines),
            sources: Sources::new(&path, following.clone()),
            compiler: Compiler::new(pool.engine.clone(), spec.limits.compile_time, following.clone()),
            following,
            spec,
            shared: Arc::new(Shared { settings, events, stop: Stop::default() }),
            slot: slot.clone(),
            changed,
            seen: None,
            told: None,
            looked: 0,
        };
        slot.look();
        let failed = |reason: &str| NodeEvent::Failed { node, reason: reason.into() };
        let mut looks = 0;
        let run = || {
            keeper.run_with(|_| {
                looks += 1;
                assert_ne!(looks, 1, "a mistake");
                slot.leave();
                Some(failed("as it should"))
            });
        };
        tracing::subscriber::with_default(Closed, run);
        let first = told.blocking_recv();
        let Some(NodeEvent::Failed { reason, .. }) = &first else { panic!("{first:?}") };
        assert!(reason.starts_with("the server failed while it loaded the file: ") && reason.contains("a mistake"));
        // Whoever asked for the look is told that it is over.
        assert_eq!(told.blocking_recv(), Some(NodeEvent::Looked { node, look: 1 }));
        assert_eq!(told.blocking_recv(), Some(failed("as it should")));
        assert_eq!(told.blocking_recv(), None);
    }

    #[test]
    fn a_component_is_compiled_only_as_it_was_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("node.wasm");
        let spec = NodeSpec::new(NodeId(0), "node", NodeSource::Component(path.clone()));
        let bytes = wat::parse_str("(component)").expect("a component");
        let seen = blake3::hash(&bytes);
        let read = || component(&spec, seen).map(|bytes| bytes.to_vec());
        assert!(matches!(read(), Err(NodeError::Changed(_))), "it is gone for a moment");
        std::fs::write(&path, [&bytes[..], b" "].concat()).expect("written");
        assert!(matches!(read(), Err(NodeError::Changed(_))), "it has another end");
        std::fs::write(&path, &bytes).expect("written");
        assert_eq!(read().expect("it is what it was"), bytes);
    }
}
