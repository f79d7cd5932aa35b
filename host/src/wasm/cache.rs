//! Compiled code on disk, by the hash of what it was compiled from.
//!
//! Compiled code is run as it is, so what is read back must be exactly what was written: the folder is this user's alone,
//! files appear whole and never change, and each ends with a hash of the rest, which finds a disk's mistakes. (At the end,
//! since a file is mapped into memory to be run: of a language's engine only the pages in use take any.)
//!
//! Every version of every component leaves a file, so what was not used for the longest time is deleted when all together are too large.
//! Several servers may share the folder. Who runs a file holds a lock on it, and who deletes one takes that lock for itself alone: what
//! is mapped stays, even where a file that is deleted would be gone at once, as in a network's file system.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::files::{ending, is_whole, private_dir, write_whole};

/// Bytes of all files together.
const KEPT: u64 = 1 << 30;

/// A file that is still not whole after this time never will be.
const LEFT_OVER: Duration = Duration::from_secs(3_600);

const EXTENSION: &str = "cwasm";

/// A folder of compiled code; or none, then everything is compiled anew.
#[derive(Debug)]
pub(super) struct CodeCache {
    dir: Option<PathBuf>,
    limit: u64,
    /// By key, files that were found whole, as they were then. They never change, so the same file is not read again: it has tens of
    /// megabytes, and somebody waits for an edit to show.
    whole: Mutex<HashMap<String, Identity>>,
}

/// Tells a file from another that took its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    file: (u64, u64),
    size: u64,
    used: SystemTime,
}

impl Identity {
    fn of(file: &File) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let meta = file.metadata()?;
        Ok(Identity { file: (meta.dev(), meta.ino()), size: meta.len(), used: meta.modified()? })
    }
}

/// How many files are remembered to be whole: more than there are nodes, and versions that anybody goes back to.
const REMEMBERED: usize = 256;

/// A file with compiled code, and a little after it. It is not deleted before this is dropped.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub path: PathBuf,
    _lock: Arc<File>,
}

impl CodeCache {
    /// The cache in `dir`, which is made if it is missing.
    pub fn open(dir: PathBuf) -> Self {
        CodeCache::with_limit(dir, KEPT)
    }

    fn with_limit(dir: PathBuf, limit: u64) -> Self {
        let made =
            private_dir(&dir).inspect_err(|error| tracing::warn!("compiled nodes are not kept on disk: {error}"));
        let cache = CodeCache { dir: made.ok().map(|()| dir), limit, whole: Mutex::default() };
        cache.tidy();
        cache
    }

    /// What was put under `key`, if it is still whole.
    pub fn get(&self, key: &str) -> Option<Kept> {
        let path = self.path(key)?;
        let mut file = File::open(&path).ok()?;
        // Where there are no locks nothing is deleted.
        if let Err(TryLockError::WouldBlock) = file.try_lock_shared() {
            return None;
        }
        if !self.is_known(key, &file) && !is_whole(&mut file).ok()? {
            return None;
        }
        // An error means that it counts as used when it was put there.
        let _ = file.set_modified(SystemTime::now());
        self.note(key, &file);
        // It may have been deleted before it was locked.
        path.exists().then(|| Kept { path, _lock: Arc::new(file) })
    }

    /// Whether this is the file that was found whole before.
    fn is_known(&self, key: &str, file: &File) -> bool {
        let known = self.lock().get(key).copied();
        known.is_some_and(|known| Identity::of(file).is_ok_and(|now| now == known))
    }

    fn note(&self, key: &str, file: &File) {
        let mut whole = self.lock();
        if whole.len() >= REMEMBERED {
            whole.clear();
        }
        // An error means that it is read again the next time.
        if let Ok(identity) = Identity::of(file) {
            whole.insert(key.to_owned(), identity);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Identity>> {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a file for `key`, whole or not.
    pub fn has(&self, key: &str) -> bool {
        self.path(key).is_some_and(|path| path.exists())
    }

    /// Keeps `code` under `key`.
    pub fn put(&self, key: &str, code: &[u8]) -> io::Result<()> {
        let Some(path) = self.path(key) else { return Ok(()) };
        write_whole(&path, &[code, ending(&[code]).as_bytes()])?;
        self.tidy();
        Ok(())
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        self.dir.as_ref().map(|dir| dir.join(key).with_extension(EXTENSION))
    }

    /// Deletes what was not used for the longest time, until the rest is no larger than it may be. What cannot be deleted stays.
    fn tidy(&self) {
        let Some(dir) = &self.dir else { return };
        // One at a time: two that count the same files would each delete what is too much. Who holds it does what there is to do.
        let Ok(turn) = File::open(dir) else { return };
        if turn.try_lock().is_err() {
            return;
        }
        let mut files = Vec::new();
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            // Another server may have deleted it.
            let Ok(meta) = entry.metadata() else { continue };
            let (path, Ok(used)) = (entry.path(), meta.modified()) else { continue };
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                files.push((used, meta.len(), path));
            } else if used.elapsed().is_ok_and(|age| age > LEFT_OVER) {
                let _ = std::fs::remove_file(path);
            }
        }
        files.sort();
        let mut size: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, freed, path) in files {
            if size <= self.limit {
                return;
            }
            if delete(&path) {
                size -= freed;
            }
        }
    }
}

