//! Documents over `GET`, server-sent events and WebSocket: headers, messages, codes, the ways to wait and to end.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::support::client::{Client, Said, Transport, with_query};
use crate::support::document::{Document, lsn_of, parse_lsn};
use crate::support::http::{self, Events};
use crate::support::oracle::scalar;
use crate::support::server::Server;
use crate::support::world::{self, World};

/// Long enough for a message that should not come, short enough for a test.
const A_WHILE: Duration = Duration::from_millis(300);

fn ada() -> Value {
    json!({
        "id": 1, "name": "Ada",
        "followeds": [
            { "id": 2, "name": "Bob", "places": [{ "id": 10, "name": "Bistro", "rating": 4 }] },
            { "id": 3, "name": "Cleo", "places": [
                { "id": 11, "name": "Museum", "rating": 5 }, { "id": 10, "name": "Bistro", "rating": 4 },
            ] },
        ],
    })
}

#[tokio::test]
async fn get_gives_the_document_and_its_revision() -> Result<()> {
    let world = World::start().await?;
    let answer = world.server.get("/followeds/1").await?;
    assert_eq!((answer.status, answer.json()?), (200, ada()));
    assert!(answer.header("content-type").starts_with("application/json"), "{:?}", answer.headers);
    assert_eq!(answer.header("cache-control"), "private, no-cache");
    assert_eq!(answer.header("sangre-status"), "live");
    for name in ["Accept", "Origin", "Authorization", "Cookie"] {
        assert!(answer.header("vary").contains(name), "{:?}", answer.headers);
    }
    let written = parse_lsn(&scalar(&world.sql, "select pg_current_wal_flush_lsn()").await?)?;
    assert!(lsn_of(&answer.revision()?)? <= written);

    let missing = world.server.get("/followeds/99").await?;
    assert_eq!((missing.status, missing.json()?), (200, Value::Null));
    let list = world.server.get("/places?least=4&most=1").await?;
    assert_eq!(list.json()?, json!([{ "id": 10, "name": "Bistro", "rating": 4 }]));
    let head = http::request("HEAD", &world.server.address, "/followeds/1", &[], "").await?;
    assert_eq!((head.status, head.body.len()), (200, 0));
    Ok(())
}

#[tokio::test]
async fn if_none_match_is_answered_304_until_the_document_changes() -> Result<()> {
    let world = World::start().await?;
    let tag = world.server.get("/followeds/1").await?.header("etag").to_owned();
    let ask = async |path: &str| http::get(&world.server.address, path, &[("If-None-Match", &tag)]).await;
    assert_eq!(ask("/followeds/1").await?.status, 304);

    // A change of what the document does not show leaves it as it is.
    world.run("update users set email = 'x' where id = 2; update places set rating = 1 where id = 12").await?;
    let after = with_query("/followeds/1", "after", &world.lsn().await?);
    let same = ask(&after).await?;
    assert_eq!((same.status, same.body.len()), (304, 0));

    world.run("update users set name = 'Bobby' where id = 2").await?;
    let after = with_query("/followeds/1", "after", &world.lsn().await?);
    let changed = ask(&after).await?;
    assert_eq!(changed.status, 200);
    assert_eq!(changed.json()?["followeds"][0]["name"], "Bobby");
    assert_ne!(changed.header("etag"), tag);
    Ok(())
}

#[tokio::test]
async fn every_commit_reaches_a_websocket_as_one_patch() -> Result<()> {
    let world = World::start().await?;
    let mut client = Client::web_socket(&world.server.address, "/followeds/1").await?;
    let mut held = Document::default();
    held.apply(&client.patch().await?)?;
    assert_eq!(held.value, ada());

    // Several statements, one commit, one message.
    world
        .run(
            "begin; update users set name = 'Zoe' where id = 2; update places set rating = 3 where id = 11; \
             insert into users_places values (2, 11); delete from users_places where user_id = 3 and place_id = 10; commit",
        )
        .await?;
    held.apply(&client.patch().await?)?;
    let expected = json!({
        "id": 1, "name": "Ada",
        "followeds": [
            { "id": 3, "name": "Cleo", "places": [{ "id": 11, "name": "Museum", "rating": 3 }] },
            { "id": 2, "name": "Zoe", "places": [
                { "id": 10, "name": "Bistro", "rating": 4 }, { "id": 11, "name": "Museum", "rating": 3 },
            ] },
        ],
    });
    assert_eq!(held.value, expected);

    // The object itself goes, and comes back.
    world.run("begin; truncate users cascade; commit").await?;
    held.apply(&client.patch().await?)?;
    assert_eq!(held.value, Value::Null);
    world.run("insert into users values (1, 'Ada', 'a')").await?;
    held.apply(&client.patch().await?)?;
    assert_eq!(held.value, json!({ "id": 1, "name": "Ada", "followeds": [] }));
    Ok(())
}

