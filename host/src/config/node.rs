//! The nodes of the configuration: where their code is, and what they may take.

use std::path::{Path as FilePath, PathBuf};

use super::quantity::{parse_bytes, parse_duration_ms};
use crate::query::fields::{Fields, Keys, text};
use crate::query::problem::{Path, Problems, did_you_mean};
use crate::query::tree::{Name, Tree};
use crate::query::{NodeDefinition, OnError};

/// Keys of a node.
pub const NODE: Keys =
    Keys { known: &["script", "component", "every", "deadline", "memory", "numbers", "on_error"], later: &[] };

/// A node of the configuration.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    pub name: Name,
    pub source: NodeSource,
    /// The longest a batch may run.
    pub deadline_ms: u64,
    /// The most memory one instance may have.
    pub memory_bytes: u64,
    /// Numbers in rows and args reach it as strings.
    pub numbers_as_strings: bool,
    pub on_error: OnError,
    /// How often the node is asked everything anew; `None`: it has no clock.
    pub every_ms: Option<u64>,
}

impl NodeSettings {
    /// What queries have to know of it.
    pub fn definition(&self) -> NodeDefinition<'_> {
        NodeDefinition { name: self.name.as_str(), on_error: self.on_error, exact: self.numbers_as_strings }
    }
}

/// Where a node's code is; paths are absolute or count from the process's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeSource {
    /// Source for the ready runtime of its language: JavaScript, TypeScript or Python.
    Script(PathBuf),
    /// A WebAssembly component.
    Component(PathBuf),
}

pub(super) fn read_node(
    name: &Name,
    tree: &Tree,
    dir: &FilePath,
    path: &Path,
    problems: &mut Problems,
) -> Option<NodeSettings> {
    let fields = Fields::open(tree, path, &NODE, problems)?;
    let source = read_source(&fields, dir, problems);
    let deadline_ms = quantity(&fields, "deadline", "100ms", parse_duration_ms, problems);
    let memory_bytes = quantity(&fields, "memory", default_memory(&source), parse_bytes, problems);
    let numbers_as_strings = read_numbers(&fields, problems);
    let on_error = read_on_error(&fields, problems);
    let every_ms = read_every(&fields, problems);
    Some(NodeSettings {
        name: name.clone(),
        source: source?,
        deadline_ms: deadline_ms?,
        memory_bytes: memory_bytes?,
        numbers_as_strings: numbers_as_strings?,
        on_error: on_error?,
        every_ms: every_ms?,
    })
}

fn read_source(fields: &Fields<'_>, dir: &FilePath, problems: &mut Problems) -> Option<NodeSource> {
    let (script, component) = (fields.text("script", problems), fields.text("component", problems));
    match (script, component) {
        (Some(script), None) => {
            let at = fields.at("script");
            let extension = FilePath::new(script.as_str()).extension().and_then(|e| e.to_str()).unwrap_or_default();
            match extension {
                "js" | "mjs" | "ts" | "mts" | "py" => return Some(NodeSource::Script(dir.join(script.as_str()))),
                _ => problems.push(
                    script.place,
                    &at,
                    format!(
                        "\"{}\" is not JavaScript, TypeScript or Python: its name ends in .js, .mjs, .ts, .mts or .py",
                        script.text
                    ),
                ),
            }
        }
        (None, Some(component)) => {
            if !component.text.ends_with(".wasm") {
                let message = format!("\"{}\" is not a component: its name ends in .wasm", component.text);
                problems.push(component.place, &fields.at("component"), message);
                return None;
            }
            return Some(NodeSource::Component(dir.join(component.as_str())));
        }
        (Some(_), Some(_)) => problems.push(fields.place, &fields.path, "`script` and `component` exclude each other"),
        (None, None) if fields.get("script").is_none() && fields.get("component").is_none() => {
            problems.push(fields.place, &fields.path, "`script` or `component` is missing: where is the code?");
        }
        (None, None) => {}
    }
    None
}

fn read_numbers(fields: &Fields<'_>, problems: &mut Problems) -> Option<bool> {
    let Some(tree) = fields.get("numbers") else { return Some(false) };
    let at = fields.at("numbers");
    let name = text(tree, &at, problems)?;
    if name.as_str() != "string" {
        let message = format!("expected string, found \"{}\"; without it nodes are given numbers", name.text);
        problems.push(name.place, &at, message);
        return None;
    }
    Some(true)
}

/// What an instance may have if nothing is said: Python begins with more than other languages end with.
fn default_memory(source: &Option<NodeSource>) -> &'static str {
    match source {
        Some(NodeSource::Script(path)) if path.extension().is_some_and(|extension| extension == "py") => "256MiB",
        _ => "64MiB",
    }
}

fn read_on_error(fields: &Fields<'_>, problems: &mut Problems) -> Option<OnError> {
    const CHOICES: [&str; 3] = ["skip", "null", "hold"];
    let Some(tree) = fields.get("on_error") else { return Some(OnError::default()) };
    // YAML reads a bare `null` as nothing, which is what was meant here.
    if matches!(tree.kind, crate::query::tree::Kind::Null) {
        return Some(OnError::Null);
    }
    let at = fields.at("on_error");
    let name = text(tree, &at, problems)?;
    match name.as_str() {
        "skip" => Some(OnError::Skip),
        "null" => Some(OnError::Null),
        "hold" => Some(OnError::Hold),
        other => {
            let meant = did_you_mean(other, CHOICES);
            problems.push(name.place, &at, format!("expected skip, null or hold, found \"{other}\"{meant}"));
            None
        }
    }
}

/// The shortest `every`, in milliseconds: each time all of a node's rows are evaluated.
const LEAST_EVERY_MS: u64 = 100;

/// The inner `None`: there is none.
fn read_every(fields: &Fields<'_>, problems: &mut Problems) -> Option<Option<u64>> {
    let Some(tree) = fields.get("every") else { return Some(None) };
    let every = quantity(fields, "every", "3s", parse_duration_ms, problems)?;
    if every < LEAST_EVERY_MS {
        let message = format!("all rows are evaluated anew each time, so {LEAST_EVERY_MS}ms is the least");
        problems.push(tree.place, &fields.at("every"), message);
        return None;
    }
    Some(Some(every))
}

/// The duration or size at `key`, above 0.
fn quantity(
    fields: &Fields<'_>,
    key: &str,
    example: &str,
    parse: fn(&str) -> Option<u64>,
    problems: &mut Problems,
) -> Option<u64> {
    let Some(tree) = fields.get(key) else { return parse(example) };
    let read = match &tree.kind {
        crate::query::tree::Kind::Text(text) => parse(text).filter(|number| *number > 0),
        _ => None,
    };
    if read.is_none() {
        problems.push(tree.place, &fields.at(key), format!("expected a number with its unit, such as {example}"));
    }
    read
}
