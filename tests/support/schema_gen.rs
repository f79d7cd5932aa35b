//! Generated schemas: every kind of key and replica identity, join tables with and without key, partitions.
//!
//! A table here is what the query and workload generators need to know; Postgres knows it by the statements alone.
//! Foreign keys are always declared, since queries infer their columns from them, but in most cases not enforced (writers
//! run with `session_replication_role = replica`): dangling references and orphans are part of what a query must survive.

use super::dice::Dice;
use super::kinds::{Kind, Literal, ident};

pub struct Schema {
    pub tables: Vec<Table>,
    /// Whether writers obey the foreign keys.
    pub enforced: bool,
}

pub struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    /// The primary key's columns; empty without one.
    pub key: Vec<usize>,
    /// A unique column that is not the primary key.
    pub unique: Option<usize>,
    pub identity: Identity,
    pub partitions: Option<Partitions>,
    pub references: Vec<Reference>,
}

#[derive(Clone)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    pub nullable: bool,
    /// For keys and references: how many different values there are.
    pub domain: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    PrimaryKey,
    Full,
    /// The index of the `unique` column.
    UniqueIndex,
}

pub struct Partitions {
    /// The partition key, a column of the primary key.
    pub column: usize,
    pub leaves: Vec<String>,
    /// By range, else by list.
    range: bool,
    /// The first leaf is made apart, its columns in another order, and attached.
    attached: bool,
}

/// A foreign key.
pub struct Reference {
    pub columns: Vec<usize>,
    pub target: usize,
    /// What deleting or changing the target does, where references are enforced.
    action: &'static str,
}

const ENTITIES: [&str; 5] = ["users", "places", "Order", "tag list", "posts"];
const PLAIN: [&str; 10] = ["name", "rating", "title", "Note", "group", "a b", "any", "x/y~z", "größe", "limit"];

impl Column {
    /// A value of its domain, never null.
    pub fn value(&self, dice: &mut Dice) -> Literal {
        match self.domain {
            Some(size) => self.kind.key(dice.between(0, size - 1)),
            None => self.kind.value(dice),
        }
    }

    /// A value fit for a condition or a parameter.
    pub fn constant(&self, dice: &mut Dice) -> Literal {
        match self.domain {
            Some(size) => self.kind.key(dice.between(0, size - 1)),
            None => self.kind.constant(dice),
        }
    }

    pub fn ident(&self) -> String {
        ident(&self.name)
    }
}

impl Table {
    pub fn ident(&self) -> String {
        format!("public.{}", ident(&self.name))
    }

    /// Indexes of the columns that neither identify a row nor refer to another.
    pub fn plain_columns(&self) -> Vec<usize> {
        (0..self.columns.len()).filter(|&index| self.columns[index].domain.is_none()).collect()
    }

    /// The tables that hold rows and can be written or truncated by name.
    pub fn leaves(&self) -> Vec<String> {
        match &self.partitions {
            Some(partitions) => partitions.leaves.iter().map(|leaf| format!("public.{}", ident(leaf))).collect(),
            None => vec![self.ident()],
        }
    }

    fn add(&mut self, dice: &mut Dice, name: &str, kind: Kind, domain: Option<usize>, nullable: bool) -> usize {
        let taken = |name: &str| self.columns.iter().any(|column| column.name == name);
        let mut unique = name.to_owned();
        while taken(&unique) {
            unique = format!("{name}{}", dice.between(2, 99));
        }
        self.columns.push(Column { name: unique, kind, nullable, domain });
        self.columns.len() - 1
    }
}

impl Schema {
    pub fn generate(dice: &mut Dice) -> Schema {
        let mut schema = Schema { tables: Vec::new(), enforced: dice.chance(0.3) };
        let mut names = ENTITIES;
        dice.shuffle(&mut names);
        for name in &names[..dice.between(2, 4)] {
            let table = entity(dice, name, &schema);
            schema.tables.push(table);
        }
        for number in 0..dice.between(1, 2) {
            let table = join_table(dice, number, &schema);
            schema.tables.extend(table);
        }
        schema
    }

