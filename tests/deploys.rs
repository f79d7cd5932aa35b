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

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_deleted_goes_on_answering_until_it_is_back() -> Result<()> {
    let stage = Stage::start(
        |folder| write(folder.join("score.js"), "export const transform = (place) => place.id;"),
        |folder| json!({ "script": folder.join("score.js") }),
    )
    .await?;
    let mut held = stage.follow("/places").await?;
    let version = stage.state("running").await?["version"].clone();
    let file = stage.path("score.js");
    fs::remove_file(&file)?;
    let node = stage.state("outdated").await?;
    assert_eq!(
        (&node["version"], node["error"].as_str()),
        (&version, Some(&*format!("{} does not exist", file.display())))
    );
    // What it never was asked before, too.
    stage.sql.batch_execute("insert into places values (13, 'Zoo', 3)").await?;
    let score =
        |value: &Value| value.as_array().and_then(|places| Some(places.last()?["score"] == 13)).unwrap_or_default();
    held.client.until(&mut held.document, score).await?;
    assert_eq!(stage.server.get("/place/13").await?.json()?["score"], 13);
    write(file, script(7))?;
    held.becomes(7).await?;
    let node = stage.state("running").await?;
    assert!(node["error"].is_null() && node["version"] != version, "{node}");
    Ok(())
}

/// A map that answers this digit to each row, by hand: it counts the objects of the batch, but for the batch's own two.
fn component(digit: u8) -> Result<Vec<u8>> {
    let digit = digit + b'0';
    Ok(wat::parse_str(format!(
        r#"(component
            (type $interface (instance
                (type $f (record (field "row" u32) (field "message" string)))
                (export "failure" (type $failure (eq $f)))
                (type $a (record (field "values" string) (field "failures" (list $failure))))
                (export "answers" (type (eq $a)))))
            (import "sangre:node/types@0.1.0" (instance $types (type $interface)))
            (alias export $types "answers" (type $answers))
            (core module $libc
                (memory (export "memory") 2)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536)))
            (core instance $libc (instantiate $libc))
            (core module $m
                (import "libc" "memory" (memory 2))
                (func (export "call") (param $at i32) (param $n i32) (result i32)
                    (local $objects i32) (local $end i32) (local $out i32)
                    (local.set $end (i32.add (local.get $at) (local.get $n)))
                    (local.set $out (i32.const 64))
                    (i32.store8 (local.get $out) (i32.const 0x5b))
                    (loop $next
                        (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 0x7b)) (then
                            (local.set $objects (i32.add (local.get $objects) (i32.const 1)))
                            (if (i32.gt_u (local.get $objects) (i32.const 2)) (then
                                (i32.store8 (i32.add (local.get $out) (i32.const 1)) (i32.const {digit}))
                                (i32.store8 (i32.add (local.get $out) (i32.const 2)) (i32.const 0x2c))
                                (local.set $out (i32.add (local.get $out) (i32.const 2)))))))
                        (local.set $at (i32.add (local.get $at) (i32.const 1)))
                        (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
                    (i32.store8 (local.get $out) (i32.const 0x5d))
                    (i32.store (i32.const 0) (i32.const 64))
                    (i32.store (i32.const 4) (i32.sub (local.get $out) (i32.const 63)))
                    (i32.const 0)))
            (core instance $i (instantiate $m (with "libc" (instance $libc))))
            (func $call (param "batch" string) (result $answers) (canon lift (core func $i "call")
                (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
            (instance $node (export "transform" (func $call)))
            (export "sangre:node/map-rows@0.1.0" (instance $node)))"#
    ))?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_component_is_one_patch_of_each_document() -> Result<()> {
    let stage = Stage::start(
        |folder| write(folder.join("score.wasm"), component(1)?),
        |folder| json!({ "component": folder.join("score.wasm") }),
    )
    .await?;
    let mut documents = [stage.follow("/places").await?, stage.follow("/place/10").await?];
    let version = stage.state("running").await?["version"].clone();
    // Written in place, then as a build does it: beside it, and renamed.
    fs::write(stage.path("score.wasm"), component(2)?)?;
    for held in &mut documents {
        held.becomes(2).await?;
    }
    fs::write(stage.path("score.wasm.new"), component(3)?)?;
    fs::rename(stage.path("score.wasm.new"), stage.path("score.wasm"))?;
    for held in &mut documents {
        held.becomes(3).await?;
    }
    // The next there is to tell is what the next commit changes.
    stage.sql.batch_execute("update places set name = 'Inn' where id = 10").await?;
    for held in &mut documents {
        let message = held.client.patch().await?;
        held.document.apply(&message)?;
        assert_eq!(message["patch"].as_array().map(Vec::len), Some(1), "{message}");
        assert_eq!(message["patch"][0]["value"], "Inn", "{message}");
    }
    // Half of one is not taken.
    let next = component(4)?;
    fs::write(stage.path("score.wasm"), &next[..next.len() - 1])?;
    let node = stage.state("outdated").await?;
    assert!(node["error"].to_string().contains("was the file cut short?") && node["version"] != version, "{node}");
    fs::write(stage.path("score.wasm"), next)?;
    for held in &mut documents {
        held.becomes(4).await?;
    }
    Ok(())
}
