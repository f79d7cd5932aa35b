//! A case of the oracle as plain data: what to build, whom to serve, what to write.
//!
//! A generator makes one from a seed; a failing one is written to a file as it is, so that it can be run again after the
//! generator has changed. Writers run side by side, so a case does not fix their interleaving.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::dice::Dice;
use super::naive_sql::NaiveSql;
use super::query::NODES;
use super::schema_gen::Schema;
use super::workload::Workload;
use super::{query_gen, query_json};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Case {
    pub seed: u64,
    /// Settings of the primary database, as `name = value`; a server must not be impressed by them.
    pub settings: Vec<String>,
    /// Whether the databases sort by a language's rules instead of by code point.
    pub icu: bool,
    /// Statements that make the schema.
    pub ddl: Vec<String>,
    /// Transactions before the server starts.
    pub fill: Vec<String>,
    /// Statements that begin a writer's session.
    pub session: Vec<String>,
    /// `queries` and `tables` of the configuration.
    pub config: Value,
    /// Source texts of the nodes, in JavaScript, by name.
    #[serde(default)]
    pub nodes: BTreeMap<String, String>,
    pub subscriptions: Vec<Subscription>,
    pub writers: Vec<Vec<Transaction>>,
    /// After so many transactions the replication connection is cut; the server has to start a new stream.
    #[serde(default)]
    pub cuts: Vec<usize>,
}

/// One document to follow, and the SQL that gives it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Subscription {
    pub path: String,
    pub sql: String,
    /// How the client behaves.
    pub client: u64,
}

/// What a writer does between two commits. A statement that fails ends the part it stands in: a savepoint is rolled
/// back to, anything else is rolled back altogether.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Transaction {
    pub parts: Vec<Part>,
    pub end: End,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Part {
    Run(String),
    Savepoint { statements: Vec<String>, keep: bool },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    Commit,
    Rollback,
    /// `PREPARE TRANSACTION` under this name, then `COMMIT PREPARED`.
    Prepare(String),
}

/// How large a case is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub writers: usize,
    /// For each writer.
    pub transactions: usize,
    pub queries: usize,
    pub subscriptions: usize,
}

impl Size {
    /// Mostly small, so that many schemas and queries are met; now and then large, so that much happens at once.
    pub fn of_seed(seed: u64) -> Size {
        match seed % 10 {
            7 => Size { writers: 6, transactions: 60, queries: 6, subscriptions: 24 },
            _ => Size::default(),
        }
    }
}

impl Default for Size {
    fn default() -> Self {
        Size { writers: 3, transactions: 30, queries: 4, subscriptions: 9 }
    }
}

/// Settings that change the text of values, or its order, wherever a session does not pin them.
const SETTINGS: [&str; 6] = [
    "timezone = 'Asia/Kathmandu'",
    "datestyle = 'German'",
    "extra_float_digits = -5",
    "intervalstyle = 'sql_standard'",
    "bytea_output = 'escape'",
    "default_transaction_isolation = 'serializable'",
];

impl Case {
    /// The case of a seed; with nodes if that is asked for.
    pub fn generate(seed: u64, size: Size, with_nodes: bool) -> Case {
        let mut dice = Dice::new(seed);
        let settings = if dice.chance(0.4) { dice.some(&SETTINGS.map(str::to_owned), 0.5) } else { Vec::new() };
        let icu = dice.chance(0.4);
        let schema = Schema::generate(&mut dice.split());
        let ddl = schema.ddl(&mut dice.split());
        let (config, subscriptions) = documents(&mut dice.split(), &schema, size, with_nodes);
        let workload = Workload { schema: &schema };
        let fill = workload.fill(&mut dice.split());
        let writers =
            (0..size.writers).map(|writer| workload.writer(&mut dice.split(), writer, size.transactions)).collect();
        let total = size.writers * size.transactions;
        let cuts = if dice.chance(0.2) {
            (0..dice.between(1, 3)).map(|_| dice.between(1, total)).collect()
        } else {
            Vec::new()
        };
        let role = if schema.enforced { "origin" } else { "replica" };
        let session = vec![
            format!("set session_replication_role = '{role}'"),
            "set lock_timeout = '2s'".to_owned(),
            "set default_transaction_isolation = 'read committed'".to_owned(),
        ];
        let nodes =
            NODES.iter().filter(|_| with_nodes).map(|(name, source)| ((*name).to_owned(), (*source).to_owned()));
        Case { seed, settings, icu, ddl, fill, session, config, nodes: nodes.collect(), subscriptions, writers, cuts }
    }
}

fn documents(dice: &mut Dice, schema: &Schema, size: Size, nodes: bool) -> (Value, Vec<Subscription>) {
    let rules = query_gen::rules(dice, schema);
    let mut config = json!({ "queries": {}, "tables": {} });
    for (index, rule) in rules.iter().enumerate() {
        if let Some(value) = query_json::rule(schema, index, rule) {
            config["tables"][&schema.tables[index].name] = value;
        }
    }
    let queries: Vec<_> = (0..size.queries)
        .map(|n| query_gen::query(&mut dice.split(), schema, &rules, format!("q{n}"), nodes))
        .collect();
    for query in &queries {
        config["queries"][&query.name] = query_json::query(schema, query);
    }
    let subscriptions = (0..size.subscriptions)
        .map(|number| {
            let query = &queries[number % queries.len()];
            let (bindings, path) = query_gen::binding(dice, query);
            let sql = NaiveSql { schema, rules: &rules, query, bindings: &bindings }.statement();
            Subscription { path, sql, client: dice.between(0, usize::MAX >> 1) as u64 }
        })
        .collect();
    (config, subscriptions)
}
