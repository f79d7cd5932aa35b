//! The Python runtime: CPython, put into a component by `componentize-py`, which pip brings into an environment of its own.
//!
//! What is imported while it is built is part of it. The interpreter's seed of hashes is chosen then too, so sets of texts
//! have one order in all instances; runtimes built on two machines differ in it, and so do their nodes' versions.

use std::path::Path;

use super::{RESULT, Recipe, WIT};
use crate::wasm::tools::{Stop, Tool, ToolError};

/// What to do where building needs a Python that is not there.
pub(in crate::wasm) const REMEDY: &str = "install Python 3.10 or newer with its module venv (Debian: python3-venv)";
const HERE: Environment = Environment {
    what: "building the Python runtime",
    remedy: "install Python 3.10 or newer with its module venv (Debian: python3-venv), or take the folder runtimes of a release and put it \
             beside the program sangre",
};

/// The oldest version of Python that the tools run on.
const OLDEST: (u32, u32) = (3, 10);

/// What an environment is made of.
pub(in crate::wasm) const REQUIREMENTS: &str = "requirements.txt";

pub(super) const RECIPE: Recipe = Recipe {
    name: "python",
    runs: "running Python",
    tool: HERE.componentize(),
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
        ("src/sangre_runtime/exact.py", include_str!("../../../../wit/python/runtime/src/sangre_runtime/exact.py")),
        ("src/sangre_runtime/library.py", include_str!("../../../../wit/python/runtime/src/sangre_runtime/library.py")),
        ("src/sangre_runtime/output.py", include_str!("../../../../wit/python/runtime/src/sangre_runtime/output.py")),
        ("src/sangre_runtime/purity.py", include_str!("../../../../wit/python/runtime/src/sangre_runtime/purity.py")),
        ("src/sangre_runtime/watch.py", include_str!("../../../../wit/python/runtime/src/sangre_runtime/watch.py")),
    ],
    has_reader: false,
    build,
};

fn build(root: &Path, stop: &Stop) -> Result<(), ToolError> {
    HERE.check(stop)?;
    HERE.make(root, stop)?;
    let venv = root.join("venv");
    let args = ["-q", "-d", WIT, "-w", "script-node", "componentize", "-p", "src", "runtime", "-o", RESULT];
    // Or it would take packages from the Python of this machine.
    let env = [("VIRTUAL_ENV", venv.as_os_str())];
    HERE.componentize().run_file(&venv.join("bin/componentize-py"), root, args, &env, stop).map(drop)
}

/// The tools that make components of Python, in an environment of their own.
#[derive(Clone, Copy)]
pub(in crate::wasm) struct Environment {
    /// What is being done, for messages.
    pub what: &'static str,
    /// What to do if a program is missing.
    pub remedy: &'static str,
}

impl Environment {
    pub const fn python(self) -> Tool {
        Tool { what: self.what, program: "python3", remedy: self.remedy }
    }

    const fn componentize(self) -> Tool {
        Tool { what: self.what, program: "componentize-py", remedy: self.remedy }
    }

    /// Makes the folder `venv` in `root`, where [`REQUIREMENTS`] are.
    pub fn make(self, root: &Path, stop: &Stop) -> Result<(), ToolError> {
        self.python().run(root, ["-m", "venv", "venv"], &[], stop)?;
        let install =
            ["install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--only-binary=:all:"];
        let args = install.into_iter().chain(["--require-hashes", "-r", REQUIREMENTS]);
        let pip = Tool { what: self.what, program: "pip", remedy: self.remedy };
        pip.run_file(&root.join("venv/bin/pip"), root, args, &[], stop).map(drop)
    }

    /// An error if this machine's Python cannot make an environment.
    pub fn check(self, stop: &Stop) -> Result<(), ToolError> {
        let (what, python, remedy) = (self.what, self.python(), self.remedy);
        let version = "import sys; print('%d.%d' % sys.version_info[:2])";
        let found = python.run(Path::new("."), ["-c", version], &[], stop)?.trim().to_owned();
        let numbers = found.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        if numbers.is_none_or(|numbers: (u32, u32)| numbers < OLDEST) {
            return Err(ToolError::Old { what, program: "python3", found, needed: "3.10".into(), remedy });
        }
        // Debian has these apart from Python itself.
        match python.run(Path::new("."), ["-c", "import ensurepip, venv"], &[], stop) {
            Err(ToolError::Failed { .. }) => {
                Err(ToolError::Incomplete { what, part: "the module venv", program: "python3", remedy })
            }
            other => other.map(drop),
        }
    }
}
