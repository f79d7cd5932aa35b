//! What nodes that misbehave do to a query that does not use them. See the README beside this file.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sangre::demo::private_postgres::PrivatePostgres;
use support::clients::{first, open};
use support::evil::{ALL, Evil, Source, forget, save};
use support::process::memory;
use support::report::{Report, say};
use support::settings::{block_or, blocks_or, setting};
use support::side::{Side, THROUGH};
use support::statistics::{Sample, median};
use support::{http, world};
use tokio::task::JoinSet;

/// What the p99 beside each is to be at most, to that of the same without the node.
const GOAL: f64 = 1.5;

/// How long after that file was saved all may be well.
const RECOVERY: Duration = Duration::from_secs(5);

/// How long it is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Writes a second.
const RATE: f64 = 50.0;

/// How long a block beside a guest usually lasts.
const SECONDS: f64 = 6.0;

/// How long one without lasts, of which there are as many as guests; and how many of them have the writes of a block beside one.
const WITHOUT: Duration = Duration::from_secs(1);
const AS_MANY: usize = SECONDS as usize;

/// How long an unusable file is there before the next.
const TURN: Duration = Duration::from_millis(500);

/// What came of a guest, in a block.
struct Outcome {
    beside: Sample,
    /// MiB that the server has grown by in the block, and by the time that all is well again.
    grown: f64,
    left: f64,
    recovered: Duration,
}

/// Servers beside which nothing misbehaves.
struct Well {
    /// Nobody asks the node.
    without: Side,
    /// Somebody does.
    harmless: Side,
    _client: JoinSet<()>,
    samples: [Vec<Sample>; 2],
}

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

async fn run() -> Result<()> {
    let postgres = world::postgres()?;
    let mut report = Report::begin("node_evil", &world::version(&postgres).await?);
    say(format_args!("{RATE} writes/s; a query without the node beside one with it\n"));
    let folder = tempfile::tempdir()?;
    let mut well = Well::start(&postgres, folder.path()).await?;
    let guests: Vec<&'static Evil> = asked().filter(|guest| is_there(guest, &mut report)).collect();
    let mut rounds: Vec<Vec<Outcome>> = guests.iter().map(|_| Vec::new()).collect();
    for round in 0..blocks_or(3) {
        for (guest, rounds) in guests.iter().zip(&mut rounds) {
            well.block().await?;
            let outcome = measure(&postgres, guest, round).await.context(guest.name)?;
            say(format_args!(
                "  {}: p99 {:.2} ms beside it; grew by {:.1} MiB; well again after {:.0} ms, {:.1} MiB left",
                guest.name,
                outcome.beside.p99_ms(),
                outcome.grown,
                outcome.recovered.as_secs_f64() * 1e3,
                outcome.left
            ));
            rounds.push(outcome);
        }
    }
    let without = well.tell(&mut report);
    for (guest, rounds) in guests.iter().zip(&rounds) {
        tell(guest, rounds, without, &mut report);
    }
    say("  answers in another order than the rows: nobody can notice, and they cost what others cost");
    report.end();
    Ok(())
}

/// Those that are asked for: all, if nothing is said.
fn asked() -> impl Iterator<Item = &'static Evil> {
    let asked: String = setting("SANGRE_BENCH_EVIL", String::new());
    ALL.iter().filter(move |guest| asked.is_empty() || asked.split(',').any(|name| name.trim() == guest.name))
}

/// Whether what the guest takes is at hand.
fn is_there(guest: &Evil, report: &mut Report) -> bool {
    let missing = guest.is_there().err();
    if let Some(error) = &missing {
        say(format_args!("  {}: not measured: {error:#}", guest.name));
        report.note_text(&format!("{}_missing", guest.name), "its tools");
    }
    missing.is_none()
}

impl Well {
    async fn start(postgres: &PrivatePostgres, folder: &Path) -> Result<Well> {
        let file = Source::Wat.file(folder);
        save(&file, Source::Wat.good()?)?;
        let without = Side::start(postgres, "without", Source::Wat.node(&file), RATE).await?;
        let harmless = Side::start(postgres, "harmless", Source::Wat.node(&file), RATE).await?;
        let client = follow(&harmless.server.address).await?;
        Ok(Well { without, harmless, _client: client, samples: Default::default() })
    }

    async fn block(&mut self) -> Result<()> {
        let [without, harmless] = &mut self.samples;
        without.push(self.without.block(WITHOUT).await?);
        harmless.push(self.harmless.write(WITHOUT).await?);
        Ok(())
    }

