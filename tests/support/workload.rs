//! Generated transactions: what concurrent writers do to a generated schema.
//!
//! Everything is SQL text made before the run, so a case can be saved. Statements may fail (a key is taken, a reference
//! is missing, a deadlock): failing is part of the workload.

use super::case::{End, Part, Transaction};
use super::dice::Dice;
use super::kinds::{Kind, Literal};
use super::schema_gen::{Column, Schema, Table, list};

pub struct Workload<'a> {
    pub schema: &'a Schema,
}

/// How many rows a table starts with.
const ROWS: usize = 14;

impl Workload<'_> {
    /// Rows before anyone subscribes.
    pub fn fill(&self, dice: &mut Dice) -> Vec<String> {
        let mut out = Vec::new();
        for table in &self.schema.tables {
            for _ in 0..dice.between(ROWS / 2, 2 * ROWS) {
                out.push(self.insert(dice, table, " on conflict do nothing"));
            }
        }
        out
    }

    /// The transactions of one writer.
    pub fn writer(&self, dice: &mut Dice, writer: usize, count: usize) -> Vec<Transaction> {
        (0..count).map(|number| self.transaction(dice, &format!("w{writer}_{number}"))).collect()
    }

    fn transaction(&self, dice: &mut Dice, name: &str) -> Transaction {
        let mut parts = Vec::new();
        if dice.chance(0.08) {
            let level = *dice.pick(&["repeatable read", "serializable"]);
            parts.push(Part::Run(format!("set transaction isolation level {level}")));
        }
        for _ in 0..dice.weighted(&[0, 8, 4, 2, 2, 1]) {
            let part = match dice.weighted(&[8, 2, 1]) {
                0 => Part::Run(self.statement(dice)),
                1 => Part::Savepoint {
                    statements: (0..dice.between(1, 3)).map(|_| self.statement(dice)).collect(),
                    keep: dice.chance(0.5),
                },
                // Lets others commit between two statements of this transaction.
                _ => {
                    let milliseconds = if dice.chance(0.1) { dice.between(50, 250) } else { dice.between(1, 12) };
                    Part::Run(format!("select pg_sleep({})", milliseconds as f64 / 1000.0))
                }
            };
            parts.push(part);
        }
        let end = match dice.weighted(&[16, 3, 1]) {
            0 => End::Commit,
            1 => End::Rollback,
            _ => End::Prepare(name.to_owned()),
        };
        Transaction { parts, end }
    }

    fn statement(&self, dice: &mut Dice) -> String {
        let table = dice.pick(&self.schema.tables);
        match dice.weighted(&[28, 6, 30, 8, 8, 11, 2, 3, 2]) {
            0 => {
                let conflict = *dice.pick(&["", " on conflict do nothing", " on conflict do nothing"]);
                self.insert(dice, table, conflict)
            }
            1 => self.upsert(dice, table),
            2 => self.update(dice, table, &table.plain_columns()),
            3 => self.update(dice, table, &key_columns(table)),
            4 => self.update(dice, table, &reference_columns(table)),
            5 => format!("delete from {} where {}", table.ident(), self.rows(dice, table)),
            6 => self.truncate(dice, table),
            7 => self.no_op(dice, table),
            _ => self.many(dice, table),
        }
    }

    fn insert(&self, dice: &mut Dice, table: &Table, conflict: &str) -> String {
        let all: Vec<usize> = (0..table.columns.len()).collect();
        let rows: Vec<String> = (0..dice.weighted(&[0, 6, 2, 1])).map(|_| self.row(dice, table)).collect();
        let columns = list(&table.columns, &all);
        format!("insert into {} ({columns}) values {}{conflict}", table.ident(), rows.join(", "))
    }

    fn upsert(&self, dice: &mut Dice, table: &Table) -> String {
        if table.key.is_empty() {
            return self.insert(dice, table, "");
        }
        let plain = table.plain_columns();
        let sets = dice.some(&plain, 0.6);
        if sets.is_empty() {
            return self.insert(dice, table, " on conflict do nothing");
        }
        let sets: Vec<String> = sets
            .iter()
            .map(|&index| {
                let name = table.columns[index].ident();
                format!("{name} = excluded.{name}")
            })
            .collect();
        let key = list(&table.columns, &table.key);
        self.insert(dice, table, &format!(" on conflict ({key}) do update set {}", sets.join(", ")))
    }

    fn update(&self, dice: &mut Dice, table: &Table, columns: &[usize]) -> String {
        let mut chosen = dice.some(columns, 0.5);
        if chosen.is_empty() {
            chosen = if columns.is_empty() {
                vec![dice.between(0, table.columns.len() - 1)]
            } else {
                vec![*dice.pick(columns)]
            };
        }
        let sets: Vec<String> = chosen
            .iter()
            .map(|&index| format!("{} = {}", table.columns[index].ident(), self.cell(dice, table, index)))
            .collect();
        format!("update {} set {} where {}", table.ident(), sets.join(", "), self.rows(dice, table))
    }

    fn truncate(&self, dice: &mut Dice, table: &Table) -> String {
        // Often enough to be seen, seldom enough to leave something to see.
        if dice.chance(0.6) {
            return format!("delete from {} where {}", table.ident(), self.rows(dice, table));
        }
        let leaves = table.leaves();
        let target = if leaves.len() > 1 && dice.chance(0.8) { dice.pick(&leaves).clone() } else { table.ident() };
        // Without `cascade` Postgres refuses a table that a foreign key points at, enforced or not.
        let cascade = if dice.chance(0.7) { " cascade" } else { "" };
        format!("truncate {target}{cascade}")
    }

    fn no_op(&self, dice: &mut Dice, table: &Table) -> String {
        let column = dice.pick(&table.columns).ident();
        format!("update {} set {column} = {column} where {}", table.ident(), self.rows(dice, table))
    }

    /// Statements that touch many rows at once.
    fn many(&self, dice: &mut Dice, table: &Table) -> String {
        if table.key.is_empty() && dice.chance(0.4) {
            return format!(
                "insert into {0} select * from {0} order by {0}::text collate \"C\" limit 2",
                table.ident()
            );
        }
        let columns = table.plain_columns();
        if columns.is_empty() {
            return self.no_op(dice, table);
        }
        let index = *dice.pick(&columns);
        format!("update {} set {} = {}", table.ident(), table.columns[index].ident(), self.cell(dice, table, index))
    }

    /// A condition that finds a few rows, or none.
    fn rows(&self, dice: &mut Dice, table: &Table) -> String {
        let equals = |dice: &mut Dice, column: &Column| format!("{} = {}", column.ident(), column.value(dice).sql);
        let keyed: Vec<&Column> = table.columns.iter().filter(|column| column.domain.is_some()).collect();
        let column = *dice.pick(&keyed);
        match dice.weighted(&[6, 2, 1]) {
            0 => equals(dice, column),
            1 => format!("{} in ({}, {})", column.ident(), column.value(dice).sql, column.value(dice).sql),
            _ => {
                let compares = |column: &&Column| column.kind.compares();
                let columns: Vec<&Column> = table.columns.iter().filter(compares).collect();
                equals(dice, dice_column(&columns, column))
            }
        }
    }

    fn row(&self, dice: &mut Dice, table: &Table) -> String {
        let cells: Vec<String> = (0..table.columns.len()).map(|index| self.cell(dice, table, index)).collect();
        format!("({})", cells.join(", "))
    }

    /// A value for a column; where references are enforced, mostly one that exists.
    fn cell(&self, dice: &mut Dice, table: &Table, index: usize) -> String {
        let column = &table.columns[index];
        if column.nullable && dice.chance(0.15) {
            return "null".into();
        }
        let reference = table.references.iter().find(|reference| reference.columns == [index]);
        match reference {
            Some(reference) if self.schema.enforced && dice.chance(0.8) => {
                let target = &self.schema.tables[reference.target];
                let key = target.columns[target.key[0]].ident();
                let salt = dice.between(0, 999);
                format!("(select {key} from {} order by md5({key}::text || '{salt}') limit 1)", target.ident())
            }
            _ => {
                let Literal { sql, .. } = column.value(dice);
                // A large text must differ in content too, or Postgres sees that nothing changed.
                if column.kind == Kind::Blob { format!("({sql} || '{}')", dice.between(0, 9)) } else { sql }
            }
        }
    }
}

fn dice_column<'a>(columns: &[&'a Column], fallback: &'a Column) -> &'a Column {
    columns.last().copied().unwrap_or(fallback)
}

fn key_columns(table: &Table) -> Vec<usize> {
    table.key.iter().copied().chain(table.unique).collect()
}

fn reference_columns(table: &Table) -> Vec<usize> {
    table.references.iter().flat_map(|reference| reference.columns.iter().copied()).collect()
}
