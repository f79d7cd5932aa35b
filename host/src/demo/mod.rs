//! What `sangre demo` shows: a private Postgres with a small world in it, nodes to edit, and a page to watch it all live.
//!
//! Everything the demo writes lies in the folder of its Postgres, which is removed at the end; outside are only, in a
//! checkout of the source, the examples, which the user changes, and what cargo makes of them.

mod pages;
pub mod private_postgres;
mod programs;
mod rebuild;
mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;

use crate::driver::handle::Documents;
use private_postgres::{Options, PostgresError, PrivatePostgres};

pub use rebuild::{Build, Rebuild};
pub use world::{Nodes, Source, configuration, occupancy_script, open_at_crate};

const SCHEMA: &str = include_str!("schema.sql");
const DATABASE: &str = "postgres";

/// The demo's world while it lasts.
pub struct Demo {
    postgres: PrivatePostgres,
    folder: PathBuf,
    nodes: Nodes,
}

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("cannot start a private Postgres for the demo")]
    Postgres(#[from] PostgresError),
    #[error("cannot fill the demo's database")]
    Schema(#[from] tokio_postgres::Error),
    #[error("cannot write to {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl Demo {
    /// Starts a Postgres and fills it. Takes a second or two.
    pub async fn start() -> Result<Self, DemoError> {
        let started = tokio::task::spawn_blocking(|| PrivatePostgres::start(&Options::default())).await;
        let postgres = started.expect("starting Postgres does not panic")?;
        let (client, connection) = tokio_postgres::connect(&postgres.url(DATABASE), tokio_postgres::NoTls).await?;
        let connection = tokio::spawn(connection);
        client.batch_execute(SCHEMA).await?;
        drop(client);
        let _ = connection.await;
        let folder = postgres.make_folder("demo")?;
        Ok(Demo { postgres, folder, nodes: Nodes::default() })
    }

    /// Where files of the demo can be put: it is removed at the end.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes `sangre.yaml` for a server on this port with these nodes, and says where.
    pub fn configure(&mut self, port: u16, nodes: Nodes) -> Result<PathBuf, DemoError> {
        let path = self.folder.join("sangre.yaml");
        let text = world::configuration(&self.postgres.url(DATABASE), port, &nodes);
        self.nodes = nodes;
        std::fs::write(&path, text).map_err(|source| DemoError::Write { path: path.clone(), source })?;
        Ok(path)
    }

    /// The page on `/` and what its buttons call, for the documents it is to show.
    pub fn pages(&self) -> impl FnOnce(Arc<dyn Documents>) -> Router + Send + 'static {
        let (url, nodes) = (self.postgres.url(DATABASE), self.nodes.clone());
        move |documents| pages::router(pages::Pages::new(url, documents, &nodes))
    }

    /// Stops Postgres and removes everything.
    pub async fn stop(self) {
        let _ = tokio::task::spawn_blocking(move || self.postgres.stop()).await;
    }
}
