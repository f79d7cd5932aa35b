//! Writes that never rest: documents that need more with every commit, and a transaction too large to be kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use serde_json::json;

use crate::support::client::Client;
use crate::support::document::Document;
use crate::support::postgres;
use crate::support::server::{Server, config};

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_needs_more_with_every_commit_is_sent() -> Result<()> {
    let database = postgres::shared().database().await?;
    let sql = database.connect().await?;
    sql.batch_execute(
        "create table authors (id int primary key, name text);
         create table messages (id int primary key, author_id int references authors);
         insert into authors select n, 'author ' || n from generate_series(1, 300000) n;
         insert into messages values (0, 1), (1, 2), (2, 3);",
    )
    .await?;
    let queries = json!({ "feed": {
        "route": "/feed", "from": "messages",
        "with": { "author": { "from": "authors", "one": true, "select": ["name"] } },
    }});
    let server = Server::start(&config(&database.url, queries)).await?;

    // Each message goes from author to author, as fast as Postgres takes it: each commit needs one that nobody has asked for.
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for message in 0..3 {
        let (sql, stop) = (database.connect().await?, stop.clone());
        writers.push(tokio::spawn(async move {
            let mut author = message + 1;
            for n in (1..=90_000).cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                author = message * 100_000 + n;
                sql.batch_execute(&format!("update messages set author_id = {author} where id = {message}")).await?;
            }
            anyhow::Ok(author)
        }));
    }
    let mut held = Document::default();
    let mut client = Client::web_socket(&server.address, "/feed").await?;
    for _ in 0..3 {
        held.apply(&client.patch().await?)?;
        for message in held.value.as_array().expect("a list") {
            assert_eq!(message["author"]["name"], format!("author {}", message["author_id"]));
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut last = Vec::new();
    for (message, writer) in writers.into_iter().enumerate() {
        let author = writer.await??;
        last.push(json!({ "id": message, "author_id": author, "author": { "name": format!("author {author}") } }));
    }
    client.until(&mut held, |value| *value == json!(last)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_too_large_to_be_kept_is_one_revision_all_the_same() -> Result<()> {
    let database = postgres::shared().database().await?;
    let sql = database.connect().await?;
    sql.batch_execute(
        "create table notes (id int primary key, topic int, text text);
         create table topics (id int primary key, title text);
         insert into notes values (1, 1, 'small'), (2, 2, 'other');
         insert into topics values (1, 'one');",
    )
    .await?;
    let queries = json!({ "topic": {
        "route": "/topics/{id}", "from": "topics", "get": { "id": "$id" },
        "with": { "notes": {
            "from": "notes", "on": { "topic": "id" }, "select": ["id", "topic"], "order_by": ["id"],
        } },
    }, "texts": { "route": "/texts/{topic}", "from": "notes", "where": { "topic": "$topic" } } });
    let server = Server::start(&config(&database.url, queries)).await?;
    let mut client = Client::web_socket(&server.address, "/topics/1").await?;
    let mut held = Document::default();
    held.apply(&client.patch().await?)?;
    assert_eq!(held.value["notes"].as_array().map(Vec::len), Some(1));

    // 80 MiB of text, at both ends of it something that shows.
    sql.batch_execute(
        "begin;
         update topics set title = 'two';
         insert into notes select n, 3, repeat('x', 1 << 20) from generate_series(100, 179) n;
         insert into notes values (3, 1, 'last');
         commit;",
    )
    .await?;
    held.apply(&client.patch().await?)?;
    assert_eq!(held.value["title"], "two", "the transaction is seen whole");
    assert_eq!(held.value["notes"].as_array().map(Vec::len), Some(2), "the transaction is seen whole");
    sql.batch_execute("update topics set title = 'three'").await?;
    held.apply(&client.patch().await?)?;
    assert_eq!(held.value["title"], "three");
    Ok(())
}
