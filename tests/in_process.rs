//! Sangre as a library: documents and changes in the process, its router inside another application, starts and ends.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use axum::extract::Request as HttpRequest;
use axum::middleware::{Next, from_fn};
use axum::{Router, routing};
use sangre::{Builder, Changes, Claims, Code, Error, Event, Request, Sangre};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_postgres::Client as Sql;

use crate::embedding::slots;
use crate::support::client::Client;
use crate::support::document::Document;
use crate::support::http::{self, PATIENCE};
use crate::support::oracle::scalar;
use crate::support::postgres::{self, Database};
use crate::support::world;

/// The small world, and what is started on it.
async fn world() -> Result<(Database, Sql, Builder)> {
    let (database, sql) = world::create(postgres::shared()).await?;
    let mut builder = Sangre::builder(&database.url);
    let mut queries = world::queries();
    queries["me"] = json!({ "route": "/me", "from": "users", "get": { "id": "$auth.sub" }, "select": ["name"] });
    for (name, query) in queries.as_object().context("queries")? {
        builder = builder.query(name, query.to_string());
    }
    Ok((database, sql, builder))
}

/// The next change as clients would be told of it.
async fn change(changes: &mut Changes) -> Result<Value> {
    let next = async {
        loop {
            match changes.next().await.context("the end")?? {
                Event::Change(change) => {
                    let from = change.from().map(|from| from.to_string());
                    let patch: Value = serde_json::from_str(&change.patch())?;
                    let whole: Value = change.document().decode()?;
                    let message = json!({ "revision": change.revision().to_string(), "from": from, "patch": patch });
                    return anyhow::Ok(json!([message, whole]));
                }
                _ => continue,
            }
        }
    };
    timeout(PATIENCE, next).await.context("no change came")?
}

fn refused(result: Result<impl Sized, Error>) -> Option<Code> {
    result.err().and_then(|error| error.code())
}

fn sub(id: i32) -> Result<Claims> {
    Ok(Claims::new(HashMap::from([("sub", id)]))?)
}

#[tokio::test]
async fn documents_and_changes_in_process() -> Result<()> {
    let (_database, sql, builder) = world().await?;
    let sangre = builder.start().await?;
    let ada = sangre.read("/users/1").await?;
    assert_eq!(ada.decode::<Value>()?, json!({ "id": 1, "name": "Ada", "email": "ada@example.com" }));
    let best: Value = sangre.read(Request::new("/places?least=4").param("most", "1")).await?.decode()?;
    assert_eq!(best, json!([{ "id": 10, "name": "Bistro", "rating": 4 }]));

    let mut changes = sangre.subscribe("/users/1").await?;
    let mut held = Document::default();
    held.apply(&change(&mut changes).await?[0])?;
    sql.batch_execute("update users set name = 'Ada L.' where id = 1").await?;
    let lsn = scalar(&sql, "select pg_current_wal_insert_lsn()").await?;
    let told = change(&mut changes).await?;
    held.apply(&told[0])?;
    assert_eq!((&held.value["name"], &held.value), (&json!("Ada L."), &told[1]));
    let after = sangre.read(Request::new("/users/1").after(lsn)).await?;
    assert_eq!(after.revision().to_string(), told[0]["revision"]);
    assert!(ada.revision() < after.revision());

    let mut resumed = sangre.subscribe(Request::new("/users/1").resume(ada.revision())).await?;
    let missed = change(&mut resumed).await?;
    assert_eq!(missed[0]["from"], ada.revision().to_string());
    assert_eq!(missed[0]["patch"], json!([{ "op": "replace", "path": "/name", "value": "Ada L." }]));

    assert_eq!(refused(sangre.read("/nowhere").await), Some(Code::UnknownRoute));
    assert_eq!(refused(sangre.subscribe("/users/x").await), Some(Code::InvalidParameter));
    assert_eq!(refused(sangre.read("/users/1?format=document").await), Some(Code::InvalidParameter));
    Ok(sangre.shutdown().await?)
}

