//! Rows of the stream: from the messages of pgoutput to changes of the plan's tables.
//!
//! # Columns go by name
//!
//! A tuple has the relation's columns in the relation's order, as Relation announced them; a plan has those in use in its
//! own. Leaves of one partitioned table may each have another order. So each relation gets a map, made when it is
//! announced.
//!
//! # The identity announced must be the identity planned
//!
//! What an update or delete tells of the old row is decided by the replica identity at the time of writing, so Relation is
//! believed, not the catalogue. A relation that announces another key cannot be followed with the plan's identity: rows
//! would be updated that are not found. `FULL` tells every column, hence any identity.
//!
//! # Values that are not there
//!
//! A large value that an update left alone is not sent. With `FULL` it stands in the old tuple. Otherwise the change lists
//! the column, and whoever holds the row before has the value.

use std::sync::Arc;

use super::decode;
use super::pgoutput::{Cell, OldTuple, Relation, ReplicaIdentity};
use crate::data::{Change, ColumnType, Identity, KeyBuilder, LeafId, Row, RowId, Table, TableId, Value};

/// A relation of the stream seen as a table of the plan.
#[derive(Clone, Debug)]
pub(super) struct BoundRelation {
    pub table: TableId,
    leaf: LeafId,
    tables: Arc<Vec<Table>>,
    /// For each column of the table, its place in a tuple.
    places: Vec<usize>,
}

/// Why a change cannot be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error("column \"{column}\": {message}")]
    Value { column: Arc<str>, message: String },
    #[error("a row of {found} columns where {expected} were announced")]
    Width { found: usize, expected: usize },
    #[error("an update or delete does not tell which row it meant")]
    NoIdentity,
}

impl BoundRelation {
    /// Binds an announced relation to a table. The error says what differs from the plan.
    pub fn new(relation: &Relation<'_>, tables: &Arc<Vec<Table>>, table: TableId) -> Result<Self, String> {
        let planned = &tables[table.0 as usize];
        let mut places = Vec::with_capacity(planned.columns.len());
        for column in &planned.columns {
            let place = relation.columns.iter().position(|have| have.name == &*column.name);
            let place = place.ok_or_else(|| format!("column \"{}\" is gone", column.name))?;
            let oid = relation.columns[place].type_oid;
            if oid != column.ty.oid {
                return Err(format!("column \"{}\" has another type", column.name));
            }
            places.push(place);
        }
        let full = relation.identity == ReplicaIdentity::Full;
        match &planned.identity {
            Identity::Bag if !full => return Err("it is no longer REPLICA IDENTITY FULL".into()),
            Identity::Bag if relation.columns.len() != planned.columns.len() => {
                return Err("it has other columns, and no key".into());
            }
            Identity::Columns(columns) if !full => {
                let keys = relation.columns.iter().filter(|column| column.key).count();
                let all = columns.iter().all(|&column| relation.columns[places[column]].key);
                if !all || keys != columns.len() {
                    return Err("its replica identity is another".into());
                }
            }
            _ => {}
        }
        Ok(BoundRelation { table, leaf: LeafId(relation.oid), tables: tables.clone(), places })
    }

    fn planned(&self) -> &Table {
        &self.tables[self.table.0 as usize]
    }

    /// A row that was inserted.
    pub fn insert(&self, new: &[Cell<'_>]) -> Result<Change, RowError> {
        let row = self.row(new)?;
        Ok(Change::Insert { table: self.table, id: row_id(self.planned(), self.leaf, &row), row })
    }

    /// A row that was updated; `old` comes with `FULL`, or if the identity changed.
    pub fn update(&self, old: Option<&OldTuple<'_>>, new: &[Cell<'_>]) -> Result<Change, RowError> {
        let mut unchanged = Vec::new();
        let mut values = Vec::with_capacity(self.places.len());
        for column in 0..self.places.len() {
            let value = match self.cell(new, column)? {
                Cell::Unchanged => match old.filter(|old| self.tells(old, column)) {
                    Some(old) => self.value(cells(old), column)?,
                    None => {
                        unchanged.push(column as u16);
                        Value::Null
                    }
                },
                _ => self.value(new, column)?,
            };
            values.push(value);
        }
        if unchanged.iter().any(|&column| self.in_identity(usize::from(column))) {
            return Err(RowError::NoIdentity);
        }
        let row = Row::new(values);
        let id = row_id(self.planned(), self.leaf, &row);
        let old = old.map_or_else(|| Ok(id.clone()), |old| self.old_id(old))?;
        Ok(Change::Update { table: self.table, old, id, row, unchanged })
    }

