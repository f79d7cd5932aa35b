//! A private Postgres, and databases in it with the demo's tables and query.

use std::path::Path;

use anyhow::{Context, Result};
use sangre::demo::private_postgres::{Options, PrivatePostgres};
use sangre::demo::{self, Nodes, Rebuild};
use sangre::wasm::{HostSettings, Stop, runtime};
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

/// The demo's tables and its own small content.
const SCHEMA: &str = include_str!("../../src/demo/schema.sql");

/// How many users each user of a ring follows: as many documents does a place concern.
pub const FOLLOWS: u32 = 6;

/// How many places each user of a ring likes.
pub const PLACES: u32 = 5;

/// What is in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// The demo's own rows.
    Demo,
    /// That many users in a ring. Each follows the [`FOLLOWS`] after it and likes [`PLACES`] places that nobody else
    /// likes, so a write to a place touches the documents of the [`FOLLOWS`] users before its only friend.
    Ring(u32),
}

/// A private Postgres without fsync, and without what would disturb a measurement now and then.
pub fn postgres() -> Result<PrivatePostgres> {
    let settings = vec![("autovacuum", "off"), ("jit", "off"), ("max_connections", "200")];
    Ok(PrivatePostgres::start(&Options { settings, ..Options::default() })?)
}

/// A session; its connection runs beside it.
pub async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

pub async fn version(postgres: &PrivatePostgres) -> Result<String> {
    let row = connect(&postgres.url("postgres")).await?.query_one("SHOW server_version", &[]).await?;
    Ok(row.get(0))
}

impl World {
    /// Makes a database with this content. Its URL.
    pub async fn create(self, postgres: &PrivatePostgres, name: &str) -> Result<String> {
        connect(&postgres.url("postgres")).await?.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        let url = postgres.url(name);
        let client = connect(&url).await?;
        client.batch_execute(SCHEMA).await?;
        if let World::Ring(users) = self {
            let places = users * PLACES;
            let sql = format!(
                "TRUNCATE users, users_followeds, places, users_places;
                 INSERT INTO users SELECT u, 'User ' || u, 'u' || u || '@example.com' FROM generate_series(1, {users}) u;
                 INSERT INTO users_followeds SELECT u, (u + f - 1) % {users} + 1
                     FROM generate_series(1, {users}) u, generate_series(1, {FOLLOWS}) f;
                 INSERT INTO places SELECT p, 'Place ' || p, 3 + p % 3, 0, 24 FROM generate_series(1, {places}) p;
                 INSERT INTO users_places SELECT (p - 1) % {users} + 1, p FROM generate_series(1, {places}) p"
            );
            client.batch_execute(&sql).await?;
        }
        client.batch_execute("VACUUM ANALYZE").await?;
        Ok(url)
    }

    /// The users whose documents a write to this place touches. In the demo's own world only that of user 1 is followed.
    pub fn touched(self, place: u32) -> Vec<u32> {
        match self {
            World::Demo => vec![1],
            World::Ring(users) => {
                let friend = (place - 1) % users;
                (1..=FOLLOWS).map(|before| (friend + users - before) % users + 1).collect()
            }
        }
    }

    /// The places to be written in turn: those that documents of the world show.
    pub async fn places(self, url: &str) -> Result<Vec<Place>> {
        let shown = match self {
            // Of those that user 1 sees at the default hour, one that is in the document once.
            World::Demo => "SELECT id, name FROM places WHERE id = 7",
            // One that is not a multiple of anything: neighbours in time are not neighbours in the ring.
            World::Ring(_) => "SELECT id, name FROM places ORDER BY id * 7919 % 10007, id",
        };
        let rows = connect(url).await?.query(shown, &[]).await?;
        anyhow::ensure!(!rows.is_empty(), "there are places");
        Ok(rows.iter().map(|row| Place { id: row.get(0), name: row.get(1) }).collect())
    }
}

/// A place, as the world made it.
#[derive(Clone, Debug)]
pub struct Place {
    pub id: i32,
    pub name: String,
}

/// The demo's nodes, built if their tools are here; also what is missing.
pub async fn nodes() -> Result<Nodes> {
    let stop = Stop::default();
    let mut nodes = Nodes::default();
    let cache = HostSettings::default().cache;
    let building = stop.clone();
    match tokio::task::spawn_blocking(move || runtime::ensure(runtime::Language::JavaScript, &cache, &building)).await?
    {
        Ok(_) => {
            let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples/javascript/occupancy.js");
            nodes.occupancy = Some(example.canonicalize()?);
        }
        Err(error) => nodes.missing.push(format!("occupancy: {:#}", anyhow::Error::from(error))),
    }
    let dir = demo::open_at_crate().context("the examples are beside the sources")?;
    match Rebuild::start(dir, stop).first().await {
        Ok(component) => nodes.open_at = Some(component),
        Err(reason) => nodes.missing.push(format!("open-at: {reason}")),
    }
    Ok(nodes)
}

/// The configuration of a server for the demo's query.
pub fn configuration(url: &str, nodes: &Nodes) -> Result<Value> {
    let mut config: Value = serde_saphyr::from_str(&demo::configuration(url, 0, nodes))?;
    // All clients come from one address.
    config["limits"] = json!({ "connections_per_client": 10_000 });
    Ok(config)
}

/// Which nodes take part.
pub fn describe(nodes: &Nodes) -> String {
    match nodes.missing.as_slice() {
        [] => "the demo's nested query with both of its nodes".into(),
        missing => format!("the demo's nested query WITHOUT some of its nodes: {}", missing.join("; ")),
    }
}
