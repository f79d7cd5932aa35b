//! CPU time of the engine per commit, patch encoding included, small worlds beside large ones. See the README beside this file.

mod support;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sangre::config::Settings;
use sangre::data::{Change, Commit, Lsn, Value, Xid};
use sangre::dataflow::{DocumentKey, Effects, Engine, Limits};
use sangre::diff::{self, DiffMemo};
use sangre::driver::handle::no_claims;
use sangre::query::{Binding, Compiled, compile};
use sangre::source::{PostgresSource, SourceConfig};
use support::process::thread_cpu_time;
use support::report::{Report, say};
use support::settings::{blocks, setting};
use support::statistics::median;
use support::store::{self, Store};
use support::world;

const SCHEMA: &str = "
    CREATE TABLE users (id int4 PRIMARY KEY, name text NOT NULL);
    CREATE TABLE follows (user_id int4 REFERENCES users, followed_id int4 REFERENCES users, PRIMARY KEY (user_id, followed_id));
    CREATE TABLE places (id int4 PRIMARY KEY, user_id int4 REFERENCES users, name text NOT NULL, rating int4 NOT NULL);
    CREATE TABLE teams (id int4 PRIMARY KEY, name text NOT NULL);
    CREATE TABLE members (id int4 PRIMARY KEY, team_id int4 REFERENCES teams, name text NOT NULL, score int4 NOT NULL);";

const QUERIES: &str = r#"
database: postgres://x@127.0.0.1/x
queries:
  user:
    route: "/user/{id}"
    from: users
    get: { id: $id }
    with:
      followed:
        from: users
        through: { table: follows, parent: user_id, child: followed_id }
        with:
          places: { from: places, where: { rating: { gte: 3 } }, order_by: [-rating, name] }
  team:
    route: "/team/{id}"
    from: teams
    get: { id: $id }
    with:
      members: { from: members, order_by: [-score, name] }
"#;

/// Commits in all, for either size.
fn commits() -> usize {
    setting("SANGRE_BENCH_COMMITS", 10_000)
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (compiled, version) = runtime.block_on(compile_queries())?;
    drop(runtime);
    let mut report = Report::begin("change_cost", &format!("{version} (for the catalogue only)"));
    say(format_args!("{} commits each, in {} alternating blocks, without nodes", commits(), blocks()));
    table_rows(&compiled, &mut report)?;
    documents(&compiled, &mut report)?;
    list_members(&compiled, &mut report)?;
    held_rows(&compiled, &mut report)?;
    report.end();
    Ok(())
}

/// The queries against the catalogue of a real database, which is gone afterwards.
async fn compile_queries() -> Result<(Compiled, String)> {
    let postgres = world::postgres()?;
    world::connect(&postgres.url("postgres")).await?.batch_execute(SCHEMA).await?;
    let catalogue = PostgresSource::check(&SourceConfig::new(postgres.url("postgres"))).await?;
    let settings = Settings::parse(QUERIES, "bench", Path::new("."), &|_| None)?;
    let compiled = compile(&settings.definitions(), &catalogue);
    anyhow::ensure!(compiled.problems.is_empty(), "{:?}", compiled.problems);
    Ok((compiled, world::version(&postgres).await?))
}

/// 10 thousand against 1 million rows of a table, 100 documents that show some 530 of them. Each commit writes a row that six
/// documents show, and one of all the others.
fn table_rows(compiled: &Compiled, report: &mut Report) -> Result<()> {
    let make = |places: i64| {
        let mut store = Store::new(&compiled.plan.tables);
        let users = 106;
        let text = |text: &str, number: i64| Value::Text(format!("{text} {number}").into());
        store.fill("users", 1..=users, |user, column| match column {
            "id" => Value::Int(user),
            _ => text("User", user),
        });
        store.fill("follows", 0..100 * 6, |follow, column| match column {
            "user_id" => Value::Int(follow / 6 + 1),
            _ => Value::Int(follow / 6 + 1 + follow % 6 + 1),
        });
        // Users 1 to 106 have five places each; the others belong to users that nobody asks for.
        let owner = move |place: i64| if place <= users * 5 { (place - 1) / 5 + 1 } else { place + users };
        store.fill("places", 1..=places, move |place, column| place_column(place, owner(place), 3 + place % 3, column));
        let mut model = Model::new(compiled, store);
        (1..=100).try_for_each(|user| model.open(&format!("/user/{user}")))?;
        let write = move |model: &mut Model, number: i64| {
            // A place of users 7 to 101: six documents show each of them.
            let shown = model.rng.random_range(6 * 5 + 1..=101 * 5);
            let other = model.rng.random_range(users * 5 + 1..=places);
            [shown, other].map(|place| {
                let rating = model.rng.random_range(2..=5);
                model.update("places", move |column| {
                    let renamed = place_column(place, owner(place), rating, column);
                    if column == "name" { Value::Text(format!("Place {place} ({number})").into()) } else { renamed }
                })
            })
        };
        Ok::<_, anyhow::Error>(Side::new(model, write))
    };
    let (small, large) = compare("table rows", make(10_000)?, make(1_000_000)?)?;
    report.goal("table_rows_ratio", "1 million to 10 thousand table rows", ratio(&small, &large), 1.3, "");
    report.note("table_rows_large_us", median(large));
    Ok(())
}

