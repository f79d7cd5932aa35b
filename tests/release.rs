//! A release: the program, and the folder `runtimes` beside it. Whoever has these two needs no npm and no Python.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::client::Client;
use crate::support::document::Document;
use crate::support::postgres;
use crate::support::server::{PROGRAM, Server, config};
use crate::support::world;

/// An archive as it is unpacked.
struct Release {
    folder: TempDir,
}

impl Release {
    async fn unpacked() -> Result<Release> {
        // On the file system of the program, which is large.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let release = Release { folder };
        let program = release.path("bin/sangre");
        fs::create_dir_all(release.path("bin"))?;
        fs::hard_link(PROGRAM, &program).or_else(|_| fs::copy(PROGRAM, &program).map(drop))?;
        let mut command = Command::new(PROGRAM);
        command.args(["node", "runtimes"]).arg(release.path("bin/runtimes")).kill_on_drop(true);
        let made = command.output().await?;
        let files = String::from_utf8(made.stdout)?;
        ensure!(made.status.success(), "{files}{}", String::from_utf8_lossy(&made.stderr));
        let names: Vec<&str> = files.lines().filter_map(|line| Path::new(line).file_name()?.to_str()).collect();
        let begins = ["javascript-", "javascript-reader-", "python-"];
        ensure!(names.len() == 3 && begins.iter().zip(&names).all(|(begin, name)| name.starts_with(begin)), "{files}");
        Ok(release)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a machine has that never built a runtime and cannot build one.
    fn environment(&self) -> Result<[(&'static str, String); 2]> {
        let cache = self.path("cache");
        Ok([("PATH", String::new()), ("SANGRE_CACHE", cache.to_str().context("text")?.to_owned())])
    }

    /// What `sangre node test` answers to a row.
    async fn tested(&self, program: &Path, file: &str, source: &str) -> Result<(bool, String)> {
        fs::write(self.path(file), source)?;
        fs::write(self.path("rows.json"), "[20]")?;
        let mut command = Command::new(program);
        command.args(["node", "test", file, "--rows", "rows.json"]).current_dir(self.folder.path());
        let output = command.envs(self.environment()?).env("SANGRE_LOG", "warn").kill_on_drop(true).output().await?;
        let said = [output.stdout, if output.status.success() { Vec::new() } else { output.stderr }].concat();
        Ok((output.status.success(), String::from_utf8(said)?))
    }
}

const SCRIPTS: [(&str, &str); 3] = [
    ("more.js", "export function transform(row) { return row + 1; }"),
    ("more.ts", "export function transform(row: number): number { return row + 1; }"),
    ("more.py", "def transform(row, args): return row + 1"),
];

#[tokio::test]
async fn a_release_runs_scripts_without_their_tools() -> Result<()> {
    let release = Release::unpacked().await?;
    let program = release.path("bin/sangre");
    for (file, source) in SCRIPTS {
        assert_eq!(release.tested(&program, file, source).await?, (true, "21\n".into()), "{file}");
    }
    assert!(!release.path("cache/runtimes").exists(), "nothing was built");
    // By a link, as from a folder of PATH.
    std::os::unix::fs::symlink(&program, release.path("sangre"))?;
    assert!(release.tested(&release.path("sangre"), SCRIPTS[0].0, SCRIPTS[0].1).await?.0);
    // A disk's mistake, or half a download: the script is not to blame.
    for (file, source) in [SCRIPTS[0], SCRIPTS[2]] {
        let (language, what) = if file == "more.py" { ("python-", "Python") } else { ("javascript-", "JavaScript") };
        let runtimes = fs::read_dir(release.path("bin/runtimes"))?.map(|entry| Ok(entry?.path()));
        let runtimes = runtimes.collect::<Result<Vec<PathBuf>>>()?;
        for runtime in runtimes.iter().filter(|path| path.to_string_lossy().contains(language)) {
            let bytes = fs::read(runtime)?;
            fs::write(runtime, &bytes[..bytes.len() / 2])?;
            let (good, said) = release.tested(&program, file, source).await?;
            let expected = format!("running {what}: {} is damaged: install the release again", runtime.display());
            assert!(!good && said.contains(&expected), "{said}");
            fs::write(runtime, bytes)?;
        }
        assert!(release.tested(&program, file, source).await?.0);
    }
    // As packages are laid out.
    fs::create_dir_all(release.path("lib/sangre"))?;
    fs::rename(release.path("bin/runtimes"), release.path("lib/sangre/runtimes"))?;
    assert!(release.tested(&program, SCRIPTS[2].0, SCRIPTS[2].1).await?.0);
    // Half a runtime is none.
    for file in fs::read_dir(release.path("lib/sangre/runtimes"))? {
        let path = file?.path();
        if path.to_string_lossy().contains("javascript-reader-") {
            fs::remove_file(path)?;
        }
    }
    let (good, said) = release.tested(&program, SCRIPTS[0].0, SCRIPTS[0].1).await?;
    assert!(!good && said.contains("take the folder runtimes of a release"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_dropped_beside_the_configuration_is_live() -> Result<()> {
    let release = Release::unpacked().await?;
    let (database, _sql) = world::create(postgres::shared()).await?;
    let environment = release.environment()?;
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, &**value)).collect();
    let query = |name: &str| json!({ "route": format!("/{name}"), "from": "places", "steps": [{ "map": { "node": name, "into": "score", "input": ["rating"] } }] });
    let queries = json!({ "js": query("js"), "py": query("py") });
    let mut settings = config(&database.url, queries);
    settings["nodes"] = json!({ "js": { "script": "score.js" }, "py": { "script": "score.py" } });
    let mut server = Server::listening_as(&release.path("bin/sangre"), &settings, &environment).await?;
    let javascript = |factor: i64| format!("export function transform(place) {{ return place.rating * {factor}; }}");
    let python = |factor: i64| format!("def transform(place, args): return place['rating'] * {factor}");
    // The nodes were missing when it started.
    fs::write(server.folder().join("score.js"), javascript(10))?;
    fs::write(server.folder().join("score.py"), python(10))?;
    for said in ["streaming from", "node js runs version", "node py runs version"] {
        server.running.line(said).await?;
    }
    for (route, file, source) in [("/js", "score.js", javascript(-1)), ("/py", "score.py", python(-1))] {
        let mut held = Document::default();
        let mut client = Client::web_socket(&server.address, route).await?;
        held.apply(&client.patch().await?)?;
        assert!(has_scores(&held.value, 10), "{}", held.value);
        fs::write(server.folder().join(file), source)?;
        held.apply(&client.patch().await?)?;
        assert!(has_scores(&held.value, -1), "{}", held.value);
    }
    Ok(())
}

fn has_scores(places: &Value, factor: i64) -> bool {
    let score = |place: &Value| Some((place["rating"].as_i64()?, place["score"].as_i64()?));
    places.as_array().is_some_and(|places| {
        !places.is_empty()
            && places.iter().all(|place| score(place).is_some_and(|(rating, score)| score == rating * factor))
    })
}
