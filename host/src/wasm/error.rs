//! Why a node could not be loaded, and what a guest did wrong.
//!
//! Two kinds that never mix: a [`NodeError`] is about a file and reaches whoever operates the server; a [`Fault`] is about
//! one batch and becomes, once the row is found, that row's error.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::program::NodeKind;
use super::tools::ToolError;

/// What to do about a file that cannot be used as it is.
fn way_out(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("wasm") => ": `sangre node build` makes one of a source",
        Some("rs") => "; of Rust `sangre node build` makes a file for `component:`",
        _ => "",
    }
}

/// Why a node's file did not become a running node. The version before stays.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("{} does not exist{}", .0.display(), way_out(.0))]
    Missing(PathBuf),
    /// On the way to it there is a link to nowhere: a deployment that was taken away, or is not complete.
    #[error("{} does not exist: {} is a link to {}, which does not exist", .path.display(), .link.display(), .target.display())]
    LinkToNowhere { path: PathBuf, link: PathBuf, target: PathBuf },
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} changed while it was read: it is looked at again", .0.display())]
    Changed(PathBuf),
    #[error("{importer}:{line}: imports \"{from}\": there is no {}", .path.display())]
    MissingImport { importer: String, line: u32, from: String, path: PathBuf },
    #[error("{importer}:{line}: imports \"{from}\", with which the script has more than {limit} files")]
    TooManyFiles { importer: String, line: u32, from: String, limit: usize },
    #[error("{} has {size} bytes: a node may have {limit}", .path.display())]
    TooLarge { path: PathBuf, size: u64, limit: u64 },
    #[error("{} is not a script this server runs: it has to end in .js, .mjs, .ts, .mts or .py{}", .0.display(), way_out(.0))]
    UnknownLanguage(PathBuf),
    #[error("{} is not UTF-8", .0.display())]
    NotText(PathBuf),
    #[error("not a WebAssembly component: the file begins with other bytes")]
    NotWasm,
    #[error(
        "a core WebAssembly module, not a component: `sangre node build` makes one of it; or build it for wasm32-wasip2"
    )]
    CoreModule,
    #[error("not a valid component (was the file cut short?): {0}")]
    Invalid(String),
    #[error("exports no node: a node exports one of sangre:node/filter-rows, map-rows or reduce-lists")]
    NoNode,
    #[error("exports {0}: a node exports one of them")]
    SeveralNodes(String),
    #[error("speaks sangre:node {found}, this server speaks {known}")]
    Version { found: String, known: &'static str },
    #[error("does not fit this server: {0}")]
    Imports(String),
    #[error(
        "compiling takes longer than its compile_time of {limit:?}: it goes on, and what it makes is taken when it is done"
    )]
    CompileTime { limit: Duration },
    #[error("is compiled later: an earlier version of it still is, for longer than its compile_time of {limit:?}")]
    CompilerTaken { limit: Duration },
    #[error("cannot be started: {0}")]
    Start(String),
    /// The language's own message, with file and line.
    #[error("{0}")]
    Script(String),
    #[error("is a {found}, but is used as a {expected}: use it as a {found}, or export {} instead", .expected.function())]
    Kind { found: NodeKind, expected: NodeKind },
    #[error(
        "failed on {failed} of the first {tried} rows that it was tried on, all answered by the version before, the last: {last}"
    )]
    Probe { failed: usize, tried: usize, last: String },
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error("the WebAssembly engine cannot be started: {0}")]
    Engine(String),
    /// A mistake of the server, not of the file.
    #[error("the server failed while it loaded the file: {0}")]
    Panic(String),
}

impl NodeError {
    /// Whether the file or one that it imports is not there, as for a moment while an editor replaces it.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, NodeError::Missing(_) | NodeError::LinkToNowhere { .. } | NodeError::MissingImport { .. })
    }

    /// What a thread that loaded a file panicked with.
    pub(super) fn panicked(with: &(dyn Any + Send)) -> Self {
        let text = with.downcast_ref::<&str>().map(|text| (*text).to_owned());
        NodeError::Panic(text.or_else(|| with.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason".into()))
    }
}

/// A number of bytes as people write it: exactly, in the largest unit that does.
fn amount(bytes: usize) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

/// What went wrong with a batch as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("took longer than its deadline of {deadline_ms} ms (`deadline:` sets it)")]
    Deadline { deadline_ms: u128 },
    /// Not an error of the guest: it is asked again where it harms nobody.
    #[error("took longer than whoever asked could wait")]
    Impatience,
    #[error("used more than its {} of memory", amount(*limit))]
    Memory { limit: usize },
    #[error("used a table of more than {limit} entries")]
    Table { limit: usize },
    #[error("recursion too deep: the call stack is used up")]
    Stack,
    /// A panic's or exception's own message, or what the guest wrote to stderr before it trapped.
    #[error("{0}")]
    LastWords(String),
    #[error("trapped: {0}")]
    Trap(String),
    /// Something that no program compiled from the interface does.
    #[error("broke the interface: {0}")]
    Interface(String),
    #[error("answered {size} bytes: a batch's answers may have {limit}")]
    TooMuch { size: usize, limit: usize },
    #[error("said more than it may in one call: {} of answers and {} of messages", amount(*output), amount(*messages))]
    TooTalkative { output: usize, messages: usize },
    #[error("answered invalid JSON: {0}")]
    NotJson(String),
    #[error("answered JSON nested deeper than {limit} levels")]
    TooDeep { limit: usize },
    #[error("answered {answers} values for {rows} rows")]
    Count { answers: usize, rows: usize },
    #[error("says that row {row} failed, of a batch of {rows} rows (counted from 0)")]
    NoSuchRow { row: usize, rows: usize },
    #[error("a new instance could not be made: {0}")]
    Start(String),
}

/// Why a row has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub message: String,
    /// Asked again later, the row may have one: the fault is the machine's or another row's.
    pub passing: bool,
}

impl Failure {
    /// The row's own fault.
    pub fn lasting(message: impl Into<String>) -> Self {
        Failure { message: shortened(message.into()), passing: false }
    }

    /// Somebody else's.
    pub fn passing(message: impl Into<String>) -> Self {
        Failure { message: shortened(message.into()), passing: true }
    }
}

/// Bytes of a message. A row keeps its own for as long as somebody shows the row.
const MESSAGE: usize = 4096;

/// What a guest or its file made of a message, cut where no person would read on.
pub(super) fn shortened(mut message: String) -> String {
    if message.len() > MESSAGE {
        message.truncate(message.floor_char_boundary(MESSAGE));
        message.push('…');
        message.shrink_to_fit();
    }
    message
}

impl From<&Fault> for Failure {
    fn from(fault: &Fault) -> Self {
        // The deadline is one of the clock on the wall, and a busy machine is no fault of the row.
        let passing = matches!(fault, Fault::Deadline { .. } | Fault::Impatience | Fault::Start(_));
        Failure { message: shortened(fault.to_string()), passing }
    }
}
