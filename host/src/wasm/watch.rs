//! Notices that files may have changed. Whether they did is for whoever is told to find out.
//!
//! The folder is watched, not the file: editors replace files, and a watch on a file follows the one that is gone.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;

use notify::{RecursiveMode, Watcher};

/// A file, and whom to tell.
pub(super) struct Watched {
    pub path: PathBuf,
    /// Has room for one message: a message that waits says all there is to say.
    pub changed: SyncSender<()>,
}

/// Watches until it is dropped.
pub(super) struct Watch {
    _watcher: Option<notify::RecommendedWatcher>,
}

impl Watch {
    /// Begins to watch. Where a folder cannot be watched the log says so, and edits there take effect at the next start.
    pub fn start(files: Vec<Watched>) -> Self {
        let folders: BTreeSet<PathBuf> = files.iter().flat_map(|file| folders_of(&file.path)).collect();
        let told: Vec<(OsString, SyncSender<()>)> =
            files.iter().flat_map(|file| names_of(&file.path).map(|name| (name, file.changed.clone()))).collect();
        drop(files);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| tell(&told, event));
        let mut watcher = match watcher {
            Ok(watcher) => watcher,
            Err(error) => {
                tracing::warn!("files of nodes cannot be watched, so edits take effect at the next start: {error}");
                return Watch { _watcher: None };
            }
        };
        for folder in folders {
            if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
                let folder = folder.display();
                tracing::warn!("{folder} cannot be watched, so edits there take effect at the next start: {error}");
            }
        }
        Watch { _watcher: Some(watcher) }
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

fn tell(told: &[(OsString, SyncSender<()>)], event: notify::Result<notify::Event>) {
    // After an error, such as an overrun queue of events, anything may have changed.
    let paths = match &event {
        Ok(event) if event.kind.is_access() => return,
        Ok(event) if !event.need_rescan() => Some(&event.paths),
        Ok(_) | Err(_) => None,
    };
    for (name, changed) in told {
        if paths.is_none_or(|paths| paths.iter().any(|path| path.file_name() == Some(name))) {
            // Full: it was told already and has not looked yet.
            let _ = changed.try_send(());
        }
    }
}
