//! What nodes that misbehave do to a query that does not use them. See the README beside this file.

mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sangre::demo::private_postgres::PrivatePostgres;
use serde_json::{Value, json};
use support::clients::{first, open};
use support::guests::Guest;
use support::process::memory;
use support::report::{Report, say};
use support::settings::blocks_or;
use support::side::{RATE, Side, THROUGH};
use support::statistics::{Sample, median};
use support::{http, world};

/// What the ratio of each is to be at most.
const GOAL: f64 = 1.5;

/// How long a document may take to be well again.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a guest is written.
#[derive(Clone, Copy)]
enum Source {
    JavaScript,
    Python,
    Wat,
}

/// A guest that misbehaves in this way on every other write, and answers "good" else.
struct Evil {
    name: &'static str,
    source: Source,
    body: &'static str,
}

const fn evil(name: &'static str, source: Source, body: &'static str) -> Evil {
    Evil { name, source, body }
}

const EVIL: [Evil; 7] = [
    evil("endless_loop", Source::JavaScript, "for (;;);"),
    evil("recursion", Source::Wat, "(call $deep)"),
    evil("memory", Source::JavaScript, "for (const all = []; ; ) all.push(new Array(1 << 16).fill(all.length));"),
    evil("huge_answer", Source::Wat, "(local.set $length (i32.const 1000000000))"),
    evil("log_flood", Source::JavaScript, "for (;;) console.log('flood');"),
    evil("stdout_flood", Source::Python, "while True: print('flood' * 100)"),
    evil("wrong_number", Source::Wat, "(local.set $text (i32.const 80)) (local.set $length (i32.const 5))"),
];

impl Source {
    /// The node's file, which does this on every other write.
    fn content(self, body: &str) -> Result<Vec<u8>> {
        Ok(match self {
            Source::JavaScript => format!(
                "export function transform(place) {{
                   if (parseInt(place.name.split('#')[1]) % 2 === 1) {{ {body} }}
                   return 'good';
                 }}"
            )
            .into_bytes(),
            Source::Python => format!(
                "def transform(place, args):\n    \
                     if '#' in place['name'] and int(place['name'].split('#')[1].rstrip(';')) % 2 == 1:\n        \
                         {body}\n    \
                     return 'good'\n"
            )
            .into_bytes(),
            Source::Wat => wat::parse_str(include_str!("nodes/evil.wat").replace("EVIL", body))?,
        })
    }

    /// One that is well.
    fn good(self) -> Result<Vec<u8>> {
        self.content(if matches!(self, Source::Python) { "pass" } else { "" })
    }

    fn file(self, folder: &Path) -> PathBuf {
        folder.join(match self {
            Source::JavaScript => "guest.js",
            Source::Python => "guest.py",
            Source::Wat => "guest.wasm",
        })
    }

    fn node(self, file: &Path) -> Value {
        json!({ if matches!(self, Source::Wat) { "component" } else { "script" }: file })
    }
}

/// What came of a guest, in a block.
struct Outcome {
    beside: Sample,
    /// MiB that the server has grown by in the block, and by the time that the document is well again.
    grown: f64,
    left: f64,
    recovered: Duration,
}

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

