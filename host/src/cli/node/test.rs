//! `sangre node test`: rows to a node, answers to standard output.
//!
//! A node is a pure function, and instances are reused, replaced and run side by side at will. So the rows are asked three
//! times: in order; in another order, of an instance that was used before; one by one, each of an instance of its own. An answer
//! that is not always the same is reported as what it is, a mistake of the node that a server would show only now and then. What the
//! node prints is shown of the first time alone, and then its function is watched: what it reads in vain is shown, too.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use tracing::subscriber::{NoSubscriber, with_default};

use super::{build, project, size_of};
use crate::data::Value;
use crate::wasm::{self, Answer, Given, NodeKind, NodeSource, Stop, Trial, Used};

/// Rows that are asked one by one, each of an instance of its own, which takes up to some milliseconds.
const ALONE: usize = 500;

/// Impurities that are told; one is enough to look for the reason.
const TOLD: usize = 5;

/// Asks the node at `path` the rows in a file. Fails if any row does, or has not always the same answer.
pub async fn run(path: &Path, rows: &Path, args: &str, given: Given, stop: Stop) -> anyhow::Result<ExitCode> {
    let args = read_args(args)?;
    let rows = read_rows(rows)?;
    let built = if path.is_dir() { Some(built(path, given.kind, stop).await?) } else { None };
    let node = built.as_ref().map_or_else(|| node_of(path), |(_, component)| NodeSource::Component(component.clone()));
    let trial = Trial::load(node, given).await?;
    check_rows(trial.kind(), &rows)?;
    let report = tokio::task::spawn_blocking(move || Report::of(&trial, &args, &rows)).await?;
    std::io::stdout().write_all(report.answers().as_bytes())?;
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    std::io::stderr().write_all(report.remarks(folder.unwrap_or(path)).as_bytes())?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The node that a file is, by its name.
pub fn node_of(path: &Path) -> NodeSource {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("wasm") => NodeSource::Component(path.to_owned()),
        _ => NodeSource::Script(path.to_owned()),
    }
}

/// The component of the project in `dir`, in a folder that ends with what is returned.
async fn built(dir: &Path, kind: Option<NodeKind>, stop: Stop) -> anyhow::Result<(tempfile::TempDir, PathBuf)> {
    let source = project::find(dir)?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let name = project::beside(&source).file_name().map_or_else(|| "node.wasm".into(), PathBuf::from);
    let component = folder.path().join(name);
    let output = component.clone();
    tokio::task::spawn_blocking(move || build::component(&source, kind, &output, &stop)).await??;
    Ok((folder, component))
}

fn read_args(text: &str) -> anyhow::Result<Value> {
    let args = Value::parse_json(text).map_err(|error| match error.place_in(text) {
        (1, column) => anyhow!("--args is not JSON: {} at column {column}{}", error.problem, instead(text)),
        (line, column) => anyhow!("--args is not JSON: {} at line {line}, column {column}", error.problem),
    })?;
    ensure!(matches!(args, Value::Object(_)), "--args is not a JSON object, such as {{\"hour\": 12}}");
    Ok(args)
}

/// A file is what people try who have just named one for `--rows`.
fn instead(text: &str) -> &'static str {
    let is_file = Path::new(text.trim_start_matches('@')).is_file();
    if is_file { ": it takes the JSON itself, not a file" } else { "" }
}

fn read_rows(path: &Path) -> anyhow::Result<Vec<Value>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let value = Value::parse_json(&text).map_err(|error| {
        let (line, column) = error.place_in(&text);
        anyhow!("{}:{line}:{column}: not JSON: {}", path.display(), error.problem)
    })?;
    let Value::Array(rows) = value else { anyhow::bail!("{} is not a JSON array of rows", path.display()) };
    ensure!(!rows.is_empty(), "{} has no rows", path.display());
    Ok(rows.to_vec())
}

/// A reduce is given lists; an array of plain rows is what people write first.
fn check_rows(kind: NodeKind, rows: &[Value]) -> anyhow::Result<()> {
    let wrong = rows.iter().position(|row| matches!(row, Value::Array(_)) != (kind == NodeKind::Reduce));
    match (wrong, kind) {
        (Some(at), NodeKind::Reduce) => {
            anyhow::bail!("row {at} is not a list: a reduce answers for lists, so write an array of arrays")
        }
        (Some(at), _) => anyhow::bail!("row {at} is a list: a {kind} answers for one row at a time"),
        (None, _) => Ok(()),
    }
}

