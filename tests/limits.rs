//! Bounds that a document meets while it is live, not only when it is asked for.

use anyhow::Result;
use serde_json::{Value, json};

use crate::support::client::{Client, Said, Transport, with_query};
use crate::support::http;
use crate::support::postgres;
use crate::support::server::{Server, config};
use crate::support::world::{self, World, queries};

/// The world, served within these bounds.
async fn bounded(limits: Value) -> Result<World> {
    let (database, sql) = world::create(postgres::shared()).await?;
    let mut settings = config(&database.url, queries());
    settings["limits"] = limits;
    let server = Server::start(&settings).await?;
    Ok(World { database, sql, server })
}

/// Reads until the server ends the stream: the error and the close code.
async fn end(client: &mut Client) -> Result<(Value, Option<u16>)> {
    let reading = async {
        let mut told = Value::Null;
        loop {
            match client.next().await? {
                Said::Problem(problem) => told = problem,
                Said::Closed(code) => return anyhow::Ok((told, code)),
                Said::Patch(_) | Said::Status(_) | Said::Other(_) => {}
            }
        }
    };
    tokio::time::timeout(http::PATIENCE, reading).await?
}

#[tokio::test]
async fn a_document_that_grows_too_large_ends_its_streams_and_nothing_else() -> Result<()> {
    let world = bounded(json!({ "document": 2048 })).await?;
    let (address, path) = (&world.server.address, "/places?least=0");
    let mut other = Client::web_socket(address, "/users/2").await?;
    other.patch().await?;
    let mut streams = vec![Client::open(address, path, Transport::Sse, None).await?];
    for format in ["patch", "merge-patch", "document"] {
        streams.push(Client::web_socket(address, &with_query(path, "format", format)).await?);
    }
    let revision = world.server.get(path).await?.revision()?;
    // One that grows by steps, each far smaller than the bound.
    for id in 100..140 {
        world.run(&format!("insert into places values ({id}, '{}', 1)", "x".repeat(40))).await?;
    }
    for stream in &mut streams {
        let (error, code) = end(stream).await?;
        assert_eq!(error["code"], "document_too_large");
        assert!(code.is_none_or(|code| code == 4413), "{code:?}");
    }
    let late = with_query(path, "after", &world.lsn().await?);
    for path in [late.clone(), with_query(&late, "format", "document"), with_query(&late, "revision", &revision)] {
        let answer = world.server.get(&path).await?;
        assert_eq!((answer.status, answer.code().as_str()), (413, "document_too_large"), "{path}");
    }
    world.run("update users set name = 'Bobby' where id = 2").await?;
    assert_eq!(other.patch().await?["patch"][0]["value"], "Bobby");
    world.run("delete from places where id >= 100").await?;
    assert_eq!(world.get(path).await?.as_array().map(Vec::len), Some(3), "it fits again");
    Ok(())
}

#[tokio::test]
async fn documents_that_nobody_follows_make_room_for_others() -> Result<()> {
    let world = bounded(json!({ "subscriptions": 2 })).await?;
    let address = &world.server.address;
    let mut first = Client::web_socket(address, "/users/1").await?;
    first.patch().await?;
    for path in ["/users/2", "/users/3", "/users/2"] {
        assert_eq!(world.server.get(path).await?.status, 200, "{path}: the one before is idle");
    }
    let mut second = Client::web_socket(address, "/users/3").await?;
    second.patch().await?;
    let refused = world.server.get("/users/2").await?;
    assert_eq!((refused.status, refused.code().as_str()), (429, "too_many"));
    assert_eq!(world.server.get("/users/1").await?.status, 200, "one that is live anyway");
    world.run("update users set name = 'X'").await?;
    for client in [&mut first, &mut second] {
        assert_eq!(client.patch().await?["patch"][0]["value"], "X");
    }
    Ok(())
}
