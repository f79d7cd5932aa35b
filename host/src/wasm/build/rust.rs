//! Components from crates, built with cargo.

use std::ffi::OsStr;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use super::seed::Seed;
use crate::wasm::files::cache_dir;
use crate::wasm::tools::{Stop, Tool, ToolError};
use crate::wasm::trial::placed;

const WHAT: &str = "building a Rust node";
pub(super) const TARGET: &str = "wasm32-wasip2";
pub(super) const CARGO: Tool =
    Tool { what: WHAT, program: "cargo", remedy: "install Rust from its own installer, rustup" };
const RUSTUP: Tool =
    Tool { what: WHAT, program: "rustup", remedy: "install rustup, or the target wasm32-wasip2 for your Rust" };
const RUSTC: Tool = Tool { what: WHAT, program: "rustc", remedy: CARGO.remedy };

/// Builds the crate in `dir` for `wasm32-wasip2` and gives the component's path. Takes seconds the first time; ends early at `stop`. The
/// compiler's errors and warnings go to stderr, as they do where cargo is run by hand.
///
/// What cargo makes goes to `target` beside the workspace of `dir`, or to the cache where that cannot be written to.
pub fn rust(dir: &Path, stop: &Stop) -> Result<PathBuf, ToolError> {
    let package = Package::read(dir, stop)?;
    ensure_target(dir, stop)?;
    let target = package.target_dir();
    let is_coloured =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // This process may itself have been started by cargo, whose settings are not meant for the node.
    let env = [
        ("CARGO_TARGET_DIR", target.as_os_str()),
        ("CARGO_BUILD_BUILD_DIR", target.as_os_str()),
        ("RUSTFLAGS", OsStr::new("")),
        ("CARGO_ENCODED_RUSTFLAGS", OsStr::new("")),
        ("CARGO_TERM_COLOR", OsStr::new(if is_coloured { "always" } else { "never" })),
    ];
    let first = !target.join(TARGET).exists();
    let seed = if first { Seed::of(&RUSTC.run(dir, ["-vV"], &[], stop)?) } else { None };
    if first && !seed.as_ref().is_some_and(|seed| seed.plant(&target)) {
        tracing::info!("building a Rust node, the first time with all it depends on: that takes some ten seconds");
    }
    // Quiet of itself: what the compiler has to say is told whole.
    let told = |line: &str| found(&package.folder(dir), line);
    CARGO.run_aloud(dir, ["build", "--release", "--quiet", "--target", TARGET], &env, told, stop)?;
    if let (Some(seed), Ok(own)) = (seed, own(dir, stop)) {
        seed.gather(&target, &own);
    }
    let expected = target.join(TARGET).join("release").join(format!("{}.wasm", package.library));
    if expected.exists() { Ok(expected) } else { Err(ToolError::NoResult { what: WHAT, program: "cargo", expected }) }
}

/// A line of the compiler's, its place as a terminal finds it: ` --> src/lib.rs:2:1` in `folder`, whatever colour it has.
fn found(folder: &Path, line: &str) -> String {
    let Some((before, rest)) = ["--> ", "::: "].iter().find_map(|arrow| {
        let end = line.find(arrow)? + arrow.len();
        Some(line.split_at(end))
    }) else {
        return line.to_owned();
    };
    let colour = if rest.starts_with('\u{1b}') { rest.find('m').map_or(0, |end| end + 1) } else { 0 };
    let (colour, place) = rest.split_at(colour);
    format!("{before}{colour}{}", placed(folder, place))
}

/// What cargo says of a crate.
struct Package {
    /// The library's name, which its component has.
    library: String,
    workspace: PathBuf,
}

