//! The demo.
pub mod private_postgres;
mod programs;
