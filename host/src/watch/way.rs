//! The way to a file: the steps that the system takes from folder to folder, and through links, until it is there.
//!
//! Paths are compared with those that events name, so folders are named as they are without links: a folder has one name, whoever
//! follows a file in it.

use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

/// Links on a way, as many as Linux follows.
const MAX_LINKS: usize = 40;

/// Tells a folder from one that took its place. Numbers of files are given again, so the time counts, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FolderIdentity {
    device: u64,
    number: u64,
    created: Option<SystemTime>,
}

/// Tells a file from itself before an edit, as far as can be seen without a look into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    device: u64,
    number: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// The same, of its place, owner and rights, too.
    changed: (i64, i64),
}

/// The way to a file, as it is now.
pub(super) struct Way {
    /// What is looked up, in order; the last one is the file, or the first thing that is missing.
    pub steps: Vec<PathBuf>,
    /// Where it is looked up, but for the root, which stays.
    pub folders: Vec<(PathBuf, FolderIdentity)>,
    /// `None`: there is nothing.
    pub file: Option<FileIdentity>,
}

impl Way {
    /// The way to the file at `path`, which is absolute.
    pub fn to(path: &Path) -> Self {
        let mut way = Way { steps: Vec::new(), folders: Vec::new(), file: None };
        let mut here = (PathBuf::from("/"), None);
        let mut ahead = Vec::new();
        push(&mut ahead, path);
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == ".." {
                here = above(&here.0);
                continue;
            }
            let (folder, identity) = &here;
            if let Some(identity) = identity
                && !way.folders.iter().any(|(known, _)| known == folder)
            {
                way.folders.push((folder.clone(), *identity));
            }
            let step = folder.join(&name);
            way.steps.push(step.clone());
            let Ok(meta) = std::fs::symlink_metadata(&step) else { return way };
            if meta.is_symlink() {
                let Ok(target) = std::fs::read_link(&step) else { return way };
                links += 1;
                if links > MAX_LINKS {
                    return way;
                }
                if target.is_absolute() {
                    here = (PathBuf::from("/"), None);
                }
                push(&mut ahead, &target);
            } else if ahead.is_empty() {
                way.file = Some(FileIdentity::of(&meta));
            } else if meta.is_dir() {
                here = (step, Some(FolderIdentity::of(&meta)));
            } else {
                return way;
            }
        }
        way
    }
}

/// The folder of this one, which has no links on its way.
fn above(folder: &Path) -> (PathBuf, Option<FolderIdentity>) {
    let above = folder.parent().unwrap_or(folder).to_owned();
    let meta = std::fs::symlink_metadata(&above).ok().filter(|_| above.parent().is_some());
    (above, meta.map(|meta| FolderIdentity::of(&meta)))
}

/// Puts the parts of `path` ahead of others, the first one last.
fn push(ahead: &mut Vec<OsString>, path: &Path) {
    let parts = path.components().rev();
    ahead.extend(parts.filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir)).map(name));
}

fn name(part: Component<'_>) -> OsString {
    part.as_os_str().to_owned()
}

/// The identity of the file at `path`, links followed.
pub(super) fn identity(path: &Path) -> Option<FileIdentity> {
    std::fs::metadata(path).ok().map(|meta| FileIdentity::of(&meta))
}

impl FolderIdentity {
    fn of(meta: &Metadata) -> Self {
        FolderIdentity { device: meta.dev(), number: meta.ino(), created: meta.created().ok() }
    }
}

impl FileIdentity {
    fn of(meta: &Metadata) -> Self {
        FileIdentity {
            device: meta.dev(),
            number: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}
