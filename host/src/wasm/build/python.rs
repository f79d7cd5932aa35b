//! Components of nodes in Python: CPython with the module, what it imports and packages in pure Python.

use std::path::{Path, PathBuf};

use crate::wasm::program::NodeKind;
use crate::wasm::runtime::python::{Environment, REMEDY, REQUIREMENTS};
use crate::wasm::tools::{Stop, ToolError};
use crate::wasm::workshop::Workshop;

const PYTHON: Environment = Environment { what: "building a Python node", remedy: REMEDY };

macro_rules! part {
    ($place:literal, $source:literal) => {
        ($place, include_str!(concat!("../../../../wit/python/", $source)))
    };
}

const WORKSHOP: Workshop = Workshop {
    name: "python",
    sources: &[
        (REQUIREMENTS, include_str!("../../../../wit/python/runtime/requirements.txt")),
        ("wit/node.wit", include_str!("../../../../wit/0.1.0/node.wit")),
        part!("build.py", "component/build.py"),
        part!("sangre_component.py", "component/sangre_component.py"),
        part!("sangre_packages.py", "component/sangre_packages.py"),
        part!("src/sangre_runtime/__init__.py", "runtime/src/sangre_runtime/__init__.py"),
        part!("src/sangre_runtime/answers.py", "runtime/src/sangre_runtime/answers.py"),
        part!("src/sangre_runtime/errors.py", "runtime/src/sangre_runtime/errors.py"),
        part!("src/sangre_runtime/exact.py", "runtime/src/sangre_runtime/exact.py"),
        part!("src/sangre_runtime/library.py", "runtime/src/sangre_runtime/library.py"),
        part!("src/sangre_runtime/output.py", "runtime/src/sangre_runtime/output.py"),
        part!("src/sangre_runtime/purity.py", "runtime/src/sangre_runtime/purity.py"),
        part!("src/sangre_runtime/script.py", "runtime/src/sangre_runtime/script.py"),
        part!("src/sangre_runtime/watch.py", "runtime/src/sangre_runtime/watch.py"),
    ],
};

/// Builds the module at `entry` and writes the component to `output`, in ten seconds and more. The first time on a machine it fetches
/// the tools, which needs the network.
pub fn python(entry: &Path, kind: Option<NodeKind>, output: &Path, cache: &Path, stop: &Stop) -> Result<(), ToolError> {
    PYTHON.check(stop)?;
    let workshop = WORKSHOP.open(cache, &PYTHON.python(), |dir| PYTHON.make(dir, stop))?;
    let mut args: Vec<PathBuf> = vec![workshop.join("build.py"), absolute(entry), absolute(output)];
    args.extend(kind.map(|kind| kind.to_string().into()));
    PYTHON.python().run_file(&workshop.join("venv/bin/python"), &workshop, args, &[], stop).map(drop)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
