//! The ready runtimes of script nodes: brought along by a release, or built once on this machine from sources this program carries.
//!
//! A runtime is a component with a language's engine in it. It is built with that language's own tools and kept in the
//! cache under the hash of its sources, so a new version of Sangre builds a new one and nothing is built twice. A release has the same
//! files in a folder beside the program; one of other sources is never taken, since its name is another. A file that is damaged is made
//! anew in the cache; in a release, whoever installed it has to know.

mod javascript;
pub(super) mod python;
mod seal;

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
    what: &'static str,
    /// If it is damaged.
    remedy: &'static str,
}

/// What there is of what a recipe makes.
enum State<'a> {
    Whole,
    Missing,
    Damaged(&'a Path),
}

/// How a runtime is made.
struct Recipe {
    /// The runtime's name among files.
    name: &'static str,
    /// What it is for, for messages.
    runs: &'static str,
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

/// What to do about a damaged file of a release, and one of the cache.
const INSTALL: &str = "install the release again, or delete its folder runtimes";
const START: &str = "start again, and it is made anew";

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
    for dir in brought_along() {
        let made = recipe.made_in(&dir);
        match made.state() {
            State::Whole => return Ok(made),
            State::Missing => {}
            State::Damaged(path) => {
                return Err(ToolError::Damaged { what: recipe.runs, path: path.to_owned(), remedy: INSTALL });
            }
        }
    }
    recipe.ensure(&dir.join(FOLDER), stop)
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

    fn state(&self) -> State<'_> {
        let files: Vec<_> = self.files().map(|path| (path, seal::is_as_written(path))).collect();
        if files.iter().any(|(_, whole)| whole.is_none()) {
            return State::Missing;
        }
        let damaged = files.into_iter().find(|(_, whole)| *whole == Some(false));
        damaged.map_or(State::Whole, |(path, _)| State::Damaged(path))
    }
}

impl Recipe {
    /// What it makes, in the cache's folder `dir`; made now if it is missing or damaged.
    fn ensure(&self, dir: &Path, stop: &Stop) -> Result<Made, ToolError> {
        let files = |path: &Path| self.tool.files(path);
        private_dir(dir).map_err(files(dir))?;
        let made = self.made_in(dir);
        if let State::Whole = made.state() {
            return Ok(made);
        }
        // Held until this function returns, by this process or any other.
        let lock = dir.join(format!("{}.lock", self.name));
        let file = fs::File::create(&lock).map_err(files(&lock))?;
        file.lock().map_err(files(&lock))?;
        match made.state() {
            State::Whole => return Ok(made),
            State::Missing => {}
            State::Damaged(path) => tracing::warn!("{} is damaged, and is made anew", path.display()),
        }
        tracing::info!("{}, once on this machine: that takes up to a minute, and the network", self.tool.what);
        self.make(dir, &made, stop)?;
        Ok(made)
    }

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
            let bytes = fs::read(&result).map_err(self.tool.files(&result))?;
            seal::write_sealed(path, &bytes).map_err(self.tool.files(path))?;
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
        let remedy = if made.runtime.starts_with(cache) { START } else { INSTALL };
        let what = language.recipe().runs;
        let reader = made.reader.map(|path| Arc::new(Reader { path, engine: engine.clone(), what, remedy }));
        Ok(loaded.insert(Runtime { code: load(&made.runtime)?, reader }).clone())
    }
}

impl Reader {
    /// Its code.
    pub fn load(&self) -> Result<Arc<Code>, NodeError> {
        if seal::is_as_written(&self.path) == Some(false) {
            let Reader { path, what, remedy, .. } = self;
            return Err(ToolError::Damaged { what, path: path.clone(), remedy }.into());
        }
        Ok(Arc::new(Code::load(&self.engine, &read(&self.path, u64::MAX)?)?))
    }

    /// Tells it from a reader of other sources.
    pub fn version(&self) -> &[u8] {
        self.path.file_name().map_or(&[], |name| name.as_encoded_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its result is another each time it is built: one byte longer.
    fn build(root: &Path, _: &Stop) -> Result<(), ToolError> {
        let tool = &RECIPE.tool;
        let count = root.parent().unwrap_or(root).join("count");
        let mut built = fs::read(&count).unwrap_or_default();
        built.push(b'x');
        for path in [&count, &root.join(RESULT), &root.join(READER)] {
            fs::write(path, &built).map_err(tool.files(path))?;
        }
        Ok(())
    }

    const RECIPE: Recipe = Recipe {
        name: "none",
        runs: "running nothing",
        tool: Tool { what: "building nothing", program: "none", remedy: "nothing" },
        sources: &[],
        has_reader: true,
        build,
    };

    #[test]
    fn what_is_missing_or_damaged_is_made_anew_and_nothing_else() {
        let cache = tempfile::tempdir().expect("a folder");
        let dir = cache.path().join(FOLDER);
        let ensure = || RECIPE.ensure(&dir, &Stop::default()).expect("made");
        let built = || fs::read(dir.join("count")).expect("counted").len();
        let made = ensure();
        assert!(fs::read(&made.runtime).expect("a file").starts_with(b"x\0"), "the component comes first");
        ensure();
        assert_eq!(built(), 1);
        let flipped = |mut bytes: Vec<u8>| {
            bytes[0] ^= 1;
            bytes
        };
        let damages: [fn(Vec<u8>) -> Vec<u8>; 3] = [|bytes| bytes[..bytes.len() - 1].to_vec(), |_| Vec::new(), flipped];
        let files: Vec<PathBuf> = made.files().map(Path::to_owned).collect();
        let mut expected = 1;
        let mut is_made_anew = || {
            ensure();
            ensure();
            expected += 1;
            assert_eq!(built(), expected);
        };
        for file in &files {
            for damage in damages {
                fs::write(file, damage(fs::read(file).expect("a file"))).expect("damaged");
                is_made_anew();
            }
            fs::remove_file(file).expect("removed");
            is_made_anew();
        }
    }
}
