//! Coming back with a revision: what changed since, or a fresh start, never a wrong patch.

use anyhow::Result;
use serde_json::{Value, json};

use crate::support::client::{Client, Transport, with_query};
use crate::support::document::{Document, lsn_of};
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

/// The revision of the same document as of another position.
fn at(lsn: &str, revision: &str) -> String {
    let identity = revision.split_once('-').map_or("", |(_, identity)| identity);
    format!("{lsn}.0-{identity}")
}

#[tokio::test]
async fn a_position_between_two_states_is_as_good_as_the_state_before_it() -> Result<()> {
    let world = World::start().await?;
    let path = "/users/2";
    let mut keeper = Client::web_socket(&world.server.address, path).await?;
    let first = keeper.patch().await?["revision"].as_str().unwrap_or_default().to_owned();
    world.run("update users set name = 'Cleopatra' where id = 3").await?;
    let quiet = at(&world.lsn().await?, &first);
    world.get("/users/3").await?;
    let asked = |revision: &str| with_query(path, "revision", revision);
    let confirmed = world.server.get(&asked(&quiet)).await?.json()?;
    assert_eq!((&confirmed["from"], &confirmed["patch"]), (&json!(quiet), &json!([])), "nothing has changed since");

    world.run("update users set name = 'Bobby' where id = 2").await?;
    let expected = json!([{ "op": "replace", "path": "/name", "value": "Bobby" }]);
    world.get(path).await?;
    for message in answers(&world.server, path, &quiet).await? {
        assert_eq!((&message["from"], &message["patch"]), (&json!(quiet), &expected));
    }
    let later = at(&world.lsn().await?, &first);
    world.get(path).await?;
    assert_eq!(world.server.get(&asked(&later)).await?.json()?["patch"], json!([]));
    for unknown in [at("0/1000", &first), quiet.replace(".0-", ".1-")] {
        for message in answers(&world.server, path, &unknown).await? {
            assert_eq!(message["from"], Value::Null, "{unknown}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_revision_ahead_of_the_server_is_waited_for() -> Result<()> {
    let world = World::start().await?;
    let path = "/users/2";
    let mut keeper = Client::web_socket(&world.server.address, path).await?;
    let first = keeper.patch().await?["revision"].as_str().unwrap_or_default().to_owned();
    // Far enough that what other tests write meanwhile (a new database is megabytes of log) does not get there.
    let ahead = "select pg_current_wal_insert_lsn() + 64 * 1024 * 1024";
    let ahead = at(&crate::support::oracle::scalar(&world.sql, ahead).await?, &first);
    let never = at("FFFFFFFF/0", &first);
    let ask = async |revision: &str| world.server.get(&with_query(path, "revision", revision)).await?.json();
    let write = async {
        world.run("update users set name = 'Bobby' where id = 2").await?;
        // Each switch skips what is left of a segment of 16 MB.
        for _ in 0..5 {
            world.run("select pg_logical_emit_message(true, 'test', 'x')").await?;
            world.run("select pg_switch_wal()").await?;
        }
        world.run("select pg_logical_emit_message(true, 'test', 'x')").await
    };
    let (reached, unreached, written) = tokio::join!(ask(&ahead), ask(&never), write);
    written?;
    let (reached, unreached) = (reached?, unreached?);
    let changed = keeper.patch().await?["revision"].as_str().unwrap_or_default().to_owned();
    assert!(lsn_of(&changed)? < lsn_of(&ahead)?, "the change came at {changed}, after {ahead}: nothing was tested");
    // Whoever holds the state as of then has seen the change.
    assert_eq!((&reached["from"], &reached["patch"]), (&json!(ahead), &json!([])));
    assert_eq!(unreached["from"], Value::Null, "a position that will never be");
    assert_eq!(unreached["patch"][0]["value"]["name"], "Bobby");
    Ok(())
}

#[tokio::test]
async fn streams_follow_the_routes_of_an_edited_configuration() -> Result<()> {
    let mut before = queries();
    for name in ["gone", "moved"] {
        before[name] = json!({ "route": format!("/{name}/{{id}}"), "from": "users", "get": { "id": "$id" } });
    }
    let world = World::with(before.clone()).await?;
    let address = &world.server.address;
    let mut gone = Client::web_socket(address, "/gone/1").await?;
    let mut moved = Client::web_socket(address, "/moved/1").await?;
    let mut bounded = Client::web_socket(address, "/places?least=0").await?;
    let mut same = Client::web_socket(address, "/users/2").await?;
    let mut held = Document::default();
    held.apply(&same.patch().await?)?;
    for client in [&mut gone, &mut moved, &mut bounded] {
        client.patch().await?;
    }
    let mut after = before;
    after.as_object_mut().expect("queries").remove("gone");
    after["moved"]["route"] = json!("/elsewhere/{id}");
    after["places"]["params"]["most"]["default"] = json!(1);
    world.server.rewrite(&config(&world.database.url, after))?;
    for client in [&mut gone, &mut moved] {
        let (error, code) = client.refusal().await?;
        assert_eq!((error["code"].as_str(), code), (Some("unknown_route"), Some(4404)));
    }
    // Another default is another document.
    let anew = bounded.patch().await?;
    assert_eq!((&anew["from"], anew["patch"][0]["value"].as_array().map(Vec::len)), (&Value::Null, Some(1)));
    world.run("update users set name = 'Bobby' where id = 2").await?;
    assert_eq!(same.patch().await?["from"], json!(held.revision), "an unchanged stream goes on");
    assert_eq!(world.server.get("/elsewhere/1").await?.json()?["name"], "Ada");
    Ok(())
}
