//! What a path on the command line stands for: the source of a node, and the component beside it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::wasm::build::Source;
use crate::wasm::is_module;

/// The source that `path` means: the file itself, or what a folder's own manifest or names say.
pub fn find(path: &Path) -> anyhow::Result<Source> {
    let kind = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if kind.is_file() {
        return of_file(path);
    }
    if path.join("Cargo.toml").is_file() {
        return Ok(Source::Rust(path.to_owned()));
    }
    if let Some(main) = main_of(path)? {
        return of_file(&path.join(main));
    }
    let scripts = scripts(path)?;
    let named = |stem: &str| scripts.iter().find(|script| script.file_stem().is_some_and(|have| have == stem));
    let own = absolute(path).file_name().and_then(|name| name.to_str()).and_then(named);
    match (own.or_else(|| named("index")), &scripts[..]) {
        (Some(script), _) | (None, [script]) => of_file(script),
        (None, []) => bail!("{} has no node: neither a Cargo.toml nor a .js, .ts or .py file", path.display()),
        (None, several) => {
            let names: Vec<_> = several.iter().filter_map(|script| script.file_name()?.to_str()).collect();
            bail!("{} has {}: name the node's file", path.display(), names.join(", "))
        }
    }
}

/// Where the component of `source` is put unless another place is asked for.
pub fn beside(source: &Source) -> PathBuf {
    match source {
        Source::Rust(dir) => {
            let name = absolute(dir).file_name().map(|name| name.to_string_lossy().into_owned());
            dir.join(format!("{}.wasm", name.unwrap_or_else(|| "node".into())))
        }
        Source::JavaScript(file) | Source::Python(file) => file.with_extension("wasm"),
        Source::Module(file) => file.with_extension("component.wasm"),
    }
}

/// What a `sangre.yaml` in a folder above calls the file at `path`, if there is one; else `path`.
pub fn named(path: &Path) -> PathBuf {
    let whole = absolute(path);
    let folder = whole.ancestors().skip(1).find(|folder| folder.join("sangre.yaml").is_file());
    folder.and_then(|folder| whole.strip_prefix(folder).ok()).unwrap_or(path).to_owned()
}

fn of_file(path: &Path) -> anyhow::Result<Source> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name == "Cargo.toml" {
        return Ok(Source::Rust(path.parent().unwrap_or(Path::new(".")).to_owned()));
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("js" | "mjs" | "ts" | "mts") => Ok(Source::JavaScript(path.to_owned())),
        Some("py") => Ok(Source::Python(path.to_owned())),
        Some("rs") => bail!("{}: name the folder of its Cargo.toml", path.display()),
        Some("wasm") if is_module(path)? => Ok(Source::Module(path.to_owned())),
        Some("wasm") => bail!("{} is a component already", path.display()),
        _ => bail!(
            "{} is no source of a node: its name ends in .js, .mjs, .ts, .mts or .py; of other languages, in .wasm: a core module",
            path.display()
        ),
    }
}

/// What `package.json` calls the package's own module.
fn main_of(dir: &Path) -> anyhow::Result<Option<String>> {
    let file = dir.join("package.json");
    let Ok(text) = fs::read_to_string(&file) else { return Ok(None) };
    let package: serde_json::Value =
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))?;
    Ok(["module", "main"].iter().find_map(|key| package.get(key)?.as_str()).map(str::to_owned))
}

fn scripts(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        let ending = path.extension().and_then(|extension| extension.to_str());
        let is_script = matches!(ending, Some("js" | "mjs" | "ts" | "mts" | "py"));
        // Types, tests and settings of tools have a second ending.
        let is_plain = path.file_stem().is_some_and(|stem| !stem.to_string_lossy().contains('.'));
        if is_script && is_plain && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn absolute(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_says_what_its_node_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("scores");
        fs::create_dir(&dir).expect("made");
        let found = || match find(&dir) {
            Ok(Source::Rust(_)) => "crate".to_owned(),
            Ok(Source::JavaScript(file) | Source::Python(file) | Source::Module(file)) => {
                file.file_name().expect("a file").to_string_lossy().into_owned()
            }
            Err(error) => error.to_string().replace(&dir.display().to_string(), "DIR"),
        };
        let write = |name: &str, text: &str| fs::write(dir.join(name), text).expect("written");
        assert_eq!(found(), "DIR has no node: neither a Cargo.toml nor a .js, .ts or .py file");
        write("a.js", "");
        write("a.test.js", "");
        write("types.d.ts", "");
        assert_eq!(found(), "a.js", "the only one");
        write("b.mjs", "");
        assert_eq!(found(), "DIR has a.js, b.mjs: name the node's file");
        write("scores.ts", "");
        assert_eq!(found(), "scores.ts", "it has the folder's name");
        write("package.json", r#"{ "main": "b.mjs" }"#);
        assert_eq!(found(), "b.mjs");
        write("Cargo.toml", "");
        assert_eq!(found(), "crate");
    }

    #[test]
    fn a_configuration_names_a_file_from_its_own_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("nodes/open");
        fs::create_dir_all(&dir).expect("made");
        let component = dir.join("open.wasm");
        fs::write(&component, "").expect("written");
        assert_eq!(named(&component), component, "nobody knows where from");
        fs::write(folder.path().join("sangre.yaml"), "").expect("written");
        assert_eq!(named(&dir.join("../open/open.wasm")), Path::new("nodes/open/open.wasm"));
    }

    #[test]
    fn components_are_put_beside_their_source() {
        assert_eq!(beside(&Source::JavaScript("nodes/a.ts".into())), Path::new("nodes/a.wasm"));
        assert_eq!(beside(&Source::Rust("/nodes/open_at".into())), Path::new("/nodes/open_at/open_at.wasm"));
    }
}
