//! From a configuration, in a file or in code, to an engine that runs.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;

use super::recipe::{Base, Recipe, server_settings};
use super::running::Running;
use super::{Error, Sangre};
use crate::config::{Part, PartValue, Settings};
use crate::driver::handle::Documents;
use crate::server::{Front, Gate, Hosts, Server, ServerSettings};

/// What Sangre is started with: a configuration, from a file or a text, with or without parts that are given in code.
///
/// Nothing is read or checked before [`start`](Builder::start) or [`serve`](Builder::serve), which then tell all mistakes at once.
///
/// Parts are written as in `sangre.yaml`, in YAML or JSON; only there, `${NAME}` is not expanded. A query or node that is in
/// the file too is an error; any other part takes the place of the file's.
#[must_use = "nothing is started before `start` or `serve`"]
pub struct Builder {
    recipe: Recipe,
    hosts: Hosts,
    strict: bool,
    pages: Option<MakePages>,
    announce: Option<Announce>,
}

/// Makes the routes that are served beside documents.
pub(crate) type MakePages = Box<dyn FnOnce(Arc<dyn Documents>) -> Router + Send>;

/// Is told where clients connect.
pub(crate) type Announce = Box<dyn FnOnce(SocketAddr) + Send>;

impl Builder {
    fn new(base: Base) -> Self {
        let recipe = Recipe { base, parts: Vec::new() };
        Builder { recipe, hosts: Hosts::Named(Vec::new()), strict: false, pages: None, announce: None }
    }

    pub(super) fn from_file(path: PathBuf) -> Self {
        Builder::new(Base::File(path))
    }

    pub(super) fn from_yaml(text: String) -> Self {
        Builder::new(Base::Text(text))
    }

    /// The database, as a connection URL or as keywords and values, as libpq takes them.
    pub fn database(self, url: impl Into<String>) -> Self {
        self.part("database", None, PartValue::Text(url.into()))
    }

    /// A query: `.query("notes", "{ route: /notes, from: notes, order_by: [id] }")`.
    pub fn query(self, name: impl Into<String>, definition: impl Into<String>) -> Self {
        self.part("queries", Some(name.into()), PartValue::Yaml(definition.into()))
    }

    /// What holds wherever this table is used: `.table("users", "{ hide: [password_hash] }")`.
    pub fn table(self, name: impl Into<String>, rules: impl Into<String>) -> Self {
        self.part("tables", Some(name.into()), PartValue::Yaml(rules.into()))
    }

    /// A node: `.node("occupancy", "{ script: nodes/occupancy.js }")`. The path counts from the folder of the configuration
    /// file, else from that of the process.
    pub fn node(self, name: impl Into<String>, definition: impl Into<String>) -> Self {
        self.part("nodes", Some(name.into()), PartValue::Yaml(definition.into()))
    }

    /// Bounds: `.limits("{ document: 1MiB, subscriptions: 1000 }")`.
    pub fn limits(self, limits: impl Into<String>) -> Self {
        self.part("limits", None, PartValue::Yaml(limits.into()))
    }

    /// Foreign origins whose pages may connect, such as `https://app.example.com`. Pages of the host itself always may.
    pub fn origins<T: Into<String>>(self, origins: impl IntoIterator<Item = T>) -> Self {
        self.part("origins", None, PartValue::Texts(origins.into_iter().map(Into::into).collect()))
    }

