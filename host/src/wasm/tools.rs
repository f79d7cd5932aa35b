//! Runs the programs a build needs, says in few words what is missing or went wrong, and ends them when nobody waits any more.

use std::ffi::OsStr;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

use super::build::ModuleError;

/// Why something could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("{what} needs the program {program}, which was not found in PATH: {remedy}")]
    Missing { what: &'static str, program: &'static str, remedy: &'static str },
    #[error("{what} needs {part} of {program}, which is not there: {remedy}")]
    Incomplete { what: &'static str, part: &'static str, program: &'static str, remedy: &'static str },
    #[error("{what}: the program {program} failed: {said}")]
    Failed { what: &'static str, program: &'static str, said: String },
    /// A mistake in the source, at the place that the text begins with.
    #[error("{said}")]
    Mistake { said: String },
    #[error("{what}: the program {program} failed, for what it says above")]
    FailedAloud { what: &'static str, program: &'static str },
    #[error("{what}: {program} is version {found}, but {needed} is needed: {remedy}")]
    Old { what: &'static str, program: &'static str, found: String, needed: String, remedy: &'static str },
    #[error("{what}: {program} made no {}", .expected.display())]
    NoResult { what: &'static str, program: &'static str, expected: PathBuf },
    #[error("{what}: stopped, for nobody waits for it any more")]
    Stopped { what: &'static str },
    #[error("{what}: cannot use {}", .path.display())]
    Files { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{what}: {} is damaged: {remedy}", .path.display())]
    Damaged { what: &'static str, path: PathBuf, remedy: &'static str },
    #[error(transparent)]
    Module(#[from] ModuleError),
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
    /// Runs the program in `dir`, until `stop`, and gives what it wrote to stdout. The error has what matters of stderr.
    pub fn run<I, A>(&self, dir: &Path, args: I, env: &[(&str, &OsStr)], stop: &Stop) -> Result<String, ToolError>
    where
        I: IntoIterator<Item = A>,
        A: AsRef<OsStr>,
    {
        self.run_file(Path::new(self.program), dir, args, env, stop)
    }

    /// As [`run`](Self::run), where the program is the file `program` and not one in PATH.
    pub fn run_file<I, A>(
        &self,
        program: &Path,
        dir: &Path,
        args: I,
        env: &[(&str, &OsStr)],
        stop: &Stop,
    ) -> Result<String, ToolError>
    where
        I: IntoIterator<Item = A>,
        A: AsRef<OsStr>,
    {
        let output = self.output(program, dir, args, env, stop)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = summary(&String::from_utf8_lossy(&output.stderr))
            .or_else(|| summary(&String::from_utf8_lossy(&output.stdout)))
            .unwrap_or_else(|| output.status.to_string());
        Err(ToolError::Failed { what: self.what, program: self.program, said })
    }

    /// As [`run`](Self::run), where all that the program writes to stderr is for the user: it goes to that of this process, once the
    /// program has ended, each line as `told` has it.
    pub fn run_aloud<I, A>(
        &self,
        dir: &Path,
        args: I,
        env: &[(&str, &OsStr)],
        told: impl Fn(&str) -> String,
        stop: &Stop,
    ) -> Result<String, ToolError>
    where
        I: IntoIterator<Item = A>,
        A: AsRef<OsStr>,
    {
        let output = self.output(Path::new(self.program), dir, args, env, stop)?;
        let lines: String =
            String::from_utf8_lossy(&output.stderr).lines().map(|line| format!("{}\n", told(line))).collect();
        // Nobody may read it.
        let _ = io::stderr().write_all(lines.as_bytes());
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(ToolError::FailedAloud { what: self.what, program: self.program })
    }

    /// What came of the program, however it ended.
    fn output<I, A>(
        &self,
        program: &Path,
        dir: &Path,
        args: I,
        env: &[(&str, &OsStr)],
        stop: &Stop,
    ) -> Result<Output, ToolError>
    where
        I: IntoIterator<Item = A>,
        A: AsRef<OsStr>,
    {
        let mut command = Command::new(program);
        command.current_dir(dir).args(args).envs(env.iter().copied()).stderr(Stdio::piped());
        let output = stop.start(&mut command).and_then(|child| stop.finish(child));
        if stop.is_stopped() {
            return Err(ToolError::Stopped { what: self.what });
        }
        output.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                ToolError::Missing { what: self.what, program: self.program, remedy: self.remedy }
            }
            _ => ToolError::Failed { what: self.what, program: self.program, said: error.to_string() },
        })
    }

    /// An error if the program is of an older major version than this.
    pub fn at_least(&self, needed: u32, stop: &Stop) -> Result<(), ToolError> {
        let said = self.run(Path::new("."), ["--version"], &[], stop)?;
        let found = said.trim().trim_start_matches('v').to_owned();
        if found.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major >= needed) {
            return Ok(());
        }
        let (what, program, remedy) = (self.what, self.program, self.remedy);
        Err(ToolError::Old { what, program, found, needed: needed.to_string(), remedy })
    }

    /// An error about a file of this build.
    pub fn files(&self, path: &Path) -> impl FnOnce(io::Error) -> ToolError + use<> {
        let (what, path) = (self.what, path.to_owned());
        move |source| ToolError::Files { what, path, source }
    }
}

