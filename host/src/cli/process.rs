//! What the process shares with its surroundings: signals, the log, the bound on open files.

use std::io::IsTerminal as _;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Logs to standard error: what `SANGRE_LOG`, else `RUST_LOG` says, else what an operator wants to read.
///
/// `SANGRE_LOG=info,sangre::stages=trace` also tells where a commit's time goes on its way to a client: a line for each stage,
/// with how long it took.
pub fn log_to_stderr() {
    let named = ["SANGRE_LOG", "RUST_LOG"].into_iter().find_map(|name| std::env::var(name).ok());
    let filter = EnvFilter::new(named.as_deref().unwrap_or("warn,sangre=info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_span_events(FmtSpan::CLOSE);
    // Colours are for people: a file or another program would be given their codes.
    let is_read = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // Or a line that cannot be written, since nobody reads any more, would be told of where it cannot be written either: with a panic.
    let log = log.log_internal_errors(false);
    log.with_ansi(is_read).with_writer(std::io::stderr).init();
}

/// Cancelled by the first Ctrl-C, SIGTERM or SIGHUP. The second one ends the process at once.
pub fn shutdown_signal() -> CancellationToken {
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    tokio::spawn(async move {
        let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = signals else {
            return tracing::warn!("cannot listen for signals: the end will be abrupt");
        };
        for first in [true, false] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            if !first {
                std::process::exit(130);
            }
            token.cancel();
        }
    });
    shutdown
}

/// Lets threads share what they free. By itself glibc divides memory into up to eight arenas for each core, and what is free in one
/// is of no use to another: threads that load nodes now and then would keep what they took. To be called before there is a
/// second thread.
pub fn share_free_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // SAFETY: sets a number in the allocator; no other thread uses it yet.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, i32::try_from(cores).unwrap_or(i32::MAX)) };
    }
}

/// Raises the bound on open files as far as this process may: each client is one, and many systems start with 1,024.
pub fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!(%error, "cannot raise the bound on open files");
    }
}
