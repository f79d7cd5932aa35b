//! The single writer: one task owns the engine, turns its effects into I/O and what I/O brings into its events.
//!
//! ```text
//!   source ──events──►┐                            ┌──► documents: emissions, history, broadcast ──► subscriptions
//!   upqueries ───────►│  writer ── Engine::… ──►───┤
//!   guests ──────────►│                            ├──► upqueries, provocation ──► source
//!   handle ─commands─►┘                            └──► batches of calls ──► node host
//! ```
//!
//! - Nothing here waits while holding the engine: whatever takes time runs in a task of its own and comes back as an event.
//! - No queue is unbounded: commands and source events are, what engine effects start is bounded by what is subscribed.
//! - Patches are not computed here but by whoever sends one first ([`Emission::patch`](crate::revision::Emission)).

mod conduct;
mod documents;
pub mod handle;
mod kinds;
mod live;
mod node;
mod nodes;
mod open;
mod questions;
mod replan;
mod roster;
mod setup;
mod starving;
mod subscription;
mod tally;
mod transaction;
mod writer;

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use open::Handle;

use crate::dataflow::plan::{NodeId, OnError};
use crate::query::syntax::{Query, TableRule};
use crate::source::{SourceConfig, SourceError};
use crate::wasm::{HostSettings, Limits, NodeSource, Numbers};

/// What the engine is started with.
#[derive(Clone)]
pub struct Options {
    pub source: SourceConfig,
    pub queries: Vec<Query>,
    pub tables: Vec<TableRule>,
    pub nodes: Vec<NodeOptions>,
    pub host: HostSettings,
    /// Levels of nested queries.
    pub depth: usize,
    /// Elements of one list.
    pub list_elements: usize,
    /// Bytes of a document's JSON text.
    pub document_bytes: usize,
    /// Documents kept live at once.
    pub subscriptions: usize,
    /// A query that does not resolve ends the start.
    pub strict: bool,
    /// The configuration file's name, for messages.
    pub file: Arc<str>,
}

/// A node of the configuration.
#[derive(Clone)]
pub struct NodeOptions {
    /// Its place in the configuration; for one that is read later, whatever.
    pub id: NodeId,
    pub name: Arc<str>,
    pub source: NodeSource,
    pub limits: Limits,
    /// How it is given numbers.
    pub numbers: Numbers,
    pub on_error: OnError,
    /// How often everything is asked of it anew, if it reads the clock or randomness.
    pub every: Option<std::time::Duration>,
}

/// Why the engine stopped: somebody has to do what the message says.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error(transparent)]
    Source(#[from] SourceError),
    /// With `--strict`: one line for each problem.
    #[error("{0}")]
    Queries(String),
    #[error("the node host cannot start")]
    Nodes(#[source] crate::wasm::NodeError),
}

/// Commands that may wait for the writer.
const COMMANDS: usize = 1024;

/// A comparison that nobody has asked for is forgotten after this long to twice as long.
const AGE: std::time::Duration = std::time::Duration::from_secs(1);

/// Starts the engine. The task ends with `stop`, or with what keeps it from going on.
pub fn start(options: Options, stop: CancellationToken) -> (Handle, JoinHandle<Result<(), DriverError>>) {
    let (commands, receiver) = mpsc::channel(COMMANDS);
    let shared = Arc::new(open::Shared::new(commands, &options));
    let handle = Handle::new(shared.clone());
    let task = tokio::spawn(async move {
        let _tended = AbortOnDropHandle::new(tokio::spawn(tend(shared.clone())));
        let result = setup::run(options, shared.clone(), receiver, stop).await;
        shared.end();
        result
    });
    (handle, task)
}

/// Has the memo of comparisons forget what nobody asks for any more: beside the writer, for freeing takes its time.
async fn tend(shared: Arc<open::Shared>) {
    let mut often = tokio::time::interval(AGE);
    often.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        often.tick().await;
        shared.memo.age();
    }
}
