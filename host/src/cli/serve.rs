//! `sangre serve`: a configuration, the engine behind it, the server in front.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio_util::sync::CancellationToken;

use crate::config::{Auth, NodeSource, Settings};
use crate::driver::handle::Documents;
use crate::driver::{self, NodeOptions};
use crate::server::{self, Server, ServerSettings};
use crate::source::SourceConfig;
use crate::wasm::{self, HostSettings};

use super::watch;

/// What is served beside documents, and who hears where.
#[derive(Default)]
pub struct Pages {
    pub router: Option<MakePages>,
    /// Called once the port is there.
    pub announce: Option<Announce>,
}

pub type MakePages = Box<dyn FnOnce(Arc<dyn Documents>) -> Router + Send>;
pub type Announce = Box<dyn FnOnce(SocketAddr) + Send>;

/// Serves the configuration at `config` until `shutdown`, or until the engine cannot go on.
pub async fn run(config: &Path, strict: bool, pages: Pages, shutdown: CancellationToken) -> anyhow::Result<()> {
    let settings = Settings::load(config)?;
    let mut server = Server::bind(server_settings(&settings)).await?;
    let engine_stop = CancellationToken::new();
    let (handle, mut engine) = driver::start(engine_options(&settings, strict), engine_stop.clone());
    let documents: Arc<dyn Documents> = Arc::new(handle.clone());
    let _watch = watch::follow(config, settings, handle.clone());
    if let Some(router) = pages.router {
        server = server.with_pages(router(documents.clone()));
    }
    let address = server.address();
    match server.admin_address() {
        Some(admin) => tracing::info!("listening on http://{address}, admin on http://{admin}"),
        None => tracing::info!("listening on http://{address}"),
    }
    if let Some(announce) = pages.announce {
        tokio::spawn(async move {
            handle.ready().await;
            announce(address);
        });
    }
    let serving_stop = shutdown.child_token();
    let mut serving = tokio::spawn(server.serve(documents, serving_stop.clone()));
    // The clients are told first, then the engine goes.
    let result = tokio::select! {
        _ = &mut serving => {
            engine_stop.cancel();
            engine.await?
        }
        result = &mut engine => {
            serving_stop.cancel();
            let _ = serving.await;
            result?
        }
    };
    result?;
    tracing::info!("ended");
    Ok(())
}

fn server_settings(settings: &Settings) -> ServerSettings {
    ServerSettings {
        admin: Some(settings.admin.to_string()),
        auth: match settings.auth {
            None => server::Auth::Absent,
            Some(Auth::None) => server::Auth::None,
        },
        origins: settings.origins.clone(),
        limits: server::Limits {
            connections: settings.limits.connections,
            connections_per_client: settings.limits.connections_per_client,
            queued_bytes: settings.limits.queued_bytes,
            frame_bytes: settings.limits.frame_bytes,
            ..server::Limits::default()
        },
        ..ServerSettings::on(settings.listen.to_string())
    }
}

fn engine_options(settings: &Settings, strict: bool) -> driver::Options {
    let nodes = settings.nodes.iter().map(|node| NodeOptions {
        name: node.name.text.as_str().into(),
        source: match &node.source {
            NodeSource::Script(path) => wasm::NodeSource::Script(path.clone()),
            NodeSource::Component(path) => wasm::NodeSource::Component(path.clone()),
        },
        deadline: Duration::from_millis(node.deadline_ms),
        memory: usize::try_from(node.memory_bytes).unwrap_or(usize::MAX),
        on_error: node.on_error,
    });
    driver::Options {
        source: source_config(settings),
        queries: settings.queries.clone(),
        tables: settings.tables.clone(),
        nodes: nodes.collect(),
        host: HostSettings {
            component_bytes: settings.limits.component_bytes as u64,
            output_bytes: settings.limits.output_bytes,
            ..HostSettings::default()
        },
        depth: settings.limits.depth,
        list_elements: settings.limits.list_elements,
        document_bytes: settings.limits.document_bytes,
        subscriptions: settings.limits.subscriptions,
        strict,
        file: settings.file.clone(),
    }
}

/// How the database of a configuration is reached.
pub fn source_config(settings: &Settings) -> SourceConfig {
    let database = &settings.database;
    SourceConfig {
        replication_url: Some(database.replication_url.clone()),
        publication: database.publication.clone(),
        connections: database.connections,
        ..SourceConfig::new(database.url.clone())
    }
}
