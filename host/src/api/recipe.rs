//! What settings are made of, kept so that they can be made again when the file changes; and each layer's own part of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Auth, ConfigError, NodeLimits, NodeSource, Part, Settings};
use crate::dataflow::plan::NodeId;
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
    let nodes = settings.nodes.iter().zip(0..).map(|(node, index)| NodeOptions {
        id: NodeId(index),
        name: node.name.text.as_str().into(),
        source: match &node.source {
            NodeSource::Script(path) => wasm::NodeSource::Script(path.clone()),
            NodeSource::Component(path) => wasm::NodeSource::Component(path.clone()),
        },
        limits: node_limits(&node.limits),
        numbers: wasm::Numbers::new(node.numbers_as_strings),
        on_error: node.on_error,
        every: node.every_ms.map(Duration::from_millis),
    });
    nodes.collect()
}

fn node_limits(limits: &NodeLimits) -> wasm::Limits {
    let bytes = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    wasm::Limits {
        deadline: Duration::from_millis(limits.deadline_ms),
        memory: bytes(limits.memory_bytes),
        size: limits.size_bytes,
        files: limits.files,
        compile_time: Duration::from_millis(limits.compile_time_ms),
        output: bytes(limits.output_bytes),
        depth: limits.depth,
        messages: bytes(limits.messages_bytes),
        log_lines: count(limits.log_lines),
        calls: count(limits.calls),
        growth: bytes(limits.growth_bytes),
    }
}

pub(super) fn engine_options(settings: &Settings, strict: bool) -> driver::Options {
    driver::Options {
        source: source_config(settings),
        queries: settings.queries.clone(),
        tables: settings.tables.clone(),
        nodes: node_options(settings),
        host: HostSettings::default(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(text: &str) -> Vec<NodeOptions> {
        let read = Settings::parse(&format!("database: x\n{text}"), UNNAMED, Path::new("."), &|_| None);
        node_options(&read.unwrap_or_else(|error| panic!("{error}")))
    }

    #[test]
    fn the_defaults_of_the_file_are_those_of_the_host() {
        let files = ["script: a.js", "script: a.ts", "script: a.py", "component: a.wasm"];
        for file in files {
            let node = nodes(&format!("nodes: {{ a: {{ {file} }} }}")).remove(0);
            assert_eq!(node.limits, wasm::NodeSpec::new(NodeId(0), "a", node.source.clone()).limits, "{file}");
        }
    }

    #[test]
    fn every_limit_reaches_the_host() {
        let limits =
            "limits: { size: 1KiB, files: 2, output: 3B, depth: 4, messages: 5B, log_lines: 6, calls: 7, growth: 8B }";
        let text = format!(
            "nodes:\n  a: {{ script: a.js, deadline: 9ms, memory: 10KiB, {limits} }}\n  b: {{ component: b.wasm, limits: {{ compile_time: 11ms }} }}\nlimits: {{ component: 12B, output: 13 }}"
        );
        let nodes = nodes(&text);
        let expected = wasm::Limits {
            deadline: Duration::from_millis(9),
            memory: 10 << 10,
            size: 1 << 10,
            files: 2,
            output: 3,
            depth: 4,
            messages: 5,
            log_lines: 6,
            calls: 7,
            growth: 8,
            ..wasm::Limits::DEFAULT
        };
        assert_eq!(nodes[0].limits, expected);
        let compile_time = Duration::from_millis(11);
        assert_eq!(nodes[1].limits, wasm::Limits { size: 12, output: 13, compile_time, ..wasm::Limits::DEFAULT });
    }
}
