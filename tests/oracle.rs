//! Generated schemas, queries and concurrent transactions, held against SQL at every revision (see `support::oracle`).
//!
//! `SANGRE_SEED` runs from that seed on, `SANGRE_ORACLE_SECONDS` as long as that, `SANGRE_CASE` one saved case. A failing
//! case is written to a file whose path the message names; put into `tests/regressions/`, it is run first from then on.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::support::case::{Case, Size};
use crate::support::oracle::{self, Counts};
use crate::support::postgres;

pub fn from_environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} cannot be read")))
}

pub fn first_seed() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    from_environment("SANGRE_SEED").unwrap_or_else(now)
}

/// The case of a seed: one in four with nodes.
fn generate(seed: u64) -> Case {
    Case::generate(seed, Size::of_seed(seed), seed % 4 == 1)
}

fn read(file: &Path) -> Result<Case> {
    serde_json::from_str(&fs::read_to_string(file)?).with_context(|| file.display().to_string())
}

async fn check(case: &Case) -> Result<Counts> {
    match oracle::run(postgres::shared(), case).await {
        Ok(counts) => Ok(counts),
        Err(error) => {
            let file = oracle::keep(case, &error)?;
            bail!("seed {}: {error:#}\nrun it again with SANGRE_CASE={}", case.seed, file.display())
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn saved_cases_hold() -> Result<()> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/regressions"));
    let mut files: Vec<PathBuf> = match from_environment("SANGRE_CASE") {
        Some(file) => vec![file],
        None => fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?,
    };
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let mut total = Counts::default();
    for file in files {
        total += check(&read(&file)?).await.with_context(|| file.display().to_string())?;
    }
    eprintln!("saved cases: {total:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_equal_sql_at_every_revision() -> Result<()> {
    let budget = Duration::from_secs(from_environment("SANGRE_ORACLE_SECONDS").unwrap_or(20));
    let (start, first) = (Instant::now(), first_seed());
    eprintln!("oracle: SANGRE_SEED={first}");
    let mut total = Counts::default();
    for seed in first.. {
        total += check(&generate(seed)).await?;
        if start.elapsed() >= budget {
            break;
        }
    }
    eprintln!("oracle: {total:?} in {:?}", start.elapsed());
    Ok(())
}

/// The oracle itself: without a server, replaying commit by commit leads to the primary's state.
#[tokio::test(flavor = "multi_thread")]
async fn replay_leads_to_the_primary() -> Result<()> {
    let budget = Duration::from_secs(from_environment("SANGRE_REPLAY_SECONDS").unwrap_or(4));
    let (start, first) = (Instant::now(), first_seed());
    let mut total = Counts::default();
    for seed in first.. {
        let case = generate(seed);
        let counts = oracle::rehearse(postgres::shared(), &case).await;
        total += counts.with_context(|| format!("SANGRE_SEED={seed}"))?;
        if start.elapsed() >= budget {
            break;
        }
    }
    eprintln!("replay: {total:?} in {:?}", start.elapsed());
    Ok(())
}

/// The oracle itself: it accepts the truth at every revision, and notices a document one commit too old.
#[tokio::test(flavor = "multi_thread")]
async fn the_oracle_knows_truth_from_error() -> Result<()> {
    let first = first_seed();
    let size = Size { writers: 1, transactions: 20, ..Size::default() };
    let mut noticed = 0;
    for seed in first..first + 4 {
        let case = Case::generate(seed, size, true);
        let counts = oracle::rehearse_with(postgres::shared(), &case, |_| {}).await;
        counts.with_context(|| format!("SANGRE_SEED={seed}"))?;
        let mut lied = false;
        let stale = oracle::rehearse_with(postgres::shared(), &case, |tracks| {
            let Some(track) = tracks.iter_mut().find(|track| track.messages.len() > 2) else { return };
            let late = track.messages[2]["revision"].clone();
            track.messages.remove(2);
            track.messages.truncate(2);
            track.messages[1]["revision"] = late;
            lied = true;
        });
        let stale = stale.await;
        assert_eq!(stale.is_err(), lied, "SANGRE_SEED={seed}: {stale:?}");
        noticed += usize::from(lied);
    }
    eprintln!("{noticed} of 4 cases had something to lie about");
    Ok(())
}

#[test]
fn a_seed_makes_one_case() -> Result<()> {
    let make = || serde_json::to_string(&generate(7));
    assert_eq!(make()?, make()?);
    Ok(())
}