    /// The statements that make it, in order.
    pub fn ddl(&self, dice: &mut Dice) -> Vec<String> {
        let mut out = vec!["create type mood as enum ('sad', 'ok', 'happy')".to_owned()];
        self.tables.iter().for_each(|table| table.create(dice, &mut out));
        for table in &self.tables {
            for reference in &table.references {
                out.push(format!(
                    "alter table {} add foreign key ({}) references {} {}",
                    table.ident(),
                    list(&table.columns, &reference.columns),
                    self.tables[reference.target].ident(),
                    reference.action,
                ));
            }
        }
        out
    }
}

fn entity(dice: &mut Dice, name: &str, schema: &Schema) -> Table {
    let mut table = Table {
        name: name.to_owned(),
        columns: Vec::new(),
        key: Vec::new(),
        unique: None,
        identity: Identity::PrimaryKey,
        partitions: None,
        references: Vec::new(),
    };
    match dice.weighted(&[6, 2, 2, 2, 3, 2, 3]) {
        0 => table.key = vec![table.add(dice, "id", Kind::Int4, Some(14), false)],
        1 => table.key = vec![table.add(dice, "id", Kind::Int8, Some(14), false)],
        2 => table.key = vec![table.add(dice, "code", Kind::Text, Some(12), false)],
        3 => table.key = vec![table.add(dice, "id", Kind::Uuid, Some(12), false)],
        4 => {
            let number = table.add(dice, "number", Kind::Int4, Some(5), false);
            let area = table.add(dice, "area", Kind::Text, Some(4), false);
            table.key = if dice.chance(0.5) { vec![area, number] } else { vec![number, area] };
        }
        5 => {
            let nullable = dice.chance(0.3);
            table.add(dice, "id", Kind::Int4, Some(10), nullable);
            table.identity = Identity::Full;
        }
        _ => {
            let id = table.add(dice, "id", Kind::Int4, Some(8), false);
            let bucket = table.add(dice, "bucket", Kind::Int4, Some(6), false);
            table.key = vec![id, bucket];
            table.partitions = Some(Partitions {
                column: bucket,
                leaves: ["low", "mid", "rest"].map(|leaf| format!("{name}_{leaf}")).to_vec(),
                range: dice.chance(0.5),
                attached: dice.chance(0.6),
            });
        }
    }
    if !table.key.is_empty() && table.partitions.is_none() {
        match dice.weighted(&[6, 3, 1]) {
            0 => {}
            1 => {
                let kind = *dice.pick(&[Kind::Text, Kind::Int4]);
                table.unique = Some(table.add(dice, "email", kind, Some(24), false));
                table.identity = if dice.chance(0.8) { Identity::UniqueIndex } else { Identity::PrimaryKey };
            }
            _ => table.identity = Identity::Full,
        }
    }
    let mut names = PLAIN;
    dice.shuffle(&mut names);
    for name in &names[..dice.between(2, 6)] {
        let kind = *dice.pick(&Kind::PLAIN);
        let nullable = dice.chance(0.6);
        table.add(dice, name, kind, None, nullable);
    }
    for (index, target) in schema.tables.iter().enumerate() {
        if !target.key.is_empty() && dice.chance(0.6) {
            refer(dice, &mut table, &target.name, &key_columns(target), index, true);
        }
    }
    if !table.key.is_empty() && dice.chance(0.5) {
        let key = key_columns(&table);
        refer(dice, &mut table, "parent", &key, schema.tables.len(), true);
    }
    table
}

/// A table between two others that have a key, or one other twice; `None` if no table has one.
fn join_table(dice: &mut Dice, number: usize, schema: &Schema) -> Option<Table> {
    let keyed: Vec<usize> = (0..schema.tables.len()).filter(|&index| !schema.tables[index].key.is_empty()).collect();
    if keyed.is_empty() {
        return None;
    }
    let with_key = dice.chance(0.4);
    let mut table = Table {
        name: format!("join{number}"),
        columns: Vec::new(),
        key: Vec::new(),
        unique: None,
        identity: if with_key { Identity::PrimaryKey } else { Identity::Full },
        partitions: None,
        references: Vec::new(),
    };
    for prefix in ["a", "b"] {
        let target = *dice.pick(&keyed);
        let nullable = !with_key && dice.chance(0.3);
        refer(dice, &mut table, prefix, &key_columns(&schema.tables[target]), target, nullable);
    }
    if with_key {
        table.key = (0..table.columns.len()).collect();
    }
    for name in &["weight", "since"][..dice.between(0, 2)] {
        let kind = *dice.pick(&[Kind::Int4, Kind::Bool, Kind::Timestamptz, Kind::Numeric]);
        table.add(dice, name, kind, None, true);
    }
    Some(table)
}

