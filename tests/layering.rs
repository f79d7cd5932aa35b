//! The house rules that a compiler does not keep: who may use whom, what pure layers never touch, how files begin and end.

use std::fs;
use std::path::{Path, PathBuf};

/// A layer and what it may use of the others, as `layer` or `layer::part`. What is not listed here may use everything:
/// the program and what only it starts.
const MAY_USE: &[(&str, &[&str])] = &[
    ("data", &[]),
    ("watch", &[]),
    ("dataflow", &["data"]),
    ("source", &["data"]),
    ("diff", &["data"]),
    ("revision", &["diff", "data"]),
    ("query", &["dataflow", "data"]),
    ("wasm", &["dataflow::guest", "dataflow::plan", "watch", "data"]),
    ("driver", &["source", "dataflow", "query", "wasm", "diff", "revision", "data"]),
    ("session", &["driver::handle", "revision", "diff"]),
    ("server", &["session", "driver::handle"]),
    ("config", &["query", "dataflow::plan", "data"]),
];

/// Layers without input or output, and what would bring it.
const PURE: [&str; 4] = ["data", "dataflow", "query", "diff"];
const IMPURE: [&str; 10] = [
    "tokio",
    "wasmtime",
    "pgwire_replication",
    "axum",
    "std::net",
    "std::fs",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "std::env",
];

/// The interface of nodes, as it was released: components that were built with it are out there. What belongs to nodes of later
/// versions goes to a new folder `wit/VERSION`, and into this list once it is released.
const FROZEN: [(&str, &str); 2] = [
    ("0.1.0/component.wat", "d7e387b485afe1e63a0463b477b7b6161844204044c9434739b82c12912d0a9a"),
    ("0.1.0/node.wit", "ea6c619986de6972facda99dffb9e96f57e5f33ea1abd9f2e54c0eb5b07894c4"),
];

/// Longer files are split.
const LONGEST: usize = 600;

struct Source {
    /// From `host/src` on.
    path: PathBuf,
    text: String,
}

impl Source {
    /// The folder or file under `host/src`, without its ending.
    fn layer(&self) -> String {
        let first = self.path.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
        first.unwrap_or_default().trim_end_matches(".rs").to_owned()
    }

    fn is_test(&self) -> bool {
        self.path.iter().any(|part| part == "tests" || part == "tests.rs" || part == "simulation")
    }

    /// What is compiled into the program: everything before the tests at its end, without comments.
    fn program(&self) -> String {
        let text = self.text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    }

    /// Paths that follow `crate::`, groups at the first level taken apart.
    fn uses(&self) -> Vec<String> {
        let program = self.program();
        let mut uses = Vec::new();
        for rest in program.split("crate::").skip(1) {
            match rest.strip_prefix('{') {
                Some(group) => uses.extend(members(group)),
                None => uses.push(path_of(rest)),
            }
        }
        uses
    }
}

/// The letters of a path, `::` included.
fn path_of(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect()
}

/// The members of a group of imports, up to its closing brace.
fn members(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut members = vec![String::new()];
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => members.push(String::new()),
            _ => {}
        }
        if c != ',' || depth > 0 {
            members.last_mut().expect("there is one").push(c);
        }
    }
    members.iter().map(|member| path_of(member.trim())).filter(|member| !member.is_empty()).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All Rust files under a folder of the repository.
fn sources(folder: &str) -> Vec<Source> {
    let base = root().join(folder);
    let mut found = Vec::new();
    let mut folders = vec![base.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                found.push(Source { path: path.strip_prefix(&base).expect("below the folder").to_owned(), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

fn report(what: &str, offences: Vec<String>) {
    assert!(offences.is_empty(), "{what}:\n{}", offences.join("\n"));
}

#[test]
fn layers_use_only_what_is_below_them() {
    let mut offences = Vec::new();
    for source in sources("host/src") {
        let layer = source.layer();
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == layer) else { continue };
        if source.is_test() {
            continue;
        }
        for used in source.uses() {
            let own = used.split("::").next() == Some(layer.as_str());
            let fits = |name: &&str| used == *name || used.starts_with(&format!("{name}::"));
            if !own && !allowed.iter().any(fits) {
                offences.push(format!("{}: crate::{used}", source.path.display()));
            }
        }
    }
    report("a layer uses what it must not know", offences);
}

#[test]
fn pure_layers_do_no_input_or_output() {
    let mut offences = Vec::new();
    for source in sources("host/src") {
        if !PURE.contains(&source.layer().as_str()) || source.is_test() {
            continue;
        }
        let program = source.program();
        let named = IMPURE.iter().filter(|name| program.contains(**name));
        offences.extend(named.map(|name| format!("{}: {name}", source.path.display())));
    }
    report("a pure layer reaches outside", offences);
}

#[test]
fn files_begin_with_their_purpose_and_end_in_time() {
    let mut offences = Vec::new();
    for source in sources("host/src").into_iter().chain(sources("tests")) {
        let lines = source.text.lines().count();
        if !source.text.starts_with("//!") {
            offences.push(format!("{} does not begin with //!", source.path.display()));
        }
        if lines > LONGEST {
            offences.push(format!("{} has {lines} lines, more than {LONGEST}", source.path.display()));
        }
    }
    report("the shape of files", offences);
}

#[test]
fn a_released_interface_never_changes() {
    let wit = root().join("wit");
    let mut found = Vec::new();
    for folder in fs::read_dir(&wit).expect("a folder of the repository").flatten() {
        let is_version = folder.file_name().to_string_lossy().starts_with(|c: char| c.is_ascii_digit());
        for file in fs::read_dir(folder.path()).into_iter().flatten().flatten().filter(|_| is_version) {
            let text = fs::read(file.path()).expect("a file of the interface");
            let name = file.path().strip_prefix(&wit).expect("below the folder").display().to_string();
            found.push((name, blake3::hash(&text).to_hex().to_string()));
        }
    }
    found.sort();
    let known: Vec<(String, String)> = FROZEN.map(|(name, hash)| (name.to_owned(), hash.to_owned())).to_vec();
    assert_eq!(
        found, known,
        "a released version of the interface never changes: make a new folder in wit/ for another one"
    );
}

#[test]
fn imports_are_taken_apart() {
    let source = Source {
        path: "server/x.rs".into(),
        text: "//! x\nuse crate::{data::{Lsn, Xid}, driver::handle};\nfn f() { crate::diff::g() }\n// crate::source\n\
               #[cfg(test)]\nmod tests { use crate::wasm; }"
            .into(),
    };
    assert_eq!(source.uses(), ["data::", "driver::handle", "diff::g"]);
    assert_eq!(source.layer(), "server");
}
