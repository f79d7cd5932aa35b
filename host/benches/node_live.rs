//! From the save of a node's file to the patch at a client. See the README beside this file.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sangre::demo::private_postgres::PrivatePostgres;
use sangre::wasm::{HostSettings, NodeSource};
use serde_json::{Value, json};
use support::clients::{first, open};
use support::guests::{Guest, Running};
use support::report::{Report, say};
use support::server::{Server, config};
use support::settings::setting;
use support::statistics::Sample;
use support::world::{self, World};

/// Edits that do not count: the first compiles, and caches warm up.
const UNCOUNTED: usize = 4;

fn edits() -> usize {
    setting("SANGRE_BENCH_EDITS", 20).max(1)
}

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

async fn run() -> Result<()> {
    let postgres = world::postgres()?;
    let mut report = Report::begin("node_live", &world::version(&postgres).await?);
    for (guest, component) in Guest::each(&mut report) {
        for form in Form::of(guest) {
            let name = form.name(guest);
            say(format_args!("\n{name}"));
            let folder = tempfile::tempdir()?;
            match Edited::new(guest, form, &component, folder.path()) {
                Ok(node) => measure(&node, &name, form.goal_ms(), &postgres, &mut report).await?,
                Err(error) => {
                    say(format_args!("  not measured: {error:#}"));
                    report.note_text(&format!("{name}_missing"), "its tools");
                }
            }
        }
    }
    report.end();
    Ok(())
}

async fn measure(
    node: &Edited,
    name: &str,
    goal_ms: f64,
    postgres: &PrivatePostgres,
    report: &mut Report,
) -> Result<()> {
    say(format_args!("  {:.1} MB", node.contents[0].len() as f64 / 1e6));
    let live = node.live(name, postgres).await?;
    let alone = node.alone().await?;
    let (p50, p99) = (live.p50_ms(), live.p99_ms());
    say(format_args!("  {} edits, to the patch: p50 {p50:.1} ms, p99 {p99:.1} ms", live.len()));
    let loaded = alone.p50_ms();
    say(format_args!(
        "  of the host alone, to the new version: p50 {loaded:.1} ms, of which 10 ms are to see that the file stays as it is"
    ));
    report.goal(&format!("{name}_p50_ms"), "from the save to the patch, p50", p50, goal_ms, " ms");
    report.note(&format!("{name}_p99_ms"), p99);
    report.note(&format!("{name}_host_p50_ms"), loaded);
    Ok(())
}

/// What is saved.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Source, for a runtime.
    Script,
    /// What was built of the source.
    Component,
}

impl Form {
    fn of(guest: Guest) -> Vec<Form> {
        match guest {
            Guest::Rust => vec![Form::Component],
            Guest::JavaScript | Guest::Python => vec![Form::Script, Form::Component],
        }
    }

    fn name(self, guest: Guest) -> String {
        match (self, guest) {
            (Form::Script, _) | (_, Guest::Rust) => guest.name().into(),
            (Form::Component, _) => format!("{}_component", guest.name()),
        }
    }

    fn goal_ms(self) -> f64 {
        match self {
            Form::Script => 50.0,
            Form::Component => 20.0,
        }
    }
}

/// A node's file that is saved again and again, by two contents in turn.
struct Edited {
    form: Form,
    path: PathBuf,
    contents: [Vec<u8>; 2],
}

impl Edited {
    fn new(guest: Guest, form: Form, component: &Path, folder: &Path) -> Result<Edited> {
        let mut path = folder.join("place.wasm");
        let contents = match guest.script() {
            None => edited(fs::read(component)?),
            Some(script) => {
                let source = folder.join(script.file_name().context("a file")?);
                let [one, other] = edited(fs::read(script)?);
                match form {
                    Form::Component => [guest.build(&source, one)?, guest.build(&source, other)?],
                    Form::Script => {
                        path = source;
                        [one, other]
                    }
                }
            }
        };
        anyhow::ensure!(contents[0] != contents[1], "the node names what it answers");
        fs::write(&path, &contents[0])?;
        Ok(Edited { form, path, contents })
    }

    fn source(&self) -> NodeSource {
        match self.form {
            Form::Script => NodeSource::Script(self.path.clone()),
            Form::Component => NodeSource::Component(self.path.clone()),
        }
    }

    /// Saves the file, as editors and compilers do it. When it was written and only had to take the place of the old one.
    fn save(&self, number: usize) -> Result<Instant> {
        let next = self.path.with_extension("new");
        fs::write(&next, &self.contents[number % 2])?;
        let begin = Instant::now();
        fs::rename(&next, &self.path)?;
        Ok(begin)
    }

    /// Until a client of a server has the patch.
    async fn live(&self, name: &str, postgres: &PrivatePostgres) -> Result<Sample> {
        let url = World::Demo.create(postgres, name).await?;
        let map = json!({ "node": "place", "into": "shown", "args": { "hour": 12 } });
        let queries = json!({ "places": { "route": "/places", "from": "places", "steps": [{ "map": map }] } });
        let mut settings = config(&url, queries);
        let kind = if self.form == Form::Script { "script" } else { "component" };
        settings["nodes"] = json!({ "place": { kind: self.path.clone() } });
        let server = Server::start(&settings).await?;
        server.nodes_loaded().await?;
        let mut socket = open(&server.address, "/places").await?;
        first(&mut socket).await?;
        let mut took = Vec::new();
        for number in 1..=edits() + UNCOUNTED {
            let begin = self.save(number)?;
            let patch: Value = serde_json::from_str(&first(&mut socket).await?)?;
            took.push(begin.elapsed());
            let wanted = if number % 2 == 0 { "stars" } else { "shine" };
            anyhow::ensure!(patch["patch"].to_string().contains(wanted), "not what was saved: {patch}");
        }
        Ok(Sample::new(took.split_off(UNCOUNTED)))
    }

    /// Until a host without a server has the new version.
    async fn alone(&self) -> Result<Sample> {
        self.save(0)?;
        let mut running = Running::start(HostSettings::default(), self.source()).await?;
        let mut took: Vec<Duration> = Vec::new();
        for number in 1..=edits() + UNCOUNTED {
            let begin = self.save(number)?;
            running.reloaded().await?;
            took.push(begin.elapsed());
        }
        Ok(Sample::new(took.split_off(UNCOUNTED)))
    }
}

/// This, and the same with another name of a member of every answer, so that every row changes; of the same length, so that a component
/// stays one.
fn edited(one: Vec<u8>) -> [Vec<u8>; 2] {
    let (from, to) = (b"stars", b"shine");
    let mut other = one.clone();
    for at in 0..other.len().saturating_sub(from.len()) {
        if other[at..].starts_with(from) {
            other[at..at + to.len()].copy_from_slice(to);
        }
    }
    [one, other]
}
