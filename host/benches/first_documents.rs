//! The first documents of 100 clients that connect at once. See the README beside this file.

mod support;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use support::clients::{first, open};
use support::report::{Report, say};
use support::server::Server;
use support::settings::blocks;
use support::statistics::{Sample, median};
use support::world::{self, FOLLOWS, World};
use tokio::task::JoinSet;
use tokio::time::timeout;

const CLIENTS: u32 = 100;

/// From one round's first user to that of the next: no round shares a row with another.
const APART: u32 = CLIENTS + FOLLOWS;

const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

async fn run() -> Result<()> {
    let postgres = world::postgres()?;
    let mut report = Report::begin("first_documents", &world::version(&postgres).await?);
    let nodes = world::nodes().await?;
    say(world::describe(&nodes));
    let rounds = blocks() as u32;
    let url = World::Ring((rounds + 1) * APART).create(&postgres, "first").await?;
    let server = Server::start(&world::configuration(&url, &nodes)?).await?;
    server.nodes_loaded().await?;

    let cold = round(&server.address, 0).await?;
    say(format_args!(
        "  first round, while the server opens its connections: {:.1} ms to the last, {:.1} ms to the median",
        cold.max_ms(),
        cold.p50_ms()
    ));
    let mut last = Vec::new();
    for number in 1..=rounds {
        let sample = round(&server.address, number).await?;
        say(format_args!(
            "  round {number}: {:.1} ms to the last, {:.1} ms to the median",
            sample.max_ms(),
            sample.p50_ms()
        ));
        last.push(sample.max_ms());
    }
    report.goal("last_ms", "to the last document, median of the rounds", median(last), 100.0, " ms");
    report.note("first_round_ms", cold.max_ms());
    report.end();
    Ok(())
}

/// Connects all clients at once, to documents that nobody has asked for. How long each waited for its own, the connection included.
async fn round(address: &str, number: u32) -> Result<Sample> {
    let begin = Instant::now();
    let mut waiting = JoinSet::new();
    for user in 1..=CLIENTS {
        let (address, path) = (address.to_owned(), format!("/followeds/{}", number * APART + user));
        waiting.spawn(async move {
            let mut socket = open(&address, &path).await?;
            let text = first(&mut socket).await?;
            anyhow::ensure!(text.contains("\"places\":[{"), "a document with places, not {text}");
            Ok((begin.elapsed(), socket))
        });
    }
    let (mut waited, mut sockets) = (Vec::new(), Vec::new());
    while let Some(document) = timeout(PATIENCE, waiting.join_next()).await.context("a document does not come")? {
        let (after, socket) = document??;
        waited.push(after);
        sockets.push(socket);
    }
    Ok(Sample::new(waited))
}
