//! Sangre streams the results of nested Postgres queries to clients in real time.

pub mod cli;
pub mod config;
pub mod data;
pub mod dataflow;
pub mod demo;
pub mod diff;
pub mod driver;
pub mod query;
pub mod revision;
pub mod server;
pub mod session;
pub mod source;
pub mod wasm;
