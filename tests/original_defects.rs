//! One test for each defect of the program that Sangre grew out of.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::support::client::{Client, Transport};
use crate::support::document::Document;
use crate::support::oracle::scalar;
use crate::support::postgres::Cluster;
use crate::support::server::{Server, config};
use crate::support::world::{self, World, queries};

/// Every start dropped the history that all servers shared.
#[tokio::test]
async fn a_start_destroys_nothing() -> Result<()> {
    let world = World::start().await?;
    world.run("create table history (id int4 primary key); insert into history values (1)").await?;
    let tables = "select string_agg(relname || relfilenode, ' ' order by relname) from pg_class where relkind in ('r', 'v', 'S') \
                  and relnamespace not in (select oid from pg_namespace where nspname ~ '^(pg_|information_schema)')";
    let before = scalar(&world.sql, tables).await?;
    let mut client = Client::web_socket(&world.server.address, "/users/2").await?;
    let mut held = Document::default();
    held.apply(&client.patch().await?)?;

    let second = Server::start(&config(&world.database.url, queries())).await?;
    assert_eq!(second.get("/users/2").await?.json()?, held.value);
    world.run("update users set name = 'Bobby' where id = 2").await?;
    held.apply(&client.patch().await?)?;
    // The first server's history is still there, too.
    let resumed = held.revision.clone();
    world.run("update users set name = 'Rob' where id = 2").await?;
    world.get("/users/2").await?;
    let mut back = Client::open(&world.server.address, "/users/2", Transport::WebSocket, resumed.as_deref()).await?;
    assert_eq!(back.patch().await?["from"], json!(resumed));
    assert_eq!(scalar(&world.sql, tables).await?, before);
    assert_eq!(scalar(&world.sql, "select count(*) from history").await?, "1");
    Ok(())
}

/// Resuming compared with the wrong object, and worked for the first twenty revisions only.
#[tokio::test]
async fn any_revision_can_be_resumed() -> Result<()> {
    let world = World::start().await?;
    let mut client = Client::web_socket(&world.server.address, "/followeds/1").await?;
    let mut held = Document::default();
    held.apply(&client.patch().await?)?;
    let mut past = vec![held.clone()];
    for number in 0..60 {
        world.run(&format!("update users set name = 'Bob {number}' where id = {}", 2 + number % 2)).await?;
        held.apply(&client.patch().await?)?;
        past.push(held.clone());
    }
    for number in [0, 1, 5, 19, 20, 21, 40, 59] {
        let mut document = past[number].clone();
        let revision = document.revision.clone();
        let mut back =
            Client::open(&world.server.address, "/followeds/1", Transport::WebSocket, revision.as_deref()).await?;
        let message = back.patch().await?;
        assert_eq!(message["from"], json!(revision), "revision number {number}");
        document.apply(&message)?;
        assert_eq!(document.value, held.value, "revision number {number}");
    }
    Ok(())
}

/// The table was read before the change feed was joined, so what was written in between was lost.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_between_the_first_read_and_the_stream() -> Result<()> {
    let world = World::start().await?;
    let database = world.database.clone();
    let writes = tokio::spawn(async move {
        let sql = database.connect().await?;
        for number in 1..=400 {
            sql.batch_execute(&format!("update places set rating = {number} where id in (10, 11)")).await?;
        }
        anyhow::Ok(())
    });
    let mut clients = Vec::new();
    let mut asked = 0;
    while !writes.is_finished() && clients.len() < 60 {
        // A route that nobody has asked for yet, so that it is read while writes go on.
        asked += 1;
        let path = format!("/places?least={}", -asked);
        let mut client = Client::web_socket(&world.server.address, &path).await?;
        let mut held = Document::default();
        held.apply(&client.patch().await?)?;
        clients.push((client, held));
    }
    writes.await??;
    for (client, held) in &mut clients {
        client.until(held, |value| value[0]["rating"] == 400 && value[1]["rating"] == 400).await?;
    }
    Ok(())
}

