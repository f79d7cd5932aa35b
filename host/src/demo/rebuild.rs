//! Builds the demo's Rust node whenever its source changes.
//!
//! The built component replaces the file that the node host watches, so a good edit goes live by itself; all this tells
//! anybody is how the build goes. A source that does not compile leaves the component as it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::wasm::{Stop, build};

/// A source that changes again within this time is still being written.
const SETTLE: Duration = Duration::from_millis(50);

/// How the newest source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Build {
    Running,
    /// Built: the component.
    Done(PathBuf),
    /// Not built: the compiler's first errors, a line each, or what is missing.
    Failed(Arc<str>),
}

/// Builds a crate now and after each edit until it is dropped; a build that runs then ends at its own [`Stop`].
pub struct Rebuild {
    builds: watch::Receiver<Build>,
    task: JoinHandle<()>,
    _watcher: Option<notify::RecommendedWatcher>,
}

impl Rebuild {
    /// Starts to build and to follow the crate in `dir`. Where its source cannot be watched the log says so.
    pub fn start(dir: PathBuf, stop: Stop) -> Self {
        Self::with(dir, move |dir| build::rust(dir, &stop).map_err(|error| format!("{:#}", anyhow::Error::from(error))))
    }

    fn with(dir: PathBuf, build: impl Fn(&Path) -> Result<PathBuf, String> + Send + Sync + 'static) -> Self {
        let (changed, changes) = mpsc::channel(1);
        let source = dir.join("src");
        // Before the first build, so that no edit is missed.
        let watcher = watch(&source, changed);
        if let Err(error) = &watcher {
            let source = source.display();
            tracing::warn!("{source} cannot be watched, so edits there take effect at the next start: {error}");
        }
        let (told, builds) = watch::channel(Build::Running);
        let task = tokio::spawn(follow(dir, Arc::new(build), changes, told));
        Rebuild { builds, task, _watcher: watcher.ok() }
    }

    /// What becomes of the first build: the component, or why there is none.
    pub async fn first(&self) -> Result<PathBuf, String> {
        let mut builds = self.builds.clone();
        match builds.wait_for(|build| *build != Build::Running).await.as_deref() {
            Ok(Build::Done(component)) => Ok(component.clone()),
            Ok(Build::Failed(reason)) => Err(reason.to_string()),
            Ok(Build::Running) | Err(_) => Err("its build was given up".into()),
        }
    }

    /// How the build of the newest source goes, now and later.
    pub fn builds(&self) -> watch::Receiver<Build> {
        self.builds.clone()
    }
}

impl Drop for Rebuild {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn watch(source: &Path, changed: mpsc::Sender<()>) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if !event.is_ok_and(|event| event.kind.is_access()) {
            // Full: the change that waits will find this one too.
            let _ = changed.try_send(());
        }
    })?;
    watcher.watch(source, RecursiveMode::Recursive)?;
    Ok(watcher)
}

type Builder = dyn Fn(&Path) -> Result<PathBuf, String> + Send + Sync;

async fn follow(dir: PathBuf, build: Arc<Builder>, mut changes: mpsc::Receiver<()>, told: watch::Sender<Build>) {
    let source = dir.join("src");
    let mut built = None;
    loop {
        let now = fingerprint(&source);
        if built != Some(now) {
            let first = built.replace(now).is_none();
            told.send_replace(Build::Running);
            let (dir, build) = (dir.clone(), build.clone());
            let outcome = tokio::task::spawn_blocking(move || build(&dir)).await;
            let outcome = outcome.unwrap_or_else(|error| Err(error.to_string()));
            if !first {
                log(&source, &outcome);
            }
            told.send_replace(outcome.map_or_else(|reason| Build::Failed(reason.into()), Build::Done));
        }
        if changes.recv().await.is_none() {
            return;
        }
        while tokio::time::timeout(SETTLE, changes.recv()).await.is_ok_and(|more| more.is_some()) {}
    }
}

fn log(source: &Path, outcome: &Result<PathBuf, String>) {
    let source = source.display();
    match outcome {
        Ok(_) => tracing::info!("built {source} again"),
        Err(reason) => tracing::warn!("{source} is not built, what was loaded before stays: {reason}"),
    }
}

/// Of the Rust files in a folder and below. What cannot be read counts as empty: the compiler will say why.
fn fingerprint(folder: &Path) -> blake3::Hash {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut hasher = blake3::Hasher::new();
    for path in files {
        let text = std::fs::read(&path).unwrap_or_default();
        for part in [path.as_os_str().as_encoded_bytes(), &text] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stand-in for the compiler: it takes what does not say "bad".
    fn compile(dir: &Path) -> Result<PathBuf, String> {
        let text = std::fs::read_to_string(dir.join("src/lib.rs")).map_err(|error| error.to_string())?;
        if text.contains("bad") { Err(format!("src/lib.rs:1:1: error: {text}")) } else { Ok(dir.join(text)) }
    }

    async fn until(builds: &mut watch::Receiver<Build>, expected: Build) {
        let done = tokio::time::timeout(Duration::from_secs(20), builds.wait_for(|build| *build == expected)).await;
        done.expect("in time").expect("it follows");
    }

    #[tokio::test]
    async fn each_edit_is_built_and_a_bad_one_says_why() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("src/lib.rs");
        std::fs::create_dir(dir.path().join("src")).expect("a folder");
        let write = |text: &str| std::fs::write(&file, text).expect("written");
        write("one");
        let rebuild = Rebuild::with(dir.path().to_owned(), compile);
        assert_eq!(rebuild.first().await, Ok(dir.path().join("one")));
        let mut builds = rebuild.builds();
        write("bad");
        until(&mut builds, Build::Failed("src/lib.rs:1:1: error: bad".into())).await;
        write("one");
        until(&mut builds, Build::Done(dir.path().join("one"))).await;
        // As an editor does it: a new file in place of the old.
        let other = dir.path().join("src/.lib.rs.new");
        std::fs::write(&other, "two").and_then(|()| std::fs::rename(&other, &file)).expect("replaced");
        until(&mut builds, Build::Done(dir.path().join("two"))).await;
        drop(rebuild);
        assert!(builds.wait_for(|build| *build == Build::Running).await.is_err(), "nobody builds any more");
    }

    #[test]
    fn only_rust_files_count() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("written");
        let empty = fingerprint(dir.path());
        write(".lib.rs.swp", "an editor's");
        assert_eq!(fingerprint(dir.path()), empty);
        write("lib.rs", "");
        let one = fingerprint(dir.path());
        std::fs::create_dir(dir.path().join("more")).expect("a folder");
        assert_eq!(fingerprint(dir.path()), one);
        write("more/lib.rs", "");
        assert!(![empty, one].contains(&fingerprint(dir.path())));
    }
}
