//! What guests write for people: to the host's log, under the node's name, and never more than it can take.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::runtime::Language;

/// How important a guest says a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// In which a node may write so many lines; the rest is counted and dropped.
const PERIOD: Duration = Duration::from_secs(1);

/// Bytes of one line; the rest is cut.
const LINE_LENGTH: usize = 4096;

/// The log of one node, shared by its instances.
#[derive(Clone, Debug)]
pub(super) struct NodeLog {
    inner: Arc<Inner>,
    /// Whether what is written here is of rows that a new version is tried on.
    is_tried: bool,
}

#[derive(Debug)]
struct Inner {
    name: Arc<str>,
    /// Of the node's file: warnings begin with places in it.
    folder: PathBuf,
    /// That may be written in each [`PERIOD`].
    lines: u32,
    budget: Mutex<Budget>,
}

#[derive(Debug)]
struct Budget {
    since: Instant,
    written: u32,
    dropped: u32,
}

impl NodeLog {
    /// The log of the node `name` with its file in `folder`, which may write so many lines a second.
    pub fn new(name: Arc<str>, folder: &Path, lines: u32) -> Self {
        let budget = Mutex::new(Budget { since: Instant::now(), written: 0, dropped: 0 });
        NodeLog { inner: Arc::new(Inner { name, folder: folder.to_owned(), lines, budget }), is_tried: false }
    }

    /// Whether the lines from now on, by this value and not by its clones, are of a trial: they say so, or it would look as if rows were
    /// asked twice.
    pub fn set_tried(&mut self, is_tried: bool) {
        self.is_tried = is_tried;
    }

    /// Writes `text`, a line of the log for each of its lines.
    pub fn write(&self, level: Level, text: &str) {
        let mut lines = text.lines();
        // What cannot be written is counted without being looked at: a text may have millions of lines.
        for line in lines.by_ref().take(self.inner.lines as usize) {
            if self.admit() {
                self.line(level, cut(line));
            }
        }
        self.leave_out(lines.count());
    }

    fn leave_out(&self, lines: usize) {
        if lines > 0 {
            let mut budget = self.inner.budget.lock().unwrap_or_else(PoisonError::into_inner);
            budget.dropped = budget.dropped.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        }
    }

    fn line(&self, level: Level, line: &str) {
        let node = &*self.inner.name;
        let tried = self.is_tried.then_some(true);
        match level {
            Level::Debug => tracing::debug!(target: "sangre::node", node, tried, "{line}"),
            Level::Info => tracing::info!(target: "sangre::node", node, tried, "{line}"),
            Level::Warn => {
                let line = with_folder(&self.inner.folder, line);
                tracing::warn!(target: "sangre::node", node, tried, "{line}");
            }
            Level::Error => tracing::error!(target: "sangre::node", node, tried, "{line}"),
        }
    }

    fn admit(&self) -> bool {
        let mut budget = self.inner.budget.lock().unwrap_or_else(PoisonError::into_inner);
        if budget.since.elapsed() >= PERIOD {
            let dropped = budget.dropped;
            *budget = Budget { since: Instant::now(), written: 0, dropped: 0 };
            if dropped > 0 {
                tracing::warn!(target: "sangre::node", node = &*self.inner.name, "{dropped} lines of the node were dropped");
            }
        }
        if budget.written < self.inner.lines {
            budget.written += 1;
            true
        } else {
            budget.dropped = budget.dropped.saturating_add(1);
            false
        }
    }
}

/// A line that begins with the place in a script, `hours.js:3: ...`, with the script's place as a terminal finds it. No file is looked for:
/// who writes a line may have no time to wait for a disk.
fn with_folder<'a>(folder: &Path, line: &'a str) -> Cow<'a, str> {
    let is_place = |(file, rest): (&str, &str)| {
        let is_inside = Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
        Language::of(Path::new(file)).is_some()
            && is_inside
            && !file.contains(char::is_whitespace)
            && rest.starts_with(|first: char| first.is_ascii_digit())
    };
    match line.split_once(':').is_some_and(is_place) {
        true => Cow::Owned(folder.strip_prefix(".").unwrap_or(folder).join(line).display().to_string()),
        false => Cow::Borrowed(line),
    }
}

/// The beginning of `line`, at most [`LINE_LENGTH`] bytes.
fn cut(line: &str) -> &str {
    &line[..line.floor_char_boundary(LINE_LENGTH)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_script_is_told_with_its_folder() {
        let told = |line: &str| with_folder(Path::new("./nodes"), line).into_owned();
        assert_eq!(told("lib/hours.js:3: no"), "nodes/lib/hours.js:3: no");
        for line in
            ["hours.js is slow", "hours.js: no", "/net/x.js:3: no", "../x.js:3: no", "at hours.js:3", "12:30", ""]
        {
            assert_eq!(told(line), line);
        }
    }

    #[test]
    fn a_flood_is_counted_and_not_written() {
        let log = NodeLog::new("noisy".into(), Path::new(""), 7);
        log.write(Level::Info, &"x\n".repeat(1_000_000));
        let budget = log.inner.budget.lock().expect("nobody panicked");
        assert_eq!((budget.written, budget.dropped), (7, 1_000_000 - 7));
    }
}
