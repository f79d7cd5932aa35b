//! Elements: what is made of one row, and calls of nodes.

use std::sync::Arc;

use super::local::Local;
use super::{Compiler, intern};
use crate::dataflow::plan::{Arg, Base, Element, ElementId, ElementRef, ListRef, NodeCall, Step};
use crate::query::resolved::{Call, Op, ResolvedList, ResolvedQuery};

/// An element's definition, and its numbering of the query's parameters.
#[derive(Clone, Debug)]
pub struct Made {
    id: ElementId,
    numbering: Local,
}

impl Made {
    /// A reference from something whose numbering is `local`.
    pub fn refer(&self, local: &mut Local) -> ElementRef {
        ElementRef { id: self.id, params: local.numbers(&self.numbering) }
    }
}

impl Compiler<'_> {
    /// An element of a row's columns and children, with `steps` on it.
    pub fn row_element(&mut self, list: &ResolvedList, query: &ResolvedQuery, steps: &[&Op]) -> Made {
        let mut numbering = Local::default();
        let mut children = Vec::new();
        for (name, child) in &list.children {
            let mut inner = Local::default();
            let id = self.list(child, query, &mut inner);
            let on = self.parent_columns(child).into_iter().map(|column| self.column(list.table, column)).collect();
            children.push((name.clone(), ListRef { id, on, params: numbering.numbers(&inner) }));
        }
        let columns = list.columns.iter().map(|(title, column)| (title.clone(), self.column(list.table, *column)));
        let base = Base::Row { table: self.table(list.table), columns: columns.collect(), children };
        self.element(base, list, steps, numbering)
    }

    /// The element as `before` left it, with more steps on it.
    pub fn next_element(&mut self, before: &Made, list: &ResolvedList, steps: &[&Op]) -> Made {
        if steps.is_empty() {
            return before.clone();
        }
        let mut numbering = Local::default();
        let base = Base::Element(before.refer(&mut numbering));
        self.element(base, list, steps, numbering)
    }

    fn element(&mut self, base: Base, list: &ResolvedList, steps: &[&Op], mut numbering: Local) -> Made {
        let steps = steps.iter().filter_map(|op| self.step(op, list.table, &mut numbering)).collect();
        let element = Element { base, steps, params: numbering.0.len() };
        Made { id: ElementId(intern(&mut self.plan.elements, element)), numbering }
    }

    fn step(&self, op: &Op, table: usize, local: &mut Local) -> Option<Step> {
        Some(match op {
            Op::Filter(call) => Step::Filter(self.call(call, table, local)),
            Op::Map { call, into } => Step::Map { call: self.call(call, table, local), into: into.clone() },
            Op::Where(expr) => {
                let mut expr = expr.clone();
                local.expr(&mut expr);
                self.place_columns(&mut expr, table);
                Step::Where(expr)
            }
            Op::Select(fields) => {
                Step::Select(fields.iter().map(|(title, field)| (title.clone(), self.field(field, table))).collect())
            }
            Op::Reduce(_) | Op::Order(_) | Op::Choose { .. } | Op::Offset(_) | Op::Limit(_) => return None,
        })
    }

    /// A call of a node on an element or list whose numbering is `local`.
    pub fn call(&self, call: &Call, table: usize, local: &mut Local) -> NodeCall {
        let arg = |local: &mut Local, (name, arg): &(Arc<str>, Arg)| {
            let arg = match arg {
                Arg::Param(param) => Arg::Param(local.number(*param)),
                value => value.clone(),
            };
            (name.clone(), arg)
        };
        let input = call
            .input
            .as_ref()
            .map(|fields| fields.iter().map(|(title, field)| (title.clone(), self.field(field, table))).collect());
        NodeCall::new(call.node, call.args.iter().map(|one| arg(local, one)).collect(), input)
    }
}
