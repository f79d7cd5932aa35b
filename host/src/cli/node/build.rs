//! `sangre node build`: a component from source, looked at before it takes the place of the one before.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;

use super::{allow_reading, project, size_of};
use crate::wasm::build::{self, Source};
use crate::wasm::{self, Inspected, NodeError, NodeKind, Stop};

/// Of a crate that compiles, and is no node.
const UNMARKED: &str =
    "no function is a node: write #[sangre_node::keep], #[sangre_node::transform] or #[sangre_node::reduce] above it";

/// Builds what `path` means; the component's path goes to standard output, what it is to standard error.
pub async fn run(path: &Path, output: Option<PathBuf>, kind: Option<NodeKind>, stop: Stop) -> anyhow::Result<ExitCode> {
    let source = project::find(path)?;
    let output = output.unwrap_or_else(|| project::beside(&source));
    let since = Instant::now();
    let made = {
        let output = output.clone();
        tokio::task::spawn_blocking(move || component(&source, kind, &output, &stop)).await??
    };
    let what = made.kind.map_or_else(|| "runtime".into(), |kind| kind.to_string());
    writeln!(std::io::stderr(), "built a {what}, {}, in {:.1} s", size_of(made.size), since.elapsed().as_secs_f64())?;
    writeln!(std::io::stderr(), "sangre.yaml names it with `component: {}`", project::named(&output).display())?;
    writeln!(std::io::stdout(), "{}", output.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Builds `source` and puts the component at `output`, whole, if it is what it should be. A server that watches the file takes it.
pub fn component(source: &Source, kind: Option<NodeKind>, output: &Path, stop: &Stop) -> anyhow::Result<Inspected> {
    let dir = output.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cannot = || format!("cannot write {}", output.display());
    let part = tempfile::Builder::new().suffix(".part").tempfile_in(dir).with_context(cannot)?.into_temp_path();
    build::component(source, kind, &part, stop)?;
    let made = wasm::inspect(&part).map_err(|error| match (&error, source) {
        (NodeError::NoNode, Source::Rust(dir)) => anyhow::anyhow!("{}: {UNMARKED}", dir.display()),
        _ => error.into(),
    })?;
    if let (Some(wanted), Some(found)) = (kind, made.kind)
        && wanted != found
    {
        anyhow::bail!("it is a {found}, not a {wanted}");
    }
    if let Some(misfit) = made.misfit {
        return Err(misfit.into());
    }
    allow_reading(&part).with_context(cannot)?;
    part.persist(output).with_context(cannot)?;
    Ok(made)
}
