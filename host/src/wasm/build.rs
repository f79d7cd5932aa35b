//! Builds nodes from source with their language's own tools.

mod javascript;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

pub use javascript::javascript;

use super::files::cache_dir;
use super::program::NodeKind;
use super::tools::{Stop, Tool, ToolError};

const WHAT: &str = "building a Rust node";
const TARGET: &str = "wasm32-wasip2";
const CARGO: Tool = Tool { what: WHAT, program: "cargo", remedy: "install Rust from its own installer, rustup" };
const RUSTUP: Tool =
    Tool { what: WHAT, program: "rustup", remedy: "install rustup, or the target wasm32-wasip2 for your Rust" };
const RUSTC: Tool = Tool { what: WHAT, program: "rustc", remedy: CARGO.remedy };

/// The source of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The folder of a crate.
    Rust(PathBuf),
    /// A module, in JavaScript or TypeScript.
    JavaScript(PathBuf),
    /// A module.
    Python(PathBuf),
}

/// Builds `source` and writes the component to `output`. Takes seconds, more the first time; ends early at `stop`. `kind` is for
/// source that does not say it.
pub fn component(source: &Source, kind: Option<NodeKind>, output: &Path, stop: &Stop) -> Result<(), ToolError> {
    match source {
        Source::Rust(dir) => {
            let made = rust(dir, stop)?;
            std::fs::copy(&made, output).map(drop).map_err(CARGO.files(output))
        }
        Source::JavaScript(entry) => javascript(entry, kind, output, &cache_dir(), stop),
        Source::Python(_) => todo!(),
    }
}

/// Builds the crate in `dir` for `wasm32-wasip2` and gives the component's path. Takes seconds the first time; ends early at `stop`.
///
/// What cargo makes goes to `target` beside the workspace of `dir`, or to the cache where that cannot be written to.
pub fn rust(dir: &Path, stop: &Stop) -> Result<PathBuf, ToolError> {
    let name = package_name(dir, stop)?;
    ensure_target(dir, stop)?;
    let target = target_dir(dir);
    // This process may itself have been started by cargo, whose settings are not meant for the node.
    let env = [
        ("CARGO_TARGET_DIR", target.as_os_str()),
        ("RUSTFLAGS", OsStr::new("")),
        ("CARGO_ENCODED_RUSTFLAGS", OsStr::new("")),
    ];
    // A line for each error, which begins with its place.
    let args = ["build", "--release", "--quiet", "--message-format=short", "--target", TARGET];
    CARGO.run(dir, args, &env, stop)?;
    let expected = target.join(TARGET).join("release").join(format!("{}.wasm", name.replace('-', "_")));
    if expected.exists() { Ok(expected) } else { Err(ToolError::NoResult { what: WHAT, program: "cargo", expected }) }
}

/// The package's name, as its manifest says.
fn package_name(dir: &Path, stop: &Stop) -> Result<String, ToolError> {
    let id = CARGO.run(dir, ["pkgid", "--quiet"], &[], stop)?;
    // `path+file:///nodes/open-at#0.1.0` or `path+file:///nodes/dir#open-at@0.1.0`.
    let (url, fragment) = id.trim().rsplit_once('#').unwrap_or((id.trim(), ""));
    let name = fragment.split_once('@').map_or_else(|| url.rsplit('/').next().unwrap_or(url), |(name, _)| name);
    Ok(name.to_owned())
}

/// Adds the target if this toolchain lacks it.
fn ensure_target(dir: &Path, stop: &Stop) -> Result<(), ToolError> {
    let root = RUSTC.run(dir, ["--print", "target-libdir", "--target", TARGET], &[], stop)?;
    if Path::new(root.trim()).exists() {
        return Ok(());
    }
    RUSTUP.run(dir, ["target", "add", TARGET], &[], stop).map(drop)
}

fn target_dir(dir: &Path) -> PathBuf {
    let root = dir.ancestors().find(|dir| dir.join("Cargo.lock").exists()).unwrap_or(dir);
    let beside = root.join("target");
    match std::fs::create_dir_all(&beside) {
        Ok(()) => std::path::absolute(&beside).unwrap_or(beside),
        Err(_) => cache_dir().join("rust-nodes"),
    }
}
