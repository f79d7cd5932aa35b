//! What one document of a plan depends on.

use std::fmt::Write;

use super::plan::{ArrangementId, Base, DocumentId, ElementId, ListId, NodeCall, NodeId, Plan, Shape, Source, Step};
use crate::data::TableId;

/// The parts of a plan that a document is made of, each once, in the order in which they are met.
#[derive(Default)]
struct Closure {
    tables: Vec<TableId>,
    arrangements: Vec<ArrangementId>,
    elements: Vec<ElementId>,
    lists: Vec<ListId>,
    nodes: Vec<NodeId>,
}

/// Notes `id`. Its number, and whether it is new.
fn meet<T: PartialEq + Copy>(met: &mut Vec<T>, id: T) -> (u32, bool) {
    match met.iter().position(|other| *other == id) {
        Some(index) => (index as u32, false),
        None => {
            met.push(id);
            (met.len() as u32 - 1, true)
        }
    }
}

impl Plan {
    /// The nodes a document calls, in no order that means anything.
    pub fn nodes_of(&self, document: DocumentId) -> Vec<NodeId> {
        let mut closure = Closure::default();
        closure.document(self, document, &mut String::new());
        closure.nodes
    }

    /// A text that is the same for two documents, in this plan or another, exactly if they are defined alike: the tables'
    /// columns and types, conditions, orders, nested lists and nodes. Names of the query and its parameters do not count.
    pub fn definition_of(&self, document: DocumentId) -> String {
        let mut text = String::new();
        Closure::default().document(self, document, &mut text);
        text
    }
}

impl Closure {
    fn document(&mut self, plan: &Plan, id: DocumentId, text: &mut String) {
        let document = &plan.documents[id.0 as usize];
        let list = self.list(plan, document.list, text);
        let _ = write!(text, "document {list} {:?}", document.params);
    }

    fn list(&mut self, plan: &Plan, id: ListId, text: &mut String) -> u32 {
        let (number, new) = meet(&mut self.lists, id);
        if new {
            let mut list = plan.lists[id.0 as usize].clone();
            match &mut list.source {
                Source::Rows(rows) => rows.id = self.arrangement(plan, rows.id, text),
                Source::Through { joins, rows, .. } => {
                    joins.id = self.arrangement(plan, joins.id, text);
                    rows.id = self.arrangement(plan, rows.id, text);
                }
            }
            for stage in &mut list.stages {
                stage.element.id = self.element(plan, stage.element.id, text);
            }
            if let Shape::Reduce(call) = &mut list.shape {
                self.call(plan, call, text);
            }
            let _ = writeln!(text, "list {number} {list:?}");
        }
        number
    }

    fn element(&mut self, plan: &Plan, id: ElementId, text: &mut String) -> ElementId {
        let (number, new) = meet(&mut self.elements, id);
        if new {
            let mut element = plan.elements[id.0 as usize].clone();
            match &mut element.base {
                Base::Row { table, children, .. } => {
                    *table = self.table(plan, *table, text);
                    for (_, child) in children {
                        child.id = ListId(self.list(plan, child.id, text));
                    }
                }
                Base::Element(earlier) => earlier.id = self.element(plan, earlier.id, text),
            }
            for step in &mut element.steps {
                if let Step::Filter(call) | Step::Map { call, .. } = step {
                    self.call(plan, call, text);
                }
            }
            let _ = writeln!(text, "element {number} {element:?}");
        }
        ElementId(number)
    }

    fn call(&mut self, plan: &Plan, call: &mut NodeCall, text: &mut String) {
        let (number, new) = meet(&mut self.nodes, call.node);
        if new {
            let _ = writeln!(text, "node {number} {:?}", plan.nodes[&call.node]);
        }
        call.node = NodeId(number);
    }

    fn arrangement(&mut self, plan: &Plan, id: ArrangementId, text: &mut String) -> ArrangementId {
        let (number, new) = meet(&mut self.arrangements, id);
        if new {
            let mut arrangement = plan.arrangements[id.0 as usize].clone();
            arrangement.table = self.table(plan, arrangement.table, text);
            let _ = writeln!(text, "arrangement {number} {arrangement:?}");
        }
        ArrangementId(number)
    }

    fn table(&mut self, plan: &Plan, id: TableId, text: &mut String) -> TableId {
        let (number, new) = meet(&mut self.tables, id);
        if new {
            let _ = writeln!(text, "table {number} {:?}", plan.tables[id.0 as usize]);
        }
        TableId(number)
    }
}
