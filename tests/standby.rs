//! A commit that waits for a synchronous standby is in the stream, but no snapshot sees it, for as long as the standby is away.
//!
//! Whoever takes a snapshot for "all commits before this position" loses such a commit, or shows it and takes it back. The
//! standby here never comes; cancelling the waiting statement makes its commit visible, as an operator would.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::client::Client;
use crate::support::document::{Document, lsn_of};
use crate::support::http;
use crate::support::oracle::scalar;
use crate::support::postgres::{Cluster, Database};
use crate::support::server::{Server, config};
use crate::support::world::{self, queries};

/// Only sessions that ask for it wait.
const SETTINGS: [&str; 2] = ["synchronous_standby_names = 'nobody'", "synchronous_commit = local"];

/// Runs a statement whose commit waits for the standby.
async fn hang(database: &Database, statement: &str) -> Result<JoinHandle<Result<()>>> {
    let client = database.connect().await?;
    client.batch_execute("set synchronous_commit = on; set application_name = 'hanging'").await?;
    let statement = statement.to_owned();
    Ok(tokio::spawn(async move { Ok(client.batch_execute(&statement).await?) }))
}

/// Waits until so many commits wait.
async fn hanging(sql: &tokio_postgres::Client, count: usize) -> Result<()> {
    let waiting = "select count(*) from pg_stat_activity where application_name = 'hanging' and wait_event = 'SyncRep'";
    let deadline = tokio::time::Instant::now() + http::PATIENCE;
    while scalar(sql, waiting).await? != count.to_string() {
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "the commit does not wait for the standby");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Makes them visible.
async fn release(sql: &tokio_postgres::Client) -> Result<()> {
    scalar(sql, "select count(pg_cancel_backend(pid)) from pg_stat_activity where application_name = 'hanging'")
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_no_snapshot_sees_is_in_every_document() -> Result<()> {
    let cluster = Cluster::start(&SETTINGS)?;
    let (database, sql) = world::create(&cluster).await?;
    let server = Server::start(&config(&database.url, queries())).await?;
    let mut early = Client::web_socket(&server.address, "/users/2").await?;
    let mut held = Document::default();
    held.apply(&early.patch().await?)?;

    let first =
        hang(&database, "update users set name = 'Zoe' where id = 2; delete from users_places where user_id = 3")
            .await?;
    hanging(&sql, 1).await?;
    early.until(&mut held, |value| value["name"] == "Zoe").await?;
    assert_eq!(scalar(&sql, "select name from users where id = 2").await?, "Bob", "no snapshot sees it yet");
    let seen = lsn_of(held.revision.as_deref().unwrap_or_default())?;

    // Another document with the same row, and rows that nobody has asked for yet: read while the commit is invisible.
    let mut late = Client::web_socket(&server.address, "/followeds/1").await?;
    let mut other = Document::default();
    other.apply(&late.patch().await?)?;
    let name = |document: &Document, index: usize| document.value["followeds"][index]["name"].clone();
    assert!(lsn_of(other.revision.as_deref().unwrap_or_default())? >= seen, "positions do not go back");
    assert_eq!(
        (name(&other, 0), name(&other, 1)),
        (json!("Cleo"), json!("Zoe")),
        "sorted by the new name: {}",
        other.value
    );

    // A second one on top of the first, then both become visible; nothing is shown twice or taken back.
    let second = hang(&database, "update users set name = 'Amy' where id = 3").await?;
    hanging(&sql, 2).await?;
    late.until(&mut other, |value| value["followeds"][0]["name"] == "Amy").await?;
    let fresh = server.get("/followeds/1").await?.json()?;
    assert_eq!(fresh, other.value);
    release(&sql).await?;
    let _ = tokio::join!(first, second);
    sql.batch_execute("update users set name = 'Max' where id = 2").await?;
    late.until(&mut other, |value| value["followeds"][1]["name"] == "Max").await?;
    early.until(&mut held, |value| value["name"] == "Max").await?;
    assert_eq!(other.value["followeds"][0], json!({ "id": 3, "name": "Amy", "places": [] }));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_meanwhile_does_not_lose_it() -> Result<()> {
    let cluster = Cluster::start(&SETTINGS)?;
    let (database, sql) = world::create(&cluster).await?;
    let hung = hang(&database, "update users set name = 'Zoe' where id = 2").await?;
    hanging(&sql, 1).await?;
    let server = Server::listening(&config(&database.url, queries())).await?;
    // A slot waits for transactions that are running, so a start may take until this one has ended; or it may not.
    let ready = http::get(&server.admin, "/readyz", &[]).await?;
    assert!([200, 503].contains(&ready.status), "{}", ready.text());
    let more = hang(&database, "update users set name = 'Amy' where id = 3").await?;
    hanging(&sql, 2).await?;
    release(&sql).await?;
    let _ = tokio::join!(hung, more);
    server.ready().await?;
    let document = server.get("/followeds/1").await?.json()?;
    let names = [&document["followeds"][0]["name"], &document["followeds"][1]["name"]];
    assert_eq!(names, ["Amy", "Zoe"]);
    Ok(())
}

/// Looks until the slot being made waits for this transaction.
async fn waited_for(sql: &tokio_postgres::Client, xid: &str) -> Result<()> {
    let waiting = format!(
        "select count(*) from pg_locks l join pg_stat_activity a using (pid) where l.locktype = 'transactionid' \
         and not l.granted and l.transactionid = '{xid}' and a.backend_type = 'walsender'"
    );
    let deadline = tokio::time::Instant::now() + http::PATIENCE;
    while scalar(sql, &waiting).await? == "0" {
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "the slot does not wait for transaction {xid}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// A slot looks for its beginning in steps, each of which waits for transactions. One that commits after the last step
/// began lies before the slot's beginning, so the stream does not tell it, and no snapshot need see it yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_from_right_before_the_stream_is_not_lost() -> Result<()> {
    let cluster = Cluster::start(&SETTINGS)?;
    let (database, sql) = world::create(&cluster).await?;
    sql.batch_execute("create publication sangre for table users, users_followeds, places, users_places").await?;
    let begin = "begin; select pg_current_xact_id()";
    let (one, two) = (database.connect().await?, database.connect().await?);
    let first = scalar(&one, begin).await?;
    let server = Server::listening(&config(&database.url, queries())).await?;
    waited_for(&sql, &first).await?;
    let second = scalar(&two, begin).await?;
    one.batch_execute("commit").await?;
    waited_for(&sql, &second).await?;
    let hung = hang(&database, "update users set name = 'Zoe' where id = 2").await?;
    hanging(&sql, 1).await?;
    two.batch_execute("commit").await?;
    server.ready().await?;
    // Read while nobody sees it: the answer is of no use, and asked again until somebody does.
    let address = server.address.clone();
    let early = tokio::spawn(async move { http::get(&address, "/users/2", &[]).await });
    let asked = "select count(*) from pg_stat_activity where query like '%pg_current_snapshot()%' \
                 and pid <> pg_backend_pid() and backend_type = 'client backend'";
    let deadline = tokio::time::Instant::now() + http::PATIENCE;
    while scalar(&sql, asked).await? == "0" {
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "nobody asked");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    release(&sql).await?;
    let _ = hung.await;
    let early = early.await??;
    assert!(early.status == 503 || early.json()?["name"] == "Zoe", "{}", early.text());
    let lsn = scalar(&sql, "select pg_current_wal_insert_lsn()").await?;
    let late = server.get(&crate::support::client::with_query("/users/2", "after", &lsn)).await?;
    assert_eq!(late.json()?["name"], "Zoe", "{}", late.text());
    Ok(())
}
