//! What a node that computes all the time does to a query that does not use it. See the README beside this file.

mod support;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sangre::wasm::{HostSettings, NodeSource};
use serde_json::json;
use support::clients::{first, open};
use support::guests::Running;
use support::process::{Share, share};
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
    // So long that all that waits is one batch, however dear the one before was: a batch is to take a quarter of it.
    let node = json!({ "script": script, "deadline": "60s" });
    let calm = Side::start(&postgres, "calm", node.clone(), RATE).await?;
    let beside = Side::start(&postgres, "beside", node, RATE).await?;
    measure(calm, beside, &script, &mut report).await?;
    report.end();
    Ok(())
}

/// What is beside the query without the node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// A process that counts.
    Counting,
    /// A process that computes what the node does.
    Outside,
    Node,
}

impl Beside {
    const ALL: [Beside; 4] = [Beside::Nothing, Beside::Counting, Beside::Outside, Beside::Node];

    fn name(self) -> &'static str {
        match self {
            Beside::Nothing => "nothing",
            Beside::Counting => "a loop that counts",
            Beside::Outside => "the same computed outside",
            Beside::Node => "the node",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Beside::Nothing => "quiet",
            Beside::Counting => "count",
            Beside::Outside => "loop",
            Beside::Node => "node",
        }
    }

    /// The process that computes, while it is there.
    fn start(self, script: &Path) -> Result<Option<Loop>> {
        Ok(match self {
            Beside::Nothing | Beside::Node => None,
            Beside::Counting => Some(Loop::start(COUNTS.as_ref())?),
            Beside::Outside => Some(Loop::start(script.as_ref())?),
        })
    }
}

/// What blocks with the same beside them came to.
#[derive(Default)]
struct Blocks {
    samples: Vec<Sample>,
    during: Duration,
    /// Of the server's threads but for those of nodes.
    serving: Share,
}

impl Blocks {
    async fn measure(&mut self, side: &mut Side) -> Result<f64> {
        let serving = |side: &Side| share(side.server.running.id, |name| !name.starts_with("node-"));
        let (begin, before) = (Instant::now(), serving(side));
        let sample = side.block(block_or(SECONDS)).await?;
        let after = serving(side);
        self.during += begin.elapsed();
        self.serving.computed += after.computed.saturating_sub(before.computed);
        self.serving.waited += after.waited.saturating_sub(before.waited);
        let p99_ms = sample.p99_ms();
        self.samples.push(sample);
        Ok(p99_ms)
    }

    /// Prints what they came to; the p99, in milliseconds.
    fn tell(self, beside: Beside, report: &mut Report) -> f64 {
        let sample = Sample::all(self.samples);
        let a_second = |of: Duration| of.as_secs_f64() * 1e3 / self.during.as_secs_f64();
        let (computed, waited) = (a_second(self.serving.computed), a_second(self.serving.waited));
        let p99_ms = sample.p99_ms();
        say(format_args!(
            "  beside {}: p99 {p99_ms:.2} ms of {} writes, p50 {:.2} ms; the server itself computed {computed:.1} ms a second and waited \
             {waited:.1} ms for a processor",
            beside.name(),
            sample.len(),
            sample.p50_ms()
        ));
        report.note(&format!("{}_p99_ms", beside.key()), p99_ms);
        report.note(&format!("{}_waited_ms", beside.key()), waited);
        p99_ms
    }
}

/// `calm` has nobody who asks the node.
async fn measure(mut calm: Side, mut beside: Side, script: &Path, report: &mut Report) -> Result<()> {
    say(format_args!("{RATE} writes/s; the node takes {} ms for each batch", BURN.as_millis()));
    let mut all: [Blocks; 4] = Default::default();
    let burning = Burning::start(&beside.server.address).await?;
    let (begin, batches) = (burning.revisions(), asked(&beside).await?);
    for block in 1..=blocks_or(5) {
        for (of, blocks) in Beside::ALL.into_iter().zip(&mut all) {
            let _computing = of.start(script)?;
            let side = if of == Beside::Node { &mut beside } else { &mut calm };
            let p99_ms = blocks.measure(side).await?;
            say(format_args!("  block {block} beside {}: p99 {p99_ms:.2} ms", of.name()));
        }
    }
    let batches = asked(&beside).await? - batches;
    let revisions = burning.revisions() - begin;
    ensure!(revisions > 0, "the node was never done");
    let mut all = Beside::ALL.into_iter().zip(all);
    let [_quiet, count, outside, node] = std::array::from_fn(|_| {
        let (of, blocks) = all.next().expect("there are four");
        blocks.tell(of, report)
    });
    report.goal("p99_ratio_to_count", "p99 beside the node to that beside a loop that counts", node / count, 1.2, "");
    report.goal("p99_ratio", "p99 beside the node to that beside the same computed outside", node / outside, 1.2, "");
    say(format_args!("  the node's own document: {revisions} revisions while the node was asked {batches} times"));
    let each = revisions as f64 / batches as f64;
    report.goal_at_least("revisions_per_batch", "revisions of its own document for each batch", each, 0.95);
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
