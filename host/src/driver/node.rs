//! One node as the writer knows it: the version that is asked, the one to go back to, what is asked and what waits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use super::conduct::Conduct;
use super::tally::NodeTally;
use crate::dataflow::guest::{GuestCall, NodeVersion};
use crate::dataflow::plan::NodeId;
use crate::wasm::{self, NodeKind};

/// Calls of one version of a node in one tick.
pub(super) type Batch = ((NodeId, NodeVersion, u64), Vec<Arc<GuestCall>>);

/// One node of the configuration.
#[derive(Default)]
pub(super) struct Node {
    /// The version that is asked; `None`: never loaded.
    pub version: Option<NodeVersion>,
    /// What that is.
    pub kind: Option<NodeKind>,
    /// What queries use it as, if any does.
    pub expected: Option<NodeKind>,
    /// The one to go back to.
    pub before: Option<Before>,
    /// What it was asked first, until that is judged.
    pub opening: Option<Opening>,
    /// Tells one asking anew from the next: the number of times; with `every`, the time in milliseconds since 1970.
    pub tick: u64,
    pub every: Option<Duration>,
    /// When `every` is due next.
    pub due: Option<Instant>,
    /// Batches that are being answered.
    pub open: usize,
    /// What is to be asked when one of them is done; nothing, if there are less than there may be.
    pub backlog: Vec<Arc<GuestCall>>,
    /// Of a configuration that is not served yet.
    pub is_tried: bool,
    /// Whether it has said if it can be loaded.
    pub reported: bool,
    /// Of its file.
    pub folder: PathBuf,
    pub conduct: Conduct,
    pub failures: Failures,
    pub tally: Arc<NodeTally>,
}

/// The last version that answered rows well; while none did, the last that nothing is known against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Before {
    pub version: NodeVersion,
    pub is_proven: bool,
}

/// The first batch that a version on trial is asked: all that documents show, when it takes the place of another.
///
/// What it is asked after that (of rows that are written meanwhile) is answered sooner, one row at a time. If that counted, rows
/// that are written often would decide; and if it was shown, clients would see a version that is rolled back.
pub(super) struct Opening {
    /// Tells the batch from others.
    pub first: Arc<GuestCall>,
    /// Dropped when the batch has been judged: then the others are.
    pub judged: watch::Sender<()>,
}

/// What the engine is to ask from now on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub node: NodeId,
    /// `None`: nothing, so documents wait.
    pub version: Option<NodeVersion>,
    pub tick: u64,
}

/// Rows that a version of a node failed on.
#[derive(Clone, Default)]
pub(super) struct Failures {
    /// One that is asked again and fails again counts again.
    pub rows: u64,
    /// How many of them the log has not told yet, since when it last told any.
    pub untold: u64,
    pub told: Option<Instant>,
    /// Why the last one did.
    pub last: String,
}

impl Failures {
    /// How often, as the log tells it now.
    pub(super) fn since_told(&self) -> String {
        let untold = times(self.untold);
        if self.untold == self.rows { untold } else { format!("{untold} more, {} in all", times(self.rows)) }
    }
}

pub(super) fn times(number: u64) -> String {
    if number == 1 { "once".into() } else { format!("{number} times") }
}

impl Node {
    pub(super) fn change(&self, node: NodeId) -> Change {
        Change { node, version: self.version.filter(|_| self.fits() && !self.conduct.rests()), tick: self.tick }
    }

    /// What it said, with its place as a terminal finds it.
    pub(super) fn placed(&self, message: &str) -> String {
        wasm::placed(&self.folder, message)
    }

    /// Whether it is what queries use it as. If they change it may not be, and its answers mean nothing to them.
    pub(super) fn fits(&self) -> bool {
        self.expected.is_none_or(|expected| self.kind.is_none_or(|kind| kind == expected))
    }

    /// Whether this is the version to be asked, and nothing is known of it yet.
    pub(super) fn is_on_trial(&self, version: NodeVersion) -> bool {
        self.version == Some(version) && self.conduct.is_untried()
    }

