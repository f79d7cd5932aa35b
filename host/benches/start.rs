//! How long the demo takes from its command to its URL, when it was started on this machine before. See the README beside this file.

mod support;

use std::time::{Duration, Instant};

use anyhow::Result;
use support::report::{Report, say};
use support::server::Running;
use support::settings::blocks;
use support::statistics::median;
use support::world;

/// The first start builds the nodes and the JavaScript runtime.
const FIRST: Duration = Duration::from_secs(900);

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

async fn run() -> Result<()> {
    let version = world::version(&world::postgres()?).await?;
    let mut report = Report::begin("start", &version);
    let first = start().await?;
    say(format_args!("  before, so that all is built: {first:.2} s"));
    let mut times = Vec::new();
    for number in 1..=blocks() {
        let seconds = start().await?;
        say(format_args!("  start {number}: {seconds:.2} s"));
        times.push(seconds);
    }
    report.goal("second_start_s", "from the command to the URL", median(times), 3.0, " s");
    report.end();
    Ok(())
}

/// Starts the demo and ends it when it has said where it is. The seconds until then.
async fn start() -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let begin = Instant::now();
    let mut demo = Running::start(&["demo", "--port", "0"], folder.path())?;
    demo.line_within("Open  http://", FIRST).await?;
    let seconds = begin.elapsed().as_secs_f64();
    demo.signal("INT").await?;
    anyhow::ensure!(demo.ended().await?.success(), "the demo ends well:\n{}", demo.log());
    Ok(seconds)
}
