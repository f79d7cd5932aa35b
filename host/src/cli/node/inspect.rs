//! `sangre node inspect`: what a node's file is, without a server.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use super::{project, size_of, test};
use crate::wasm::build::Source;
use crate::wasm::{self, Given, Gives, Import, Inspected, NodeKind, NodeSource, Trial};

/// Prints what the file at `path` is; fails if no server could run it.
pub async fn run(path: &Path) -> anyhow::Result<ExitCode> {
    let named = if path.is_dir() { Some(named(path)?) } else { None };
    let path = named.as_deref().unwrap_or(path);
    let (text, runs) = match test::node_of(path) {
        NodeSource::Component(path) => {
            let shown = path.clone();
            let found = tokio::task::spawn_blocking(move || wasm::inspect(&path)).await?;
            let found = found.with_context(|| shown.display().to_string())?;
            (component(&shown, &found), found.misfit.is_none())
        }
        source @ NodeSource::Script(_) => {
            let size = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
            let kind = Trial::load(source, Given::default()).await?.kind();
            (script(path, size, kind), true)
        }
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(if runs { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a configuration names of the project in `dir`: its script, or the component that `sangre node build` has made of it.
fn named(dir: &Path) -> anyhow::Result<PathBuf> {
    let source = project::find(dir)?;
    if let Source::JavaScript(script) | Source::Python(script) = source {
        return Ok(script);
    }
    let component = project::beside(&source);
    anyhow::ensure!(
        component.exists(),
        "{} is not there yet: run `sangre node build {}`",
        component.display(),
        dir.display()
    );
    Ok(component)
}

fn component(path: &Path, found: &Inspected) -> String {
    let kind = found.kind.map_or_else(|| "runtime of scripts, which no node names".into(), described);
    let mut text = table(path, found.size, &kind, &found.interface);
    for (index, import) in found.imports.iter().enumerate() {
        let label = if index == 0 { "imports" } else { "" };
        let _ = writeln!(text, "{label:<11}{}{}", import.name, remark(import));
    }
    let fits = found.misfit.as_ref().map_or_else(|| "yes".into(), |error| format!("no: {error}"));
    let _ = writeln!(text, "{:<11}{fits}", "runs");
    text
}

fn script(path: &Path, size: u64, kind: NodeKind) -> String {
    let language = match path.extension().and_then(|extension| extension.to_str()) {
        Some("py") => "Python",
        Some("ts" | "mts") => "TypeScript",
        _ => "JavaScript",
    };
    let interface = format!("given as source to the ready runtime of {language}");
    table(path, size, &described(kind), &interface) + &format!("{:<11}yes\n", "runs")
}

fn table(path: &Path, size: u64, kind: &str, interface: &str) -> String {
    let size = size_of(size);
    let lines = [("file", &*path.display().to_string()), ("size", &size), ("kind", kind), ("interface", interface)];
    lines.iter().map(|(label, text)| format!("{label:<11}{text}\n")).collect()
}

fn described(kind: NodeKind) -> String {
    let rows = if kind == NodeKind::Reduce { "rows" } else { "row" };
    format!("{kind}: {}({rows}, args)", kind.function())
}

fn remark(import: &Import) -> &'static str {
    match import.gives {
        Gives::Everything => "",
        Gives::Nothing => "  (empty)",
        Gives::Ticks => "  (an error without `every:`)",
        Gives::Errors => "  (an error when it is called)",
        Gives::Missing => "  (not there)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_shown_line_by_line() {
        let import = |name: &str, gives| Import { name: name.into(), gives };
        let found = Inspected {
            size: 120_832,
            kind: Some(NodeKind::Reduce),
            interface: "sangre:node/reduce-lists@0.1.0".into(),
            imports: vec![
                import("sangre:node/log@0.1.0", Gives::Everything),
                import("wasi:clocks/wall-clock@0.2.6", Gives::Ticks),
            ],
            misfit: None,
        };
        let expect = "file       a.wasm
size       118 KiB
kind       reduce: reduce(rows, args)
interface  sangre:node/reduce-lists@0.1.0
imports    sangre:node/log@0.1.0
           wasi:clocks/wall-clock@0.2.6  (an error without `every:`)
runs       yes
";
        assert_eq!(component(Path::new("a.wasm"), &found), expect);
    }
}
