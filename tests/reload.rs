//! A node's file is edited while clients follow documents that go through it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::client::{Client, Said};
use crate::support::document::Document;
use crate::support::http::{self, PATIENCE};
use crate::support::postgres;
use crate::support::server::{Server, config};
use crate::support::world;

/// A server with one script node, and the folder of its source.
struct Scripted {
    server: Server,
    sql: tokio_postgres::Client,
    folder: TempDir,
    file_name: &'static str,
    /// The server's configuration.
    settings: Value,
}

impl Scripted {
    async fn start(source: &str) -> Result<Scripted> {
        Scripted::with(source, json!({}), json!({})).await
    }

    async fn python(source: &str) -> Result<Scripted> {
        Scripted::written("score.py", source, json!({}), json!({})).await
    }

    /// With these settings of the node, and these queries besides `/places` and `/plain`.
    async fn with(source: &str, node: Value, more: Value) -> Result<Scripted> {
        Scripted::written("score.js", source, node, more).await
    }

    async fn written(file_name: &'static str, source: &str, node: Value, more: Value) -> Result<Scripted> {
        let (database, sql) = world::create(postgres::shared()).await?;
        let folder = tempfile::Builder::new().prefix("sangre-test-node-").tempdir()?;
        fs::write(folder.path().join(file_name), source)?;
        let query = json!({
            "route": "/places", "from": "places",
            "steps": [{ "map": { "node": "score", "into": "score", "input": ["id", "rating"] } }, { "order_by": ["-score"] }],
        });
        let plain = json!({ "route": "/plain", "from": "places" });
        let mut queries = json!({ "places": query, "plain": plain });
        let mut score = json!({ "script": folder.path().join(file_name) });
        for (all, more) in [(&mut queries, more), (&mut score, node)] {
            all.as_object_mut().context("an object")?.extend(more.as_object().context("an object")?.clone());
        }
        let mut settings = config(&database.url, queries);
        settings["nodes"] = json!({ "score": score });
        let server = Server::start(&settings).await?;
        server.nodes_loaded().await?;
        Ok(Scripted { server, sql, folder, file_name, settings })
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join(self.file_name)
    }

    /// The node as the admin port shows it.
    async fn node(&self) -> Result<Value> {
        let nodes = http::get(&self.server.admin, "/nodes", &[]).await?.json()?;
        let found = nodes.as_array().and_then(|nodes| nodes.iter().find(|node| node["name"] == "score").cloned());
        found.with_context(|| nodes.to_string())
    }

