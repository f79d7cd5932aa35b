//! Databases that are set back: a revision of a history that is lost is never patched, whatever it looks like.

use anyhow::Result;
use serde_json::Value;

use crate::support::client::{Client, Transport, with_query};
use crate::support::document::{Document, lsn_of};
use crate::support::oracle::scalar;
use crate::support::postgres::{Cluster, Database};
use crate::support::server::{Server, config};
use crate::support::world::{self, queries};

/// So much log that positions of two histories overlap.
const MUCH: &str = "select pg_logical_emit_message(true, 'test', repeat('x', 300000))";

async fn run(database: &Database, sql: &str) -> Result<()> {
    Ok(database.connect().await?.batch_execute(sql).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_of_a_history_that_was_restored_away_is_never_patched() -> Result<()> {
    let cluster = Cluster::start(&[])?;
    let (database, sql) = world::create(&cluster).await?;
    drop(sql);
    cluster.down("fast")?;
    cluster.back_up()?;
    cluster.up()?;
    let mut server = Server::start(&config(&database.url, queries())).await?;
    let path = "/users/2";
    let mut lost = Document::default();
    let mut client = Client::web_socket(&server.address, path).await?;
    lost.apply(&client.patch().await?)?;
    run(&database, MUCH).await?;
    run(&database, "update users set name = 'Lost' where id = 2").await?;
    client.until(&mut lost, |value| value["name"] == "Lost").await?;
    server.running.kill().await?;

    // The same system, the same timeline: the folder was just put back.
    cluster.down("immediate")?;
    cluster.restore()?;
    cluster.up()?;
    server.restart().await?;
    let mut held = Document::default();
    let mut client = Client::web_socket(&server.address, path).await?;
    held.apply(&client.patch().await?)?;
    let revision = lost.revision.clone().unwrap_or_default();
    assert!(lsn_of(held.revision.as_deref().unwrap_or_default())? < lsn_of(&revision)?, "it was set back");
    run(&database, MUCH).await?;
    run(&database, MUCH).await?;
    run(&database, "update users set email = 'kept' where id = 2").await?;
    client.until(&mut held, |value| value["email"] == "kept").await?;
    assert!(lsn_of(held.revision.as_deref().unwrap_or_default())? > lsn_of(&revision)?);
    let by_get = server.get(&with_query(path, "revision", &revision)).await?.json()?;
    let by_socket = Client::open(&server.address, path, Transport::WebSocket, Some(&revision)).await?.patch().await?;
    for message in [by_get, by_socket] {
        assert_eq!(message["from"], Value::Null, "{message}");
        lost.apply(&message)?;
        assert_eq!(lost.value, held.value);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_timeline_is_known_by_where_it_began() -> Result<()> {
    let cluster = Cluster::start(&[])?;
    let (database, sql) = world::create(&cluster).await?;
    drop(sql);
    let mut server = Server::start(&config(&database.url, queries())).await?;
    server.running.line("timeline 1 since 0/0").await?;
    let mut client = Client::web_socket(&server.address, "/users/2").await?;
    let mut held = Document::default();
    held.apply(&client.patch().await?)?;
    cluster.down("fast")?;
    cluster.fork()?;
    cluster.up()?;
    // It takes connections before it takes writes; the server streams from a primary only.
    let streams = server.running.line("timeline 2 since ").await?;
    run(&database, "update users set name = 'Bobby' where id = 2").await?;
    client.until(&mut held, |value| value["name"] == "Bobby").await?;
    let history = "select split_part(pg_read_file('pg_wal/00000002.history'), chr(9), 2)";
    let began = scalar(&database.connect().await?, history).await?;
    assert!(streams.contains(&format!("timeline 2 since {began}")), "{streams}");
    Ok(())
}
