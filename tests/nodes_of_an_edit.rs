//! The configuration's nodes are edited while clients follow documents, as its queries are.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::client::Client;
use crate::support::document::Document;
use crate::support::http;
use crate::support::postgres;
use crate::support::server::{Server, config};
use crate::support::world;

/// A server that serves `/places` as they are, and a folder for scripts.
struct Edited {
    server: Server,
    sql: tokio_postgres::Client,
    folder: TempDir,
    settings: Value,
}

/// Places with what this node makes of them, under its name.
fn through(node: &str) -> Value {
    let map = json!({ "map": { "node": node, "into": node, "input": ["id", "rating"] } });
    json!({ "route": format!("/{node}"), "from": "places", "steps": [map, { "order_by": ["id"] }] })
}

fn file(folder: &TempDir, node: &str) -> PathBuf {
    folder.path().join(node).with_extension("js")
}

fn mention(settings: &mut Value, folder: &TempDir, node: &str) {
    settings["nodes"][node] = json!({ "script": file(folder, node) });
    settings["queries"][node] = through(node);
}

impl Edited {
    async fn start(nodes: &[(&str, &str)]) -> Result<Edited> {
        let (database, sql) = world::create(postgres::shared()).await?;
        let folder = tempfile::Builder::new().prefix("sangre-test-node-").tempdir()?;
        let mut settings = config(&database.url, json!({ "places": { "route": "/places", "from": "places" } }));
        for (node, source) in nodes {
            fs::write(file(&folder, node), source)?;
            mention(&mut settings, &folder, node);
        }
        let server = Server::start(&settings).await?;
        server.nodes_loaded().await?;
        Ok(Edited { server, sql, folder, settings })
    }

    /// Writes a script, and into the settings its node and a query that uses it.
    fn add(&mut self, node: &str, source: &str) -> Result<()> {
        mention(&mut self.settings, &self.folder, node);
        self.write(node, source)
    }

    /// Writes a script.
    fn write(&self, node: &str, source: &str) -> Result<()> {
        Ok(fs::write(file(&self.folder, node), source)?)
    }

    /// Saves the settings, and waits until they are served.
    async fn save(&self) -> Result<()> {
        const SERVED: &str = "its queries and nodes are served as they are now";
        let before = self.server.running.log().matches(SERVED).count();
        self.server.rewrite(&self.settings)?;
        self.server.running.said(|log| log.matches(SERVED).count() > before).await
    }

    /// The nodes as the admin port shows them.
    async fn nodes(&self) -> Result<Vec<Value>> {
        let nodes = http::get(&self.server.admin, "/nodes", &[]).await?.json()?;
        nodes.as_array().cloned().with_context(|| nodes.to_string())
    }

    async fn names(&self) -> Result<Vec<Value>> {
        Ok(self.nodes().await?.iter().map(|node| node["name"].clone()).collect())
    }

    /// What the node made of each place.
    async fn made(&self, node: &str) -> Result<Value> {
        let places = self.server.get(&format!("/{node}")).await?.json()?;
        Ok(places.as_array().with_context(|| places.to_string())?.iter().map(|place| place[node].clone()).collect())
    }

    async fn client(&self, path: &str) -> Result<(Client, Document)> {
        let mut client = Client::web_socket(&self.server.address, path).await?;
        let mut held = Document::default();
        held.apply(&client.patch().await?)?;
        Ok((client, held))
    }
}

const TWICE: &str = "export const transform = (place) => place.rating * 2;";

#[tokio::test]
async fn the_first_node_is_live_once_the_configuration_names_it() -> Result<()> {
    let mut edited = Edited::start(&[]).await?;
    let (mut follower, mut held) = edited.client("/places").await?;
    edited.add("twice", TWICE)?;
    edited.save().await?;
    let ratings: Vec<i64> =
        held.value.as_array().context("places")?.iter().filter_map(|it| it["rating"].as_i64()).collect();
    let doubled: Vec<i64> = ratings.iter().map(|rating| rating * 2).collect();
    assert_eq!(edited.made("twice").await?, json!(doubled));
    // Whose query is as it was goes on from the state it had, without a word in between.
    edited.sql.batch_execute("update places set rating = rating + 1").await?;
    let message = follower.patch().await?;
    assert_eq!(message["from"], json!(held.revision));
    held.apply(&message)?;
    // Its file is watched as any other's.
    let (mut client, mut held) = edited.client("/twice").await?;
    edited.write("twice", "export const transform = () => 'edited';")?;
    client.until(&mut held, |places| places[0]["twice"] == "edited").await
}

