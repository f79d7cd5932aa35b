//! One version of one node, ready to be asked: its code, its warm instances, and what its rows cost.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::batch::Numbers;
use super::bindings::{Answers, Script, SourceFile};
use super::component::{Code, Export};
use super::error::{Fault, NodeError};
use super::instance::{Batch, Guest};
use super::limits::Limits;
use super::log::{Level, NodeLog};
use super::usage::Usage;
use super::waste::Waste;
use crate::dataflow::guest::NodeVersion;

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// `keep(row, args)`: true or false.
    Filter,
    /// `transform(row, args)`: any JSON value.
    Map,
    /// `reduce(rows, args)`: one JSON value for a list.
    Reduce,
}

impl NodeKind {
    /// The function a guest author writes.
    pub fn function(self) -> &'static str {
        match self {
            NodeKind::Filter => "keep",
            NodeKind::Map => "transform",
            NodeKind::Reduce => "reduce",
        }
    }
}

impl fmt::Display for NodeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NodeKind::Filter => "filter",
            NodeKind::Map => "map",
            NodeKind::Reduce => "reduce",
        })
    }
}

/// What a program is made of.
pub(super) struct Parts {
    pub version: NodeVersion,
    pub code: Arc<Code>,
    /// For a script runtime.
    pub source: Option<Vec<SourceFile>>,
    /// What queries use the node as, where that is known.
    pub expected: Option<NodeKind>,
    pub limits: Limits,
    pub numbers: Numbers,
    /// Whether it may read a clock.
    pub has_clock: bool,
    pub usage: Arc<Usage>,
    pub log: NodeLog,
}

/// A version of a node.
pub(super) struct Program {
    parts: Parts,
    kind: NodeKind,
    /// Started guests that wait for work. Never more than ran at once.
    idle: Mutex<Vec<Guest>>,
    /// A newer version has taken its place: what still runs finishes, nothing is kept warm.
    superseded: AtomicBool,
    cost: Cost,
    trust: Trust,
    waste: Waste,
    /// Whether the log says that it rests.
    is_told: AtomicBool,
    was_watched: AtomicBool,
}

/// What a batch may cost, as far as is known, to be asked in passing.
pub(super) const IN_PASSING: Duration = Duration::from_micros(100);

/// How much a guest that is asked in passing may compute before it is stopped.
const PATIENCE: Duration = Duration::from_millis(1);

impl Program {
    /// Starts a first instance, which settles the kind and finds what cannot start at all.
    pub fn start(parts: Parts) -> Result<Self, NodeError> {
        let first = started(&parts)?;
        let kind = first.1;
        if let Some(expected) = parts.expected.filter(|expected| *expected != kind) {
            return Err(NodeError::Kind { found: kind, expected });
        }
        Ok(Program {
            parts,
            kind,
            idle: Mutex::new(vec![first.0]),
            superseded: AtomicBool::new(false),
            cost: Cost::default(),
            trust: Trust::default(),
            waste: Waste::default(),
            is_told: AtomicBool::new(false),
            was_watched: AtomicBool::new(false),
        })
    }

    pub fn kind(&self) -> NodeKind {
        self.kind
    }

    pub fn version(&self) -> NodeVersion {
        self.parts.version
    }

    /// Whether it tells what its function reads and is not there, if it is asked to: a script does.
    pub fn can_watch(&self) -> bool {
        self.parts.source.is_some()
    }

    /// Whether the row that is asked next is to be watched: the first one, if none was before. It is asked alone.
    pub fn begins_watched(&self) -> bool {
        self.can_watch() && !self.was_watched.swap(true, Ordering::Relaxed)
    }

    /// It was tried on rows, and watched as far as it can be.
    pub fn has_been_tried(&self) {
        self.was_watched.store(true, Ordering::Relaxed);
    }

    pub fn numbers(&self) -> Numbers {
        self.parts.numbers
    }

    /// What its clocks show, if it has any, when everything is asked anew for the `tick`th time.
    pub fn clock(&self, tick: u64) -> Option<u64> {
        self.parts.has_clock.then_some(tick)
    }

    pub fn limits(&self) -> &Limits {
        &self.parts.limits
    }

