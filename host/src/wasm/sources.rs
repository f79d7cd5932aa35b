//! Finds the files a script is made of: the node's own, and those it imports, directly or not.
//!
//! What a file imports is known to its language's reader alone, a component; where the files are, and that none is outside of the
//! script's own folder, is seen to here. Files change while they are read: a look is worth something once two in a row found the same
//! hash. So files are read twice, but one that is as it was is not given to the reader again.

use std::collections::{HashMap, VecDeque};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::bindings::{Imported, SourceFile, Unit};
use super::component::{Code, read};
use super::error::NodeError;
use super::instance::Guest;
use super::limits::Limits;
use super::log::NodeLog;
use super::runtime::{Reader, Runtime};
use crate::dataflow::plan::NodeId;
use crate::watch::Following;

/// What a reader may take for one file.
const READER: Limits =
    Limits { deadline: Duration::from_secs(5), memory: 64 << 20, output: 16 << 20, ..Limits::DEFAULT };

/// What one look at a script's files found.
pub(super) struct Found {
    /// For the runtime, the node's own file first; or what its author did wrong.
    pub files: Result<Vec<SourceFile>, NodeError>,
    /// Of all that was looked at, and of what read it.
    pub hash: blake3::Hash,
}

/// The files of one script.
pub(super) struct Sources {
    folder: PathBuf,
    /// The name of the node's own file.
    entry: String,
    following: Following<NodeId>,
    /// What the reader said to files of the last look, by the hash of name and text.
    known: HashMap<blake3::Hash, Result<Unit, String>>,
}

/// One look, under way.
struct Look<'a> {
    sources: &'a Sources,
    reader: Option<&'a Reader>,
    /// Once something is to be read.
    code: Option<Arc<Code>>,
    log: &'a NodeLog,
    limits: &'a Limits,
    size: u64,
    hasher: blake3::Hasher,
    known: HashMap<blake3::Hash, Result<Unit, String>>,
}

impl Sources {
    /// Those of the script at `path`. Files that it turns out to have are followed, too.
    pub fn new(path: &Path, following: Following<NodeId>) -> Self {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let entry = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Sources { folder, entry, following, known: HashMap::new() }
    }

    /// Looks at all files, whose number and bytes together are limited. An error is about the files as such: one is missing, too
    /// large, cannot be read.
    pub fn look(&mut self, runtime: &Runtime, limits: &Limits, log: &NodeLog) -> Result<Found, NodeError> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(runtime.reader.as_ref().map_or(&[], |reader| reader.version()));
        let mut look = Look {
            sources: self,
            reader: runtime.reader.as_deref(),
            code: None,
            log,
            limits,
            size: 0,
            hasher,
            known: HashMap::new(),
        };
        let files = match look.files() {
            Err(error @ (NodeError::Script(_) | NodeError::NotText(_) | NodeError::TooManyFiles { .. })) => Err(error),
            files => Ok(files?),
        };
        let Look { hasher, known, .. } = look;
        self.known = known;
        Ok(Found { files, hash: hasher.finalize() })
    }

    /// Where the file of this name is; `None` if that is no place inside of the script's folder.
    fn path(&self, name: &str) -> Option<PathBuf> {
        let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        (inside && !name.is_empty()).then(|| self.folder.join(name))
    }
}

impl Look<'_> {
    fn files(&mut self) -> Result<Vec<SourceFile>, NodeError> {
        let entry = self.sources.entry.clone();
        let mut names = vec![entry.clone()];
        let mut waiting = VecDeque::from([(entry, None)]);
        let mut files = Vec::new();
        while let Some((name, importer)) = waiting.pop_front() {
            let unit = self.unit(&name, importer)?;
            for import in &unit.imports {
                let found = self.find(&name, import)?;
                if names.contains(&found) {
                    continue;
                }
                if names.len() >= self.limits.files {
                    let (importer, line, from) = (name, import.line, import.from.clone());
                    return Err(NodeError::TooManyFiles { importer, line, from, limit: self.limits.files });
                }
                names.push(found.clone());
                waiting.push_back((found, Some((name.clone(), import.clone()))));
            }
            files.push(SourceFile { name, text: unit.text });
        }
        Ok(files)
    }

    /// The name of the file that `importer` means.
    fn find(&self, importer: &str, import: &Imported) -> Result<String, NodeError> {
        let candidates = || import.candidates.iter().filter_map(|name| Some((name, self.sources.path(name)?)));
        // Before they are looked at, so that none changes unnoticed.
        candidates().for_each(|(_, path)| self.sources.following.follow(&path));
        if let Some((name, _)) = candidates().find(|(_, path)| path.is_file()) {
            return Ok(name.clone());
        }
        let path = candidates().next().map(|(_, path)| path);
        Err(missing(importer, import, path.unwrap_or_else(|| self.sources.folder.clone())))
    }

    fn unit(&mut self, name: &str, importer: Option<(String, Imported)>) -> Result<Unit, NodeError> {
        let path = self.sources.path(name).unwrap_or_else(|| self.sources.folder.clone());
        let limit = self.limits.size;
        let too_large = |size| NodeError::TooLarge { path: path.clone(), size, limit };
        let bytes = read(&path, limit - self.size).map_err(|error| match (error, &importer) {
            // The limit is one of all files.
            (NodeError::TooLarge { size, .. }, _) => too_large(self.size + size),
            (NodeError::Missing(path) | NodeError::LinkToNowhere { path, .. }, Some((importer, import))) => {
                missing(importer, import, path)
            }
            (error, _) => error,
        })?;
        self.size += bytes.len() as u64;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes()).update(&bytes);
        let hash = hasher.finalize();
        self.hasher.update(hash.as_bytes());
        let text = std::str::from_utf8(&bytes).map_err(|_| NodeError::NotText(path.clone()))?;
        let file = SourceFile { name: name.to_owned(), text: text.trim_start_matches('\u{feff}').to_owned() };
        let Some(reader) = self.reader else { return Ok(Unit { text: file.text, imports: Vec::new() }) };
        let unit = match self.sources.known.get(&hash) {
            Some(unit) => unit.clone(),
            None => {
                let code = match &self.code {
                    Some(code) => code,
                    None => self.code.insert(reader.load()?),
                };
                said(code, &file, self.log)?
            }
        };
        self.known.insert(hash, unit.clone());
        unit.map_err(NodeError::Script)
    }
}

fn missing(importer: &str, import: &Imported, path: PathBuf) -> NodeError {
    NodeError::MissingImport { importer: importer.to_owned(), line: import.line, from: import.from.clone(), path }
}

/// What the reader, started anew, says to `file`.
fn said(reader: &Arc<Code>, file: &SourceFile, log: &NodeLog) -> Result<Result<Unit, String>, NodeError> {
    let started = Guest::start(reader, READER, log.clone());
    let mut guest = started.map_err(|fault| NodeError::Start(fault.to_string()))?;
    match guest.read(file) {
        Ok(unit) => Ok(Ok(unit)),
        Err(NodeError::Script(message)) => Ok(Err(message)),
        Err(error) => Err(error),
    }
}