/// An application with the router under a prefix, behind middleware that vouches for a number in a header. (A real one
/// would verify a token.)
async fn application(router: Router) -> Result<String> {
    let vouch = async |mut request: HttpRequest, next: Next| {
        let id = request.headers().get("x-verified").and_then(|id| id.to_str().ok()?.parse().ok());
        if let Some(claims) = id.and_then(|id| sub(id).ok()) {
            request.extensions_mut().insert(claims);
        }
        next.run(request).await
    };
    let app = Router::new().route("/hello", routing::get(async || "hello"));
    let app = app.nest("/live", router).layer(from_fn(vouch));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

#[tokio::test]
async fn claims_are_what_the_application_vouches_for() -> Result<()> {
    let (_database, _sql, builder) = world().await?;
    let sangre = builder.start().await?;
    let me: Value = sangre.read(Request::new("/me").claims(sub(2)?)).await?.decode()?;
    assert_eq!(me, json!({ "name": "Bob" }));
    for url in ["/me", "/me?access_token=1", "/me?auth.sub=1", "/me?sub=1"] {
        let code = refused(sangre.read(url).await);
        assert!(matches!(code, Some(Code::MissingClaim | Code::UnknownParameter)), "{url}: {code:?}");
    }

    let address = application(sangre.router()).await?;
    assert_eq!(http::get(&address, "/hello", &[]).await?.text(), "hello");
    let verified = http::get(&address, "/live/me", &[("X-Verified", "3")]).await?;
    assert_eq!((verified.status, verified.json()?), (200, json!({ "name": "Cleo" })));
    for path in ["/live/me", "/live/me?auth.sub=1", "/live/me?access_token=1"] {
        let answer = http::get(&address, path, &[("Authorization", "Bearer 1")]).await?;
        assert!(matches!(answer.status, 400 | 403), "{path}: {}", answer.status);
    }
    let (_, code) = Client::web_socket(&address, "/live/me").await?.refusal().await?;
    assert_eq!(code, Some(4403));
    Ok(sangre.shutdown().await?)
}

#[tokio::test]
async fn a_node_is_given_claims_as_the_application_vouches_for_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("own.js");
    std::fs::write(&script, "export const transform = (user, args) => user.id === args.me;")?;
    let (_database, sql, builder) = world().await?;
    let map = json!({ "map": { "node": "own", "into": "own", "args": { "me": "$auth.sub" } } });
    let everyone =
        json!({ "route": "/everyone", "from": "users", "select": ["id"], "order_by": ["id"], "steps": [map] });
    let builder = builder.node("own", json!({ "script": script }).to_string());
    let sangre = builder.query("everyone", everyone.to_string()).start().await?;
    timeout(PATIENCE, sangre.ready()).await.context("it does not become ready")??;
    let owned =
        |me: i32, ids: &[i32]| -> Value { ids.iter().map(|id| json!({ "id": id, "own": *id == me })).collect() };
    for me in [2, 3, 4] {
        let seen: Value = sangre.read(Request::new("/everyone").claims(sub(me)?)).await?.decode()?;
        assert_eq!(seen, owned(me, &[1, 2, 3]));
    }
    let mut changes = sangre.subscribe(Request::new("/everyone").claims(sub(4)?)).await?;
    assert_eq!(change(&mut changes).await?[1], owned(4, &[1, 2, 3]));
    sql.batch_execute("insert into users values (4, 'Dan', 'dan@example.com')").await?;
    assert_eq!(change(&mut changes).await?[1], owned(4, &[1, 2, 3, 4]));

    let address = application(sangre.router()).await?;
    let verified = http::get(&address, "/live/everyone", &[("X-Verified", "3")]).await?;
    assert_eq!((verified.status, verified.json()?), (200, owned(3, &[1, 2, 3, 4])));
    for query in ["", "?auth.sub=1", "?me=1", "?access_token=1"] {
        let code = refused(sangre.read(format!("/everyone{query}")).await);
        assert!(matches!(code, Some(Code::MissingClaim | Code::UnknownParameter)), "{query}: {code:?}");
        let answer = http::get(&address, &format!("/live/everyone{query}"), &[("Authorization", "Bearer 1")]).await?;
        assert!(matches!(answer.status, 400 | 403), "{query}: {}", answer.status);
    }
    Ok(sangre.shutdown().await?)
}

#[tokio::test]
async fn a_mounted_router_is_called_by_its_own_names() -> Result<()> {
    let (_database, _sql, builder) = world().await?;
    let sangre = builder.hosts(["app.example.com"]).origins(["https://shop.example.com"]).start().await?;
    let (address, admin) = (application(sangre.router()).await?, application(sangre.admin_router()).await?);
    for (headers, status) in [
        ([("Host", "app.example.com"), ("Origin", "http://app.example.com")], 200),
        ([("Host", "app.example.com"), ("Origin", "https://shop.example.com")], 200),
        ([("Host", "localhost"), ("Origin", "http://localhost:5173")], 200),
        ([("Host", "app.example.com"), ("Origin", "https://evil.example")], 403),
        ([("Host", "evil.example"), ("Origin", "http://evil.example")], 403),
    ] {
        let answer = http::get(&address, "/live/users/1", &headers).await?;
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text());
    }
    assert_eq!(http::get(&admin, "/live/readyz", &[]).await?.status, 200);
    let foreign = [("Host", "app.example.com"), ("Origin", "https://shop.example.com")];
    assert_eq!(http::get(&admin, "/live/nodes", &foreign).await?.status, 403, "not for pages of other origins");
    assert_eq!(http::get(&address, "/live/nodes", &[]).await?.status, 404, "not among the documents");
    Ok(sangre.shutdown().await?)
}

