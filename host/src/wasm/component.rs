//! From the bytes of a file to something that can be started: is it a component, what does it export, does it fit.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker};

use super::bindings::{Interface, KNOWN_VERSIONS, link};
use super::cache::Kept;
use super::engine::{Compiled, Engine};
use super::error::NodeError;
use super::instance::GuestState;
use super::program::NodeKind;
use super::wasi;

/// A component that was compiled, checked and linked. Making an instance of it takes microseconds.
#[derive(Clone)]
pub(super) struct Code {
    pub pre: InstancePre<GuestState>,
    pub interface: Interface,
    pub export: Export,
    /// Of the component's bytes.
    pub hash: blake3::Hash,
    /// What it runs from.
    _file: Option<Kept>,
}

/// What a component is to Sangre, by the interface it exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Export {
    Node(NodeKind),
    /// A runtime, which is given a node's source.
    Script,
    /// What reads a script's files before its runtime is given them.
    Reader,
}

/// What a component says of itself in the name of its export.
#[derive(Debug)]
pub(super) struct Declared {
    pub export: Export,
    /// The export's full name.
    pub interface: String,
    /// Major and minor; patches of one minor version are compatible.
    pub version: (u64, u64),
}

impl Code {
    /// Compiles (or finds compiled) and checks `bytes`.
    pub fn load(engine: &Engine, bytes: &[u8]) -> Result<Self, NodeError> {
        check_header(bytes)?;
        Code::of(engine, engine.compile(bytes)?, blake3::hash(bytes))
    }

    /// Checks what was compiled from bytes with this hash.
    pub fn of(engine: &Engine, compiled: Compiled, hash: blake3::Hash) -> Result<Self, NodeError> {
        let Compiled { component, file } = compiled;
        let component = &component;
        let declared = declared(component)?;
        let interface = Interface::of(component, &declared)?;
        let mut linker = Linker::new(engine.inner());
        let fit = |error: wasmtime::Error| NodeError::Imports(format!("{error:#}"));
        wasi::link(&mut linker, component).map_err(fit)?;
        link(&mut linker).map_err(fit)?;
        let pre = linker.instantiate_pre(component).map_err(fit)?;
        Ok(Code { pre, interface, export: declared.export, hash, _file: file })
    }
}

/// A file of so many bytes is worth a second thread.
const LARGE: u64 = 1 << 20;

/// Bytes that one thread hands to the other at a time, and how often it may be ahead.
const PART: usize = 256 << 10;
const PARTS: usize = 3;

/// Reads the file at `path` if it has at most `limit` bytes.
pub(super) fn read(path: &Path, limit: u64) -> Result<Arc<[u8]>, NodeError> {
    let (file, size) = open(path, limit)?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
    // It may grow meanwhile.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable(path))?;
    let size = bytes.len() as u64;
    if size > limit {
        return Err(NodeError::TooLarge { path: path.to_owned(), size, limit });
    }
    Ok(bytes.into())
}

/// The hash of the file at `path` if it has at most `limit` bytes. Takes a quarter of the time of [`read`] and no memory.
pub(super) fn hash_of(path: &Path, limit: u64) -> Result<blake3::Hash, NodeError> {
    let (file, size) = open(path, limit)?;
    let file = file.take(limit.saturating_add(1));
    let mut hasher = blake3::Hasher::new();
    let hashed = if size < LARGE { hasher.update_reader(file).map(drop) } else { hash_beside(&mut hasher, file) };
    hashed.map_err(unreadable(path))?;
    if hasher.count() > limit {
        return Err(NodeError::TooLarge { path: path.to_owned(), size: hasher.count(), limit });
    }
    Ok(hasher.finalize())
}

/// Adds all of `file` to `hasher` while it is read by another thread.
fn hash_beside(hasher: &mut blake3::Hasher, mut file: impl Read + Send) -> std::io::Result<()> {
    let (full, filled) = sync_channel::<std::io::Result<Vec<u8>>>(PARTS);
    let (empty, emptied) = sync_channel(PARTS);
    for _ in 0..PARTS {
        let _ = empty.send(Vec::with_capacity(PART));
    }
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for mut part in emptied {
                let read = file.by_ref().take(PART as u64).read_to_end(&mut part);
                let is_last = !matches!(read, Ok(1..));
                if full.send(read.map(|_| part)).is_err() || is_last {
                    return;
                }
            }
        });
        // Ends after what is empty or an error, with the thread.
        for part in filled {
            let mut part = part?;
            hasher.update(&part);
            part.clear();
            let _ = empty.send(part);
        }
        Ok(())
    })
}

