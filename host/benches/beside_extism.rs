//! A call of a node in Sangre beside the same work in an Extism plug-in, in alternating blocks. See the README beside this file.

mod support;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sangre::data::{MAX_DEPTH, Value};
use sangre::dataflow::guest::GuestCall;
use sangre::wasm::HostSettings;
use support::extism::{Extism, Limits};
use support::guests::{ARGS, Guest, Running, check};
use support::process::process_cpu_time;
use support::report::{Report, say};
use support::settings::{blocks, setting};
use support::statistics::{Sample, median};

/// Rows of a large batch.
const MANY: usize = 1_000;

/// New instances that are measured in a block.
const INSTANCES: usize = 101;

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
    let mut report = Report::begin("beside_extism", "not used");
    let mut pair = Pair::start(&mut report).await?;
    pair.compare_answers().await?;
    pair.large(&mut report).await?;
    pair.small(&mut report).await?;
    pair.instances(&mut report).await?;
    report.end();
    Ok(())
}

/// Both hosts, with the same node loaded.
struct Pair {
    running: Running,
    extism: Extism,
}

impl Pair {
    async fn start(report: &mut Report) -> Result<Pair> {
        let extism = Extism::start()?;
        let version = &extism.version;
        say(format_args!("Extism {version}; its limits, but where another is said: a timeout of 2 s, and 64 MiB"));
        report.note_text("extism", version);
        let running = Running::start(HostSettings::default(), Guest::Rust.source()?).await?;
        Ok(Pair { running, extism })
    }

    /// Both have to do the same.
    async fn compare_answers(&mut self) -> Result<()> {
        let calls = self.running.calls(0, MANY)?;
        self.running.ask(&calls).await;
        check(&calls)?;
        let ours: Vec<Value> = calls.iter().filter_map(|call| call.answer()?.as_ref().ok().cloned()).collect();
        let theirs = read(&self.extism.answers(0, MANY)?)?;
        ensure!(Value::array(ours).to_json() == Value::array(theirs).to_json(), "the answers differ");
        Ok(())
    }

    /// Batches of many rows, by the CPU time of all threads: no part of a call waits for anything.
    async fn large(&mut self, report: &mut Report) -> Result<()> {
        let answers = self.extism.answers(0, MANY)?;
        let mut costs = Vec::new();
        // The first block is not counted: caches and branch predictors warm up, and Sangre learns what a row costs.
        for _ in 0..=blocks() {
            let (sangre, call) = self.large_of_sangre().await?;
            let timed = self.extism.large(Limits::Timeout, batches(), MANY)?;
            let values = self.values(MANY, batches(), &answers)?;
            let free = self.extism.large(Limits::None, batches(), MANY)?;
            costs.push([sangre, call, timed, free, timed + values, free + values, values]);
        }
        costs.remove(0);
        let of = |index: usize| median(costs.iter().map(|costs| costs[index]));
        say(format_args!("\nbatches of {MANY}, CPU time"));
        say(format_args!(
            "  from text to text: Sangre {:.3} us a row, Extism {:.3}, {:.3} without limits",
            of(1),
            of(2),
            of(3)
        ));
        say(format_args!(
            "  from values to values: Sangre {:.3} us a row, Extism {:.3}, {:.3} without limits",
            of(0),
            of(4),
            of(5)
        ));
        say(format_args!(
            "  of Extism's, rows written and answers read by Sangre's reader and writer: {:.3} us",
            of(6)
        ));
        let ratio = |of: usize, to: usize| median(costs.iter().map(|costs| costs[of] / costs[to]));
        report.goal("large_ratio", "text in, text out, to Extism", ratio(1, 2), 1.0, "");
        report.goal("large_free_ratio", "text in, text out, to Extism without limits", ratio(1, 3), 1.0, "");
        report.goal("large_values_ratio", "values in, values out, to Extism", ratio(0, 4), 1.0, "");
        report.goal("large_values_free_ratio", "values in, values out, to Extism without limits", ratio(0, 5), 1.0, "");
        report.note("large_us", of(1));
        report.note("large_extism_us", of(2));
        report.note("large_extism_free_us", of(3));
        report.note("large_values_us", of(0));
        report.note("large_values_alone_us", of(6));
        Ok(())
    }

