//! What a request can never become: a claim, a visitor from a foreign page, a look at hidden columns.

use anyhow::Result;
use serde_json::{Value, json};

use crate::support::client::{Client, web_socket};
use crate::support::document::Document;
use crate::support::http::{self, Events};
use crate::support::server::{config, verdict};
use crate::support::world::{World, queries};

async fn world() -> Result<World> {
    let mut all = queries();
    all["me"] = json!({ "route": "/me", "from": "users", "get": { "id": "$auth.sub" } });
    all["mine"] = json!({ "route": "/mine/{id}", "from": "users", "where": { "id": { "in": ["$id", "$auth.sub"] } } });
    World::with(all).await
}

#[tokio::test]
async fn nothing_in_a_url_becomes_a_claim() -> Result<()> {
    let world = world().await?;
    for path in [
        "/me",
        "/me?auth.sub=1",
        "/me?auth%2Esub=1",
        "/me?auth=%7B%22sub%22:1%7D",
        "/me?auth[sub]=1",
        "/me?sub=1",
        "/me?$auth.sub=1",
        "/me?access_token=1",
        "/mine/1",
        "/mine/1?auth.sub=2",
    ] {
        let answer = world.server.get(path).await?;
        assert!([400, 401, 403].contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
        assert!(!answer.text().contains("Ada"), "{path}");
        let (error, code) = Client::web_socket(&world.server.address, path).await?.refusal().await?;
        assert!(matches!(code, Some(4400 | 4401 | 4403)), "{path}: {error} {code:?}");
    }
    let plain = world.server.get("/me").await?;
    assert_eq!((plain.status, plain.code().as_str()), (403, "missing_claim"));
    for headers in [[("Authorization", "Bearer {\"sub\":1}")], [("Cookie", "auth.sub=1")], [("X-Auth-Sub", "1")]] {
        let answer = http::get(&world.server.address, "/me", &headers).await?;
        assert!([401, 403].contains(&answer.status), "{headers:?}: {}", answer.status);
    }
    Ok(())
}

#[tokio::test]
async fn a_frame_sets_no_claim() -> Result<()> {
    let world = world().await?;
    let mut client = Client::web_socket(&world.server.address, "/me").await?;
    // The socket may be closed before the frame is sent.
    let _ = client.send(&json!({ "auth": { "sub": 1 } })).await;
    // Which of the two mistakes the server meets first, the missing claim or a frame it has no use for, is a matter of time.
    let (error, code) = client.refusal().await?;
    let refused = [("missing_claim", Some(4403)), ("bad_request", Some(4400))];
    assert!(refused.contains(&(error["code"].as_str().unwrap_or_default(), code)), "{error} {code:?}");
    Ok(())
}

#[tokio::test]
async fn a_foreign_page_is_refused() -> Result<()> {
    let world = World::start().await?;
    let address = &world.server.address;
    for origin in ["https://evil.example", "null", "http://localhost.evil.example", "https://127.0.0.1.evil.example"] {
        let headers = [("Origin", origin)];
        let answer = http::get(address, "/users/1", &headers).await?;
        assert_eq!(answer.status, 403, "{origin}");
        assert!(
            !answer.text().contains("Ada") && !answer.headers.contains_key("access-control-allow-origin"),
            "{origin}"
        );
        assert!(
            Events::open(address, "/users/1", &headers).await.is_err_and(|error| error.to_string().starts_with("403"))
        );
        // A WebSocket is under no CORS, so this one is not even accepted.
        let refused = web_socket(address, "/users/1", &headers).await.expect_err("refused").to_string();
        assert!(refused.contains("403"), "{origin}: {refused}");
    }
    let port = address.rsplit(':').next().unwrap_or_default();
    for origin in [format!("http://{address}"), format!("http://localhost:{port}"), "http://127.0.0.1:5173".into()] {
        let headers = [("Origin", origin.as_str())];
        let answer = http::get(address, "/users/1", &headers).await?;
        assert_eq!(answer.status, 200, "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        web_socket(address, "/users/1", &headers).await?;
    }
    Ok(())
}

#[tokio::test]
async fn origins_are_let_in_by_name() -> Result<()> {
    let world = World::start().await?;
    let mut settings = config(&world.database.url, queries());
    settings["origins"] = json!(["https://app.example.com"]);
    let server = crate::support::server::Server::start(&settings).await?;
    for (origin, status) in
        [("https://app.example.com", 200), ("http://app.example.com", 403), ("https://app.example.com:444", 403)]
    {
        assert_eq!(http::get(&server.address, "/users/1", &[("Origin", origin)]).await?.status, status, "{origin}");
    }
    Ok(())
}

#[tokio::test]
async fn a_name_that_was_bent_to_loopback_is_refused() -> Result<()> {
    let world = World::start().await?;
    for host in ["evil.example", "evil.example:80", "127.0.0.1.evil.example"] {
        for address in [&world.server.address, &world.server.admin] {
            let answer = http::get(address, "/users/1", &[("Host", host)]).await?;
            assert!([403, 404].contains(&answer.status), "{host}: {}", answer.status);
            assert!(!answer.text().contains("Ada"));
        }
        assert_eq!(http::get(&world.server.address, "/users/1", &[("Host", host)]).await?.status, 403, "{host}");
    }
    Ok(())
}

#[tokio::test]
async fn only_loopback_is_open_without_auth() -> Result<()> {
    let mut settings = config("postgres://127.0.0.1:1/none", queries());
    settings["listen"] = json!("0.0.0.0:0");
    let (status, text) = verdict("serve", &settings).await?;
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("auth"), "{text}");
    Ok(())
}

#[tokio::test]
async fn rules_of_a_table_hold_wherever_it_is_used() -> Result<()> {
    let world = World::start().await?;
    let mut settings = config(&world.database.url, queries());
    settings["tables"] = json!({
        "users": { "hide": ["email"], "where": { "name": { "ne": "Cleo" } } },
        "users_places": { "where": { "place_id": { "ne": 12 } } },
    });
    settings["queries"]["followeds"]["with"]["followeds"]["with"]["places"]["where"] = json!({});
    let server = crate::support::server::Server::start(&settings).await?;
    assert_eq!(server.get("/users/1").await?.json()?, json!({ "id": 1, "name": "Ada" }));
    assert_eq!(server.get("/users/3").await?.json()?, Value::Null);
    let document = server.get("/followeds/1").await?.json()?;
    let bob = json!({ "id": 2, "name": "Bob", "places": [{ "id": 10, "name": "Bistro", "rating": 4 }] });
    assert_eq!(document["followeds"], json!([bob]));

    // By the stream as by the first read.
    let mut client = Client::web_socket(&server.address, "/followeds/1").await?;
    let mut held = Document::default();
    held.apply(&client.patch().await?)?;
    world
        .run("begin; update users set name = 'Dora' where id = 3; update users set name = 'Cleo' where id = 2; commit")
        .await?;
    client.until(&mut held, |value| value["followeds"][0]["name"] == "Dora").await?;
    assert_eq!(held.value["followeds"].as_array().map(Vec::len), Some(1));

    settings["queries"]["user"]["select"] = json!(["id", "email"]);
    let (status, text) = verdict("check", &settings).await?;
    assert_eq!(status.code(), Some(1));
    assert!(text.contains("email"), "{text}");
    Ok(())
}
