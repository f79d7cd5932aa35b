//! source.
mod address;
mod catalogue;
mod connection;
pub mod decode;
mod error;
pub mod pgoutput;
mod session;
mod tls;
mod types;
