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
        say(format_args!("\n{}", guest.name()));
        let folder = tempfile::tempdir()?;
        let node = Edited::new(guest, &component, folder.path())?;
        let live = node.live(&postgres).await?;
        let alone = node.alone().await?;
        let (p50, p99) = (live.p50_ms(), live.p99_ms());
        say(format_args!("  {} edits, to the patch: p50 {p50:.1} ms, p99 {p99:.1} ms", live.len()));
        let loaded = alone.p50_ms();
        say(format_args!(
            "  of the host alone, to the new version: p50 {loaded:.1} ms, of which 10 ms are to see that the file stays as it is"
        ));
        let goal = if guest == Guest::Rust { 20.0 } else { 50.0 };
        report.goal(&format!("{}_p50_ms", guest.name()), "from the save to the patch, p50", p50, goal, " ms");
        report.note(&format!("{}_p99_ms", guest.name()), p99);
        report.note(&format!("{}_host_p50_ms", guest.name()), loaded);
    }
    report.end();
    Ok(())
}

/// A node's file that is saved again and again, by two contents in turn.
struct Edited {
    guest: Guest,
    path: PathBuf,
    contents: [Vec<u8>; 2],
}

impl Edited {
    fn new(guest: Guest, component: &Path, folder: &Path) -> Result<Edited> {
        let (from, name) = match guest.script() {
            Some(script) => (script.clone(), script.file_name().context("a file")?.to_owned()),
            None => (component.to_owned(), "place.wasm".into()),
        };
        let one = fs::read(from)?;
        // The name of a member of every answer, so every row changes; of the same length, so a component stays one.
        let other = replaced(&one, b"stars", b"shine");
        anyhow::ensure!(one != other, "the node names what it answers");
        let path = folder.join(name);
        fs::write(&path, &one)?;
        Ok(Edited { guest, path, contents: [one, other] })
    }

    fn source(&self) -> NodeSource {
        let source = if self.guest.script().is_some() { NodeSource::Script } else { NodeSource::Component };
        source(self.path.clone())
    }

    /// Saves the file, as editors and compilers do it; when that began.
    fn save(&self, number: usize) -> Result<Instant> {
        let next = self.path.with_extension("new");
        let begin = Instant::now();
        fs::write(&next, &self.contents[number % 2])?;
        fs::rename(&next, &self.path)?;
        Ok(begin)
    }

    /// Until a client of a server has the patch.
    async fn live(&self, postgres: &PrivatePostgres) -> Result<Sample> {
        let url = World::Demo.create(postgres, self.guest.name()).await?;
        let map = json!({ "node": "place", "into": "shown", "args": { "hour": 12 } });
        let queries = json!({ "places": { "route": "/places", "from": "places", "steps": [{ "map": map }] } });
        let mut settings = config(&url, queries);
        let kind = if self.guest.script().is_some() { "script" } else { "component" };
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

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for at in 0..out.len().saturating_sub(from.len()) {
        if out[at..].starts_with(from) {
            out[at..at + to.len()].copy_from_slice(to);
        }
    }
    out
}
