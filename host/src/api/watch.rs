//! Follows the configuration file while it is served: a valid edit replaces queries and nodes, a bad one is logged and changes
//! nothing. What an edit cannot change while the server runs (addresses, the database, limits) is said in the log.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::recipe::{Recipe, node_options};
use crate::config::Settings;
use crate::driver::Handle;
use crate::watch::Watch;

/// A file that changes again within this time is still being written.
const SETTLE: Duration = Duration::from_millis(50);

/// Follows the file until it is dropped.
pub(super) struct Follow {
    task: JoinHandle<()>,
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts to follow the file of `recipe`, which gave `settings`. `None`: there is none.
pub(super) fn follow(recipe: Recipe, settings: Settings, handle: Handle) -> Option<Follow> {
    let file = recipe.file()?.to_owned();
    let (changed, changes) = mpsc::channel(1);
    let watch = Watch::start();
    watch.join((), move || {
        // Full: the change that waits will find this one too.
        let _ = changed.try_send(());
    });
    watch.begin((), &file);
    let task = tokio::spawn(replace(file, watch, recipe, settings, changes, handle));
    Some(Follow { task })
}

async fn replace(
    file: PathBuf,
    watch: Watch<()>,
    recipe: Recipe,
    mut settings: Settings,
    mut changes: mpsc::Receiver<()>,
    handle: Handle,
) {
    // What the server was started with.
    let started = settings.clone();
    let mut seen = std::fs::read_to_string(&file).unwrap_or_default();
    let mut is_gone = false;
    while changes.recv().await.is_some() {
        while tokio::time::timeout(SETTLE, changes.recv()).await.is_ok_and(|more| more.is_some()) {}
        watch.begin((), &file);
        let Ok(text) = std::fs::read_to_string(&file) else {
            if !std::mem::replace(&mut is_gone, true) {
                tracing::warn!("{} is gone: what it said stays", file.display());
            }
            continue;
        };
        is_gone = false;
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
            Err(error) => handle.refuse(&error).await,
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
