//! Components from core modules, which is what compilers of other languages make: C, Zig, TinyGo.
//!
//! A module says what it is by the names of its exports, `sangre:node/filter-rows@0.1.0#keep`; or its language's own bindings have
//! written that into it already. What it asks of WASI's first preview, as C libraries do, is answered by an adapter.

use std::fs;
use std::path::{Path, PathBuf};

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata, metadata};
use wit_parser::Resolve;

use crate::wasm::program::NodeKind;
use crate::wasm::tools::ToolError;

const INTERFACE: &str = include_str!("../../../../wit/0.1.0/node.wit");

/// Each kind with its world, and how the name of its export begins.
const WORLDS: [(NodeKind, &str, &str); 3] = [
    (NodeKind::Filter, "filter-node", "sangre:node/filter-rows@"),
    (NodeKind::Map, "map-node", "sangre:node/map-rows@"),
    (NodeKind::Reduce, "reduce-node", "sangre:node/reduce-lists@"),
];

/// Why a module does not become a component.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    #[error(
        "{}: exports no node: a module exports sangre:node/filter-rows@0.1.0#keep, map-rows@0.1.0#transform or reduce-lists@0.1.0#reduce",
        .0.display()
    )]
    NoNode(PathBuf),
    #[error("{}: exports several nodes: a module is one of them", .0.display())]
    SeveralNodes(PathBuf),
    #[error("{}: {reason}", .path.display())]
    Unfit { path: PathBuf, reason: String },
}

/// Wraps the module in `file` and writes the component to `output`.
pub fn module(file: &Path, kind: Option<NodeKind>, output: &Path) -> Result<(), ToolError> {
    let files = |path: &Path| {
        let path = path.to_owned();
        move |source| ToolError::Files { what: "building a node of a module", path, source }
    };
    let bytes = fs::read(file).map_err(files(file))?;
    fs::write(output, wrapped(file, bytes, kind)?).map_err(files(output))
}

fn wrapped(file: &Path, mut module: Vec<u8>, kind: Option<NodeKind>) -> Result<Vec<u8>, ModuleError> {
    let unfit = |error: anyhow::Error| ModuleError::Unfit { path: file.to_owned(), reason: said(&error) };
    let has_types = metadata::decode(&module).map_err(unfit)?.0.is_some();
    if !has_types {
        let mut interface = Resolve::default();
        let package = interface.push_source("node.wit", INTERFACE).map_err(unfit)?;
        let world = interface.select_world(&[package], Some(world_of(file, &module, kind)?)).map_err(unfit)?;
        embed_component_metadata(&mut module, &interface, world, StringEncoding::UTF8).map_err(unfit)?;
    }
    ComponentEncoder::default()
        .module(&module)
        .and_then(|encoder| {
            encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
        })
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(unfit)
}

/// The world of `kind`, or of what the module's exports are called. That the exports are what that world has, the encoder checks.
fn world_of(file: &Path, module: &[u8], kind: Option<NodeKind>) -> Result<&'static str, ModuleError> {
    let is_meant = |(of, _, export): &&(NodeKind, &str, &str)| match kind {
        Some(kind) => *of == kind,
        None => module.windows(export.len()).any(|name| name == export.as_bytes()),
    };
    let mut meant = WORLDS.iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some((_, world, _)), None) => Ok(world),
        (None, _) => Err(ModuleError::NoNode(file.to_owned())),
        (Some(_), Some(_)) => Err(ModuleError::SeveralNodes(file.to_owned())),
    }
}

/// What it comes down to, in one line: what stands around it names the encoder's own steps.
fn said(error: &anyhow::Error) -> String {
    error.root_cause().to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
