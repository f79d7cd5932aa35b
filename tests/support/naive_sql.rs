//! One SQL statement for a query and its parameters: the document as Postgres would give it, computed the simplest way.
//!
//! Every level is a correlated subquery. A row travels as a whole (`r`) with its join row (`x`), its position (`n`) and the
//! fields that nodes have added (`m`) through the steps; nothing is optimised and nothing is shared with the product's own SQL,
//! since both being wrong alike is the one thing the oracle could not see.

use super::kinds::{Literal, quote};
use super::query::{Binding, By, Condition, Level, Link, List, Operand, Order, Query, Rule, Step, Test};
use super::schema_gen::{Column, Schema, Table};

/// Translates queries over one schema.
pub struct NaiveSql<'a> {
    pub schema: &'a Schema,
    pub rules: &'a [Rule],
    pub query: &'a Query,
    pub bindings: &'a [Binding],
}

/// The row a nested list hangs on.
#[derive(Clone, Copy)]
struct Parent<'a> {
    row: &'a str,
    table: &'a Table,
}

impl Parent<'_> {
    fn column(self, index: usize) -> String {
        format!("{}.{}", self.row, self.table.columns[index].ident())
    }
}

/// Counts the aliases, so that no level hides a name of another.
struct Names(usize);

impl Names {
    fn next(&mut self, prefix: &str) -> String {
        self.0 += 1;
        format!("{prefix}{}", self.0)
    }
}

