//! The ready runtimes of script nodes: brought along by a release, or built once on this machine from sources this program carries.
//!
//! A runtime is a component with a language's engine in it. It is built with that language's own tools and kept in the
//! cache under the hash of its sources, so a new version of Sangre builds a new one and nothing is built twice. A release has the same
//! files in a folder beside the program; one of other sources is never taken, since its name is another.

mod javascript;
pub(super) mod python;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::component::{Code, read};
use super::engine::Engine;
use super::error::NodeError;
use super::files::private_dir;
use super::tools::{Stop, Tool, ToolError};

/// A language of scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// And TypeScript.
    JavaScript,
    Python,
}

/// What a language's scripts need, as files of components.
#[derive(Clone, Debug)]
pub struct Made {
    /// Runs them.
    pub runtime: PathBuf,
    /// Reads their files before.
    pub reader: Option<PathBuf>,
}

/// The same, ready to be started.
#[derive(Clone)]
pub(super) struct Runtime {
    pub code: Arc<Code>,
    /// `None`: a script is one file, and is run as it is.
    pub reader: Option<Arc<Reader>>,
}

/// The component that reads a language's scripts. It is there while it reads: that is seldom, and its code takes as much memory as
/// a runtime's.
pub(super) struct Reader {
    path: PathBuf,
    engine: Engine,
}

/// How a runtime is made.
struct Recipe {
    /// The runtime's name among files.
    name: &'static str,
    /// The first program it takes, for errors about files.
    tool: Tool,
    /// By their place in the folder it is built in; the interface comes besides, in [`WIT`].
    sources: &'static [(&'static str, &'static str)],
    /// Whether there is a component besides that reads the files of scripts.
    has_reader: bool,
    /// Makes [`RESULT`], and [`READER`] if there is one, in a folder that has the sources.
    build: fn(&Path, &Stop) -> Result<(), ToolError>,
}

/// The folder's name, in the cache and in a release.
const FOLDER: &str = "runtimes";

/// Where recipes find the interface, and where they put the components.
const WIT: &str = "wit";
const RESULT: &str = "runtime.wasm";
const READER: &str = "reader.wasm";
const INTERFACE: (&str, &str) = ("wit/node.wit", include_str!("../../../../wit/0.1.0/node.wit"));

impl Language {
    /// Each of them.
    pub const ALL: [Language; 2] = [Language::JavaScript, Language::Python];

    /// Of the script at `path`, by how its name ends.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "js" | "mjs" | "ts" | "mts" => Some(Language::JavaScript),
            "py" => Some(Language::Python),
            _ => None,
        }
    }

    /// Bytes of memory a node has if nothing else is said.
    pub fn memory(self) -> usize {
        match self {
            Language::JavaScript => 64 << 20,
            Language::Python => 256 << 20,
        }
    }

    fn recipe(self) -> &'static Recipe {
        match self {
            Language::JavaScript => &javascript::RECIPE,
            Language::Python => &python::RECIPE,
        }
    }
}

/// The runtime of `language`: the one that came with the program, else the one in the cache folder `dir`, else built now, which takes a
/// minute, needs the language's tools and the network, and ends early at `stop`. Several processes may call this at once.
pub fn ensure(language: Language, dir: &Path, stop: &Stop) -> Result<Made, ToolError> {
    let recipe = language.recipe();
    let mut brought = brought_along().into_iter().map(|dir| recipe.made_in(&dir));
    if let Some(made) = brought.find(Made::exists) {
        return Ok(made);
    }
    let files = |path: &Path| recipe.tool.files(path);
    let dir = dir.join(FOLDER);
    private_dir(&dir).map_err(files(&dir))?;
    let made = recipe.made_in(&dir);
    if made.exists() {
        return Ok(made);
    }
    // Held until this function returns, by this process or any other.
    let lock = dir.join(format!("{}.lock", recipe.name));
    let file = fs::File::create(&lock).map_err(files(&lock))?;
    file.lock().map_err(files(&lock))?;
    if !made.exists() {
        tracing::info!("{}, once on this machine: that takes up to a minute, and the network", recipe.tool.what);
        recipe.make(&dir, &made, stop)?;
    }
    Ok(made)
}

