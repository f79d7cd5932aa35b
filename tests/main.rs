//! Tests of the whole server from outside, a module for each theme.
//!
//! One binary, so that all share one private Postgres (`support::postgres::shared`) and one link. Each test has databases
//! of its own.

mod oracle;
mod support;