/// Waits until nobody but this test is connected to its database, and no slot is left.
async fn left_alone(sql: &Sql) -> Result<()> {
    let others =
        "select count(*)::text from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
    let gone = async {
        while scalar(sql, others).await? != "0" || slots(sql).await? > 0 {
            // Postgres does not tell of sessions that end.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    };
    timeout(PATIENCE, gone).await.context("a session or a slot is left behind")?
}

#[tokio::test]
async fn a_shutdown_is_told_and_leaves_nothing() -> Result<()> {
    let (_database, sql, builder) = world().await?;
    // Another one in the same process goes its own way.
    let (_other_database, other_sql, other) = world().await?;
    let (sangre, other) = (builder.start().await?, other.start().await?);
    let address = application(sangre.router()).await?;
    let mut client = Client::web_socket(&address, "/live/users/1").await?;
    client.patch().await?;
    let mut changes = sangre.subscribe("/users/1").await?;
    change(&mut changes).await?;
    let mut others = other.subscribe("/users/1").await?;
    change(&mut others).await?;

    let (stop, stopped) = tokio::sync::oneshot::channel();
    let running = tokio::spawn({
        let sangre = sangre.clone();
        async move { sangre.run_until(stopped).await }
    });
    stop.send(()).expect("it waits");
    let (problem, code) = client.refusal().await?;
    assert_eq!((problem["code"].as_str(), code), (Some("shutting_down"), Some(1012)));
    assert_eq!(refused(changes.next().await.context("an error")?), Some(Code::ShuttingDown));
    assert!(changes.next().await.is_none());
    running.await??;
    left_alone(&sql).await?;

    // What is still held is of no use any more, and says so.
    assert_eq!(refused(sangre.read("/users/1").await), Some(Code::ShuttingDown));
    assert_eq!(refused(sangre.subscribe("/users/1").await), Some(Code::ShuttingDown));
    assert!(!sangre.health().reasons.is_empty());
    let late = http::get(&address, "/live/users/1", &[]).await?;
    assert_eq!((late.status, late.code().as_str()), (503, "shutting_down"));
    sangre.shutdown().await?;

    other_sql.batch_execute("update users set name = 'A' where id = 1").await?;
    assert_eq!(change(&mut others).await?[1]["name"], "A");
    Ok(other.shutdown().await?)
}

#[tokio::test]
async fn it_runs_as_long_as_somebody_holds_on_to_it() -> Result<()> {
    let (_database, sql, builder) = world().await?;
    let sangre = builder.start().await?;
    let (router, mut changes) = (sangre.router(), sangre.subscribe("/users/1").await?);
    change(&mut changes).await?;
    drop(sangre);
    drop(router);
    sql.batch_execute("update users set name = 'A' where id = 1").await?;
    assert_eq!(change(&mut changes).await?[1]["name"], "A");
    drop(changes);
    left_alone(&sql).await
}

#[tokio::test]
async fn starts_that_fail_say_what_to_do() -> Result<()> {
    let (database, _sql, builder) = world().await?;
    let wrong = Sangre::builder(&database.url).query("a", "{ route: /a, form: users }").query("b", "{ route: b }");
    let Err(Error::Configuration(lines)) = wrong.start().await else { bail!("a wrong query was taken") };
    assert!(lines.contains("queries.a: unknown key \"form\"; did you mean \"from\"?"), "{lines}");
    assert!(lines.contains("queries.b"), "all mistakes at once: {lines}");
    let missing = Sangre::from_file("/nowhere/sangre.yaml").start().await;
    assert!(matches!(missing, Err(Error::File { .. })), "{missing:?}");
    let host = builder.hosts(["https://app.example.com"]).start().await;
    assert!(matches!(&host, Err(Error::Configuration(text)) if text.contains("without scheme")), "{host:?}");

    let nobody = database.url.replace(&database.name, "nobody_made_this");
    let Err(Error::Database(text)) = Sangre::builder(nobody).start().await else { bail!("there is no such database") };
    assert!(text.contains("nobody_made_this"), "{text}");

    let broken = || Sangre::builder(&database.url).query("a", "{ route: /a, from: nobody_made_this }");
    assert!(matches!(broken().strict(true).start().await, Err(Error::Configuration(_))));
    let sangre = broken().start().await?;
    assert_eq!(refused(sangre.read("/a").await), Some(Code::QueryBroken));
    Ok(sangre.shutdown().await?)
}

#[tokio::test]
async fn a_database_that_is_away_is_waited_for() -> Result<()> {
    let cluster = postgres::Cluster::start(&[])?;
    let (database, sql) = world::create(&cluster).await?;
    drop(sql);
    cluster.down("fast")?;
    let text =
        "database: x\nqueries: { user: { route: '/users/{id}', from: users, get: { id: $id }, select: [name] } }";
    let sangre = Sangre::from_yaml(text).database(&database.url).start().await?;
    assert_eq!(refused(sangre.read("/users/1").await), Some(Code::DatabaseUnreachable));
    ensure!(!sangre.health().reasons.is_empty(), "it is not ready");
    cluster.up()?;
    timeout(PATIENCE, sangre.ready()).await.context("it does not become ready")??;
    assert_eq!(sangre.read("/users/1").await?.json(), r#"{"name":"Ada"}"#);
    Ok(sangre.shutdown().await?)
}
