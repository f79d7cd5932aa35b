//! A node's file is replaced again and again, or the node by another in the configuration, while thousands of commits a second go through the node: no state mixes
//! versions, and nothing is lost.
//!
//! Rows hold counters that only grow, and each commit adds one to two rows of a group, so that a state that is too old, half a
//! transaction or a row beside another row's answer shows in itself. `SANGRE_RELOAD_SECONDS` says how long each test goes on,
//! `SANGRE_SEED` which choices it makes.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::oracle::{first_seed, from_environment};
use crate::support::counters::{self, Course, GROUPS, Rows, SHAPES, View};
use crate::support::dice::Dice;
use crate::support::http;
use crate::support::postgres::{self, Database};
use crate::support::server::{Server, config};

/// How long clients may take to see a change: a debug build has to catch up with the writers.
const PATIENCE: Duration = Duration::from_secs(90);

/// How often the file is replaced, if clients keep up.
const PACE: Duration = Duration::from_millis(200);

/// In a burst it is replaced again before anybody has seen the version before.
const BURST: Duration = Duration::from_millis(25);

/// Reloads that every client has to see, however slow the machine is.
const LEAST: usize = 6;

/// The node's version `letter`; `body` runs before it answers.
fn source(letter: char, body: &str) -> String {
    format!("export function transform(row) {{ {body} return {{ letter: '{letter}', count: row.count }}; }}")
}

/// A server whose queries go through a node, and clients that follow them.
struct Stage {
    server: Server,
    settings: Value,
    database: Database,
    folder: TempDir,
    views: Vec<View>,
    course: Arc<Course>,
    letter: char,
    reloads: usize,
    /// Waits between reloads.
    pace: tokio::time::Interval,
}

/// What commits beside the reloads.
struct Writers {
    course: Arc<Course>,
    running: JoinSet<Result<u64>>,
}

impl Writers {
    async fn start(stage: &Stage, rows: Rows, seed: u64) -> Result<Writers> {
        let course = stage.course.clone();
        let mut running = JoinSet::new();
        for group in 1..=GROUPS {
            let sql = stage.database.connect().await?;
            let dice = Dice::new(seed.wrapping_add(group as u64));
            running.spawn(counters::write(sql, group, rows, dice, course.clone()));
        }
        Ok(Writers { course, running })
    }

    /// How many commits there were.
    async fn end(mut self) -> Result<u64> {
        self.course.stop();
        let mut commits = 0;
        while let Some(ended) = self.running.join_next().await {
            commits += ended??;
        }
        Ok(commits)
    }
}

impl Stage {
    async fn start() -> Result<Stage> {
        let database = postgres::shared().database().await?;
        database.connect().await?.batch_execute(&counters::schema()).await?;
        let folder = tempfile::Builder::new().prefix("sangre-test-node-").tempdir()?;
        fs::write(folder.path().join("stamp.js"), source('A', ""))?;
        let mut settings = config(&database.url, counters::queries("stamp"));
        settings["nodes"] = json!({ "stamp": { "script": folder.path().join("stamp.js") } });
        let server = Server::start(&settings).await?;
        server.nodes_loaded().await?;
        let course = Arc::<Course>::default();
        let views = (0..SHAPES.len()).map(|number| View::start(&server.address, number, course.clone())).collect();
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stage = Stage { server, settings, database, folder, views, course, letter: 'A', reloads: 0, pace };
        stage.seen().await?;
        Ok(stage)
    }

    /// Replaces the file in one step.
    fn write(&self, source: &str) -> Result<()> {
        let next = self.folder.path().join("next");
        fs::write(&next, source)?;
        Ok(fs::rename(next, self.folder.path().join("stamp.js"))?)
    }

    /// Takes the other version, and reads a document while that happens.
    async fn reload(&mut self) -> Result<()> {
        self.next();
        self.write(&source(self.letter, ""))?;
        self.read().await
    }

    /// The same by another node, whose file the configuration names from now on.
    async fn replace(&mut self) -> Result<()> {
        self.next();
        let file = self.folder.path().join(format!("{}.js", self.reloads));
        fs::write(&file, source(self.letter, ""))?;
        self.settings["nodes"]["stamp"]["script"] = json!(file);
        self.server.rewrite(&self.settings)?;
        self.read().await
    }

    fn next(&mut self) {
        self.letter = if self.letter == 'A' { 'B' } else { 'A' };
        self.reloads += 1;
    }

    async fn read(&self) -> Result<()> {
        let answer = self.server.get("/all").await?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        counters::check(&answer.json()?, counters::ROWS).map(drop)
    }

    /// Waits until every client holds the version that was written last.
    async fn seen(&mut self) -> Result<()> {
        let letter = self.letter;
        for view in &mut self.views {
            let seen = timeout(PATIENCE, view.until(|held| held.letter == Some(letter))).await;
            let seen = seen.unwrap_or_else(|_| bail!("{:?} does not show {letter}", view.shape));
            seen.with_context(|| format!("the log:\n{}", self.server.running.log()))?;
        }
        Ok(())
    }

    /// The node's state and error, as the admin port has them.
    async fn node(&self) -> Result<(Value, Value)> {
        let nodes = http::get(&self.server.admin, "/nodes", &[]).await?.json()?;
        Ok((nodes[0]["state"].clone(), nodes[0]["error"].clone()))
    }

