//! Joins: which columns make a nested query's rows belong to its parent's.
//!
//! Foreign keys say it in either direction. Two of them, or none, are an error that lists the choices as they would be
//! written: guessing would change a document when somebody adds a key.

use std::sync::Arc;

use super::Resolver;
use super::scope::common_class;
use crate::data::{CatalogueTable, ForeignKey};
use crate::query::problem::{Path, Place};
use crate::query::resolved::{Pair, Source};
use crate::query::syntax::{Join, Pick, Side, Through};
use crate::query::tree::Name;

/// Columns of one table and of another that correspond.
type Columns = Vec<(usize, usize)>;

impl Resolver<'_> {
    /// How rows of `child` belong to rows of `parent`.
    pub fn join(&mut self, parent: usize, child: usize, join: &Join, from: &Name, path: &Path) -> Option<Source> {
        match join {
            Join::On(pairs) => {
                let columns = self.named_pairs(child, parent, pairs, &path.then("on"))?;
                self.pairs(child, parent, &columns, from.place, &path.then("on")).map(Source::On)
            }
            Join::Inferred => {
                let columns = self.inferred(parent, child, from, path)?;
                self.pairs(child, parent, &columns, from.place, path).map(Source::On)
            }
            Join::Through(through) => self.through(parent, child, through, &path.then("through")),
        }
    }

    fn inferred(&mut self, parent: usize, child: usize, from: &Name, path: &Path) -> Option<Columns> {
        let (parent, child) = (self.table_at(parent), self.table_at(child));
        let mut found = keys_between(child, parent);
        if found.len() == 1 {
            return found.pop();
        }
        let choices: Vec<String> =
            found.iter().map(|columns| format!("`on: {}`", shown(child, parent, columns))).collect();
        let (parent, child) = (parent.label(), child.label());
        let message = if choices.is_empty() {
            format!(
                "no foreign key joins \"{child}\" and \"{parent}\": say which columns are equal, `on: {{ column of {child}: column of {parent} }}`, or name the join table, `through: ...`"
            )
        } else {
            format!("more than one foreign key joins \"{child}\" and \"{parent}\": write {}", choices.join(" or "))
        };
        self.fail(from.place, path, message);
        None
    }

    fn through(&mut self, parent: usize, child: usize, through: &Through, path: &Path) -> Option<Source> {
        let table = self.table(&through.table, path)?;
        let place = through.table.place;
        let (own_parent, own_child) = match (&through.parent, &through.child) {
            (None, None) if parent == child => return self.say_which(table, parent, place, path),
            (Some(side), None) => {
                let own_parent = self.side(table, parent, side, place, &path.then("parent"))?;
                let own_child = self.other_side(table, child, &own_parent, "child", place, path)?;
                (own_parent, own_child)
            }
            (None, Some(side)) => {
                let own_child = self.side(table, child, side, place, &path.then("child"))?;
                (self.other_side(table, parent, &own_child, "parent", place, path)?, own_child)
            }
            (Some(parent_side), Some(child_side)) => {
                let own_parent = self.side(table, parent, parent_side, place, &path.then("parent"));
                let own_child = self.side(table, child, child_side, place, &path.then("child"));
                (own_parent?, own_child?)
            }
            (None, None) => {
                let own_parent = self.other_side(table, parent, &[], "parent", place, path);
                let own_child = self.other_side(table, child, &[], "child", place, path);
                (own_parent?, own_child?)
            }
        };
        let child_columns: Columns = own_child.iter().map(|(own, other)| (*other, *own)).collect();
        let parent = self.pairs(table, parent, &own_parent, place, path);
        let child = self.pairs(child, table, &child_columns, place, path);
        let filter = self.rows_filter(table, through.condition.as_ref(), path);
        let add = self.added(table, &through.select, &path.then("select"));
        Some(Source::Through { table, filter: filter?, parent: parent?, child: child?, add: add? })
    }

    /// Columns of the join row that become fields of the element.
    fn added(&mut self, table: usize, picks: &[Pick], path: &Path) -> Option<Vec<(Arc<str>, usize)>> {
        let found = self.table_at(table);
        let added: Vec<_> = picks
            .iter()
            .map(|pick| {
                let column = self.column(found, &pick.name, path)?;
                if self.refuse_hidden(table, column, &pick.name, path) {
                    return None;
                }
                self.use_column(table, column);
                Some((Arc::from(pick.title.as_str()), column))
            })
            .collect();
        added.into_iter().collect()
    }

    /// Both sides are one table, and nothing says which key is whose.
    fn say_which(&mut self, table: usize, other: usize, place: Place, path: &Path) -> Option<Source> {
        let (own, other) = (self.table_at(table), self.table_at(other));
        let keys: Vec<String> = keys_between(own, other).iter().map(|columns| names(own, columns)).collect();
        let message = match keys.as_slice() {
            [a, b] => format!(
                "both keys of \"{}\" point at \"{}\": write `through: {{ table: {0}, parent: {a}, child: {b} }}` or `parent: {b}, child: {a}`",
                own.label(),
                other.label()
            ),
            _ => format!(
                "both sides are \"{}\": write `through: {{ table: {}, parent: ..., child: ... }}` with columns of {1}",
                other.label(),
                own.label()
            ),
        };
        self.fail(place, path, message);
        None
    }

    /// The key of the join table that names `other`, leaving out the columns that the other side has taken.
    fn other_side(
        &mut self,
        table: usize,
        other: usize,
        taken: &[(usize, usize)],
        role: &str,
        place: Place,
        path: &Path,
    ) -> Option<Columns> {
        let (own, other) = (self.table_at(table), self.table_at(other));
        let is_taken = |columns: &Columns| same_set(&firsts(columns), &firsts(taken));
        let mut found: Vec<Columns> = keys_between(own, other).into_iter().filter(|found| !is_taken(found)).collect();
        if found.len() == 1 {
            return found.pop();
        }
        let choices: Vec<String> = found.iter().map(|columns| format!("`{role}: {}`", names(own, columns))).collect();
        let (own, other) = (own.label(), other.label());
        let message = if choices.is_empty() {
            format!(
                "no foreign key joins \"{own}\" and \"{other}\": write `{role}: {{ column of {own}: column of {other} }}`"
            )
        } else {
            format!("more than one foreign key joins \"{own}\" and \"{other}\": write {}", choices.join(" or "))
        };
        self.fail(place, path, message);
        None
    }

    /// The join table's columns as written, each with the column of `other` it equals.
    fn side(&mut self, table: usize, other: usize, side: &Side, place: Place, path: &Path) -> Option<Columns> {
        let columns = match side {
            Side::Pairs(pairs) => return self.named_pairs(table, other, pairs, path),
            Side::Columns(names) => {
                let own = self.table_at(table);
                let columns: Vec<_> = names.iter().map(|name| self.column(own, name, path)).collect();
                columns.into_iter().collect::<Option<Vec<_>>>()?
            }
        };
        let (own, other) = (self.table_at(table), self.table_at(other));
        if let Some(key) = keys_between(own, other).into_iter().find(|key| same_set(&firsts(key), &columns)) {
            return Some(key);
        }
        match &other.primary_key {
            Some(key) if key.len() == columns.len() && !columns.is_empty() => {
                Some(columns.into_iter().zip(key.iter().copied()).collect())
            }
            _ => {
                let message = format!(
                    "which columns of \"{}\" are meant? Write `{{ column of {}: column of {0} }}`",
                    other.label(),
                    own.label()
                );
                self.fail(place, path, message);
                None
            }
        }
    }

    fn named_pairs(&mut self, own: usize, other: usize, pairs: &[(Name, Name)], path: &Path) -> Option<Columns> {
        let (own, other) = (self.table_at(own), self.table_at(other));
        let found: Vec<_> = pairs
            .iter()
            .map(|(a, b)| {
                let (a, b) = (self.column(own, a, path), self.column(other, b, path));
                Some((a?, b?))
            })
            .collect();
        found.into_iter().collect::<Option<Columns>>().filter(|columns| !columns.is_empty())
    }

    /// Columns of `own` and `other` as comparisons; both are in use from now on.
    fn pairs(&mut self, own: usize, other: usize, columns: &Columns, place: Place, path: &Path) -> Option<Vec<Pair>> {
        let mut pairs = Vec::new();
        for &(a, b) in columns {
            let (a_found, b_found) = (self.found_column(own, a), self.found_column(other, b));
            let (a_type, b_type) = (a_found.ty?, b_found.ty?);
            match common_class(&a_type, &b_type) {
                Some(class) => pairs.push(Pair { own: a, other: b, class }),
                None => {
                    let message = format!(
                        "{} is {} and {} is {}: joining these types is not supported",
                        a_found.label, a_type.sql, b_found.label, b_type.sql
                    );
                    self.fail(place, path, message);
                }
            }
        }
        (pairs.len() == columns.len()).then_some(pairs)
    }
}

