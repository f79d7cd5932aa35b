//! What the host adds to a call of a node, beside wasmtime alone calling the same component. See the README beside this file.

mod support;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sangre::data::Value;
use sangre::wasm::HostSettings;
use serde::Deserialize;
use support::guests::{Guest, Running, batch, check};
use support::process::process_cpu_time;
use support::raw::{self, Code, Instance};
use support::report::{Report, say};
use support::settings::{blocks, setting};
use support::statistics::{Sample, median};

/// The work of the node, in the file that its component is built from.
#[path = "nodes/place/src/place.rs"]
mod place;

/// Rows of a large batch.
const MANY: usize = 1_000;

/// New instances that are measured.
const INSTANCES: usize = 201;

/// Large batches of a block.
fn batches() -> usize {
    setting("SANGRE_BENCH_BATCHES", 20).max(1)
}

/// Batches of one row of a block.
fn singles() -> usize {
    setting("SANGRE_BENCH_SINGLES", 2_000).max(1)
}

fn main() -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(run())
}

async fn run() -> Result<()> {
    let mut report = Report::begin("node_cost", "not used");
    say(format_args!("native Rust, the same work: {:.2} us a row", native(&mut report)?));
    for (guest, component) in Guest::each(&mut report) {
        say(format_args!("\n{}", guest.name()));
        let pair = Pair::start(guest, &component, &mut report).await?;
        pair.large(&mut report).await?;
        pair.small(&mut report).await?;
        pair.instances(&mut report).await?;
    }
    report.end();
    Ok(())
}

/// A host and its floor, both with the node loaded.
struct Pair {
    guest: Guest,
    running: Running,
    code: Code,
    /// As the floor, with the checks that a deadline takes.
    stoppable: Code,
    script: Option<(String, String)>,
}

