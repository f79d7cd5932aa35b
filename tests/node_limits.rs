//! What nodes are held to: said by `sangre check`, refused where it cannot be kept, and in force while the server runs.

use std::fs;

use anyhow::Result;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::postgres;
use crate::support::server::{Server, config, verdict};
use crate::support::world;

/// A folder with scripts, and a configuration with the node `score` beside others, which the query `/places` goes through.
struct Stage {
    folder: TempDir,
    settings: Value,
    _sql: tokio_postgres::Client,
}

impl Stage {
    async fn new(source: &str, limits: Value) -> Result<Stage> {
        let (database, sql) = world::create(postgres::shared()).await?;
        let folder = tempfile::Builder::new().prefix("sangre-test-node-").tempdir()?;
        let map = json!({ "map": { "node": "score", "into": "score", "input": ["id", "rating"] } });
        let places = json!({ "route": "/places", "from": "places", "order_by": ["id"], "steps": [map] });
        let mut settings = config(&database.url, json!({ "places": places }));
        let script = folder.path().join("score.js");
        fs::write(&script, source)?;
        settings["nodes"] = json!({ "score": { "script": script, "limits": limits } });
        Ok(Stage { folder, settings, _sql: sql })
    }
}

const GOOD: &str = "export function transform(place) { return [[place.rating * 10]]; }";

/// Says a hundred lines of each row.
const NOISY: &str = "export function transform() { console.log('said so\\n'.repeat(100)); return 1; }";

#[tokio::test]
async fn check_prints_every_node_with_its_limits() -> Result<()> {
    let mut stage = Stage::new(GOOD, json!({ "calls": 7 })).await?;
    let file = |name: &str| stage.folder.path().join(name);
    let (typed, absent) = (file("open.ts"), file("absent.wasm"));
    fs::write(&typed, "export const keep = (row: any): boolean => row.open;\n")?;
    stage.settings["nodes"]["open"] = json!({ "script": typed, "deadline": "2s", "memory": "96MiB" });
    stage.settings["nodes"]["absent"] = json!({ "component": absent, "limits": { "compile_time": "90s" } });
    stage.settings["limits"] = json!({ "output": "1MiB" });
    let (status, text) = verdict("check", &stage.settings).await?;
    assert_eq!(status.code(), Some(1), "{text}");
    let path = |name: &str| stage.folder.path().join(name).display().to_string();
    let common = "output: 1MiB, depth: 100, messages: 4MiB, log_lines: 100";
    for told in [
        format!(
            "node score  {}  JavaScript, map\n  deadline: 100ms, memory: 64MiB\n  \
             limits: {{ size: 64MiB, files: 1000, {common}, calls: 7, growth: 16MiB }}\n",
            path("score.js")
        ),
        // No query uses it: it says itself what it is.
        format!(
            "node open  {}  TypeScript, filter\n  deadline: 2s, memory: 96MiB\n  \
             limits: {{ size: 64MiB, files: 1000, {common}, calls: 1000, growth: 16MiB }}\n",
            path("open.ts")
        ),
        format!(
            "node absent  {}  component, kind not known\n  deadline: 100ms, memory: 64MiB\n  \
             limits: {{ size: 64MiB, compile_time: 90s, {common}, calls: 1000, growth: 16MiB }}\n",
            path("absent.wasm")
        ),
        format!("nodes.absent: {} does not exist: `sangre node build` makes one of a source\n", path("absent.wasm")),
        "1 query, 0 warnings, 1 problem".to_string(),
    ] {
        assert!(text.contains(&told), "{told:?} is not in:\n{text}");
    }
    // One that cannot be loaded, or is another kind, is shown with the kind that queries want.
    for (source, problem) in [
        (
            "export const keep = () => true;",
            "nodes.score: is a filter, but is used as a map: use it as a filter, or export transform instead\n"
                .to_string(),
        ),
        ("export const keep = ;", format!("nodes.score: {}:1:21: SyntaxError: unexpected ';'\n", path("score.js"))),
    ] {
        fs::write(file("score.js"), source)?;
        let (_, text) = verdict("check", &stage.settings).await?;
        let told = format!("node score  {}  JavaScript, not loaded; queries use it as a map\n", path("score.js"));
        assert!(text.contains(&told) && text.contains(&problem), "{told:?}, {problem:?} are not in:\n{text}");
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused() -> Result<()> {
    let stage = Stage::new(GOOD, json!({})).await?;
    for (limits, told) in [
        (json!({ "depth": 101 }), "nodes.score.limits.depth: expected a whole number from 1 to 100"),
        (json!({ "calls": 0 }), "nodes.score.limits.calls: expected a whole number from 1 to 1000000"),
        (json!({ "output": "2GiB" }), "nodes.score.limits.output: 2GiB is too much: it takes 1B to 1GiB"),
        (json!({ "call": 3 }), "nodes.score.limits: unknown key \"call\"; did you mean \"calls\"?"),
    ] {
        let mut settings = stage.settings.clone();
        settings["nodes"]["score"]["limits"] = limits;
        for command in ["check", "serve"] {
            let (status, text) = verdict(command, &settings).await?;
            assert_eq!(status.code(), Some(1), "{command}: {text}");
            assert!(text.contains(told) && text.contains("sangre.yaml:"), "{command}: {text}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_the_file_are_in_force() -> Result<()> {
    let scores = async |source: &str, limits: Value| -> Result<(Vec<Value>, String)> {
        let stage = Stage::new(source, limits).await?;
        let server = Server::start(&stage.settings).await?;
        server.nodes_loaded().await?;
        let places = server.get("/places").await?.json()?;
        let scored = |place: &Value| (place["score"] == json!([[place["rating"].as_i64().unwrap_or(0) * 10]])).into();
        let scores = places.as_array().into_iter().flatten().map(scored).collect();
        let log = server.stop_and_tell().await?;
        Ok((scores, log))
    };
    let (scored, log) = scores(GOOD, json!({ "calls": 1, "depth": 2, "growth": "1B" })).await?;
    assert!(scored.len() == 3 && scored.iter().all(|right| *right == json!(true)), "{scored:?}\n{log}");
    let (scored, log) = scores(GOOD, json!({ "depth": 1 })).await?;
    assert!(scored.is_empty(), "an answer that is too deep leaves its element out: {scored:?}");
    assert!(log.contains("answered JSON nested deeper than 1 levels"), "{log}");
    let (scored, log) = scores(NOISY, json!({ "log_lines": 2 })).await?;
    let said = log.matches("said so").count();
    assert!(scored.len() == 3 && (2..=6).contains(&said), "two at once, and there are three rows: {log}");
    Ok(())
}
