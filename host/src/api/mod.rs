//! The library as its users know it: everything that is public is here, or re-exported from here.
//!
//! The program `sangre` is one of its users: there is one way from a configuration to documents.

mod builder;
mod changes;
mod document;
mod error;
pub(crate) mod recipe;
mod request;
mod running;
mod watch;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;

pub use builder::Builder;
pub use changes::Changes;
pub use document::{Change, Document, Event, Revision};
pub use error::Error;
pub use request::Request;

pub use crate::driver::handle::{Code, Health, State, Status};
pub use crate::session::Claims;

use crate::driver::handle::Documents as _;
use crate::server::{Front, Gate};
use crate::session::Session;
use running::Running;

/// A running Sangre: a stream from one database, and the documents of one configuration.
///
/// Clones are the same one. It runs until it is [shut down](Sangre::shutdown), or until the last clone, router and
/// subscription of it has been dropped. A process may have several.
#[derive(Clone)]
pub struct Sangre {
    running: Arc<Running>,
    front: Front,
    gate: Gate,
    admin_gate: Gate,
}

impl Sangre {
    /// Begins with a configuration file, `sangre.yaml`. `${NAME}` in it stands for environment variables, and paths count from
    /// its folder.
    pub fn from_file(path: impl Into<PathBuf>) -> Builder {
        Builder::from_file(path.into())
    }

    /// Begins with the text of such a file, in YAML or JSON. Paths count from the folder of the process.
    pub fn from_yaml(text: impl Into<String>) -> Builder {
        Builder::from_yaml(text.into())
    }

    /// Begins with a database alone; its queries follow in code.
    pub fn builder(database_url: impl Into<String>) -> Builder {
        Builder::from_yaml(String::new()).database(database_url)
    }

    /// The documents on the routes of their queries, over HTTP, server-sent events and WebSocket, to be mounted in an
    /// application: `app.nest("/live", sangre.router())`.
    ///
    /// Routes begin where the router is mounted. Middleware of the application works as around any router; what it puts into
    /// the request's extensions as [`Claims`] is what `$auth` reads. `Origin` and `Host` are checked here, as
    /// [`Builder::origins`] and [`Builder::hosts`] say, and CORS is answered, so no other layer should do that around it.
    /// How many connections there may be is for whoever listens.
    pub fn router(&self) -> Router {
        self.front.router(self.gate.clone(), Router::new())
    }

    /// For whoever runs the application, never for clients: `/healthz`, `/readyz`, `/nodes` and `/nodes/{name}/reload`. It shows
    /// what nodes and their compilers say.
    pub fn admin_router(&self) -> Router {
        self.front.admin_router(self.admin_gate.clone())
    }

    /// The document at a route, once. A document that nobody follows is computed for this, and kept for a while. While the
    /// database is out of reach, one that is there already is given as it was.
    pub async fn read(&self, request: impl Into<Request>) -> Result<Document, Error> {
        let request = request.into().parse()?;
        let _in_flight = self.front.hold();
        let mut session = Session::new(self.running.clone(), request.ask, request.after, self.front.cut().clone());
        let (update, _) = session.once().await?;
        Ok(Document::of(&update))
    }

    /// The document at a route and all that becomes of it. Waits for the first of its states, and fails if there is none.
    pub async fn subscribe(&self, request: impl Into<Request>) -> Result<Changes, Error> {
        Changes::open(self.running.clone(), &self.front, request.into()).await
    }

    /// Waits until documents are served and each node has been loaded or found bad; an error if Sangre ends before.
    pub async fn ready(&self) -> Result<(), Error> {
        tokio::select! {
            () = self.running.handle.ready() => Ok(()),
            ended = self.running.ended() => ended.and(Err(crate::session::shutting_down().into())),
        }
    }

    /// Whether documents can be served now, and what is missing.
    pub fn health(&self) -> Health {
        self.running.health()
    }

    /// Runs until `shutdown` is done, whatever it gives, or until Sangre cannot go on; then [shuts down](Sangre::shutdown).
    pub async fn run_until(&self, shutdown: impl Future) -> Result<(), Error> {
        tokio::select! {
            _ = shutdown => {}
            _ = self.running.ended() => {}
        }
        self.shutdown().await
    }

    /// Ends: tells every client and subscription that it is shutting down, waits until they have gone (10 s at most), stops, and
    /// closes the connections to the database, and with them its replication slot. An error is what had ended it before.
    ///
    /// HTTP connections are the listener's. One that shuts down gracefully waits for streams, which end here: so let this
    /// be what it waits for first (`.with_graceful_shutdown(async move { ... sangre.shutdown().await ... })`).
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.front.end(std::future::ready(())).await;
        self.running.stop().await
    }
}

impl fmt::Debug for Sangre {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sangre").field("health", &self.health()).finish_non_exhaustive()
    }
}