impl NaiveSql<'_> {
    /// The statement; it answers one row with one jsonb.
    pub fn statement(&self) -> String {
        let mut names = Names(0);
        let root = &self.query.root;
        let document = self.level(root, None, !root.get.is_empty(), &mut names);
        format!("select {document}")
    }

    /// A scalar subquery: the array of a level's elements, or its first one.
    fn level(&self, level: &Level, link: Option<(&Link, Parent<'_>)>, one: bool, names: &mut Names) -> String {
        let link_only = link.map(|(link, _)| link);
        let rows = self.steps(level, link_only, self.rows(level, link, names), names);
        let row = names.next("s");
        let element = format!("({} || {row}.m)", self.element(level, link_only, &row, names));
        let elements = format!("select {row}.n, {element} as j from ({rows}) {row}");
        let e = names.next("e");
        if let Some(Step::Reduce { field }) = level.steps.last() {
            let values =
                format!("coalesce(jsonb_agg(coalesce({row}.m->{0}, 'null') order by {row}.n), '[]')", quote(field));
            return format!("(select jsonb_build_object('count', count(*), 'values', {values}) from ({rows}) {row})");
        }
        match one {
            true => format!("coalesce((select {e}.j from ({elements}) {e} order by {e}.n limit 1), 'null'::jsonb)"),
            false => format!("(select coalesce(jsonb_agg({e}.j order by {e}.n), '[]'::jsonb) from ({elements}) {e})"),
        }
    }

    /// The rows a level starts from, in the order of its tie-break.
    fn rows(&self, level: &Level, link: Option<(&Link, Parent<'_>)>, names: &mut Names) -> String {
        let table = &self.schema.tables[level.table];
        let t = names.next("t");
        let mut from = format!("{} {t}", table.ident());
        let mut conditions = vec![self.rule(level.table, &t)];
        let (mut x, mut tie) = ("null::int".to_owned(), tie_break(table, &t));
        for (column, operand) in &level.get {
            conditions.push(format!("{t}.{} = {}", table.columns[*column].ident(), self.operand(operand)));
        }
        match link {
            None => {}
            Some((Link::On(pairs), parent)) => {
                for &(child, column) in pairs {
                    conditions.push(format!("{t}.{} = {}", table.columns[child].ident(), parent.column(column)));
                }
            }
            Some((Link::Through { table: join, parent: to_parent, child, conditions: wheres, .. }, parent)) => {
                let join_table = &self.schema.tables[*join];
                let j = names.next("j");
                from = format!("{} {j}, {from}", join_table.ident());
                tie = format!("{tie}, {}", tie_break(join_table, &j));
                x.clone_from(&j);
                conditions.push(self.rule(*join, &j));
                conditions.push(self.all(wheres, join_table, &j));
                for &(column, other) in to_parent {
                    conditions.push(format!("{j}.{} = {}", join_table.columns[column].ident(), parent.column(other)));
                }
                for &(column, other) in child {
                    let (join_column, child) = (join_table.columns[column].ident(), table.columns[other].ident());
                    conditions.push(format!("{j}.{join_column} = {t}.{child}"));
                }
            }
        }
        format!(
            "select {t} as r, {x} as x, row_number() over (order by {tie}) as n, '{{}}'::jsonb as m from {from} where {}",
            conditions.join(" and ")
        )
    }

    /// The direct clauses, then the steps, each a query around the one before.
    fn steps(&self, level: &Level, link: Option<&Link>, rows: String, names: &mut Names) -> String {
        let table = &self.schema.tables[level.table];
        let mut sql = self.filter(&level.conditions, table, "r", rows, names);
        sql = self.order(&level.order, table, link, sql, names);
        sql = self.window(level.offset.as_ref(), level.limit.as_ref(), sql, names);
        for step in &level.steps {
            sql = match step {
                Step::Where(conditions) => self.filter(conditions, table, "r", sql, names),
                Step::WhereJoined { row, join } => {
                    let added = self.added(link);
                    let sql = self.filter(row, table, "r", sql, names);
                    self.filter(join, &added, "x", sql, names)
                }
                Step::OrderBy(terms) => self.order(terms, table, link, sql, names),
                Step::Offset(count) => self.window(Some(count), None, sql, names),
                Step::Limit(count) => self.window(None, Some(count), sql, names),
                Step::Filter { column, least } => {
                    let q = names.next("q");
                    let value = format!("({q}.r).{}", table.columns[*column].ident());
                    format!("select {q}.* from ({sql}) {q} where {value} >= {}", self.operand(least))
                }
                Step::Map { column, add, into } => {
                    let q = names.next("q");
                    let value = format!("({q}.r).{}::int8", table.columns[*column].ident());
                    let score = format!("({value} * 7 + {}) % 5", self.operand(add));
                    format!(
                        "select {q}.r, {q}.x, {q}.n, {q}.m || jsonb_build_object({}, {score}) as m from ({sql}) {q}",
                        quote(into)
                    )
                }
                Step::Select(_) | Step::Reduce { .. } => sql,
            };
        }
        sql
    }

    /// `of`: what the conditions are about, rows (`r`) or join rows (`x`).
    fn filter(&self, conditions: &[Condition], table: &Table, of: &str, rows: String, names: &mut Names) -> String {
        if conditions.is_empty() {
            return rows;
        }
        let q = names.next("q");
        let all = self.all(conditions, table, &format!("({q}.{of})"));
        format!("select {q}.* from ({rows}) {q} where {all}")
    }

    fn window(&self, offset: Option<&Operand>, limit: Option<&Operand>, rows: String, names: &mut Names) -> String {
        if offset.is_none() && limit.is_none() {
            return rows;
        }
        let q = names.next("q");
        let clause = |word: &str, count: Option<&Operand>| {
            count.map_or(String::new(), |count| format!(" {word} {}", self.operand(count)))
        };
        let (limit, offset) = (clause("limit", limit), clause("offset", offset));
        format!("select {q}.* from ({rows}) {q} order by {q}.n{limit}{offset}")
    }

    /// What the join row adds, by the names its columns have.
    fn added(&self, link: Option<&Link>) -> Table {
        link.and_then(|link| link.added(self.schema, false)).expect("a join row that adds fields")
    }

    /// Ties are broken as in a list without order: join rows of one row by their own key, which only what they add can show.
    fn order(&self, terms: &[Order], table: &Table, link: Option<&Link>, rows: String, names: &mut Names) -> String {
        if terms.is_empty() {
            return rows;
        }
        let q = names.next("q");
        let mut keys: Vec<String> = terms
            .iter()
            .map(|term| {
                let value = match &term.by {
                    By::Column(column) => format!("({q}.r).{}", collated(&table.columns[*column])),
                    By::Joined(column) => format!("({q}.x).{}", collated(&self.added(link).columns[*column])),
                    By::Computed(field) => format!("({q}.m->>{})::numeric", quote(field)),
                };
                let direction = if term.descending { " desc" } else { "" };
                let nulls = match term.nulls_first {
                    Some(true) => " nulls first",
                    Some(false) => " nulls last",
                    None => "",
                };
                format!("{value}{direction}{nulls}")
            })
            .collect();
        keys.push(tie_break(table, &format!("({q}.r)")));
        if let Some(Link::Through { table: join, .. }) = link {
            keys.push(tie_break(&self.schema.tables[*join], &format!("({q}.x)")));
        }
        let position = format!("row_number() over (order by {}) as n", keys.join(", "));
        format!("select {q}.r, {q}.x, {position}, {q}.m from ({rows}) {q}")
    }

    /// The object of a row: columns, children, and what the join row adds.
    fn element(&self, level: &Level, link: Option<&Link>, row: &str, names: &mut Names) -> String {
        let table = &self.schema.tables[level.table];
        let hidden = &self.rules[level.table].hidden;
        let all = || {
            let shown = (0..table.columns.len()).filter(|index| !hidden.contains(index));
            shown.map(|index| (index, table.columns[index].name.clone())).collect()
        };
        let step = level.steps.iter().rev().find_map(|step| match step {
            Step::Select(columns) => Some(columns.clone()),
            _ => None,
        });
        let columns: Vec<(usize, String)> = step.or_else(|| level.select.clone()).unwrap_or_else(all);
        let mut members: Vec<String> = columns
            .iter()
            .map(|(index, name)| format!("{}, to_jsonb(({row}.r).{})", quote(name), table.columns[*index].ident()))
            .collect();
        for child in &level.children {
            let parent = Parent { row: &format!("({row}.r)"), table };
            let list = self.level(&child.level, Some((&child.link, parent)), child.one, names);
            members.push(format!("{}, {list}", quote(&child.field)));
        }
        if let Some(Link::Through { table: join, select, .. }) = link {
            let columns = &self.schema.tables[*join].columns;
            let added = select.iter();
            members.extend(
                added.map(|(index, name)| format!("{}, to_jsonb(({row}.x).{})", quote(name), columns[*index].ident())),
            );
        }
        format!("jsonb_build_object({})", members.join(", "))
    }

    /// A table's own conditions.
    fn rule(&self, table: usize, row: &str) -> String {
        self.all(&self.rules[table].conditions, &self.schema.tables[table], row)
    }

    fn all(&self, conditions: &[Condition], table: &Table, row: &str) -> String {
        let present = conditions.iter().filter(|condition| !condition.absent(self.bindings));
        join(present.map(|condition| self.condition(condition, table, row)), " and ", "true")
    }

    fn condition(&self, condition: &Condition, table: &Table, row: &str) -> String {
        let each = |conditions: &[Condition]| -> Vec<String> {
            conditions.iter().map(|condition| self.condition(condition, table, row)).collect()
        };
        match condition {
            Condition::All(conditions) => join(each(conditions).into_iter(), " and ", "true"),
            Condition::Any(conditions) => join(each(conditions).into_iter(), " or ", "false"),
            Condition::Not(inner) => format!("not ({})", self.condition(inner, table, row)),
            Condition::Column { column, test, .. } => {
                self.test(test, &format!("{row}.{}", collated(&table.columns[*column])))
            }
            // The row is `(q.r)`, its computed fields are `q.m`.
            Condition::Computed { field, comparison, with } => {
                let fields = row.replace(".r)", ".m").replace('(', "");
                format!("({fields}->>{})::numeric {} {}", quote(field), comparison.sql, with.sql)
            }
        }
    }

    fn test(&self, test: &Test, value: &str) -> String {
        match test {
            Test::IsNull { negated: false } => format!("{value} is null"),
            Test::IsNull { negated: true } => format!("{value} is not null"),
            Test::Compare(comparison, operand) => format!("{value} {} {}", comparison.sql, self.operand(operand)),
            Test::In { negated, list } => {
                let how = if *negated { "<> all" } else { "= any" };
                format!("{value} {how} ({})", self.list(list))
            }
            Test::Like { fold, pattern } => {
                let word = if *fold { "collate \"C\" ilike" } else { "like" };
                format!("{value} {word} {}", self.operand(pattern))
            }
            Test::Contains(literal) => format!("{value} @> {}", literal.sql),
            Test::Overlaps(literal) => format!("{value} && {}", literal.sql),
        }
    }

    fn operand(&self, operand: &Operand) -> String {
        match operand {
            Operand::Constant(literal) => literal.sql.clone(),
            Operand::Param(index) => match &self.bindings[*index] {
                Some(values) => values[0].sql.clone(),
                None => "null".into(),
            },
        }
    }

    fn list(&self, list: &List) -> String {
        match list {
            List::Constants(values) => match values.first() {
                Some(_) => array(values),
                None => "'{}'".into(),
            },
            List::Param(index) => array(self.bindings[*index].as_deref().unwrap_or_default()),
        }
    }
}

fn array(values: &[Literal]) -> String {
    format!("array[{}]", values.iter().map(|value| value.sql.as_str()).collect::<Vec<_>>().join(", "))
}

/// By primary key, without one by the row's JSON text.
fn tie_break(table: &Table, row: &str) -> String {
    if table.key.is_empty() {
        return format!("to_jsonb({row})::text collate \"C\"");
    }
    let keys = table.key.iter().map(|&index| format!("{row}.{}", collated(&table.columns[index])));
    keys.collect::<Vec<_>>().join(", ")
}

/// A column's name, and how it is to be compared.
fn collated(column: &Column) -> String {
    format!("{}{}", column.ident(), if column.kind.collates() { " collate \"C\"" } else { "" })
}

fn join(parts: impl Iterator<Item = String>, word: &str, empty: &str) -> String {
    let parts: Vec<String> = parts.map(|part| format!("({part})")).collect();
    if parts.is_empty() { empty.to_owned() } else { format!("({})", parts.join(word)) }
}
