//! What this program shares with the benchmark that starts it.
#![allow(dead_code, reason = "it uses only part of it")]

#[path = "../../support/process.rs"]
pub mod process;
#[path = "../../support/rows.rs"]
pub mod rows;
#[path = "../../support/statistics.rs"]
pub mod statistics;
