//! Lists and the arrangements they read.

use super::local::Local;
use super::{Compiler, intern};
use crate::data::{Comparison, Expr, Field, KeyClass, Operand};
use crate::dataflow::plan::{Arrangement, ArrangementId, ArrangementRef, KeySource, List, ListId, Shape, Source};
use crate::query::resolved::{self, Op, ResolvedList, ResolvedQuery};

/// A column of an arrangement's key.
struct KeyColumn {
    column: usize,
    class: KeyClass,
    from: KeySource,
}

impl Compiler<'_> {
    /// Compiles a list; `local` becomes its numbering of the query's parameters.
    pub fn list(&mut self, list: &ResolvedList, query: &ResolvedQuery, local: &mut Local) -> ListId {
        let on = self.parent_columns(list);
        let source = self.source(list, query, &on, local);
        let stages = self.stages(list, query, local);
        let shape = match list.ops.last() {
            Some(Op::Reduce(call)) => Shape::Reduce(self.call(call, list.table, local)),
            _ if list.one => Shape::One,
            _ => Shape::Array,
        };
        let list = List { source, stages, shape, parents: on.len(), params: local.0.len() };
        ListId(intern(&mut self.plan.lists, list))
    }

    /// The parent's columns a list is looked up by (of the catalogue's table), each once.
    pub fn parent_columns(&self, list: &ResolvedList) -> Vec<usize> {
        let pairs = match &list.source {
            resolved::Source::Root => &[][..],
            resolved::Source::On(pairs) => pairs,
            resolved::Source::Through { parent, .. } => parent,
        };
        let mut columns: Vec<usize> = pairs.iter().map(|pair| pair.other).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    fn source(&mut self, list: &ResolvedList, query: &ResolvedQuery, on: &[usize], local: &mut Local) -> Source {
        let parent = |column: usize| {
            KeySource::Parent(on.iter().position(|have| *have == column).expect("every parent's column is in `on`"))
        };
        let keys = |pairs: &[resolved::Pair], from: &dyn Fn(usize) -> KeySource| {
            pairs
                .iter()
                .map(|pair| KeyColumn { column: pair.own, class: pair.class.clone(), from: from(pair.other) })
                .collect::<Vec<_>>()
        };
        match &list.source {
            resolved::Source::Root => Source::Rows(self.arrange(list.table, Vec::new(), &list.filter, query, local)),
            resolved::Source::On(pairs) => {
                let key = keys(pairs, &parent);
                Source::Rows(self.arrange(list.table, key, &list.filter, query, local))
            }
            resolved::Source::Through { table, filter, parent: parents, child, add } => {
                let join_key = keys(parents, &parent);
                let join = |column| KeySource::Join(self.column(*table, column));
                let row_key = keys(child, &join);
                let joins = self.arrange(*table, join_key, filter, query, local);
                let rows = self.arrange(list.table, row_key, &list.filter, query, local);
                let add = add.iter().map(|(title, column)| (title.clone(), self.column(*table, *column))).collect();
                Source::Through { joins, rows, add }
            }
        }
    }

    /// The arrangement of a table's rows by `key` and by what must equal a parameter, under the rest of `filter`.
    fn arrange(
        &mut self,
        table: usize,
        mut key: Vec<KeyColumn>,
        filter: &[Expr],
        query: &ResolvedQuery,
        local: &mut Local,
    ) -> ArrangementRef {
        let mut rest = Vec::new();
        for expr in filter {
            match key_column(expr, query).filter(|(column, ..)| key.iter().all(|have| have.column != *column)) {
                Some((column, class, param)) => {
                    key.push(KeyColumn { column, class, from: KeySource::Param(local.number(param)) });
                }
                None => rest.push(expr.clone()),
            }
        }
        // One order of the columns, so that whoever asks by the same ones shares the arrangement.
        key.sort_by_key(|key| key.column);
        let mut own = Local::default();
        let mut filter = match rest.len() {
            0 => None,
            1 => rest.pop(),
            _ => Some(Expr::All(rest)),
        };
        if let Some(filter) = &mut filter {
            own.expr(filter);
            self.place_columns(filter, table);
        }
        let columns = key.iter().map(|key| (self.column(table, key.column), key.class.clone())).collect();
        let arrangement = Arrangement { table: self.table(table), key: columns, filter, params: own.0.len() };
        let id = ArrangementId(intern(&mut self.plan.arrangements, arrangement));
        let key = key.into_iter().map(|key| key.from).collect();
        ArrangementRef { id, key, params: local.numbers(&own) }
    }

    /// Turns the catalogue's columns of a condition into the plan's.
    pub fn place_columns(&self, expr: &mut Expr, table: usize) {
        match expr {
            Expr::All(all) | Expr::Any(all) => all.iter_mut().for_each(|one| self.place_columns(one, table)),
            Expr::Not(not) => self.place_columns(not, table),
            Expr::IsNull(field)
            | Expr::Compare { field, .. }
            | Expr::In { field, .. }
            | Expr::Like { field, .. }
            | Expr::Contains { field, .. }
            | Expr::Overlaps { field, .. } => *field = self.field(field, table),
        }
    }

    /// A field with the plan's column.
    pub fn field(&self, field: &Field, table: usize) -> Field {
        match field {
            Field::Column(column) => Field::Column(self.column(table, *column)),
            path => path.clone(),
        }
    }
}

/// Column, class and parameter of an equality that every request has a value for.
fn key_column(expr: &Expr, query: &ResolvedQuery) -> Option<(usize, KeyClass, usize)> {
    match expr {
        Expr::Compare { field: Field::Column(column), class, op: Comparison::Eq, with: Operand::Param(param) }
            if query.params[*param].is_certain() =>
        {
            Some((*column, class.clone(), *param))
        }
        _ => None,
    }
}