/// What came of the rows.
struct Report {
    kind: NodeKind,
    /// As a server shows it, if it has the same settings.
    version: String,
    answers: Vec<Answer>,
    /// Row, how it was asked, and what was answered then.
    impure: Vec<(usize, &'static str, Answer)>,
    /// Rows that were asked one by one.
    alone: usize,
    /// What the rows took on an instance that is warm.
    warm: Duration,
    /// Of all runs.
    total: Used,
}

impl Report {
    fn of(trial: &Trial, args: &Value, rows: &[Value]) -> Self {
        let ask_quietly = |rows: &[Value]| with_default(NoSubscriber::default(), || trial.ask(args, rows));
        let mut answers = trial.ask_watched(args, rows);
        ask_late(&mut answers, rows, ask_quietly);
        let first = trial.used();
        let order = shuffled(rows.len());
        let mixed: Vec<Value> = order.iter().map(|&row| rows[row].clone()).collect();
        let again: Vec<(usize, Answer)> = order.into_iter().zip(ask_quietly(&mixed)).collect();
        let again_used = trial.used();
        trial.take_fresh_instances();
        let alone: Vec<(usize, Answer)> =
            rows.iter().take(ALONE).map(|row| ask_quietly(std::slice::from_ref(row)).remove(0)).enumerate().collect();
        let last = trial.used();
        let mut impure = differing(&answers, again, "asked after other rows");
        let alone_count = alone.len();
        impure.extend(differing(&answers, alone, "asked alone of a new instance"));
        let warm = again_used.computed.saturating_sub(first.computed);
        // Each was of the instance asked last.
        let memory = first.memory.max(again_used.memory).max(last.memory);
        let total = Used { memory, ..last };
        Report { kind: trial.kind(), version: trial.version(), answers, impure, alone: alone_count, warm, total }
    }

    fn is_good(&self) -> bool {
        self.impure.is_empty() && self.answers.iter().all(Result::is_ok)
    }

    /// A line for each row; an empty one for one that failed, since null is an answer.
    fn answers(&self) -> String {
        let mut text = String::new();
        for answer in &self.answers {
            if let Ok(value) = answer {
                value.write_json(&mut text);
            }
            text.push('\n');
        }
        text
    }

    /// What is said of the answers; `folder` is that of the node's source.
    fn remarks(&self, folder: &Path) -> String {
        let mut text = String::new();
        for (row, answer) in self.answers.iter().enumerate() {
            if let Err(error) = answer {
                let _ = writeln!(text, "row {row}: {}", wasm::placed(folder, &error.to_string()));
            }
        }
        for (row, how, answer) in self.impure.iter().take(TOLD) {
            let first = shown(&self.answers[*row]);
            let _ = writeln!(text, "row {row}: impure: {first} at first, {} when {how}", shown(answer));
        }
        if self.impure.len() > TOLD {
            let _ = writeln!(text, "and {} more answers that differ", self.impure.len() - TOLD);
        }
        let (rows, us) = (self.answers.len(), |time: Duration| time.as_secs_f64() * 1e6);
        let errors = self.answers.iter().filter(|answer| answer.is_err()).count();
        let _ = writeln!(text, "{} {}, {}", self.kind, count(rows, "row"), count(errors, "error"));
        let some = errors < rows;
        if some {
            let _ = writeln!(text, "cost    {:.1} us for a row, on a warm instance", us(self.warm) / rows as f64);
        }
        let _ = writeln!(
            text,
            "in all  {}, {:.1} ms computed, {} of memory at most",
            count(self.total.batches as usize, "call"),
            us(self.total.computed) / 1e3,
            size_of(self.total.memory)
        );
        let _ = writeln!(text, "version {}", self.version);
        if some && self.impure.is_empty() {
            let alone = if self.alone < rows { format!("the first {} ", self.alone) } else { String::new() };
            let _ = writeln!(text, "pure    the same answers in another order, and {alone}one by one of new instances");
        }
        text
    }
}

/// Asks again, as a server would, what may have run out of time because it was watched.
fn ask_late(answers: &mut [Answer], rows: &[Value], ask: impl Fn(&[Value]) -> Vec<Answer>) {
    let is_late = |answer: &Answer| answer.as_ref().is_err_and(|error| error.passing);
    let (late, rows): (Vec<&mut Answer>, Vec<Value>) = answers
        .iter_mut()
        .zip(rows)
        .filter(|(answer, _)| is_late(answer))
        .map(|(answer, row)| (answer, row.clone()))
        .unzip();
    late.into_iter().zip(ask(&rows)).for_each(|(answer, again)| *answer = again);
}

/// The answers that are not what they were at first. A failure that may pass says nothing of the node.
fn differing(first: &[Answer], then: Vec<(usize, Answer)>, how: &'static str) -> Vec<(usize, &'static str, Answer)> {
    let passing = |answer: &Answer| answer.as_ref().is_err_and(|error| error.passing);
    let same = |a: &Answer, b: &Answer| match (a, b) {
        (Ok(a), Ok(b)) => a.to_json() == b.to_json(),
        (Err(_), Err(_)) => true,
        _ => passing(a) || passing(b),
    };
    let mut found: Vec<_> = then.into_iter().filter(|(row, answer)| !same(&first[*row], answer)).collect();
    found.sort_by_key(|(row, _)| *row);
    found.into_iter().map(|(row, answer)| (row, how, answer)).collect()
}

/// The numbers below `count` in an order that has nothing to do with them, the same one each time (Fisher and Yates, with the
/// generator of Knuth's MMIX).
fn shuffled(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut state = 0x5a17_u64;
    for end in (1..count).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(end, ((state >> 33) % (end as u64 + 1)) as usize);
    }
    // Two rows may have stayed where they were.
    if count > 1 && order.iter().copied().eq(0..count) {
        order.reverse();
    }
    order
}

