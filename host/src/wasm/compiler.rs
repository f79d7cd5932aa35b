//! Compiles the component of one node, on a thread that nobody has to wait for.
//!
//! A compiler cannot be stopped. One that takes longer than it may is left alone, so what is limited is how long the node is waited
//! for: then it counts as failed, and the version before stays. What comes of it late is taken all the same, as it would be at the next start,
//! from the cache. Until then nothing else of this node is compiled, so however often its file changes, it takes one compiler.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use super::background::spawn;
use super::engine::{Compiled, Engine};
use super::error::NodeError;
use crate::dataflow::plan::NodeId;
use crate::watch::Following;

/// See the module.
pub(super) struct Compiler {
    engine: Engine,
    limit: Duration,
    /// Told when one that was late is done.
    following: Following<NodeId>,
    /// What was not done in its time.
    late: Option<Task>,
}

/// Something that is being compiled.
struct Task {
    /// Of its bytes.
    hash: blake3::Hash,
    since: Instant,
    outcome: Receiver<Result<Compiled, NodeError>>,
}

impl Compiler {
    /// For this node, which may be compiled for as long as `limit`.
    pub fn new(engine: Engine, limit: Duration, following: Following<NodeId>) -> Self {
        Compiler { engine, limit, following, late: None }
    }

    /// What bytes with this hash compile to; `read` gives them if that is not known yet.
    ///
    /// After [`NodeError::CompileTime`] and [`NodeError::CompilerTaken`] the node is told of a change when it is worth asking again.
    pub fn component(
        &mut self,
        hash: blake3::Hash,
        read: impl FnOnce() -> Result<Arc<[u8]>, NodeError>,
    ) -> Result<Compiled, NodeError> {
        let limit = self.limit;
        let task = match self.late.take() {
            Some(task) if task.hash == hash => task,
            Some(task) if matches!(task.outcome.try_recv(), Err(TryRecvError::Empty)) => {
                self.late = Some(task);
                return self.engine.find(hash).ok_or(NodeError::CompilerTaken { limit });
            }
            _ => match self.engine.find(hash) {
                Some(compiled) => return Ok(compiled),
                None => self.begin(read()?, hash)?,
            },
        };
        match task.outcome.recv_timeout(limit.saturating_sub(task.since.elapsed())) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => {
                self.late = Some(task);
                Err(NodeError::CompileTime { limit })
            }
            Err(RecvTimeoutError::Disconnected) => Err(NodeError::Panic("its compiler ended".into())),
        }
    }

    fn begin(&self, bytes: Arc<[u8]>, hash: blake3::Hash) -> Result<Task, NodeError> {
        let (sender, outcome) = sync_channel(1);
        let (engine, following) = (self.engine.clone(), self.following.clone());
        let run = move || {
            let compiled = catch_unwind(AssertUnwindSafe(|| engine.compile_anew(&bytes, hash)));
            // An error means that nobody wants to know any more.
            let _ = sender.send(compiled.unwrap_or_else(|panic| Err(NodeError::panicked(&*panic))));
            following.wake();
        };
        spawn("node-compiler", run)?;
        Ok(Task { hash, since: Instant::now(), outcome })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;
    use crate::wasm::cache::CodeCache;

    #[test]
    fn one_compiler_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = Engine::start(16, 1 << 20, CodeCache::open(folder.path().join("code"))).expect("starts");
        let mut compiler = Compiler::new(engine, Duration::from_secs(60), Following::new(Weak::new(), NodeId(0)));
        let bytes: Arc<[u8]> = wat::parse_str("(component)").expect("a component").into();
        let hash = blake3::hash(&bytes);
        let (busy, outcome) = sync_channel(1);
        compiler.late = Some(Task { hash: blake3::hash(b"before"), since: Instant::now(), outcome });
        let read = || Ok(bytes.clone());
        for _ in 0..2 {
            let refused = compiler.component(hash, read).err();
            assert!(matches!(refused, Some(NodeError::CompilerTaken { .. })), "{refused:?}");
        }
        busy.send(Err(NodeError::NotWasm)).expect("it is waited for");
        assert!(compiler.component(hash, read).is_ok());
        // One that ended without a word is no reason to wait.
        let (busy, outcome) = sync_channel(1);
        drop(busy);
        compiler.late = Some(Task { hash: blake3::hash(b"before"), since: Instant::now(), outcome });
        let not_read = || panic!("it is in the cache");
        assert!(compiler.component(hash, not_read).is_ok());
    }
}