impl Package {
    fn read(dir: &Path, stop: &Stop) -> Result<Self, ToolError> {
        let args = ["metadata", "--no-deps", "--format-version=1", "--quiet"];
        let said = CARGO.run_aloud(dir, args, &[], str::to_owned, stop)?;
        let failed = |said: String| ToolError::Failed { what: WHAT, program: "cargo", said };
        let metadata: Metadata = serde_json::from_str(&said).map_err(|error| failed(error.to_string()))?;
        let manifest = std::fs::canonicalize(dir.join("Cargo.toml")).map_err(CARGO.files(&dir.join("Cargo.toml")))?;
        let of_dir = |package: &PackageMetadata| {
            std::fs::canonicalize(&package.manifest_path).is_ok_and(|path| path == manifest)
        };
        let package = metadata.packages.into_iter().find(of_dir);
        let targets = package.map(|package| package.targets).unwrap_or_default();
        let library = targets.into_iter().find(|target| target.crate_types.iter().any(|ty| ty == "cdylib"));
        let missing =
            || failed("no library that becomes a component: write crate-type = [\"cdylib\"] under [lib]".into());
        let library = library.ok_or_else(missing)?.name.replace('-', "_");
        Ok(Package { library, workspace: metadata.workspace_root })
    }

    /// What the compiler names files from, as whoever named `dir` would call it.
    fn folder(&self, dir: &Path) -> PathBuf {
        let is_own = std::fs::canonicalize(dir).is_ok_and(|dir| dir == self.workspace);
        if is_own { dir.to_owned() } else { self.workspace.clone() }
    }

    fn target_dir(&self) -> PathBuf {
        let beside = self.workspace.join("target");
        if std::fs::create_dir_all(&beside).is_ok() {
            return beside;
        }
        // One for each: to cargo, crates are alike whose names are and whose places in their workspaces are.
        let path = blake3::hash(self.workspace.as_os_str().as_encoded_bytes()).to_hex();
        cache_dir().join("rust-nodes").join(&path[..16])
    }
}

#[derive(serde::Deserialize)]
struct Metadata {
    packages: Vec<PackageMetadata>,
    workspace_root: PathBuf,
}

#[derive(serde::Deserialize)]
struct PackageMetadata {
    name: String,
    /// `None`: a folder.
    source: Option<String>,
    manifest_path: PathBuf,
    targets: Vec<TargetMetadata>,
}

#[derive(serde::Deserialize)]
struct TargetMetadata {
    name: String,
    crate_types: Vec<String>,
}

/// The names of crates that come from no registry, and of their targets: of the workspace of `dir`, and those it names by their folders.
fn own(dir: &Path, stop: &Stop) -> Result<Vec<String>, ToolError> {
    let said = CARGO.run(dir, ["metadata", "--format-version=1", "--quiet"], &[], stop)?;
    let failed = |error: serde_json::Error| ToolError::Failed { what: WHAT, program: "cargo", said: error.to_string() };
    let metadata: Metadata = serde_json::from_str(&said).map_err(failed)?;
    let own = metadata.packages.into_iter().filter(|package| package.source.is_none());
    Ok(own.flat_map(|own| own.targets.into_iter().map(|target| target.name).chain([own.name])).collect())
}

/// Adds the target if this toolchain lacks it.
fn ensure_target(dir: &Path, stop: &Stop) -> Result<(), ToolError> {
    let root = RUSTC.run(dir, ["--print", "target-libdir", "--target", TARGET], &[], stop)?;
    if Path::new(root.trim()).exists() {
        return Ok(());
    }
    RUSTUP.run(dir, ["target", "add", TARGET], &[], stop).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compilers_places_are_found_from_where_the_command_was_typed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let place = folder.join("src/lib.rs").display().to_string();
        for (line, expected) in [
            ("  --> src/lib.rs:2:1", format!("  --> {place}:2:1")),
            (
                "\u{1b}[1m\u{1b}[94m  ::: \u{1b}[0msrc/lib.rs:2:1",
                format!("\u{1b}[1m\u{1b}[94m  ::: \u{1b}[0m{place}:2:1"),
            ),
            ("  --> src/gone.rs:2:1", "  --> src/gone.rs:2:1".into()),
            ("error: no `-->` here", "error: no `-->` here".into()),
        ] {
            assert_eq!(found(folder, line), expected);
        }
    }
}