    /// What the answers to these calls are to wait for, if they must. The first of a version on trial are its opening.
    pub(super) fn wait_for_opening(
        &mut self,
        version: NodeVersion,
        calls: &[Arc<GuestCall>],
    ) -> Option<watch::Receiver<()>> {
        if !self.is_on_trial(version) {
            return None;
        }
        if let Some(opening) = &self.opening {
            return Some(opening.judged.subscribe());
        }
        self.opening = calls.first().map(|first| Opening { first: first.clone(), judged: watch::Sender::new(()) });
        None
    }

    /// A batch of what waits, if there may be another: of the version and tick to be asked now, before others. What nobody needs any
    /// more is added to `abandoned`.
    pub(super) fn next_batch(&mut self, most: usize, abandoned: &mut Vec<Arc<GuestCall>>) -> Option<Batch> {
        if self.open >= most {
            return None;
        }
        // Who needs an answer holds the call, too: a cell, or a state of a document.
        abandoned.extend(self.backlog.extract_if(.., |call| Arc::strong_count(call) == 1));
        let is_current = |call: &&Arc<GuestCall>| self.version == Some(call.version) && self.tick == call.tick;
        let of = batch_of(self.backlog.iter().find(is_current).or(self.backlog.first())?);
        Some((of, self.backlog.extract_if(.., |call| batch_of(call) == of).collect()))
    }

    /// Nothing that was answered before answers what is asked from now on.
    pub(super) fn ask_anew(&mut self, now: Instant) {
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
        let next = self.tick + 1;
        self.tick = if self.every.is_some() { next.max(time) } else { next };
        self.due = self.every.map(|every| now + every);
    }
}

impl Opening {
    pub(super) fn is(&self, call: &Arc<GuestCall>) -> bool {
        Arc::ptr_eq(&self.first, call)
    }
}

pub(super) fn batch_of(call: &GuestCall) -> (NodeId, NodeVersion, u64) {
    (call.node, call.version, call.tick)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(version: u64) -> Vec<Arc<GuestCall>> {
        let args = crate::data::Value::Null;
        vec![Arc::new(GuestCall::new(NodeId(0), NodeVersion(version), 0, args.clone(), args))]
    }

    #[test]
    fn what_nobody_needs_any_more_is_not_asked_and_what_is_new_is_asked_first() {
        let (old, needed, new) = (call(1), call(1), call(2));
        let backlog = [old, needed.clone(), new.clone()].concat();
        let mut node = Node { version: Some(NodeVersion(2)), open: 1, backlog, ..Node::default() };
        let mut abandoned = Vec::new();
        assert!(node.next_batch(1, &mut abandoned).is_none(), "one is open");
        node.open = 0;
        let (of, calls) = node.next_batch(1, &mut abandoned).expect("a batch");
        assert_eq!((of.1, calls.len(), abandoned.len()), (NodeVersion(2), 1, 1));
        assert!(Arc::ptr_eq(&calls[0], &new[0]));
        let (of, calls) = node.next_batch(1, &mut abandoned).expect("another");
        assert_eq!((of.1, calls.len(), abandoned.len()), (NodeVersion(1), 1, 1));
        assert!(Arc::ptr_eq(&calls[0], &needed[0]));
        assert!(node.next_batch(1, &mut abandoned).is_none() && node.backlog.is_empty());
    }

    #[test]
    fn failures_are_counted_from_when_they_were_last_told() {
        let failures = |rows, untold| Failures { rows, untold, ..Failures::default() }.since_told();
        assert_eq!(failures(1, 1), "once");
        assert_eq!(failures(5, 1), "once more, 5 times in all");
        assert_eq!(failures(7, 3), "3 times more, 7 times in all");
    }

    #[test]
    fn answers_after_the_first_wait_until_those_are_judged() {
        let mut node = Node { version: Some(NodeVersion(2)), conduct: Conduct::begin(true), ..Node::default() };
        let opening = call(2);
        assert!(node.wait_for_opening(NodeVersion(1), &call(1)).is_none(), "of the version before");
        assert!(node.wait_for_opening(NodeVersion(2), &opening).is_none());
        let late = node.wait_for_opening(NodeVersion(2), &call(2)).expect("it waits");
        assert!(late.has_changed().is_ok());
        assert!(node.opening.take_if(|it| it.is(&call(2)[0])).is_none());
        assert!(node.opening.take_if(|it| it.is(&opening[0])).is_some());
        assert!(late.has_changed().is_err(), "it waits no longer");
    }
}