    /// The p99 without the node, in milliseconds: the median of those of as many writes as a block beside a guest has.
    fn tell(self, report: &mut Report) -> f64 {
        let writes: usize = self.samples[0].iter().map(Sample::len).sum();
        let [without, harmless] = self.samples.map(|samples| {
            let mut samples = samples.into_iter().peekable();
            let mut p99s = Vec::new();
            while samples.peek().is_some() {
                p99s.push(Sample::all(samples.by_ref().take(AS_MANY)).p99_ms());
            }
            median(p99s)
        });
        say(format_args!(
            "\n  {writes} writes, median of p99: {without:.2} ms without the node, {harmless:.2} ms ({:.2} x) beside one that is well",
            harmless / without
        ));
        report.note("without_p99_ms", without);
        report.note("harmless_p99_ratio", harmless / without);
        without
    }
}

fn tell(guest: &Evil, rounds: &[Outcome], without: f64, report: &mut Report) {
    let name = guest.name;
    let left = median(rounds.iter().map(|outcome| outcome.left));
    let recovered = rounds.iter().map(|outcome| outcome.recovered).max().unwrap_or_default();
    let p99_ms = median(rounds.iter().map(|outcome| outcome.beside.p99_ms()));
    report.note(&format!("{name}_p99_ms"), p99_ms);
    let mut goal = |figure: &str, what: &str, value: f64, goal: f64, unit: &str| {
        report.goal(&format!("{name}_{figure}"), &format!("{name}, {what}"), value, goal, unit);
    };
    goal("p99_ratio", "p99 to that without the node", p99_ms / without, GOAL, "");
    goal("left_mib", "memory left", left, guest.may_leave_mib(), " MiB");
    let (recovered_ms, recovery_ms) = (recovered.as_secs_f64() * 1e3, RECOVERY.as_secs_f64() * 1e3);
    goal("recovered_ms", "well again, the slowest", recovered_ms, recovery_ms, " ms");
}

/// A block beside this guest, in a server of its own; then its file is replaced by a good one.
async fn measure(postgres: &PrivatePostgres, guest: &'static Evil, round: usize) -> Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let file = guest.source.file(folder.path());
    guest.begin(&file)?;
    let mut side = Side::start(postgres, &format!("{}_{round}", guest.name), guest.source.node(&file), RATE).await?;
    let resident = |side: &Side| Ok::<_, anyhow::Error>(memory(side.server.running.id)?.resident);
    let _client = follow(&side.server.address).await?;
    // It has not misbehaved yet.
    let before = resident(&side)?;
    side.rest().await?;
    let (of_block, replaced) = tokio::join!(side.write(block_or(SECONDS)), replace(guest, &file, block_or(SECONDS)));
    let (of_block, ()) = (of_block?, replaced?);
    let grown = resident(&side)? - before;
    for said in guest.said {
        // What is compiled is compiled for seconds.
        side.server.running.line_within(said, PATIENCE).await?;
    }
    forget(&file)?;
    let good = guest.source.good()?;
    let begin = Instant::now();
    save(&file, good)?;
    recovered(&side).await?;
    Ok(Outcome { beside: of_block, grown, left: resident(&side)? - before, recovered: begin.elapsed() })
}

/// Puts its unusable files in the place of the guest's, if it has any.
async fn replace(guest: &'static Evil, file: &Path, during: Duration) -> Result<()> {
    let begin = Instant::now();
    for turn in 0.. {
        let next = TURN * turn;
        if next >= during {
            break;
        }
        tokio::time::sleep(next.saturating_sub(begin.elapsed())).await;
        let file = file.to_owned();
        // Where it holds up no client.
        tokio::task::spawn_blocking(move || guest.replace(&file, turn as usize)).await??;
    }
    Ok(())
}

/// Waits until the node runs, and the document that goes through it has a good answer in every row.
async fn recovered(side: &Side) -> Result<()> {
    let begin = Instant::now();
    loop {
        let answer = http::get(&side.server.address, THROUGH, &[]).await?;
        if answer.status == 200 {
            let rows = answer.json()?;
            let rows = rows.as_array().context("a list")?;
            let nodes = http::get(&side.server.admin, "/nodes", &[]).await?.json()?;
            let is_good = rows.len() == side.rows && rows.iter().all(|row| row["shown"] == "good");
            if is_good && nodes[0]["state"] == "running" {
                return Ok(());
            }
        }
        ensure!(begin.elapsed() < PATIENCE, "not well again: {}\n{}", answer.text(), side.server.running.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A client of the document that goes through the node, until it is dropped.
async fn follow(address: &str) -> Result<JoinSet<()>> {
    let mut socket = open(address, THROUGH).await?;
    first(&mut socket).await?;
    let mut reading = JoinSet::new();
    reading.spawn(async move { while first(&mut socket).await.is_ok() {} });
    Ok(reading)
}