    /// Asks a batch of an instance: a warm one if there is any.
    pub fn evaluate(&self, batch: Batch<'_>) -> Result<Answers, Fault> {
        let mut guest = match self.warm() {
            Some(guest) => guest,
            None => started(&self.parts).map_err(|error| Fault::Start(error.to_string()))?.0,
        };
        let outcome = guest.evaluate(batch, None);
        let computed = guest.computed();
        self.parts.usage.count(computed, guest.memory());
        if matches!(outcome, Ok(_) | Err(Fault::Deadline { .. })) {
            self.cost.learn(batch.text.len(), computed);
        }
        // After a fault the guest is in no state to be asked again, and is dropped.
        let answers = outcome.inspect_err(|_| self.wasted(computed)).map_err(|fault| self.placed(fault))?;
        self.trust.answered(computed < IN_PASSING);
        self.keep(guest);
        Ok(answers)
    }

    /// A language that has used up its stack has no words left; of a script its file is known here.
    fn placed(&self, fault: Fault) -> Fault {
        match (&fault, self.parts.source.as_deref().and_then(<[SourceFile]>::first)) {
            (Fault::Stack, Some(file)) => Fault::LastWords(format!("{}: {fault}", file.name)),
            _ => fault,
        }
    }

    fn wasted(&self, computed: Duration) {
        let rest = self.waste.note(computed, Instant::now());
        if !rest.is_zero() && !self.is_told.swap(true, Ordering::Relaxed) {
            let message =
                "computes much without an answer: it is asked less often, so that this takes a tenth of a processor";
            self.parts.log.write(Level::Warn, message);
        }
    }

    /// Until when it is not to be asked, after it computed too much for nothing. One that has been superseded is asked at once: the sooner
    /// what it still has to answer is over.
    pub fn rests_until(&self, now: Instant) -> Option<Instant> {
        self.waste.rests_until(now).filter(|_| !self.superseded.load(Ordering::Relaxed))
    }

    /// Asks a batch if the answer is certain to be there in a moment: for who has no time to wait. Every reason to doubt it,
    /// a fault too, gives `None`, and the batch is to be asked as usual.
    pub fn evaluate_in_passing(&self, batch: Batch<'_>) -> Option<Answers> {
        if !self.trust.is_earned() || batch.text.len() > self.cost.bytes_in(IN_PASSING) {
            return None;
        }
        let mut guest = self.warm()?;
        let outcome = guest.evaluate(batch, Some(PATIENCE));
        let computed = guest.computed();
        self.parts.usage.count(computed, guest.memory());
        match outcome {
            Ok(answers) => {
                self.cost.learn(batch.text.len(), computed);
                if computed >= PATIENCE {
                    self.trust.abused();
                }
                self.keep(guest);
                Some(answers)
            }
            Err(_) => {
                self.trust.abused();
                None
            }
        }
    }

    /// A started guest that waits for work.
    fn warm(&self) -> Option<Guest> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(&self, guest: Guest) {
        if !guest.is_worn() && !self.superseded.load(Ordering::Relaxed) {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(guest);
        }
    }

    /// How many bytes a batch should have, to take a quarter of the deadline and, read by the guest, fit its memory.
    pub fn batch_bytes(&self) -> usize {
        self.cost.bytes_in(self.parts.limits.deadline / 4).min(self.parts.limits.memory / 64)
    }

    /// Takes its place again.
    pub fn reinstate(&self) {
        self.superseded.store(false, Ordering::Relaxed);
    }

