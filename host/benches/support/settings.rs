//! Shorter and longer runs, by environment variables; the README lists them.

use std::str::FromStr;
use std::time::Duration;

/// The variable's value, or what the official figures are taken with.
pub fn setting<T: FromStr>(name: &str, usual: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, which is not a value for it")),
        Err(_) => usual,
    }
}

/// How long a block of writes lasts.
pub fn block() -> Duration {
    block_or(4.0)
}

/// The same of a benchmark that compares the slowest writes, so that its blocks are usually longer.
pub fn block_or(usual_seconds: f64) -> Duration {
    Duration::from_secs_f64(setting("SANGRE_BENCH_SECONDS", usual_seconds))
}

/// How many blocks a figure is the median of.
pub fn blocks() -> usize {
    blocks_or(7)
}

/// The same of a benchmark whose blocks are long, so that they are usually fewer.
pub fn blocks_or(usual: usize) -> usize {
    setting("SANGRE_BENCH_BLOCKS", usual).max(1)
}

/// How long the load of many clients lasts.
pub fn load() -> Duration {
    Duration::from_secs_f64(setting("SANGRE_BENCH_LOAD_SECONDS", 30.0))
}

/// How many clients the load has.
pub fn clients() -> u32 {
    setting("SANGRE_BENCH_CLIENTS", 1000)
}

/// Writes a second under load.
pub fn rate() -> f64 {
    setting("SANGRE_BENCH_RATE", 100.0)
}
