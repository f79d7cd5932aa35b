//! A world for reloads under load: counters in groups, commits that add to two counters of a group, documents of them that
//! pass a node, and clients that check every state they hold.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use futures_util::TryStreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_postgres::{Client as Sql, Statement};

use super::client::{Client, Said, Transport};
use super::dice::Dice;
use super::document::Document;

/// Each has a writer of its own, so writers never wait for each other.
pub const GROUPS: i32 = 4;

/// Counters of a group.
const MEMBERS: i32 = 15;

pub const ROWS: usize = (GROUPS * MEMBERS) as usize;

/// Of each group, those that [`Rows::Hot`] are.
const HOT: i32 = 5;

/// Commits of a writer that Postgres has not answered yet.
const PIPELINED: usize = 16;

/// Which rows are written to.
#[derive(Clone, Copy, Debug)]
pub enum Rows {
    All,
    /// Those whose column `hot` says so.
    Hot,
}

pub fn schema() -> String {
    format!(
        "create table groups (id int4 primary key);
         create table counters (id int4 primary key, group_id int4 not null references groups, hot bool not null, count int4 not null);
         insert into groups select generate_series(1, {GROUPS});
         insert into counters select {MEMBERS} * (g - 1) + m, g, m <= {HOT}, 0
             from generate_series(1, {GROUPS}) g, generate_series(1, {MEMBERS}) m"
    )
}

/// Adds one to two counters of the group in each commit, as fast as Postgres takes them, until told to stop. How many commits.
pub async fn write(sql: Sql, group: i32, rows: Rows, mut dice: Dice, course: Arc<Course>) -> Result<u64> {
    sql.batch_execute("set synchronous_commit = off").await?;
    let update = sql.prepare("update counters set count = count + 1 where id in ($1, $2)").await?;
    let members = if matches!(rows, Rows::All) { MEMBERS } else { HOT };
    let base = MEMBERS * (group - 1);
    let (mut open, mut commits) = (FuturesUnordered::new(), 0);
    while course.go_on().await {
        let one = dice.between(1, members as usize) as i32;
        let other = 1 + (one + dice.between(0, members as usize - 2) as i32) % members;
        open.push(commit(&sql, &update, [base + one, base + other]));
        if open.len() == PIPELINED {
            open.try_next().await?;
            course.commits.fetch_add(1, Ordering::Relaxed);
            commits += 1;
        }
    }
    Ok(commits + open.try_fold(0, async |commits, ()| Ok(commits + 1)).await?)
}

async fn commit(sql: &Sql, update: &Statement, [one, other]: [i32; 2]) -> Result<()> {
    let updated = sql.execute(update, &[&one, &other]).await.context("a commit")?;
    ensure!(updated == 2, "{updated} rows of {one} and {other}");
    Ok(())
}

/// What writers and clients know of each other.
#[derive(Default)]
pub struct Course {
    /// What a revision names, as a hash, by path and revision: the same for everybody.
    names: Mutex<HashMap<(&'static str, String), blake3::Hash>>,
    commits: AtomicU64,
    /// Of each of [`SHAPES`], how many commits are in what its client holds; of those that show all rows.
    seen: [AtomicU64; SHAPES.len()],
    stopped: AtomicBool,
    moved: Notify,
}

/// Commits that a client may be behind. Without a bound a debug build would take minutes to catch up at the end.
const BEHIND: u64 = 4_000;

impl Course {
    /// Tells writers to stop.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.moved.notify_waiters();
    }

    /// Waits while a client is too far behind. Whether there is more to write.
    async fn go_on(&self) -> bool {
        loop {
            let moved = self.moved.notified();
            if self.stopped.load(Ordering::Relaxed) {
                return false;
            }
            let whole = SHAPES.iter().zip(&self.seen).filter(|(shape, _)| shape.rows == ROWS);
            let least = whole.map(|(_, seen)| seen.load(Ordering::Relaxed)).min().unwrap_or_default();
            if self.commits.load(Ordering::Relaxed) < least + BEHIND {
                return true;
            }
            moved.await;
        }
    }
}

