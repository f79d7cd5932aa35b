//! What a benchmark prints: what it ran on, its figures beside their goals, and last one line of JSON.

use std::fmt::Display;
use std::io::Write as _;
use std::process::Command;

use serde_json::{Map, Value, json};

/// Collects what the last line says.
pub struct Report {
    json: Map<String, Value>,
}

/// Prints a line.
pub fn say(line: impl Display) {
    let mut out = std::io::stdout().lock();
    // Nobody reads any more: then nobody misses it.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

impl Report {
    /// Prints the benchmark's name and the machine. `postgres` is the server's version.
    pub fn begin(name: &str, postgres: &str) -> Report {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let memory = memory_mib();
        let (commit, date) = (commit(), first_line(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%MZ"])));
        say(format_args!(
            "{name}: {cores} cores ({}), {memory} MiB of memory, Postgres {postgres}, commit {commit}, {date}",
            processor()
        ));
        let machine = json!({
            "bench": name, "cores": cores, "memory_mib": memory, "postgres": postgres, "commit": commit, "date": date,
        });
        let Value::Object(json) = machine else { unreachable!("it is written as an object") };
        Report { json }
    }

    /// Notes a figure for the last line, to four digits.
    pub fn note(&mut self, key: &str, value: f64) {
        let digits = if value == 0.0 { 0 } else { (3 - value.abs().log10().floor() as i32).clamp(0, 6) };
        let scale = 10f64.powi(digits);
        self.json.insert(key.into(), json!((value * scale).round() / scale));
    }

    pub fn note_text(&mut self, key: &str, value: &str) {
        self.json.insert(key.into(), value.into());
    }

    /// Notes and prints a figure that is to be at most `goal`.
    pub fn goal(&mut self, key: &str, what: &str, value: f64, goal: f64, unit: &str) {
        let verdict = if value <= goal { "reached" } else { "MISSED" };
        say(format_args!("  {what}: {value:.3}{unit}, goal at most {goal}{unit}: {verdict}"));
        self.note(key, value);
    }

    /// The same of a figure that is to be at least `goal`.
    pub fn goal_at_least(&mut self, key: &str, what: &str, value: f64, goal: f64) {
        let verdict = if value >= goal { "reached" } else { "MISSED" };
        say(format_args!("  {what}: {value:.3}, goal at least {goal}: {verdict}"));
        self.note(key, value);
    }

    /// Prints the last line.
    pub fn end(self) {
        say(Value::Object(self.json));
    }
}

fn memory_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    super::process::field_kib(&text, "MemTotal:").unwrap_or(0) / 1024
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or("of unknown make", |(_, name)| name.trim()).to_owned()
}

/// The commit of the source, with a plus if it was changed since.
fn commit() -> String {
    let git =
        |arguments: &[&str]| first_line(Command::new("git").arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(arguments));
    let changed = if git(&["status", "--porcelain", "--untracked-files=no"]).is_empty() { "" } else { "+" };
    git(&["rev-parse", "--short", "HEAD"]) + changed
}

fn first_line(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or_default().to_owned()
}
