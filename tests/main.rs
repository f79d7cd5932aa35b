//! Tests of the whole server from outside, a module for each theme.
//!
//! One binary, so that all share one private Postgres (`support::postgres::shared`) and one link. Each test has databases
//! of its own.

mod auth_boundary;
mod busy;
mod conditions;
mod declared_types;
mod demo;
mod deploys;
mod embedding;
mod histories;
mod hostile_nodes;
mod in_process;
mod layering;
mod limits;
mod locks;
mod node_calls;
mod node_commands;
mod node_limits;
mod nodes_of_an_edit;
mod oracle;
mod original_defects;
mod outage;
mod partitions;
mod refusals;
mod release;
mod reload;
mod reload_under_load;
mod resume;
mod serving;
mod standby;
mod support;
mod types;
