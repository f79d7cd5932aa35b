//! Where the time goes between a commit and its patches at the clients. See the README beside this file.

mod support;

use std::hint::black_box;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result};
use sangre::demo::Nodes;
use sangre::demo::private_postgres::PrivatePostgres;
use support::clients::Clients;
use support::report::{Report, say};
use support::server::Server;
use support::settings;
use support::statistics::Sample;
use support::trace::{self, Stage};
use support::world::{self, World};
use support::writer::{self, Write};

/// What makes the server tell: the usual log, and the spans of the stages.
const LOG: &str = "warn,sangre=info,sangre::stages=trace";

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

async fn run() -> Result<()> {
    let postgres = world::postgres()?;
    let mut report = Report::begin("stages", &world::version(&postgres).await?);
    let nodes = world::nodes().await?;
    say(world::describe(&nodes));
    let (clients, rate) = (settings::clients(), settings::rate());
    say(format_args!("{clients} clients, {rate} writes/s, six documents each"));

    let off = span_that_is_off();
    say(format_args!("  a span that is off: {off:.2} ns"));
    report.note("span_off_ns", off);
    let (untraced, ..) = load(&postgres, &nodes, "untraced", None).await?;
    say(format_args!("  without spans: p50 {:.3} ms, p99 {:.3} ms", untraced.p50_ms(), untraced.p99_ms()));
    let (whole, writes, log) = load(&postgres, &nodes, "traced", Some(LOG)).await?;
    let stages = trace::stages(&log, &scheduled(&writes)).context("the log of the spans")?;

    say(format_args!("\n  {:44} {:>9} {:>9} {:>9}", "stage", "p50 us", "p99 us", "count"));
    for Stage { key, what, took } in &stages {
        let (p50, p99) = (took.p50_ms() * 1e3, took.p99_ms() * 1e3);
        say(format_args!("  {what:44} {p50:9.1} {p99:9.1} {:9}", took.len()));
        report.note(&format!("{key}_p50_us"), p50);
        report.note(&format!("{key}_p99_us"), p99);
    }
    let (p50, p99) = (whole.p50_ms() * 1e3, whole.p99_ms() * 1e3);
    say(format_args!("  {:44} {p50:9.1} {p99:9.1} {:9}", "all, from sending the UPDATE to the client", whole.len()));
    report.note("all_p50_us", p50);
    report.note("all_p99_us", p99);
    report.note("untraced_p50_us", untraced.p50_ms() * 1e3);
    report.end();
    Ok(())
}

/// Nanoseconds of a span that nobody listens to, with the usual log on.
fn span_that_is_off() -> f64 {
    const SPANS: u32 = 10_000_000;
    let usual = tracing_subscriber::fmt().with_env_filter("warn,sangre=info").finish();
    tracing::subscriber::with_default(usual, || {
        let begin = Instant::now();
        for number in 0..SPANS {
            let _span = tracing::trace_span!(target: "sangre::stages", "off", number).entered();
            black_box(number);
        }
        begin.elapsed().as_secs_f64() * 1e9 / f64::from(SPANS)
    })
}

/// The load against a server with this log: latencies, the writes, and what the server logged.
async fn load(
    postgres: &PrivatePostgres,
    nodes: &Nodes,
    name: &str,
    log: Option<&str>,
) -> Result<(Sample, Vec<Write>, String)> {
    let world = World::Ring(settings::clients());
    let url = world.create(postgres, name).await?;
    let config = world::configuration(&url, nodes)?;
    let server = match log {
        Some(log) => Server::start_with(&config, &[("SANGRE_LOG", log)]).await?,
        None => Server::start(&config).await?,
    };
    server.nodes_loaded().await?;
    let path = |user| format!("/followeds/{user}");
    let mut clients = Clients::connect(&server.address, path, 1..=settings::clients(), true).await?;
    let writes = writer::write(&url, &world.places(&url).await?, settings::rate(), settings::load(), 1).await?;
    let sample = clients.latencies(world, &writes).await?;
    Ok((sample, writes, server.running.log()))
}

/// When writes were to be sent, by the clock of the day, in microseconds since midnight UTC.
fn scheduled(writes: &[Write]) -> Vec<f64> {
    let (now, clock) = (Instant::now(), SystemTime::now());
    let since = |write: &Write| clock.checked_sub(now - write.scheduled)?.duration_since(SystemTime::UNIX_EPOCH).ok();
    let day = |write: &Write| since(write).map_or(0.0, |since| since.as_secs_f64() * 1e6) % trace::DAY_US;
    writes.iter().map(day).collect()
}
