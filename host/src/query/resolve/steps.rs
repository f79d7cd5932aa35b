//! Orders, windows and steps, in the order they are applied.

use std::sync::Arc;

use super::Resolver;
use super::list::{flatten, is_node};
use super::scope::{Found, LongNumber, Nested, Origin, Scope};
use crate::data::{Expr, Field, KeyClass};
use crate::dataflow::plan::{self, Arg, NodeId};
use crate::query::NodeDefinition;
use crate::query::problem::{Path, did_you_mean};
use crate::query::resolved::{Call, NodeNumbers, Op, Warning};
use crate::query::syntax::{self, Body, Count, OperandKind, OrderBy, Pick, Step, Term};
use crate::query::tree::Name;

impl Resolver<'_> {
    /// Appends what a query does with its rows. Conditions that decide which rows it starts from are returned.
    pub fn ops(&mut self, body: &Body, scope: &mut Scope, ops: &mut Vec<Op>, path: &Path) -> Option<Vec<Expr>> {
        let found = self.problems.0.len();
        if let Some(order) = &body.order_by {
            self.order_by(scope, order, ops, &path.then("order_by"));
        }
        if let Some(offset) = &body.offset {
            ops.extend(self.count(offset, &path.then("offset")).map(Op::Offset));
        }
        if let Some(limit) = &body.limit {
            ops.extend(self.count(limit, &path.then("limit")).map(Op::Limit));
        }
        let mut early = Vec::new();
        for (index, step) in body.steps.iter().enumerate() {
            let path = path.then("steps").at(index);
            if matches!(step, Step::Reduce(_)) {
                self.check_reduce(body, index, step, &path);
            }
            self.step(step, scope, ops, &mut early, &path);
        }
        (self.problems.0.len() == found).then_some(early)
    }

    fn step(&mut self, step: &Step, scope: &mut Scope, ops: &mut Vec<Op>, early: &mut Vec<Expr>, path: &Path) {
        scope.after_node |= is_node(step);
        match step {
            Step::Filter(call) => ops.extend(self.call(scope, call, "filter", path).map(Op::Filter)),
            Step::Map { call, into } => {
                let called = self.call(scope, call, "map", path);
                if into.is_none() && !self.is_exact(called.as_ref()) {
                    self.warn_of_long_numbers(scope, call, called.as_ref(), path);
                }
                if let Some(into) = into {
                    self.refuse_taken(scope, into, &path.then("map").then("into"));
                }
                match into {
                    Some(into) => scope.set(into.as_str(), Origin::Computed),
                    None => (scope.replaced, scope.fields) = (true, Vec::new()),
                }
                let into = into.as_ref().map(|into| Arc::from(into.as_str()));
                ops.extend(called.map(|call| Op::Map { call, into }));
            }
            Step::Reduce(call) => ops.extend(self.call(scope, call, "reduce", path).map(Op::Reduce)),
            Step::Where(condition) => {
                let at_start = !scope.after_node && !ops.iter().any(|op| matches!(op, Op::Offset(_) | Op::Limit(_)));
                match self.condition(scope, condition, &path.then("where"), at_start) {
                    Some(expr) if at_start => start_with(expr, early, ops),
                    Some(expr) => ops.push(Op::Where(expr)),
                    None => {}
                }
            }
            // Before the first node it says which columns the element has from the start.
            Step::Select(_) if !scope.after_node => {}
            Step::Select(picks) => {
                let fields = self.picks(scope, picks, &path.then("select"));
                self.keep(scope, picks);
                ops.push(Op::Select(fields));
            }
            Step::OrderBy(order) => self.order_by(scope, order, ops, &path.then("order_by")),
            Step::Offset(count) => ops.extend(self.count(count, &path.then("offset")).map(Op::Offset)),
            Step::Limit(count) => ops.extend(self.count(count, &path.then("limit")).map(Op::Limit)),
        }
    }

    /// An answer adds a field: it never takes the place of another.
    fn refuse_taken(&mut self, scope: &Scope, into: &Name, path: &Path) {
        let what = match scope.field(into.as_str()) {
            None => return,
            Some(Origin::Column(_)) => "a column of the element",
            Some(Origin::Child(_)) => "a nested query",
            Some(Origin::Joined(_)) => "a field of the join row",
            Some(Origin::Computed) => "a field that an earlier step adds",
        };
        self.fail(into.place, path, format!("\"{}\" is {what} too: give the answer another name", into.text));
    }

    fn is_exact(&self, called: Option<&Call>) -> bool {
        called.and_then(|called| self.definitions.node(called.node)).is_some_and(|node| node.exact)
    }

    /// An answer that replaces the element carries the numbers it was given, if the node's language holds them.
    fn warn_of_long_numbers(&mut self, scope: &Scope, call: &syntax::Call, called: Option<&Call>, path: &Path) {
        let of_input = |(name, field): &(Arc<str>, Field)| match field {
            Field::Column(column) => self.long_number(scope.table, &(name.clone(), Origin::Column(*column))),
            Field::Path(path) => {
                let first = scope.fields.iter().find(|(field, _)| Some(field) == path.first())?;
                match &first.1 {
                    Origin::Child(nested) if path.len() > 1 => {
                        let (_, ty) = nested.columns.iter().find(|(column, _)| path[1..] == [column.clone()])?;
                        LongNumber::of(&path.join("."), ty)
                    }
                    _ => self.long_number(scope.table, first),
                }
            }
        };
        let seen = match called.map(|called| &called.input) {
            Some(Some(input)) => input.iter().find_map(of_input),
            _ => scope.fields.iter().find_map(|field| self.long_number(scope.table, field)),
        };
        if let (Some(LongNumber { label, sql }), Some(Call { node, .. })) = (seen, called) {
            let message = format!("the answer replaces the element, which has long values of \"{label}\" ({sql})");
            let numbers = NodeNumbers { node: *node, are_integers: &*sql == "int8" };
            self.warnings.push(Warning { numbers: Some(numbers), ..Warning::new(call.node.place, path, message) });
        }
    }

    /// Whether, and where, the field of an element of `table` may hold long numbers.
    pub fn long_number(&self, table: usize, (name, origin): &(Arc<str>, Origin)) -> Option<LongNumber> {
        match origin {
            Origin::Column(column) => LongNumber::of(name, &self.table_at(table).columns[*column].ty),
            Origin::Joined(ty) => LongNumber::of(name, ty),
            Origin::Child(Nested { long, .. }) => {
                let LongNumber { label, sql } = long.clone()?;
                Some(LongNumber { label: format!("{name}.{label}"), sql })
            }
            Origin::Computed => None,
        }
    }

    fn check_reduce(&mut self, body: &Body, index: usize, step: &Step, path: &Path) {
        let Step::Reduce(call) = step else { return };
        if index + 1 < body.steps.len() {
            self.fail(call.node.place, path, "`reduce` is the last step: its answer takes the place of the list");
        }
        if body.one || body.get.is_some() {
            self.fail(call.node.place, path, "`reduce` needs a list, and this query gives one object");
        }
    }

    fn order_by(&mut self, scope: &Scope, order: &OrderBy, ops: &mut Vec<Op>, path: &Path) {
        match order {
            OrderBy::Terms(terms) => {
                let order = self.terms(scope, terms, path);
                if !order.is_empty() {
                    ops.push(Op::Order(order));
                }
            }
            OrderBy::Chosen(name) => match self.params.choose(name.as_str(), name.place) {
                Ok((param, decl)) => {
                    let choices = decl.choose.iter().flatten();
                    let mut orders: Vec<_> =
                        choices.map(|(choice, terms)| self.terms(scope, terms, &path.then(&choice.text))).collect();
                    if decl.optional {
                        orders.push(Vec::new());
                    }
                    ops.push(Op::Choose { param, orders });
                }
                Err(message) => self.fail(name.place, path, message),
            },
        }
    }

    fn terms(&mut self, scope: &Scope, terms: &[Term], path: &Path) -> Vec<plan::OrderBy> {
        let mut order = Vec::new();
        for term in terms {
            let Some(found) = self.find(scope, &term.by, path) else { continue };
            let class = match &found.ty {
                None => KeyClass::Json,
                Some(ty) => match &ty.class {
                    Some(class) => class.clone(),
                    None => {
                        let message = format!(
                            "{} is {}: ordering by this type is not supported, since its order is not reproduced exactly",
                            found.label, ty.sql
                        );
                        self.fail(term.by.place, path, message);
                        continue;
                    }
                },
            };
            order.push(plan::OrderBy {
                field: found.field,
                class,
                descending: term.descending,
                nulls_first: term.nulls_first,
            });
        }
        order
    }

    fn count(&mut self, count: &Count, path: &Path) -> Option<plan::Count> {
        match count {
            Count::Fixed(number) => Some(plan::Count::Fixed(*number)),
            Count::Param(place, param) => match self.params.count(param, *place) {
                Ok(index) => Some(plan::Count::Param(index)),
                Err(message) => {
                    self.fail(*place, path, message);
                    None
                }
            },
        }
    }

    fn call(&mut self, scope: &Scope, call: &syntax::Call, kind: &'static str, path: &Path) -> Option<Call> {
        let path = &path.then(kind);
        let node = self.node(call, kind, path);
        let mut args = Vec::new();
        for (name, operand) in &call.args {
            let arg = match &operand.kind {
                OperandKind::Literal(tree) => Arg::Value(tree.to_value()),
                OperandKind::Param(param) => Arg::Param(self.params.mention(param, operand.place)),
                OperandKind::List(_) => {
                    let message = "a parameter inside a list: make it an argument of its own";
                    self.fail(operand.place, &path.then("args"), message);
                    continue;
                }
            };
            args.push((Arc::from(name.as_str()), arg));
        }
        let input = call.input.as_ref().map(|picks| self.picks(scope, picks, &path.then("input")));
        Some(Call { node: node?, args, input })
    }

    fn node(&mut self, call: &syntax::Call, kind: &'static str, path: &Path) -> Option<NodeId> {
        let nodes = &self.definitions.nodes;
        let name = call.node.as_str();
        let Some(NodeDefinition { id, .. }) = nodes.iter().find(|node| node.name == name) else {
            let meant = did_you_mean(name, nodes.iter().map(|node| node.name));
            self.fail(call.node.place, path, format!("node \"{name}\" is not among the nodes{meant}"));
            return None;
        };
        let place = call.node.place;
        let (first, elsewhere, at) = self.kinds.entry(*id).or_insert_with(|| (kind, path.clone(), place)).clone();
        if first != kind {
            let line = at.line;
            let message = format!(
                "node \"{name}\" is used as a {kind}, and as a {first} in {elsewhere} (line {line}): a node has one kind"
            );
            self.fail(call.node.place, path, message);
        }
        Some(*id)
    }

    /// Fields that a node or the client gets to see.
    fn picks(&mut self, scope: &Scope, picks: &[Pick], path: &Path) -> Vec<(Arc<str>, Field)> {
        let mut fields = Vec::new();
        for pick in picks {
            let Some(Found { field, .. }) = self.find(scope, &pick.name, path) else { continue };
            if let Field::Column(column) = &field
                && self.refuse_hidden(scope.table, *column, &pick.name, path)
            {
                continue;
            }
            fields.push((Arc::from(pick.title.as_str()), field));
        }
        fields
    }

    /// After a selection only its fields are left.
    fn keep(&mut self, scope: &mut Scope, picks: &[Pick]) {
        if scope.replaced {
            return;
        }
        let table = self.table_at(scope.table);
        let kept = picks.iter().map(|pick| {
            let name = pick.name.as_str();
            let known = scope.fields.iter().find(|(have, _)| &**have == name).map(|(_, origin)| origin.clone());
            let column = || table.column(name).map(Origin::Column);
            (Arc::from(pick.title.as_str()), known.or_else(column).unwrap_or(Origin::Computed))
        });
        scope.fields = kept.collect();
    }
}

/// A condition before any window: what is about columns only decides which rows the list starts from, the rest is a step.
fn start_with(expr: Expr, early: &mut Vec<Expr>, ops: &mut Vec<Op>) {
    let mut all = Vec::new();
    flatten(expr, &mut all);
    let (of_rows, mut of_fields): (Vec<Expr>, Vec<Expr>) = all.into_iter().partition(is_of_columns);
    early.extend(of_rows);
    match of_fields.len() {
        0 => {}
        1 => ops.extend(of_fields.pop().map(Op::Where)),
        _ => ops.push(Op::Where(Expr::All(of_fields))),
    }
}

fn is_of_columns(expr: &Expr) -> bool {
    match expr {
        Expr::All(all) | Expr::Any(all) => all.iter().all(is_of_columns),
        Expr::Not(not) => is_of_columns(not),
        Expr::IsNull(field)
        | Expr::Compare { field, .. }
        | Expr::In { field, .. }
        | Expr::Like { field, .. }
        | Expr::Contains { field, .. }
        | Expr::Overlaps { field, .. } => matches!(field, Field::Column(_)),
    }
}
