//! Builds nodes from source with their language's own tools.

mod javascript;
mod module;
mod python;
mod rust;
mod seed;

use std::path::{Path, PathBuf};

pub use javascript::javascript;
pub use module::{ModuleError, module};
pub use python::python;
pub use rust::rust;

use super::files::cache_dir;
use super::program::NodeKind;
use super::tools::{Stop, ToolError};
use super::trial::{found_in, placed};

/// The source of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The folder of a crate.
    Rust(PathBuf),
    /// A module, in JavaScript or TypeScript.
    JavaScript(PathBuf),
    /// A module.
    Python(PathBuf),
    /// A core WebAssembly module, of any language.
    Module(PathBuf),
}

/// Builds `source` and writes the component to `output`. Takes seconds, more the first time; ends early at `stop`. `kind` is for
/// source that does not say it.
pub fn component(source: &Source, kind: Option<NodeKind>, output: &Path, stop: &Stop) -> Result<(), ToolError> {
    match source {
        Source::Rust(dir) => {
            let made = rust(dir, stop)?;
            std::fs::copy(&made, output).map(drop).map_err(rust::CARGO.files(output))
        }
        Source::JavaScript(entry) => {
            javascript(entry, kind, output, &cache_dir(), stop).map_err(|error| placed_beside(entry, error))
        }
        Source::Python(entry) => {
            python(entry, kind, output, &cache_dir(), stop).map_err(|error| placed_beside(entry, error))
        }
        Source::Module(file) => module(file, kind, output),
    }
}

/// The error with its places as a terminal finds them: the tools name files from the folder of `entry`.
fn placed_beside(entry: &Path, error: ToolError) -> ToolError {
    let folder = entry.parent().unwrap_or(Path::new(""));
    match error {
        ToolError::Failed { what, program, said } => {
            let lines: Vec<String> = said.lines().map(|line| placed(folder, line)).collect();
            // What begins with a place needs no word on who says so.
            match (found_in(folder, &said), lines.join("\n")) {
                (Some(_), said) => ToolError::Mistake { said },
                (None, said) => ToolError::Failed { what, program, said },
            }
        }
        other => other,
    }
}