/// Where a release may have put runtimes: beside the program, as an archive unpacks, or where packages put what belongs to
/// `/usr/bin/sangre`.
fn brought_along() -> Vec<PathBuf> {
    // Links followed, so that one in PATH to an unpacked archive will do.
    let program = std::env::current_exe().and_then(fs::canonicalize);
    let Ok(Some(beside)) = program.as_deref().map(Path::parent) else { return Vec::new() };
    // Elsewhere, that might be anybody's.
    let prefix =
        beside.parent().filter(|_| beside.ends_with("bin")).map(|it| it.join("lib").join("sangre").join(FOLDER));
    std::iter::once(beside.join(FOLDER)).chain(prefix).collect()
}

impl Made {
    /// All of it.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(&self.runtime).chain(&self.reader).map(PathBuf::as_path)
    }

    fn exists(&self) -> bool {
        self.files().all(Path::exists)
    }
}

impl Recipe {
    /// What it makes, in a folder of runtimes.
    fn made_in(&self, dir: &Path) -> Made {
        let (name, hash) = (self.name, &self.hash()[..32]);
        let reader = self.has_reader.then(|| dir.join(format!("{name}-reader-{hash}.wasm")));
        Made { runtime: dir.join(format!("{name}-{hash}.wasm")), reader }
    }

    fn sources(&self) -> impl Iterator<Item = &(&'static str, &'static str)> {
        self.sources.iter().chain([&INTERFACE])
    }

    fn make(&self, dir: &Path, into: &Made, stop: &Stop) -> Result<(), ToolError> {
        let workshop = tempfile::tempdir_in(dir).map_err(self.tool.files(dir))?;
        let root = workshop.path();
        for (name, text) in self.sources() {
            let file = root.join(name);
            let parent = file.parent().unwrap_or(root);
            fs::create_dir_all(parent).map_err(self.tool.files(parent))?;
            fs::write(&file, text).map_err(self.tool.files(&file))?;
        }
        (self.build)(root, stop)?;
        let results = [(RESULT, Some(&into.runtime)), (READER, into.reader.as_ref())];
        for (result, path) in results.into_iter().filter_map(|(result, path)| Some((root.join(result), path?))) {
            if !result.exists() {
                let (what, program) = (self.tool.what, self.tool.program);
                return Err(ToolError::NoResult { what, program, expected: result });
            }
            fs::rename(&result, path).map_err(self.tool.files(path))?;
        }
        Ok(())
    }

    fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (name, text) in self.sources() {
            for part in [name, text] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// The runtimes that nodes of one host have needed.
#[derive(Default)]
pub(super) struct Runtimes([Mutex<Option<Runtime>>; 2]);

impl Runtimes {
    /// What `language` needs; built and compiled if this is the first to need it.
    pub fn get(&self, language: Language, engine: &Engine, cache: &Path, stop: &Stop) -> Result<Runtime, NodeError> {
        // Others that need it wait here rather than build it again.
        let mut loaded = self.0[language as usize].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*loaded {
            return Ok(runtime.clone());
        }
        let made = ensure(language, cache, stop)?;
        // However large: the limit on components is one on what users bring.
        let load = |path: &Path| Ok::<_, NodeError>(Arc::new(Code::load(engine, &read(path, u64::MAX)?)?));
        let reader = made.reader.map(|path| Arc::new(Reader { path, engine: engine.clone() }));
        Ok(loaded.insert(Runtime { code: load(&made.runtime)?, reader }).clone())
    }
}

impl Reader {
    /// Its code.
    pub fn load(&self) -> Result<Arc<Code>, NodeError> {
        Ok(Arc::new(Code::load(&self.engine, &read(&self.path, u64::MAX)?)?))
    }

    /// Tells it from a reader of other sources.
    pub fn version(&self) -> &[u8] {
        self.path.file_name().map_or(&[], |name| name.as_encoded_bytes())
    }
}
