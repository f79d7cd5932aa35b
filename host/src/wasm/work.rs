//! The threads that run guests, and whose turn it is.
//!
//! They give way to the threads that serve clients ([`background`](super::background)).
//! Each node has its own queue and the queues take turns batch by batch, so a node with much to do delays the others by
//! one batch at most. No node may hold all threads, so one that runs into its deadline all the time leaves the others one; and it rests
//! between its batches.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::oneshot;

use super::background::spawn;
use super::batch::{Question, Questions};
use super::error::{Failure, NodeError};
use super::program::Program;
use crate::dataflow::plan::NodeId;

/// Everything that was asked of one program at once.
pub(super) struct Job<Q> {
    program: Arc<Program>,
    state: Mutex<State<Q>>,
    /// All batches are taken. Read without the lock, under which texts are written.
    taken: AtomicBool,
}

struct State<Q> {
    /// Sorted into groups by the first thread that takes it up.
    questions: Source<Q>,
    /// Where the next batch begins.
    next: usize,
    /// Batches that were taken and not yet finished.
    running: usize,
    done: Option<oneshot::Sender<()>>,
}

enum Source<Q> {
    Asked(Vec<Q>),
    Grouped(Arc<Questions<Q>>),
}

impl<Q: Question> Job<Q> {
    /// A job, and what tells when it is done.
    pub fn new(program: Arc<Program>, questions: Vec<Q>) -> (Arc<Self>, oneshot::Receiver<()>) {
        let (done, finished) = oneshot::channel();
        let state = State { questions: Source::Asked(questions), next: 0, running: 0, done: Some(done) };
        (Arc::new(Job { program, state: Mutex::new(state), taken: AtomicBool::new(false) }), finished)
    }

    /// Takes and runs the next batch. False if none was left.
    fn run_batch(&self) -> bool {
        let Some((questions, range, text)) = self.take() else { return false };
        let ask = || questions.ask(&self.program, range.clone(), &text);
        let outcome = catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|_| {
            let failure = Failure::passing("the server failed while it asked the node; its log says more");
            questions.fail(range.clone(), &failure);
            Err(failure)
        });
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(failure) = outcome {
            questions.fail(state.next..questions.len(), &failure);
            state.next = questions.len();
            self.taken.store(true, Ordering::Relaxed);
        }
        state.running -= 1;
        let finished = state.running == 0 && state.next >= questions.len();
        if let Some(done) = state.done.take_if(|_| finished) {
            // Nobody may wait any more; the answers are there all the same.
            let _ = done.send(());
        }
        true
    }

    fn take(&self) -> Option<(Arc<Questions<Q>>, std::ops::Range<usize>, String)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Source::Asked(asked) = &mut state.questions {
            let grouped = Questions::new(std::mem::take(asked), self.program.numbers());
            state.questions = Source::Grouped(Arc::new(grouped));
        }
        let Source::Grouped(questions) = &state.questions else { return None };
        let questions = questions.clone();
        if state.next >= questions.len() {
            return None;
        }
        let (range, text) = match self.program.begins_watched() {
            true => questions.watched_row(state.next),
            false => questions.batch(state.next, self.program.batch_bytes()),
        };
        state.next = range.end;
        self.taken.store(range.end >= questions.len(), Ordering::Relaxed);
        state.running += 1;
        Some((questions, range, text))
    }

    fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }
}

/// The threads. They end with this value, each after the batch it is at.
pub(super) struct Workers<Q> {
    shared: Arc<Shared<Q>>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared<Q> {
    queues: Mutex<Queues<Q>>,
    wake: Condvar,
}

struct Queues<Q> {
    /// Of nodes that are asked something, the one whose turn is next first.
    nodes: VecDeque<Queue<Q>>,
    /// How many threads one node may hold.
    share: usize,
    stopped: bool,
}

struct Queue<Q> {
    node: NodeId,
    jobs: VecDeque<Arc<Job<Q>>>,
    running: usize,
}

impl<Q: Question + Send + Sync + 'static> Workers<Q> {
    /// Starts threads: one more than `parallel`, the number that one node may hold.
    pub fn start(parallel: usize) -> Result<Self, NodeError> {
        let queues = Queues { nodes: VecDeque::new(), share: parallel.max(1), stopped: false };
        let shared = Arc::new(Shared { queues: Mutex::new(queues), wake: Condvar::new() });
        let mut workers = Workers { shared, threads: Vec::new() };
        for index in 0..=parallel.max(1) {
            let shared = workers.shared.clone();
            workers.threads.push(spawn(&format!("node-{index}"), move || work(&shared))?);
        }
        Ok(workers)
    }

    /// What wakes the threads when a program need not rest any more.
    pub fn waker(&self) -> Waker<Q> {
        Waker(self.shared.clone())
    }

    /// Puts a job at the end of its node's queue.
    pub fn push(&self, node: NodeId, job: Arc<Job<Q>>) {
        let mut queues = self.shared.queues.lock().unwrap_or_else(PoisonError::into_inner);
        match queues.nodes.iter_mut().find(|queue| queue.node == node) {
            Some(queue) => queue.jobs.push_back(job),
            None => queues.nodes.push_back(Queue { node, jobs: [job].into(), running: 0 }),
        }
        self.shared.wake.notify_all();
    }
}

/// See [`Workers::waker`].
#[derive(Clone)]
pub(super) struct Waker<Q>(Arc<Shared<Q>>);

impl<Q> Waker<Q> {
    /// Has the threads look again which jobs may run.
    pub fn wake(&self) {
        // With the lock, so that no thread is between its look and its wait.
        let _queues = self.0.queues.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.wake.notify_all();
    }
}

impl<Q> Drop for Workers<Q> {
    fn drop(&mut self) {
        self.shared.queues.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
        self.shared.wake.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn work<Q: Question>(shared: &Shared<Q>) {
    let mut queues = shared.queues.lock().unwrap_or_else(PoisonError::into_inner);
    while !queues.stopped {
        let now = Instant::now();
        let (node, job) = match queues.next(now) {
            Turn::Of(node, job) => (node, job),
            Turn::At(time) => {
                let waited = shared.wake.wait_timeout(queues, time - now);
                queues = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            Turn::Nobodys => {
                queues = shared.wake.wait(queues).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
        };
        drop(queues);
        job.run_batch();
        queues = shared.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.nodes.iter_mut().find(|queue| queue.node == node) {
            queue.running -= 1;
        }
        shared.wake.notify_one();
    }
}

/// Whose turn it is.
enum Turn<Q> {
    /// A node's, with this job, which stays in its queue while it has batches.
    Of(NodeId, Arc<Job<Q>>),
    /// Of one that rests until then.
    At(Instant),
    Nobodys,
}

impl<Q: Question> Queues<Q> {
    fn next(&mut self, now: Instant) -> Turn<Q> {
        self.nodes.retain_mut(|queue| {
            queue.jobs.retain(|job| !job.is_taken());
            queue.running > 0 || !queue.jobs.is_empty()
        });
        let mut rested: Option<Instant> = None;
        for at in 0..self.nodes.len() {
            let queue = &mut self.nodes[at];
            if queue.running >= self.share {
                continue;
            }
            for job in &queue.jobs {
                match job.program.rests_until(now) {
                    None => {
                        let turn = Turn::Of(queue.node, job.clone());
                        queue.running += 1;
                        let queue = self.nodes.remove(at);
                        self.nodes.extend(queue);
                        return turn;
                    }
                    Some(until) => rested = Some(rested.map_or(until, |other| other.min(until))),
                }
            }
        }
        rested.map_or(Turn::Nobodys, Turn::At)
    }
}