    /// Waits until the admin port shows the node in this state.
    async fn node_until(&self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let node = self.node().await?;
            if wanted(&node) {
                return Ok(node);
            }
            anyhow::ensure!(tokio::time::Instant::now() < deadline, "{node}\n{}", self.server.running.log());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// Whether each place has this score.
fn scores(value: &Value, score: impl Fn(i64) -> i64) -> bool {
    let rating = |place: &Value| place["rating"].as_i64().unwrap_or_default();
    value
        .as_array()
        .is_some_and(|places| places.iter().all(|place| place["score"].as_i64() == Some(score(rating(place)))))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_one_patch_of_what_it_changes() -> Result<()> {
    let scripted = Scripted::start("export function transform(place) { return place.rating * 10; }").await?;
    let mut client = Client::web_socket(&scripted.server.address, "/places").await?;
    let mut held = Document::default();
    held.apply(&client.patch().await?)?;
    assert!(scores(&held.value, |rating| rating * 10), "{}", held.value);

    fs::write(
        scripted.file(),
        "export function transform(place) { return place.rating * 10 + (place.rating == 5 ? 1 : 0); }",
    )?;
    let message = client.patch().await?;
    assert_eq!(message["patch"].as_array().map(Vec::len), Some(1), "only one place changes: {message}");
    held.apply(&message)?;
    assert!(scores(&held.value, |rating| rating * 10 + i64::from(rating == 5)), "{}", held.value);

    // One revision, even if everything changes, the order included.
    fs::write(scripted.file(), "export default function (place) { return -place.rating; }")?;
    held.apply(&client.patch().await?)?;
    assert!(scores(&held.value, |rating| -rating), "{}", held.value);
    assert_eq!(held.value[0]["rating"], 2);

    // The new code is what later commits go through.
    scripted.sql.batch_execute("update places set rating = 7 where id = 10").await?;
    held.apply(&client.patch().await?)?;
    assert!(scores(&held.value, |rating| -rating), "{}", held.value);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_in_python_is_as_live() -> Result<()> {
    let scripted = Scripted::python("def transform(place, args): return place['rating'] * 10").await?;
    let mut client = Client::web_socket(&scripted.server.address, "/places").await?;
    let mut held = Document::default();
    held.apply(&client.patch().await?)?;
    assert!(scores(&held.value, |rating| rating * 10), "{}", held.value);

    fs::write(scripted.file(), "def transform(place, args) return 1")?;
    let node = scripted.node_until(|node| !node["error"].is_null()).await?;
    assert!(node["error"].as_str().is_some_and(|error| error.contains("score.py:1: SyntaxError")), "{node}");

    fs::write(scripted.file(), "def transform(place, args): return -place['rating']")?;
    held.apply(&client.patch().await?)?;
    assert!(scores(&held.value, |rating| -rating), "{}", held.value);
    scripted.sql.batch_execute("update places set rating = 7 where id = 10").await?;
    held.apply(&client.patch().await?)?;
    assert!(scores(&held.value, |rating| -rating), "{}", held.value);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_a_file_that_a_script_in_typescript_imports_is_as_live() -> Result<()> {
    let source =
        "interface Place { rating: number }\nexport const transform = (place: Place): number => place.rating * 10;";
    let scripted = Scripted::written("score.ts", source, json!({}), json!({})).await?;
    let mut client = Client::web_socket(&scripted.server.address, "/places").await?;
    let mut held = Document::default();
    held.apply(&client.patch().await?)?;
    assert!(scores(&held.value, |rating| rating * 10), "{}", held.value);

    let imported = scripted.folder.path().join("lib/factor.ts");
    fs::create_dir(scripted.folder.path().join("lib"))?;
    fs::write(&imported, "export const factor: number = 2;")?;
    fs::write(
        scripted.file(),
        "import { factor } from './lib/factor';\nexport const transform = (place: any): number => place.rating * factor;",
    )?;
    held.apply(&client.patch().await?)?;
    assert!(scores(&held.value, |rating| rating * 2), "{}", held.value);

    fs::write(&imported, "export const factor: number = ;")?;
    let node = scripted.node_until(|node| !node["error"].is_null()).await?;
    assert!(node["error"].as_str().is_some_and(|error| error.contains("lib/factor.ts:1:31: SyntaxError")), "{node}");
    fs::write(&imported, "export const factor: number = 3;")?;
    held.apply(&client.patch().await?)?;
    assert!(scores(&held.value, |rating| rating * 3), "{}", held.value);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_edit_leaves_the_old_running_and_says_why() -> Result<()> {
    let good = "export function transform(place) { return place.rating * 10; }";
    let scripted = Scripted::start(good).await?;
    let mut client = Client::web_socket(&scripted.server.address, "/places").await?;
    let mut held = Document::default();
    held.apply(&client.patch().await?)?;
    assert!(scripted.node().await?["error"].is_null());
    for (bad, failures) in [
        "export function transform(place) { return place.rating * ; }",
        "",
        "export const x = 1;",
        "throw new Error('no')",
    ]
    .into_iter()
    .zip(1..)
    {
        fs::write(scripted.file(), bad)?;
        scripted.node_until(|node| !node["error"].is_null()).await?;
        // One line for each.
        scripted.server.running.said(|log| log.matches("cannot be loaded").count() == failures).await?;
        scripted.sql.batch_execute("update places set rating = rating + 1 where id = 10").await?;
        held.apply(&client.patch().await?)?;
        assert!(scores(&held.value, |rating| rating * 10), "{}", held.value);
        fs::write(scripted.file(), format!("{good} // after {}", bad.len()))?;
        scripted.node_until(|node| node["error"].is_null()).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_row_is_left_out_and_others_stay() -> Result<()> {
    let scripted = Scripted::start("export function transform(place) { return place.rating * 10; }").await?;
    let mut client = Client::web_socket(&scripted.server.address, "/places").await?;
    let mut plain = Client::web_socket(&scripted.server.address, "/plain").await?;
    let mut held = Document::default();
    held.apply(&client.patch().await?)?;
    plain.patch().await?;
    fs::write(
        scripted.file(),
        "export function transform(place) { if (place.id == 11) throw new Error('secret reason'); return place.rating * 10; }",
    )?;
    client.until(&mut held, |value| value.as_array().is_some_and(|places| places.len() == 2)).await?;
    assert!(!held.value.to_string().contains("secret reason"));
    // A query without the node does not notice.
    scripted.sql.batch_execute("update places set name = 'X' where id = 11").await?;
    assert_eq!(plain.patch().await?["patch"][0]["value"], "X");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_never_ends_stops_only_its_own_documents() -> Result<()> {
    let scripted =
        Scripted::start("export function transform(place) { while (place.id == 11); return place.rating * 10; }")
            .await?;
    let mut plain = Client::web_socket(&scripted.server.address, "/plain").await?;
    let mut client = Client::web_socket(&scripted.server.address, "/places").await?;
    plain.patch().await?;
    for number in 0..10 {
        scripted.sql.batch_execute(&format!("update places set name = 'X{number}' where id = 11")).await?;
        assert_eq!(plain.patch().await?["patch"][0]["value"], format!("X{number}"));
    }
    let mut held = Document::default();
    client.until(&mut held, |value| value.as_array().is_some_and(|places| places.len() == 2)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_is_asked_for_answers_with_its_outcome() -> Result<()> {
    let scripted = Scripted::start("export function transform(place) { return place.rating * 10; }").await?;
    let reload = async |name: &str| {
        let path = format!("/nodes/{name}/reload");
        http::request("POST", &scripted.server.admin, &path, &[], "").await
    };
    let before = scripted.node().await?;
    assert_eq!((&before["kind"], &before["state"]), (&json!("map"), &json!("running")), "{before}");
    let same = reload("score").await?;
    let node = same.json()?;
    for key in ["kind", "version", "state", "error"] {
        assert_eq!((same.status, &node[key]), (200, &before[key]), "the file is as it was");
    }
    assert_eq!(scripted.node().await?, node, "with what it has cost so far");

    fs::write(scripted.file(), "export function transform(place) { return place.rating * 20; }")?;
    let changed = reload("score").await?;
    let node = changed.json()?;
    assert_eq!((changed.status, &node["state"], &node["error"]), (200, &json!("running"), &Value::Null), "{node}");
    assert_ne!(node["version"], before["version"]);
    assert_eq!(scripted.node().await?, node, "what it says holds already");

    fs::write(scripted.file(), "export function transform(place) { return ; ; }}}")?;
    let refused = reload("score").await?;
    let stays = refused.json()?;
    assert_eq!((refused.status, &stays["state"], &stays["version"]), (422, &json!("outdated"), &node["version"]));
    assert!(stays["error"].to_string().contains("SyntaxError"), "{stays}");
    assert_eq!(reload("nobody").await?.status, 404);

    fs::write(scripted.file(), "export function transform(place) { throw new Error('no'); }")?;
    reload("score").await?;
    scripted.server.get("/places").await?;
    let back = scripted.node_until(|node| node["state"] == "outdated").await?;
    assert_eq!(back["version"], node["version"], "the one before is asked again");
    let file = scripted.file();
    let expected = format!("failed on 3 of 3 rows at once, last: {}:1: Error: no", file.display());
    assert!(back["error"].to_string().contains(&expected), "{back}");
    Ok(())
}

/// Waits for a status in this state; patches may come before it.
async fn state(client: &mut Client, wanted: &str) -> Result<()> {
    let waiting = async {
        loop {
            match client.next().await? {
                Said::Status(status) if status["state"] == wanted => return Ok(status["code"].clone()),
                Said::Status(_) | Said::Patch(_) => {}
                other => anyhow::bail!("a status was expected, not {other:?}"),
            }
        }
    };
    let code = tokio::time::timeout(PATIENCE, waiting).await.with_context(|| format!("it is not {wanted}"))??;
    assert_eq!(code, if wanted == "live" { Value::Null } else { json!("node_unavailable") });
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_lacks_what_a_node_failed_on_says_so() -> Result<()> {
    let map = json!({ "map": { "node": "score", "into": "score", "input": ["rating"] } });
    let more = json!({
        "good": { "route": "/good/{least}", "from": "places", "where": { "rating": { "gte": "$least" } }, "steps": [map] },
        "nested": { "route": "/users/{id}", "from": "users", "get": { "id": "$id" }, "with": {
            "places": { "from": "places", "through": "users_places", "steps": [map] },
        } },
        "late": { "route": "/late", "from": "places", "steps": [{ "order_by": ["-id"] }, { "limit": 2 }, map] },
    });
    let source =
        "export function transform(place) { if (place.rating == 2) throw new Error('no'); return place.rating; }";
    for on_error in ["skip", "null", "hold"] {
        let scripted = Scripted::with(source, json!({ "on_error": on_error }), more.clone()).await?;
        let status = async |path: &str| {
            let answer = scripted.server.get(path).await?;
            anyhow::Ok(if answer.status == 200 { answer.header("sangre-status").to_owned() } else { answer.code() })
        };
        // Held documents have no state yet.
        let lacking = if on_error == "hold" { "node_unavailable" } else { "degraded; code=node_unavailable" };
        for (path, expected) in [
            ("/places", lacking),
            ("/users/2", lacking),
            ("/late", lacking),
            ("/good/4", "live"),
            ("/users/3", "live"),
            ("/plain", "live"),
        ] {
            assert_eq!(status(path).await?, expected, "{on_error}: {path}");
        }
        scripted.sql.batch_execute("update places set rating = 3 where id = 12").await?;
        let mut clients = Vec::new();
        for path in ["/places", "/users/2", "/late"] {
            // Held documents are refused until they have a state.
            let deadline = tokio::time::Instant::now() + PATIENCE;
            while !["live", "degraded; code=node_unavailable"].contains(&&*status(path).await?) {
                anyhow::ensure!(tokio::time::Instant::now() < deadline, "{on_error}: {path} has no state");
            }
            clients.push(Client::web_socket(&scripted.server.address, path).await?);
        }
        for (rating, wanted) in [(2, "degraded"), (4, "live"), (2, "degraded")] {
            scripted.sql.batch_execute(&format!("update places set rating = {rating} where id = 12")).await?;
            for client in &mut clients {
                state(client, wanted).await.with_context(|| on_error)?;
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_all_rows_are_evaluated_anew_and_clients_are_sent_what_changed() -> Result<()> {
    let source = "export const transform = (place) => place.rating > 3 ? Date.now() : 0;";
    let scripted = Scripted::with(source, json!({ "every": "200ms" }), json!({})).await?;
    let mut client = Client::web_socket(&scripted.server.address, "/places").await?;
    let mut held = Document::default();
    held.apply(&client.patch().await?)?;
    let times = |value: &Value| -> Vec<i64> {
        let places = value.as_array().into_iter().flatten();
        let mut times: Vec<i64> = places.filter_map(|place| place["score"].as_i64()).filter(|time| *time > 0).collect();
        times.dedup();
        times
    };
    let mut before = 0;
    for _ in 0..4 {
        let now = times(&held.value);
        assert_eq!(now.len(), 1, "one time for all rows of a tick: {}", held.value);
        assert!(now[0] >= before + 200 || before == 0, "{now:?} after {before}");
        before = now[0];
        held.apply(&client.patch().await?)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_a_tick_sends_only_what_it_changes_and_else_nothing() -> Result<()> {
    let source = "export const transform = (place) => place.id === 10 ? Date.now() : place.rating;";
    // The same node, asked as often, of rows whose answers stay.
    let map = json!({ "map": { "node": "score", "into": "score", "input": ["id", "rating"] } });
    let still = json!({ "route": "/still", "from": "places", "where": { "id": { "gt": 10 } }, "order_by": ["id"], "steps": [map] });
    let scripted = Scripted::with(source, json!({ "every": "100ms" }), json!({ "still": still })).await?;
    let mut client = Client::web_socket(&scripted.server.address, "/places").await?;
    let mut still = Client::web_socket(&scripted.server.address, "/still").await?;
    let (mut held, mut kept) = (Document::default(), Document::default());
    held.apply(&client.patch().await?)?;
    kept.apply(&still.patch().await?)?;
    for _ in 0..4 {
        let message = client.patch().await?;
        held.apply(&message)?;
        let time = &held.value[0]["score"];
        assert_eq!(message["patch"], json!([{ "op": "replace", "path": "/0/score", "value": time }]), "{message}");
    }
    scripted.sql.batch_execute("update places set name = 'Pub' where id = 12").await?;
    let message = still.patch().await?;
    assert_eq!(message["patch"], json!([{ "op": "replace", "path": "/1/name", "value": "Pub" }]), "{message}");
    assert_eq!(message["from"].as_str(), kept.revision.as_deref(), "nothing came in between");
    kept.apply(&message)
}

/// Queries that are edited may use a node as what it is not: its answers mean nothing to them, whatever they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_held_to_what_the_queries_of_now_use_it_as() -> Result<()> {
    let scripted = Scripted::start("export function transform(place) { return place.rating * 10; }").await?;
    let mut settings = scripted.settings.clone();
    settings["queries"]["places"]["steps"] = json!([{ "filter": { "node": "score", "input": ["rating"] } }]);
    scripted.server.rewrite(&settings)?;
    let node = scripted.node_until(|node| node["state"] == "broken").await?;
    assert_eq!(node["error"], "is a map, but is used as a filter: use it as a map, or export keep instead", "{node}");
    let file = scripted.file().display().to_string();
    assert_eq!((&node["file"], &node["queries"]), (&json!(file), &json!(["places"])), "{node}");
    let ready = http::get(&scripted.server.admin, "/readyz", &[]).await?;
    assert!(ready.text().contains(r#"; the query \"places\" needs it"#), "{}", ready.text());
    let refused = scripted.server.get("/places").await?;
    assert_eq!((refused.status, refused.code().as_str()), (503, "node_unavailable"));
    let before = node["version"].clone();
    fs::write(scripted.file(), "export function keep(place) { return place.rating > 3; }")?;
    let node = scripted.node_until(|node| node["state"] == "running").await?;
    assert!(node["kind"] == "filter" && node["version"] != before, "{node}");
    assert_eq!(scripted.server.get("/places").await?.json()?.as_array().map(Vec::len), Some(2));
    // And back.
    scripted.server.rewrite(&scripted.settings)?;
    let node = scripted.node_until(|node| node["state"] == "broken").await?;
    assert_eq!(
        node["error"], "is a filter, but is used as a map: use it as a filter, or export transform instead",
        "{node}"
    );
    fs::write(scripted.file(), "export function transform(place) { return 7; }")?;
    scripted.node_until(|node| node["state"] == "running" && node["kind"] == "map").await?;
    let places = scripted.server.get("/places").await?.json()?;
    assert!(scores(&places, |_| 7), "{places}");
    Ok(())
}