    /// By which names clients call the application that [`Sangre::router`] is mounted in, such as `app.example.com`: what the
    /// header `Host` says, without a port. Loopback names (`localhost`, `127.0.0.1`) are welcome anyway, and without this or
    /// [`any_host`](Builder::any_host) they are the only ones.
    ///
    /// A router does not know where it is reachable. Were any name welcome, every web page could read the documents of an
    /// application on the machine of whoever looks at it, by a name of its own that it has resolved to 127.0.0.1 (DNS rebinding).
    pub fn hosts<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.hosts = Hosts::Named(names.into_iter().map(Into::into).collect());
        self
    }

    /// Takes requests by whatever name: something in front looks at `Host`, or clients are authenticated.
    pub fn any_host(mut self) -> Self {
        self.hosts = Hosts::Any;
        self
    }

    /// Whether a query that does not fit the database is an error at the start. Otherwise it is logged, its clients are told
    /// [`Code::QueryBroken`](crate::Code::QueryBroken), and the other queries are served.
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Starts: reads the database's catalogue and opens the stream.
    ///
    /// Returns once documents are served, or what has to be put right first is known: mistakes of the configuration, and
    /// whatever keeps the database from being followed (its log level, a missing right, a wrong password).
    ///
    /// A database that is out of reach, or that must first finish old transactions, is not an error: this returns, and what
    /// is asked meanwhile is refused with [`Code::DatabaseUnreachable`](crate::Code::DatabaseUnreachable) or
    /// [`Code::Starting`](crate::Code::Starting). [`Sangre::ready`] waits for it.
    ///
    /// `listen`, `admin` and the limits of connections in the configuration are about [`serve`](Builder::serve) and have no
    /// meaning here. A configuration file is followed: a valid edit replaces queries.
    pub async fn start(self) -> Result<Sangre, Error> {
        let settings = self.recipe.settings()?;
        let server = server_settings(&settings);
        let gate = Gate::new(self.hosts.clone(), &server.origins, server.limits.url_bytes)?;
        let admin_gate = Gate::new(self.hosts, &[], server.limits.url_bytes)?;
        let (running, front) = launch(self.recipe, settings, self.strict, server);
        let sangre = Sangre { running, front, gate, admin_gate };
        tokio::select! {
            true = sangre.running.handle.begun() => Ok(sangre),
            ended = sangre.running.ended() => ended.map(|()| sangre),
        }
    }

    /// Does all that `sangre serve` does: listens on the configuration's `listen` and `admin` and serves until `shutdown` is
    /// done, whatever it gives. Then every client is told, requests in flight are finished, and this returns.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), sangre::Error> {
    /// sangre::Sangre::from_file("sangre.yaml").serve(tokio::signal::ctrl_c()).await
    /// # }
    /// ```
    pub async fn serve(self, shutdown: impl Future) -> Result<(), Error> {
        let settings = self.recipe.settings()?;
        let server_settings = server_settings(&settings);
        let server = Server::bind(&server_settings).await?;
        let (running, front) = launch(self.recipe, settings, self.strict, server_settings);
        let pages = self.pages.map_or_else(Router::new, |make| make(running.clone()));
        let address = server.address();
        match server.admin_address() {
            Some(admin) => tracing::info!("listening on http://{address}, admin on http://{admin}"),
            None => tracing::info!("listening on http://{address}"),
        }
        let announced = async {
            if let Some(announce) = self.announce {
                running.handle.ready().await;
                announce(address);
            }
            std::future::pending::<()>().await;
        };
        let end = async {
            tokio::select! {
                _ = shutdown => {}
                _ = running.ended() => {}
                () = announced => {}
            }
        };
        // The clients are told first, then the engine goes.
        server.serve(&front, pages, end).await;
        running.stop().await?;
        tracing::info!("ended");
        Ok(())
    }

    /// Also serves these routes; they go before those of queries.
    pub(crate) fn pages(mut self, pages: MakePages) -> Self {
        self.pages = Some(pages);
        self
    }

    /// Says where clients connect once documents can be served for the first time.
    pub(crate) fn announce(mut self, announce: Announce) -> Self {
        self.announce = Some(announce);
        self
    }

    fn part(mut self, key: &'static str, name: Option<String>, value: PartValue) -> Self {
        self.recipe.parts.push(Part { key, name, value });
        self
    }
}

/// Starts the engine with what clients of any kind go through.
fn launch(recipe: Recipe, settings: Settings, strict: bool, server: ServerSettings) -> (Arc<Running>, Front) {
    let running = Running::start(recipe, settings, strict);
    let front = Front::new(running.clone(), server.limits, server.timing);
    (running, front)
}

/// Without what it is made of: addresses hold passwords.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("hosts", &self.hosts).field("strict", &self.strict).finish_non_exhaustive()
    }
}
