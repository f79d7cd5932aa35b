//! From sending an UPDATE to the patch at the client, beside the least it can take. See the README beside this file.

mod support;

use std::time::Duration;

use anyhow::Result;
use sangre::demo::Nodes;
use sangre::demo::private_postgres::PrivatePostgres;
use support::clients::Clients;
use support::floor::{self, Floor};
use support::process::cpu_time;
use support::report::{Report, say};
use support::server::Server;
use support::settings;
use support::statistics::{Sample, median};
use support::world::{self, Place, World};
use support::writer;

/// Before the first block: connections, caches and branch predictors warm up on both sides.
const WARM_UP: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    if floor::is_floor()? {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Result<()> {
    let postgres = world::postgres()?;
    let mut report = Report::begin("latency", &world::version(&postgres).await?);
    let nodes = world::nodes().await?;
    say(world::describe(&nodes));
    report.note_text("nodes", if nodes.missing.is_empty() { "both" } else { "missing" });
    one_client(&postgres, &nodes, &mut report).await?;
    hundred_clients(&postgres, &nodes, &mut report).await?;
    many_clients(&postgres, &nodes, &mut report).await?;
    report.end();
    Ok(())
}

async fn one_client(postgres: &PrivatePostgres, nodes: &Nodes, report: &mut Report) -> Result<()> {
    say("\none client, 50 writes/s");
    let pair = Pair::start(postgres, nodes, "one", World::Demo, 1, 50.0).await?;
    let blocks = pair.blocks().await?;
    let above = median(blocks.iter().map(|(server, floor)| server - floor));
    report.goal("one_client_ratio", "p50 to that of the floor", ratio(&blocks), 1.5, "");
    report.goal("one_client_above_ms", "p50 above that of the floor", above, 0.5, " ms");
    note_both(report, "one_client", &blocks);
    Ok(())
}

async fn hundred_clients(postgres: &PrivatePostgres, nodes: &Nodes, report: &mut Report) -> Result<()> {
    say("\n100 clients, a parameter each, 20 writes/s, six documents each");
    let pair = Pair::start(postgres, nodes, "hundred", World::Ring(100), 100, 20.0).await?;
    let blocks = pair.blocks().await?;
    report.goal("hundred_clients_ratio", "p50 to that of the floor", ratio(&blocks), 2.0, "");
    note_both(report, "hundred_clients", &blocks);
    Ok(())
}

async fn many_clients(postgres: &PrivatePostgres, nodes: &Nodes, report: &mut Report) -> Result<()> {
    let (clients, rate) = (settings::clients(), settings::rate());
    say(format_args!("\n{clients} clients, a parameter each, {rate} writes/s, six documents each"));
    let world = World::Ring(clients);
    let mut pair = Pair::start(postgres, nodes, "many", world, clients, rate).await?;
    pair.server.write(WARM_UP).await?;
    let (server, busy) = pair.server.write_busy(settings::load()).await?;
    say(format_args!("  server: {}, {:.0} % of a core", describe(&server), busy * 100.0));
    pair.floor.write(WARM_UP).await?;
    let (floor, busy) = pair.floor.write_busy(settings::load().min(Duration::from_secs(10))).await?;
    say(format_args!("  floor:  {}, {:.0} % of a core", describe(&floor), busy * 100.0));
    report.goal("many_clients_p99_ms", "p99", server.p99_ms(), 50.0, " ms");
    report.note("many_clients_p50_ms", server.p50_ms());
    report.note("many_clients_floor_p50_ms", floor.p50_ms());
    report.note("many_clients_floor_p99_ms", floor.p99_ms());
    Ok(())
}

/// The median of the blocks' ratios.
fn ratio(blocks: &[(f64, f64)]) -> f64 {
    median(blocks.iter().map(|(server, floor)| server / floor))
}

fn note_both(report: &mut Report, name: &str, blocks: &[(f64, f64)]) {
    report.note(&format!("{name}_p50_ms"), median(blocks.iter().map(|(server, _)| *server)));
    report.note(&format!("{name}_floor_p50_ms"), median(blocks.iter().map(|(_, floor)| *floor)));
}

fn describe(sample: &Sample) -> String {
    let (p50, p99, max) = (sample.p50_ms(), sample.p99_ms(), sample.max_ms());
    format!("p50 {p50:.3} ms, p99 {p99:.3} ms, most {max:.3} ms of {} patches", sample.len())
}

/// A server and a floor, each with a database of its own in one cluster, both with the same content and the same clients.
struct Pair {
    server: Side,
    floor: Side,
    _running: Server,
    _floor: Floor,
}

/// One of the two, as far as blocks are concerned.
struct Side {
    process: u32,
    clients: Clients,
    url: String,
    world: World,
    places: Vec<Place>,
    rate: f64,
    next: u32,
}

impl Pair {
    async fn start(
        postgres: &PrivatePostgres,
        nodes: &Nodes,
        name: &str,
        world: World,
        clients: u32,
        rate: f64,
    ) -> Result<Pair> {
        let (url, floor_url) =
            (world.create(postgres, name).await?, world.create(postgres, &format!("{name}_floor")).await?);
        let running = Server::start(&world::configuration(&url, nodes)?).await?;
        running.nodes_loaded().await?;
        let floor = Floor::start(&floor_url, world).await?;
        let places = world.places(&url).await?;
        let side = |process, clients, url| Side { process, clients, url, world, places: places.clone(), rate, next: 1 };
        let of_server = Clients::connect(&running.address, |user| format!("/followeds/{user}"), 1..=clients, true);
        let of_floor = Clients::connect(&floor.address, |user| format!("/{user}"), 1..=clients, false);
        let server = side(running.running.id, of_server.await?, url);
        let below = side(floor.id(), of_floor.await?, floor_url);
        Ok(Pair { server, floor: below, _running: running, _floor: floor })
    }

    /// The p50 of server and floor, in milliseconds, in alternating blocks; which of the two begins alternates too.
    async fn blocks(mut self) -> Result<Vec<(f64, f64)>> {
        self.server.write(WARM_UP).await?;
        self.floor.write(WARM_UP).await?;
        let mut blocks = Vec::new();
        for block in 0..settings::blocks() {
            let (server, floor);
            if block % 2 == 0 {
                server = self.server.write(settings::block()).await?;
                floor = self.floor.write(settings::block()).await?;
            } else {
                floor = self.floor.write(settings::block()).await?;
                server = self.server.write(settings::block()).await?;
            }
            say(format_args!("  block {}: server {}; floor {}", block + 1, describe(&server), describe(&floor)));
            blocks.push((server.p50_ms(), floor.p50_ms()));
        }
        Ok(blocks)
    }
}

impl Side {
    async fn write(&mut self, during: Duration) -> Result<Sample> {
        let writes = writer::write(&self.url, &self.places, self.rate, during, self.next).await?;
        self.next += writes.len() as u32;
        self.clients.latencies(self.world, &writes).await
    }

    /// The same, and how much of a core the process used.
    async fn write_busy(&mut self, during: Duration) -> Result<(Sample, f64)> {
        let before = (std::time::Instant::now(), cpu_time(self.process));
        let sample = self.write(during).await?;
        let used = cpu_time(self.process).saturating_sub(before.1);
        Ok((sample, used.as_secs_f64() / before.0.elapsed().as_secs_f64()))
    }
}
