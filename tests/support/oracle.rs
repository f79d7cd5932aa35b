//! The oracle: a case is run against the server, and everything its clients saw is held against SQL.
//!
//! While writers run, clients come, go and resume, and keep every message. Afterwards the commits are replayed one by one
//! into a second database; at each revision that a client was told, the document it held then (built from patches alone)
//! must equal the naive SQL of its query there. At rest all must equal SQL on the primary.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::case::{Case, Subscription};
use super::document::{Document, lsn_of};
use super::follower::{self, Track};
use super::http;
use super::json::{difference, parse, same};
use super::postgres::{Cluster, Database};
use super::replay::{self, Commit, Replay};
use super::server::{Server, config};
use super::writers;

/// How long a document may take to arrive once nobody writes any more.
const SETTLE: Duration = Duration::from_secs(20);

/// What was checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub cases: usize,
    /// Transactions that committed and changed something.
    pub transactions: usize,
    /// Documents that were compared, each at one revision.
    pub revisions: usize,
    /// Those of them that had anything in them.
    pub filled: usize,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.cases += other.cases;
        self.transactions += other.transactions;
        self.revisions += other.revisions;
        self.filled += other.filled;
    }
}

/// The databases of a case.
struct Bench {
    primary: Database,
    replica: Database,
    sql: Client,
    target: Client,
}

/// Runs a case against the server; an error says what did not hold.
pub async fn run(cluster: &Cluster, case: &Case) -> Result<Counts> {
    let bench = Bench::new(cluster, case).await?;
    let result = match serve(&bench, case).await {
        Ok(tracks) => bench.check(case, &tracks).await,
        Err(error) => Err(error),
    };
    bench.remove(cluster).await?;
    result
}

/// Runs a case without a server, to test the oracle itself: commits replayed one by one lead to the primary's state, and
/// every query's SQL means something there.
pub async fn rehearse(cluster: &Cluster, case: &Case) -> Result<Counts> {
    let bench = Bench::new(cluster, case).await?;
    let (progress, _) = watch::channel(0);
    writers::run(case, &bench.primary, &progress).await?;
    let result = bench.check(case, &[]).await;
    bench.remove(cluster).await?;
    result
}

/// The same with one writer, and with clients that a perfect server would have told the truth after each transaction;
/// `lie` may change what they were told. Tests that the oracle accepts the one and notices the other.
pub async fn rehearse_with(cluster: &Cluster, case: &Case, lie: impl FnOnce(&mut Vec<Track>)) -> Result<Counts> {
    let bench = Bench::new(cluster, case).await?;
    let truth = |subscription| Track { subscription, messages: Vec::new() };
    let mut tracks: Vec<Track> = (0..case.subscriptions.len()).map(truth).collect();
    let mut last: Vec<Value> = vec![Value::Null; tracks.len()];
    let writer = writers::session(case, &bench.primary).await?;
    for transaction in case.writers.iter().flatten() {
        writers::execute(&writer, transaction).await?;
        let lsn = scalar(&bench.sql, "select pg_current_wal_insert_lsn()").await?;
        for (track, held) in tracks.iter_mut().zip(&mut last) {
            let value = evaluate(&bench.sql, &case.subscriptions[track.subscription].sql).await?;
            let from = track.messages.last().map_or(Value::Null, |message| message["revision"].clone());
            if from.is_null() || !same(held, &value) {
                let patch = json!([{ "op": "replace", "path": "", "value": value }]);
                track.messages.push(json!({ "revision": format!("{lsn}.0"), "from": from, "patch": patch }));
                *held = value;
            }
        }
    }
    lie(&mut tracks);
    let result = bench.check(case, &tracks).await;
    bench.remove(cluster).await?;
    result
}

/// Everything while the server runs; gives what each client saw.
async fn serve(bench: &Bench, case: &Case) -> Result<Vec<Track>> {
    let mut settings = config(&bench.primary.url, case.config["queries"].clone());
    settings["tables"] = case.config["tables"].clone();
    let folder = tempfile::Builder::new().prefix("sangre-test-nodes-").tempdir()?;
    for (name, source) in &case.nodes {
        let file = folder.path().join(format!("{name}.js"));
        std::fs::write(&file, source)?;
        settings["nodes"][name] = json!({ "script": file });
    }
    let server = Server::start(&settings).await?;
    server.nodes_loaded().await?;
    let with_log = |error: anyhow::Error| {
        let log = server.running.log();
        let tail: Vec<&str> = log.lines().rev().take(40).collect();
        error.context(format!("log of the server:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n")))
    };
    play(bench, case, &server).await.map_err(with_log)
}

