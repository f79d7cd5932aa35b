//! `sangre serve`: a configuration, the engine behind it, the server in front.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use tokio_util::sync::CancellationToken;

use crate::driver::handle::Documents;
use crate::server::{Server, ServerSettings};

/// What is served beside documents, and who hears where.
#[derive(Default)]
pub struct Pages {
    pub router: Option<MakePages>,
    /// Called once the port is there.
    pub announce: Option<Announce>,
}

pub type MakePages = Box<dyn FnOnce(Arc<dyn Documents>) -> Router + Send>;
pub type Announce = Box<dyn FnOnce(SocketAddr) + Send>;

/// Serves the configuration at `config` until `shutdown`.
pub async fn run(config: &Path, strict: bool, pages: Pages, shutdown: CancellationToken) -> anyhow::Result<()> {
    let (settings, documents) = start_engine(config, strict).await?;
    let mut server = Server::bind(settings).await?;
    if let Some(router) = pages.router {
        server = server.with_pages(router(documents.clone()));
    }
    let address = server.address();
    tracing::info!("serving documents on http://{address}");
    if let Some(admin) = server.admin_address() {
        tracing::info!("health and nodes on http://{admin}");
    }
    if let Some(announce) = pages.announce {
        announce(address);
    }
    server.serve(documents, shutdown).await;
    tracing::info!("ended");
    Ok(())
}

/// Reads the configuration and starts the engine; the engine ends when the last clone of its handle is dropped.
async fn start_engine(config: &Path, _strict: bool) -> anyhow::Result<(ServerSettings, Arc<dyn Documents>)> {
    anyhow::bail!("cannot serve {}: the engine is not connected in this build", config.display())
}