fn place_column(place: i64, owner: i64, rating: i64, column: &str) -> Value {
    match column {
        "id" => Value::Int(place),
        "user_id" => Value::Int(owner),
        "rating" => Value::Int(rating),
        _ => Value::Text(format!("Place {place}").into()),
    }
}

/// A document with a list of ten, beside 100 or 10,000 others like it that the commits do not touch.
fn documents(compiled: &Compiled, report: &mut Report) -> Result<()> {
    let make = |others: i64| teams(compiled, others + 1, 10, 1);
    let (small, large) = compare("documents beside", make(100)?, make(10_000)?)?;
    report.goal("documents_ratio", "10,000 to 100 documents beside", ratio(&small, &large), 2.0, "");
    report.goal("documents_large_us", "a commit beside 10,000 documents", median(large), 50.0, " us");
    Ok(())
}

/// One list of 10 or of 10,000 members.
fn list_members(compiled: &Compiled, report: &mut Report) -> Result<()> {
    let make = |members: i64| teams(compiled, 1, members, 1);
    let (small, large) = compare("list members", make(10)?, make(10_000)?)?;
    report.goal("list_ratio", "10,000 to 10 list members", ratio(&small, &large), 3.0, "");
    report.note("list_large_us", median(large));
    Ok(())
}

/// 10 thousand against 1 million rows that are all held, in lists of 100, written to everywhere. No goal: what it shows beside
/// the others is what memory costs that no cache of the processor can hold.
fn held_rows(compiled: &Compiled, report: &mut Report) -> Result<()> {
    let make = |rows: i64| teams(compiled, rows / 100, 100, rows / 100);
    let (small, large) = compare("held rows", make(10_000)?, make(1_000_000)?)?;
    let ratio = ratio(&small, &large);
    say(format_args!("  1 million to 10 thousand held rows: {ratio:.3}, no goal"));
    report.note("held_rows_ratio", ratio);
    Ok(())
}

/// A document for each team of that many members. Commits write to the first `written` teams: of ten, seven change a member's name and
/// score, and so perhaps its place in the list; one or two add a member, one or two take away one that was added.
fn teams(compiled: &Compiled, teams: i64, members: i64, written: i64) -> Result<Side> {
    let mut store = Store::new(&compiled.plan.tables);
    store.fill("teams", 1..=teams, |team, column| match column {
        "id" => Value::Int(team),
        _ => Value::Text(format!("Team {team}").into()),
    });
    let column_of = move |member: i64, number: i64, score: i64, column: &str| match column {
        "id" => Value::Int(member),
        "team_id" => Value::Int((member - 1) % teams + 1),
        "score" => Value::Int(score),
        _ => Value::Text(format!("Member {member} ({number})").into()),
    };
    let all = teams * members;
    store.fill("members", 1..=all, |member, column| column_of(member, 0, member * 7919 % 1000, column));
    let mut model = Model::new(compiled, store);
    (1..=teams).try_for_each(|team| model.open(&format!("/team/{team}")))?;
    let mut added: Vec<(i64, i64)> = Vec::new();
    Ok(Side::new(model, move |model, number| {
        let team = model.rng.random_range(1..=written);
        let score = model.rng.random_range(0..1000);
        let member = match model.rng.random_range(0..100) {
            70..85 => {
                let member = all + number * teams + team;
                added.push((member, number));
                return vec![model.insert("members", |column| column_of(member, number, score, column))];
            }
            85.. if !added.is_empty() => {
                let at = model.rng.random_range(0..added.len());
                let (member, number) = added.swap_remove(at);
                return vec![model.delete("members", |column| column_of(member, number, score, column))];
            }
            _ => team + model.rng.random_range(0..members) * teams,
        };
        vec![model.update("members", |column| column_of(member, number, score, column))]
    }))
}

/// CPU time per commit in microseconds, of either side by block.
fn compare(what: &str, mut small: Side, mut large: Side) -> Result<(Vec<f64>, Vec<f64>)> {
    let each = commits().div_ceil(blocks());
    // Once for the caches, not counted.
    small.run(each)?;
    large.run(each)?;
    let (mut of_small, mut of_large) = (Vec::new(), Vec::new());
    for _ in 0..blocks() {
        of_small.push(small.run(each)?);
        of_large.push(large.run(each)?);
    }
    let (one, other) = (median(of_small.iter().copied()), median(of_large.iter().copied()));
    let documents = |side: &Side| side.model.patches as f64 / side.model.commits as f64;
    let bytes = |side: &Side| side.model.bytes / side.model.patches.max(1);
    say(format_args!(
        "\n{what}: {one:.2} us small, {other:.2} us large; {:.2} and {:.2} patches a commit of {} and {} bytes",
        documents(&small),
        documents(&large),
        bytes(&small),
        bytes(&large),
    ));
    Ok((of_small, of_large))
}

