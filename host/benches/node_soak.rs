//! Whether memory grows while nodes are asked again and again. See the README beside this file.

mod support;

use anyhow::Result;
use sangre::wasm::HostSettings;
use support::guests::{Guest, Running, check};
use support::process::memory;
use support::report::{Report, say};
use support::settings::setting;

/// Rows of a batch.
const ROWS: usize = 10;

/// From which part of the batches on memory must not grow.
const BEGIN: usize = 5;

fn main() -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(run())
}

async fn run() -> Result<()> {
    let batches: usize = setting("SANGRE_BENCH_SOAK", 1_000_000).max(BEGIN);
    let mut report = Report::begin("node_soak", "not used");
    say(format_args!("{batches} batches of {ROWS} rows in each language"));
    report.note("batches", batches as f64);
    for (guest, _) in Guest::each(&mut report) {
        say(format_args!("\n{}", guest.name()));
        let running = Running::start(HostSettings::default(), guest.source()?).await?;
        let resident = || memory(std::process::id()).map(|memory| memory.resident);
        let mut begin = resident()?;
        for number in 1..=batches {
            // Rows nobody has seen, in half of the batches asked as the server asks a node that is known to be cheap.
            let calls = running.calls((number * ROWS) as i64, ROWS)?;
            if number % 2 == 0 || !running.ask_in_passing(&calls) {
                running.ask(&calls).await;
            }
            check(&calls)?;
            if number % (batches / BEGIN) == 0 {
                let now = resident()?;
                say(format_args!("  {number}: {now:.1} MiB"));
                if number == batches / BEGIN {
                    begin = now;
                }
            }
        }
        let grown = resident()? / begin;
        report.goal(&format!("{}_growth", guest.name()), "resident memory, to that after a fifth", grown, 1.05, "");
    }
    report.end();
    Ok(())
}
