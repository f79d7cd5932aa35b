//! Threads that give way to those that serve clients: all that run guests, load files or compile.
//!
//! One that computes all the time has a third of the share of one that serves. Only Linux has a priority for each thread; elsewhere it
//! would be that of the whole process. What a thread has given up it cannot take back, so nobody else's thread is ever asked to, such as those that libraries
//! share: what works in parallel is given threads for the time.

use std::thread::{Builder, JoinHandle};

use super::error::NodeError;

/// How much nicer the threads are than the server, in the kernel's levels. Much more, and on a machine that is busy with
/// other things a node could do nothing at all.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;

/// The stack of each: compilers need most.
const STACK_SIZE: usize = 4 << 20;

/// Starts a thread of this name.
pub(super) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, NodeError> {
    let run = move || {
        give_way();
        run();
    };
    let named = Builder::new().name(name.to_owned()).stack_size(STACK_SIZE);
    named.spawn(run).map_err(|error| NodeError::Engine(error.to_string()))
}

/// Runs this, and waits for it, where all that it does in parallel with `rayon` is on threads that give way. They are one fewer than there are
/// processors, and nobody else's: whoever else does the same takes no longer because of it than its share of the machine.
pub(super) fn parallel<T: Send>(name: &'static str, run: impl FnOnce() -> T + Send) -> Result<T, NodeError> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = rayon::ThreadPoolBuilder::new().num_threads((processors - 1).max(1));
    let named = threads.thread_name(move |_| name.to_owned()).stack_size(STACK_SIZE);
    let nicer = |thread: rayon::ThreadBuilder| {
        give_way();
        thread.run();
    };
    named.build_scoped(nicer, |threads| threads.install(run)).map_err(|error| NodeError::Engine(error.to_string()))
}

/// Lowers the priority of this thread, however low that of its parent was.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = lower() {
        tracing::debug!("nodes run at the priority of all other threads: {error}");
    }
}

#[cfg(target_os = "linux")]
fn lower() -> rustix::io::Result<()> {
    use rustix::process::{getpid, getpriority_process, setpriority_process};
    // That of the first thread. A thread begins with its parent's, which may have given way before.
    let server = getpriority_process(Some(getpid()))?;
    let own = getpriority_process(None)?;
    setpriority_process(None, own.max(server + NICENESS))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn niceness() -> i32 {
        rustix::process::getpriority_process(None).expect("known of the calling thread")
    }

    /// What a thread that gives way has if this one has `own`.
    fn nicer(own: i32) -> i32 {
        (own + NICENESS).min(19)
    }

    #[test]
    fn a_thread_gives_way_once_and_its_parent_does_not() {
        let before = niceness();
        let (sender, levels) = channel();
        let thread = spawn("nicer", move || {
            let child = sender.clone();
            sender.send(niceness()).expect("it is read");
            let thread = spawn("child", move || child.send(niceness()).expect("it is read"));
            thread.expect("starts").join().expect("ends");
        });
        thread.expect("starts").join().expect("ends");
        assert_eq!(levels.iter().collect::<Vec<_>>(), [nicer(before); 2]);
        assert_eq!(niceness(), before);
    }

    #[test]
    fn all_that_work_in_parallel_give_way() {
        let before = niceness();
        let (own, others) =
            parallel("parallel", || (niceness(), rayon::broadcast(|_| niceness()))).expect("threads start");
        assert_eq!(own, nicer(before));
        assert!(!others.is_empty() && others.iter().all(|level| *level == own), "{others:?}");
        assert_eq!(niceness(), before);
    }
}