fn ratio(small: &[f64], large: &[f64]) -> f64 {
    median(small.iter().zip(large).map(|(small, large)| large / small))
}

/// Makes the commit of this number.
type Write = dyn FnMut(&mut Model, i64) -> Vec<Change>;

/// An engine, and how commits to it are made.
struct Side {
    model: Model,
    next: i64,
    write: Box<Write>,
}

impl Side {
    fn new<C: Into<Vec<Change>>>(model: Model, mut write: impl FnMut(&mut Model, i64) -> C + 'static) -> Self {
        Side { model, next: 1, write: Box::new(move |model, number| write(model, number).into()) }
    }

    /// CPU time per commit, in microseconds. What the commits hold is made before the clock starts.
    fn run(&mut self, commits: usize) -> Result<f64> {
        let made: Vec<Vec<Change>> = (0..commits)
            .map(|_| {
                let number = self.next;
                self.next += 1;
                (self.write)(&mut self.model, number)
            })
            .collect();
        let begin = thread_cpu_time();
        for changes in made {
            self.model.commit(changes)?;
        }
        Ok((thread_cpu_time() - begin).as_secs_f64() * 1e6 / commits as f64)
    }
}

/// An engine with all that surrounds it, without a thread, socket or database.
struct Model {
    compiled: Compiled,
    store: Store,
    engine: Engine,
    memo: DiffMemo,
    roots: HashMap<DocumentKey, Value>,
    rng: SmallRng,
    commits: usize,
    patches: usize,
    bytes: usize,
}

impl Model {
    fn new(compiled: &Compiled, store: Store) -> Self {
        let plan = Arc::new(compiled.plan.clone());
        let limits = Limits { list_elements: 100_000, upqueries: 8 };
        let engine = Engine::new(plan, store::snapshot(), store::BEGIN, limits, [7; 16]);
        Model {
            compiled: compiled.clone(),
            store,
            engine,
            memo: DiffMemo::new(),
            roots: HashMap::new(),
            rng: SmallRng::seed_from_u64(1),
            commits: 0,
            patches: 0,
            bytes: 0,
        }
    }

    /// Opens a document and fills it.
    fn open(&mut self, path: &str) -> Result<()> {
        let Binding::Done(bound) = self.compiled.routes.bind(path, &[], &no_claims())? else {
            anyhow::bail!("{path} needs no database to be bound");
        };
        let (_, mut effects) = self.engine.open(bound.document, &bound.params);
        loop {
            let upqueries = std::mem::take(&mut effects.upqueries);
            self.take(effects)?;
            if upqueries.is_empty() {
                return Ok(());
            }
            effects = Effects::default();
            for upquery in upqueries {
                let answer = self.store.answer(upquery);
                effects.append(self.engine.found(answer));
            }
        }
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<()> {
        self.commits += 1;
        let number = self.commits as u64;
        let xid = Xid(store::NEXT.0 + number as u32);
        let commit = Commit { xid, end: Lsn(store::BEGIN.0 + number * 8), changes };
        let effects = self.engine.commit(Arc::new(commit));
        anyhow::ensure!(effects.upqueries.is_empty(), "a commit to what is known asks nothing");
        self.take(effects)
    }

    /// Writes the patch of each document that is emitted, as the one client of it would have it.
    fn take(&mut self, effects: Effects) -> Result<()> {
        for emission in effects.emissions {
            if let Some(before) = self.roots.insert(emission.document, emission.root.clone()) {
                let patch = diff::patch(&before, &emission.root, &self.memo);
                anyhow::ensure!(!diff::is_empty(&patch), "what is emitted differs");
                self.patches += 1;
                self.bytes += patch.len();
            }
        }
        Ok(())
    }

    fn update(&self, name: &str, value: impl Fn(&str) -> Value) -> Change {
        let (table, definition) = self.store.table(name);
        let row = store::row(definition, value);
        let id = store::id(definition, table, &row);
        Change::Update { table, old: id.clone(), id, row, unchanged: Vec::new() }
    }

    fn insert(&self, name: &str, value: impl Fn(&str) -> Value) -> Change {
        let (table, definition) = self.store.table(name);
        let row = store::row(definition, value);
        Change::Insert { table, id: store::id(definition, table, &row), row }
    }

    fn delete(&self, name: &str, value: impl Fn(&str) -> Value) -> Change {
        let (table, definition) = self.store.table(name);
        Change::Delete { table, id: store::id(definition, table, &store::row(definition, value)) }
    }
}
