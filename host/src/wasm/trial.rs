//! One node asked outside of any server, on the caller's own thread: what `sangre node test` does.
//!
//! A row's answer must not depend on what the instance was asked before. So a trial can be told which instances to take:
//! those that were used before, or for each call a new one.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::batch::{Numbers, Questions};
use super::error::NodeError;
use super::host::{HostSettings, NodeEvent, NodeHost, NodeSource, NodeSpec};
use super::program::{NodeKind, Program};
use super::usage::{Usage, Used};
use crate::data::Value;
use crate::dataflow::guest::{GuestCall, GuestError};
use crate::dataflow::plan::NodeId;

/// The trial's only node.
const NODE: NodeId = NodeId(0);

/// Why a trial could not be had.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    #[error(transparent)]
    Host(#[from] NodeError),
    /// One line: what is wrong with the file.
    #[error("{}", located(.file, .reason))]
    NotLoaded { file: PathBuf, reason: String },
}

/// `message` with its place as a terminal finds it, if it begins with one: a language names files as they are in the node's `folder`.
pub fn placed(folder: &Path, message: &str) -> String {
    found_in(folder, message).unwrap_or_else(|| message.to_owned())
}

/// The message, if it begins with the place of a file in `folder`, as a terminal finds that.
pub(super) fn found_in(folder: &Path, message: &str) -> Option<String> {
    let (place, _) = message.split_once([':', ' ']).filter(|(place, _)| !place.is_empty())?;
    let path = folder.strip_prefix(".").unwrap_or(folder).join(place);
    path.is_file().then(|| format!("{}{}", path.display(), &message[place.len()..]))
}

/// A reason that begins with its place needs no other.
fn located(file: &Path, reason: &str) -> String {
    if let Some(placed) = file.parent().and_then(|folder| found_in(folder, reason)) {
        return placed;
    }
    let shown = file.display().to_string();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let begins = |place: &str| reason.strip_prefix(place).is_some_and(|rest| rest.starts_with([':', ' ']));
    if begins(&shown) {
        reason.to_owned()
    } else if begins(&name) {
        shown + &reason[name.len()..]
    } else {
        format!("{shown}: {reason}")
    }
}

/// What a configuration would say of the node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given {
    /// What queries use it as.
    pub kind: Option<NodeKind>,
    /// `None`: the default.
    pub deadline: Option<Duration>,
    /// Bytes of one instance. `None`: the default.
    pub memory: Option<usize>,
    pub numbers: Numbers,
    /// What its clocks show, in milliseconds since 1970. `None`: it has none.
    pub tick: Option<u64>,
}

/// A loaded node.
pub struct Trial {
    program: Arc<Program>,
    tick: u64,
    usage: Arc<Usage>,
    /// What the program is loaded by; ends with this value.
    _host: NodeHost,
}

type Asked = Questions<Arc<GuestCall>>;

/// What came of a row: its answer, or why there is none.
pub type Answer = Result<Value, Arc<GuestError>>;

impl Trial {
    /// Loads a node. Takes seconds where a runtime has to be built or a large component compiled.
    pub async fn load(source: NodeSource, given: Given) -> Result<Self, TrialError> {
        let file = source.path().to_owned();
        let mut spec = NodeSpec::new(NODE, file_name(&source), source);
        (spec.kind, spec.numbers, spec.has_clock) = (given.kind, given.numbers, given.tick.is_some());
        spec.limits.deadline = given.deadline.unwrap_or(spec.limits.deadline);
        spec.limits.memory = given.memory.unwrap_or(spec.limits.memory);
        let tick = given.tick.unwrap_or_default();
        let usage = spec.usage.clone();
        let (host, mut events) = NodeHost::start(HostSettings { parallel: 1, ..HostSettings::default() }, vec![spec])?;
        loop {
            match events.recv().await {
                Some(NodeEvent::Loaded { version, .. }) => {
                    if let Some(program) = host.program_of(NODE, version) {
                        return Ok(Trial { program, tick, usage, _host: host });
                    }
                }
                Some(NodeEvent::Failed { reason, .. }) => return Err(TrialError::NotLoaded { file, reason }),
                Some(_) => {}
                None => return Err(NodeError::Engine("it ended before the node was loaded".into()).into()),
            }
        }
    }

    pub fn kind(&self) -> NodeKind {
        self.program.kind()
    }

    /// Of its code and settings.
    pub fn version(&self) -> String {
        format!("{:016x}", self.program.version().0)
    }

    /// From now on each call, a batch of rows, is given an instance that was asked nothing before.
    pub fn take_fresh_instances(&self) {
        self.program.supersede();
    }

    /// Asks all rows with the same args and at the same time, in batches as the server would make them, and waits; an answer for each, in order.
    pub fn ask(&self, args: &Value, rows: &[Value]) -> Vec<Answer> {
        self.answers(args, rows, |questions| questions)
    }

    /// The same, and what the function reads of row and args that is not there is in the log, unless its language makes an error of it. That
    /// takes longer.
    pub fn ask_watched(&self, args: &Value, rows: &[Value]) -> Vec<Answer> {
        match self.program.can_watch() {
            true => self.answers(args, rows, Questions::watched),
            false => self.ask(args, rows),
        }
    }

    fn answers(&self, args: &Value, rows: &[Value], how: fn(Asked) -> Asked) -> Vec<Answer> {
        let call =
            |row: &Value| Arc::new(GuestCall::new(NODE, self.program.version(), self.tick, args.clone(), row.clone()));
        let calls: Vec<Arc<GuestCall>> = rows.iter().map(call).collect();
        let questions = how(Questions::new(calls.clone(), self.program.numbers()));
        let mut next = 0;
        while next < questions.len() {
            let (Range { start, end }, text) = questions.batch(next, self.program.batch_bytes());
            if let Err(failure) = questions.ask(&self.program, start..end, &text) {
                questions.fail(end..questions.len(), &failure);
                break;
            }
            next = end;
        }
        calls.iter().map(|call| call.answer().cloned().expect("each is answered or failed")).collect()
    }

    /// What all calls have taken so far.
    pub fn used(&self) -> Used {
        self.usage.now()
    }
}

fn file_name(source: &NodeSource) -> String {
    source.path().file_stem().unwrap_or(source.path().as_os_str()).to_string_lossy().into_owned()
}
