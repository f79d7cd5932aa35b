//! Compiled code on disk, by the hash of what it was compiled from.
//!
//! Compiled code is run as it is, so what is read back must be exactly what was written: the folder is this user's alone,
//! files appear whole, and each begins with a hash of the rest, which finds a disk's mistakes.

use std::io;
use std::path::PathBuf;

use super::files::{private_dir, write_whole};

const HASH_LEN: usize = blake3::OUT_LEN;

/// A folder of compiled code; or none, then everything is compiled anew.
#[derive(Debug)]
pub(super) struct CodeCache {
    dir: Option<PathBuf>,
}

impl CodeCache {
    /// The cache in `dir`, which is made if it is missing.
    pub fn open(dir: PathBuf) -> Self {
        match private_dir(&dir) {
            Ok(()) => CodeCache { dir: Some(dir) },
            Err(error) => {
                tracing::warn!("compiled nodes are not kept on disk: {error}");
                CodeCache { dir: None }
            }
        }
    }

    /// What was put under `key`, if it is still whole.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        let mut file = std::fs::read(self.path(key)?).ok()?;
        let (hash, code) = file.split_at_checked(HASH_LEN)?;
        if blake3::hash(code).as_bytes() != hash {
            return None;
        }
        file.drain(..HASH_LEN);
        Some(file)
    }

    /// Keeps `code` under `key`.
    pub fn put(&self, key: &str, code: &[u8]) -> io::Result<()> {
        let Some(path) = self.path(key) else { return Ok(()) };
        write_whole(&path, &[blake3::hash(code).as_bytes(), code])
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        self.dir.as_ref().map(|dir| dir.join(format!("{key}.code")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_put_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = CodeCache::open(dir.path().join("code"));
        assert_eq!(cache.get("a"), None);
        cache.put("a", b"compiled").expect("written");
        assert_eq!(cache.get("a").as_deref(), Some(&b"compiled"[..]));
        let path = cache.path("a").expect("has a folder");
        let mut bytes = std::fs::read(&path).expect("a file");
        *bytes.last_mut().expect("not empty") ^= 1;
        std::fs::write(&path, bytes).expect("written");
        assert_eq!(cache.get("a"), None, "a flipped bit is noticed");
    }
}
