//! The example of an application that embeds Sangre, built and run as its reader would: own routes, live documents beside
//! them, changes in process, and an end that leaves nothing.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::client::{Client, Transport};
use crate::support::document::Document;
use crate::support::http;
use crate::support::oracle::scalar;
use crate::support::postgres;
use crate::support::server::{Running, address};

/// Builds an example, and says where its program is.
async fn build(example: &str) -> Result<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let arguments = ["build", "--locked", "--message-format=json", "--package", "sangre", "--example", example];
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    // What cargo tells this test about its package, build scripts of dependencies would take for their own, and run again.
    let ours = |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|start| name.starts_with(start));
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name) || name == "LD_LIBRARY_PATH") {
        command.env_remove(name);
    }
    let output = command.output().await.context("cannot run cargo")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let programs = messages.filter(|message| message["target"]["name"] == example);
    let mut programs = programs.filter_map(|message| message["executable"].as_str().map(str::to_owned));
    programs.next().with_context(|| format!("cargo built no program:\n{text}"))
}

#[tokio::test]
async fn the_example_works_as_its_reader_would_run_it() -> Result<()> {
    let database = postgres::shared().database().await?;
    let sql = database.connect().await?;
    let mut command = Command::new(build("embed").await?);
    command.env("DATABASE_URL", &database.url).env("LISTEN", "127.0.0.1:0").env("RUST_LOG", "info");
    let mut application = Running::spawn(command)?;
    let line = application.line("listening on http://").await?;
    let address = address(&line, "listening on http://")?;

    let mut clients = Vec::new();
    for transport in [Transport::WebSocket, Transport::Sse] {
        let mut client = Client::open(&address, "/live/notes", transport, None).await?;
        let mut held = Document::default();
        client.until(&mut held, |notes| *notes == json!([])).await?;
        clients.push((client, held));
    }
    let answer = http::request("POST", &address, "/notes", &[], "buy milk").await?;
    assert_eq!(answer.status, 201, "the application's own route");
    let notes = json!([{ "id": 1, "text": "buy milk" }]);
    for (client, held) in &mut clients {
        client.until(held, |now| *now == notes).await?;
    }
    assert_eq!(http::get(&address, "/live/notes/1", &[]).await?.json()?, notes[0]);
    application.line("changed: [{\"op\":\"add\",\"path\":\"/0\"").await.context("the subscription in process")?;
    let foreign = http::get(&address, "/live/notes", &[("Host", "evil.example")]).await?;
    assert_eq!((foreign.status, foreign.code().as_str()), (403, "forbidden"), "a name that nobody gave it");
    assert!(foreign.text().contains("add it to its `hosts`"), "{}", foreign.text());

    assert_eq!(slots(&sql).await?, 1);
    application.signal("INT").await?;
    let codes: Vec<Option<u16>> = {
        let mut codes = Vec::new();
        for (client, _) in &mut clients {
            let (problem, code) = client.refusal().await?;
            assert_eq!(problem["code"], "shutting_down");
            codes.push(code);
        }
        codes
    };
    assert_eq!(codes, [Some(1012), None]);
    assert!(application.ended().await?.success(), "{}", application.log());
    assert!(application.log().contains("no more changes: "), "{}", application.log());
    while slots(&sql).await? > 0 {
        // Postgres says nothing when a slot has gone.
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    Ok(())
}

/// How many replication slots the database has.
pub async fn slots(sql: &tokio_postgres::Client) -> Result<usize> {
    let count = "select count(*)::text from pg_replication_slots where database = current_database()";
    Ok(scalar(sql, count).await?.parse()?)
}