async fn run() -> Result<()> {
    let postgres = world::postgres()?;
    let mut report = Report::begin("node_evil", &world::version(&postgres).await?);
    say(format_args!(
        "{RATE} writes/s, every other of which makes the node misbehave; a query without the node beside it"
    ));
    let folder = tempfile::tempdir()?;
    let file = Source::JavaScript.file(folder.path());
    std::fs::write(&file, Source::JavaScript.good()?)?;
    let mut harmless = Side::start(&postgres, "harmless", Source::JavaScript.node(&file)).await?;
    let _client = follow(&harmless.server.address).await?;
    let guests: Vec<&Evil> = EVIL.iter().filter(|guest| is_there(guest, &mut report)).collect();
    let mut rounds: Vec<Vec<Outcome>> = guests.iter().map(|_| Vec::new()).collect();
    let mut well = Vec::new();
    for round in 0..blocks_or(4) {
        for (guest, rounds) in guests.iter().zip(&mut rounds) {
            let beside = harmless.block().await?;
            let outcome = measure(&postgres, guest, round).await.context(guest.name)?;
            say(format_args!(
                "  {}: p99 {:.2} ms beside it, {:.2} ms beside a harmless one; grew by {:.1} MiB; well again after {:.0} ms, \
                 {:.1} MiB left",
                guest.name,
                outcome.beside.p99_ms(),
                beside.p99_ms(),
                outcome.grown,
                outcome.recovered.as_secs_f64() * 1e3,
                outcome.left
            ));
            well.push(beside);
            rounds.push(outcome);
        }
    }
    let well = Sample::all(well);
    say(format_args!("\n  beside a harmless node: p99 {:.2} ms of all {} writes", well.p99_ms(), well.len()));
    report.note("harmless_p99_ms", well.p99_ms());
    for (guest, rounds) in guests.iter().zip(rounds) {
        let of = |figure: fn(&Outcome) -> f64| median(rounds.iter().map(figure));
        let (left, recovered) = (of(|outcome| outcome.left), of(|outcome| outcome.recovered.as_secs_f64() * 1e3));
        report.note(&format!("{}_left_mib", guest.name), left);
        report.note(&format!("{}_recovered_ms", guest.name), recovered);
        let p99_ms = Sample::all(rounds.into_iter().map(|outcome| outcome.beside)).p99_ms();
        report.note(&format!("{}_p99_ms", guest.name), p99_ms);
        let (key, what) =
            (format!("{}_p99_ratio", guest.name), format!("{}, p99 to that beside a harmless node", guest.name));
        report.goal(&key, &what, p99_ms / well.p99_ms(), GOAL, "");
    }
    report.end();
    Ok(())
}

/// Whether the guest's language is at hand.
fn is_there(guest: &Evil, report: &mut Report) -> bool {
    let missing = match guest.source {
        Source::JavaScript => Guest::JavaScript.component().err(),
        Source::Python => Guest::Python.component().err(),
        Source::Wat => None,
    };
    if let Some(error) = &missing {
        say(format_args!("  {}: not measured: {error:#}", guest.name));
        report.note_text(&format!("{}_missing", guest.name), "its tools");
    }
    missing.is_none()
}

/// A block beside this guest, in a server of its own; then its file is replaced by a good one.
async fn measure(postgres: &PrivatePostgres, guest: &Evil, round: usize) -> Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let file = guest.source.file(folder.path());
    std::fs::write(&file, guest.source.content(guest.body)?)?;
    let mut side = Side::start(postgres, &format!("{}_{round}", guest.name), guest.source.node(&file)).await?;
    let resident = |side: &Side| Ok::<_, anyhow::Error>(memory(side.server.running.id)?.resident);
    let _client = follow(&side.server.address).await?;
    side.rest().await?;
    let before = resident(&side)?;
    let of_block = side.block_at_once().await?;
    let grown = resident(&side)? - before;
    ensure!(side.server.running.log().contains(") failed "), "it misbehaves, and the log says so");
    let begin = Instant::now();
    let next = file.with_extension("new");
    std::fs::write(&next, guest.source.good()?)?;
    std::fs::rename(&next, &file)?;
    recovered(&side).await?;
    Ok(Outcome { beside: of_block, grown, left: resident(&side)? - before, recovered: begin.elapsed() })
}

/// Waits until the document that goes through the node has a good answer in every row.
async fn recovered(side: &Side) -> Result<()> {
    let begin = Instant::now();
    loop {
        let answer = http::get(&side.server.address, THROUGH, &[]).await?;
        if answer.status == 200 {
            let rows = answer.json()?;
            let rows = rows.as_array().context("a list")?;
            if rows.len() == side.rows && rows.iter().all(|row| row["shown"] == "good") {
                return Ok(());
            }
        }
        ensure!(begin.elapsed() < PATIENCE, "not well again: {}\n{}", answer.text(), side.server.running.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A client of the document that goes through the node, until it is dropped.
async fn follow(address: &str) -> Result<tokio::task::JoinSet<()>> {
    let mut socket = open(address, THROUGH).await?;
    first(&mut socket).await?;
    let mut reading = tokio::task::JoinSet::new();
    reading.spawn(async move { while first(&mut socket).await.is_ok() {} });
    Ok(reading)
}
