//! What settings are made of, kept so that they can be made again when the file changes; and each layer's own part of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Auth, ConfigError, NodeSource, Part, Settings};
use crate::driver::{self, NodeOptions};
use crate::server::{self, ServerSettings};
use crate::source::SourceConfig;
use crate::wasm::{self, HostSettings};

/// How a configuration that is not a file is called in messages.
const UNNAMED: &str = "configuration";

/// See the module.
#[derive(Clone)]
pub(super) struct Recipe {
    pub base: Base,
    /// Added to it.
    pub parts: Vec<Part>,
}

/// What the parts are added to.
#[derive(Clone)]
pub(super) enum Base {
    File(PathBuf),
    /// YAML or JSON; its relative paths count from the process's folder.
    Text(String),
}

impl Recipe {
    /// The file to be watched.
    pub fn file(&self) -> Option<&Path> {
        match &self.base {
            Base::File(path) => Some(path),
            Base::Text(_) => None,
        }
    }

    /// Settings as they are now.
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        match &self.base {
            Base::File(path) => Settings::load_with(path, &self.parts),
            Base::Text(text) => {
                let env = |name: &str| std::env::var(name).ok();
                Settings::parse_with(text, &self.parts, UNNAMED, Path::new("."), &env)
            }
        }
    }
}

pub(super) fn server_settings(settings: &Settings) -> ServerSettings {
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

/// The nodes of a configuration, in its order.
pub(crate) fn node_options(settings: &Settings) -> Vec<NodeOptions> {
    let nodes = settings.nodes.iter().map(|node| NodeOptions {
        name: node.name.text.as_str().into(),
        source: match &node.source {
            NodeSource::Script(path) => wasm::NodeSource::Script(path.clone()),
            NodeSource::Component(path) => wasm::NodeSource::Component(path.clone()),
        },
        deadline: Duration::from_millis(node.deadline_ms),
        memory: usize::try_from(node.memory_bytes).unwrap_or(usize::MAX),
        numbers: wasm::Numbers::new(node.numbers_as_strings),
        on_error: node.on_error,
        every: node.every_ms.map(Duration::from_millis),
    });
    nodes.collect()
}

/// What all nodes of a configuration have in common.
pub(crate) fn host_settings(settings: &Settings) -> HostSettings {
    HostSettings {
        component_bytes: settings.limits.component_bytes as u64,
        output_bytes: settings.limits.output_bytes,
        ..HostSettings::default()
    }
}

pub(super) fn engine_options(settings: &Settings, strict: bool) -> driver::Options {
    driver::Options {
        source: source_config(settings),
        queries: settings.queries.clone(),
        tables: settings.tables.clone(),
        nodes: node_options(settings),
        host: host_settings(settings),
        depth: settings.limits.depth,
        list_elements: settings.limits.list_elements,
        document_bytes: settings.limits.document_bytes,
        subscriptions: settings.limits.subscriptions,
        strict,
        file: settings.file.clone(),
    }
}

/// How the database of a configuration is asked.
pub(crate) fn source_config(settings: &Settings) -> SourceConfig {
    let database = &settings.database;
    SourceConfig {
        replication_url: Some(database.replication_url.clone()),
        publication: database.publication.clone(),
        connections: database.connections,
        ..SourceConfig::new(database.url.clone())
    }
}