async fn play(bench: &Bench, case: &Case, server: &Server) -> Result<Vec<Track>> {
    let total: usize = case.writers.iter().map(Vec::len).sum();
    let (progress, receiver) = watch::channel(0);
    let (stop, stopped) = watch::channel(false);
    let stage = follower::Stage { address: server.address.clone(), total, patient: !case.cuts.is_empty() };
    let mut followers = Vec::new();
    for (number, subscription) in case.subscriptions.iter().enumerate() {
        followers.push(follower::start(stage.clone(), number, subscription, receiver.clone(), stopped.clone()));
    }
    let cutter = tokio::spawn(cut(bench.primary.clone(), case.cuts.clone(), receiver));
    writers::run(case, &bench.primary, &progress).await?;
    cutter.await??;
    let mut tracks = Vec::new();
    for (subscription, follower) in case.subscriptions.iter().zip(&mut followers) {
        tracks.push(settle(bench, case, server, subscription, follower).await?);
    }
    stop.send_replace(true);
    for follower in followers {
        tracks.extend(follower.ended.await?.with_context(|| "a client")?);
    }
    Ok(tracks)
}

/// Cuts the server's replication connection whenever so many transactions have ended.
async fn cut(database: Database, mut cuts: Vec<usize>, mut progress: writers::Progress) -> Result<()> {
    cuts.sort_unstable();
    let sql = database.connect().await?;
    let kill =
        "select count(pg_terminate_backend(active_pid)) from pg_replication_slots where database = current_database()";
    for after in cuts {
        progress.wait_for(|done| *done >= after).await?;
        scalar(&sql, kill).await?;
    }
    Ok(())
}

/// With nobody writing, `GET` and the follower's document equal SQL. Gives the answer of `GET` as one more thing seen.
async fn settle(
    bench: &Bench,
    case: &Case,
    server: &Server,
    subscription: &Subscription,
    follower: &mut follower::Follower,
) -> Result<Track> {
    let path = &subscription.path;
    let lsn = scalar(&bench.sql, "select pg_current_wal_insert_lsn()").await?;
    let expected = evaluate(&bench.sql, &subscription.sql).await?;
    let mut answer = http::get(&server.address, &super::client::with_query(path, "after", &lsn), &[]).await?;
    let deadline = tokio::time::Instant::now() + SETTLE;
    while answer.status == 503 && !case.cuts.is_empty() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
        answer = http::get(&server.address, &super::client::with_query(path, "after", &lsn), &[]).await?;
    }
    ensure!(answer.status == 200, "GET {path}: {} {}", answer.status, answer.text());
    let got = answer.json()?;
    if let Some(at) = difference(&expected, &got) {
        bail!("GET {path}?after={lsn} differs from SQL at {at:?}\nexpected {expected}\ngot      {got}");
    }
    let arrived =
        timeout(SETTLE, follower.document.wait_for(|held| held.revision.is_some() && same(&held.value, &expected)));
    if !matches!(arrived.await, Ok(Ok(_))) {
        if follower.ended.is_finished() {
            bail!("the client of {path} ended: {:?}", (&mut follower.ended).await?.err());
        }
        let held = follower.document.borrow();
        let at = difference(&expected, &held.value);
        bail!(
            "{path} at rest: the client stays at {:?}, which differs from SQL at {at:?}\nexpected {expected}\ngot      {}",
            held.revision,
            held.value
        );
    }
    let message = json!({
        "revision": answer.revision()?, "from": null, "patch": [{"op": "replace", "path": "", "value": got}]
    });
    Ok(Track { subscription: follower.subscription, messages: vec![message] })
}

impl Bench {
    async fn new(cluster: &Cluster, case: &Case) -> Result<Bench> {
        let options = if case.icu { "locale_provider icu icu_locale 'en-US'" } else { "" };
        let (primary, replica) = (cluster.database_with(options).await?, cluster.database_with(options).await?);
        let (sql, target) = (primary.connect().await?, replay::session(&replica).await?);
        for statement in &case.ddl {
            sql.batch_execute(statement).await.with_context(|| statement.clone())?;
            target.batch_execute(statement).await?;
        }
        for setting in &case.settings {
            sql.batch_execute(&format!("alter database {} set {setting}", primary.name)).await?;
        }
        replay::prepare(&sql).await?;
        let filler = writers::session(case, &primary).await?;
        for statement in &case.fill {
            // Rows may miss what they refer to.
            filler.batch_execute(statement).await.ok();
        }
        Ok(Bench { primary, replica, sql, target })
    }