/// An update was matched by equality of the whole old row.
#[tokio::test]
async fn an_update_finds_its_row_by_its_identity() -> Result<()> {
    let (database, sql) = world::create(crate::support::postgres::shared()).await?;
    sql.batch_execute(
        "create table odd (id int4 primary key, n float8, j jsonb, t text, b text); \
         alter table odd alter column b set storage external; \
         insert into odd select id, 'NaN', '{\"a\": 1.0}', null, repeat('x', 5000) from generate_series(1, 3) id; \
         create table bag (a int4, b float8, c text); alter table bag replica identity full; \
         insert into bag values (1, 'NaN', null), (1, 'NaN', null), (1, 'NaN', null), (1, '-0', '')",
    )
    .await?;
    let queries = json!({
        "odd": { "route": "/odd", "from": "odd", "order_by": ["id"] },
        "bag": { "route": "/bag", "from": "bag" },
    });
    let server = Server::start(&config(&database.url, queries)).await?;
    for path in ["/odd", "/bag"] {
        let mut client = Client::web_socket(&server.address, path).await?;
        let mut held = Document::default();
        held.apply(&client.patch().await?)?;
        for change in [
            "update odd set t = 'two' where id = 2",
            "update odd set id = 9 where id = 1",
            "update odd set b = 'short' where id = 3",
            "delete from odd where id = 2",
            "update bag set c = 'one' where ctid = (select min(ctid) from bag where c is null)",
            "delete from bag where ctid = (select max(ctid) from bag where c is null)",
            "update bag set b = 0 where b = 0",
            "insert into bag select * from bag",
        ] {
            sql.batch_execute(change).await?;
            let expected = format!(
                "select coalesce(jsonb_agg(to_jsonb(r) order by {}), '[]') from {} r",
                if path == "/odd" { "id" } else { "to_jsonb(r)::text collate \"C\"" },
                &path[1..]
            );
            let expected = crate::support::oracle::evaluate(&sql, &expected).await?;
            client.until(&mut held, |value| crate::support::json::same(value, &expected)).await.with_context(|| format!("{path} after {change}: expected {expected}"))?;
        }
    }
    Ok(())
}

/// Counts the lines of Postgres's log, which has every statement, that mention a table.
fn reads(cluster: &Cluster, table: &str) -> Result<usize> {
    Ok(cluster.log()?.lines().filter(|line| line.contains(table)).count())
}

/// Equal joins were never shared, and every change computed all joins anew.
#[tokio::test(flavor = "multi_thread")]
async fn equal_joins_are_shared_and_changes_cost_no_read() -> Result<()> {
    let cluster = Cluster::start(&["log_statement = all"])?;
    let (database, sql) = world::create(&cluster).await?;
    sql.batch_execute(
        "insert into users select n, 'n', 'e' from generate_series(100, 160) n; \
         insert into users_followeds select n, 2 from generate_series(100, 160) n",
    )
    .await?;
    let server = Server::start(&config(&database.url, queries())).await?;
    let mut first = Client::web_socket(&server.address, "/followeds/100").await?;
    let mut held = Document::default();
    held.apply(&first.patch().await?)?;
    let once = reads(&cluster, "users_places")?;
    // Sixty more documents nest the same friend with the same places.
    let mut others = Vec::new();
    for user in 101..=160 {
        let mut client = Client::web_socket(&server.address, &format!("/followeds/{user}")).await?;
        client.patch().await?;
        others.push(client);
    }
    assert_eq!(reads(&cluster, "users_places")?, once, "the places of one friend are read once");

    // A change is followed without reading anything.
    let before = reads(&cluster, "places")?;
    sql.batch_execute("update places set rating = 5 where id = 10").await?;
    let rating = |value: &Value| value["followeds"][0]["places"][0]["rating"].clone();
    first.until(&mut held, |value| rating(value) == 5).await?;
    for client in &mut others {
        let message = client.patch().await?;
        assert_eq!(message["patch"], json!([{ "op": "replace", "path": "/followeds/0/places/0/rating", "value": 5 }]));
    }
    // The one line is the test's own.
    assert_eq!(reads(&cluster, "places")?, before + 1, "a change needs no upquery");
    Ok(())
}
