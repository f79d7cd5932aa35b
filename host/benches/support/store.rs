//! Rows in memory that answer upqueries, in place of Postgres: what runs in one process costs what the engine costs.

use std::collections::HashMap;

use sangre::data::{
    Answer, Ask, Column, Identity, Key, KeyBuilder, KeyClass, LeafId, Lsn, Row, RowId, Snapshot, Table, TableId,
    TooMany, Upquery, Value, Xid,
};

/// The rows of the tables of a plan, as they were before the stream.
pub struct Store {
    tables: Vec<Table>,
    rows: Vec<Vec<Row>>,
    /// By table and columns, what an ask looked for before.
    indexes: HashMap<(u32, Vec<usize>), HashMap<Key, Vec<usize>>>,
}

/// The transaction that the snapshot does not see yet, and where the stream begins.
pub const NEXT: Xid = Xid(1000);
pub const BEGIN: Lsn = Lsn(1000);

/// The class that a column's values are compared in.
fn class(column: &Column) -> &KeyClass {
    column.ty.class.as_ref().expect("the tables here have plain columns")
}

fn key<'v>(parts: impl IntoIterator<Item = (&'v KeyClass, &'v Value)>) -> Key {
    let mut key = KeyBuilder::new();
    for (class, value) in parts {
        assert!(key.push(class, value), "there are no nulls here");
    }
    key.finish()
}

/// A row of a table: `value` gives its columns by name.
pub fn row(table: &Table, value: impl Fn(&str) -> Value) -> Row {
    Row::new(table.columns.iter().map(|column| value(&column.name)).collect::<Vec<_>>())
}

/// What identifies a row.
pub fn id(table: &Table, leaf: TableId, row: &Row) -> RowId {
    let Identity::Columns(columns) = &table.identity else { panic!("the tables here have primary keys") };
    let parts = columns.iter().map(|&column| (class(&table.columns[column]), row.get(column)));
    RowId { leaf: LeafId(leaf.0), key: key(parts) }
}

impl Store {
    pub fn new(tables: &[Table]) -> Self {
        Store { tables: tables.to_vec(), rows: vec![Vec::new(); tables.len()], indexes: HashMap::new() }
    }

    /// The table of this name, and its number.
    pub fn table(&self, name: &str) -> (TableId, &Table) {
        let index = self.tables.iter().position(|table| &*table.name == name).expect("a table of the plan");
        (TableId(index as u32), &self.tables[index])
    }

    /// Adds a row for each number, whose columns `value` gives by name.
    pub fn fill(&mut self, name: &str, numbers: impl Iterator<Item = i64>, value: impl Fn(i64, &str) -> Value) {
        let (id, table) = self.table(name);
        let rows: Vec<Row> = numbers.map(|number| row(table, |column| value(number, column))).collect();
        self.rows[id.0 as usize].extend(rows);
    }

    /// What the snapshot before the stream has to say.
    pub fn answer(&mut self, upquery: Upquery) -> Answer {
        let rows = upquery.asks.iter().map(|ask| self.find(ask)).collect();
        Answer { id: upquery.id, snapshot: snapshot(), insert: BEGIN, flush: BEGIN, rows }
    }

    fn find(&mut self, ask: &Ask) -> Result<Vec<(RowId, Row)>, TooMany> {
        let (table, rows) = (&self.tables[ask.table.0 as usize], &self.rows[ask.table.0 as usize]);
        let columns: Vec<usize> = ask.key.iter().map(|(column, _)| *column).collect();
        let index = self.indexes.entry((ask.table.0, columns)).or_insert_with(|| {
            let mut index: HashMap<Key, Vec<usize>> = HashMap::new();
            for (number, row) in rows.iter().enumerate() {
                let of_row = key(ask.key.iter().map(|(column, class)| (class, row.get(*column))));
                index.entry(of_row).or_default().push(number);
            }
            index
        });
        let keys = ask.keys.iter().map(|values| key(ask.key.iter().map(|(_, class)| class).zip(values)));
        let numbers = keys.flat_map(|key| index.get(&key).cloned().unwrap_or_default());
        let meets = |row: &&Row| ask.filter.as_ref().is_none_or(|filter| filter.test_row(row) == Some(true));
        let found = numbers.map(|number| &rows[number]).filter(meets);
        let found: Vec<_> = found.map(|row| (id(table, ask.table, row), row.clone())).collect();
        if found.len() as u64 > ask.row_limit { Err(TooMany { limit: ask.row_limit }) } else { Ok(found) }
    }
}

/// Everything before [`NEXT`].
pub fn snapshot() -> Snapshot {
    Snapshot { xmin: NEXT, xmax: NEXT, running: Vec::new() }
}