/// Whether nobody used it, and it is gone.
fn delete(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    file.try_lock().is_ok() && std::fs::remove_file(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_put_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = CodeCache::open(dir.path().join("code"));
        assert!(cache.get("a").is_none());
        cache.put("a", b"compiled").expect("written");
        let path = cache.get("a").expect("it is there").path;
        assert!(std::fs::read(&path).expect("a file").starts_with(b"compiled"));
        let mut bytes = std::fs::read(&path).expect("a file");
        bytes[0] ^= 1;
        std::fs::write(&path, &bytes).expect("written");
        assert!(cache.get("a").is_none(), "a flipped bit is noticed");
        bytes[0] ^= 1;
        std::fs::write(&path, &bytes).expect("written");
        assert!(cache.get("a").is_some());
        std::fs::write(&path, &bytes[1..]).expect("written");
        assert!(cache.get("a").is_none(), "a piece that is missing, too");
    }

    /// Makes the file of `key` one that was last used so long ago.
    fn used(cache: &CodeCache, key: &str, ago: u64) {
        let file = File::open(cache.path(key).expect("a folder")).expect("it is there");
        file.set_modified(SystemTime::now() - Duration::from_secs(ago)).expect("changed");
    }

    fn kept(cache: &CodeCache) -> String {
        ["a", "b", "c", "d"].into_iter().filter(|key| cache.has(key)).collect()
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_is_deleted() {
        let dir = tempfile::tempdir().expect("a folder");
        let open = |limit| CodeCache::with_limit(dir.path().join("code"), limit);
        let cache = open(3 * 132);
        for (key, ago) in [("a", 30), ("b", 20), ("c", 10)] {
            cache.put(key, &[7; 100]).expect("written");
            used(&cache, key, ago);
        }
        assert_eq!(kept(&cache), "abc");
        assert!(cache.get("a").is_some());
        cache.put("d", &[7; 100]).expect("written");
        assert_eq!(kept(&cache), "acd", "it is deleted, since `a` was used after it");
        // What somebody runs stays, whoever deletes.
        used(&cache, "c", 5);
        used(&cache, "d", 5);
        let held = cache.get("a").expect("it is there");
        used(&cache, "a", 99);
        assert_eq!(kept(&open(132)), "a");
        assert_eq!(kept(&open(0)), "a");
        drop(held);
        assert_eq!(kept(&open(0)), "");
    }

    #[test]
    fn servers_that_tidy_at_the_same_time_delete_no_more_than_one_would() {
        let dir = tempfile::tempdir().expect("a folder");
        let open = |limit| CodeCache::with_limit(dir.path().join("code"), limit);
        let cache = open(KEPT);
        let keys: Vec<String> = (0..200).map(|number| number.to_string()).collect();
        for key in &keys {
            cache.put(key, &[7; 100]).expect("written");
        }
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| open(100 * 132));
            }
        });
        assert_eq!(keys.iter().filter(|key| cache.has(key)).count(), 100);
    }

    #[test]
    fn what_a_server_left_half_written_is_deleted() {
        let dir = tempfile::tempdir().expect("a folder");
        let paths = ["old", "new"].map(|name| dir.path().join(format!(".tmp{name}")));
        for path in &paths {
            std::fs::write(path, "half").expect("written");
        }
        let age = SystemTime::now() - LEFT_OVER - Duration::from_secs(1);
        File::open(&paths[0]).and_then(|file| file.set_modified(age)).expect("changed");
        private_dir(dir.path()).expect("a folder of this user");
        CodeCache::open(dir.path().to_owned());
        assert_eq!(paths.map(|path| path.exists()), [false, true]);
    }
}