    /// Waits until the file that was written last has been turned down.
    async fn refused(&self) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (state, error) = self.node().await?;
            if state == "outdated" {
                return Ok(error.as_str().unwrap_or_default().into());
            }
            ensure!(Instant::now() < deadline, "not refused: {state} {error}\n{}", self.server.running.log());
            // The admin port tells its state only when asked.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until every client holds what SQL and the newest version give.
    async fn settled(&mut self) -> Result<()> {
        let rows = counters::rows(&self.database.connect().await?).await?;
        for view in &mut self.views {
            let expected = view.shape.expected(&rows, self.letter);
            let settled = timeout(PATIENCE, view.until(|held| held.document.value == expected)).await;
            settled.with_context(|| format!("{}: not {expected}", view.shape.path))??;
        }
        Ok(())
    }

    /// The fewest reloads that a client saw, and the revisions of all.
    fn totals(&self) -> (usize, usize) {
        let of = |view: &View| (view.held.borrow().reloads, view.held.borrow().revisions);
        self.views.iter().map(of).fold((usize::MAX, 0), |all, one| (all.0.min(one.0), all.1 + one.1))
    }
}

fn budget() -> Duration {
    Duration::from_secs(from_environment("SANGRE_RELOAD_SECONDS").unwrap_or(5))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_state_mixes_versions_and_nothing_is_lost() -> Result<()> {
    under_load(Stage::reload).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_state_mixes_nodes_of_two_configurations_and_nothing_is_lost() -> Result<()> {
    under_load(Stage::replace).await
}

/// Has the node replaced for as long as the budget lasts.
async fn under_load(replace: impl AsyncFn(&mut Stage) -> Result<()>) -> Result<()> {
    let (seed, begin) = (first_seed(), Instant::now());
    eprintln!("reload: SANGRE_SEED={seed}");
    let mut dice = Dice::new(seed);
    let mut stage = Stage::start().await?;
    let writers = Writers::start(&stage, Rows::All, seed).await?;
    let start = Instant::now();
    let mut seen = 0;
    while seen < LEAST || start.elapsed() < budget() {
        stage.pace.tick().await;
        // Some versions come while the one before is still on its way to the clients; the last is another than they hold.
        for _ in 0..2 * dice.weighted(&[3, 1, 1]) {
            replace(&mut stage).await?;
            tokio::time::sleep(BURST).await;
        }
        replace(&mut stage).await?;
        stage.seen().await.with_context(|| format!("SANGRE_SEED={seed}"))?;
        seen += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    let commits = writers.end().await?;
    stage.settled().await.with_context(|| format!("SANGRE_SEED={seed}"))?;
    let ((fewest, revisions), reloads) = (stage.totals(), stage.reloads);
    eprintln!(
        "reload: {commits} commits in {seconds:.1} s, {reloads} reloads, each client saw at least {fewest}; {revisions} \
         revisions; {:.1} s in all",
        begin.elapsed().as_secs_f64()
    );
    assert!(commits > 0 && fewest >= LEAST);
    Ok(())
}

/// What a version does that nobody is to see; `None`: it cannot be read.
const BROKEN: [Option<&str>; 3] = [
    // Refused when it is tried on recent rows, or rolled back if these are gone already.
    Some("throw new Error('no');"),
    // Most rows, but not those that were asked last: these are written to.
    Some("if (!row.hot) throw new Error('no');"),
    None,
];

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_version_is_never_seen() -> Result<()> {
    let (seed, begin) = (first_seed(), Instant::now());
    eprintln!("reload: SANGRE_SEED={seed}");
    let mut dice = Dice::new(seed);
    let mut stage = Stage::start().await?;
    let writers = Writers::start(&stage, Rows::Hot, seed).await?;
    let start = Instant::now();
    let (mut seen, mut rolled_back) = (0, 0);
    // Whether a version is refused or taken and rolled back depends on which rows were asked last.
    while seen < LEAST || rolled_back == 0 || start.elapsed() < budget() {
        ensure!(
            start.elapsed() < budget() + PATIENCE,
            "SANGRE_SEED={seed}: after {seen}, {rolled_back} were rolled back"
        );
        stage.pace.tick().await;
        let bad = if seen < BROKEN.len() { BROKEN[seen] } else { *dice.pick(&BROKEN) };
        // A letter that no client knows.
        let bad = bad.map_or("export const transform = ;".into(), |body| source('X', body));
        // One that was refused before is refused again: nothing of it is left.
        stage.write(&bad)?;
        let reason = stage.refused().await.with_context(|| format!("SANGRE_SEED={seed}: {bad}"))?;
        rolled_back += usize::from(reason.contains("rows at once"));
        stage.reload().await?;
        stage.seen().await.with_context(|| format!("SANGRE_SEED={seed}: after {bad}"))?;
        seen += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    let commits = writers.end().await?;
    stage.settled().await.with_context(|| format!("SANGRE_SEED={seed}"))?;
    let (fewest, revisions) = stage.totals();
    eprintln!(
        "reload: {commits} commits in {seconds:.1} s, {seen} broken versions, {rolled_back} of them rolled back; {revisions} \
         revisions; {:.1} s in all",
        begin.elapsed().as_secs_f64()
    );
    assert!(commits > 0 && fewest >= LEAST);
    Ok(())
}
