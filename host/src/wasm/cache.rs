//! Compiled code on disk, by the hash of what it was compiled from.
//!
//! Compiled code is run as it is, so what is read back must be exactly what was written: the folder is this user's alone,
//! files appear whole and never change, and each ends with a hash of the rest, which finds a disk's mistakes. (At the end,
//! since a file is mapped into memory to be run: of a language's engine only the pages in use take any.)

use std::io::{self, Read as _};
use std::path::PathBuf;

use super::files::{private_dir, write_whole};

const HASH_LEN: usize = blake3::OUT_LEN;

/// How many bytes are read at a time.
const PART: usize = 64 << 10;

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

    /// The file of what was put under `key`, if it is still whole: the code, and a little after it.
    pub fn get(&self, key: &str) -> Option<PathBuf> {
        let path = self.path(key)?;
        let mut file = std::fs::File::open(&path).ok()?;
        let mut left = file.metadata().ok()?.len().checked_sub(HASH_LEN as u64)?;
        let mut hasher = blake3::Hasher::new();
        let mut part = vec![0; PART];
        while left > 0 {
            let size = usize::try_from(left).unwrap_or(PART).min(PART);
            file.read_exact(&mut part[..size]).ok()?;
            hasher.update(&part[..size]);
            left -= size as u64;
        }
        let mut hash = [0; HASH_LEN];
        file.read_exact(&mut hash).ok()?;
        (hasher.finalize() == hash).then_some(path)
    }

    /// Whether there is a file for `key`, whole or not.
    pub fn has(&self, key: &str) -> bool {
        self.path(key).is_some_and(|path| path.exists())
    }

    /// Keeps `code` under `key`.
    pub fn put(&self, key: &str, code: &[u8]) -> io::Result<()> {
        let Some(path) = self.path(key) else { return Ok(()) };
        write_whole(&path, &[code, blake3::hash(code).as_bytes()])
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        self.dir.as_ref().map(|dir| dir.join(format!("{key}.cwasm")))
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
        let path = cache.get("a").expect("it is there");
        assert!(std::fs::read(&path).expect("a file").starts_with(b"compiled"));
        let mut bytes = std::fs::read(&path).expect("a file");
        bytes[0] ^= 1;
        std::fs::write(&path, &bytes).expect("written");
        assert_eq!(cache.get("a"), None, "a flipped bit is noticed");
        bytes[0] ^= 1;
        std::fs::write(&path, &bytes).expect("written");
        assert!(cache.get("a").is_some());
        std::fs::write(&path, &bytes[1..]).expect("written");
        assert_eq!(cache.get("a"), None, "a piece that is missing, too");
    }
}