#[tokio::test]
async fn a_node_of_other_settings_takes_the_place_of_the_one_before() -> Result<()> {
    let mut edited = Edited::start(&[("twice", TWICE), ("other", TWICE)]).await?;
    let (mut client, mut held) = edited.client("/twice").await?;
    edited.settings["nodes"]["twice"]["numbers"] = json!("string");
    edited.write("late", "export const transform = (place) => `${typeof place.rating}`;")?;
    edited.settings["nodes"]["twice"]["script"] = json!(file(&edited.folder, "late"));
    edited.save().await?;
    let back = held.revision.clone();
    client.until(&mut held, |places| places[0]["twice"] == "string").await?;
    assert!(back.is_some() && held.revision != back);
    assert_eq!(edited.names().await?, ["other", "twice"], "each once");
    // The file of before means nothing any more; the one of now does.
    edited.write("twice", "export const transform = () => 'nobody looks';")?;
    edited.write("late", "export const transform = () => 'looked at';")?;
    let message = client.patch().await?;
    held.apply(&message)?;
    assert_eq!(held.value[0]["twice"], "looked at");
    Ok(())
}

#[tokio::test]
async fn a_node_that_nobody_mentions_any_more_is_gone() -> Result<()> {
    let mut edited = Edited::start(&[("twice", TWICE), ("other", TWICE)]).await?;
    let (mut client, _) = edited.client("/twice").await?;
    let (mut follower, mut held) = edited.client("/other").await?;
    edited.settings["nodes"].as_object_mut().context("nodes")?.remove("twice");
    // A query still wants it: nothing changes.
    edited.server.rewrite(&edited.settings)?;
    edited.server.running.said(|log| log.contains("node \"twice\" is not among the nodes")).await?;
    edited.server.running.said(|log| log.contains("the one before stays")).await?;
    assert_eq!(edited.names().await?, ["twice", "other"]);
    let ready = http::get(&edited.server.admin, "/readyz", &[]).await?;
    let said = ready.json()?["reasons"].to_string();
    assert!(ready.status == 200 && said.contains("the changed configuration is not used: "), "{said}");
    assert!(said.contains("is not among the nodes"), "{said}");
    edited.settings["queries"].as_object_mut().context("queries")?.remove("twice");
    edited.save().await?;
    let (error, code) = client.refusal().await?;
    assert_eq!((error["code"].as_str(), code), (Some("unknown_route"), Some(4404)));
    assert_eq!(edited.names().await?, ["other"]);
    assert_eq!(http::get(&edited.server.admin, "/readyz", &[]).await?.json()?["reasons"], json!([]));
    let metrics = http::get(&edited.server.admin, "/metrics", &[]).await?.text();
    assert!(!metrics.contains("twice") && metrics.contains("other"), "{metrics}");
    let gone = http::request("POST", &edited.server.admin, "/nodes/twice/reload", &[], "").await?;
    assert_eq!(gone.status, 404);
    edited.sql.batch_execute("update places set rating = 50").await?;
    follower.until(&mut held, |places| places[0]["other"] == 100).await
}

#[tokio::test]
async fn a_node_whose_file_comes_later_is_waited_for() -> Result<()> {
    let mut edited = Edited::start(&[]).await?;
    mention(&mut edited.settings, &edited.folder, "late");
    edited.save().await?;
    edited.server.running.said(|log| log.contains("node late cannot be loaded")).await?;
    let refused = edited.server.get("/late").await?;
    assert_eq!((refused.status, refused.code().as_str()), (503, "node_unavailable"));
    let ready = http::get(&edited.server.admin, "/readyz", &[]).await?;
    let said = ready.json()?["reasons"].to_string();
    assert!(ready.status == 200 && said.contains("node late cannot be loaded") && said.contains("late.js"), "{said}");
    edited.write("late", TWICE)?;
    edited.server.running.said(|log| log.contains("node late runs version")).await?;
    assert!(edited.made("late").await?[0].is_number());
    assert_eq!(http::get(&edited.server.admin, "/readyz", &[]).await?.json()?["reasons"], json!([]));
    Ok(())
}

