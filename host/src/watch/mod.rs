//! Files that may have changed: whoever follows one is told. Whether it did is for whoever is told to find out.
//!
//! What a path means can change while nothing happens in the folder of its file: links are set anew, folders are moved away and made
//! again. So each step of the way to a file is watched, in the folder where it is looked up; and since a watch stays with a folder
//! that was moved or deleted, the way is gone anew at each look. File systems of a network tell nothing, and events may be lost: so the
//! files are compared now and then, too.
//!
//! Easily got wrong: a file has to be followed before it is read, each time. And whoever waits for the watcher must not hold the lock of
//! [`Followers`], which the watcher's thread takes to tell of an event.

#[cfg(test)]
pub(crate) mod deploys;
mod way;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use notify::event::ModifyKind;
use notify::{EventKind, RecursiveMode, Watcher};

use way::{FileIdentity, FolderIdentity, Way, identity};

/// How often files are compared with what they were.
const PERIOD: Duration = Duration::from_secs(2);

/// How often a way is gone at one look if it changes meanwhile. Of later changes the comparison tells.
const ATTEMPTS: usize = 4;

/// Watches until it is dropped, for followers that are told apart by `K`.
pub(crate) struct Watch<K> {
    watching: Arc<Watching<K>>,
    /// Ends the comparisons when it is dropped.
    _end: SyncSender<()>,
}

/// What the comparisons need, too.
struct Watching<K> {
    followers: Arc<Followers<K>>,
    folders: Mutex<Folders>,
}

/// The folders that are watched.
struct Folders {
    /// Stops events when it is dropped. `None`: there are none.
    watcher: Option<notify::RecommendedWatcher>,
    /// Without links on their way.
    watched: BTreeMap<PathBuf, FolderIdentity>,
    /// The log says so once.
    has_failed: bool,
}

struct Followers<K>(Mutex<Told<K>>);

struct Told<K> {
    followers: BTreeMap<K, Follower>,
    stale: Stale,
}

/// Folders whose watches may be ones of other folders by now: those at these paths and below.
#[derive(Default)]
struct Stale {
    paths: BTreeSet<PathBuf>,
    all: bool,
}

/// Somebody who is told of changes.
struct Follower {
    /// Has room for one message: one that waits says all there is to say.
    changed: Box<dyn Fn() + Send>,
    /// As they were when they were last followed.
    files: BTreeMap<Arc<Path>, Option<FileIdentity>>,
    /// All steps on the ways to the files.
    steps: BTreeSet<PathBuf>,
}

impl<K: Copy + Ord + Send + 'static> Watch<K> {
    /// Begins to watch, for nobody yet.
    pub fn start() -> Self {
        Watch::comparing_each(PERIOD)
    }

    fn comparing_each(period: Duration) -> Self {
        let followers = Arc::new(Followers::default());
        let told = followers.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| told.tell(event));
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!("files cannot be watched, so edits are noticed after up to {PERIOD:?}: {error}");
        });
        Watch::with(followers, watcher.ok(), period)
    }

    fn with(followers: Arc<Followers<K>>, watcher: Option<notify::RecommendedWatcher>, period: Duration) -> Self {
        let folders = Mutex::new(Folders { watcher, watched: BTreeMap::new(), has_failed: false });
        let watching = Arc::new(Watching { followers, folders });
        let (end, ended) = sync_channel(0);
        let compared = watching.clone();
        let named = std::thread::Builder::new().name("file-watch".into());
        if let Err(error) = named.spawn(move || compared.compare_until(&ended, period)) {
            tracing::warn!(
                "files are not compared, so edits that the system does not tell of are not noticed: {error}"
            );
        }
        Watch { watching, _end: end }
    }

    /// Tells `key` of changes from now on, once it follows a file: calls `changed`, which must not wait.
    pub fn join(&self, key: K, changed: impl Fn() + Send + 'static) {
        let follower = Follower { changed: Box::new(changed), files: BTreeMap::new(), steps: BTreeSet::new() };
        self.watching.followers.lock().followers.insert(key, follower);
    }

    /// Tells `key` of nothing any more.
    pub fn leave(&self, key: K) {
        self.watching.followers.lock().followers.remove(&key);
    }

    /// Tells `key` as if a file had changed.
    pub fn wake(&self, key: K) {
        if let Some(follower) = self.watching.followers.lock().followers.get(&key) {
            (follower.changed)();
        }
    }

    /// Begins a look of `key`: it follows the file at `path`, and no other until it is said.
    pub fn begin(&self, key: K, path: &Path) {
        if let Some(follower) = self.watching.followers.lock().followers.get_mut(&key) {
            follower.files.clear();
            follower.steps.clear();
        }
        self.follow(key, path);
    }

    /// Has `key` told of changes of the file at `path` too, which need not exist, nor any folder on the way to it.
    pub fn follow(&self, key: K, path: &Path) {
        let path: Arc<Path> = std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).into();
        for _ in 0..ATTEMPTS {
            let Way { steps, folders, file } = Way::to(&path);
            if !self.watching.followers.note(key, path.clone(), file, steps) || !self.watching.watch(folders) {
                return;
            }
            // Something was not watched while the way was gone.
        }
    }
}

impl<K: Copy + Ord> Watching<K> {
    /// Sees to it that these are watched. Whether one of them was not.
    fn watch(&self, folders: Vec<(PathBuf, FolderIdentity)>) -> bool {
        let mut watched = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let stale = std::mem::take(&mut self.followers.lock().stale);
        watched.forget(|folder| stale.concerns(folder));
        folders.into_iter().fold(false, |any, (folder, identity)| watched.watch(folder, identity) || any)
    }

