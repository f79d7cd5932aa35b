//! `sangre node new`: a small project that works as it is.
//!
//! Nothing is ever overwritten: all files are new, or none is written. A crate finds `sangre-node` in the project itself, since the
//! program that writes it carries the sources that fit it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};

use super::Language;
use crate::wasm::NodeKind;

/// A file of the project: its place, and its text.
type File = (String, String);

macro_rules! wit {
    ($place:literal) => {
        include_str!(concat!("../../../../wit/", $place))
    };
}

/// The crate `sangre-node` and what it needs, by their places under `.sangre`.
const CRATE: [(&str, &str); 10] = [
    ("rust/Cargo.toml", wit!("rust/Cargo.toml")),
    ("rust/sangre-node/Cargo.toml", wit!("rust/sangre-node/Cargo.toml")),
    ("rust/sangre-node/src/lib.rs", wit!("rust/sangre-node/src/lib.rs")),
    ("rust/sangre-node/src/abi.rs", wit!("rust/sangre-node/src/abi.rs")),
    ("rust/sangre-node/src/answer.rs", wit!("rust/sangre-node/src/answer.rs")),
    ("rust/sangre-node/src/finite.rs", wit!("rust/sangre-node/src/finite.rs")),
    ("rust/sangre-node/src/misfit.rs", wit!("rust/sangre-node/src/misfit.rs")),
    ("rust/sangre-node/src/world.rs", wit!("rust/sangre-node/src/world.rs")),
    ("rust/sangre-node-macro/Cargo.toml", wit!("rust/sangre-node-macro/Cargo.toml")),
    ("rust/sangre-node-macro/src/lib.rs", wit!("rust/sangre-node-macro/src/lib.rs")),
];

const ROWS: &str = r#"[
  { "id": 1, "name": "Blue Door", "rating": 4.5, "opens": 9, "closes": 17 },
  { "id": 2, "name": "Night Owl", "rating": 3.8, "opens": 14, "closes": 23 },
  { "id": 3, "name": "Old Mill", "rating": 4.9, "opens": 6, "closes": 12 }
]
"#;

const LISTS: &str = r#"[
  [
    { "id": 1, "name": "Blue Door", "rating": 4.5, "opens": 9, "closes": 17 },
    { "id": 2, "name": "Night Owl", "rating": 3.8, "opens": 14, "closes": 23 }
  ],
  [{ "id": 3, "name": "Old Mill", "rating": 4.9, "opens": 6, "closes": 12 }],
  []
]
"#;

