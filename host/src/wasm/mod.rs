//! Nodes: WebAssembly components, in any language, that filter, map and reduce what queries find.
//!
//! A guest is trusted with nothing: not to stop, not to stay small, not to answer what was asked, not to be JSON. What it
//! does wrong becomes the error of one row, in words for the person who wrote it. A guest runs on threads of its own; one that
//! has shown that it answers in microseconds is also asked in passing, under a guard ([`program`]).
//!
//! ```text
//! file ─ watch ─► load: component, kind, interface ─► engine: compile, cached ─► program: one version of one node
//!                                                                                       │
//! driver ─ host::evaluate ─► workers: batches by cost ─► call: one text in, one out ─► instances: warm, limited, retired
//! ```

mod background;
mod batch;
mod bindings;
pub mod build;
mod cache;
mod compiler;
mod component;
mod engine;
mod error;
mod files;
mod host;
mod inexact;
mod inspect;
mod instance;
mod keeper;
mod limits;
mod log;
mod probe;
mod program;
pub mod runtime;
mod slot;
mod sources;
mod tools;
mod trial;
mod usage;
mod wasi;
mod waste;
mod work;
mod workshop;

#[cfg(test)]
mod tests;

pub use batch::Numbers;
pub use component::is_module;
pub use error::NodeError;
pub use host::{HostSettings, NodeEvent, NodeHost, NodeSource, NodeSpec};
pub use inspect::{Gives, Import, Inspected, inspect};
pub use limits::Limits;
pub use program::NodeKind;
pub use tools::{Stop, ToolError};
pub use trial::{Answer, Given, Trial, TrialError, placed};
pub use usage::{Usage, Used};
