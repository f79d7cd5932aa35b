//! What a node that computes all the time does to a query that does not use it. See the README beside this file.

mod support;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sangre::wasm::{HostSettings, NodeSource};
use serde_json::json;
use support::clients::{first, open};
use support::guests::Running;
use support::report::{Report, say};
use support::settings::{block_or, blocks_or};
use support::side::{Side, THROUGH};
use support::statistics::{Sample, median};
use support::{http, world};

/// Writes a second.
const RATE: f64 = 50.0;

/// How long a block usually lasts: with the blocks of a run it gives the 99th percentile some twenty writes that are slower.
const SECONDS: f64 = 10.0;

/// How long the node computes for a batch, all for one row of it.
const BURN: Duration = Duration::from_millis(500);

/// As much nicer than the server as threads for nodes are.
const NICENESS: i32 = 5;

/// Makes this program the busy loop: one that counts, or one that computes what this script does.
const LOOP: &str = "SANGRE_BENCH_LOOP";

/// Of the loop that counts.
const COUNTS: &str = "counts";

/// The one place that takes the node time. All are written to in turn, it too, several times while it takes that.
const PLACE: i32 = 7;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match std::env::var_os(LOOP) {
        None => runtime.block_on(run()),
        Some(what) if what == COUNTS => count(),
        Some(script) => runtime.block_on(compute(script.into())),
    }
}

async fn run() -> Result<()> {
    let postgres = world::postgres()?;
    let mut report = Report::begin("node_isolation", &world::version(&postgres).await?);
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("burn.js");
    let turns = turns(&script).await?;
    std::fs::write(&script, source(turns))?;
    let node = json!({ "script": script, "deadline": "10s" });
    let calm = Side::start(&postgres, "calm", node.clone(), RATE).await?;
    let beside = Side::start(&postgres, "beside", node, RATE).await?;
    measure(calm, beside, &script, &mut report).await?;
    report.end();
    Ok(())
}

/// `calm` has nobody who asks the node.
async fn measure(mut calm: Side, mut beside: Side, script: &Path, report: &mut Report) -> Result<()> {
    say(format_args!("{RATE} writes/s; the node takes {} ms for each batch", BURN.as_millis()));
    let (mut quiet, mut beside_count, mut beside_loop, mut beside_node) = (vec![], vec![], vec![], vec![]);
    let blocks = blocks_or(5);
    let burning = Burning::start(&beside.server.address).await?;
    let (begin, batches) = (burning.revisions(), asked(&beside).await?);
    for block in 1..=blocks {
        quiet.push(calm.block(block_or(SECONDS)).await?);
        let counting = Loop::start(COUNTS.as_ref())?;
        let of_count = calm.block(block_or(SECONDS)).await?;
        drop(counting);
        let computing = Loop::start(script.as_ref())?;
        let of_loop = calm.block(block_or(SECONDS)).await?;
        drop(computing);
        let of_node = beside.block(block_or(SECONDS)).await?;
        say(format_args!(
            "  block {block}: p99 {:.2} ms beside a loop that counts, {:.2} ms beside one that computes the same, {:.2} ms \
             beside the node",
            of_count.p99_ms(),
            of_loop.p99_ms(),
            of_node.p99_ms()
        ));
        beside_count.push(of_count);
        beside_loop.push(of_loop);
        beside_node.push(of_node);
    }
    let batches = asked(&beside).await? - batches;
    let revisions = burning.revisions() - begin;
    ensure!(revisions > 0, "the node was never done");
    let [quiet, beside_count, beside_loop, beside_node] =
        [quiet, beside_count, beside_loop, beside_node].map(Sample::all);
    let writes = quiet.len();
    let [quiet, beside_count, beside_loop, beside_node] =
        [quiet, beside_count, beside_loop, beside_node].map(|sample| sample.p99_ms());
    say(format_args!(
        "  p99 of {writes} writes to the query without the node: {quiet:.2} ms with nothing beside it, {beside_count:.2} ms \
         beside a loop that counts, {beside_loop:.2} ms beside one that computes the same, {beside_node:.2} ms beside the node"
    ));
    report.goal("p99_ratio", "p99 beside the node to that beside the same outside", beside_node / beside_loop, 1.2, "");
    report.note("p99_ratio_to_count", beside_node / beside_count);
    report.note("quiet_p99_ms", quiet);
    report.note("count_p99_ms", beside_count);
    report.note("loop_p99_ms", beside_loop);
    report.note("node_p99_ms", beside_node);
    say(format_args!("  the node's own document: {revisions} revisions while the node was asked {batches} times"));
    report.note("revisions_per_batch", revisions as f64 / batches as f64);
    Ok(())
}

