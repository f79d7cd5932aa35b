//! query.

pub mod fields;
pub mod literal;
pub mod problem;
pub mod syntax;
pub mod tree;