fn key_columns(table: &Table) -> Vec<Column> {
    table.key.iter().map(|&index| table.columns[index].clone()).collect()
}

/// Adds columns that refer to a key, and the foreign key.
fn refer(dice: &mut Dice, table: &mut Table, prefix: &str, key: &[Column], target: usize, nullable: bool) {
    let mut columns = Vec::new();
    for part in key {
        // Postgres compares int8 with int4; so must a join.
        let kind = if part.kind == Kind::Int4 && dice.chance(0.2) { Kind::Int8 } else { part.kind };
        columns.push(table.add(dice, &format!("{prefix}_{}", part.name), kind, part.domain, nullable));
    }
    let action = match nullable {
        true => *dice.pick(&["", "on delete cascade", "on delete set null on update cascade", "on update set null"]),
        false => *dice.pick(&["", "on delete cascade", "on delete cascade on update cascade"]),
    };
    table.references.push(Reference { columns, target, action });
}

impl Table {
    fn create(&self, dice: &mut Dice, out: &mut Vec<String>) {
        let mut columns: Vec<String> = self.columns.iter().map(definition).collect();
        let dropped = dice.chance(0.25);
        if dropped {
            columns.insert(dice.between(0, columns.len()), "dropped text".into());
        }
        if !self.key.is_empty() {
            columns.push(format!("primary key ({})", list(&self.columns, &self.key)));
        }
        let partition_by = self.partitions.as_ref().map_or(String::new(), |partitions| {
            let how = if partitions.range { "range" } else { "list" };
            format!(" partition by {how} ({})", self.columns[partitions.column].ident())
        });
        out.push(format!("create table {} ({}){partition_by}", self.ident(), columns.join(", ")));
        if dropped {
            out.push(format!("alter table {} drop column dropped", self.ident()));
        }
        if let Some(unique) = self.unique {
            let constraint = ident(&format!("{}_unique", self.name));
            let column = self.columns[unique].ident();
            out.push(format!("alter table {} add constraint {constraint} unique ({column})", self.ident()));
            if self.identity == Identity::UniqueIndex {
                out.push(format!("alter table {} replica identity using index {constraint}", self.ident()));
            }
        }
        if let Some(partitions) = &self.partitions {
            self.create_leaves(partitions, out);
        }
        for leaf in self.leaves() {
            if self.identity == Identity::Full {
                out.push(format!("alter table {leaf} replica identity full"));
            }
            for column in self.columns.iter().filter(|column| column.kind == Kind::Blob) {
                out.push(format!("alter table {leaf} alter column {} set storage external", column.ident()));
            }
        }
    }

    fn create_leaves(&self, partitions: &Partitions, out: &mut Vec<String>) {
        let bounds = match partitions.range {
            true => {
                ["for values from (minvalue) to (2)", "for values from (2) to (4)", "for values from (4) to (maxvalue)"]
            }
            false => ["for values in (0, 1)", "for values in (2, 3)", "default"],
        };
        for (number, (leaf, bound)) in self.leaves().iter().zip(bounds).enumerate() {
            if number == 0 && partitions.attached {
                let columns: Vec<String> = self.columns.iter().rev().map(definition).collect();
                out.push(format!("create table {leaf} ({})", columns.join(", ")));
                out.push(format!("alter table {} attach partition {leaf} {bound}", self.ident()));
            } else {
                out.push(format!("create table {leaf} partition of {} {bound}", self.ident()));
            }
        }
    }
}

fn definition(column: &Column) -> String {
    let null = if column.nullable { "" } else { " not null" };
    format!("{} {}{null}", column.ident(), column.kind.sql())
}

/// The names of these columns, for SQL.
pub fn list(columns: &[Column], indexes: &[usize]) -> String {
    indexes.iter().map(|&index| columns[index].ident()).collect::<Vec<_>>().join(", ")
}
