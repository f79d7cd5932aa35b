//! What the engine asks of a node, and what it hears back.
//!
//! A guest is a pure function of node version, tick, arguments and input, so equal calls exist once: whoever needs the
//! answer holds the same [`GuestCall`], and reads the answer from it when it has come. A call never changes its answer.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::plan::NodeId;
use crate::data::{Row, Table, Value};

/// The version of a node: a hash of its code and settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeVersion(pub u64);

/// One question to a node.
#[derive(Debug)]
pub struct GuestCall {
    pub node: NodeId,
    pub version: NodeVersion,
    /// Counts re-evaluations of a node with `every`; 0 for all others.
    pub tick: u64,
    /// Always an object.
    pub args: Value,
    /// The element, or for a reduce the array of elements.
    pub input: Value,
    answer: OnceLock<Result<Value, Arc<GuestError>>>,
    withheld: AtomicBool,
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct GuestError {
    /// The guest's own message, or what the host found wrong; for the log, never for clients.
    pub message: String,
    /// The same question may have an answer another time: the machine was too busy, the guest was not asked at all. See
    /// [`Engine::retry`](super::Engine::retry).
    pub passing: bool,
}

impl GuestCall {
    /// A question without an answer yet.
    pub fn new(node: NodeId, version: NodeVersion, tick: u64, args: Value, input: Value) -> Self {
        let (answer, withheld) = (OnceLock::new(), AtomicBool::new(false));
        GuestCall { node, version, tick, args, input, answer, withheld }
    }

    /// The answer, once it has come and is not withheld.
    pub fn answer(&self) -> Option<&Result<Value, Arc<GuestError>>> {
        self.answer.get().filter(|_| !self.withheld.load(Ordering::Relaxed))
    }

    /// The answer, once it has come, withheld or not: for who decides whether it may be seen.
    pub fn outcome(&self) -> Option<&Result<Value, Arc<GuestError>>> {
        self.answer.get()
    }

    /// Hides the answer, which may come any moment and from any thread, until it is released: an engine that reads it before it is
    /// told of it shows what was to be judged first.
    pub fn withhold(&self) {
        self.withheld.store(true, Ordering::Relaxed);
    }

    /// Ends [`GuestCall::withhold`].
    pub fn release(&self) {
        self.withheld.store(false, Ordering::Relaxed);
    }

    /// Whether it failed for a reason that may pass.
    pub fn is_passing_failure(&self) -> bool {
        matches!(self.answer(), Some(Err(error)) if error.passing)
    }

    /// Records the answer. A second one is ignored: the function is pure, so it says the same.
    pub fn resolve(&self, answer: Result<Value, Arc<GuestError>>) {
        let _ = self.answer.set(answer);
    }
}

/// The row of a table that a question is about, shown by its key.
#[derive(Clone, Debug)]
pub struct Origin {
    pub keys: Arc<TableKey>,
    pub row: Row,
}

/// How rows of a table are shown.
#[derive(Debug)]
pub struct TableKey {
    table: String,
    /// The key's columns: where in a row, and their names. None, without a primary key.
    columns: Vec<(usize, Arc<str>)>,
}

impl TableKey {
    pub fn of(table: &Table) -> Self {
        let columns = table.primary_key.iter().map(|&at| (at, table.columns[at].name.clone()));
        TableKey { table: table.label(), columns: columns.collect() }
    }

    #[cfg(test)]
    pub fn named(table: &str, columns: &[(usize, &str)]) -> Self {
        TableKey { table: table.into(), columns: columns.iter().map(|&(at, name)| (at, name.into())).collect() }
    }
}

impl fmt::Display for Origin {
    /// `places id=7`, `users_places user_id=1 place_id="x"`, `events (no primary key)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.keys.table)?;
        if self.keys.columns.is_empty() {
            f.write_str(" (no primary key)")?;
        }
        self.keys.columns.iter().try_for_each(|(at, name)| write!(f, " {name}={}", self.row.get(*at).to_json()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_withheld_is_seen_when_it_is_released() {
        let call = GuestCall::new(NodeId(0), NodeVersion(1), 0, Value::Null, Value::Null);
        call.withhold();
        call.resolve(Ok(Value::Int(5)));
        assert_eq!((call.answer(), call.outcome()), (None, Some(&Ok(Value::Int(5)))));
        call.release();
        assert_eq!(call.answer(), Some(&Ok(Value::Int(5))));
    }
}
