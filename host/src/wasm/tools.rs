//! Runs the programs a build needs, and says in one line what is missing or went wrong.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why something could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("{what} needs the program {program}, which was not found in PATH: {remedy}")]
    Missing { what: &'static str, program: &'static str, remedy: &'static str },
    #[error("{what}: {program} failed: {said}")]
    Failed { what: &'static str, program: &'static str, said: String },
    #[error("{what}: {program} is version {found}, but {needed} is needed: {remedy}")]
    Old { what: &'static str, program: &'static str, found: String, needed: &'static str, remedy: &'static str },
    #[error("{what}: {program} made no {}", .expected.display())]
    NoResult { what: &'static str, program: &'static str, expected: PathBuf },
    #[error("{what}: cannot use {}", .path.display())]
    Files { what: &'static str, path: PathBuf, source: std::io::Error },
}

/// One program, and what to say of it.
pub(super) struct Tool {
    /// What is being done, for messages: "building the JavaScript runtime".
    pub what: &'static str,
    pub program: &'static str,
    /// What to do if the program is missing.
    pub remedy: &'static str,
}

impl Tool {
    /// Runs the program in `dir` and gives what it wrote to stdout. The error has the end of what it wrote to stderr.
    pub fn run<I, A>(&self, dir: &Path, args: I, env: &[(&str, &OsStr)]) -> Result<String, ToolError>
    where
        I: IntoIterator<Item = A>,
        A: AsRef<OsStr>,
    {
        let mut command = Command::new(self.program);
        command.current_dir(dir).args(args).envs(env.iter().copied()).stdin(std::process::Stdio::null());
        let output = command.output().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                ToolError::Missing { what: self.what, program: self.program, remedy: self.remedy }
            }
            _ => ToolError::Failed { what: self.what, program: self.program, said: error.to_string() },
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = summary(&String::from_utf8_lossy(&output.stderr))
            .or_else(|| summary(&String::from_utf8_lossy(&output.stdout)))
            .unwrap_or_else(|| output.status.to_string());
        Err(ToolError::Failed { what: self.what, program: self.program, said })
    }

    /// An error about a file of this build.
    pub fn files(&self, path: &Path) -> impl FnOnce(std::io::Error) -> ToolError + use<> {
        let (what, path) = (self.what, path.to_owned());
        move |source| ToolError::Files { what, path, source }
    }
}

/// The line that says what went wrong: the first that calls itself an error, else the last that is not empty.
fn summary(output: &str) -> Option<String> {
    let lines = || output.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines().find(|line| line.to_ascii_lowercase().contains("error"));
    error.or_else(|| lines().next_back()).map(str::to_owned)
}