#[tokio::test]
async fn what_leaves_the_document_equal_sends_nothing() -> Result<()> {
    let world = World::start().await?;
    let mut socket = Client::web_socket(&world.server.address, "/followeds/1").await?;
    let mut events = Client::open(&world.server.address, "/followeds/1", Transport::Sse, None).await?;
    socket.patch().await?;
    events.patch().await?;
    world
        .run(
            "update users set name = name; \
             update users set email = 'other'; \
             update places set rating = 1 where id = 12; \
             begin; update users set name = 'Bobby' where id = 2; update users set name = 'Bob' where id = 2; commit; \
             begin; update users set name = 'Bobby' where id = 2; rollback; \
             begin; savepoint s; delete from users_followeds; rollback to s; commit; \
             insert into users values (4, 'Dora', 'd'); \
             insert into users_followeds values (2, 1)",
        )
        .await?;
    world.get("/followeds/1").await?;
    socket.quiet(A_WHILE).await?;
    events.quiet(A_WHILE).await
}

#[tokio::test]
async fn events_carry_the_revision_and_resume_from_it() -> Result<()> {
    let world = World::start().await?;
    let mut events = Events::open(&world.server.address, "/users/2", &[]).await?;
    assert!(events.headers["content-type"].starts_with("text/event-stream"));
    assert_eq!(events.headers["cache-control"], "no-store");
    assert_eq!(events.headers["x-accel-buffering"], "no");
    let first = events.next().await?.expect("an event");
    let stale = first.id.clone().expect("an id");
    assert_eq!(first.event, "patch");

    world.run("update users set name = 'one' where id = 2").await?;
    let second = loop {
        let event = events.next().await?.expect("an event");
        if event.event == "patch" {
            break event;
        }
    };
    let message: Value = serde_json::from_str(&second.data)?;
    assert_eq!(message["from"], json!(stale));
    assert_eq!(message["revision"], json!(second.id));
    world.run("update users set name = 'two' where id = 2").await?;
    world.get("/users/2").await?;

    // The header is newer than the URL of the page that opened the stream first.
    let path = with_query("/users/2", "revision", &stale);
    let last = second.id.expect("an id");
    let mut again = Events::open(&world.server.address, &path, &[("Last-Event-ID", &last)]).await?;
    let resumed: Value = serde_json::from_str(&again.next().await?.expect("an event").data)?;
    assert_eq!(resumed["from"], json!(last));
    assert_eq!(resumed["patch"], json!([{ "op": "replace", "path": "/name", "value": "two" }]));
    Ok(())
}

#[tokio::test]
async fn get_with_a_revision_gives_what_changed_since() -> Result<()> {
    let world = World::start().await?;
    let mut keeper = Client::web_socket(&world.server.address, "/users/2").await?;
    keeper.patch().await?;
    let revision = world.server.get("/users/2").await?.revision()?;
    world.run("update users set name = 'Bobby' where id = 2").await?;
    let path = with_query(&with_query("/users/2", "revision", &revision), "after", &world.lsn().await?);
    let message = world.server.get(&path).await?.json()?;
    assert_eq!(message["from"], json!(revision));
    assert_eq!(message["patch"], json!([{ "op": "replace", "path": "/name", "value": "Bobby" }]));
    assert!(lsn_of(message["revision"].as_str().unwrap_or_default())? > lsn_of(&revision)?);
    Ok(())
}

