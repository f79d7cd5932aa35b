//! What a node may take: each limit with its key, its default, and the most that can be kept to.

use std::fmt;

use super::node::NodeSource;
use super::quantity::{Quantity, show_bytes, show_duration_ms};
use super::server::{self, number};
use crate::query::fields::{Fields, Keys};
use crate::query::problem::{Path, Problems};
use crate::query::tree::{Kind, Tree};

/// Keys of a node's `limits`.
pub const NODE_LIMITS: Keys = Keys {
    known: &["size", "files", "compile_time", "output", "depth", "messages", "log_lines", "calls", "growth"],
    later: &[],
};

/// How long a batch may be computed; the cost of a byte is measured in picoseconds, and an hour of it still is a number.
pub const DEADLINE: Quantity = Quantity::duration("100ms", 1, 3_600_000);

/// Memory of an instance: WebAssembly's addresses have 32 bits.
pub const MEMORY: Quantity = Quantity::size("64MiB", 4 << 30);

const COMPILE_TIME: Quantity = Quantity::duration("2m", 1, 3_600_000);
const MESSAGES: Quantity = Quantity::size("4MiB", server::MAX_NODE_BYTES);
const GROWTH: Quantity = Quantity::size("16MiB", 4 << 30);

/// Deeper, reading, comparing and dropping values might overflow a stack, in clients if not here.
const MAX_DEPTH: usize = 100;

/// Each file is looked for among those known.
const MAX_FILES: usize = 10_000;

/// Of the log of the whole server.
const MAX_LOG_LINES: usize = 100_000;

/// An instance for ever is what this is to prevent.
const MAX_CALLS: usize = 1_000_000;

/// The limits of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLimits {
    /// The longest a batch may be computed.
    pub deadline_ms: u64,
    /// The most memory one instance may have.
    pub memory_bytes: u64,
    /// Bytes of its file, of a script's files together.
    pub size_bytes: u64,
    /// Of a script.
    pub files: usize,
    /// How long a component may be compiled.
    pub compile_time_ms: u64,
    /// Bytes of the answers to one batch.
    pub output_bytes: u64,
    /// Levels of an answer.
    pub depth: usize,
    /// Bytes of what else is said in one call.
    pub messages_bytes: u64,
    /// In a second.
    pub log_lines: usize,
    /// Calls after which an instance is replaced.
    pub calls: usize,
    /// Bytes of growth after which an instance is replaced.
    pub growth_bytes: u64,
}

impl NodeLimits {
    /// What a node has that says nothing of its own.
    pub(super) fn of(source: Option<&NodeSource>, all: &server::Limits) -> Self {
        let python = |path: &std::path::Path| path.extension().is_some_and(|extension| extension == "py");
        NodeLimits {
            deadline_ms: 100,
            // Python begins with more than other languages end with.
            memory_bytes: match source {
                Some(NodeSource::Script(path)) if python(path) => 256 << 20,
                _ => 64 << 20,
            },
            size_bytes: all.component_bytes as u64,
            files: 1_000,
            compile_time_ms: 120_000,
            output_bytes: all.output_bytes as u64,
            depth: MAX_DEPTH,
            messages_bytes: 4 << 20,
            log_lines: 100,
            calls: 1_000,
            growth_bytes: 16 << 20,
        }
    }

    /// Reads what a node's `fields` say of its limits over these.
    pub(super) fn read(mut self, fields: &Fields<'_>, source: Option<&NodeSource>, problems: &mut Problems) -> Self {
        quantity(fields, "deadline", &DEADLINE, &mut self.deadline_ms, problems);
        quantity(fields, "memory", &MEMORY, &mut self.memory_bytes, problems);
        if let Some(tree) = fields.get("limits") {
            self.read_limits(tree, &fields.at("limits"), source, problems);
        }
        self
    }

    fn read_limits(&mut self, tree: &Tree, path: &Path, source: Option<&NodeSource>, problems: &mut Problems) {
        let Some(fields) = Fields::open(tree, path, &NODE_LIMITS, problems) else { return };
        let misplaced = match source {
            Some(NodeSource::Component(_)) => Some(("files", "`files` is for scripts: a component is one file")),
            Some(NodeSource::Script(_)) => {
                Some(("compile_time", "`compile_time` is for components: a script is not compiled"))
            }
            None => None,
        };
        if let Some((key, message)) = misplaced
            && let Some(tree) = fields.get(key)
        {
            problems.push(tree.place, &fields.at(key), message);
        }
        quantity(&fields, "size", &server::NODE_BYTES, &mut self.size_bytes, problems);
        quantity(&fields, "compile_time", &COMPILE_TIME, &mut self.compile_time_ms, problems);
        quantity(&fields, "output", &server::NODE_BYTES, &mut self.output_bytes, problems);
        quantity(&fields, "messages", &MESSAGES, &mut self.messages_bytes, problems);
        quantity(&fields, "growth", &GROWTH, &mut self.growth_bytes, problems);
        let mut count = |key: &str, most: usize, to: &mut usize| {
            if let Some(read) = number(&fields, key, 1, most, problems) {
                *to = read;
            }
        };
        count("files", MAX_FILES, &mut self.files);
        count("depth", MAX_DEPTH, &mut self.depth);
        count("log_lines", MAX_LOG_LINES, &mut self.log_lines);
        count("calls", MAX_CALLS, &mut self.calls);
    }

    /// All that apply to a node from `source`, as they are written in a file: two lines.
    pub fn shown<'a>(&'a self, source: &'a NodeSource) -> impl fmt::Display + 'a {
        Shown { limits: self, source }
    }
}

struct Shown<'a> {
    limits: &'a NodeLimits,
    source: &'a NodeSource,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NodeLimits { files, depth, log_lines, calls, .. } = self.limits;
        let bytes = show_bytes;
        let limits = self.limits;
        writeln!(f, "deadline: {}, memory: {}", show_duration_ms(limits.deadline_ms), bytes(limits.memory_bytes))?;
        write!(f, "limits: {{ size: {}, ", bytes(limits.size_bytes))?;
        match self.source {
            NodeSource::Script(_) => write!(f, "files: {files}, ")?,
            NodeSource::Component(_) => write!(f, "compile_time: {}, ", show_duration_ms(limits.compile_time_ms))?,
        }
        let (output, messages) = (bytes(limits.output_bytes), bytes(limits.messages_bytes));
        write!(f, "output: {output}, depth: {depth}, messages: {messages}, log_lines: {log_lines}, ")?;
        write!(f, "calls: {calls}, growth: {} }}", bytes(limits.growth_bytes))
    }
}

/// The duration or size at `key`, if it is there.
pub(super) fn quantity(fields: &Fields<'_>, key: &str, is: &Quantity, to: &mut u64, problems: &mut Problems) {
    let Some(tree) = fields.get(key) else { return };
    let read = match &tree.kind {
        Kind::Text(text) => is.read(text),
        _ => Err(is.expected()),
    };
    match read {
        Ok(read) => *to = read,
        Err(expected) => problems.push(tree.place, &fields.at(key), expected),
    }
}
