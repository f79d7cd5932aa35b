//! Nested Postgres queries, live: a document is sent once, then a JSON Patch for every commit that changes it.
//!
//! This is Sangre as a library, inside an application of yours: its documents are on routes of your [`axum`] 0.8 application, and
//! in your process. (The program `sangre` is the same behind a listener of its own.)
//!
//! ```text
//!                        your process
//!            +------------------------------------------+
//!            |   your routes ------ SQL --------------------->  Postgres
//!   clients  |                                          |          |
//!   -------->|   sangre.router()                        |          | every commit, through
//!   <========|      ^        documents, patches         |          | logical replication
//!            |   [ Sangre ] <--------------------------------------+
//!            |      v                                   |
//!            |   sangre.read(..), sangre.subscribe(..)  |
//!            +------------------------------------------+
//! ```
//!
//! # Quick start
//!
//! Postgres 14 or newer with `wal_level = logical`, and a role that may replicate. Queries are in a file, as the README shows,
//! or in code:
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use sangre::{Event, Sangre};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let sangre = Sangre::builder("postgres://localhost/app")
//!         .query("notes", "{ route: /notes, from: notes, order_by: [id] }")
//!         .start()
//!         .await?;
//!
//!     // In process: once, or as it changes.
//!     let notes = sangre.read("/notes").await?;
//!     println!("{} as of {}", notes.json(), notes.revision());
//!     let mut changes = sangre.subscribe("/notes").await?;
//!     tokio::spawn(async move {
//!         while let Some(Ok(event)) = changes.next().await {
//!             if let Event::Change(change) = event {
//!                 println!("{}", change.patch());
//!             }
//!         }
//!     });
//!
//!     // For clients, beside routes of your own: GET, server-sent events or WebSocket on /live/notes.
//!     let app = Router::new()
//!         .route("/hello", get(async || "hello"))
//!         .nest("/live", sangre.router());
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//!     axum::serve(listener, app)
//!         .with_graceful_shutdown(async move {
//!             if let Err(error) = sangre.run_until(tokio::signal::ctrl_c()).await {
//!                 eprintln!("{error}");
//!             }
//!         })
//!         .await?;
//!     Ok(())
//! }
//! ```
//!
//! `host/examples/embed.rs` in the repository is a whole application.
//!
//! # What to know
//!
//! - **Start.** [`Builder::start`] fails where somebody has to put something right, and says what. A database that is out of
//!   reach is tried again while your application serves; [`Sangre::ready`] waits, [`Sangre::health`] tells.
//! - **Who may connect.** Whoever reaches your router: authenticate there, and hand on what was verified as [`Claims`], which is
//!   all that `$auth` in a query ever reads. Pages of other origins are refused unless [`Builder::origins`] names them. Requests must
//!   call your application by a loopback name, until [`Builder::hosts`] says its own.
//! - **The end.** [`Sangre::shutdown`] and [`Sangre::run_until`] tell clients and subscriptions, then close the connections to the
//!   database; its replication slot is temporary and goes with them. Dropping every clone, router and subscription does the same
//!   without the farewell.
//! - **Several** in one process share nothing but the process. Two for the same database use one publication, unless the
//!   configuration gives them their own.
//! - **The log** goes to your [`tracing`] subscriber.
//! - **TLS** is rustls with aws-lc-rs, which is made the process's default provider if there is none yet: an application that
//!   wants another installs it first.
//!
//! It runs on tokio, whose timers and I/O must be enabled.
//!
//! [`tracing`]: https://docs.rs/tracing

#![warn(missing_docs)]

// What is public, but hidden, is what the program, benchmarks and fuzzers of this package drive part by part, by the paths it has
// in the code. It may change with any release.
mod api;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod data;
#[doc(hidden)]
pub mod dataflow;
#[doc(hidden)]
pub mod demo;
#[doc(hidden)]
pub mod diff;
#[doc(hidden)]
pub mod driver;
#[doc(hidden)]
pub mod query;
#[doc(hidden)]
pub mod revision;
mod server;
mod session;
#[doc(hidden)]
pub mod source;
#[doc(hidden)]
pub mod wasm;
mod watch;

pub use api::{
    Builder, Change, Changes, Claims, Code, Document, Error, Event, Health, Request, Revision, Sangre, State, Status,
};