#[tokio::test]
async fn formats_are_chosen_by_the_client() -> Result<()> {
    let world = World::start().await?;
    let mut merge = Client::web_socket(&world.server.address, "/users/2?format=merge-patch").await?;
    let mut whole = Client::web_socket(&world.server.address, "/users/2?format=document").await?;
    let bob = |name: &str| json!({ "id": 2, "name": name, "email": "bob@example.com" });
    assert_eq!(merge.patch().await?["patch"], bob("Bob"));
    let document = |said: Said| match said {
        Said::Other(message) => message["document"].clone(),
        other => panic!("a document was expected, not {other:?}"),
    };
    assert_eq!(document(whole.next().await?), bob("Bob"));
    world.run("update users set name = 'Bobby' where id = 2").await?;
    assert_eq!(merge.patch().await?["patch"], json!({ "name": "Bobby" }));
    assert_eq!(document(whole.next().await?), bob("Bobby"));
    Ok(())
}

#[tokio::test]
async fn after_waits_for_a_commit() -> Result<()> {
    let world = World::start().await?;
    for number in 0..20 {
        let insert =
            format!("insert into users values ({0}, 'n', 'e') returning pg_current_xact_id()::text", 100 + number);
        let xid = scalar(&world.sql, &insert).await?;
        let path = with_query(&format!("/users/{}", 100 + number), "after", &format!("xid:{xid}"));
        assert_eq!(world.server.get(&path).await?.json()?["name"], "n");

        world.run(&format!("update users set name = 'm{number}' where id = 2")).await?;
        let path = with_query("/users/2", "after", &world.lsn().await?);
        assert_eq!(world.server.get(&path).await?.json()?["name"], format!("m{number}"));
        let mut socket = Client::web_socket(&world.server.address, &path).await?;
        assert_eq!(socket.patch().await?["patch"][0]["value"]["name"], format!("m{number}"));
    }
    Ok(())
}

#[tokio::test]
async fn after_what_never_comes_ends_in_time() -> Result<()> {
    let world = World::start().await?;
    let (future, rolled_back) = ("/users/2?after=FFFF/0", {
        let xid = scalar(&world.sql, "begin; select pg_current_xact_id()::text").await?;
        world.run("rollback").await?;
        format!("/users/2?after=xid:{xid}")
    });
    let mut socket = Client::web_socket(&world.server.address, future).await?;
    let (answer, refusal, aborted) =
        tokio::join!(world.server.get(future), socket.refusal(), world.server.get(&rolled_back));
    let answer = answer?;
    assert_eq!((answer.status, answer.code().as_str()), (504, "after_timeout"));
    let (error, code) = refusal?;
    assert_eq!((error["code"].as_str(), code), (Some("after_timeout"), Some(4504)));
    assert!((400..500).contains(&aborted?.status), "an aborted transaction never comes");
    Ok(())
}

#[tokio::test]
async fn wrong_requests_are_named() -> Result<()> {
    let world = World::start().await?;
    for (path, status, code) in [
        ("/nowhere", 404, "unknown_route"),
        ("/users", 404, "unknown_route"),
        ("/users/1/2", 404, "unknown_route"),
        ("/healthz", 404, "unknown_route"),
        ("/users/1?x=1", 400, "unknown_parameter"),
        ("/users/1?id=1", 400, "unknown_parameter"),
        ("/places", 400, "missing_parameter"),
        ("/places?least=1&least=2", 400, "invalid_parameter"),
        ("/places?least=1&most=0", 400, "invalid_parameter"),
        ("/places?least=1&most=1001", 400, "invalid_parameter"),
        ("/users/one", 400, "invalid_parameter"),
        ("/users/99999999999", 400, "invalid_parameter"),
        ("/users/1?after=now", 400, "invalid_parameter"),
        ("/users/1?format=xml", 400, "invalid_parameter"),
    ] {
        let answer = world.server.get(path).await?;
        // Which of the two names a repeated or unreadable value gets is the server's choice.
        let codes = [code, "bad_request"];
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(codes.contains(&answer.code().as_str()), "{path}: {}", answer.text());
        assert_eq!(answer.json()?["error"]["retry"], json!(false), "{path}");

        let events = Events::open(&world.server.address, path, &[]).await;
        assert!(events.is_err_and(|error| error.to_string().starts_with(&status.to_string())), "{path}");
        // A WebSocket is accepted first, since a browser shows its page no status.
        let (error, close) = Client::web_socket(&world.server.address, path).await?.refusal().await?;
        assert!(codes.contains(&error["code"].as_str().unwrap_or_default()), "{path}: {error}");
        assert_eq!(close, Some(4000 + status), "{path}");
    }
    let post = http::request("POST", &world.server.address, "/users/1", &[], "{}").await?;
    assert!(post.status >= 400, "{}", post.status);
    Ok(())
}

