//! Notices that files may have changed. Whether they did is for whoever is told to find out.
//!
//! The folder is watched, not the file: editors replace files, and a watch on a file follows the one that is gone.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use notify::{RecursiveMode, Watcher};

/// Watches until it is dropped.
pub(super) struct Watch {
    /// Told of events; stops them when it is dropped.
    watcher: Mutex<Option<notify::RecommendedWatcher>>,
    /// By node.
    changed: Vec<SyncSender<()>>,
    folders: Mutex<BTreeSet<PathBuf>>,
    names: Arc<Names>,
}

/// Names of files in any folder, by the node that wants to be told of them.
struct Names(Vec<Mutex<BTreeSet<OsString>>>);

impl Watch {
    /// Begins to watch for as many nodes as there are senders, each of which has room for one message: a message that waits
    /// says all there is to say.
    pub fn start(changed: Vec<SyncSender<()>>) -> Self {
        let names = Arc::new(Names(changed.iter().map(|_| Mutex::default()).collect()));
        let (told, senders) = (names.clone(), changed.clone());
        let watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| tell(&told, &senders, event));
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!("files of nodes cannot be watched, so edits take effect at the next start: {error}");
        });
        Watch { watcher: Mutex::new(watcher.ok()), changed, folders: Mutex::default(), names }
    }

    /// Tells `node` as if its file had changed.
    pub fn wake(&self, node: usize) {
        // Full: it was told already and has not looked yet.
        let _ = self.changed[node].try_send(());
    }

    /// Has `node` told of changes of the file at `path` too, which need not exist. Where its folder cannot be watched the
    /// log says so, once, and edits there take effect at the next start; unless the folder does not exist.
    pub fn follow(&self, node: usize, path: &Path) {
        self.names.of(node).extend(names_of(path));
        let mut watched = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(watcher) = &mut *watcher else { return };
        for folder in folders_of(path).filter(|folder| folder.exists()) {
            if !watched.insert(folder.clone()) {
                continue;
            }
            if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
                let folder = folder.display();
                tracing::warn!("{folder} cannot be watched, so edits there take effect at the next start: {error}");
            }
        }
    }
}

impl Names {
    fn of(&self, node: usize) -> std::sync::MutexGuard<'_, BTreeSet<OsString>> {
        self.0[node].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The folder of `path`, and the one of the file it links to.
fn folders_of(path: &Path) -> impl Iterator<Item = PathBuf> {
    let folder = |path: PathBuf| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    std::iter::once(path.to_owned()).chain(path.canonicalize()).map(folder)
}

/// The name of `path` in its folder, and that of the file it links to.
fn names_of(path: &Path) -> impl Iterator<Item = OsString> {
    std::iter::once(path.to_owned()).chain(path.canonicalize()).filter_map(|path| Some(path.file_name()?.to_owned()))
}

fn tell(names: &Names, changed: &[SyncSender<()>], event: notify::Result<notify::Event>) {
    // After an error, such as an overrun queue of events, anything may have changed.
    let paths = match &event {
        Ok(event) if event.kind.is_access() => return,
        Ok(event) if !event.need_rescan() => Some(&event.paths),
        Ok(_) | Err(_) => None,
    };
    for (node, changed) in changed.iter().enumerate() {
        let is_told = |path: &PathBuf| path.file_name().is_some_and(|name| names.of(node).contains(name));
        if paths.is_none_or(|paths| paths.iter().any(is_told)) {
            // Full: it was told already and has not looked yet.
            let _ = changed.try_send(());
        }
    }
}
