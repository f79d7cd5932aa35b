//! The nodes of the configuration: where their code is, and what they may take.

use std::path::{Path as FilePath, PathBuf};

use super::node_limits::{NodeLimits, quantity};
use super::quantity::Quantity;
use super::server::Limits;
use crate::query::fields::{Fields, Keys, text};
use crate::query::problem::{Path, Problems, did_you_mean};
use crate::query::tree::{Name, Tree};
use crate::query::{NodeDefinition, NodeId, OnError};

/// Keys of a node.
pub const NODE: Keys = Keys {
    known: &["script", "component", "every", "deadline", "memory", "limits", "numbers", "on_error"],
    later: &[],
};

/// A node of the configuration.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    pub name: Name,
    pub source: NodeSource,
    pub limits: NodeLimits,
    /// Numbers in rows and args reach it as strings.
    pub numbers_as_strings: bool,
    pub on_error: OnError,
    /// How often the node is asked everything anew; `None`: it has no clock.
    pub every_ms: Option<u64>,
}

impl NodeSettings {
    /// What queries have to know of it, which call it `id`.
    pub fn definition(&self, id: NodeId) -> NodeDefinition<'_> {
        NodeDefinition { id, name: self.name.as_str(), on_error: self.on_error, exact: self.numbers_as_strings }
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
    all: &Limits,
    path: &Path,
    problems: &mut Problems,
) -> Option<NodeSettings> {
    let fields = Fields::open(tree, path, &NODE, problems)?;
    let source = read_source(&fields, dir, problems);
    let limits = NodeLimits::of(source.as_ref(), all).read(&fields, source.as_ref(), problems);
    let numbers_as_strings = read_numbers(&fields, problems);
    let on_error = read_on_error(&fields, problems);
    let every_ms = read_every(&fields, problems);
    Some(NodeSettings {
        name: name.clone(),
        source: source?,
        limits,
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

/// How often at most: each time all of a node's rows are evaluated.
pub const EVERY: Quantity = Quantity::duration("3s", 100, 366 * 24 * 3_600_000);

/// The inner `None`: there is none.
fn read_every(fields: &Fields<'_>, problems: &mut Problems) -> Option<Option<u64>> {
    if fields.get("every").is_none() {
        return Some(None);
    }
    let mut every = 0;
    quantity(fields, "every", &EVERY, &mut every, problems);
    (every > 0).then_some(Some(every))
}
