//! Notices that files may have changed. Whether they did is for whoever is told to find out.
//!
//! The folder is watched, not the file: editors replace files, and a watch on a file follows the one that is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use notify::{RecursiveMode, Watcher};

use crate::dataflow::plan::NodeId;

/// Watches until it is dropped.
pub(super) struct Watch {
    /// Told of events; stops them when it is dropped.
    watcher: Mutex<Option<notify::RecommendedWatcher>>,
    folders: Mutex<BTreeSet<PathBuf>>,
    followers: Arc<Followers>,
}

/// By node.
#[derive(Default)]
struct Followers(Mutex<BTreeMap<NodeId, Follower>>);

/// A node that is told of changes.
struct Follower {
    /// Has room for one message: one that waits says all there is to say.
    changed: SyncSender<()>,
    /// Names of files, in any folder.
    names: BTreeSet<OsString>,
}

impl Watch {
    /// Begins to watch, for nobody yet.
    pub fn start() -> Self {
        let followers = Arc::<Followers>::default();
        let told = followers.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| tell(&told, event));
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!("files of nodes cannot be watched, so edits take effect at the next start: {error}");
        });
        Watch { watcher: Mutex::new(watcher.ok()), folders: Mutex::default(), followers }
    }

    /// Tells `node` of changes from now on, once it follows a file.
    pub fn join(&self, node: NodeId, changed: SyncSender<()>) {
        self.followers.lock().insert(node, Follower { changed, names: BTreeSet::new() });
    }

    /// Tells `node` of nothing any more. Its folders are still watched: others may have files there.
    pub fn leave(&self, node: NodeId) {
        self.followers.lock().remove(&node);
    }

    /// Tells `node` as if its file had changed.
    pub fn wake(&self, node: NodeId) {
        if let Some(follower) = self.followers.lock().get(&node) {
            follower.wake();
        }
    }

    /// Has `node` told of changes of the file at `path` too, which need not exist. Where its folder cannot be watched the
    /// log says so, once, and edits there take effect at the next start; unless the folder does not exist.
    pub fn follow(&self, node: NodeId, path: &Path) {
        match self.followers.lock().get_mut(&node) {
            Some(follower) => follower.names.extend(names_of(path)),
            None => return,
        }
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

impl Follower {
    fn wake(&self) {
        // Full: it was told already and has not looked yet.
        let _ = self.changed.try_send(());
    }
}

impl Followers {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, Follower>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

fn tell(followers: &Followers, event: notify::Result<notify::Event>) {
    // After an error, such as an overrun queue of events, anything may have changed.
    let paths = match &event {
        Ok(event) if event.kind.is_access() => return,
        Ok(event) if !event.need_rescan() => Some(&event.paths),
        Ok(_) | Err(_) => None,
    };
    for follower in followers.lock().values() {
        let is_told = |path: &PathBuf| path.file_name().is_some_and(|name| follower.names.contains(name));
        if paths.is_none_or(|paths| paths.iter().any(is_told)) {
            follower.wake();
        }
    }
}
