//! Tries a new version on rows that the one before answered, before anybody sees what comes of it.
//!
//! A row is remembered for as long as somebody shows it, so a probe costs no memory; and a node that nobody uses is not tried on
//! anything. That some rows fail is no reason to refuse a version: they have their policy. That most do is.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use super::batch::{Numbers, Question, Questions};
use super::error::{Failure, NodeError};
use super::inexact::Values;
use super::program::Program;
use crate::data::Value;
use crate::dataflow::guest::GuestCall;

/// How many rows are remembered of a node.
const ROWS: usize = 32;

/// How many of them may be of one batch.
const ROWS_OF_A_BATCH: usize = 8;

/// What a node was asked last.
#[derive(Default)]
pub(super) struct Recent(Mutex<VecDeque<Weak<GuestCall>>>);

impl Recent {
    /// Remembers some of these.
    pub fn note(&self, calls: &[Arc<GuestCall>]) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for call in calls.iter().take(ROWS_OF_A_BATCH) {
            if recent.len() == ROWS {
                recent.pop_front();
            }
            recent.push_back(Arc::downgrade(call));
        }
    }

    /// Asks `program` what others were asked and answered. The error says how many of them it failed on, if those are most.
    pub fn probe(&self, program: &Program) -> Result<(), NodeError> {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let calls: Vec<_> = recent.iter().filter_map(Weak::upgrade).collect();
        drop(recent);
        let rows: Vec<_> = calls.into_iter().filter(|call| matches!(GuestCall::answer(call), Some(Ok(_)))).collect();
        if !rows.is_empty() {
            program.has_been_tried();
        }
        let mut failed = 0;
        let mut is_watched = program.can_watch();
        for (before, call) in rows.iter().enumerate() {
            let mut failure = tried(call, program, is_watched);
            if is_watched && failure.as_ref().is_some_and(|failure| failure.passing) {
                // It may have run out of time because it was watched.
                is_watched = false;
                failure = tried(call, program, is_watched);
            }
            let Some(failure) = failure else { continue };
            failed += 1;
            if failed * 2 > rows.len() {
                return Err(NodeError::Probe { failed, tried: before + 1, last: failure.message });
            }
        }
        Ok(())
    }
}

/// Asks `program` once more what was answered before; why it fails, if it does.
fn tried(call: &Arc<GuestCall>, program: &Program, is_watched: bool) -> Option<Failure> {
    let trial = Arc::new(Trial { call: call.clone(), failure: OnceLock::new() });
    let questions = Questions::new(vec![trial.clone()], program.numbers()).tried();
    let questions = if is_watched { questions.watched() } else { questions };
    let (range, text) = questions.batch(0, usize::MAX);
    // Whatever it says is said of the one row, too.
    let _ = questions.ask(program, range, &text);
    trial.failure.get().cloned()
}

/// A question that was answered before.
struct Trial {
    call: Arc<GuestCall>,
    failure: OnceLock<Failure>,
}

impl Values for Arc<Trial> {
    fn args(&self) -> &Value {
        &self.call.args
    }

    fn input(&self) -> &Value {
        &self.call.input
    }
}

impl Question for Arc<Trial> {
    fn write_args(&self, numbers: Numbers, out: &mut String) {
        self.call.write_args(numbers, out);
    }

    fn write_input(&self, numbers: Numbers, out: &mut String) {
        self.call.write_input(numbers, out);
    }

    fn tick(&self) -> u64 {
        self.call.tick
    }

    fn has_same_args(&self, other: &Self) -> bool {
        self.call.has_same_args(&other.call)
    }

    fn answer(&self, answer: Result<Value, Failure>) {
        if let Err(failure) = answer {
            let _ = self.failure.set(failure);
        }
    }
}