/// Foreign keys between two tables in both directions, as columns of `own` and of `other`.
fn keys_between(own: &CatalogueTable, other: &CatalogueTable) -> Vec<Columns> {
    let zip = |a: &[usize], b: &[usize]| a.iter().copied().zip(b.iter().copied()).collect::<Columns>();
    let forth = |key: &ForeignKey| zip(&key.columns, &key.referenced_columns);
    let back = |key: &ForeignKey| zip(&key.referenced_columns, &key.columns);
    let mut found: Vec<Columns> = Vec::new();
    let own_keys = own.foreign_keys.iter().filter(|key| key.references == other.oid).map(forth);
    let other_keys = other.foreign_keys.iter().filter(|key| key.references == own.oid).map(back);
    for mut columns in own_keys.chain(other_keys) {
        columns.sort_unstable();
        if !found.contains(&columns) {
            found.push(columns);
        }
    }
    found
}

fn firsts(columns: &[(usize, usize)]) -> Vec<usize> {
    columns.iter().map(|(own, _)| *own).collect()
}

fn same_set(a: &[usize], b: &[usize]) -> bool {
    a.len() == b.len() && a.iter().all(|column| b.contains(column))
}

/// `user_id`, or `[a, b]`.
fn names(table: &CatalogueTable, columns: &[(usize, usize)]) -> String {
    let names: Vec<&str> = columns.iter().map(|(own, _)| &*table.columns[*own].name).collect();
    if let [name] = names.as_slice() { (*name).to_string() } else { format!("[{}]", names.join(", ")) }
}

/// `{ user_id: id }`.
fn shown(own: &CatalogueTable, other: &CatalogueTable, columns: &[(usize, usize)]) -> String {
    let pairs: Vec<String> =
        columns.iter().map(|(a, b)| format!("{}: {}", own.columns[*a].name, other.columns[*b].name)).collect();
    format!("{{ {} }}", pairs.join(", "))
}