/// A document, and how it is followed.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub path: &'static str,
    transport: Transport,
    /// Leaves after each new version, and comes back with the revision it holds.
    returns: bool,
    rows: usize,
}

const fn shape(path: &'static str, rows: usize) -> Shape {
    Shape { path, transport: Transport::WebSocket, returns: false, rows }
}

/// Every way through a node: in place, before an order, after a limit, nested.
pub const SHAPES: [Shape; 6] = [
    shape("/all", ROWS),
    Shape { transport: Transport::Sse, ..shape("/all", ROWS) },
    Shape { returns: true, ..shape("/all", ROWS) },
    shape("/ordered", ROWS),
    shape("/late", 2 * MEMBERS as usize),
    shape("/groups/2", MEMBERS as usize),
];

/// The queries of [`SHAPES`], through this node.
pub fn queries(node: &str) -> Value {
    let map = json!({ "map": { "node": node, "into": "stamp", "input": ["id", "hot", "count"] } });
    json!({
        "all": { "route": "/all", "from": "counters", "order_by": ["id"], "steps": [map] },
        "ordered": { "route": "/ordered", "from": "counters", "steps": [map, { "order_by": ["-stamp.count", "id"] }] },
        "late": { "route": "/late", "from": "counters", "steps": [{ "order_by": ["id"] }, { "limit": 2 * MEMBERS }, map] },
        "group": { "route": "/groups/{id}", "from": "groups", "get": { "id": "$id" }, "with": {
            "counters": { "from": "counters", "order_by": ["id"], "steps": [map] },
        } },
    })
}

/// A counter as the database has it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    id: i32,
    group: i32,
    hot: bool,
    count: i32,
}

pub async fn rows(sql: &Sql) -> Result<Vec<Row>> {
    let rows = sql.query("select id, group_id, hot, count from counters order by id", &[]).await?;
    Ok(rows.iter().map(|row| Row { id: row.get(0), group: row.get(1), hot: row.get(2), count: row.get(3) }).collect())
}

impl Shape {
    /// The document, of these rows and with the node's version `letter`.
    pub fn expected(&self, rows: &[Row], letter: char) -> Value {
        let mut rows = rows.to_vec();
        match self.path {
            "/ordered" => rows.sort_by_key(|row| (-row.count, row.id)),
            "/late" => rows.truncate(self.rows),
            "/groups/2" => rows.retain(|row| row.group == 2),
            _ => {}
        }
        let element = |Row { id, group, hot, count }| {
            let stamp = json!({ "letter": letter, "count": count });
            json!({ "id": id, "group_id": group, "hot": hot, "count": count, "stamp": stamp })
        };
        let elements: Value = rows.into_iter().map(element).collect();
        if self.path == "/groups/2" { json!({ "id": 2, "counters": elements }) } else { elements }
    }
}

/// Whether this can be a state of a document with so many rows: the version it was made with, and the counts by id.
pub fn check(value: &Value, rows: usize) -> Result<(char, Counts)> {
    let elements = value.as_array().or_else(|| value["counters"].as_array()).context("a list")?;
    ensure!(elements.len() == rows, "{} rows, not {rows}", elements.len());
    let mut letter = None;
    let mut counts = Counts::default();
    for element in elements {
        let stamp = &element["stamp"];
        let of_element = stamp["letter"].as_str();
        ensure!(of_element == *letter.get_or_insert(of_element), "{element} beside an element of {letter:?}");
        let (id, count) = (element["id"].as_i64().context("an id")?, element["count"].as_i64().context("a count")?);
        ensure!(stamp["count"].as_i64() == Some(count), "the answer is of another row: {element}");
        let place = counts.0.get_mut(id as usize - 1).context("an id")?;
        ensure!(place.replace(count).is_none(), "row {id} is there twice");
    }
    let letter = letter.flatten().and_then(|text| text.chars().next()).context("no letter")?;
    ensure!(matches!(letter, 'A' | 'B'), "{letter} was never to be seen");
    ensure!(counts.total() % 2 == 0, "half a transaction is seen");
    Ok((letter, counts))
}

