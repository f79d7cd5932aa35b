//! A random test of the engine: any interleaving of commits, snapshots, answers, guests and clients, from one seed.
//!
//! [`world`] is a model of Postgres: transactions with ids, a commit order, and visibility that lags behind it without
//! bound. [`queries`] is a plan and, written independently, what its documents must be. The run plays random events
//! against the engine and holds every emission to the promise: a document emitted at a position equals the query
//! evaluated on the commits up to there, with the node versions it names.
//!
//! Situations that it meets once in thousands of seeds, or never, have tests of their own beside it, of the few events they
//! take: [`regressions`], [`starving`], [`contradiction`].
//!
//! `SANGRE_SEED` replays one run; `SANGRE_SIMULATIONS` says how many seeds to play.

mod checks;
mod contradiction;
mod oracle;
mod queries;
mod regressions;
mod run;
mod starving;
mod world;

/// Few upqueries at once, so that some have to wait.
const LIMITS: super::Limits = super::Limits { list_elements: 1000, upqueries: 3 };

#[test]
fn every_emission_is_the_query_at_its_position() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("SANGRE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SANGRE_SIMULATIONS").unwrap_or(400),
    };
    let (mut emissions, mut commits) = (0, 0);
    for seed in seeds.clone() {
        let done = std::panic::catch_unwind(|| run::play(seed));
        match done {
            Ok(counts) => {
                emissions += counts.emissions;
                commits += counts.commits;
            }
            Err(panic) => {
                eprintln!("failed with SANGRE_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    eprintln!("{} runs, {commits} commits, {emissions} emissions", seeds.count());
    assert!(emissions > commits / 10, "a run that emits nothing proves nothing");
}
