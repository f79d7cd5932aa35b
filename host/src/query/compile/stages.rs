//! Stages: a query's steps, cut where an order or a window has to come before the next step.
//!
//! A stage is steps on each element, then an order, then a window. Steps on elements may run before an order that was
//! written earlier if it is one of columns, which no step changes; never before a window, which they would shift. A list whose join rows add fields begins with a stage of bare
//! elements: they are cells shared with other lists, and only later stages are the list's own.

use super::Compiler;
use super::local::Local;
use crate::data::Field;
use crate::dataflow::plan::{Count, OrderBy, Stage};
use crate::query::resolved::{Op, ResolvedList, ResolvedQuery, Source};

/// A stage being collected.
#[derive(Default)]
struct Draft<'q> {
    steps: Vec<&'q Op>,
    order: Vec<OrderBy>,
    offset: Option<Count>,
    limit: Option<Count>,
}

impl Draft<'_> {
    fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.order.is_empty() && !self.has_window()
    }

    fn has_window(&self) -> bool {
        self.offset.is_some() || self.limit.is_some()
    }

    /// Whether steps on elements can still join it.
    fn takes_steps(&self) -> bool {
        !self.has_window() && self.order.iter().all(|term| matches!(term.field, Field::Column(_)))
    }
}

/// Whether a join row adds fields to the list's elements.
fn adds_fields(list: &ResolvedList) -> bool {
    matches!(&list.source, Source::Through { add, .. } if !add.is_empty())
}

impl Compiler<'_> {
    /// The stages of a list whose numbering is `local`.
    pub fn stages(&mut self, list: &ResolvedList, query: &ResolvedQuery, local: &mut Local) -> Vec<Stage> {
        let drafts = self.drafts(list);
        let mut stages = Vec::new();
        let mut element = None;
        for draft in drafts {
            let made = match &element {
                None => self.row_element(list, query, &draft.steps),
                Some(before) => self.next_element(before, list, &draft.steps),
            };
            let order = draft.order.into_iter();
            let order = order.map(|term| OrderBy { field: self.field(&term.field, list.table), ..term }).collect();
            let count = |count: Count, local: &mut Local| match count {
                Count::Param(param) => Count::Param(local.number(param)),
                fixed => fixed,
            };
            stages.push(Stage {
                element: made.refer(local),
                order,
                offset: draft.offset.map_or(Count::Fixed(0), |offset| count(offset, local)),
                limit: draft.limit.map(|limit| count(limit, local)),
            });
            element = Some(made);
        }
        stages
    }

    fn drafts<'q>(&self, list: &'q ResolvedList) -> Vec<Draft<'q>> {
        let mut drafts = vec![Draft::default()];
        for op in &list.ops {
            let fits = drafts.last().is_some_and(|draft| match op {
                Op::Filter(_) | Op::Map { .. } | Op::Where(_) | Op::Select(_) => draft.takes_steps(),
                Op::Order(_) | Op::Choose { .. } | Op::Offset(_) => !draft.has_window(),
                Op::Limit(_) => draft.limit.is_none(),
                Op::Reduce(_) => true,
            });
            if !fits {
                drafts.push(Draft::default());
            }
            let draft = drafts.last_mut().expect("there is at least one");
            match op {
                Op::Filter(_) | Op::Map { .. } | Op::Where(_) | Op::Select(_) => draft.steps.push(op),
                Op::Order(order) => draft.order.clone_from(order),
                Op::Choose { param, orders } => {
                    let order = self.chosen[*param].and_then(|choice| orders.get(choice));
                    if let Some(order) = order.filter(|order| !order.is_empty()) {
                        draft.order.clone_from(order);
                    }
                }
                Op::Offset(count) => draft.offset = Some(count.clone()),
                Op::Limit(count) => draft.limit = Some(count.clone()),
                Op::Reduce(_) => {}
            }
        }
        if adds_fields(list) && !drafts[0].is_empty() {
            // The first stage's elements are shared with lists that add nothing.
            drafts.insert(0, Draft::default());
        }
        drafts
    }
}
