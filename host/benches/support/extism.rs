//! Extism's side of `beside_extism`: builds its program and its plug-in, starts it, and asks it for figures.
//!
//! It is a process and a workspace of its own, since it brings a second wasmtime.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

const TARGET: &str = "wasm32-unknown-unknown";

/// What a plug-in is asked under.
#[derive(Clone, Copy, Debug)]
pub enum Limits {
    /// A timeout and a limit of memory, as one asks a plug-in that is not trusted.
    Timeout,
    None,
}

/// The process.
pub struct Extism {
    /// Of the crate.
    pub version: String,
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Extism {
    /// Builds what is not built, which takes a quarter of an hour of CPU time the first time, and starts it.
    pub fn start() -> Result<Extism> {
        let version = version()?;
        // The newest Extism names a newer Rust than this repository is built with, and builds with this one, too.
        let host = build(&["--release", "--ignore-rust-version", "--package", "beside-extism"])?;
        ensure_target()?;
        let plug_in = build(&["--profile", "plugin", "--target", TARGET, "--package", "place"])?;
        let mut child = Command::new(host.join("release/beside-extism"))
            .arg(plug_in.join(TARGET).join("plugin/place.wasm"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start Extism's side")?;
        let answers = BufReader::new(child.stdout.take().context("piped")?);
        Ok(Extism { version, requests: child.stdin.take(), answers, child })
    }

    /// The plug-in's answers to a batch of so many rows from this number on.
    pub fn answers(&mut self, first: i64, rows: usize) -> Result<String> {
        self.ask(&format!("answers {first} {rows}"))
    }

    /// CPU time of a row in large batches, text in and text out, in microseconds.
    pub fn large(&mut self, limits: Limits, batches: usize, rows: usize) -> Result<f64> {
        let [used] = self.figures(&format!("large {} {batches} {rows}", limits.word()))?;
        Ok(used)
    }

    /// How long a call with one row takes, and its CPU time, in microseconds.
    pub fn small(&mut self, limits: Limits, calls: usize) -> Result<(f64, f64)> {
        let [took, used] = self.figures(&format!("small {} {calls}", limits.word()))?;
        Ok((took, used))
    }

    /// How long a new instance of compiled code takes, with its first answer, in microseconds.
    pub fn instance(&mut self, limits: Limits, rounds: usize) -> Result<f64> {
        let [took] = self.figures(&format!("instance {} {rounds}", limits.word()))?;
        Ok(took)
    }

    fn figures<const COUNT: usize>(&mut self, request: &str) -> Result<[f64; COUNT]> {
        let answer = self.ask(request)?;
        let figures = answer.split(' ').map(f64::from_str).collect::<Result<Vec<_>, _>>();
        let figures = figures.with_context(|| format!("{request}: {answer}"))?;
        figures.try_into().map_err(|_| anyhow::anyhow!("{request}: {answer}"))
    }

    fn ask(&mut self, request: &str) -> Result<String> {
        let requests = self.requests.as_mut().context("it is being ended")?;
        writeln!(requests, "{request}").and_then(|()| requests.flush()).context("Extism's side has ended")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        ensure!(!answer.is_empty(), "Extism's side ended at: {request}");
        Ok(answer.trim_end().to_owned())
    }
}

impl Drop for Extism {
    fn drop(&mut self) {
        // It ends when there are no more requests.
        drop(self.requests.take());
        let _ = self.child.wait();
    }
}

impl Limits {
    fn word(self) -> &'static str {
        match self {
            Limits::Timeout => "timeout",
            Limits::None => "none",
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/extism")
}

/// Builds a package of that workspace; gives the folder that the profiles' folders are in.
fn build(args: &[&str]) -> Result<PathBuf> {
    let target = folder().join("target");
    let mut cargo = Command::new("cargo");
    // This process may itself have been started by cargo, whose settings are not meant for it.
    cargo.env("CARGO_TARGET_DIR", &target).env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    run(cargo.args(["build", "--locked"]).args(args))?;
    Ok(target)
}

/// Adds the plug-in's target if this toolchain lacks it.
fn ensure_target() -> Result<()> {
    let mut rustc = Command::new("rustc");
    let output = rustc.args(["--print", "target-libdir", "--target", TARGET]).current_dir(folder()).output()?;
    if Path::new(String::from_utf8(output.stdout)?.trim()).exists() {
        return Ok(());
    }
    run(Command::new("rustup").args(["target", "add", TARGET]))
}

/// Runs a program in that folder. What it says goes where this process's errors go.
fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_owned();
    let args: Vec<&OsStr> = command.get_args().collect();
    let line = format!("{} {}", name.to_string_lossy(), args.join(OsStr::new(" ")).to_string_lossy());
    let status = command.current_dir(folder()).stdin(Stdio::null()).stdout(Stdio::null()).status();
    match status.with_context(|| format!("cannot start {line}"))? {
        status if status.success() => Ok(()),
        status => bail!("{line}: {status}"),
    }
}

/// The version of Extism that is built.
fn version() -> Result<String> {
    let lock = std::fs::read_to_string(folder().join("Cargo.lock"))?;
    let after = lock.split_once("name = \"extism\"\nversion = \"").context("no extism in Cargo.lock")?.1;
    Ok(after.split_once('"').context("a quoted version")?.0.to_owned())
}
