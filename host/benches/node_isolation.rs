//! What a node that computes all the time does to a query that does not use it. See the README beside this file.

mod support;

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
use support::settings::blocks_or;
use support::side::{RATE, Side, THROUGH};
use support::statistics::median;
use support::world;

/// How long the node computes for a batch, all for one row of it.
const BURN: Duration = Duration::from_millis(500);

/// As much nicer than the server as threads for nodes are.
const NICENESS: i32 = 5;

/// Makes this program the busy loop.
const LOOP: &str = "SANGRE_BENCH_LOOP";

/// The one place that takes the node time. All are written to in turn, it too, several times while it takes that.
const PLACE: i32 = 7;

fn main() -> Result<()> {
    if std::env::var_os(LOOP).is_some() {
        busy_loop();
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

async fn run() -> Result<()> {
    let postgres = world::postgres()?;
    let mut report = Report::begin("node_isolation", &world::version(&postgres).await?);
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("burn.js");
    let turns = turns(&script).await?;
    std::fs::write(&script, source(turns))?;
    let node = json!({ "script": script, "deadline": "10s" });
    let calm = Side::start(&postgres, "calm", node.clone()).await?;
    let beside = Side::start(&postgres, "beside", node).await?;
    measure(calm, beside, &mut report).await?;
    report.end();
    Ok(())
}

/// `calm` has nobody who asks the node.
async fn measure(mut calm: Side, mut beside: Side, report: &mut Report) -> Result<()> {
    say(format_args!("{RATE} writes/s; the node takes {} ms for each batch", BURN.as_millis()));
    let (mut quiet, mut beside_loop, mut beside_node, mut ratios) = (vec![], vec![], vec![], vec![]);
    let burning = Burning::start(&beside.server.address).await?;
    let begin = burning.revisions();
    for block in 1..=blocks_or(5) {
        quiet.push(calm.block().await?.p99_ms());
        let other = Loop::start()?;
        let of_loop = calm.block().await?.p99_ms();
        drop(other);
        let of_node = beside.block().await?.p99_ms();
        say(format_args!("  block {block}: {of_loop:.2} ms beside a busy loop, {of_node:.2} ms beside the node"));
        beside_loop.push(of_loop);
        beside_node.push(of_node);
        ratios.push(of_node / of_loop);
    }
    let revisions = burning.revisions() - begin;
    ensure!(revisions > 0, "the node was never done");
    let blocks = ratios.len() as f64;
    let [quiet, beside_loop, beside_node] = [quiet, beside_loop, beside_node].map(median);
    say(format_args!(
        "  p99 of the query without the node: {quiet:.2} ms with nothing beside it, {beside_loop:.2} ms beside a busy loop, \
         {beside_node:.2} ms beside the node"
    ));
    report.goal("p99_ratio", "p99 beside the node to that beside the loop", median(ratios), 1.2, "");
    report.note("quiet_p99_ms", quiet);
    report.note("loop_p99_ms", beside_loop);
    report.note("node_p99_ms", beside_node);
    say(format_args!("  the node's own document: {:.1} revisions in a block", revisions as f64 / blocks));
    report.note("revisions_per_block", revisions as f64 / blocks);
    Ok(())
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
    fn start() -> Result<Loop> {
        Ok(Loop(Command::new(std::env::current_exe()?).env(LOOP, "1").spawn().context("a busy loop")?))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn busy_loop() -> ! {
    // SAFETY: they set and read numbers of this process.
    let parent = unsafe {
        libc::nice(NICENESS);
        libc::getppid()
    };
    loop {
        for turn in 0..50_000_000_u64 {
            std::hint::black_box(turn);
        }
        // SAFETY: it reads a number.
        if unsafe { libc::getppid() } != parent {
            std::process::exit(0);
        }
    }
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
async fn turns(script: &std::path::Path) -> Result<u64> {
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