impl Pair {
    async fn start(guest: Guest, component: &Path, report: &mut Report) -> Result<Pair> {
        let name = guest.name();
        let bytes = std::fs::read(component)?;
        // A cache of its own, so that everything has to be compiled; but not built.
        let folder = tempfile::tempdir()?;
        let cache = folder.path().join("cache");
        std::fs::create_dir_all(cache.join("runtimes"))?;
        for file in guest.reader()?.iter().map(|reader| &**reader).chain([component]) {
            std::fs::copy(file, cache.join("runtimes").join(file.file_name().context("a file")?))?;
        }
        let settings = HostSettings { cache, ..HostSettings::default() };
        let source = guest.source()?;
        let mut took = [0.0; 2];
        for took in &mut took {
            let begin = Instant::now();
            drop(Running::start(settings.clone(), source.clone()).await?);
            *took = begin.elapsed().as_secs_f64() * 1e3;
        }
        let [cold, cached] = took;
        say(format_args!(
            "  {:.2} MB; from the start of the host to a first version: {cold:.0} ms if it is compiled, {cached:.1} ms from the \
             cache, of which 10 ms are to see that the file stays as it is",
            bytes.len() as f64 / 1e6
        ));
        report.note(&format!("{name}_cold_ms"), cold);
        report.note(&format!("{name}_cached_ms"), cached);
        let script = guest.script().map(|path| {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path)?;
            let ready = guest.reader()?.map(|reader| raw::read(&std::fs::read(reader)?, &file, &text)).transpose()?;
            Ok::<_, anyhow::Error>((ready.unwrap_or(text), file))
        });
        let running = Running::start(settings, source).await?;
        let (code, stoppable) = (Code::compile(&bytes, false)?, Code::compile(&bytes, true)?);
        Ok(Pair { guest, running, code, stoppable, script: script.transpose()? })
    }

    fn floor(&self) -> Result<Instance> {
        self.start_of(&self.code)
    }

    fn start_of(&self, code: &Code) -> Result<Instance> {
        code.start(self.script.as_ref().map(|(source, name)| (source.as_str(), name.as_str())))
    }

    /// Batches of many rows: CPU time, since it is the same on a busy machine, and no part of a call waits for anything.
    async fn large(&self, report: &mut Report) -> Result<()> {
        let (mut floor, mut stoppable) = (self.floor()?, self.start_of(&self.stoppable)?);
        let mut costs = Vec::new();
        // The first block is not counted: the host learns what a row costs, caches and branch predictors warm up.
        for _ in 0..=blocks() {
            let (host, call) = self.host_block().await?;
            let values = self.values_block(&mut floor)?;
            costs.push([host, call, values, floor_block(&mut floor)?, floor_block(&mut stoppable)?]);
        }
        costs.remove(0);
        let of = |index: usize| median(costs.iter().map(|costs| costs[index]));
        let (host, call, values, floor, stoppable) = (of(0), of(1), of(2), of(3), of(4));
        say(format_args!(
            "  batches of {MANY}: {call:.2} us a row from text to text; floor {floor:.2} us, {stoppable:.2} us in code that a \
             deadline can stop"
        ));
        let ratio = |of: usize, to: usize| median(costs.iter().map(|costs| costs[of] / costs[to]));
        let name = self.guest.name();
        report.goal(&format!("{name}_large_ratio"), "text in, text out, to the floor", ratio(1, 3), 1.15, "");
        report.goal(&format!("{name}_large_stoppable_ratio"), "to that with a deadline", ratio(1, 4), 1.15, "");
        say(format_args!(
            "  from values to values, with threads and all: {host:.2} us a row, {:.2} x the floor's texts; writing rows and reading \
             answers alone takes {values:.2} us; no goal",
            host / floor
        ));
        report.note(&format!("{name}_large_values_us"), values);
        report.note(&format!("{name}_large_us"), host);
        report.note(&format!("{name}_large_call_us"), call);
        report.note(&format!("{name}_large_floor_us"), floor);
        report.note(&format!("{name}_large_stoppable_us"), stoppable);
        Ok(())
    }

    /// What everything takes, and the calls alone, from text to text.
    async fn host_block(&self) -> Result<(f64, f64)> {
        let mut used = Duration::ZERO;
        let mut asked = Vec::new();
        let before = self.running.usage.now().computed;
        for number in 0..batches() {
            let calls = self.running.calls((number * MANY) as i64, MANY)?;
            let begin = process_cpu_time();
            self.running.ask(&calls).await;
            used += process_cpu_time() - begin;
            check(&calls)?;
            // As documents do, this keeps rows longer than a batch: threads for nodes are not the ones to free them.
            asked.push(calls);
        }
        Ok((per_row(used), per_row(self.running.usage.now().computed - before)))
    }

    /// What it takes to write rows as text and to read answers, with nothing in between.
    fn values_block(&self, floor: &mut Instance) -> Result<f64> {
        let mut used = Duration::ZERO;
        for number in 0..batches() {
            let first = (number * MANY) as i64;
            let calls = self.running.calls(first, MANY)?;
            let answers = floor.ask(&batch(first, MANY))?;
            let begin = process_cpu_time();
            let mut text = String::new();
            calls.iter().for_each(|call| call.input.write_json(&mut text));
            let values = Value::parse_json(&answers)?;
            used += process_cpu_time() - begin;
            black_box((text, values));
        }
        Ok(per_row(used))
    }

    /// Batches of one row, as the host answers them on a thread for nodes and, of cheap nodes, in passing.
    async fn small(&self, report: &mut Report) -> Result<()> {
        let mut floor = self.floor()?;
        let mut costs = Vec::new();
        for _ in 0..=blocks() {
            costs.push((self.small_on_threads().await?, self.small_in_passing().await?, small_floor(&mut floor)?));
        }
        costs.remove(0);
        let floor = median(costs.iter().map(|costs| costs.2));
        let passing: Vec<f64> = costs.iter().filter_map(|costs| Some(costs.1? - costs.2)).collect();
        let threads = median(costs.iter().map(|costs| costs.0 - costs.2));
        let name = self.guest.name();
        say(format_args!("  batches of 1: floor {floor:.1} us"));
        report.note(&format!("{name}_small_floor_us"), floor);
        if passing.is_empty() {
            say("  never in passing: a row costs too much for that");
        } else {
            report.goal(
                &format!("{name}_passing_above_us"),
                "in passing, above the floor",
                median(passing),
                10.0,
                " us",
            );
        }
        say(format_args!("  by a thread for nodes, above the floor: {threads:.1} us, no goal: two threads are woken"));
        report.note(&format!("{name}_thread_above_us"), threads);
        Ok(())
    }

    async fn small_on_threads(&self) -> Result<f64> {
        let mut took = Vec::new();
        for number in 0..singles() {
            let calls = self.running.calls(number as i64, 1)?;
            let begin = Instant::now();
            self.running.ask(&calls).await;
            took.push(begin.elapsed());
            check(&calls)?;
        }
        Ok(microseconds(took))
    }

    /// `None`: hardly any were.
    async fn small_in_passing(&self) -> Result<Option<f64>> {
        let mut took = Vec::new();
        for number in 0..singles() {
            let calls = self.running.calls(number as i64, 1)?;
            let begin = Instant::now();
            if self.running.ask_in_passing(&calls) {
                took.push(begin.elapsed());
            } else {
                self.running.ask(&calls).await;
            }
            check(&calls)?;
        }
        Ok((took.len() >= singles() / 2).then(|| microseconds(took)))
    }

    /// New instances, their source loaded, one for each call.
    async fn instances(&self, report: &mut Report) -> Result<()> {
        let name = self.guest.name();
        let row = batch(1, 1);
        let running = Running::start_with(HostSettings::default(), self.guest.source()?, 1).await?;
        let (mut new, mut floor, mut first) = (Vec::new(), Vec::new(), Vec::new());
        // The one that the host was started with answers this.
        running.ask(&running.calls(-1, 1)?).await;
        for number in 0..INSTANCES {
            let before = running.usage.now();
            running.ask(&running.calls(number as i64, 1)?).await;
            let after = running.usage.now();
            ensure!(after.instances == before.instances + 1, "not a new instance");
            new.push(after.starting - before.starting);
            let begin = Instant::now();
            let mut instance = self.floor()?;
            floor.push(begin.elapsed());
            let begin = Instant::now();
            black_box(instance.ask(&row)?);
            first.push(begin.elapsed());
        }
        let (new, floor, first) = (microseconds(new), microseconds(floor), microseconds(first));
        say(format_args!("  a new instance of the floor: {floor:.1} us, and {first:.0} us for its first answer"));
        report.note(&format!("{name}_instance_floor_us"), floor);
        report.note(&format!("{name}_first_answer_floor_us"), first);
        if self.guest == Guest::Rust {
            report.goal("rust_instance_us", "a new instance in the host", new, 20.0, " us");
        } else {
            say(format_args!("  a new instance in the host, its source loaded: {new:.0} us, no goal"));
            report.note(&format!("{name}_instance_us"), new);
        }
        Ok(())
    }
}