/// As a deployment of files with their versions in their names does it.
#[tokio::test]
async fn a_node_that_cannot_be_loaded_takes_no_place_until_it_can() -> Result<()> {
    let mut edited = Edited::start(&[("twice", TWICE), ("other", TWICE)]).await?;
    let (mut client, mut held) = edited.client("/twice").await?;
    edited.write("twice-2", "export const transform = (place) => {")?;
    edited.settings["nodes"]["twice"]["script"] = json!(file(&edited.folder, "twice-2"));
    // What else the edit says waits, too: it is one.
    edited.settings["queries"]["more"] = json!({ "route": "/more", "from": "places" });
    edited.server.rewrite(&edited.settings)?;
    let refused = "the changed configuration is not used, the one before stays: nodes.twice: ";
    edited.server.running.said(|log| log.contains(refused)).await?;
    let ready = http::get(&edited.server.admin, "/readyz", &[]).await?;
    let said = ready.json()?["reasons"].to_string();
    assert!(
        ready.status == 200 && said.contains("nodes.twice: ") && said.contains("twice-2.js:1:37: SyntaxError"),
        "{said}"
    );
    assert_eq!(edited.server.get("/more").await?.status, 404);
    // The one before goes on, and so does its document.
    edited.sql.batch_execute("update places set rating = 50").await?;
    client.until(&mut held, |places| places[0]["twice"] == 100).await?;
    // It is mended, and nobody saves the configuration once more.
    edited.write("twice-2", "export const transform = () => 'mended';")?;
    client.until(&mut held, |places| places[0]["twice"] == "mended").await?;
    assert_eq!(edited.server.get("/more").await?.status, 200);
    assert_eq!(edited.names().await?, ["other", "twice"], "each once");
    assert_eq!(http::get(&edited.server.admin, "/readyz", &[]).await?.json()?["reasons"], json!([]));
    // A bad one is given up for another edit.
    edited.settings["nodes"]["twice"]["script"] = json!(file(&edited.folder, "nowhere"));
    edited.server.rewrite(&edited.settings)?;
    edited.server.running.said(|log| log.contains("nowhere.js does not exist")).await?;
    edited.settings["nodes"]["twice"]["script"] = json!(file(&edited.folder, "twice"));
    edited.save().await?;
    client.until(&mut held, |places| places[0]["twice"] == 100).await?;
    assert_eq!(edited.names().await?, ["other", "twice"], "each once");
    edited.write("nowhere", "export const transform = () => 'nobody looks';")?;
    edited.sql.batch_execute("update places set rating = 51").await?;
    client.until(&mut held, |places| places[0]["twice"] == 102).await
}

/// Replaces the node `twice` by one that cannot be loaded as its file is, which waits.
async fn waiting(edited: &mut Edited) -> Result<()> {
    edited.write("twice-2", "export const transform = (place) => {")?;
    edited.settings["nodes"]["twice"]["script"] = json!(file(&edited.folder, "twice-2"));
    edited.server.rewrite(&edited.settings)?;
    edited.server.running.said(|log| log.contains("the one before stays: nodes.twice: ")).await
}

