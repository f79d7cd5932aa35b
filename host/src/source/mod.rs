//! source.

pub mod decode;
pub mod pgoutput;
