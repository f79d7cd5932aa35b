//! What the benchmarks share: a private Postgres with a world in it, the server and the floor as processes, writes on schedule,
//! clients, nodes in three languages with their host and its floor, statistics, and the report.
//!
//! Each benchmark is a program of its own and uses only part of this.
#![allow(dead_code, unused_imports)]

pub mod clients;
pub mod evil;
pub mod extism;
pub mod floor;
pub mod guests;
pub mod process;
pub mod raw;
pub mod report;
pub mod rows;
pub mod settings;
pub mod side;
pub mod statistics;
pub mod store;
pub mod trace;
pub mod world;
pub mod writer;

// The server is started and asked as the tests do it.
#[path = "../../../tests/support/http.rs"]
pub mod http;
#[path = "../../../tests/support/json.rs"]
pub mod json;
#[path = "../../../tests/support/server.rs"]
pub mod server;
#[path = "../../../tests/support/watchdog.rs"]
pub mod watchdog;
