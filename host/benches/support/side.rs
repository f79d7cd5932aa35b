//! A server with a query that goes through a node and one that does not, writes that concern both, and a client of the second.
//!
//! A side has a database of its own: a document outlives its clients for a while, so one that shares rows with another side would be
//! computed while that one is measured.

use std::time::Duration;

use anyhow::Result;
use sangre::demo::private_postgres::PrivatePostgres;
use serde_json::{Value, json};

use super::clients::Clients;
use super::server::{Server, config};
use super::statistics::Sample;
use super::world::{self, Place, World};
use super::writer;

/// Before each block: what the block before left behind comes to its end.
const REST: Duration = Duration::from_secs(1);

/// The route of the query that goes through the node. It adds the answer as `shown`.
pub const THROUGH: &str = "/through";

/// See the module.
pub struct Side {
    pub server: Server,
    /// How many places there are.
    pub rows: usize,
    clients: Clients,
    url: String,
    places: Vec<Place>,
    next: u32,
    rate: f64,
}

impl Side {
    /// Makes a database of this name and starts a server; `node` is the node as a configuration has it. There are `rate` writes a second,
    /// to all places in turn: to each so seldom that no write follows another before its patch has left, which would leave only the later one.
    pub async fn start(postgres: &PrivatePostgres, name: &str, node: Value, rate: f64) -> Result<Side> {
        let url = World::Demo.create(postgres, name).await?;
        let map = json!({ "node": "guest", "into": "shown", "input": ["id", "name"] });
        let through = json!({ "route": THROUGH, "from": "places", "steps": [{ "map": map }] });
        let plain = json!({ "route": "/plain", "from": "places" });
        let mut settings = config(&url, json!({ "plain": plain, "through": through }));
        settings["nodes"] = json!({ "guest": node });
        let server = Server::start(&settings).await?;
        server.nodes_loaded().await?;
        let clients = Clients::connect(&server.address, |_| "/plain".into(), [1].into_iter(), true).await?;
        let rows = world::connect(&url).await?.query("SELECT id, name FROM places ORDER BY id", &[]).await?;
        let places: Vec<_> = rows.iter().map(|row| Place { id: row.get(0), name: row.get(1) }).collect();
        Ok(Side { server, rows: places.len(), clients, url, places, next: 1, rate })
    }

    /// How long a block of writes took to the client of the query without the node, after a rest.
    pub async fn block(&mut self, during: Duration) -> Result<Sample> {
        self.rest().await?;
        self.write(during).await
    }

    /// Writes for a while before it counts.
    pub async fn rest(&mut self) -> Result<()> {
        self.write(REST).await.map(drop)
    }

    /// How long so many writes took, without a rest.
    pub async fn write(&mut self, during: Duration) -> Result<Sample> {
        let writes = writer::write(&self.url, &self.places, self.rate, during, self.next).await?;
        self.next += writes.len() as u32;
        self.clients.latencies(World::Demo, &writes).await
    }
}
