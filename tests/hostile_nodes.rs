//! Nodes that misbehave harm only the documents that go through them; and what becomes of them.
//!
//! What the host makes of each kind of misbehaviour is tested beside it (`host/src/wasm/tests/hostile`); here, what clients and the
//! operator see. `docs/hostile-nodes.md` has the whole table.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use crate::support::client::{Client, Said};
use crate::support::document::Document;
use crate::support::http::{self, PATIENCE};
use crate::support::postgres;
use crate::support::server::{Server, config};
use crate::support::world;

const GOOD: &str = "export function transform(place) { return place.rating * 10; }";

/// Each is well but for the place 11.
const HOSTILE: [(&str, &str); 7] = [
    ("spin", "while (true);"),
    ("recursion", "const f = (n) => f(n + 1) + 1; return f(0);"),
    ("memory", "for (const all = []; ; ) all.push(new Array(1 << 16).fill(all.length));"),
    ("flood", "for (;;) console.log('flood');"),
    ("nothing", "return undefined;"),
    ("nan", "return NaN;"),
    ("throw", "throw new Error('secret reason');"),
];

fn hostile(body: &str) -> String {
    format!("export function transform(place) {{ if (place.id == 11) {{ {body} }} return place.rating * 10; }}")
}

/// A server whose queries `/NAME` go through the script `NAME.js`, and `/plain` through none.
struct Stage {
    server: Server,
    sql: tokio_postgres::Client,
    folder: TempDir,
}

impl Stage {
    async fn start(scripts: &[(&str, &str)], on_error: &str) -> Result<Stage> {
        let (database, sql) = world::create(postgres::shared()).await?;
        let folder = tempfile::Builder::new().prefix("sangre-test-node-").tempdir()?;
        let mut queries = json!({ "plain": { "route": "/plain", "from": "places", "order_by": ["id"] } });
        let mut nodes = json!({});
        for (name, source) in scripts {
            let file = folder.path().join(format!("{name}.js"));
            fs::write(&file, source)?;
            nodes[name] = json!({ "script": file, "on_error": on_error });
            let map = json!({ "map": { "node": name, "into": "score", "input": ["id", "rating"] } });
            queries[name] =
                json!({ "route": format!("/{name}"), "from": "places", "order_by": ["id"], "steps": [map] });
        }
        let mut settings = config(&database.url, queries);
        settings["nodes"] = nodes;
        let server = Server::start(&settings).await?;
        server.nodes_loaded().await?;
        Ok(Stage { server, sql, folder })
    }

    fn write(&self, name: &str, source: &str) -> Result<()> {
        Ok(fs::write(self.folder.path().join(format!("{name}.js")), source)?)
    }

    async fn run(&self, sql: &str) -> Result<()> {
        Ok(self.sql.batch_execute(sql).await?)
    }

    async fn follow(&self, path: &str) -> Result<Held> {
        let client = Client::web_socket(&self.server.address, path).await?;
        Ok(Held { client, document: Document::default(), state: "live".into() })
    }

    /// A node as the admin port shows it.
    async fn node(&self, name: &str) -> Result<Value> {
        let nodes = http::get(&self.server.admin, "/nodes", &[]).await?.json()?;
        let found = nodes.as_array().and_then(|nodes| nodes.iter().find(|node| node["name"] == name).cloned());
        found.with_context(|| nodes.to_string())
    }

    /// Waits until the admin port shows the node in this state.
    async fn state(&self, name: &str, wanted: &str) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let node = self.node(name).await?;
            if node["state"] == wanted {
                return Ok(node);
            }
            ensure!(Instant::now() < deadline, "not {wanted}: {node}\n{}", self.server.running.log());
            // The admin port tells its state only when asked.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Waits until the path is answered by this status.
    async fn status(&self, path: &str, wanted: u16) -> Result<http::Response> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.server.get(path).await?;
            if answer.status == wanted {
                return Ok(answer);
            }
            ensure!(Instant::now() < deadline, "not {wanted}: {} {}", answer.status, answer.text());
        }
    }
}

/// A client, what it holds, and what it was last told of it.
struct Held {
    client: Client,
    document: Document,
    state: String,
}

impl Held {
    /// Follows the document until it and its state are as wanted. The state stands behind the document it is of.
    async fn until(&mut self, state: &str, wanted: impl Fn(&Value) -> bool) -> Result<()> {
        let follow = async {
            while self.document.revision.is_none() || self.state != state || !wanted(&self.document.value) {
                match self.client.next().await? {
                    Said::Patch(message) => {
                        self.document.apply(&message).with_context(|| message.to_string())?;
                    }
                    Said::Status(status) => {
                        self.state = status["state"].as_str().context("a state")?.to_owned();
                        let code = if self.state == "live" { Value::Null } else { json!("node_unavailable") };
                        ensure!(status["code"] == code, "{status}");
                    }
                    other => bail!("{other:?}"),
                }
            }
            Ok(())
        };
        let outcome = timeout(PATIENCE, follow).await;
        outcome.with_context(|| format!("not {state} and as wanted: {} {}", self.state, self.document.value))?
    }