/// Opens a regular file, of this size now.
fn open(path: &Path, limit: u64) -> Result<(File, u64), NodeError> {
    let meta = std::fs::metadata(path).map_err(unreadable(path))?;
    if !meta.is_file() {
        // A pipe would be waited for, and a device may have no end.
        return Err(unreadable(path)(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file")));
    }
    if meta.len() > limit {
        return Err(NodeError::TooLarge { path: path.to_owned(), size: meta.len(), limit });
    }
    Ok((File::open(path).map_err(unreadable(path))?, meta.len()))
}

fn unreadable(path: &Path) -> impl Fn(std::io::Error) -> NodeError {
    |source| match source.kind() {
        std::io::ErrorKind::NotFound => missing(path),
        _ => NodeError::Read { path: path.to_owned(), source },
    }
}

/// The error about a file that is not there.
fn missing(path: &Path) -> NodeError {
    let path = path.to_owned();
    let to_nowhere = |part: &Path| std::fs::read_link(part).ok().filter(|_| !part.exists());
    // The first is the one to mend: it takes those behind it along.
    let found = path.ancestors().filter_map(|part| Some((part.to_owned(), to_nowhere(part)?))).last();
    match found {
        Some((link, target)) => NodeError::LinkToNowhere { path, link, target },
        None => NodeError::Missing(path),
    }
}

/// Whether the file at `path` is a core module, which is what a component is made of.
pub fn is_module(path: &Path) -> std::io::Result<bool> {
    let mut header = Vec::new();
    File::open(path)?.take(8).read_to_end(&mut header)?;
    Ok(matches!(check_header(&header), Err(NodeError::CoreModule)))
}

/// Tells a component from a core module and from anything else, for a message better than the parser's.
pub(super) fn check_header(bytes: &[u8]) -> Result<(), NodeError> {
    match bytes {
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(NodeError::CoreModule),
        [b'\0', b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        _ => Err(NodeError::NotWasm),
    }
}

/// What `component` declares itself to be, by the one export that is Sangre's.
pub(super) fn declared(component: &Component) -> Result<Declared, NodeError> {
    let ty = component.component_type();
    let mut found: Vec<Declared> = Vec::new();
    for (name, export) in ty.exports(component.engine()) {
        if matches!(export.ty, ComponentItem::ComponentInstance(_)) {
            found.extend(parse_export(name)?);
        }
    }
    match found.len() {
        0 => Err(NodeError::NoNode),
        1 => Ok(found.remove(0)),
        _ => Err(NodeError::SeveralNodes(
            found.iter().map(|declared| &*declared.interface).collect::<Vec<_>>().join(" and "),
        )),
    }
}

/// `None` if the export is none of Sangre's.
fn parse_export(name: &str) -> Result<Option<Declared>, NodeError> {
    let Some((interface, version)) = name.strip_prefix("sangre:node/").and_then(|rest| rest.split_once('@')) else {
        return Ok(None);
    };
    let export = match interface {
        "filter-rows" => Export::Node(NodeKind::Filter),
        "map-rows" => Export::Node(NodeKind::Map),
        "reduce-lists" => Export::Node(NodeKind::Reduce),
        "script" => Export::Script,
        "script-reader" => Export::Reader,
        _ => return Ok(None),
    };
    let mut numbers = version.split('.').map(|part| part.parse::<u64>().ok());
    let (Some(Some(major)), Some(Some(minor))) = (numbers.next(), numbers.next()) else {
        return Err(NodeError::Version { found: version.to_owned(), known: KNOWN_VERSIONS });
    };
    Ok(Some(Declared { export, interface: name.to_owned(), version: (major, minor) }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_to_nowhere_is_named_and_not_what_it_would_lead_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("current/nodes/a.js");
        let said = || read(&path, 100).expect_err("nothing").to_string();
        assert_eq!(said(), format!("{} does not exist", path.display()));
        let link = folder.path().join("current");
        symlink("release-2", &link).expect("a link");
        let (path, link) = (path.display(), link.display());
        assert_eq!(said(), format!("{path} does not exist: {link} is a link to release-2, which does not exist"));
    }

    #[test]
    fn a_file_has_one_hash_however_it_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.wasm");
        let sizes = [0, 1, LARGE - 1, LARGE, LARGE + 1, 5 * LARGE + 12_345];
        for size in sizes {
            let bytes: Vec<u8> = (0..size).map(|at| (at * at % 251) as u8).collect();
            std::fs::write(&path, &bytes).expect("written");
            assert_eq!(hash_of(&path, size).expect("a hash"), blake3::hash(&bytes), "{size}");
        }
        assert!(matches!(hash_of(&path, LARGE), Err(NodeError::TooLarge { .. })));
        // It has grown since it was opened.
        let mut hasher = blake3::Hasher::new();
        hash_beside(&mut hasher, std::io::repeat(7).take(LARGE + 7)).expect("read");
        assert_eq!(hasher.count(), LARGE + 7);
        let broken = std::io::repeat(7).take(LARGE).chain(Broken);
        assert!(hash_beside(&mut hasher, broken).is_err_and(|error| error.to_string() == "broken"));
    }

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("broken"))
        }
    }
}
