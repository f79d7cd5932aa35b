//! New versions of nodes and of the configuration as deployments bring them: links set anew, folders replaced, files that go and come.
//!
//! `host/src/watch` has them all, below the server; here, what clients and the operator see. After each there is one more edit, since a
//! watch that stays with the folder of before still hears of what took its place.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::client::Client;
use crate::support::document::Document;
use crate::support::http::{self, PATIENCE};
use crate::support::postgres;
use crate::support::server::{Server, config};
use crate::support::world;

/// A server whose query `/places` goes through one node, and the folder that the node's file is somewhere in.
struct Stage {
    server: Server,
    sql: tokio_postgres::Client,
    folder: TempDir,
    settings: Value,
}

impl Stage {
    /// The folder is as `prepare` leaves it, and the node is what `node` gives for it.
    async fn start(prepare: impl FnOnce(&Path) -> Result<()>, node: impl FnOnce(&Path) -> Value) -> Result<Stage> {
        let (database, sql) = world::create(postgres::shared()).await?;
        let folder = tempfile::Builder::new().prefix("sangre-test-node-").tempdir()?;
        prepare(folder.path())?;
        let map = json!({ "map": { "node": "score", "into": "score", "input": ["id"] } });
        let mut settings = config(
            &database.url,
            json!({
                "places": { "route": "/places", "from": "places", "steps": [map] },
                "place": { "route": "/place/{id}", "from": "places", "get": { "id": "$id" }, "steps": [map] },
            }),
        );
        settings["nodes"] = json!({ "score": node(folder.path()) });
        let server = Server::start(&settings).await?;
        server.nodes_loaded().await?;
        Ok(Stage { server, sql, folder, settings })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn follow(&self, path: &str) -> Result<Held> {
        let client = Client::web_socket(&self.server.address, path).await?;
        let mut held = Held { client, document: Document::default() };
        held.document.apply(&held.client.patch().await?)?;
        Ok(held)
    }

    /// Waits until the admin port shows the node in this state.
    async fn state(&self, wanted: &str) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let node = http::get(&self.server.admin, "/nodes", &[]).await?.json()?[0].clone();
            if node["state"] == wanted {
                return Ok(node);
            }
            ensure!(Instant::now() < deadline, "not {wanted}: {node}\n{}", self.server.running.log());
            // The admin port tells its state only when asked.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// A client, and what it holds.
struct Held {
    client: Client,
    document: Document,
}

impl Held {
    /// Whether every place has this score.
    fn has(&self, score: i64) -> bool {
        match &self.document.value {
            Value::Array(places) => !places.is_empty() && places.iter().all(|place| place["score"] == score),
            place => place["score"] == score,
        }
    }

    /// The next patch is all there is to a new version.
    async fn becomes(&mut self, score: i64) -> Result<()> {
        self.document.apply(&self.client.patch().await?)?;
        ensure!(self.has(score), "not {score}: {}", self.document.value);
        Ok(())
    }
}

fn script(score: u32) -> String {
    format!("export const transform = () => {score};")
}

fn write(path: PathBuf, text: impl AsRef<[u8]>) -> Result<()> {
    fs::create_dir_all(path.parent().context("in a folder")?)?;
    Ok(fs::write(path, text)?)
}

/// As `ln -sfn` does it, in one step.
fn link_anew(folder: &Path, target: &str, link: &str) -> Result<()> {
    symlink(target, folder.join("link.new"))?;
    Ok(fs::rename(folder.join("link.new"), folder.join(link))?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_taken_when_its_link_or_its_folder_is_replaced() -> Result<()> {
    let prepare = |folder: &Path| {
        write(folder.join("rel1/score.js"), script(1))?;
        Ok(symlink("rel1", folder.join("current"))?)
    };
    let stage = Stage::start(prepare, |folder| json!({ "script": folder.join("current/score.js") })).await?;
    let mut held = stage.follow("/places").await?;
    assert!(held.has(1), "{}", held.document.value);
    write(stage.path("rel2/score.js"), script(2))?;
    link_anew(stage.folder.path(), "rel2", "current")?;
    held.becomes(2).await?;
    write(stage.path("rel2/score.js"), script(3))?;
    held.becomes(3).await?;
    write(stage.path("new/score.js"), script(4))?;
    fs::rename(stage.path("rel2"), stage.path("old"))?;
    fs::rename(stage.path("new"), stage.path("rel2"))?;
    held.becomes(4).await?;
    write(stage.path("rel2/score.js"), script(5))?;
    held.becomes(5).await
}

/// Waits until there is a query on this route.
async fn has_route(server: &Server, route: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while server.get(route).await?.status != 200 {
        ensure!(Instant::now() < deadline, "no {route}: {}", server.running.log());
        // Nobody is told of routes.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn so_is_a_configuration() -> Result<()> {
    let stage = Stage::start(
        |folder| write(folder.join("score.js"), script(1)),
        |folder| json!({ "script": folder.join("score.js") }),
    )
    .await?;
    let folder = stage.server.folder();
    let configure = |name: &str, route: &str| {
        let mut settings = stage.settings.clone();
        settings["queries"]["more"] = json!({ "route": route, "from": "places" });
        write(folder.join(name).join("sangre.yaml"), settings.to_string())
    };
    configure("rel1", "/1")?;
    symlink("rel1", folder.join("current"))?;
    link_anew(folder, "current/sangre.yaml", "sangre.yaml")?;
    has_route(&stage.server, "/1").await?;
    configure("rel2", "/2")?;
    link_anew(folder, "rel2", "current")?;
    has_route(&stage.server, "/2").await?;
    configure("rel2", "/3")?;
    has_route(&stage.server, "/3").await?;
    configure("new", "/4")?;
    fs::rename(folder.join("rel2"), folder.join("old"))?;
    fs::rename(folder.join("new"), folder.join("rel2"))?;
    has_route(&stage.server, "/4").await?;
    configure("rel2", "/5")?;
    has_route(&stage.server, "/5").await
}
