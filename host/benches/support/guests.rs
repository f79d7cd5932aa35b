//! One node in three languages that does the same work, and a host that runs it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sangre::data::Value;
use sangre::dataflow::guest::{GuestCall, NodeVersion};
use sangre::dataflow::plan::NodeId;
use sangre::wasm::runtime::{self, Language};
use sangre::wasm::{HostSettings, NodeEvent, NodeHost, NodeSource, NodeSpec, Stop, build};
use tokio::sync::mpsc;

pub use super::rows::{ARGS, batch, row};

/// The one node of a host.
const NODE: NodeId = NodeId(0);

/// How long a load may take: runtimes are built and compiled on first use.
const PATIENCE: Duration = Duration::from_secs(300);

/// What the node is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guest {
    Rust,
    JavaScript,
    Python,
}

impl Guest {
    pub const ALL: [Guest; 3] = [Guest::Rust, Guest::JavaScript, Guest::Python];

    pub fn name(self) -> &'static str {
        match self {
            Guest::Rust => "rust",
            Guest::JavaScript => "javascript",
            Guest::Python => "python",
        }
    }

    /// The script's file; none of a component.
    pub fn script(self) -> Option<PathBuf> {
        match self {
            Guest::Rust => None,
            Guest::JavaScript => Some(nodes().join("place.js")),
            Guest::Python => Some(nodes().join("place.py")),
        }
    }

    /// The component that does the work, built if it is not there: of a script, its runtime.
    pub fn component(self) -> Result<PathBuf> {
        match self.made()? {
            Some(made) => Ok(made.runtime),
            None => Ok(build::rust(&nodes().join("place"), &Stop::default())?),
        }
    }

    /// What makes a script of this language ready for its runtime, if it has to be.
    pub fn reader(self) -> Result<Option<PathBuf>> {
        Ok(self.made()?.and_then(|made| made.reader))
    }

    fn made(self) -> Result<Option<runtime::Made>> {
        let language = match self {
            Guest::Rust => return Ok(None),
            Guest::JavaScript => Language::JavaScript,
            Guest::Python => Language::Python,
        };
        Ok(Some(runtime::ensure(language, &HostSettings::default().cache, &Stop::default())?))
    }

    /// Where a host finds the node.
    pub fn source(self) -> Result<NodeSource> {
        Ok(match self.script() {
            Some(script) => NodeSource::Script(script),
            None => NodeSource::Component(self.component()?),
        })
    }
}

fn nodes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/nodes")
}

/// A host whose one node is loaded.
pub struct Running {
    pub host: NodeHost,
    pub version: NodeVersion,
    events: mpsc::Receiver<NodeEvent>,
}

impl Running {
    pub async fn start(settings: HostSettings, source: NodeSource) -> Result<Running> {
        let mut spec = NodeSpec::new(NODE, "place", source);
        // On a machine that does other things too, a batch may not be the victim of its deadline.
        spec.deadline = Duration::from_secs(2);
        let (host, mut events) = NodeHost::start(settings, vec![spec])?;
        let version = loaded(&mut events).await?;
        Ok(Running { host, version, events })
    }

    /// Waits for the next version.
    pub async fn reloaded(&mut self) -> Result<()> {
        self.version = loaded(&mut self.events).await?;
        Ok(())
    }

    /// Questions nobody has asked before, about places from this number on.
    pub fn calls(&self, first: i64, count: usize) -> Result<Vec<Arc<GuestCall>>> {
        let args = Value::parse_json(ARGS)?;
        (first..)
            .take(count)
            .map(|id| Ok(Arc::new(GuestCall::new(NODE, self.version, 0, args.clone(), Value::parse_json(&row(id))?))))
            .collect()
    }

    /// Asks on a thread for nodes, and waits.
    pub async fn ask(&self, calls: &[Arc<GuestCall>]) {
        self.host.evaluate(NODE, self.version, calls.to_vec()).await;
    }

    /// Asks right here. False: it is not known to be that cheap, or has no warm instance.
    pub fn ask_in_passing(&self, calls: &[Arc<GuestCall>]) -> bool {
        self.host.answer_in_passing(NODE, self.version, calls)
    }
}

async fn loaded(events: &mut mpsc::Receiver<NodeEvent>) -> Result<NodeVersion> {
    match tokio::time::timeout(PATIENCE, events.recv()).await.context("the node is not loaded")? {
        Some(NodeEvent::Loaded { version, .. }) => Ok(version),
        other => bail!("the node is not loaded: {other:?}"),
    }
}

/// Every call has to have been answered, and as the node is meant to.
pub fn check(calls: &[Arc<GuestCall>]) -> Result<()> {
    for call in calls {
        match call.answer() {
            Some(Ok(Value::Object(answer))) if answer.get("hours").is_some() => {}
            other => bail!("a wrong answer: {other:?}"),
        }
    }
    Ok(())
}
