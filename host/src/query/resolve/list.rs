//! Lists: a query's table, rows, columns, children, and what is done with them.

use std::sync::Arc;

use super::Resolver;
use super::scope::{Nested, Origin, Scope};
use super::table::published;
use crate::data::{Comparison, Expr};
use crate::query::problem::{Path, Place};
use crate::query::resolved::{Op, ResolvedList, Source};
use crate::query::syntax::{Body, Child, Condition, Join, Operand, OperandKind, Pick, Query, Step};
use crate::query::tree::{Kind, Name};

/// A nested list and what steps of its parent know of its element.
type NamedChild = (Arc<str>, ResolvedList, Origin);

impl Resolver<'_> {
    /// The root of a query.
    pub fn root(&mut self, query: &Query, path: &Path) -> Option<ResolvedList> {
        let table = self.table(&query.body.from, path)?;
        let mut list = self.list(&query.body, table, Source::Root, &[], path, 1)?;
        list.0.one |= query.body.get.is_some();
        Some(list.0)
    }

    /// `joined`: what the join row adds to each element, as it was written.
    fn list(
        &mut self,
        body: &Body,
        table: usize,
        source: Source,
        joined: &[Pick],
        path: &Path,
        level: usize,
    ) -> Option<(ResolvedList, Scope)> {
        let filter = self.rows_filter(table, body.condition.as_ref(), path);
        let get = self.get(body, table, path);
        let children = self.children(body, table, path, level);
        let columns = self.columns(body, table, joined, path);
        let mut scope = Scope::columns(table);
        for (title, column) in columns.iter().flatten() {
            scope.set(title, Origin::Column(*column));
        }
        for (name, list, origin) in children.iter().flatten() {
            self.refuse_clash(&scope, name, body, path);
            scope.set(name, origin.clone());
            debug_assert!(list.table < self.catalogue.tables.len(), "children are resolved");
        }
        self.add_joined(&source, joined, &mut scope, path);
        self.refuse_limit(body, path);
        let mut ops = Vec::new();
        let early = self.ops(body, &mut scope, &mut ops, path);
        let (mut filter, children) = (filter?, children?);
        filter.extend(get?);
        filter.extend(early?);
        let children = children.into_iter().map(|(name, list, _)| (name, list)).collect();
        Some((ResolvedList { table, source, filter, columns: columns?, children, ops, one: body.one }, scope))
    }

    /// What rows of a table must meet: its rules, then a condition. As a list of conjuncts.
    pub fn rows_filter(&mut self, table: usize, condition: Option<&Condition>, path: &Path) -> Option<Vec<Expr>> {
        let mut filter = Vec::new();
        let rule = self.rules.get(&table).and_then(|rules| rules.rule.condition.as_ref());
        if let Some(rule) = rule {
            let label = self.table_at(table).label();
            flatten(self.rule_condition(table, rule, &Path::default().then("tables").then(label))?, &mut filter);
        }
        if let Some(condition) = condition {
            flatten(self.condition(&Scope::columns(table), condition, &path.then("where"), true)?, &mut filter);
        }
        Some(filter)
    }

    /// `get`: equality on a key.
    fn get(&mut self, body: &Body, table: usize, path: &Path) -> Option<Vec<Expr>> {
        let Some(get) = &body.get else { return Some(Vec::new()) };
        let path = path.then("get");
        let found = self.table_at(table);
        let place = get.first().map_or(body.place, |(name, _)| name.place);
        for (key, is_there) in
            [("order_by", body.order_by.is_some()), ("offset", body.offset.is_some()), ("limit", body.limit.is_some())]
        {
            if is_there {
                self.fail(place, &path, format!("`get` gives one object: `{key}` has no meaning beside it"));
            }
        }
        let columns: Vec<_> = get.iter().map(|(name, _)| self.column(found, name, &path)).collect();
        let columns = columns.into_iter().collect::<Option<Vec<_>>>()?;
        let is_key = |key: &[usize]| key.len() == columns.len() && key.iter().all(|column| columns.contains(column));
        let primary = found.primary_key.as_deref();
        let keys = || primary.into_iter().chain(found.unique.iter().map(|key| key.columns.as_slice()));
        if !keys().any(is_key) {
            let shown = |key: &[usize]| {
                let names: Vec<&str> = key.iter().map(|column| &*found.columns[*column].name).collect();
                format!("({})", names.join(", "))
            };
            let choices: Vec<String> = keys().map(shown).collect();
            let message = if choices.is_empty() {
                format!(
                    "table \"{}\" has no primary key or unique constraint: use `where`, which gives a list",
                    found.label()
                )
            } else {
                format!("`get` names a primary key or unique constraint: {}", choices.join(" or "))
            };
            self.fail(place, &path, message);
            return None;
        }
        let mut filter = Vec::new();
        for ((name, with), column) in get.iter().zip(columns) {
            filter.push(self.get_column(table, column, name, with, &path)?);
        }
        Some(filter)
    }

    fn get_column(&mut self, table: usize, column: usize, name: &Name, with: &Operand, path: &Path) -> Option<Expr> {
        if matches!(&with.kind, OperandKind::Literal(tree) if matches!(tree.kind, Kind::Null)) {
            self.fail(with.place, path, "null equals nothing");
            return None;
        }
        let found = self.found_column(table, column);
        let expr = self.compare(&found, Comparison::Eq, with, &path.then(&name.text))?;
        if let (OperandKind::Param(param), Expr::Compare { with: crate::data::Operand::Param(index), .. }) =
            (&with.kind, &expr)
            && self.params.is_optional(*index)
        {
            self.fail(with.place, path, format!("{param} is optional, but `get` cannot do without it"));
        }
        Some(expr)
    }

    fn children(&mut self, body: &Body, parent: usize, path: &Path, level: usize) -> Option<Vec<NamedChild>> {
        let children: Vec<_> = body
            .with
            .iter()
            .map(|child| self.child(child, parent, &path.then("with").then(&child.field.text), level + 1))
            .collect();
        children.into_iter().collect()
    }

    fn child(&mut self, child: &Child, parent: usize, path: &Path, level: usize) -> Option<NamedChild> {
        if level > self.definitions.depth {
            self.fail(child.field.place, path, format!("nested deeper than {} levels", self.definitions.depth));
            return None;
        }
        let table = self.table(&child.body.from, path)?;
        let source = self.join(parent, table, &child.join, &child.body.from, path);
        let joined = match &child.join {
            Join::Through(through) => through.select.as_slice(),
            Join::On(_) | Join::Inferred => &[],
        };
        let list = self.list(&child.body, table, source.clone().unwrap_or(Source::Root), joined, path, level);
        let ((list, scope), _) = (list?, source?);
        let has_columns = !scope.replaced && !list.ops.iter().any(|op| matches!(op, Op::Reduce(_)));
        let known = list.one && has_columns;
        let types = scope.fields.iter().filter(|_| known).filter_map(|(title, origin)| match origin {
            Origin::Column(column) => Some((title.clone(), self.table_at(table).columns[*column].ty.clone())),
            Origin::Joined(ty) => Some((title.clone(), ty.clone())),
            Origin::Computed | Origin::Child(_) => None,
        });
        let columns = types.collect();
        let long = scope.fields.iter().filter(|_| has_columns).find_map(|field| self.long_number(table, field));
        let origin = Origin::Child(Nested { columns, long });
        Some((child.field.as_str().into(), list, origin))
    }

    /// Columns of the element: those selected, else all that are not hidden.
    fn columns(&mut self, body: &Body, table: usize, joined: &[Pick], path: &Path) -> Option<Vec<(Arc<str>, usize)>> {
        let found = self.table_at(table);
        let Some((picks, path)) = self.selection(body, path) else {
            let columns: Vec<usize> = published(found).filter(|column| !self.is_hidden(table, *column)).collect();
            columns.iter().for_each(|column| self.use_column(table, *column));
            return Some(columns.into_iter().map(|column| (found.columns[column].name.clone(), column)).collect());
        };
        let mut columns = Vec::new();
        let mut failed = false;
        for pick in picks {
            let is_joined = || joined.iter().any(|added| added.title.text == pick.name.text);
            if found.column(pick.name.as_str()).is_none() && (is_field(body, pick.name.as_str()) || is_joined()) {
                // A child, a computed field or one of the join row is there anyway.
                if pick.title.text != pick.name.text {
                    let message = format!("\"{}\" is not a column: give it its name where it is made", pick.name.text);
                    self.fail(pick.name.place, &path, message);
                }
                continue;
            }
            match self.column(found, &pick.name, &path) {
                Some(column) if !self.refuse_hidden(table, column, &pick.name, &path) => {
                    self.use_column(table, column);
                    columns.push((Arc::from(pick.title.as_str()), column));
                }
                _ => failed = true,
            }
        }
        (!failed).then_some(columns)
    }

    /// The `select` of a query, written directly or as a step before the first node.
    fn selection<'b>(&mut self, body: &'b Body, path: &Path) -> Option<(&'b [Pick], Path)> {
        let direct = body.select.as_deref().map(|picks| (picks, path.then("select")));
        let before_nodes = body.steps.iter().take_while(|step| !is_node(step)).enumerate();
        let steps = before_nodes.filter_map(|(index, step)| match step {
            Step::Select(picks) => Some((picks.as_slice(), path.then("steps").at(index).then("select"))),
            _ => None,
        });
        let mut all = direct.into_iter().chain(steps);
        let first = all.next();
        if let Some((picks, path)) = all.next() {
            let place = picks.first().map_or(body.place, |pick| pick.name.place);
            self.fail(place, &path, "`select` is written twice before the first node");
        }
        first
    }

    /// Brings what the join row adds into reach; a field of the element that is called the same is an error.
    fn add_joined(&mut self, source: &Source, joined: &[Pick], scope: &mut Scope, path: &Path) {
        let Source::Through { table, add, .. } = source else { return };
        let join = self.table_at(*table);
        for (title, column) in add {
            let place = joined
                .iter()
                .find(|pick| *pick.title.text == **title)
                .map_or(Place::default(), |pick| pick.title.place);
            let own = match scope.fields.iter().find(|(have, _)| have == title) {
                None => {
                    scope.set(title, Origin::Joined(join.columns[*column].ty.clone()));
                    continue;
                }
                Some((_, Origin::Column(own))) => {
                    let own_table = self.table_at(scope.table);
                    format!("{}.{}", own_table.label(), own_table.columns[*own].name)
                }
                Some(_) => format!("the nested query \"{title}\""),
            };
            let message = format!(
                "{}.{} and {own} would both be the field \"{title}\": give one of them another name, \
                 such as `through: {{ select: [{{ other: {} }}] }}`",
                join.label(),
                join.columns[*column].name,
                join.columns[*column].name
            );
            self.fail(place, &path.then("through").then("select"), message);
        }
    }

    fn refuse_clash(&mut self, scope: &Scope, name: &str, body: &Body, path: &Path) {
        if scope.fields.iter().any(|(have, _)| &**have == name) {
            let place =
                body.with.iter().find(|child| child.field.as_str() == name).map_or(body.place, |c| c.field.place);
            let message =
                format!("\"{name}\" is a column too: name the nested query otherwise, or `select` without the column");
            self.fail(place, &path.then("with"), message);
        }
    }

    /// A direct `limit` beside a step that drops elements: nobody knows which comes first.
    fn refuse_limit(&mut self, body: &Body, path: &Path) {
        let drops = body.steps.iter().find_map(|step| match step {
            Step::Filter(call) => Some((call.node.place, "filter")),
            Step::Where(_) => Some((body.place, "where")),
            _ => None,
        });
        if let (Some(_), Some((place, step))) = (&body.limit, drops) {
            let message =
                format!("a `{step}` step drops elements: write the limit among the steps, before or after it");
            self.fail(place, &path.then("limit"), message);
        }
    }
}

/// Whether a step calls a node.
pub fn is_node(step: &Step) -> bool {
    matches!(step, Step::Filter(_) | Step::Map { .. } | Step::Reduce(_))
}

fn is_field(body: &Body, name: &str) -> bool {
    body.with.iter().any(|child| child.field.as_str() == name)
        || body.steps.iter().any(|step| matches!(step, Step::Map { into: Some(into), .. } if into.as_str() == name))
}

/// A conjunction's parts.
pub fn flatten(expr: Expr, into: &mut Vec<Expr>) {
    match expr {
        Expr::All(all) => all.into_iter().for_each(|one| flatten(one, into)),
        one => into.push(one),
    }
}