#[tokio::test]
async fn an_edit_that_waits_outlives_a_migration_of_several_tables() -> Result<()> {
    let mut edited = Edited::start(&[("twice", TWICE)]).await?;
    edited.settings["queries"]["users"] = json!({ "route": "/users", "from": "users" });
    edited.save().await?;
    let (mut client, mut held) = edited.client("/twice").await?;
    let (mut users, mut all) = edited.client("/users").await?;
    waiting(&mut edited).await?;
    let migrate =
        "begin; alter table places alter column rating type int8; alter table users alter column name type varchar;
                   update places set rating = 60; update users set name = 'Zoe'; commit";
    edited.sql.batch_execute(migrate).await?;
    client.until(&mut held, |places| places[0]["twice"] == 120).await?;
    users.until(&mut all, |users| users[0]["name"] == "Zoe").await?;
    edited.write("twice-2", "export const transform = () => 'mended';")?;
    client.until(&mut held, |places| places[0]["twice"] == "mended").await?;
    assert_eq!(http::get(&edited.server.admin, "/readyz", &[]).await?.json()?["reasons"], json!([]));
    Ok(())
}

#[tokio::test]
async fn a_node_that_waits_to_be_taken_hides_nothing_of_the_one_that_runs() -> Result<()> {
    let mut edited = Edited::start(&[("twice", TWICE)]).await?;
    let before = edited.nodes().await?[0].clone();
    waiting(&mut edited).await?;
    let now = edited.nodes().await?;
    assert_eq!(now.len(), 1, "{now:?}");
    for of in ["name", "version", "state", "error", "file"] {
        assert_eq!(now[0][of], before[of], "{of}");
    }
    let ready = http::get(&edited.server.admin, "/readyz", &[]).await?;
    let said = ready.json()?["reasons"].to_string();
    assert!(ready.status == 200 && !said.contains("cannot be loaded"), "{said}");
    let reloaded = http::request("POST", &edited.server.admin, "/nodes/twice/reload", &[], "").await?.json()?;
    assert_eq!(reloaded["version"], before["version"]);
    Ok(())
}

#[tokio::test]
async fn an_edit_that_waits_is_given_up_when_the_file_is_no_configuration_any_more() -> Result<()> {
    let mut edited = Edited::start(&[("twice", TWICE)]).await?;
    let (mut client, mut held) = edited.client("/twice").await?;
    waiting(&mut edited).await?;
    fs::write(edited.server.folder().join("sangre.yaml"), "queries: [")?;
    edited.server.running.said(|log| log.contains("the one before stays: sangre.yaml:1:")).await?;
    edited.write("twice-2", "export const transform = () => 'nobody looks';")?;
    // Another edit shows that the file was not looked at: what it replaces is what ran from the start.
    edited.settings["nodes"]["twice"]["script"] = json!(file(&edited.folder, "twice-3"));
    edited.write("twice-3", "export const transform = () => 'third';")?;
    edited.server.rewrite(&edited.settings)?;
    let message = client.patch().await?;
    held.apply(&message)?;
    assert_eq!(held.value[0]["twice"], "third", "nothing came between: {message}");
    Ok(())
}

/// The stream was asked for the tables of an edit that is no more.
#[tokio::test]
async fn an_edit_that_is_reverted_before_its_tables_are_streamed_leaves_nothing() -> Result<()> {
    let edited = Edited::start(&[("twice", TWICE)]).await?;
    let (mut client, mut held) = edited.client("/twice").await?;
    // A new slot waits until this has ended.
    let (database, other) =
        (edited.settings["database"].as_str().context("a database")?, "begin; update users set name = name");
    let (blocking, connection) = tokio_postgres::connect(database, tokio_postgres::NoTls).await?;
    let connection = tokio::spawn(connection);
    blocking.batch_execute(other).await?;
    let mut more = edited.settings.clone();
    more["queries"]["users"] = json!({ "route": "/users", "from": "users" });
    edited.server.rewrite(&more)?;
    let asked = |times: usize| move |log: &str| log.matches("the stream cannot begin yet").count() >= times;
    edited.server.running.said(asked(1)).await?;
    edited.server.rewrite(&edited.settings)?;
    edited.server.running.said(asked(2)).await?;
    blocking.batch_execute("commit").await?;
    edited.sql.batch_execute("update places set rating = 70").await?;
    client.until(&mut held, |places| places[0]["twice"] == 140).await?;
    let ready = http::get(&edited.server.admin, "/readyz", &[]).await?;
    assert_eq!((ready.status, edited.server.get("/users").await?.status), (200, 404));
    drop(blocking);
    connection.await??;
    Ok(())
}
