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
        Source::JavaScript(entry) => javascript(entry, kind, output, &cache_dir(), stop),
        Source::Python(entry) => python(entry, kind, output, &cache_dir(), stop),
        Source::Module(file) => module(file, kind, output),
    }
}
