//! Nodes end to end below the driver: files in, answers out.

mod cache;
mod evaluation;
mod hostile;
mod imports;
mod javascript;
mod modules;
mod numbers;
mod python;
mod reload;
mod rust;
mod slips;
mod typescript;
mod watched;
mod worlds;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

use super::*;
use crate::data::Value;
use crate::dataflow::guest::{GuestCall, NodeVersion};
use crate::dataflow::plan::NodeId;

const NODE: NodeId = NodeId(0);

/// A host with one node, whose file is in a folder of its own.
struct Bench {
    folder: tempfile::TempDir,
    path: PathBuf,
    host: NodeHost,
    events: mpsc::Receiver<NodeEvent>,
}

impl Bench {
    /// A host whose node is the file `name` with these contents.
    fn new(name: &str, contents: &[u8], adjust: impl FnOnce(&mut NodeSpec)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(name), contents).expect("written");
        Bench::at(folder, name, adjust)
    }

    /// A host whose node is the file `name` of `folder`.
    fn at(folder: tempfile::TempDir, name: &str, adjust: impl FnOnce(&mut NodeSpec)) -> Self {
        Bench::with(settings(), folder, name, adjust)
    }

    fn with(settings: HostSettings, folder: tempfile::TempDir, name: &str, adjust: impl FnOnce(&mut NodeSpec)) -> Self {
        let path = folder.path().join(name);
        let source = if name.ends_with(".wasm") { NodeSource::Component } else { NodeSource::Script };
        let mut spec = NodeSpec::new(NODE, "probe", source(path.clone()));
        adjust(&mut spec);
        let (host, events) = NodeHost::start(settings, vec![spec]).expect("starts");
        Bench { folder, path, host, events }
    }

    fn script(source: &str) -> Self {
        Bench::new("probe.js", source.as_bytes(), |_| {})
    }

    fn python(source: &str) -> Self {
        Bench::new("probe.py", source.as_bytes(), |_| {})
    }

    fn write(&self, contents: &[u8]) {
        std::fs::write(&self.path, contents).expect("written");
    }

    async fn event(&mut self) -> NodeEvent {
        let event = tokio::time::timeout(Duration::from_secs(120), self.events.recv()).await;
        event.expect("an event in time").expect("the host runs")
    }

    async fn loaded(&mut self) -> NodeVersion {
        match self.event().await {
            NodeEvent::Loaded { version, .. } => version,
            other => panic!("not loaded: {other:?}"),
        }
    }

    async fn failed(&mut self) -> String {
        match self.event().await {
            NodeEvent::Failed { reason, .. } => reason,
            other => panic!("not a failure: {other:?}"),
        }
    }

    /// What the version answers to each row: JSON text, or the error's message.
    async fn ask(&self, version: NodeVersion, args: &str, rows: &[&str]) -> Vec<Result<String, String>> {
        let calls: Vec<_> = rows.iter().map(|row| call(version, args, row)).collect();
        let asked = self.host.evaluate(NODE, version, calls.clone());
        tokio::time::timeout(Duration::from_secs(60), asked).await.expect("answered in time");
        calls.iter().map(|call| answer_of(call)).collect()
    }

    /// What the version answers to one row in this tick.
    async fn ask_at(&self, version: NodeVersion, tick: u64, row: &str) -> Result<String, String> {
        let parse = |text: &str| Value::parse_json(text).expect("JSON");
        let call = Arc::new(GuestCall::new(NODE, version, tick, parse("{}"), parse(row)));
        self.host.evaluate(NODE, version, vec![call.clone()]).await;
        answer_of(&call)
    }

    /// Loads, asks one row and gives its answer.
    async fn once(&mut self, row: &str) -> Result<String, String> {
        let version = self.loaded().await;
        self.ask(version, "{}", &[row]).await.remove(0)
    }
}

fn call(version: NodeVersion, args: &str, row: &str) -> Arc<GuestCall> {
    let parse = |text: &str| Value::parse_json(text).expect("JSON");
    Arc::new(GuestCall::new(NODE, version, 0, parse(args), parse(row)))
}

/// The node adds the argument `by`, if there is one, to its row.
async fn adds_in_order(mut bench: Bench) {
    let version = bench.loaded().await;
    let calls: Vec<_> = (0..3_000)
        .map(|index| call(version, &format!(r#"{{"by":{}}}"#, index % 3 * 10_000), &index.to_string()))
        .collect();
    bench.host.evaluate(NODE, version, calls.clone()).await;
    for (index, call) in calls.iter().enumerate() {
        assert_eq!(answer_of(call), Ok((index + index % 3 * 10_000).to_string()));
    }
}

fn answer_of(call: &GuestCall) -> Result<String, String> {
    match call.answer().expect("every call is answered") {
        Ok(value) => Ok(value.to_json()),
        Err(error) => Err(error.message.clone()),
    }
}

/// Everything that this process's tests log since the first of them asked for it.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn captured() -> Self {
        static LOG: LazyLock<Log> = LazyLock::new(|| {
            let log = Log::default();
            let writer = log.clone();
            let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
            tracing::subscriber::set_global_default(subscriber).expect("no other test sets one");
            log
        });
        LOG.clone()
    }

    /// The lines of the node of this name.
    fn of(&self, node: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text");
        let node = format!("node=\"{node}\"");
        text.lines().filter(|line| line.contains(&node)).map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// As in production, so that runtimes and compiled code are made once for all tests.
fn settings() -> HostSettings {
    HostSettings::default()
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples")
}
