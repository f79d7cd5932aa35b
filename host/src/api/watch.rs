//! Follows the configuration file while it is served: a valid edit replaces queries and nodes, a bad one is logged and changes
//! nothing.
//!
//! The folder is watched, not the file, since editors replace files. What an edit cannot change while the server runs
//! (addresses, the database, limits) is said in the log.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::recipe::{Recipe, node_options};
use crate::config::Settings;
use crate::driver::Handle;

/// A file that changes again within this time is still being written.
const SETTLE: Duration = Duration::from_millis(50);

/// Follows the file until it is dropped.
pub(super) struct Follow {
    task: JoinHandle<()>,
    _watcher: notify::RecommendedWatcher,
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts to follow the file of `recipe`, which gave `settings`. `None`: there is none, or it cannot be watched, and the log
/// says so.
pub(super) fn follow(recipe: Recipe, settings: Settings, handle: Handle) -> Option<Follow> {
    let file = recipe.file()?.to_owned();
    let (changed, changes) = mpsc::channel(1);
    let name = file.file_name()?.to_owned();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let concerns = match &event {
            Ok(event) if event.kind.is_access() => false,
            Ok(event) => event.need_rescan() || event.paths.iter().any(|path| path.file_name() == Some(&name)),
            Err(_) => true,
        };
        if concerns {
            // Full: the change that waits will find this one too.
            let _ = changed.try_send(());
        }
    });
    let watched = watcher.and_then(|mut watcher| {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    match watched {
        Ok(watcher) => {
            let task = tokio::spawn(replace(file, recipe, settings, changes, handle));
            Some(Follow { task, _watcher: watcher })
        }
        Err(error) => {
            tracing::warn!("{} cannot be watched, so edits take effect at the next start: {error}", file.display());
            None
        }
    }
}

async fn replace(
    file: PathBuf,
    recipe: Recipe,
    mut settings: Settings,
    mut changes: mpsc::Receiver<()>,
    handle: Handle,
) {
    // What the server was started with.
    let started = settings.clone();
    let mut seen = std::fs::read_to_string(&file).unwrap_or_default();
    while changes.recv().await.is_some() {
        while tokio::time::timeout(SETTLE, changes.recv()).await.is_ok_and(|more| more.is_some()) {}
        let Ok(text) = std::fs::read_to_string(&file) else {
            tracing::warn!("{} is gone: what it said stays", file.display());
            continue;
        };
        if text == seen {
            continue;
        }
        seen = text;
        match recipe.settings() {
            Ok(newer) => {
                warn_of_restart(&started, &settings, &newer);
                settings = newer;
                handle.replace(settings.queries.clone(), settings.tables.clone(), node_options(&settings)).await;
            }
            Err(error) => handle.refuse(&error),
        }
    }
}

/// Says what of a change needs a restart: it is neither as it was in the file before, nor as it is in the server.
fn warn_of_restart(started: &Settings, before: &Settings, now: &Settings) {
    let differing = |than: &Settings| {
        [
            ("database", than.database != now.database),
            ("listen", than.listen != now.listen),
            ("admin", than.admin != now.admin),
            ("origins", than.origins != now.origins),
            ("auth", than.auth != now.auth),
            ("limits", than.limits != now.limits),
        ]
    };
    let both = differing(started).into_iter().zip(differing(before));
    for ((name, _), _) in both.filter(|((_, from_started), (_, from_before))| *from_started && *from_before) {
        tracing::warn!("`{name}` has changed in the configuration: it takes effect at the next start");
    }
}
