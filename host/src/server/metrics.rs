//! What Prometheus reads: counts of the engine, of documents and of each node, in OpenMetrics text.
//!
//! Nothing is kept for it: each time the numbers are asked of those who know them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::front::Shared;
use crate::driver::handle::{NodeInfo, NodeState};

/// The content type of what [`text`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics as they are now.
pub fn text(shared: &Arc<Shared>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("sangre");
    registry.register_collector(Box::new(Now(shared.clone())));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

struct Now(Arc<Shared>);

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Now")
    }
}

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let documents = &self.0.documents;
        let counts = documents.counts();
        counter(&mut encoder, "commits", "Transactions applied", counts.commits)?;
        counter(&mut encoder, "emissions", "New states of documents", counts.emissions)?;
        counter(&mut encoder, "upqueries", "Questions to the database for rows", counts.upqueries)?;
        gauge(&mut encoder, "documents", "Documents kept live", counts.documents)?;
        gauge(&mut encoder, "rows", "Rows known", counts.rows)?;
        gauge(&mut encoder, "connections", "Clients that follow a document", self.0.open.len() as u64)?;
        let ready = u64::from(documents.health().reasons.is_empty());
        gauge(&mut encoder, "ready", "1 if documents can be served", ready)?;
        gauge(&mut encoder, "position", "The log position up to which commits are included", documents.position().0)?;
        let history = ConstGauge::new(counts.history_bytes);
        let help = "Past states of documents, that clients can resume from";
        let metric = encoder.encode_descriptor("history", help, Some(&Unit::Bytes), MetricType::Gauge)?;
        history.encode(metric)?;
        nodes(&mut encoder, &documents.nodes())
    }
}

fn nodes(encoder: &mut DescriptorEncoder<'_>, nodes: &[NodeInfo]) -> Result<(), fmt::Error> {
    let mut each = |name: &str, help: &str, of: &dyn Fn(&NodeInfo) -> u64| {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        nodes.iter().try_for_each(|node| {
            ConstCounter::new(of(node)).encode(metric.encode_family(&[("node", node.name.as_str())])?)
        })
    };
    each("node_batches", "Calls of a guest, each with some rows", &|node| node.usage.batches)?;
    each("node_rows", "Rows evaluated", &|node| node.usage.rows)?;
    each("node_errors", "Rows that failed", &|node| node.usage.errors)?;
    each("node_memo_hits", "Rows whose answer was known", &|node| node.usage.memo_hits)?;
    each("node_instances", "Instances that were started", &|node| node.usage.instances)?;
    let mut time = |name: &str, help: &str, of: &dyn Fn(&NodeInfo) -> Duration| {
        let mut metric = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Counter)?;
        nodes.iter().try_for_each(|node| {
            let seconds = ConstCounter::new(of(node).as_secs_f64());
            seconds.encode(metric.encode_family(&[("node", node.name.as_str())])?)
        })
    };
    time("node_computed", "Time that guests computed", &|node| node.usage.computed)?;
    time("node_starting", "Time it took to start instances, their sources loaded", &|node| node.usage.starting)?;
    let help = "The most memory an instance had";
    let mut metric = encoder.encode_descriptor("node_memory", help, Some(&Unit::Bytes), MetricType::Gauge)?;
    for node in nodes {
        ConstGauge::new(node.usage.memory_bytes).encode(metric.encode_family(&[("node", node.name.as_str())])?)?;
    }
    let help = "1 if the newest version of the node's file answers, and answers well";
    let mut metric = encoder.encode_descriptor("node_running", help, None, MetricType::Gauge)?;
    for node in nodes {
        let labels = [("node", node.name.as_str()), ("version", &node.version), ("state", node.state.name())];
        ConstGauge::new(u64::from(node.state == NodeState::Running)).encode(metric.encode_family(&labels)?)?;
    }
    let help = "1 for what each node failed on last: a file that cannot be loaded, or a row";
    let mut metric = encoder.encode_descriptor("node_last_error", help, None, MetricType::Gauge)?;
    for (node, reason) in nodes.iter().filter_map(|node| Some((node, node.reason.as_deref()?))) {
        let labels = [("node", node.name.as_str()), ("error", shortened(reason))];
        ConstGauge::new(1_u64).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

/// As much of an error as a label may have.
fn shortened(reason: &str) -> &str {
    const MOST: usize = 200;
    let line = reason.lines().next().unwrap_or_default();
    &line[..line.floor_char_boundary(MOST)]
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> Result<(), fmt::Error> {
    ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> Result<(), fmt::Error> {
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}
