//! From options to a running writer: catalogue, plan, publication, stream.
//!
//! What may pass is tried again, forever, with growing pauses; meanwhile the server answers that it cannot serve yet.
//! What somebody has to put right ends the start with what they have to do.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::handle::Code;
use super::nodes::Nodes;
use super::open::{Command, Shared};
use super::writer::Writer;
use super::{DriverError, NodeOptions, Options};
use crate::data::Catalogue;
use crate::query::{self, Compiled, Definitions, NodeDefinition};
use crate::source::{PostgresSource, SourceError};
use crate::wasm::Numbers;

/// The first and the longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// Pauses that double from 100 ms to 3 s.
pub(super) struct Pauses(Duration);

impl Pauses {
    pub(super) fn new() -> Self {
        Pauses(PAUSES.0)
    }

    pub(super) async fn pause(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(PAUSES.1);
    }
}

pub(super) async fn run(
    options: Options,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    stop: CancellationToken,
) -> Result<(), DriverError> {
    let options = Arc::new(options);
    let planned = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        planned = plan(&options, &shared) => planned?,
    };
    if options.strict && !planned.problems.is_empty() {
        let lines = planned.problems.0.iter().map(|problem| problem.in_file(&options.file));
        return Err(DriverError::Queries(lines.collect::<Vec<_>>().join("\n")));
    }
    shared.set_broken(&planned.problems, &options.file);
    let mut nodes = Nodes::new(options.host.clone());
    nodes.adopt(&options.nodes, &planned.plan, &shared).map_err(DriverError::Nodes)?;
    nodes.settle(&shared);
    let tables = Arc::new(planned.plan.tables.clone());
    let stop_source = stop.child_token();
    let (source, mut events) = PostgresSource::spawn(options.source.clone(), tables, stop_source.clone())?;
    let writer = Writer::new(options, shared, planned, nodes, Arc::new(source));
    let result = writer.run(&mut events, commands, stop).await;
    // The source has let go of its connection, and so of its slot, once it has nothing more to say.
    stop_source.cancel();
    while events.recv().await.is_some() {}
    result
}

/// Reads the catalogue, makes the plan, and has its tables published.
pub(super) async fn plan(options: &Options, shared: &Shared) -> Result<Compiled, DriverError> {
    let mut pauses = Pauses::new();
    loop {
        match try_plan(options).await {
            Ok(compiled) => {
                for problem in &compiled.problems.0 {
                    tracing::error!("{}", problem.in_file(&options.file));
                }
                return Ok(compiled);
            }
            Err(error) if error.is_transient() => {
                tracing::warn!("the database cannot be used yet: {error}");
                shared.set_status(
                    Some(Code::DatabaseUnreachable),
                    vec!["the database is out of reach: the log says why".into()],
                );
                pauses.pause().await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn try_plan(options: &Options) -> Result<Compiled, SourceError> {
    let catalogue = PostgresSource::check(&options.source).await?;
    let compiled = compile(options, &catalogue);
    PostgresSource::publish(&options.source, &compiled.plan.tables).await?;
    Ok(compiled)
}

fn definition(node: &NodeOptions) -> NodeDefinition<'_> {
    NodeDefinition { id: node.id, name: &node.name, on_error: node.on_error, exact: node.numbers == Numbers::AsStrings }
}

fn compile(options: &Options, catalogue: &Catalogue) -> Compiled {
    let definitions = Definitions {
        queries: &options.queries,
        tables: &options.tables,
        nodes: options.nodes.iter().map(definition).collect(),
        depth: options.depth,
    };
    query::compile(&definitions, catalogue)
}
