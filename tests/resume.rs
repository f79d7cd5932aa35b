//! Coming back with a revision: what changed since, or a fresh start, never a wrong patch.

use anyhow::Result;
use serde_json::{Value, json};

use crate::support::client::{Client, Transport, with_query};
use crate::support::document::Document;
use crate::support::server::{Server, config};
use crate::support::world::{World, queries};

const TRANSPORTS: [Transport; 2] = [Transport::WebSocket, Transport::Sse];

/// What a client of this path that holds a revision is told first, over each transport and by `GET`.
async fn answers(server: &Server, path: &str, revision: &str) -> Result<Vec<Value>> {
    let mut answers = vec![server.get(&with_query(path, "revision", revision)).await?.json()?];
    for transport in TRANSPORTS {
        answers.push(Client::open(&server.address, path, transport, Some(revision)).await?.patch().await?);
    }
    Ok(answers)
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed() -> Result<()> {
    let world = World::start().await?;
    for transport in TRANSPORTS {
        let mut keeper = Client::open(&world.server.address, "/followeds/1", transport, None).await?;
        let mut held = Document::default();
        held.apply(&keeper.patch().await?)?;
        for round in 0..5 {
            let back = held.revision.clone();
            world
                .run(&format!(
                    "update users set name = 'Bob {round}' where id = 2; delete from users_places where place_id = 10"
                ))
                .await?;
            world.run("insert into users_places values (2, 10), (3, 10)").await?;
            let expected = world.get("/followeds/1").await?;
            let mut client = Client::open(&world.server.address, "/followeds/1", transport, back.as_deref()).await?;
            let message = client.patch().await?;
            assert_eq!(message["from"], json!(back), "a document that others follow is resumed, not sent anew");
            held.apply(&message)?;
            client.until(&mut held, |value| *value == expected).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_missed_nothing_is_told_nothing() -> Result<()> {
    let world = World::start().await?;
    let mut keeper = Client::web_socket(&world.server.address, "/users/2").await?;
    let mut held = Document::default();
    held.apply(&keeper.patch().await?)?;
    world.run("update users set name = 'X' where id = 3").await?;
    world.get("/users/2").await?;
    for transport in TRANSPORTS {
        let revision = held.revision.clone();
        let mut client = Client::open(&world.server.address, "/users/2", transport, revision.as_deref()).await?;
        // An empty patch may say that the client is up to date; what comes then is a change.
        held.resuming = true;
        world.run("update users set name = name || '!' where id = 2").await?;
        let expected = world.get("/users/2").await?;
        while held.value != expected {
            let message = client.patch().await?;
            assert_eq!(message["from"], json!(held.revision), "nothing is sent anew");
            held.apply(&message)?;
        }
    }
    assert_eq!(held.value["name"], "Bob!!");
    Ok(())
}

#[tokio::test]
async fn a_revision_of_another_document_is_never_patched() -> Result<()> {
    let world = World::start().await?;
    let foreign = [
        ("another parameter", world.server.get("/users/1").await?.revision()?),
        ("another route", world.server.get("/followeds/2").await?.revision()?),
        ("another list", world.server.get("/places?least=1").await?.revision()?),
    ];
    let own = world.server.get("/users/2").await?;
    let lsn = own.revision()?.split('.').next().unwrap_or_default().to_owned();
    let made_up = ["", "x", "0/0", "0/0.x", "FFFFFFFF/FFFFFFFF.0", lsn.as_str(), "'; --", "0/1.\u{e9}"];
    let made_up = made_up.map(|revision| ("made up", revision.to_owned()));
    for (what, revision) in foreign.into_iter().chain(made_up) {
        let path = with_query("/users/2", "revision", &revision);
        let by_get = world.server.get(&path).await?.json()?;
        let by_socket = Client::web_socket(&world.server.address, &path).await?.patch().await?;
        for message in [by_get, by_socket] {
            assert_eq!(message["from"], Value::Null, "{what} {revision:?}");
            let mut held = Document::default();
            held.apply(&message)?;
            assert_eq!(held.value, own.json()?, "{what} {revision:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_revision_of_another_definition_starts_anew() -> Result<()> {
    let world = World::start().await?;
    let path = "/followeds/1";
    let old = world.server.get(path).await?.revision()?;
    let mut changed = queries();
    changed["followeds"]["with"]["followeds"]["with"]["places"]["where"] = json!({ "rating": { "gte": 5 } });
    let server = Server::start(&config(&world.database.url, changed)).await?;
    for message in answers(&server, path, &old).await? {
        assert_eq!(message["from"], Value::Null);
        assert_eq!(message["patch"][0]["value"]["followeds"][0]["places"], json!([]));
    }
    Ok(())
}

#[tokio::test]
async fn an_edited_configuration_starts_changed_queries_anew() -> Result<()> {
    let world = World::start().await?;
    let mut changed = Client::web_socket(&world.server.address, "/followeds/1").await?;
    let mut same = Client::web_socket(&world.server.address, "/users/2").await?;
    let mut held = Document::default();
    changed.patch().await?;
    held.apply(&same.patch().await?)?;
    let mut next = queries();
    next["followeds"]["select"] = json!(["id"]);
    world.server.rewrite(&config(&world.database.url, next))?;
    // A stream of the old definition ends or starts anew; the new one is served from then on.
    let expected = json!([2, 3]);
    let ids = |value: &Value| -> Value {
        let list = value["followeds"].as_array().cloned().unwrap_or_default();
        list.iter().map(|followed| followed["id"].clone()).collect()
    };
    let deadline = tokio::time::Instant::now() + crate::support::http::PATIENCE;
    loop {
        let value = world.get("/followeds/1").await?;
        if value.get("name").is_none() {
            assert_eq!(ids(&value), expected);
            break;
        }
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "the new definition is not served");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let message = changed.patch().await?;
    assert_eq!(message["from"], Value::Null, "a changed one begins anew: {message}");
    assert_eq!(message["patch"][0]["value"].get("name"), None, "{message}");
    world.run("update users set name = 'Bobby' where id = 2").await?;
    let message = same.patch().await?;
    assert_eq!(message["from"], json!(held.revision), "an unchanged stream goes on");
    Ok(())
}

#[tokio::test]
async fn a_restarted_server_takes_back_its_clients() -> Result<()> {
    let mut world = World::start().await?;
    let mut held = Document::default();
    held.apply(&Client::web_socket(&world.server.address, "/followeds/1").await?.patch().await?)?;
    let (lsn, before) = (held.revision.clone(), held.value.clone());
    world.server.running.kill().await?;
    world.run("update users set name = 'Bobby' where id = 2").await?;
    world.server.restart().await?;
    let mut client = Client::open(&world.server.address, "/followeds/1", Transport::WebSocket, lsn.as_deref()).await?;
    client.until(&mut held, |value| value["followeds"][0]["name"] == "Bobby").await?;
    assert_ne!(held.value, before);
    assert_eq!(held.value, world.get("/followeds/1").await?);
    Ok(())
}
