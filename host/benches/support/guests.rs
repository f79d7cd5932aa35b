//! One node in three languages that does the same work, and a host that runs it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sangre::data::Value;
use sangre::dataflow::guest::{GuestCall, NodeVersion};
use sangre::dataflow::plan::NodeId;
use sangre::wasm::runtime::{self, Language};
use sangre::wasm::{HostSettings, Limits, NodeEvent, NodeHost, NodeSource, NodeSpec, Stop, Usage, build};
use tokio::sync::mpsc;

use super::report::{Report, say};
use super::settings::setting;

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
    const ALL: [Guest; 3] = [Guest::Rust, Guest::JavaScript, Guest::Python];

    pub fn name(self) -> &'static str {
        match self {
            Guest::Rust => "rust",
            Guest::JavaScript => "javascript",
            Guest::Python => "python",
        }
    }

    /// Those that are asked for (all, if nothing is said), one after the other, each with the component that does its work. Where its tools
    /// are missing the report says so.
    pub fn each(report: &mut Report) -> Vec<(Guest, PathBuf)> {
        let asked: String = setting("SANGRE_BENCH_GUESTS", "rust,javascript,python".into());
        let asked = Guest::ALL.into_iter().filter(|guest| asked.split(',').any(|name| name.trim() == guest.name()));
        let with_component = |guest: Guest| match guest.component() {
            Ok(component) => Some((guest, component)),
            Err(error) => {
                say(format_args!("\n{}: not measured: {error:#}", guest.name()));
                report.note_text(&format!("{}_missing", guest.name()), "its tools");
                None
            }
        };
        asked.filter_map(with_component).collect()
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

    /// The component that `sangre node build` makes of this source, which is put into `file`.
    pub fn build(self, file: &Path, source: Vec<u8>) -> Result<Vec<u8>> {
        std::fs::write(file, source)?;
        let source = match self {
            Guest::Rust => bail!("a crate is more than a file"),
            Guest::JavaScript => build::Source::JavaScript(file.to_owned()),
            Guest::Python => build::Source::Python(file.to_owned()),
        };
        let output = file.with_extension("wasm");
        build::component(&source, None, &output, &Stop::default())?;
        Ok(std::fs::read(output)?)
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
    pub usage: Arc<Usage>,
    events: mpsc::Receiver<NodeEvent>,
}

impl Running {
    pub async fn start(settings: HostSettings, source: NodeSource) -> Result<Running> {
        Running::start_with(settings, source, Limits::DEFAULT.calls).await
    }

    /// One whose instances answer this many calls.
    pub async fn start_with(settings: HostSettings, source: NodeSource, calls: u32) -> Result<Running> {
        let mut spec = NodeSpec::new(NODE, "place", source);
        // On a machine that does other things too, a batch may not be the victim of its deadline.
        spec.limits.deadline = Duration::from_secs(2);
        spec.limits.calls = calls;
        let usage = spec.usage.clone();
        let (host, mut events) = NodeHost::start(settings, vec![spec])?;
        let version = loaded(&mut events).await?;
        Ok(Running { host, version, usage, events })
    }

    /// Waits for the next version.
    pub async fn reloaded(&mut self) -> Result<()> {
        self.version = loaded(&mut self.events).await?;
        Ok(())
    }

    /// Questions nobody has asked before, about places from this number on. As rows of a table do, they share the names of their columns.
    pub fn calls(&self, first: i64, count: usize) -> Result<Vec<Arc<GuestCall>>> {
        let args = Value::parse_json(ARGS)?;
        let rows: Vec<String> = (first..).take(count).map(row).collect();
        let Value::Array(rows) = Value::parse_json(&format!("[{}]", rows.join(",")))? else { bail!("not an array") };
        let call = |row: &Value| Arc::new(GuestCall::new(NODE, self.version, 0, args.clone(), row.clone()));
        Ok(rows.iter().map(call).collect())
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
