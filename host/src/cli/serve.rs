//! `sangre serve`: a configuration, the engine behind it, the server in front.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Settings};
use crate::driver::handle::Documents;
use crate::server::{Auth, Limits, Server, ServerSettings};

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
    let settings = Settings::load(config)?;
    let _server = server_settings(&settings);
    anyhow::bail!("cannot serve {}: the engine is not connected in this build", config.display())
}

/// What of the configuration is the server's.
fn server_settings(settings: &Settings) -> ServerSettings {
    let limits = Limits {
        connections: settings.limits.connections,
        connections_per_client: settings.limits.connections_per_client,
        queued_bytes: settings.limits.queued_bytes,
        frame_bytes: settings.limits.frame_bytes,
        ..Limits::default()
    };
    ServerSettings {
        admin: Some(settings.admin.to_string()),
        auth: match settings.auth {
            None => Auth::Absent,
            Some(config::Auth::None) => Auth::None,
        },
        origins: settings.origins.clone(),
        limits,
        ..ServerSettings::on(settings.listen.to_string())
    }
}
