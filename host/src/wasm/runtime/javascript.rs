//! The JavaScript runtime: QuickJS, put into a component by `componentize-qjs`, which npm brings.

use std::path::Path;

use super::{RESULT, Recipe, WIT};
use crate::wasm::tools::{Stop, Tool, ToolError};

const WHAT: &str = "building the JavaScript runtime";
const NODE: Tool = Tool { what: WHAT, program: "node", remedy: "install Node.js 20 or newer" };
const NPM: Tool = Tool { what: WHAT, program: "npm", remedy: "install npm, which comes with Node.js 20 or newer" };

/// The oldest major version of Node.js that runs the tools.
const NODE_MAJOR: u32 = 20;

const ENTRY: &str = "src/runtime.js";

pub(super) const RECIPE: Recipe = Recipe {
    name: "javascript",
    tool: NODE,
    sources: &[
        ("package.json", include_str!("../../../../wit/javascript/runtime/package.json")),
        ("package-lock.json", include_str!("../../../../wit/javascript/runtime/package-lock.json")),
        (ENTRY, include_str!("../../../../wit/javascript/runtime/src/runtime.js")),
        ("src/answers.js", include_str!("../../../../wit/javascript/runtime/src/answers.js")),
        ("src/modules.js", include_str!("../../../../wit/javascript/runtime/src/modules.js")),
        ("src/values.js", include_str!("../../../../wit/javascript/runtime/src/values.js")),
        ("src/errors.js", include_str!("../../../../wit/javascript/runtime/src/errors.js")),
        ("src/globals.js", include_str!("../../../../wit/javascript/runtime/src/globals.js")),
    ],
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
    let args = [tool, "--wit", WIT, "--world", "script-node", "--js", ENTRY, "--sync", "--stub-wasi", "-o", RESULT];
    NODE.run(root, args, &[], stop).map(drop)
}
