//! The single writer.

pub mod handle;