#[tokio::test]
async fn a_parameter_is_read_as_postgres_reads_its_type() -> Result<()> {
    let queries = json!({
        "by_time": {
            "route": "/events",
            "params": { "until": { "type": "timestamptz", "optional": true }, "ids": { "type": "int8[]", "max": 3, "optional": true } },
            "from": "events", "where": { "at": { "lt": "$until" }, "id": { "in": "$ids" } }, "select": ["id"],
        },
        "by_name": { "route": "/names/{name}", "from": "events", "where": { "name": "$name" }, "select": ["id"] },
    });
    let (database, sql) = world::create(crate::support::postgres::shared()).await?;
    sql.batch_execute(
        "create table events (id int8 primary key, at timestamptz, name text); \
         insert into events values (1, '2020-01-01 00:00+00', 'a b/c'), (2, '2021-01-01 00:00+00', '$x'), (3, null, '%41')",
    )
    .await?;
    let server = Server::start(&crate::support::server::config(&database.url, queries)).await?;
    for (path, ids) in [
        ("/events", vec![1, 2, 3]),
        ("/events?until=2020-06-01T00:00:00Z", vec![1]),
        ("/events?until=2021-01-01%2001:00:00%2B02", vec![1]),
        ("/events?until=infinity", vec![1, 2]),
        ("/events?ids=3&ids=1", vec![1, 3]),
        ("/events?ids=3&until=infinity", vec![]),
        ("/names/a%20b%2Fc", vec![1]),
        ("/names/$x", vec![2]),
        ("/names/%2541", vec![3]),
        ("/names/A", vec![]),
    ] {
        let expected: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
        let answer = server.get(path).await?;
        assert_eq!(answer.json()?, json!(expected), "{path}");
    }
    assert_eq!(server.get("/events?ids=1&ids=2&ids=3&ids=4").await?.status, 400);
    Ok(())
}

#[tokio::test]
async fn a_ping_is_answered() -> Result<()> {
    let world = World::start().await?;
    let mut client = Client::web_socket(&world.server.address, "/users/1").await?;
    client.patch().await?;
    client.send(&json!({ "ping": 1 })).await?;
    let Said::Other(pong) = client.next().await? else { panic!("no pong") };
    assert_eq!(pong["pong"], json!(1));
    assert!(parse_lsn(pong["lsn"].as_str().unwrap_or_default())? > 0);
    Ok(())
}

#[tokio::test]
async fn a_close_is_answered() -> Result<()> {
    use anyhow::Context as _;
    use futures_util::StreamExt as _;
    use tokio_tungstenite::tungstenite::Message;
    let world = World::start().await?;
    let mut socket = crate::support::client::web_socket(&world.server.address, "/users/1", &[]).await?;
    socket.next().await.context("the document")??;
    socket.close(None).await?;
    // An error would be a connection that ends without it.
    let said: Vec<_> = socket.by_ref().collect::<Vec<_>>().await.into_iter().collect::<Result<_, _>>()?;
    assert!(matches!(said[..], [Message::Close(_)]), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn the_admin_port_says_how_the_server_is() -> Result<()> {
    let world = World::start().await?;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(http::get(&world.server.admin, path, &[]).await?.status, 200, "{path}");
    }
    assert_eq!(http::get(&world.server.admin, "/users/1", &[]).await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn an_orderly_end_tells_clients_and_leaves_no_slot() -> Result<()> {
    let world = World::start().await?;
    let mut socket = Client::web_socket(&world.server.address, "/users/1").await?;
    let mut events = Client::open(&world.server.address, "/users/1", Transport::Sse, None).await?;
    socket.patch().await?;
    events.patch().await?;
    let World { database, sql, server } = world;
    let count = format!("select count(*) from pg_replication_slots where database = '{}'", database.name);
    assert_eq!(scalar(&sql, &count).await?, "1");
    let (status, told, ended) = tokio::join!(server.stop(), socket.refusal(), events.refusal());
    assert!(status?.success());
    let (error, code) = told?;
    assert_eq!((error["code"].as_str(), code), (Some("shutting_down"), Some(1012)));
    assert_eq!(ended?.0["code"], json!("shutting_down"));
    assert_eq!(scalar(&sql, &count).await?, "0");
    Ok(())
}