    /// A row that was deleted.
    pub fn delete(&self, old: &OldTuple<'_>) -> Result<Change, RowError> {
        Ok(Change::Delete { table: self.table, id: self.old_id(old)? })
    }

    /// The relation was emptied.
    pub fn truncate(&self) -> Change {
        Change::Truncate { table: self.table, leaf: self.leaf }
    }

    /// Whether the old tuple has this column's value.
    fn tells(&self, old: &OldTuple<'_>, column: usize) -> bool {
        matches!(old, OldTuple::Full(_)) || self.in_identity(column)
    }

    fn in_identity(&self, column: usize) -> bool {
        match &self.planned().identity {
            Identity::Columns(columns) => columns.contains(&column),
            Identity::Bag => true,
        }
    }

    /// The identity in an old tuple, of which only these columns are looked at.
    fn old_id(&self, old: &OldTuple<'_>) -> Result<RowId, RowError> {
        let value = |column| if self.in_identity(column) { self.value(cells(old), column) } else { Ok(Value::Null) };
        let values = (0..self.places.len()).map(value).collect::<Result<Vec<_>, _>>()?;
        Ok(row_id(self.planned(), self.leaf, &Row::new(values)))
    }

    fn row(&self, cells: &[Cell<'_>]) -> Result<Row, RowError> {
        let values = (0..self.places.len()).map(|column| self.value(cells, column));
        Ok(Row::new(values.collect::<Result<Vec<_>, _>>()?))
    }

    fn cell<'a>(&self, cells: &'a [Cell<'a>], column: usize) -> Result<&'a Cell<'a>, RowError> {
        let place = self.places[column];
        cells.get(place).ok_or(RowError::Width { found: cells.len(), expected: place + 1 })
    }

    fn value(&self, cells: &[Cell<'_>], column: usize) -> Result<Value, RowError> {
        let planned = &self.planned().columns[column];
        match self.cell(cells, column)? {
            Cell::Null => Ok(Value::Null),
            Cell::Text(text) => decode_text(&planned.ty, text)
                .map_err(|message| RowError::Value { column: planned.name.clone(), message }),
            Cell::Unchanged => Err(RowError::NoIdentity),
            Cell::Binary(_) => {
                let message = "its value came in binary, which was not asked for".into();
                Err(RowError::Value { column: planned.name.clone(), message })
            }
        }
    }
}

fn cells<'a>(old: &'a OldTuple<'a>) -> &'a [Cell<'a>] {
    match old {
        OldTuple::Key(cells) | OldTuple::Full(cells) => cells,
    }
}

/// Decodes a value's text: the one way for rows of the stream and of upqueries.
pub(super) fn decode_text(ty: &ColumnType, text: &str) -> Result<Value, String> {
    // These two are arrays whose text is a bare list.
    const VECTORS: [u32; 2] = [22, 30];
    let decoded = if VECTORS.contains(&ty.oid) {
        decode::decode(&ty.decode, &format!("{{{}}}", text.replace(' ', ",")))
    } else {
        decode::decode(&ty.decode, text)
    };
    decoded.map_err(|error| error.to_string())
}

/// The identity of a row of `table` that is stored in `leaf`: the same from the stream and from an upquery.
pub(super) fn row_id(table: &Table, leaf: LeafId, row: &Row) -> RowId {
    let mut key = KeyBuilder::new();
    match &table.identity {
        Identity::Columns(columns) => {
            for &column in columns {
                match &table.columns[column].ty.class {
                    Some(class) => key.push_ordered(class, row.get(column), false, false),
                    // Not ordered as SQL orders it, but told apart as well: old and new text differ if the value does.
                    None => key.push_text(&row.get(column).to_json()),
                }
            }
        }
        Identity::Bag => key.push_text(&table.row_text(row)),
    }
    RowId { leaf, key: key.finish() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Column, Decode, KeyClass};
    use crate::source::pgoutput::RelationColumn;

    fn column(name: &str, oid: u32) -> Column {
        let (decode, class) = match oid {
            23 => (Decode::Number, KeyClass::Int),
            _ => (Decode::Text, KeyClass::Text),
        };
        let ty = Arc::new(ColumnType { oid, sql: "t".into(), decode, class: Some(class), element: None });
        Column { name: name.into(), ty, not_null: false }
    }

    fn tables(identity: Identity) -> Arc<Vec<Table>> {
        let columns = vec![column("id", 23), column("big", 25)];
        Arc::new(vec![Table { schema: "s".into(), name: "t".into(), columns, identity, primary_key: vec![] }])
    }

    /// The relation has its columns the other way round, and one more.
    fn relation(identity: ReplicaIdentity, keys: [bool; 3]) -> Relation<'static> {
        let column = |name, key, type_oid| RelationColumn { name, key, type_oid, type_modifier: -1 };
        let columns = vec![column("big", keys[0], 25), column("more", keys[1], 16), column("id", keys[2], 23)];
        Relation { oid: 9, schema: "s", name: "t", identity, columns }
    }

    fn bind(identity: Identity, relation: &Relation<'_>) -> Result<BoundRelation, String> {
        BoundRelation::new(relation, &tables(identity), TableId(0))
    }

    fn cells(big: Cell<'static>, id: &'static str) -> Vec<Cell<'static>> {
        vec![big, Cell::Null, Cell::Text(id)]
    }

