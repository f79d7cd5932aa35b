//! Reads the spans of the stages out of the server's log.
//!
//! A line of an event or of a span that closed begins with the time; a closed span also says for how long it was busy and idle, so its
//! beginning is known. What belongs together is found by the commit's position, and where a line has none by the order of
//! the lines, for the writer is one thread at a time.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use std::time::Duration;

use super::statistics::Sample;

/// A day. From 1970 to 2000, where Postgres's time begins, are whole ones: the time of day is the same.
pub const DAY_US: f64 = 86_400e6;

const TARGET: &str = "sangre::stages: ";

/// One row of the table.
pub struct Stage {
    pub key: &'static str,
    pub what: &'static str,
    pub took: Sample,
}

/// A line of the log.
struct Line<'l> {
    /// Microseconds since midnight.
    at: f64,
    name: &'l str,
    fields: &'l str,
    busy: f64,
    idle: f64,
}

/// When what happened to a commit; microseconds since midnight.
#[derive(Clone, Copy, Default)]
struct Commit {
    committed: f64,
    received: f64,
    step_began: f64,
    step_ended: f64,
    emitted: Option<f64>,
    answers_began: Option<f64>,
}

/// The stages that the log tells of; `scheduled`: when the writes were to be sent, in order.
pub fn stages(log: &str, scheduled: &[f64]) -> Result<Vec<Stage>> {
    let mut commits: Vec<Commit> = Vec::new();
    let mut by_lsn: HashMap<&str, usize> = HashMap::new();
    let (mut steps, mut answers, mut wakes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut diffs, mut encodes, mut sockets) = (Vec::new(), Vec::new(), Vec::new());
    // Of this commit so far: spans within a span close before it.
    let (mut passing, mut in_passing) = (0.0, Vec::new());
    // Emissions whose step has not closed yet.
    let mut emitting: Vec<usize> = Vec::new();
    for line in log.lines().filter_map(read) {
        let commit = lsn(line.fields).and_then(|lsn| by_lsn.get(lsn).copied());
        let began = line.at - line.busy - line.idle;
        match (line.name, commit) {
            ("received", None) => {
                let name = lsn(line.fields).context("a position")?;
                let committed = field(line.fields, "committed_us=").context("a time")?.parse::<f64>()? % DAY_US;
                by_lsn.insert(name, commits.len());
                commits.push(Commit { committed, received: line.at, ..Commit::default() });
            }
            ("step", Some(index)) => {
                (commits[index].step_began, commits[index].step_ended) = (began, line.at);
                steps.push(line.busy);
                in_passing.push(std::mem::take(&mut passing));
                emitting.clear();
            }
            ("emitted", Some(index)) => {
                commits[index].emitted.get_or_insert(line.at);
                emitting.push(index);
            }
            ("nodes", _) => passing += line.busy,
            ("answers", _) if !commits.is_empty() => {
                answers.push(line.busy);
                for index in emitting.drain(..) {
                    commits[index].answers_began.get_or_insert(began);
                }
            }
            ("diff", Some(index)) => {
                diffs.push(line.busy);
                wakes.extend(commits[index].emitted.map(|emitted| (began - emitted).max(0.0)));
            }
            ("encode", Some(_)) => encodes.push(line.busy),
            // Before the first commit there were first documents.
            ("socket", _) if !commits.is_empty() => sockets.push(line.busy + line.idle),
            _ => {}
        }
    }
    ensure!(commits.len() == scheduled.len(), "{} commits of {} writes", commits.len(), scheduled.len());
    let each = |took: &dyn Fn(&Commit) -> Option<f64>| sample(commits.iter().filter_map(took).collect());
    let of_postgres = commits.iter().zip(scheduled).map(|(commit, scheduled)| commit.committed - scheduled);
    let stage = |key, what, took| Stage { key, what, took };
    Ok(vec![
        stage("update", "UPDATE sent to commit (Postgres)", sample(of_postgres.collect())),
        stage("wal", "commit to its message at the stream", each(&|commit| Some(commit.received - commit.committed))),
        stage("event", "message to event at the writer", each(&|commit| Some(commit.step_began - commit.received))),
        stage("step", "step of the commit, in all", sample(steps)),
        stage("passing", "  of it, nodes asked in passing", sample(in_passing)),
        stage(
            "node",
            "nodes on their threads, to their answers",
            each(&|commit| Some(commit.answers_began? - commit.step_ended)),
        ),
        stage("answers", "  step of the answers, within it or later", sample(answers)),
        stage("wake", "emission to the session that sends it", sample(wakes)),
        stage("diff", "diff (from the memo, if shared)", sample(diffs)),
        stage("encode", "encode", sample(encodes)),
        stage("socket", "socket", sample(sockets)),
    ])
}

fn sample(microseconds: Vec<f64>) -> Sample {
    Sample::new(microseconds.into_iter().map(|us| Duration::from_secs_f64(us.max(0.0) / 1e6)).collect())
}

/// Takes a line apart; none if it is not of the stages.
fn read(line: &str) -> Option<Line<'_>> {
    let (head, tail) = line.split_once(TARGET)?;
    let at = time_of_day(head.split_whitespace().next()?)?;
    if let Some(times) = tail.strip_prefix("close ") {
        // The innermost span is the one that closes.
        let span = head.trim_end().trim_end_matches(':').rsplit(' ').next()?;
        let span = span.rsplit_once("}:").map_or(span, |(_, inner)| inner);
        // Of spans without fields one within the other, too.
        let (name, fields) = span.split_once('{').unwrap_or((span.rsplit(':').next()?, ""));
        let (busy, idle) = (duration(field(times, "time.busy=")?)?, duration(field(times, "time.idle=")?)?);
        return Some(Line { at, name, fields: fields.trim_end_matches('}'), busy, idle });
    }
    let (name, fields) = tail.split_once(' ').unwrap_or((tail, ""));
    Some(Line { at, name, fields, busy: 0.0, idle: 0.0 })
}

/// The value after `name=`.
fn field<'l>(fields: &'l str, name: &str) -> Option<&'l str> {
    fields.split(' ').find_map(|field| field.strip_prefix(name))
}

/// The commit's position, of a position or of a revision, which begins with it.
fn lsn(fields: &str) -> Option<&str> {
    field(fields, "lsn=")?.split('.').next()
}

/// `2026-01-01T12:00:00.000001Z` in microseconds since midnight.
fn time_of_day(text: &str) -> Option<f64> {
    let time = text.split_once('T')?.1.trim_end_matches('Z');
    let mut parts = time.splitn(3, ':').map(|part| part.parse::<f64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    Some(((hours * 60.0 + minutes) * 60.0 + seconds) * 1e6)
}

/// `12.3µs` in microseconds.
fn duration(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "ns" => 1e-3,
        "µs" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    Some(digits.parse::<f64>().ok()? * unit)
}
