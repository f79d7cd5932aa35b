//! The interfaces between host and guests, a file per released version of `wit/`.
//!
//! The rest of the host knows [`Interface`] alone; what differs between versions ends here.

mod v0_1;

use wasmtime::Store;
use wasmtime::component::{Component, Instance, Linker};

use super::component::Declared;
use super::error::NodeError;
use super::instance::GuestState;
use super::program::NodeKind;

/// The versions spoken, for messages.
pub(super) const KNOWN_VERSIONS: &str = "0.1";

/// What a component offers, by version.
#[derive(Clone)]
pub(super) enum Interface {
    V0_1(v0_1::Exports),
}

/// What a guest says to a batch: a JSON array, and what went wrong with single rows.
#[derive(Debug)]
pub(super) struct Answers {
    pub values: String,
    /// Row in the batch, message.
    pub failures: Vec<(usize, String)>,
}

impl Interface {
    /// The interface that `component` declared, its exports found and their types checked.
    pub fn of(component: &Component, declared: &Declared) -> Result<Self, NodeError> {
        match declared.version {
            (0, 1) => v0_1::Exports::of(component, declared).map(Interface::V0_1),
            (major, minor) => Err(NodeError::Version { found: format!("{major}.{minor}"), known: KNOWN_VERSIONS }),
        }
    }

    /// Gives a script runtime its source. The error is the language's own message.
    pub async fn load(
        &self,
        store: &mut Store<GuestState>,
        instance: &Instance,
        script: &Script<'_>,
    ) -> wasmtime::Result<Result<NodeKind, String>> {
        match self {
            Interface::V0_1(exports) => exports.load(store, instance, script).await,
        }
    }

    /// Has a reader read one file of a script. The error is the language's own message.
    pub async fn read(
        &self,
        store: &mut Store<GuestState>,
        instance: &Instance,
        file: &SourceFile,
    ) -> wasmtime::Result<Result<Unit, String>> {
        match self {
            Interface::V0_1(exports) => exports.read(store, instance, file).await,
        }
    }

    /// Asks a batch.
    pub async fn evaluate(
        &self,
        store: &mut Store<GuestState>,
        instance: &Instance,
        batch: &str,
    ) -> wasmtime::Result<Answers> {
        match self {
            Interface::V0_1(exports) => exports.evaluate(store, instance, batch).await,
        }
    }
}

/// A file of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceFile {
    /// Its path from the folder of the node's own file, with `/`.
    pub name: String,
    pub text: String,
}

/// What a reader made of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// For the runtime.
    pub text: String,
    pub imports: Vec<Imported>,
}

/// Another file that a file of a script uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Imported {
    /// As it is written, for messages.
    pub from: String,
    pub line: u32,
    /// Names of files that may be meant, the likeliest first.
    pub candidates: Vec<String>,
}

/// The source of a script node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Script<'a> {
    /// The node's own file first, then those it imports.
    pub files: &'a [SourceFile],
    /// What queries use the node as, where that is known.
    pub expected: Option<NodeKind>,
}

/// Defines what the host offers to guests, for every version.
pub(super) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    v0_1::link(linker)
}
