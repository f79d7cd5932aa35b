//! Postgres goes away and comes back: at start, under load, or only its walsender.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::client::{Client, Said};
use crate::support::document::Document;
use crate::support::http;
use crate::support::oracle::scalar;
use crate::support::postgres::Cluster;
use crate::support::server::{Server, config};
use crate::support::world::{self, World, queries};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_before_its_database() -> Result<()> {
    let cluster = Cluster::start(&[])?;
    let (database, sql) = world::create(&cluster).await?;
    drop(sql);
    cluster.down("fast")?;

    let server = Server::listening(&config(&database.url, queries())).await?;
    assert_eq!(http::get(&server.admin, "/healthz", &[]).await?.status, 200);
    let ready = http::get(&server.admin, "/readyz", &[]).await?;
    assert_eq!(ready.status, 503);
    assert!(!ready.json()?["reasons"].as_array().expect("reasons").is_empty());
    let answer = server.get("/users/1").await?;
    assert_eq!(answer.status, 503);
    assert!(["database_unreachable", "starting"].contains(&answer.code().as_str()), "{}", answer.text());
    assert_eq!(answer.json()?["error"]["retry"], json!(true));
    // What the configuration does not have is known without a database.
    let unknown = server.get("/nowhere").await?;
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "unknown_route"));
    let (error, code) = Client::web_socket(&server.address, "/users/1").await?.refusal().await?;
    assert_eq!(code, Some(4503), "{error}");

    cluster.up()?;
    server.ready().await?;
    let mut client = Client::web_socket(&server.address, "/users/1").await?;
    let mut held = Document::default();
    held.apply(&client.patch().await?)?;
    assert_eq!(held.value["name"], "Ada");
    database.connect().await?.batch_execute("update users set name = 'Ada L.' where id = 1").await?;
    client.until(&mut held, |value| value["name"] == "Ada L.").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_starting_up_is_waited_for() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("postgres://somebody@{}/app?sslmode=disable", listener.local_addr()?);
    let server = Server::listening(&config(&url, queries())).await?;
    // What Postgres says before it has recovered: to the first attempt, and to the next.
    for _ in 0..2 {
        let (mut client, _) = tokio::time::timeout(http::PATIENCE, listener.accept()).await??;
        let mut startup = [0; 8];
        client.read_exact(&mut startup).await?;
        let fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
        let mut message = vec![b'E'];
        message.extend((fields.len() as u32 + 4).to_be_bytes());
        message.extend(fields);
        client.write_all(&message).await?;
        client.shutdown().await?;
    }
    assert_eq!(http::get(&server.admin, "/healthz", &[]).await?.status, 200);
    let answer = server.get("/users/1").await?;
    assert_eq!((answer.status, answer.code().as_str()), (503, "database_unreachable"), "{}", answer.text());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_postgres_is_a_pause() -> Result<()> {
    let cluster = Cluster::start(&[])?;
    let (database, sql) = world::create(&cluster).await?;
    let server = Server::start(&config(&database.url, queries())).await?;
    let mut client = Client::web_socket(&server.address, "/followeds/1").await?;
    let mut held = Document::default();
    held.apply(&client.patch().await?)?;
    for mode in ["fast", "immediate"] {
        sql_run(&database, &format!("update users set name = 'before {mode}' where id = 2")).await?;
        client.until(&mut held, |value| value.to_string().contains(&format!("before {mode}"))).await?;
        cluster.down(mode)?;
        // What the client holds stays valid; that it is stale is told.
        let stale = async {
            loop {
                match client.next().await? {
                    Said::Status(status) if status["state"] == "stale" => return anyhow::Ok(()),
                    Said::Status(_) => {}
                    other => anyhow::bail!("a status was expected, not {other:?}"),
                }
            }
        };
        tokio::time::timeout(http::PATIENCE, stale).await??;
        let kept = server.get("/followeds/1").await?;
        assert!(kept.status == 503 || kept.header("sangre-status").starts_with("stale"), "{kept:?}");
        cluster.up()?;
        // Committed before the server is back on its feet.
        sql_run(&database, &format!("update users set name = 'after {mode}' where id = 2")).await?;
        client.until(&mut held, |value| value.to_string().contains(&format!("after {mode}"))).await?;
    }
    let log = server.running.log();
    // What is told of one outage, up to when the stream is back.
    let outages: Vec<Vec<&str>> = log
        .split("streaming from")
        .map(|outage| outage.lines().filter_map(|line| line.split("the stream broke off").nth(1)).collect())
        .filter(|told: &Vec<&str>| !told.is_empty())
        .collect();
    assert!(outages.len() >= 2, "both outages are told: {log}");
    let once = outages.iter().all(|told| told.windows(2).all(|pair| pair[0] != pair[1]));
    assert!(once, "each reason once in a row: {log}");
    drop(sql);
    let fresh = server.get("/followeds/1").await?.json()?;
    assert_eq!(held.value, fresh);
    Ok(())
}

async fn sql_run(database: &crate::support::postgres::Database, sql: &str) -> Result<()> {
    Ok(database.connect().await?.batch_execute(sql).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_walsender_loses_nothing() -> Result<()> {
    let world = World::start().await?;
    let mut client = Client::web_socket(&world.server.address, "/followeds/1").await?;
    let mut held = Document::default();
    held.apply(&client.patch().await?)?;
    for round in 0..3 {
        let kill = format!(
            "begin; select count(pg_terminate_backend(active_pid, 5000)) from pg_replication_slots where database = '{}'",
            world.database.name
        );
        scalar(&world.sql, &kill).await?;
        world.run(&format!("update users set name = 'Round {round}' where id = 3; commit")).await?;
        client.until(&mut held, |value| value.to_string().contains(&format!("Round {round}"))).await?;
        assert_eq!(held.value, world.get("/followeds/1").await?);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_leaves_no_slot() -> Result<()> {
    let mut world = World::start().await?;
    let count = format!("select count(*) from pg_replication_slots where database = '{}'", world.database.name);
    assert_eq!(scalar(&world.sql, &count).await?, "1");
    world.server.running.kill().await?;
    let deadline = tokio::time::Instant::now() + http::PATIENCE;
    while scalar(&world.sql, &count).await? != "0" {
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "the slot of a dead server holds WAL");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_is_held_back() -> Result<()> {
    let world = World::start().await?;
    world.run("update users set name = 'Ada L.' where id = 1; create table nobody_reads (id int4)").await?;
    let lsn = world.lsn().await?;
    let held = format!(
        "select count(*) from pg_replication_slots where database = current_database() and confirmed_flush_lsn < '{lsn}'"
    );
    let deadline = tokio::time::Instant::now() + http::PATIENCE;
    while scalar(&world.sql, &held).await? != "0" {
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "the slot holds back what was applied long ago");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// What is written while a table is out of the publication is told by no stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_leaves_the_publication_is_read_anew() -> Result<()> {
    let world = World::start().await?;
    let mut client = Client::web_socket(&world.server.address, "/users/1").await?;
    let mut held = Document::default();
    held.apply(&client.patch().await?)?;
    world.run("alter publication sangre drop table users; update users set name = 'Ada L.' where id = 1").await?;
    client.until(&mut held, |value| value["name"] == "Ada L.").await?;
    world.run("update users set name = 'Ada K.' where id = 1").await?;
    client.until(&mut held, |value| value["name"] == "Ada K.").await
}