    /// What everything takes, and the calls alone, from text to text.
    async fn large_of_sangre(&self) -> Result<(f64, f64)> {
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
        let computed = self.running.usage.now().computed - before;
        let rows = (batches() * MANY) as f64;
        Ok((microseconds(used) / rows, microseconds(computed) / rows))
    }

    /// What it takes whoever asks Extism to write rows as text and to read answers: CPU time of a row in such batches.
    fn values(&self, rows: usize, batches: usize, answers: &str) -> Result<f64> {
        let args = Value::parse_json(ARGS)?;
        let mut used = Duration::ZERO;
        for number in 0..batches {
            let calls = self.running.calls((number * rows) as i64, rows)?;
            let begin = process_cpu_time();
            black_box(written(&args, &calls));
            black_box(read(answers)?);
            used += process_cpu_time() - begin;
        }
        Ok(microseconds(used) / (batches * rows) as f64)
    }

    /// Batches of one row. Sangre's writer asks a node that is known to be cheap on its own thread, as who uses Extism does.
    async fn small(&mut self, report: &mut Report) -> Result<()> {
        let answers = self.extism.answers(0, 1)?;
        let mut costs = Vec::new();
        for _ in 0..=blocks() {
            let sangre = self.small_of_sangre(true).await?;
            let timed = self.small_of_extism(Limits::Timeout)?;
            let values = self.values(1, singles(), &answers)?;
            let free = self.small_of_extism(Limits::None)?;
            costs.push((sangre, self.small_of_sangre(false).await?, values, timed, free));
        }
        costs.remove(0);
        let of = |cost: fn(&SmallBlock) -> f64| median(costs.iter().map(cost));
        let [passing, threads, values] = [of(|costs| costs.0.took), of(|costs| costs.1.took), of(|costs| costs.2)];
        let [timed, free] = [of(|costs| costs.3.took + costs.2), of(|costs| costs.4.took + costs.2)];
        let [used, extism_used] = [of(|costs| costs.0.used), of(|costs| costs.3.used + costs.2)];
        let share = of(|costs| costs.0.in_passing);
        say("\nbatches of 1, values in, values out");
        say(format_args!(
            "  Sangre {passing:.1} us, {:.1} % in passing; all by a thread for nodes, {threads:.1} us",
            share * 100.0
        ));
        say(format_args!(
            "  Extism {timed:.1} us, {free:.1} without limits; {values:.1} of it rows written and answers read"
        ));
        say(format_args!("  CPU time of all threads: Sangre {used:.1} us, Extism {extism_used:.1} us"));
        let ratios = of(|costs| costs.0.took / (costs.3.took + costs.2));
        report.goal("small_ratio", "to Extism", ratios, 1.0, "");
        let ratios = of(|costs| costs.0.took / (costs.4.took + costs.2));
        report.goal("small_free_ratio", "to Extism without limits", ratios, 1.0, "");
        let ratios = of(|costs| costs.0.used / (costs.3.used + costs.2));
        report.goal("small_cpu_ratio", "CPU time of all threads, to Extism's", ratios, 1.0, "");
        report.note("small_us", passing);
        report.note("small_passing_share", share);
        report.note("small_thread_us", threads);
        report.note("small_values_us", values);
        report.note("small_extism_us", timed);
        report.note("small_extism_free_us", free);
        report.note("small_cpu_us", used);
        report.note("small_extism_cpu_us", extism_used);
        Ok(())
    }