/// Writes a project into `dir` and says what is next.
pub fn run(dir: &Path, language: Language, kind: NodeKind) -> anyhow::Result<ExitCode> {
    let name = name_of(dir)?;
    let files = files(&name, language, kind);
    if let Some((taken, _)) = files.iter().find(|(file, _)| dir.join(file).symlink_metadata().is_ok()) {
        bail!("{} exists already: nothing was written", dir.join(taken).display());
    }
    for (file, text) in &files {
        let path = dir.join(file);
        write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    std::io::stdout().write_all(next(dir, &name, language, kind).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::File::create_new(path)?.write_all(text.as_bytes())
}

/// The node's name: that of the folder, as far as a crate, a module and `sangre.yaml` can have it.
fn name_of(dir: &Path) -> anyhow::Result<String> {
    let full = fs::canonicalize(dir).or_else(|_| std::path::absolute(dir)).unwrap_or_else(|_| dir.to_owned());
    let folder = full.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let letter = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '_' };
    let name: String = folder.chars().map(letter).collect();
    ensure!(
        name.starts_with(|c: char| c.is_ascii_alphabetic()),
        "a node has the name of its folder, and \"{folder}\" does not begin with a letter"
    );
    Ok(name)
}

/// The source's own place in the project.
fn source(name: &str, language: Language) -> String {
    match language {
        Language::Rust => "src/lib.rs".into(),
        Language::Javascript => format!("{name}.js"),
        Language::Typescript => format!("{name}.ts"),
        Language::Python => format!("{name}.py"),
    }
}

fn files(name: &str, language: Language, kind: NodeKind) -> Vec<File> {
    let source = source(name, language);
    let rows = if kind == NodeKind::Reduce { LISTS } else { ROWS };
    let mut files = vec![(source.clone(), template(language, kind).to_owned()), ("rows.json".into(), rows.to_owned())];
    match language {
        Language::Rust => {
            files.push(("Cargo.toml".into(), wit!("rust/template/Cargo.toml.in").replace("NAME", name)));
            files.push((".gitignore".into(), "/target\n/*.wasm\n".into()));
            // The server's own tests have a member more.
            let member = |text: &str| text.replace(r#", "probe""#, "");
            files.extend(CRATE.iter().map(|(place, text)| (format!(".sangre/{place}"), member(text))));
        }
        Language::Javascript | Language::Typescript => {
            let package = wit!("javascript/template/package.json.in");
            files.push(("package.json".into(), package.replace("NAME", name).replace("FILE", &source)));
            files.push((".gitignore".into(), "/node_modules\n/*.wasm\n".into()));
        }
        Language::Python => {}
    }
    files
}

fn template(language: Language, kind: NodeKind) -> &'static str {
    match (language, kind) {
        (Language::Rust, NodeKind::Filter) => wit!("rust/template/filter.rs"),
        (Language::Rust, NodeKind::Map) => wit!("rust/template/map.rs"),
        (Language::Rust, NodeKind::Reduce) => wit!("rust/template/reduce.rs"),
        (Language::Javascript, NodeKind::Filter) => wit!("javascript/template/filter.js"),
        (Language::Javascript, NodeKind::Map) => wit!("javascript/template/map.js"),
        (Language::Javascript, NodeKind::Reduce) => wit!("javascript/template/reduce.js"),
        (Language::Typescript, NodeKind::Filter) => wit!("javascript/template/filter.ts"),
        (Language::Typescript, NodeKind::Map) => wit!("javascript/template/map.ts"),
        (Language::Typescript, NodeKind::Reduce) => wit!("javascript/template/reduce.ts"),
        (Language::Python, NodeKind::Filter) => wit!("python/template/filter.py"),
        (Language::Python, NodeKind::Map) => wit!("python/template/map.py"),
        (Language::Python, NodeKind::Reduce) => wit!("python/template/reduce.py"),
    }
}

/// What to do with it, in commands and lines as they are typed.
fn next(dir: &Path, name: &str, language: Language, kind: NodeKind) -> String {
    let file = dir.join(source(name, language));
    let (rows, quoted) = (dir.join("rows.json"), shell);
    let args = if kind == NodeKind::Filter { " --args '{\"hour\": 12}'" } else { "" };
    let mut text = format!("The {kind} is in {}. Try it:\n\n", file.display());
    let (tested, code): (PathBuf, String) = match language {
        Language::Rust => (dir.to_owned(), format!("component: {}", dir.join(format!("{name}.wasm")).display())),
        _ => (file.clone(), format!("script: {}", file.display())),
    };
    text += &format!("  sangre node test {} --rows {}{args}\n\n", quoted(&tested), quoted(&rows));
    if language == Language::Rust {
        text += &format!(
            "Make the component; a server that runs takes each new one:\n\n  sangre node build {}\n\n",
            quoted(dir)
        );
    }
    let step = match kind {
        NodeKind::Filter => format!("filter: {{ node: {name}, args: {{ hour: 12 }} }}"),
        NodeKind::Map => format!("map: {{ node: {name}, into: hours, input: [opens, closes] }}"),
        NodeKind::Reduce => format!("reduce: {{ node: {name} }}"),
    };
    text + &format!(
        "Use it, in sangre.yaml:\n\n  nodes:\n    {name}: {{ {code} }}\n\n  and among a query's steps:\n    - {step}\n"
    )
}

/// A path as a shell takes it.
fn shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn a_node_has_a_name_that_all_can_have() {
        assert_eq!(name_of(Path::new("/nodes/Open At")).expect("a name"), "open_at");
        assert_eq!(name_of(Path::new("/nodes/open-at")).expect("a name"), "open-at");
        assert!(name_of(Path::new("/nodes/3d")).is_err());
        assert!(name_of(Path::new("/")).is_err());
    }

    #[test]
    fn a_crate_brings_what_it_depends_on() {
        let files = files("scores", Language::Rust, NodeKind::Map);
        let text = |name: &str| &files.iter().find(|(file, _)| file == name).expect(name).1;
        assert!(text("Cargo.toml").contains("name = \"scores\""));
        assert!(!text(".sangre/rust/Cargo.toml").contains("probe"), "only what is written is a member");
        let used = text(".sangre/rust/sangre-node/src/lib.rs").lines().filter_map(|line| line.strip_prefix("mod "));
        for module in used.map(|module| module.trim_end_matches(';')) {
            text(&format!(".sangre/rust/sangre-node/src/{module}.rs"));
        }
    }

    #[test]
    fn a_template_says_what_other_columns_come_as() {
        for language in Language::value_variants() {
            for kind in [NodeKind::Filter, NodeKind::Map] {
                assert!(template(*language, kind).contains("of type time"), "{language:?} {kind}");
            }
        }
        for kind in [NodeKind::Filter, NodeKind::Map, NodeKind::Reduce] {
            let text = template(Language::Typescript, kind);
            let place = text.split("interface Place {").nth(1).and_then(|rest| rest.split('}').next());
            assert!(
                place.expect("its columns").trim().lines().all(|column| column.ends_with(": number | null;")),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_next_can_be_typed() {
        let said = next(Path::new("my nodes/hours"), "hours", Language::Javascript, NodeKind::Map);
        assert!(
            said.contains("  sangre node test 'my nodes/hours/hours.js' --rows 'my nodes/hours/rows.json'\n"),
            "{said}"
        );
        assert!(said.contains("    hours: { script: my nodes/hours/hours.js }\n"), "{said}");
        let said = next(Path::new("open"), "open", Language::Rust, NodeKind::Filter);
        assert!(said.contains("  sangre node test open --rows open/rows.json --args '{\"hour\": 12}'\n"), "{said}");
        assert!(said.contains("  sangre node build open\n"), "{said}");
    }
}