/// The counts that a document shows, by id.
#[derive(Clone, Copy)]
pub struct Counts([Option<i64>; ROWS]);

impl Counts {
    fn total(&self) -> i64 {
        self.0.iter().flatten().sum()
    }
}

impl Default for Counts {
    fn default() -> Self {
        Counts([None; ROWS])
    }
}

/// What a client holds, and how it came to that.
#[derive(Default)]
pub struct Held {
    pub document: Document,
    pub letter: Option<char>,
    pub revisions: usize,
    /// How often the letter was another than before.
    pub reloads: usize,
    counts: Counts,
}

/// A client at work.
pub struct View {
    pub shape: Shape,
    pub held: watch::Receiver<Held>,
    running: JoinHandle<Result<()>>,
}

impl View {
    /// Starts the client of one of [`SHAPES`].
    pub fn start(address: &str, number: usize, course: Arc<Course>) -> View {
        let (sender, held) = watch::channel(Held::default());
        let shape = SHAPES[number];
        let follower = Follower { address: address.to_owned(), shape, number, course, held: sender };
        View { shape, held, running: tokio::spawn(follower.run()) }
    }

    /// Waits until what it holds is as wanted; an error says which rule a state broke.
    pub async fn until(&mut self, wanted: impl FnMut(&Held) -> bool) -> Result<()> {
        if self.held.wait_for(wanted).await.is_ok() {
            return Ok(());
        }
        (&mut self.running).await??;
        bail!("the client ended")
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.running.abort();
    }
}

struct Follower {
    address: String,
    shape: Shape,
    /// Which of [`SHAPES`] that is.
    number: usize,
    course: Arc<Course>,
    held: watch::Sender<Held>,
}

impl Follower {
    async fn run(self) -> Result<()> {
        loop {
            let Shape { path, transport, .. } = self.shape;
            let revision = self.held.borrow().document.revision.clone();
            let mut client = Client::open(&self.address, path, transport, revision.as_deref()).await?;
            self.held.send_modify(|held| held.document.resuming = revision.is_some());
            loop {
                match client.next().await? {
                    Said::Patch(message) => {
                        let is_new = self.take(&message).with_context(|| format!("{:?}: {message}", self.shape))?;
                        if is_new && self.shape.returns {
                            break;
                        }
                    }
                    Said::Status(_) => {}
                    other => bail!("{:?}: {other:?}", self.shape),
                }
            }
        }
    }

    /// Applies and checks a message. Whether the version is another than before.
    fn take(&self, message: &Value) -> Result<bool> {
        let mut outcome = Ok(false);
        self.held.send_modify(|held| outcome = held.take(message, &self.shape));
        let is_new = outcome?;
        let held = self.held.borrow();
        let Document { value, revision, .. } = &held.document;
        let hash = blake3::hash(value.to_string().as_bytes());
        let name = (self.shape.path, revision.clone().unwrap_or_default());
        let mut names = self.course.names.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(*names.entry(name).or_insert(hash) == hash, "the revision named another state to another client");
        drop(names);
        self.course.seen[self.number].store(held.counts.total() as u64 / 2, Ordering::Relaxed);
        self.course.moved.notify_waiters();
        Ok(is_new)
    }
}

impl Held {
    fn take(&mut self, message: &Value, shape: &Shape) -> Result<bool> {
        self.document.apply(message)?;
        let (letter, counts) = check(&self.document.value, shape.rows)?;
        let back = self.counts.0.iter().zip(&counts.0).position(|(before, now)| now < before);
        ensure!(back.is_none(), "the counter of row {:?} goes back", back.map(|index| index + 1));
        self.counts = counts;
        let is_new = self.letter.replace(letter).is_some_and(|before| before != letter);
        self.reloads += usize::from(is_new);
        self.revisions += 1;
        Ok(is_new)
    }
}