    /// `passing`: in passing where the host does that, else by a thread for nodes, as its writer does it.
    async fn small_of_sangre(&self, passing: bool) -> Result<Small> {
        let calls = (0..singles()).map(|number| self.running.calls(number as i64, 1)).collect::<Result<Vec<_>>>()?;
        let mut took = Vec::with_capacity(calls.len());
        let mut in_passing = 0;
        let begin = process_cpu_time();
        for calls in &calls {
            let begin = Instant::now();
            if passing && self.running.ask_in_passing(calls) {
                in_passing += 1;
            } else {
                self.running.ask(calls).await;
            }
            took.push(begin.elapsed());
        }
        let used = microseconds(process_cpu_time() - begin) / calls.len() as f64;
        calls.iter().try_for_each(|calls| check(calls))?;
        Ok(Small { took: middle(took), used, in_passing: f64::from(in_passing) / calls.len() as f64 })
    }

    fn small_of_extism(&mut self, limits: Limits) -> Result<Small> {
        let (took, used) = self.extism.small(limits, singles())?;
        Ok(Small { took, used, in_passing: 1.0 })
    }

    /// New instances of compiled code, each with one answer.
    async fn instances(&mut self, report: &mut Report) -> Result<()> {
        let fresh = Running::start_with(HostSettings::default(), Guest::Rust.source()?, 1).await?;
        // The instance that the host was started with answers this.
        fresh.ask(&fresh.calls(-1, 1)?).await;
        let mut costs = Vec::new();
        for _ in 0..=blocks() {
            let (whole, call) = instances_of_sangre(&fresh).await?;
            let timed = self.extism.instance(Limits::Timeout, INSTANCES)?;
            costs.push([whole, call, timed, self.extism.instance(Limits::None, INSTANCES)?]);
        }
        costs.remove(0);
        let of = |index: usize| median(costs.iter().map(|costs| costs[index]));
        say("\na new instance with its first answer");
        say(format_args!(
            "  from text to text: Sangre {:.1} us, Extism {:.1}, {:.1} without limits",
            of(1),
            of(2),
            of(3)
        ));
        say(format_args!(
            "  Sangre from values to values, by a thread for nodes: {:.1} us, no goal: two threads are woken",
            of(0)
        ));
        let ratio = |to: usize| median(costs.iter().map(|costs| costs[1] / costs[to]));
        report.goal("instance_ratio", "to Extism", ratio(2), 1.0, "");
        report.goal("instance_free_ratio", "to Extism without limits", ratio(3), 1.0, "");
        report.note("instance_us", of(1));
        report.note("instance_thread_us", of(0));
        report.note("instance_extism_us", of(2));
        report.note("instance_extism_free_us", of(3));
        Ok(())
    }
}

/// How long a call takes that needs a new instance: all of it, and from text to text.
async fn instances_of_sangre(fresh: &Running) -> Result<(f64, f64)> {
    let (mut whole, mut alone) = (Vec::new(), Vec::new());
    for number in 0..INSTANCES {
        let calls = fresh.calls(number as i64, 1)?;
        let before = fresh.usage.now();
        let begin = Instant::now();
        fresh.ask(&calls).await;
        whole.push(begin.elapsed());
        let after = fresh.usage.now();
        check(&calls)?;
        ensure!(after.instances == before.instances + 1, "not a new instance");
        alone.push(after.starting - before.starting + after.computed - before.computed);
    }
    Ok((middle(whole), middle(alone)))
}

/// Sangre as its writer asks, Sangre by threads; values written and read; Extism with a timeout, Extism without limits.
type SmallBlock = (Small, Small, f64, Small, Small);

/// What a call with one row costs.
#[derive(Clone, Copy)]
struct Small {
    /// The middle one of the times it took.
    took: f64,
    /// CPU time of all threads.
    used: f64,
    /// The share of calls that no other thread was woken for.
    in_passing: f64,
}

fn written(args: &Value, calls: &[Arc<GuestCall>]) -> String {
    let mut text = String::from(r#"[{"args":"#);
    args.write_json(&mut text);
    text.push_str(r#","rows":["#);
    for (index, call) in calls.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        call.input.write_json(&mut text);
    }
    text.push_str("]}]");
    text
}

fn read(answers: &str) -> Result<Vec<Value>> {
    Value::parse_json_array(answers, MAX_DEPTH + 1).context("Extism's answers")
}

/// The middle one.
fn middle(took: Vec<Duration>) -> f64 {
    Sample::new(took).p50_ms() * 1e3
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
