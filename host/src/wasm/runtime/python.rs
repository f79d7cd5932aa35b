//! The Python runtime: CPython, put into a component by `componentize-py`, which pip brings into an environment of its own.
//!
//! What is imported while it is built is part of it. The interpreter's seed of hashes is chosen then too, so sets of texts
//! have one order in all instances; runtimes built on two machines differ in it, and so do their nodes' versions.

use std::path::Path;

use super::{RESULT, Recipe, WIT};
use crate::wasm::tools::{Stop, Tool, ToolError};

const WHAT: &str = "building the Python runtime";
const REMEDY: &str = "install Python 3.10 or newer with its module venv (Debian: python3-venv)";
const PYTHON: Tool = Tool { what: WHAT, program: "python3", remedy: REMEDY };
const PIP: Tool = Tool { what: WHAT, program: "pip", remedy: REMEDY };
const COMPONENTIZE: Tool = Tool { what: WHAT, program: "componentize-py", remedy: REMEDY };

/// The oldest version of Python that the tools run on.
const OLDEST: (u32, u32) = (3, 10);

const REQUIREMENTS: &str = "requirements.txt";

pub(super) const RECIPE: Recipe = Recipe {
    name: "python",
    tool: COMPONENTIZE,
    sources: &[
        (REQUIREMENTS, include_str!("../../../../wit/python/runtime/requirements.txt")),
        ("src/runtime.py", include_str!("../../../../wit/python/runtime/src/runtime.py")),
        (
            "src/sangre_runtime/__init__.py",
            include_str!("../../../../wit/python/runtime/src/sangre_runtime/__init__.py"),
        ),
        ("src/sangre_runtime/script.py", include_str!("../../../../wit/python/runtime/src/sangre_runtime/script.py")),
        ("src/sangre_runtime/answers.py", include_str!("../../../../wit/python/runtime/src/sangre_runtime/answers.py")),
        ("src/sangre_runtime/errors.py", include_str!("../../../../wit/python/runtime/src/sangre_runtime/errors.py")),
        ("src/sangre_runtime/library.py", include_str!("../../../../wit/python/runtime/src/sangre_runtime/library.py")),
        ("src/sangre_runtime/output.py", include_str!("../../../../wit/python/runtime/src/sangre_runtime/output.py")),
        ("src/sangre_runtime/purity.py", include_str!("../../../../wit/python/runtime/src/sangre_runtime/purity.py")),
    ],
    has_reader: false,
    build,
};

fn build(root: &Path, stop: &Stop) -> Result<(), ToolError> {
    check_python(stop)?;
    let venv = root.join("venv");
    let programs = venv.join("bin");
    PYTHON.run(root, ["-m", "venv", "venv"], &[], stop)?;
    let install =
        ["install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--only-binary=:all:"];
    let args = install.into_iter().chain(["--require-hashes", "-r", REQUIREMENTS]);
    PIP.run_file(&programs.join("pip"), root, args, &[], stop)?;
    let args = ["-q", "-d", WIT, "-w", "script-node", "componentize", "-p", "src", "runtime", "-o", RESULT];
    // Or it would take packages from the Python of this machine.
    let env = [("VIRTUAL_ENV", venv.as_os_str())];
    COMPONENTIZE.run_file(&programs.join("componentize-py"), root, args, &env, stop).map(drop)
}

fn check_python(stop: &Stop) -> Result<(), ToolError> {
    let version = "import sys; print('%d.%d' % sys.version_info[:2])";
    let found = PYTHON.run(Path::new("."), ["-c", version], &[], stop)?.trim().to_owned();
    let numbers = found.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    if numbers.is_none_or(|numbers: (u32, u32)| numbers < OLDEST) {
        return Err(ToolError::Old { what: WHAT, program: "python3", found, needed: "3.10", remedy: REMEDY });
    }
    // Debian has these apart from Python itself.
    match PYTHON.run(Path::new("."), ["-c", "import ensurepip, venv"], &[], stop) {
        Err(ToolError::Failed { .. }) => {
            Err(ToolError::Incomplete { what: WHAT, part: "the module venv", program: "python3", remedy: REMEDY })
        }
        other => other.map(drop),
    }
}
