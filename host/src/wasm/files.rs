//! Files that appear whole or not at all, in folders nobody else can write to; and how to tell that one still is.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// How many bytes are read at a time.
const PART: usize = 64 << 10;

/// Where this user's Sangre keeps what it can make again: `$SANGRE_CACHE`, else `$XDG_CACHE_HOME/sangre`, else
/// `~/.cache/sangre`; without a home, a folder of this process alone under the system's temporary one.
pub(super) fn cache_dir() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("SANGRE_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|dir| dir.join("sangre")))
        .or_else(|| variable("HOME").map(|dir| dir.join(".cache").join("sangre")))
        .unwrap_or_else(|| std::env::temp_dir().join(format!("sangre-{}", std::process::id())))
}

/// Makes `dir`, for this user alone. An error if it belongs to others or others may write to it.
pub(super) fn private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let meta = fs::metadata(dir)?;
        // SAFETY: the call has no preconditions.
        let user = unsafe { libc::geteuid() };
        if meta.uid() != user || meta.mode() & 0o022 != 0 {
            let message = format!("{} can be written to by other users", dir.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
    }
    Ok(())
}

/// Writes `parts` to `path` so that no reader ever sees a part of the file.
pub(super) fn write_whole(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// What a file with these contents ends with, so that a disk's mistakes are found.
pub(super) fn ending(parts: &[&[u8]]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// Whether the file ends with the hash of the rest. It is read from where it stands.
pub(super) fn is_whole(file: &mut fs::File) -> io::Result<bool> {
    let Some(mut left) = file.metadata()?.len().checked_sub(blake3::OUT_LEN as u64) else { return Ok(false) };
    let mut hasher = blake3::Hasher::new();
    let mut part = vec![0; PART];
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(PART).min(PART);
        file.read_exact(&mut part[..size])?;
        hasher.update(&part[..size]);
        left -= size as u64;
    }
    let mut hash = [0; blake3::OUT_LEN];
    file.read_exact(&mut hash)?;
    Ok(hasher.finalize() == hash)
}