fn floor_block(floor: &mut Instance) -> Result<f64> {
    let mut used = Duration::ZERO;
    for number in 0..batches() {
        let text = batch((number * MANY) as i64, MANY);
        let begin = process_cpu_time();
        black_box(floor.ask(&text)?);
        used += process_cpu_time() - begin;
    }
    Ok(per_row(used))
}

fn small_floor(floor: &mut Instance) -> Result<f64> {
    let mut took = Vec::new();
    for number in 0..singles() {
        let text = batch(number as i64, 1);
        let begin = Instant::now();
        black_box(floor.ask(&text)?);
        took.push(begin.elapsed());
    }
    Ok(microseconds(took))
}

/// Microseconds a row of the work without any sandbox: a batch read, its rows transformed, the answers written.
fn native(report: &mut Report) -> Result<f64> {
    #[derive(Deserialize)]
    struct Group {
        args: place::Args,
        rows: Vec<place::Place>,
    }
    let mut costs = Vec::new();
    for _ in 0..=blocks() {
        let mut used = Duration::ZERO;
        for number in 0..batches() {
            let text: Arc<str> = batch((number * MANY) as i64, MANY);
            let begin = process_cpu_time();
            let groups: Vec<Group> = serde_json::from_str(&text)?;
            let shown = |Group { args, rows }: Group| rows.into_iter().map(move |row| place::shown(row, &args));
            black_box(serde_json::to_string(&groups.into_iter().flat_map(shown).collect::<Vec<_>>())?);
            used += process_cpu_time() - begin;
        }
        costs.push(per_row(used));
    }
    let cost = median(costs);
    report.note("native_us", cost);
    Ok(cost)
}

fn per_row(used: Duration) -> f64 {
    used.as_secs_f64() * 1e6 / (batches() * MANY) as f64
}

/// The middle one.
fn microseconds(took: Vec<Duration>) -> f64 {
    Sample::new(took).p50_ms() * 1e3
}