    #[test]
    fn columns_go_by_name_and_large_values_are_not_lost() {
        let bound =
            bind(Identity::Columns(vec![0]), &relation(ReplicaIdentity::Default, [false, false, true])).unwrap();
        let Ok(Change::Insert { id: inserted, row, .. }) = bound.insert(&cells(Cell::Text("b"), "7")) else { panic!() };
        assert_eq!(row, Row::new([Value::Int(7), "b".into()]));
        let Ok(Change::Update { old, id, unchanged, row, .. }) = bound.update(None, &cells(Cell::Unchanged, "7"))
        else {
            panic!()
        };
        assert_eq!((&old, &id, unchanged, row.get(1)), (&inserted, &inserted, vec![1], &Value::Null));
        let key = OldTuple::Key(cells(Cell::Null, "7"));
        let Ok(Change::Update { old, id, .. }) = bound.update(Some(&key), &cells(Cell::Text("b"), "8")) else {
            panic!()
        };
        assert!(old == inserted && id != inserted);
        let Ok(Change::Delete { id, .. }) = bound.delete(&key) else { panic!() };
        assert_eq!(id, inserted);
    }

    #[test]
    fn a_full_identity_serves_any_and_tells_large_values() {
        let full = relation(ReplicaIdentity::Full, [true, true, true]);
        let bound = bind(Identity::Columns(vec![0]), &full).unwrap();
        let old = OldTuple::Full(cells(Cell::Text("large"), "7"));
        let Ok(Change::Update { row, unchanged, .. }) = bound.update(Some(&old), &cells(Cell::Unchanged, "7")) else {
            panic!()
        };
        assert_eq!((row.get(1), unchanged), (&Value::from("large"), vec![]));
        assert!(bind(Identity::Bag, &full).is_err(), "a bag has all columns");
    }

    #[test]
    fn what_differs_from_the_plan_is_refused() {
        let id = || Identity::Columns(vec![0]);
        for (identity, keys) in [
            (ReplicaIdentity::Index, [true, false, false]),
            (ReplicaIdentity::Index, [true, false, true]),
            (ReplicaIdentity::Nothing, [false; 3]),
        ] {
            assert!(bind(id(), &relation(identity, keys)).is_err(), "{identity:?} {keys:?}");
        }
        let mut retyped = relation(ReplicaIdentity::Default, [false, false, true]);
        retyped.columns[2].type_oid = 20;
        assert!(bind(id(), &retyped).is_err());
        retyped.columns.pop();
        assert!(bind(id(), &retyped).is_err());
    }

    #[test]
    fn malformed_tuples_are_errors() {
        let bound =
            bind(Identity::Columns(vec![0]), &relation(ReplicaIdentity::Default, [false, false, true])).unwrap();
        assert!(bound.insert(&[]).is_err());
        assert!(bound.insert(&cells(Cell::Unchanged, "1")).is_err());
        assert!(bound.insert(&cells(Cell::Null, "x")).is_err());
        assert!(bound.insert(&cells(Cell::Binary(&[1]), "1")).is_err());
    }
}
