//! Tables: found by name, fit to be followed, with the rules that hold for them.

use std::collections::BTreeMap;

use super::params::Params;
use super::{Resolver, Rules};
use crate::data::{Catalogue, CatalogueTable, RowIdentity, TableKind};
use crate::query::Definitions;
use crate::query::problem::{Path, Problems, did_you_mean};
use crate::query::syntax::{Route, TableRule};
use crate::query::tree::Name;

/// Finds the table of every rule and resolves the rule once, so that its mistakes are told once.
pub fn resolve_rules<'a>(
    definitions: &'a Definitions<'a>,
    catalogue: &'a Catalogue,
    problems: &mut Problems,
) -> BTreeMap<usize, Rules<'a>> {
    let mut rules = BTreeMap::new();
    for rule in definitions.tables {
        let path = Path::default().then("tables").then(&rule.table.text);
        let Some(index) = find(catalogue, &rule.table, &path, problems) else { continue };
        if rules.contains_key(&index) {
            problems.push(rule.table.place, &path, "the same table has rules twice");
        }
        let found = problems.0.len();
        check_rule(definitions, catalogue, index, rule, &path, problems);
        rules.insert(index, Rules { rule, broken: problems.0.len() > found });
    }
    rules
}

fn check_rule(
    definitions: &Definitions<'_>,
    catalogue: &Catalogue,
    index: usize,
    rule: &TableRule,
    path: &Path,
    problems: &mut Problems,
) {
    let route = Route { text: Name::default(), segments: Vec::new() };
    let none = BTreeMap::new();
    let mut resolver = Resolver::new(definitions, catalogue, &none, Params::new(&[], &route));
    let table = resolver.table_at(index);
    for column in &rule.hide {
        resolver.column(table, column, &path.then("hide"));
    }
    if let Some(condition) = &rule.condition {
        resolver.rule_condition(index, condition, &path.then("where"));
    }
    problems.0.append(&mut resolver.problems.0);
}

/// The table called `name`, which may be `schema.table`; a bare name is one in `public`.
pub fn find_table<'c>(catalogue: &'c Catalogue, name: &str) -> Option<&'c CatalogueTable> {
    // A table's own name may hold a dot: the whole name in `public` comes first.
    catalogue.find("public", name).or_else(|| {
        let mut dots = name.match_indices('.');
        dots.find_map(|(dot, _)| catalogue.find(&name[..dot], &name[dot + 1..]))
    })
}

/// The index of the table called `name`; reports if there is none.
fn find(catalogue: &Catalogue, name: &Name, path: &Path, problems: &mut Problems) -> Option<usize> {
    let Some(found) = find_table(catalogue, name.as_str()) else {
        let labels: Vec<String> = catalogue.tables.iter().map(CatalogueTable::label).collect();
        let meant = did_you_mean(name.as_str(), labels.iter().map(String::as_str));
        problems.push(name.place, path, format!("table \"{}\" does not exist{meant}", name.text));
        return None;
    };
    catalogue.tables.iter().position(|table| std::ptr::eq(table, found))
}

/// Why a table cannot be used, whatever the query; `None` if it can.
fn unfit(catalogue: &Catalogue, table: &CatalogueTable) -> Option<String> {
    let label = table.label();
    let kind = match table.kind {
        TableKind::Table | TableKind::Partitioned => None,
        TableKind::Unlogged => Some("is unlogged: its changes are not replicated; run ALTER TABLE ... SET LOGGED"),
        TableKind::View => Some("is a view: its changes are not replicated; query the tables behind it"),
        TableKind::MaterializedView => Some("is a materialized view: its changes are not replicated; query a table"),
        TableKind::Foreign => {
            Some("is a foreign table: its changes are not replicated; query a table of this database")
        }
    };
    if let Some(kind) = kind {
        return Some(format!("\"{label}\" {kind}"));
    }
    if let Some(root) = table.partition_of {
        let root =
            catalogue.by_oid(root).map_or_else(|| "its root".to_string(), |root| format!("\"{}\"", root.label()));
        return Some(format!("\"{label}\" is a partition: query {root}"));
    }
    if table.inherits {
        return Some(format!("\"{label}\" takes part in inheritance, which is not supported"));
    }
    if let Some(leaf) = table.leaves.iter().find(|leaf| leaf.kind != TableKind::Table) {
        return Some(format!("\"{label}\" has a partition \"{}\" whose changes are not replicated", leaf.name));
    }
    None
}

impl<'a> Resolver<'a> {
    /// The table called `name`, if it can be used.
    pub fn table(&mut self, name: &Name, path: &Path) -> Option<usize> {
        let index = find(self.catalogue, name, path, &mut self.problems)?;
        let table = self.table_at(index);
        if let Some(message) = unfit(self.catalogue, table) {
            self.fail(name.place, path, message);
            return None;
        }
        let rules = self.rules.get(&index);
        if rules.is_some_and(|rules| rules.broken) {
            self.fail(name.place, path, format!("the rules of \"{0}\" are broken: see tables.{0}", table.label()));
            return None;
        }
        if table.row_security && !rules.is_some_and(|rules| rules.rule.ignore_rls) {
            let label = table.label();
            let message = format!(
                "table \"{label}\" has row-level security, which logical replication does not apply: write the rule as \
                 `tables: {{ {label}: {{ where: ..., rls: ignore }} }}`"
            );
            self.fail(name.place, path, message);
            return None;
        }
        match table.row_identity() {
            Ok(identity) => self.use_identity(index, &identity),
            Err(error) => {
                self.fail(name.place, path, error.to_string());
                return None;
            }
        }
        Some(index)
    }

    /// Columns that are always in use: those of identity and primary key; of a bag all.
    fn use_identity(&mut self, index: usize, identity: &RowIdentity) {
        let table = self.table_at(index);
        let used = self.uses.entry(index).or_default();
        match identity {
            RowIdentity::Columns(columns) => used.extend(columns),
            RowIdentity::Bag => used.extend(published(table)),
        }
        used.extend(table.primary_key.iter().flatten());
    }

    /// The column called `name`, if it can be used.
    pub fn column(&mut self, table: &CatalogueTable, name: &Name, path: &Path) -> Option<usize> {
        let Some(index) = table.column(name.as_str()) else {
            let meant = did_you_mean(name.as_str(), table.columns.iter().map(|column| &*column.name));
            let message = format!("table \"{}\" has no column \"{}\"{meant}", table.label(), name.text);
            self.fail(name.place, path, message);
            return None;
        };
        if table.columns[index].generated {
            let message = format!("column \"{}\" is generated, and generated columns are not replicated", name.text);
            self.fail(name.place, path, message);
            return None;
        }
        Some(index)
    }

    /// Whether the table's rules hide the column.
    pub fn is_hidden(&self, table: usize, column: usize) -> bool {
        let name = &*self.table_at(table).columns[column].name;
        self.rules.get(&table).is_some_and(|rules| rules.rule.hide.iter().any(|hidden| hidden.as_str() == name))
    }

    /// Reports a hidden column that something would show.
    pub fn refuse_hidden(&mut self, table: usize, column: usize, name: &Name, path: &Path) -> bool {
        let hidden = self.is_hidden(table, column);
        if hidden {
            let label = self.table_at(table).label();
            self.fail(name.place, path, format!("column \"{}\" is hidden by tables.{label}.hide", name.text));
        }
        hidden
    }
}

/// Columns whose values are in the stream.
pub fn published(table: &CatalogueTable) -> impl Iterator<Item = usize> + '_ {
    table.columns.iter().enumerate().filter(|(_, column)| !column.generated).map(|(index, _)| index)
}