    fn value(&self) -> &Value {
        &self.document.value
    }
}

fn rows(value: &Value) -> usize {
    value.as_array().map_or(0, Vec::len)
}

/// Whether there are `count` places, and each has ten times its rating for score.
fn scored(value: &Value, count: usize) -> bool {
    let is_scored = |place: &Value| place["score"].as_i64() == place["rating"].as_i64().map(|rating| rating * 10);
    rows(value) == count && value.as_array().is_some_and(|places| places.iter().all(is_scored))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_harms_only_the_rows_it_fails_on_and_no_other_query() -> Result<()> {
    let sources: Vec<_> = HOSTILE.iter().map(|(name, body)| (*name, hostile(body))).collect();
    let scripts: Vec<_> = sources.iter().map(|(name, source)| (*name, &**source)).collect();
    let mut stage = Stage::start(&scripts, "skip").await?;
    let mut plain = stage.follow("/plain").await?;
    plain.until("live", |value| rows(value) == 3).await?;
    let mut clients = Vec::new();
    for (name, _) in HOSTILE {
        clients.push((name, stage.follow(&format!("/{name}")).await?));
    }
    // While they misbehave, every commit comes, and alone.
    for number in 0..20 {
        stage.run(&format!("update places set name = 'X{number}', rating = {number} where id = 11")).await?;
        let message = plain.client.patch().await?;
        plain.document.apply(&message)?;
        assert_eq!(plain.value()[1]["name"], format!("X{number}"));
    }
    for (name, held) in &mut clients {
        held.until("degraded", |value| scored(value, 2)).await.with_context(|| *name)?;
        assert!(!held.value().to_string().contains("secret"), "{}", held.value());
        let node = stage.state(name, "failing").await?;
        let memory = node["memory_bytes"].as_u64().context("bytes")?;
        assert!(memory <= 64 << 20, "{node}");
        // Rows it is well on go on.
        stage.run("update places set rating = rating + 1 where id = 10").await?;
        let rating = stage.sql.query_one("select rating from places where id = 10", &[]).await?.get::<_, i32>(0);
        held.until("degraded", |value| value[0]["rating"] == rating && scored(value, 2))
            .await
            .with_context(|| *name)?;
    }
    // More than a node may write is counted.
    stage.server.running.line("lines of the node were dropped").await?;
    for (name, held) in &mut clients {
        stage.write(name, GOOD)?;
        held.until("live", |value| scored(value, 3)).await.with_context(|| *name)?;
        stage.state(name, "running").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_has_what_the_policy_makes_of_a_failure() -> Result<()> {
    let bad = hostile("for (;;) console.log('flood');");
    for on_error in ["skip", "null", "hold"] {
        let stage = Stage::start(&[("score", GOOD)], on_error).await?;
        let mut held = stage.follow("/score").await?;
        held.until("live", |value| scored(value, 3)).await?;
        stage.write("score", &bad)?;
        let lacking = |value: &Value| match on_error {
            "skip" => scored(value, 2),
            "null" => rows(value) == 3 && value[1]["score"].is_null() && value[1]["rating"] == 5,
            _ => scored(value, 3),
        };
        held.until("degraded", lacking).await.context(on_error)?;
        let before = held.document.clone();
        stage.run("update places set rating = 9 where id = 10").await?;
        stage.write("score", &format!("{GOOD} // again"))?;
        held.until("live", |value| scored(value, 3) && value[0]["rating"] == 9).await.context(on_error)?;
        assert_ne!(held.document.revision, before.revision);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_never_loaded_is_unavailable_and_then_is_not() -> Result<()> {
    let stage = Stage::start(&[("score", "export const transform = ;"), ("spin", "for (;;);")], "skip").await?;
    let mut plain = stage.follow("/plain").await?;
    plain.until("live", |value| rows(value) == 3).await?;
    for (name, reason) in [("score", "SyntaxError"), ("spin", "took longer than its deadline")] {
        let refused = stage.status(&format!("/{name}"), 503).await?;
        assert_eq!(refused.code(), "node_unavailable");
        let node = stage.state(name, "broken").await?;
        assert!(node["error"].as_str().is_some_and(|error| error.contains(reason)), "{node}");
    }
    let mut client = Client::web_socket(&stage.server.address, "/score").await?;
    let (problem, code) = client.refusal().await?;
    assert_eq!((&problem["code"], code), (&json!("node_unavailable"), Some(4503)), "{problem}");
    stage.run("update places set rating = 8 where id = 10").await?;
    plain.until("live", |value| value[0]["rating"] == 8).await?;
    stage.write("score", GOOD)?;
    assert!(scored(&stage.status("/score", 200).await?.json()?, 3));
    assert_eq!(stage.node("score").await?["state"], "running");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_fails_on_recent_rows_is_not_taken() -> Result<()> {
    let stage = Stage::start(&[("score", GOOD)], "skip").await?;
    let mut held = stage.follow("/score").await?;
    held.until("live", |value| scored(value, 3)).await?;
    let before = stage.node("score").await?;
    stage.write("score", "export function transform(place) { return place.name.length; }")?;
    let node = stage.state("score", "outdated").await?;
    assert_eq!(node["version"], before["version"]);
    let file = stage.folder.path().join("score.js");
    let reason = format!(
        "failed on 2 of the first 2 rows that it was tried on, all answered by the version before, the last: {}:1",
        file.display()
    );
    assert!(node["error"].as_str().is_some_and(|error| error.starts_with(&reason)), "{node}");
    stage.run("update places set rating = 9 where id = 10").await?;
    let message = held.client.patch().await?;
    held.document.apply(&message)?;
    assert!(scored(held.value(), 3), "{}", held.value());
    assert_eq!(held.value()[0]["rating"], 9, "nothing came between: {message}");
    Ok(())
}

/// Whoever saves a mistake a second time is told of it a second time.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_comes_again_is_asked_again_what_it_failed_on() -> Result<()> {
    let bad = hostile("throw new Error('no');");
    let stage = Stage::start(&[("score", GOOD)], "skip").await?;
    let mut held = stage.follow("/score").await?;
    held.until("live", |value| scored(value, 3)).await?;
    for _ in 0..2 {
        stage.write("score", &bad)?;
        held.until("degraded", |value| scored(value, 2)).await?;
        let node = stage.state("score", "failing").await?;
        let error = node["error"].as_str().unwrap_or_default();
        let version = node["version"].as_str().unwrap_or_default();
        assert!(error.starts_with(&format!("version {version} failed once, last: ")), "{node}");
        assert!(error.contains("score.js:1: Error: no; its input of places id=") && error.contains(" was {"), "{node}");
        stage.write("score", GOOD)?;
        held.until("live", |value| scored(value, 3)).await?;
        stage.state("score", "running").await?;
    }
    Ok(())
}

const MANY: &str = "insert into places select id, 'P', 2 from generate_series(101, 220) id";

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_fails_at_once_is_rolled_back() -> Result<()> {
    let stage = Stage::start(&[("score", GOOD)], "skip").await?;
    stage.run(MANY).await?;
    let mut held = stage.follow("/score").await?;
    held.until("live", |value| scored(value, 123)).await?;
    // The rows that a new version is tried on.
    for id in 101..=140 {
        stage.run(&format!("update places set rating = 3 where id = {id}")).await?;
        held.until("live", |value| value.as_array().is_some_and(|places| places[id - 98]["rating"] == 3)).await?;
    }
    let before = stage.node("score").await?;
    stage
        .write("score", "export function transform(place) { if (place.id > 140) throw new Error('no'); return 7; }")?;
    let node = stage.state("score", "outdated").await?;
    assert_eq!(node["version"], before["version"]);
    let error = node["error"].as_str().unwrap_or_default();
    assert!(error.contains("failed on 80 of 123 rows at once") && error.contains("score.js:1"), "{node}");
    stage.run("update places set rating = 9 where id = 10").await?;
    let message = held.client.patch().await?;
    held.document.apply(&message)?;
    assert!(scored(held.value(), 123) && held.value()[0]["rating"] == 9, "nothing came between: {message}");
    // It is no worse for it.
    stage.write("score", &format!("{GOOD} // mended"))?;
    let mended = stage.state("score", "running").await?;
    assert_ne!(mended["version"], before["version"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_keeps_failing_rests_and_its_documents_wait() -> Result<()> {
    let source =
        "export function transform(place) { if (place.rating == 1) throw new Error('no'); return place.rating * 10; }";
    let stage = Stage::start(&[("score", source)], "skip").await?;
    stage.run(MANY).await?;
    let mut plain = stage.follow("/plain").await?;
    plain.until("live", |value| rows(value) == 123).await?;
    let mut held = stage.follow("/score").await?;
    held.until("live", |value| scored(value, 123)).await?;
    stage.run("update places set rating = 1").await?;
    // Other queries do not notice; who has a document keeps it, whatever the policy for rows; who has none is refused.
    plain.until("live", |value| value[0]["rating"] == 1).await?;
    held.until("degraded", |value| scored(value, 123)).await?;
    assert_eq!(held.value()[0]["rating"], 4);
    stage.server.running.said(|log| log.contains("node score keeps failing: it is tried again in 1 s")).await?;
    stage.run("update places set rating = 5").await?;
    // The pause is over some time, and the same version answers again.
    held.until("live", |value| scored(value, 123) && value[0]["rating"] == 5).await?;
    let node = stage.node("score").await?;
    assert!(node["state"] == "running" || node["state"] == "failing", "{node}");
    Ok(())
}
