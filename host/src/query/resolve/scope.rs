//! What names mean at some point of a query: columns at first, then fields of the element too.

use std::sync::Arc;

use super::Resolver;
use crate::data::{CatalogueTable, ColumnType, Field, KeyClass};
use crate::query::problem::{Path, did_you_mean};
use crate::query::tree::Name;

/// The names in reach.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Index of the row's table.
    pub table: usize,
    /// Whether fields of the element are in reach beside columns: after the first node.
    pub after_node: bool,
    /// Whether a node's answer has replaced the element, so that nothing is known of its fields.
    pub replaced: bool,
    /// Fields of the element.
    pub fields: Vec<(Arc<str>, Origin)>,
}

/// What a field of an element is.
#[derive(Clone, Debug)]
pub enum Origin {
    Column(usize),
    /// A column of the join row, of this type; in reach before the first node too.
    Joined(Arc<ColumnType>),
    /// A node's answer.
    Computed,
    Child(Nested),
}

/// What is known of a nested query.
#[derive(Clone, Debug)]
pub struct Nested {
    /// The columns of its element, if it is a single one that no node has replaced.
    pub columns: Vec<(Arc<str>, Arc<ColumnType>)>,
    /// A column in it, at any depth, that may hold long numbers.
    pub long: Option<LongNumber>,
}

/// A column whose numbers may be longer than a JavaScript number holds.
#[derive(Clone, Debug)]
pub struct LongNumber {
    /// As the element has it: `places.id`.
    pub label: String,
    pub sql: Arc<str>,
}

impl LongNumber {
    /// The column called `label` if it is one.
    pub fn of(label: &str, ty: &ColumnType) -> Option<Self> {
        matches!(&*ty.sql, "int8" | "numeric").then(|| LongNumber { label: label.to_owned(), sql: ty.sql.clone() })
    }
}

/// A name that was found.
#[derive(Clone, Debug)]
pub struct Found {
    pub field: Field,
    /// The column's type; `None` for a field of which only the JSON is known.
    pub ty: Option<Arc<ColumnType>>,
    /// For messages: `places.name`.
    pub label: String,
}

impl Scope {
    /// Only the table's columns.
    pub fn columns(table: usize) -> Self {
        Scope { table, after_node: false, replaced: false, fields: Vec::new() }
    }

    /// Adds a field, or takes the place of one with the same name.
    pub fn set(&mut self, name: &str, origin: Origin) {
        match self.fields.iter_mut().find(|(have, _)| &**have == name) {
            Some((_, have)) => *have = origin,
            None => self.fields.push((name.into(), origin)),
        }
    }

    pub fn field(&self, name: &str) -> Option<&Origin> {
        self.fields.iter().find(|(have, _)| &**have == name).map(|(_, origin)| origin)
    }
}

impl Resolver<'_> {
    /// What `name` means.
    pub fn find(&mut self, scope: &Scope, name: &Name, path: &Path) -> Option<Found> {
        let table = self.table_at(scope.table);
        if !scope.after_node {
            if let Some(Origin::Joined(ty)) = scope.field(name.as_str()) {
                if table.column(name.as_str()).is_some() {
                    self.fail(name.place, path, ambiguous(name, table));
                    return None;
                }
                return Some(joined(name, ty));
            }
            let column = match self.early(scope, table, name) {
                Some(message) => {
                    self.fail(name.place, path, message);
                    return None;
                }
                None => self.column(table, name, path)?,
            };
            return Some(self.found_column(scope.table, column));
        }
        if scope.replaced {
            return Some(json(name.text.split('.').map(Arc::from).collect()));
        }
        match scope.field(name.as_str()) {
            Some(Origin::Column(column)) => return Some(self.found_column(scope.table, *column)),
            Some(Origin::Joined(ty)) => return Some(joined(name, ty)),
            Some(_) => return Some(json(vec![name.as_str().into()])),
            None => {}
        }
        if table.column(name.as_str()).is_some() {
            let column = self.column(table, name, path)?;
            return Some(self.found_column(scope.table, column));
        }
        if let Some((first, rest)) = name.text.split_once('.')
            && let Some(origin) = scope.field(first)
        {
            return Some(inside(name, origin, rest));
        }
        let known =
            scope.fields.iter().map(|(name, _)| &**name).chain(table.columns.iter().map(|column| &*column.name));
        let meant = did_you_mean(name.as_str(), known);
        let message = format!("there is no column or field \"{}\" here{meant}", name.text);
        self.fail(name.place, path, message);
        None
    }

    /// Why a field of the element is not in reach yet.
    fn early(&self, scope: &Scope, table: &CatalogueTable, name: &Name) -> Option<String> {
        let first = name.text.split('.').next().unwrap_or_default();
        let is_field = matches!(scope.field(first), Some(Origin::Computed | Origin::Child(_)));
        (is_field && table.column(name.as_str()).is_none()).then(|| {
            format!("\"{first}\" is not a column of \"{}\": fields are seen by steps after a node only", table.label())
        })
    }

    /// A column of the table, which from now on is in use.
    pub fn found_column(&mut self, table: usize, column: usize) -> Found {
        self.use_column(table, column);
        let found = self.table_at(table);
        let label = format!("{}.{}", found.label(), found.columns[column].name);
        Found { field: Field::Column(column), ty: Some(found.columns[column].ty.clone()), label }
    }
}

fn json(path: Vec<Arc<str>>) -> Found {
    let label = path.join(".");
    Found { field: Field::Path(path), ty: None, label }
}

/// A field that the join row has added.
fn joined(name: &Name, ty: &Arc<ColumnType>) -> Found {
    Found { ty: Some(ty.clone()), ..json(vec![name.as_str().into()]) }
}

/// A field of the join row that is called as a column which the element leaves out.
fn ambiguous(name: &Name, table: &CatalogueTable) -> String {
    format!(
        "\"{0}\" is a column of \"{1}\" and a field that `through` adds: give the field another name, \
         `through: {{ select: [{{ other: column }}] }}`",
        name.text,
        table.label()
    )
}

/// A member of a field: of a single child whose columns are known, with its type.
fn inside(name: &Name, origin: &Origin, rest: &str) -> Found {
    let mut found = json(name.text.split('.').map(Arc::from).collect());
    if let Origin::Child(nested) = origin {
        found.ty = nested.columns.iter().find(|(title, _)| &**title == rest).map(|(_, ty)| ty.clone());
    }
    found
}

/// The class in which values of two types are compared, if that can be reproduced exactly.
///
/// float4 and float8 are not: the JSON of float4 0.1 is `0.1`, which as float8 is another number.
pub fn common_class(a: &ColumnType, b: &ColumnType) -> Option<KeyClass> {
    match (a.class.as_ref()?, b.class.as_ref()?) {
        (KeyClass::Float, KeyClass::Float) if a.sql != b.sql => None,
        (KeyClass::Int, KeyClass::Numeric) | (KeyClass::Numeric, KeyClass::Int) => Some(KeyClass::Numeric),
        (a, b) if a == b => Some(a.clone()),
        _ => None,
    }
}