/// How many batches the node was asked.
async fn asked(side: &Side) -> Result<u64> {
    let nodes = http::get(&side.server.admin, "/nodes", &[]).await?.json()?;
    nodes[0]["batches"].as_u64().with_context(|| format!("no batches in {nodes}"))
}

/// A client of the document that goes through the node.
struct Burning {
    revisions: Arc<AtomicUsize>,
    reading: tokio::task::JoinHandle<()>,
}

impl Burning {
    async fn start(address: &str) -> Result<Burning> {
        let mut socket = open(address, THROUGH).await?;
        first(&mut socket).await?;
        let revisions = Arc::<AtomicUsize>::default();
        let counted = revisions.clone();
        let reading = tokio::spawn(async move {
            while first(&mut socket).await.is_ok() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(Burning { revisions, reading })
    }

    /// How many patches came.
    fn revisions(&self) -> usize {
        self.revisions.load(Ordering::Relaxed)
    }
}

impl Drop for Burning {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// A process that computes all the time, as nice as threads for nodes are.
struct Loop(Child);

impl Loop {
    fn start(what: &OsStr) -> Result<Loop> {
        Ok(Loop(Command::new(std::env::current_exe()?).env(LOOP, what).spawn().context("a busy loop")?))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// The loop that counts.
fn count() -> Result<()> {
    let parent = parent();
    // SAFETY: it sets a number of this process.
    unsafe { libc::nice(NICENESS) };
    while parent == self::parent() {
        for turn in 0..50_000_000_u64 {
            std::hint::black_box(turn);
        }
    }
    Ok(())
}

/// The loop that computes what the node does, as the node does it: on a thread of a host, which is as nice.
async fn compute(script: PathBuf) -> Result<()> {
    let parent = parent();
    let running = Running::start(HostSettings::default(), NodeSource::Script(script)).await?;
    while parent == self::parent() {
        running.ask(&running.calls(i64::from(PLACE), 1)?).await;
    }
    Ok(())
}

/// Who started this. Another, once that has ended.
fn parent() -> libc::pid_t {
    // SAFETY: it reads a number of this process.
    unsafe { libc::getppid() }
}

/// The node: for one place it turns a loop this many times.
fn source(turns: u64) -> String {
    format!(
        "export function transform(place) {{
           let sum = 0;
           if (place.id === {PLACE}) for (let turn = 0; turn < {turns}; turn++) sum = (sum + turn) % 1000;
           return place.name + sum;
         }}"
    )
}

/// How many turns take as long as the node is to take, on this machine.
async fn turns(script: &Path) -> Result<u64> {
    const TRIED: u64 = 1_000_000;
    std::fs::write(script, source(TRIED))?;
    let running = Running::start(HostSettings::default(), NodeSource::Script(script.to_owned())).await?;
    let mut costs = Vec::new();
    for _ in 0..5 {
        let calls = running.calls(i64::from(PLACE), 1)?;
        let begin = support::process::process_cpu_time();
        running.ask(&calls).await;
        costs.push((support::process::process_cpu_time() - begin).as_secs_f64());
        anyhow::ensure!(calls[0].answer().is_some_and(Result::is_ok), "the node answers");
    }
    Ok((TRIED as f64 * BURN.as_secs_f64() / median(costs)) as u64)
}
