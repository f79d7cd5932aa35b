//! What Rust nodes depend on, compiled once and copied into the build folder of each.
//!
//! One build folder for all would do, if cargo told the crates of users apart; but it knows them by their names and their places in
//! their workspaces, and would take one for another. Only what comes from a registry is named for good. So each workspace has a folder of its own, which
//! begins as a copy of one that has nothing else.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, FileTimes};
use std::io;
use std::path::{Path, PathBuf};

use super::rust::TARGET;
use crate::wasm::files::{cache_dir, private_dir};

/// What a build folder is made of. The last is what says that something was built.
const PARTS: [&str; 2] = ["release", TARGET];

/// A build folder to begin with, which may not be there yet.
pub(super) struct Seed(PathBuf);

impl Seed {
    /// Of this compiler, by what it says of itself, for this version of Sangre. `None`: there is no place for one.
    pub(super) fn of(compiler: &str) -> Option<Self> {
        let dir = cache_dir().join("rust-dependencies");
        private_dir(&dir).ok()?;
        let of = format!("{} {compiler}", env!("CARGO_PKG_VERSION"));
        Some(Seed(dir.join(&blake3::hash(of.as_bytes()).to_hex()[..16])))
    }

    /// Makes it the build folder `target`, if nothing was built there yet. False: there is no seed, or it could not be copied.
    pub(super) fn plant(&self, target: &Path) -> bool {
        let planted = || {
            let copy = tempfile::tempdir_in(target)?;
            for part in PARTS {
                copy_tree(&self.0.join(part), &copy.path().join(part), &[])?;
            }
            PARTS.iter().try_for_each(|part| fs::rename(copy.path().join(part), target.join(part)))
        };
        let is_free = PARTS.iter().all(|part| !target.join(part).exists());
        self.0.exists()
            && is_free
            && planted().inspect_err(|error| tracing::debug!("dependencies are not copied: {error}")).is_ok()
    }

    /// Makes a seed of the build folder `target`, but for crates of these names, if that has more than this.
    pub(super) fn gather(&self, target: &Path, own: &[String]) {
        let parent = self.0.parent().unwrap_or(Path::new("."));
        let gathered = || {
            if crates(target, own).is_subset(&crates(&self.0, own)) {
                return Ok(());
            }
            let (copy, before) = (tempfile::tempdir_in(parent)?, tempfile::tempdir_in(parent)?);
            for part in PARTS {
                copy_tree(&target.join(part), &copy.path().join(part), own)?;
            }
            // Who copies from it meanwhile finds a part missing, and does without.
            let _ = fs::rename(&self.0, before.path());
            fs::rename(copy.path(), &self.0)
        };
        // Without it the next node compiles all of it again.
        let _ = gathered().inspect_err(|error| tracing::debug!("dependencies are not kept: {error}"));
    }
}

/// The files that crates but `own` became, by name.
fn crates(dir: &Path, own: &[String]) -> BTreeSet<OsString> {
    let deps = PARTS
        .map(|part| if part == TARGET { dir.join(part).join("release/deps") } else { dir.join(part).join("deps") });
    let files = deps.iter().filter_map(|deps| fs::read_dir(deps).ok()).flatten();
    files.filter_map(|entry| Some(entry.ok()?.file_name())).filter(|name| !is_of(name, own)).collect()
}

/// Copies all but what was made for crates of these names, with the times of files, by which cargo knows what is up to date.
fn copy_tree(from: &Path, to: &Path, but: &[String]) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, into) = (entry.file_type()?, to.join(entry.file_name()));
        if is_of(&entry.file_name(), but) {
            continue;
        }
        if kind.is_dir() {
            copy_tree(&entry.path(), &into, but)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &into)?;
            let modified = entry.metadata()?.modified()?;
            fs::File::options().write(true).open(&into)?.set_times(FileTimes::new().set_modified(modified))?;
        }
    }
    Ok(())
}

/// Whether a file or folder of this name may be of a crate of one of these.
fn is_of(file: &OsStr, names: &[String]) -> bool {
    let file = file.to_string_lossy().replace('-', "_");
    let file = file.strip_prefix("lib").unwrap_or(&file);
    let begins = |name: &String| file.strip_prefix(&*name.replace('-', "_"));
    names.iter().filter_map(begins).any(|rest| rest.is_empty() || rest.starts_with(['_', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, file: &str) {
        let file = dir.join(file);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(&file, "compiled").expect("written");
        let old = FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        fs::File::options().write(true).open(file).and_then(|file| file.set_times(old)).expect("it has a time");
    }

    #[test]
    fn a_seed_has_what_crates_of_registries_became_and_grows() {
        let folder = tempfile::tempdir().expect("a folder");
        let (seed, target, next) =
            (Seed(folder.path().join("seed")), folder.path().join("target"), folder.path().join("next"));
        let own = ["own-node".to_owned()];
        let deps = format!("{}/release/deps", PARTS[1]);
        let (mine, others) = (format!("{deps}/own_node.wasm"), format!("{deps}/libserde-1.rlib"));
        let fingerprint = "release/.fingerprint/own-node-1/lib-own_node";
        for file in [&mine, &others, "release/deps/libsyn-1.rlib", fingerprint] {
            write(&target, file);
        }
        fs::create_dir(&next).expect("made");
        assert!(!seed.plant(&next), "there is none yet");
        seed.gather(&target, &own);
        assert!(seed.plant(&next));
        assert!(next.join(&others).exists(), "it is copied");
        assert!(!next.join(&mine).exists() && !next.join(fingerprint).exists(), "crates of users are not");
        let modified = fs::metadata(next.join("release/deps/libsyn-1.rlib")).and_then(|meta| meta.modified());
        assert_eq!(modified.expect("a time"), std::time::UNIX_EPOCH);
        assert!(!seed.plant(&next), "something was built there");
        // A further dependency is taken along.
        write(&target, &format!("{deps}/librand-1.rlib"));
        seed.gather(&target, &own);
        assert!(seed.0.join(&deps).join("librand-1.rlib").exists() && seed.0.join(&others).exists());
        assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 3, "nothing else is left");
    }
}