    /// Lets go of what is kept warm. The program still answers.
    pub fn supersede(&self) {
        self.superseded.store(true, Ordering::Relaxed);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A new guest, with its source loaded.
fn started(parts: &Parts) -> Result<(Guest, NodeKind), NodeError> {
    let begin = Instant::now();
    let started = start(parts)?;
    parts.usage.started(begin.elapsed());
    Ok(started)
}

fn start(parts: &Parts) -> Result<(Guest, NodeKind), NodeError> {
    let start = Guest::start(&parts.code, parts.limits, parts.log.clone());
    let mut guest = start.map_err(|fault| match fault {
        Fault::Start(reason) => NodeError::Start(reason),
        fault => NodeError::Start(fault.to_string()),
    })?;
    match (&parts.source, parts.code.export) {
        (None, Export::Node(kind)) => Ok((guest, kind)),
        (Some(source), Export::Script) => {
            let script = Script { files: source, expected: parts.expected };
            let kind = guest.load(&script)?;
            Ok((guest, kind))
        }
        (None, Export::Script | Export::Reader) => Err(NodeError::NoNode),
        (Some(_), Export::Node(_) | Export::Reader) => Err(NodeError::Start("not a runtime of scripts".into())),
    }
}

/// What a byte of input costs, in picoseconds. By the byte and not by the row, since a row may be a whole list.
///
/// Rises at once and falls slowly: a batch too small costs little, one too large trips the deadline. While nothing is known a batch is
/// one row; of one that took too long, it is known that it costs at least that.
#[derive(Debug, Default)]
struct Cost(AtomicU64);

impl Cost {
    fn learn(&self, bytes: usize, time: Duration) {
        let seen = (time.as_nanos() as u64).saturating_mul(1_000) / bytes.max(1) as u64;
        let seen = seen.max(1);
        let known = self.0.load(Ordering::Relaxed);
        let next = if seen >= known { seen } else { known - (known - seen) / 4 };
        self.0.store(next, Ordering::Relaxed);
    }

    fn bytes_in(&self, time: Duration) -> usize {
        match self.0.load(Ordering::Relaxed) {
            0 => 1,
            cost => usize::try_from(time.as_nanos() as u64 * 1_000 / cost).unwrap_or(usize::MAX).max(1),
        }
    }
}

/// Whether a node may be asked where a guest that hangs would hold up others, if only for the engine's next ticks.
///
/// Earned by batches in a row that were cheap where they harm nobody; each abuse doubles how many. So however a guest chooses
/// its moments, out of n batches at most about log2(n) hold anybody up.
#[derive(Debug)]
struct Trust {
    /// Cheap batches in a row.
    cheap: AtomicU64,
    /// How many there have to be.
    needed: AtomicU64,
}

/// Batches that earn trust at first, and at most: one that is slow now and then for its own reasons (a collector of garbage)
/// is not shut out for ever.
const NEEDED: (u64, u64) = (8, 1 << 13);

impl Default for Trust {
    fn default() -> Self {
        Trust { cheap: AtomicU64::new(0), needed: AtomicU64::new(NEEDED.0) }
    }
}

impl Trust {
    fn answered(&self, cheap: bool) {
        if cheap {
            self.cheap.fetch_add(1, Ordering::Relaxed);
        } else {
            self.cheap.store(0, Ordering::Relaxed);
        }
    }

    fn abused(&self) {
        self.cheap.store(0, Ordering::Relaxed);
        let needed = self.needed.load(Ordering::Relaxed);
        self.needed.store((needed * 2).min(NEEDED.1), Ordering::Relaxed);
    }

    fn is_earned(&self) -> bool {
        self.cheap.load(Ordering::Relaxed) >= self.needed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_is_earned_again_and_ever_more_slowly() {
        let trust = Trust::default();
        let mut abuses = 0;
        for _ in 0..10_000 {
            if trust.is_earned() {
                abuses += 1;
                trust.abused();
            } else {
                trust.answered(true);
            }
        }
        assert!((9..=11).contains(&abuses), "{abuses}");
        trust.answered(false);
        assert!(!trust.is_earned());
    }

    #[test]
    fn cost_rises_at_once_and_falls_slowly() {
        let cost = Cost::default();
        assert_eq!(cost.bytes_in(Duration::from_millis(25)), 1);
        cost.learn(1_000, Duration::from_micros(100));
        assert_eq!(cost.bytes_in(Duration::from_millis(25)), 250_000);
        cost.learn(1_000, Duration::from_micros(1_000));
        assert_eq!(cost.bytes_in(Duration::from_millis(25)), 25_000);
        cost.learn(1_000, Duration::from_micros(100));
        assert!(cost.bytes_in(Duration::from_millis(25)) < 40_000);
    }
}
