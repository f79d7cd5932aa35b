//! Sangre.

#![warn(missing_docs)]

mod api;
#[doc(hidden)]
pub mod cli;
pub(crate) mod config;
#[doc(hidden)]
pub mod data;
#[doc(hidden)]
pub mod dataflow;
pub(crate) mod demo;
#[doc(hidden)]
pub mod diff;
pub(crate) mod driver;
#[doc(hidden)]
pub mod query;
#[doc(hidden)]
pub mod revision;
pub(crate) mod server;
pub(crate) mod session;
#[doc(hidden)]
pub mod source;
pub(crate) mod wasm;

pub use api::{
    Builder, Change, Changes, Claims, Code, Document, Error, Event, Health, Request, Revision, Sangre, State, Status,
};
