//! Memory of the server process, idle and under load. See the README beside this file.

mod support;

use std::time::Duration;

use anyhow::Result;
use sangre::demo::Nodes;
use sangre::demo::private_postgres::PrivatePostgres;
use support::clients::Clients;
use support::process::{Memory, memory, socket_memory};
use support::report::{Report, say};
use support::server::Server;
use support::settings;
use support::world::{self, World};
use support::writer;

/// How long a server is left alone before it counts as idle.
const REST: Duration = Duration::from_secs(3);

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

async fn run() -> Result<()> {
    let postgres = world::postgres()?;
    let mut report = Report::begin("memory", &world::version(&postgres).await?);
    let nodes = world::nodes().await?;
    say(world::describe(&nodes));

    let bare = idle(&postgres, "bare", &Nodes::default()).await?;
    report.note("idle_without_nodes_mib", bare.resident);
    say(format_args!("  idle, the demo's query without nodes: {}", describe(bare)));
    let with_nodes = idle(&postgres, "nodes", &nodes).await?;
    say(format_args!("  idle, with its nodes: {}", describe(with_nodes)));
    report.goal("idle_mib", "idle", with_nodes.resident, 30.0, " MiB");

    loaded(&postgres, &nodes, &mut report).await?;
    report.end();
    Ok(())
}

fn describe(memory: Memory) -> String {
    let Memory { resident, proportional, peak } = memory;
    format!("{resident:.1} MiB resident, {proportional:.1} MiB proportional, {peak:.1} MiB at its peak")
}

async fn idle(postgres: &PrivatePostgres, name: &str, nodes: &Nodes) -> Result<Memory> {
    let url = World::Demo.create(postgres, name).await?;
    let server = Server::start(&world::configuration(&url, nodes)?).await?;
    server.nodes_loaded().await?;
    // What is measured is a length of time without events.
    tokio::time::sleep(REST).await;
    memory(server.running.id)
}

async fn loaded(postgres: &PrivatePostgres, nodes: &Nodes, report: &mut Report) -> Result<()> {
    let (count, rate) = (settings::clients(), settings::rate());
    let world = World::Ring(count);
    let url = world.create(postgres, "loaded").await?;
    let server = Server::start(&world::configuration(&url, nodes)?).await?;
    server.nodes_loaded().await?;
    let kernel = socket_memory();
    let mut clients = Clients::connect(&server.address, |user| format!("/followeds/{user}"), 1..=count, true).await?;
    say(format_args!("  {count} clients connected: {}", describe(memory(server.running.id)?)));

    let (id, places) = (server.running.id, world.places(&url).await?);
    let mut most = (Memory::default(), 0f64);
    let writes = {
        let mut writing = std::pin::pin!(writer::write(&url, &places, rate, settings::load(), 1));
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        loop {
            tokio::select! {
                writes = &mut writing => break writes?,
                _ = tick.tick() => {
                    let now = memory(id)?;
                    if now.resident > most.0.resident {
                        most.0 = now;
                    }
                    most.1 = most.1.max(socket_memory() - kernel);
                }
            }
        }
    };
    let sample = clients.latencies(world, &writes).await?;
    let (memory, sockets) = most;
    say(format_args!(
        "  {count} clients, {rate} writes/s, p50 {:.2} ms: {}; buffers of all sockets of this machine grew by {sockets:.1} MiB",
        sample.p50_ms(),
        describe(memory)
    ));
    report.goal("loaded_mib", "under load, with those buffers", memory.resident + sockets, 64.0, " MiB");
    report.note("loaded_resident_mib", memory.resident);
    report.note("loaded_peak_mib", memory.peak);
    report.note("loaded_sockets_mib", sockets);
    Ok(())
}