    /// Replays all commits and compares at every revision; then the two databases must be the same.
    async fn check(&self, case: &Case, tracks: &[Track]) -> Result<Counts> {
        let commits = Replay::new().commits(&self.sql).await?;
        let mut counts = Counts { cases: 1, transactions: commits.len(), ..Counts::default() };
        let mut seen = Vec::new();
        for (number, track) in tracks.iter().enumerate() {
            for message in &track.messages {
                seen.push((lsn_of(message["revision"].as_str().unwrap_or_default())?, number, message));
            }
        }
        // Stable: the messages of one track keep their order.
        seen.sort_by_key(|&(lsn, ..)| lsn);
        let mut held: Vec<Document> = tracks.iter().map(|_| Document::default()).collect();
        let mut known: HashMap<usize, (usize, Value)> = HashMap::new();
        let mut applied = 0;
        for (lsn, number, message) in seen {
            while applied < commits.len() && commits[applied].end_lsn <= lsn {
                commits[applied].apply(&self.target).await?;
                applied += 1;
            }
            let document = &mut held[number];
            let before = document.clone();
            let which = tracks[number].subscription;
            let subscription = &case.subscriptions[which];
            // Whether an empty patch was in its place was seen when it came.
            document.resuming = true;
            document.apply(message).with_context(|| format!("{} {message}", subscription.path))?;
            if known.get(&which).is_none_or(|(at, _)| *at != applied) {
                known.insert(which, (applied, evaluate(&self.target, &subscription.sql).await?));
            }
            let expected = &known[&which].1;
            if let Some(at) = difference(expected, &document.value) {
                let revision = document.revision.as_deref().unwrap_or_default();
                bail!(
                    "{} at revision {revision} differs from SQL at {at:?}\nmessage  {message}\nexpected {expected}\n\
                     got      {}\nbefore   {} at {:?}\n{}",
                    subscription.path,
                    document.value,
                    before.value,
                    before.revision,
                    recent(&commits, applied)
                );
            }
            counts.revisions += 1;
            counts.filled += usize::from(!matches!(expected, Value::Null) && *expected != json!([]));
        }
        for commit in &commits[applied..] {
            commit.apply(&self.target).await?;
        }
        self.compare_databases(case).await?;
        Ok(counts)
    }

    /// Every table, as text, and every query are the same in both databases.
    async fn compare_databases(&self, case: &Case) -> Result<()> {
        let tables = "select string_agg(format('select %L::text as t, r::text from %s r', oid::regclass, oid::regclass), \
                      ' union all ') from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'";
        let union = scalar(&self.sql, tables).await?;
        let all = format!(
            "select coalesce(string_agg(t || ' ' || r, e'\\n' order by t, r collate \"C\"), '') from ({union}) x"
        );
        let (primary, replica) = (scalar(&self.sql, &all).await?, scalar(&self.target, &all).await?);
        if primary != replica {
            let lines = |text: &str, other: &str| -> Vec<String> {
                let other: Vec<&str> = other.lines().collect();
                text.lines().filter(|line| !other.contains(line)).map(str::to_owned).collect()
            };
            bail!(
                "the replay leads elsewhere; only in the primary: {:#?}, only in the replica: {:#?}",
                lines(&primary, &replica),
                lines(&replica, &primary)
            );
        }
        for subscription in &case.subscriptions {
            let here = evaluate(&self.sql, &subscription.sql).await?;
            let there = evaluate(&self.target, &subscription.sql).await?;
            ensure!(here == there, "{} differs between the databases", subscription.path);
        }
        Ok(())
    }

    async fn remove(self, cluster: &Cluster) -> Result<()> {
        let Bench { primary, replica, sql, target } = self;
        drop((sql, target));
        cluster.drop_database(&primary).await?;
        cluster.drop_database(&replica).await
    }
}

/// The last commits before a failure, for its report.
fn recent(commits: &[Commit], applied: usize) -> String {
    let mut out = String::from("last commits:\n");
    for commit in &commits[applied.saturating_sub(3)..applied] {
        let (lsn, xid) = (commit.end_lsn, commit.xid);
        let _ = writeln!(out, "{:X}/{:X} xid {xid}: {}", lsn >> 32, lsn as u32, commit.statements.join(";\n  "));
    }
    out
}

/// The one value of a statement, as text.
pub async fn scalar(client: &Client, sql: &str) -> Result<String> {
    let rows = client.simple_query(sql).await.with_context(|| sql.to_owned())?;
    let text = rows.iter().find_map(|row| match row {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    text.with_context(|| format!("no value: {sql}"))
}

/// A document as SQL gives it.
pub async fn evaluate(client: &Client, sql: &str) -> Result<Value> {
    parse(&scalar(client, sql).await?)
}

/// Writes a failing case where it can be run again from; gives the file.
pub fn keep(case: &Case, error: &anyhow::Error) -> Result<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("oracle-{}.json", case.seed));
    std::fs::write(&file, serde_json::to_string_pretty(case)?)?;
    std::fs::write(file.with_extension("txt"), format!("{error:#}\n"))?;
    Ok(file)
}
