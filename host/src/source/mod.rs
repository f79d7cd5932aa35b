//! source.
mod address;
mod catalogue;
mod connection;
mod error;
mod session;
mod tls;
mod types;
pub mod decode;
pub mod pgoutput;
