//! The JavaScript runtime: QuickJS, put into a component by `componentize-qjs`, which npm brings. Its reader runs on QuickJS too, but
//! apart: what erases types and takes modules apart would be in the memory of every instance.

use std::path::Path;

use super::{READER, RESULT, Recipe, WIT};
use crate::wasm::tools::{Stop, Tool, ToolError};

const WHAT: &str = "building the JavaScript runtime";
const NODE: Tool = Tool { what: WHAT, program: "node", remedy: REMEDY };
const NPM: Tool = Tool { what: WHAT, program: "npm", remedy: REMEDY };

/// It is needed only where no release brought a runtime along.
const REMEDY: &str = "install Node.js 20 or newer with npm, or take the folder runtimes of a release and put it beside the program sangre";

/// The oldest major version of Node.js that runs the tools.
const NODE_MAJOR: u32 = 20;

/// The entries of both, and what they export of the interface.
const RUNTIME_ENTRY: (&str, &str) = ("src/runtime.js", "script-node");
const READER_ENTRY: (&str, &str) = ("src/reader/reader.js", "script-reading");

pub(super) const RECIPE: Recipe = Recipe {
    name: "javascript",
    runs: "running JavaScript",
    tool: NODE,
    sources: &[
        ("package.json", include_str!("../../../../wit/javascript/runtime/package.json")),
        ("package-lock.json", include_str!("../../../../wit/javascript/runtime/package-lock.json")),
        (RUNTIME_ENTRY.0, include_str!("../../../../wit/javascript/runtime/src/runtime.js")),
        ("src/answers.js", include_str!("../../../../wit/javascript/runtime/src/answers.js")),
        ("src/fields.js", include_str!("../../../../wit/javascript/runtime/src/fields.js")),
        ("src/modules.js", include_str!("../../../../wit/javascript/runtime/src/modules.js")),
        ("src/values.js", include_str!("../../../../wit/javascript/runtime/src/values.js")),
        ("src/watch.js", include_str!("../../../../wit/javascript/runtime/src/watch.js")),
        ("src/errors.js", include_str!("../../../../wit/javascript/runtime/src/errors.js")),
        ("src/globals.js", include_str!("../../../../wit/javascript/runtime/src/globals.js")),
        ("src/inexact.js", include_str!("../../../../wit/javascript/runtime/src/inexact.js")),
        ("src/imports.js", include_str!("../../../../wit/javascript/runtime/src/imports.js")),
        ("src/told.js", include_str!("../../../../wit/javascript/runtime/src/told.js")),
        (READER_ENTRY.0, include_str!("../../../../wit/javascript/runtime/src/reader/reader.js")),
        ("src/reader/module.js", include_str!("../../../../wit/javascript/runtime/src/reader/module.js")),
        ("src/reader/syntax.js", include_str!("../../../../wit/javascript/runtime/src/reader/syntax.js")),
        ("src/reader/types.js", include_str!("../../../../wit/javascript/runtime/src/reader/types.js")),
        ("src/reader/unreadable.js", include_str!("../../../../wit/javascript/runtime/src/reader/unreadable.js")),
    ],
    has_reader: true,
    build,
};

fn build(root: &Path, stop: &Stop) -> Result<(), ToolError> {
    NODE.at_least(NODE_MAJOR, stop)?;
    NPM.run(
        root,
        ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        &[],
        stop,
    )?;
    let tool = "node_modules/componentize-qjs/bin/componentize-qjs";
    for ((entry, world), result) in [(RUNTIME_ENTRY, RESULT), (READER_ENTRY, READER)] {
        let args = [tool, "--wit", WIT, "--world", world, "--js", entry, "--sync", "--stub-wasi", "-o", result];
        NODE.run(root, args, &[], stop)?;
    }
    Ok(())
}
