//! Folders in the cache in which components are built: sources that this program carries, and the tools they name.
//!
//! A workshop is named by the hash of its sources, so a new version of Sangre sets up a new one and nothing is set up twice. It
//! appears whole or not at all; several processes may ask for it at once.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::private_dir;
use super::tools::{Tool, ToolError};

/// What a workshop is made of.
pub(super) struct Workshop {
    /// The language; begins the folder's name.
    pub name: &'static str,
    /// By their places in the folder.
    pub sources: &'static [(&'static str, &'static str)],
}

impl Workshop {
    /// The workshop in the cache folder `cache`: the one that is there, else set up now by `equip`, which is given the folder
    /// with the sources in it. `tool` is for messages.
    pub fn open(
        &self,
        cache: &Path,
        tool: &Tool,
        equip: impl FnOnce(&Path) -> Result<(), ToolError>,
    ) -> Result<PathBuf, ToolError> {
        let dir = cache.join("workshops");
        private_dir(&dir).map_err(tool.files(&dir))?;
        let path = dir.join(format!("{}-{}", self.name, &self.hash()[..32]));
        if path.exists() {
            return Ok(path);
        }
        // Held until this function returns, by this process or any other.
        let lock = dir.join(format!("{}.lock", self.name));
        let file = fs::File::create(&lock).map_err(tool.files(&lock))?;
        file.lock().map_err(tool.files(&lock))?;
        if path.exists() {
            return Ok(path);
        }
        let unfinished = tempfile::tempdir_in(&dir).map_err(tool.files(&dir))?;
        for (name, text) in self.sources {
            write(&unfinished.path().join(name), text).map_err(tool.files(&unfinished.path().join(name)))?;
        }
        tracing::info!(
            "setting up the tools for building {} nodes, once on this machine: that takes up to a minute, and the network",
            self.name
        );
        equip(unfinished.path())?;
        fs::rename(unfinished.keep(), &path).map_err(tool.files(&path))?;
        Ok(path)
    }

    fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (name, text) in self.sources {
            for part in [name, text] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
        }
        hasher.finalize().to_hex().to_string()
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)
}
