//! What ignores snapshots: a table is rewritten while somebody asks for it.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::support::http;
use crate::support::oracle::scalar;
use crate::support::world::World;

/// A rewritten table looks empty under every snapshot that was taken before the rewrite committed. So whoever reads waits
/// for the lock first, and takes the snapshot then.
#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_table_is_not_found_empty() -> Result<()> {
    let world = World::start().await?;
    let rewriter = world.database.connect().await?;
    let waits = "select count(*) from pg_locks where database = (select oid from pg_database where datname = \
                 current_database()) and relation = 'places'::regclass and not granted";
    for round in 0..3 {
        rewriter.batch_execute("begin; alter table places alter column name type text using name || ''").await?;
        let address = world.server.address.clone();
        let path = format!("/places?least={round}&most=50");
        let asked = tokio::spawn(async move { http::get(&address, &path, &[]).await });
        let deadline = tokio::time::Instant::now() + http::PATIENCE;
        while scalar(&world.sql, waits).await? == "0" {
            ensure!(tokio::time::Instant::now() < deadline, "nobody waits for the table");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        rewriter.batch_execute("commit").await?;
        let answer = asked.await??;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        assert_eq!(answer.json()?.as_array().map(Vec::len), Some(3), "round {round}: {}", answer.text());
    }
    assert_eq!(world.get("/users/1").await?["name"], json!("Ada"));
    Ok(())
}