fn shown(answer: &Answer) -> String {
    const MOST: usize = 60;
    let text = match answer {
        Ok(value) => value.to_json(),
        Err(error) => format!("the error \"{error}\""),
    };
    if text.len() <= MOST { text } else { format!("{}...", &text[..text.floor_char_boundary(MOST)]) }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::guest::GuestError;

    #[test]
    fn another_order_has_all_rows() {
        for count in [0, 1, 2, 3, 100] {
            let mut order = shuffled(count);
            assert!(count < 2 || !order.iter().copied().eq(0..count), "{order:?}");
            order.sort_unstable();
            assert!(order.into_iter().eq(0..count));
        }
    }

    #[test]
    fn what_may_have_run_out_of_time_is_asked_again() {
        let failed = |message: &str, passing| Err(std::sync::Arc::new(GuestError { message: message.into(), passing }));
        let mut answers = vec![Ok(Value::from(1)), failed("late", true), failed("bad", false), failed("late", true)];
        let rows: Vec<Value> = [1, 2, 3, 4].map(Value::from).into();
        ask_late(&mut answers, &rows, |rows| rows.iter().cloned().map(Ok).collect());
        assert_eq!(answers, [Ok(1.into()), Ok(2.into()), failed("bad", false), Ok(4.into())]);
    }

    #[test]
    fn rows_and_args_are_what_the_kind_is_given() {
        let rows = |text: &str| match Value::parse_json(text) {
            Ok(Value::Array(rows)) => rows.to_vec(),
            other => panic!("{other:?}"),
        };
        assert!(check_rows(NodeKind::Map, &rows(r#"[{"a":1}, 2]"#)).is_ok());
        assert!(check_rows(NodeKind::Reduce, &rows("[[], [1]]")).is_ok());
        let error = check_rows(NodeKind::Reduce, &rows("[[], 1]")).expect_err("no list");
        assert_eq!(error.to_string(), "row 1 is not a list: a reduce answers for lists, so write an array of arrays");
        let error = check_rows(NodeKind::Filter, &rows("[[1]]")).expect_err("a list");
        assert_eq!(error.to_string(), "row 0 is a list: a filter answers for one row at a time");
        assert!(read_args("[1]").is_err_and(|error| error.to_string().contains("not a JSON object")));
        let said = |text: &str| read_args(text).expect_err("no JSON").to_string();
        assert!(said(r#"{"ü": x}"#).ends_with(" at column 7"), "{}", said(r#"{"ü": x}"#));
        assert!(said("{\n}}").ends_with(" at line 2, column 2"), "{}", said("{\n}}"));
    }
}
