//! What a component says of itself, and whether this server could run it: `sangre node inspect`.

use std::path::Path;

use wasmtime::component::Component;

use super::cache::CodeCache;
use super::component::{Code, Export, check_header, declared, read};
use super::engine::Engine;
use super::error::NodeError;
use super::host::HostSettings;
use super::limits::Limits;
use super::program::NodeKind;
use super::wasi;

/// A component, looked at.
#[derive(Debug)]
pub struct Inspected {
    /// Bytes of the file.
    pub size: u64,
    /// `None`: a runtime, which is given a script.
    pub kind: Option<NodeKind>,
    /// The export that makes it a node, such as `sangre:node/map-rows@0.1.0`.
    pub interface: String,
    pub imports: Vec<Import>,
    /// Why this server could not run it, if so.
    pub misfit: Option<NodeError>,
}

/// An interface a component imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    pub name: String,
    /// What it gives a node.
    pub gives: Gives,
}

/// What an imported interface gives a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// All it says.
    Everything,
    /// It is there and empty: no files, no environment, no arguments.
    Nothing,
    /// The time and the seed of a tick, for a node with `every:`; for others each of its functions is an error that says so.
    Ticks,
    /// Its functions are errors of the row.
    Errors,
    /// This server does not have it.
    Missing,
}

/// Looks at the component at `path`; compiles it if it has not been before. An error if it is no node at all.
pub fn inspect(path: &Path) -> Result<Inspected, NodeError> {
    let settings = HostSettings::default();
    let bytes = read(path, Limits::DEFAULT.size)?;
    check_header(&bytes)?;
    let engine = Engine::start(16, 64 << 20, CodeCache::open(settings.cache.join("code")))?;
    let component = engine.compile(&bytes)?.component;
    let declared = declared(&component)?;
    let kind = match declared.export {
        Export::Node(kind) => Some(kind),
        Export::Script | Export::Reader => None,
    };
    Ok(Inspected {
        size: bytes.len() as u64,
        kind,
        interface: declared.interface,
        imports: imports(&component),
        misfit: Code::load(&engine, &bytes).err(),
    })
}

fn imports(component: &Component) -> Vec<Import> {
    let ty = component.component_type();
    let names = ty.imports(component.engine()).map(|(name, _)| name.to_owned());
    names.map(|name| Import { gives: gives(&name), name }).collect()
}

fn gives(name: &str) -> Gives {
    match name {
        _ if wasi::is_of_ticks(name) => Gives::Ticks,
        _ if name.starts_with("wasi:cli/exit@") => Gives::Errors,
        // A type of the interface, or the log.
        _ if name.starts_with("sangre:node/log@") || name.starts_with("sangre:node/types@") => Gives::Everything,
        _ if ["wasi:cli/stdout@", "wasi:cli/stderr@", "wasi:io/"].iter().any(|have| name.starts_with(have)) => {
            Gives::Everything
        }
        _ if name.starts_with("wasi:") => Gives::Nothing,
        _ => Gives::Missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_imports_give() {
        for (name, expected) in [
            ("sangre:node/log@0.1.0", Gives::Everything),
            ("wasi:cli/stderr@0.2.6", Gives::Everything),
            ("wasi:cli/stdin@0.2.6", Gives::Nothing),
            ("wasi:filesystem/preopens@0.2.6", Gives::Nothing),
            ("wasi:clocks/wall-clock@0.2.6", Gives::Ticks),
            ("wasi:random/random@0.2.6", Gives::Ticks),
            ("acme:billing/api@1.0.0", Gives::Missing),
        ] {
            assert_eq!(gives(name), expected, "{name}");
        }
    }
}
