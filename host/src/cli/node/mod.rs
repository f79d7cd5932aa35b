//! `sangre node`: from nothing to a live node, in any of the languages.

mod build;
mod inspect;
mod new;
mod project;
mod runtimes;
mod test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Subcommand, ValueEnum};
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::wasm::{self, Given, NodeKind, Stop};

/// What can be done with nodes.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// A small project that works as it is
    New {
        /// The folder; made if it is not there. The node has its name
        dir: PathBuf,
        /// Or in short: rs, js, ts, py
        #[arg(long)]
        lang: Language,
        #[arg(long)]
        kind: Kind,
    },
    /// Source to component, with the language's own toolchain
    Build {
        /// A folder with a project, or a source file
        path: PathBuf,
        /// The component [default: beside the source, ending in .wasm]
        #[arg(short, long)]
        output: Option<PathBuf>,
        /// What the node is, where its source does not say so
        #[arg(long)]
        kind: Option<Kind>,
    },
    /// Ask a node rows: answers on standard output, a JSON text a line; exit 1 on any error or impurity
    Test {
        /// A script, a component, or a folder with a project, which is built first
        file: PathBuf,
        /// A JSON array of rows; for a reduce, of lists of rows
        #[arg(long)]
        rows: PathBuf,
        /// What a query would give the node: a JSON object
        #[arg(long, default_value = "{}")]
        args: String,
        /// What the node is, where its source does not say so
        #[arg(long)]
        kind: Option<Kind>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Kind, interface version, imports and size of a node's file
    Inspect {
        /// A component or a script
        file: PathBuf,
    },
    /// What runs JavaScript, TypeScript and Python, for a release: machines without npm and Python need only this and `sangre`
    Runtimes {
        /// The folder, which is to be `runtimes` beside `sangre`; made if it is not there
        dir: PathBuf,
    },
}

/// What `sangre.yaml` would say of a node.
#[derive(Debug, clap::Args)]
pub struct Settings {
    /// As `every:`, such as 3s: the node may read the clock and randomness. All rows are asked in one tick, which begins now
    #[arg(long, value_parser = |text: &str| config::EVERY.read(text))]
    every: Option<u64>,
    /// As `numbers:`: numbers in rows and args reach the node as strings
    #[arg(long)]
    numbers: Option<Numbers>,
    /// As `deadline:`, such as 1s: the longest a batch may be computed [default: 100ms]
    #[arg(long, value_parser = |text: &str| config::DEADLINE.read(text))]
    deadline: Option<u64>,
    /// As `memory:`, such as 128MiB: the most an instance may have [default: 64MiB, of Python scripts 256MiB]
    #[arg(long, value_parser = |text: &str| config::MEMORY.read(text))]
    memory: Option<u64>,
}

/// How a node is given numbers, if not as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Numbers {
    String,
}

impl Settings {
    fn given(&self, kind: Option<NodeKind>) -> Given {
        let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
        Given {
            kind,
            deadline: self.deadline.map(Duration::from_millis),
            memory: self.memory.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
            numbers: wasm::Numbers::new(self.numbers.is_some()),
            tick: self.every.map(|_| now()),
        }
    }
}

/// A language there is a template for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    #[value(alias = "rs")]
    Rust,
    #[value(alias = "js")]
    Javascript,
    #[value(alias = "ts")]
    Typescript,
    #[value(alias = "py")]
    Python,
}

/// The kind of a node, on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Filter,
    Map,
    Reduce,
}

impl From<Kind> for NodeKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Filter => NodeKind::Filter,
            Kind::Map => NodeKind::Map,
            Kind::Reduce => NodeKind::Reduce,
        }
    }
}

/// Runs the command until `shutdown`; programs it started end with it.
pub async fn run(command: NodeCommand, shutdown: CancellationToken) -> anyhow::Result<ExitCode> {
    let stop = Stop::default();
    let outcome = async {
        match command {
            NodeCommand::New { dir, lang, kind } => new::run(&dir, lang, kind.into()),
            NodeCommand::Build { path, output, kind } => {
                build::run(&path, output, kind.map(NodeKind::from), stop.clone()).await
            }
            NodeCommand::Test { file, rows, args, kind, settings } => {
                let given = settings.given(kind.map(NodeKind::from));
                test::run(&file, &rows, &args, given, stop.clone()).await
            }
            NodeCommand::Inspect { file } => inspect::run(&file).await,
            NodeCommand::Runtimes { dir } => runtimes::run(&dir, stop.clone()).await,
        }
    };
    tokio::select! {
        outcome = outcome => outcome,
        () = shutdown.cancelled() => {
            stop.stop();
            anyhow::bail!("interrupted")
        }
    }
}

/// A temporary file is its owner's alone; what is made here may be served by another user.
fn allow_reading(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

/// A number of bytes as people read it.
fn size_of(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} bytes"),
        1_024..1_048_576 => format!("{:.0} KiB", bytes as f64 / 1_024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_by_people() {
        let shown = [0, 1_023, 1_024, 120_832, 1_696_755].map(size_of);
        assert_eq!(shown, ["0 bytes", "1023 bytes", "1 KiB", "118 KiB", "1.6 MiB"]);
    }
}
