//! The ready runtimes of script nodes, built once on this machine from sources this program carries.
//!
//! A runtime is a component with a language's engine in it. It is built with that language's own tools and kept in the
//! cache under the hash of its sources, so a new version of Sangre builds a new one and nothing is built twice.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::private_dir;
use super::tools::{Stop, Tool, ToolError};

const WHAT: &str = "building the JavaScript runtime";
const NODE: Tool = Tool { what: WHAT, program: "node", remedy: "install Node.js 20 or newer" };
const NPM: Tool = Tool { what: WHAT, program: "npm", remedy: "install npm, which comes with Node.js 20 or newer" };

/// The oldest major version of Node.js that runs the tools.
const NODE_MAJOR: u32 = 20;

/// What is built: a world of the interface, and the entry of the component that exports it.
const RUNTIME: (&str, &str) = ("script-node", "src/runtime.js");
const READER: (&str, &str) = ("script-reading", "src/reader/reader.js");

/// Where the interface is among [`JAVASCRIPT`].
const WIT: &str = "wit/node.wit";

/// The JavaScript runtime's sources, by their place in the folder it is built in.
const JAVASCRIPT: [(&str, &str); 15] = [
    ("package.json", include_str!("../../../wit/javascript/runtime/package.json")),
    ("package-lock.json", include_str!("../../../wit/javascript/runtime/package-lock.json")),
    (RUNTIME.1, include_str!("../../../wit/javascript/runtime/src/runtime.js")),
    (READER.1, include_str!("../../../wit/javascript/runtime/src/reader/reader.js")),
    ("src/reader/module.js", include_str!("../../../wit/javascript/runtime/src/reader/module.js")),
    ("src/reader/syntax.js", include_str!("../../../wit/javascript/runtime/src/reader/syntax.js")),
    ("src/reader/types.js", include_str!("../../../wit/javascript/runtime/src/reader/types.js")),
    ("src/reader/unreadable.js", include_str!("../../../wit/javascript/runtime/src/reader/unreadable.js")),
    ("src/imports.js", include_str!("../../../wit/javascript/runtime/src/imports.js")),
    ("src/told.js", include_str!("../../../wit/javascript/runtime/src/told.js")),
    ("src/modules.js", include_str!("../../../wit/javascript/runtime/src/modules.js")),
    ("src/values.js", include_str!("../../../wit/javascript/runtime/src/values.js")),
    ("src/errors.js", include_str!("../../../wit/javascript/runtime/src/errors.js")),
    ("src/globals.js", include_str!("../../../wit/javascript/runtime/src/globals.js")),
    (WIT, include_str!("../../../wit/0.1.0/node.wit")),
];

/// What JavaScript needs, as files of components.
#[derive(Clone, Debug)]
pub struct JavaScript {
    /// Runs scripts.
    pub runtime: PathBuf,
    /// Reads them before.
    pub reader: PathBuf,
}

/// The JavaScript runtime in the cache folder `dir`: the one that is there, else built now, which takes seconds, needs
/// Node.js and npm, and ends early at `stop`. Several processes may call this at once.
pub fn ensure_javascript(dir: &Path, stop: &Stop) -> Result<JavaScript, ToolError> {
    let dir = dir.join("runtimes");
    private_dir(&dir).map_err(NODE.files(&dir))?;
    let hash = &hash(&JAVASCRIPT)[..32];
    let runtime = dir.join(format!("javascript-{hash}.wasm"));
    let reader = dir.join(format!("javascript-reader-{hash}.wasm"));
    let paths = JavaScript { runtime, reader };
    if paths.exist() {
        return Ok(paths);
    }
    // Held until this function returns, by this process or any other.
    let lock = dir.join("javascript.lock");
    let file = fs::File::create(&lock).map_err(NODE.files(&lock))?;
    file.lock().map_err(NODE.files(&lock))?;
    if !paths.exist() {
        check_node(stop)?;
        tracing::info!("building the JavaScript runtime, once");
        build(&dir, &paths, stop)?;
    }
    Ok(paths)
}

impl JavaScript {
    fn exist(&self) -> bool {
        self.runtime.exists() && self.reader.exists()
    }
}

fn check_node(stop: &Stop) -> Result<(), ToolError> {
    let found = NODE.run(Path::new("."), ["--version"], &[], stop)?;
    let found = found.trim().trim_start_matches('v').to_owned();
    let major = found.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major >= NODE_MAJOR) {
        return Ok(());
    }
    Err(ToolError::Old { what: WHAT, program: "node", found, needed: "20", remedy: NODE.remedy })
}

fn build(dir: &Path, paths: &JavaScript, stop: &Stop) -> Result<(), ToolError> {
    let workshop = tempfile::tempdir_in(dir).map_err(NODE.files(dir))?;
    let root = workshop.path();
    for (name, text) in JAVASCRIPT {
        let file = root.join(name);
        let parent = file.parent().unwrap_or(root);
        fs::create_dir_all(parent).map_err(NODE.files(parent))?;
        fs::write(&file, text).map_err(NODE.files(&file))?;
    }
    NPM.run(
        root,
        ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        &[],
        stop,
    )?;
    componentize(root, RUNTIME, &paths.runtime, stop)?;
    componentize(root, READER, &paths.reader, stop)
}

/// Makes a component of `entry`, which exports `world`, in the folder `root`, and moves it to `path`.
fn componentize(root: &Path, (world, entry): (&str, &str), path: &Path, stop: &Stop) -> Result<(), ToolError> {
    let tool = "node_modules/componentize-qjs/bin/componentize-qjs";
    let wit = Path::new(WIT).parent().map_or("wit", |dir| dir.to_str().unwrap_or("wit"));
    let made = root.join("made.wasm");
    let args = [tool, "--wit", wit, "--world", world, "--js", entry, "--sync", "--stub-wasi", "-o", "made.wasm"];
    NODE.run(root, args, &[], stop)?;
    if !made.exists() {
        return Err(ToolError::NoResult { what: WHAT, program: "componentize-qjs", expected: made });
    }
    fs::rename(&made, path).map_err(NODE.files(path))
}

fn hash(sources: &[(&str, &str)]) -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, text) in sources {
        for part in [name, text] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}
