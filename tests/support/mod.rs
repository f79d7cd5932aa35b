//! What the tests share: a private Postgres, the server as a process, clients, and the oracle.

pub mod case;
pub mod client;
pub mod counters;
pub mod dice;
pub mod document;
pub mod follower;
pub mod http;
pub mod json;
pub mod kinds;
pub mod naive_sql;
pub mod oracle;
pub mod postgres;
pub mod query;
pub mod query_gen;
pub mod query_json;
pub mod replay;
pub mod schema_gen;
pub mod server;
pub mod type_matrix;
pub mod watchdog;
pub mod workload;
pub mod world;
pub mod writers;
