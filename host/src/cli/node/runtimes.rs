//! `sangre node runtimes`: the ready runtimes of scripts, as files for a release.
//!
//! They are those of this very program: one of another version looks for files of other names, and does not take these.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use super::{allow_reading, size_of};
use crate::wasm::runtime::{self, Language};
use crate::wasm::{HostSettings, Stop, ToolError};

/// Puts them into `dir`, each whole; a path a line goes to standard output. Builds what this machine does not have yet.
pub async fn run(dir: &Path, stop: Stop) -> anyhow::Result<ExitCode> {
    let files = tokio::task::spawn_blocking(move || made(&stop)).await??;
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    for file in files {
        let put = dir.join(file.file_name().unwrap_or_default());
        let size = copy(&file, &put).with_context(|| format!("cannot write {}", put.display()))?;
        writeln!(std::io::stdout(), "{}", put.display())?;
        writeln!(std::io::stderr(), "{}", size_of(size))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn made(stop: &Stop) -> Result<Vec<PathBuf>, ToolError> {
    let cache = HostSettings::default().cache;
    let mut files = Vec::new();
    for language in Language::ALL {
        files.extend(runtime::ensure(language, &cache, stop)?.files().map(Path::to_owned));
    }
    Ok(files)
}

/// The bytes copied. A program that looks for `to` meanwhile sees all of it or nothing.
fn copy(from: &Path, to: &Path) -> std::io::Result<u64> {
    let dir = to.parent().unwrap_or(Path::new("."));
    let mut part = tempfile::NamedTempFile::new_in(dir)?;
    let size = std::io::copy(&mut fs::File::open(from)?, &mut part)?;
    allow_reading(part.path())?;
    part.persist(to).map_err(|error| error.error)?;
    Ok(size)
}
