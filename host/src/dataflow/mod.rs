//! The engine.

pub mod guest;
pub mod plan;
