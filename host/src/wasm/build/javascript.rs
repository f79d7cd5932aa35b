//! Components of nodes in JavaScript and TypeScript: bundled with the packages they import, on QuickJS.

use std::path::{Path, PathBuf};

use crate::wasm::program::NodeKind;
use crate::wasm::tools::{Stop, Tool, ToolError};
use crate::wasm::workshop::Workshop;

const WHAT: &str = "building a JavaScript node";
const NODE: Tool = Tool { what: WHAT, program: "node", remedy: "install Node.js 20 or newer" };
const NPM: Tool = Tool { what: WHAT, program: "npm", remedy: "install npm, which comes with Node.js 20 or newer" };

const WORKSHOP: Workshop = Workshop {
    name: "javascript",
    sources: &[
        ("component/package.json", include_str!("../../../../wit/javascript/component/package.json")),
        ("component/package-lock.json", include_str!("../../../../wit/javascript/component/package-lock.json")),
        ("component/build.mjs", include_str!("../../../../wit/javascript/component/build.mjs")),
        ("component/packages.mjs", include_str!("../../../../wit/javascript/component/packages.mjs")),
        ("component/glue.js", include_str!("../../../../wit/javascript/component/glue.js")),
        ("component/wit/node.wit", include_str!("../../../../wit/0.1.0/node.wit")),
        ("runtime/package.json", include_str!("../../../../wit/javascript/runtime/package.json")),
        ("runtime/src/answers.js", include_str!("../../../../wit/javascript/runtime/src/answers.js")),
        ("runtime/src/fields.js", include_str!("../../../../wit/javascript/runtime/src/fields.js")),
        ("runtime/src/errors.js", include_str!("../../../../wit/javascript/runtime/src/errors.js")),
        ("runtime/src/told.js", include_str!("../../../../wit/javascript/runtime/src/told.js")),
        ("runtime/src/globals.js", include_str!("../../../../wit/javascript/runtime/src/globals.js")),
        ("runtime/src/inexact.js", include_str!("../../../../wit/javascript/runtime/src/inexact.js")),
        ("runtime/src/values.js", include_str!("../../../../wit/javascript/runtime/src/values.js")),
        ("runtime/src/watch.js", include_str!("../../../../wit/javascript/runtime/src/watch.js")),
    ],
};

/// Builds the module at `entry` and writes the component to `output`. The first time on a machine it fetches the tools, which takes
/// a while and needs the network. `kind` is for a module that has only a default export.
pub fn javascript(
    entry: &Path,
    kind: Option<NodeKind>,
    output: &Path,
    cache: &Path,
    stop: &Stop,
) -> Result<(), ToolError> {
    NODE.at_least(20, stop)?;
    let workshop = WORKSHOP.open(cache, &NPM, |dir| equip(&dir.join("component"), stop))?;
    let mut args: Vec<PathBuf> = vec![workshop.join("component/build.mjs"), absolute(entry), absolute(output)];
    args.extend(kind.map(|kind| kind.to_string().into()));
    NODE.run(&workshop, args, &[], stop).map(drop)
}

fn equip(dir: &Path, stop: &Stop) -> Result<(), ToolError> {
    let args = ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    NPM.run(dir, args, &[], stop).map(drop)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
