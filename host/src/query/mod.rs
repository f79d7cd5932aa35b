//! query.

pub mod fields;
pub mod problem;
pub mod syntax;
pub mod tree;