/// Ends the programs of builds. Clones are the same one.
///
/// Each program leads a process group, so what it starts in turn ends with it; hence Ctrl-C in a terminal reaches none of them, and
/// whoever starts a build sees to its end.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    stopped: bool,
    /// Programs that have not been waited for: until then no other process gets their numbers.
    programs: Vec<Pid>,
}

impl Stop {
    /// Ends the programs that run, with all they started. From now on none is started.
    pub fn stop(&self) {
        let mut running = self.running();
        running.stopped = true;
        for &program in &running.programs {
            // An error means that it has ended.
            let _ = kill_process_group(program, Signal::KILL);
        }
    }

    fn is_stopped(&self) -> bool {
        self.running().stopped
    }

    fn start(&self, command: &mut Command) -> io::Result<Child> {
        let mut running = self.running();
        if running.stopped {
            return Err(io::ErrorKind::Interrupted.into());
        }
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.spawn()?;
        running.programs.push(Pid::from_child(&child));
        Ok(child)
    }

    fn finish(&self, mut child: Child) -> io::Result<Output> {
        let (program, out, err) = (Pid::from_child(&child), child.stdout.take(), child.stderr.take());
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        // Both at a time, for a full pipe stops the program.
        std::thread::scope(|scope| {
            scope.spawn(|| err.map(|mut err| err.read_to_end(&mut stderr)));
            let _ = out.map(|mut out| out.read_to_end(&mut stdout));
        });
        // The pipes have closed, so it is at its end, whether or not it is stopped now.
        self.running().programs.retain(|running| *running != program);
        Ok(Output { status: child.wait()?, stdout, stderr })
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many places of a source are named.
const PLACES: usize = 3;

/// What says what went wrong: a compiler's first errors, each a line that begins with its place; else the first line that
/// calls itself an error; else the last that is not empty.
fn summary(output: &str) -> Option<String> {
    let lines = || output.lines().map(str::trim).filter(|line| !line.is_empty());
    let places: Vec<&str> = lines().filter(|line| line.contains(": error")).take(PLACES).collect();
    if !places.is_empty() {
        return Some(places.join("\n"));
    }
    let error = lines().find(|line| line.to_ascii_lowercase().contains("error"));
    error.or_else(|| lines().next_back()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: Tool = Tool { what: "trying", program: "sh", remedy: "install a shell" };

    fn run(script: &str, stop: &Stop) -> Result<String, ToolError> {
        SHELL.run(Path::new("/"), ["-c", script], &[], stop)
    }

    #[test]
    fn the_first_places_of_errors_are_told() {
        let stop = Stop::default();
        assert_eq!(run("echo fine; echo error >&2", &stop).expect("it runs"), "fine\n");
        let rustc = "w.rs:1:1: warning: unused\na.rs:2:3: error[E0425]: no `x`\nb.rs:4:5: error: no `y`\nerror: could not compile";
        let failed = run(&format!("echo '{rustc}' >&2; exit 1"), &stop).expect_err("it fails").to_string();
        assert_eq!(failed, "trying: the program sh failed: a.rs:2:3: error[E0425]: no `x`\nb.rs:4:5: error: no `y`");
        assert_eq!(summary("npm error code E404\nnpm error 404 Not Found").as_deref(), Some("npm error code E404"));
        assert_eq!(summary("one\ntwo\n\n").as_deref(), Some("two"));
        let missing = Tool { program: "no-such-program", ..SHELL }.run(Path::new("/"), [""; 0], &[], &stop);
        assert!(matches!(missing, Err(ToolError::Missing { .. })), "{missing:?}");
    }

    #[test]
    fn a_stop_ends_a_program_and_what_it_started() {
        let stop = Stop::default();
        let waiting = stop.clone();
        // Its output closes, and so it returns, only once both have ended.
        let thread = std::thread::spawn(move || run("sleep 600 & sleep 600", &waiting));
        while stop.running().programs.is_empty() {
            std::thread::yield_now();
        }
        stop.stop();
        let ended = thread.join().expect("no panic");
        assert!(matches!(ended, Err(ToolError::Stopped { .. })), "{ended:?}");
        assert!(matches!(run("true", &stop), Err(ToolError::Stopped { .. })));
    }
}
