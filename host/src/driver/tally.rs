//! What the driver has done so far, for whoever operates the server: written by the writer alone, read by anybody.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use super::handle::{Counts, NodeUsage};
use crate::dataflow::plan::NodeId;
use crate::wasm::Usage;

/// See the module.
#[derive(Default)]
pub(super) struct Tally {
    pub commits: Count,
    pub emissions: Count,
    pub upqueries: Count,
    pub documents: Count,
    pub rows: Count,
    pub history_bytes: Count,
    pub nodes: RwLock<BTreeMap<NodeId, Arc<NodeTally>>>,
}

/// Of one node.
#[derive(Default)]
pub(super) struct NodeTally {
    pub usage: Arc<Usage>,
    pub rows: Count,
    pub errors: Count,
    pub memo_hits: Count,
}

/// A number that one task changes.
#[derive(Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    pub fn set(&self, to: usize) {
        self.0.store(to as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Tally {
    /// Counts for this node too.
    pub(super) fn add(&self, node: NodeId) -> Arc<NodeTally> {
        self.nodes.write().expect("nothing panics under it").entry(node).or_default().clone()
    }

    pub(super) fn remove(&self, node: NodeId) {
        self.nodes.write().expect("nothing panics under it").remove(&node);
    }

    /// Of each node there is.
    pub(super) fn nodes(&self) -> BTreeMap<NodeId, Arc<NodeTally>> {
        self.nodes.read().expect("nothing panics under it").clone()
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            commits: self.commits.get(),
            emissions: self.emissions.get(),
            upqueries: self.upqueries.get(),
            documents: self.documents.get(),
            rows: self.rows.get(),
            history_bytes: self.history_bytes.get(),
        }
    }
}

impl NodeTally {
    pub(super) fn usage(&self) -> NodeUsage {
        let used = self.usage.now();
        NodeUsage {
            batches: used.batches,
            rows: self.rows.get(),
            errors: self.errors.get(),
            computed: used.computed,
            memo_hits: self.memo_hits.get(),
            memory_bytes: used.memory,
            instances: used.instances,
            starting: used.starting,
        }
    }
}