    fn compare_until(&self, ended: &Receiver<()>, period: Duration) {
        while matches!(ended.recv_timeout(period), Err(RecvTimeoutError::Timeout)) {
            self.tidy();
            self.compare();
        }
    }

    /// Watches no folder any more that nobody follows a file through.
    fn tidy(&self) {
        let mut watched = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let needed: BTreeSet<PathBuf> = {
            let told = self.followers.lock();
            let steps = told.followers.values().flat_map(|follower| &follower.steps);
            steps.filter_map(|step| Some(step.parent()?.to_owned())).collect()
        };
        watched.forget(|folder| !needed.contains(folder));
    }

    /// Tells of files that are not as they were when they were followed.
    fn compare(&self) {
        let known: Vec<(K, Arc<Path>, Option<FileIdentity>)> = {
            let told = self.followers.lock();
            let files = |(key, follower): (&K, &Follower)| {
                let files = follower.files.iter().map(|(path, file)| (*key, path.clone(), *file));
                files.collect::<Vec<_>>()
            };
            told.followers.iter().flat_map(files).collect()
        };
        // A file system that has gone away lets wait whoever asks it, so no lock is held.
        let changed = known.into_iter().filter(|(_, path, file)| identity(path) != *file);
        for key in changed.map(|(key, ..)| key).collect::<BTreeSet<K>>() {
            if let Some(follower) = self.followers.lock().followers.get(&key) {
                (follower.changed)();
            }
        }
    }
}

impl Folders {
    fn forget(&mut self, is_forgotten: impl Fn(&Path) -> bool) {
        let Folders { watcher, watched, .. } = self;
        watched.retain(|folder, _| {
            let stays = !is_forgotten(folder);
            if let Some(watcher) = watcher.as_mut().filter(|_| !stays) {
                // An error means that the watcher has forgotten it by itself.
                let _ = watcher.unwatch(folder);
            }
            stays
        });
    }

    /// Whether it was not watched, and is now.
    fn watch(&mut self, folder: PathBuf, identity: FolderIdentity) -> bool {
        if self.watched.get(&folder) == Some(&identity) {
            return false;
        }
        self.forget(|known| known == folder);
        let Some(watcher) = &mut self.watcher else { return false };
        match watcher.watch(&folder, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.watched.insert(folder, identity);
                true
            }
            Err(error) => {
                let (first, folder) = (!std::mem::replace(&mut self.has_failed, true), folder.display());
                if first {
                    tracing::warn!("{folder} cannot be watched, so edits are noticed after up to {PERIOD:?}: {error}");
                }
                false
            }
        }
    }
}

impl<K> Default for Followers<K> {
    fn default() -> Self {
        Followers(Mutex::new(Told { followers: BTreeMap::new(), stale: Stale::default() }))
    }
}

impl<K: Ord> Followers<K> {
    fn lock(&self) -> MutexGuard<'_, Told<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `key` is still one.
    fn note(&self, key: K, path: Arc<Path>, file: Option<FileIdentity>, steps: Vec<PathBuf>) -> bool {
        match self.lock().followers.get_mut(&key) {
            Some(follower) => {
                follower.files.insert(path, file);
                follower.steps.extend(steps);
                true
            }
            None => false,
        }
    }

    fn tell(&self, event: notify::Result<notify::Event>) {
        // After an error, such as an overrun queue of events, anything may have changed.
        let event = match &event {
            Ok(event) if event.kind.is_access() => return,
            Ok(event) if !event.need_rescan() => Some(event),
            Ok(_) | Err(_) => None,
        };
        let Told { followers, stale } = &mut *self.lock();
        stale.all |= event.is_none();
        for follower in followers.values() {
            let concerns = |path: &&PathBuf| follower.steps.contains(*path);
            let Some(event) = event else {
                (follower.changed)();
                continue;
            };
            let paths: Vec<&PathBuf> = event.paths.iter().filter(concerns).collect();
            if paths.is_empty() {
                continue;
            }
            // Before it is told, so that its look finds it.
            if !matches!(event.kind, EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_))) {
                stale.paths.extend(paths.into_iter().cloned());
            }
            (follower.changed)();
        }
    }
}

impl Stale {
    fn concerns(&self, folder: &Path) -> bool {
        self.all || folder.ancestors().any(|part| self.paths.contains(part))
    }
}

/// Follows files for one follower, while there is a watch.
#[derive(Clone)]
pub(crate) struct Following<K> {
    watch: Weak<Watch<K>>,
    key: K,
}

impl<K: Copy + Ord + Send + 'static> Following<K> {
    /// For this follower, who has joined.
    pub fn new(watch: Weak<Watch<K>>, key: K) -> Self {
        Following { watch, key }
    }

    /// See [`Watch::begin`].
    pub fn begin(&self, path: &Path) {
        self.watch.upgrade().inspect(|watch| watch.begin(self.key, path));
    }

    /// See [`Watch::follow`].
    pub fn follow(&self, path: &Path) {
        self.watch.upgrade().inspect(|watch| watch.follow(self.key, path));
    }

    /// See [`Watch::wake`].
    pub fn wake(&self) {
        self.watch.upgrade().inspect(|watch| watch.wake(self.key));
    }
}
