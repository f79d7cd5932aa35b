//! What the database says about its tables: what queries are resolved against, and what the source checks the stream by.
//!
//! Read once at start and again when the fingerprint of a table changes; the pure layers see only this. It holds every
//! table, view and foreign table outside Postgres's own schemas, also those a query may not use, so that an error can say
//! why. Column lists are indexes into [`CatalogueTable::columns`], never attribute numbers: these have holes, and differ
//! between a partitioned table and its leaves.

use std::collections::HashMap;
use std::sync::Arc;

use super::ColumnType;

/// All tables of the database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalogue {
    /// Sorted by schema, then name.
    pub tables: Vec<CatalogueTable>,
    /// The server's version as `server_version_num` has it, such as 150013.
    pub server_version: u32,
    /// Types a parameter may be declared with, by each name SQL knows them by (`int4`, `integer`, `public."Mood"`); the
    /// array of a type `t` also by `t[]`. Types in `pg_catalog` and `public` also stand without their schema.
    pub types: HashMap<Arc<str>, Arc<ColumnType>>,
}

/// A relation with rows, or something that looks like one.
#[derive(Clone, Debug, PartialEq)]
pub struct CatalogueTable {
    pub oid: u32,
    pub schema: Arc<str>,
    pub name: Arc<str>,
    pub kind: TableKind,
    /// In the order of their attribute numbers, without dropped ones.
    pub columns: Vec<CatalogueColumn>,
    /// The primary key's columns, in key order.
    pub primary_key: Option<Vec<usize>>,
    /// Whether the primary key is checked only at the end of a transaction: then it identifies no row within one.
    pub primary_key_deferrable: bool,
    /// Unique constraints and plain unique indexes (no expression, no condition), without the primary key.
    pub unique: Vec<UniqueKey>,
    /// Foreign keys that this table has; inherited ones of a partition too.
    pub foreign_keys: Vec<ForeignKey>,
    /// What `REPLICA IDENTITY` was declared. Of a partitioned table only its leaves' counts: see
    /// [`CatalogueTable::row_identity`].
    pub identity: ReplicaIdentity,
    /// Whether row-level security is enabled or forced.
    pub row_security: bool,
    /// A partitioned table's leaves, at any depth, sorted by oid. Empty for all others.
    pub leaves: Vec<Leaf>,
    /// Whether it has a parent or children by `INHERITS` outside partitioning.
    pub inherits: bool,
    /// For a partition: the oid of the topmost partitioned table.
    pub partition_of: Option<u32>,
}

/// One column.
#[derive(Clone, Debug, PartialEq)]
pub struct CatalogueColumn {
    pub name: Arc<str>,
    pub ty: Arc<ColumnType>,
    pub not_null: bool,
    /// `GENERATED ALWAYS AS (...)`, stored or virtual: not in the stream before Postgres 18, so never in use.
    pub generated: bool,
}

/// What a relation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// A plain, logged table; also a partition.
    Table,
    /// A partitioned table: its rows are in its leaves.
    Partitioned,
    /// Its rows are not in the write-ahead log.
    Unlogged,
    View,
    MaterializedView,
    Foreign,
}

/// Columns whose values no two rows share, nulls aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniqueKey {
    pub name: Arc<str>,
    pub columns: Vec<usize>,
}

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    pub name: Arc<str>,
    pub columns: Vec<usize>,
    /// The oid of the table it points at.
    pub references: u32,
    /// Columns of that table (indexes into its columns), one for each of `columns`.
    pub referenced_columns: Vec<usize>,
}

/// `ALTER TABLE ... REPLICA IDENTITY`, as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// The primary key, if there is one that is not deferrable.
    Default,
    /// The whole row.
    Full,
    Nothing,
    /// A unique index on these columns. (If that index was dropped since, it is `Nothing`.)
    Index(Vec<usize>),
}

/// A leaf of a partitioned table: a relation that stores rows, with an identity of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub oid: u32,
    pub schema: Arc<str>,
    pub name: Arc<str>,
    pub kind: TableKind,
    /// In columns of the root.
    pub identity: ReplicaIdentity,
    /// The leaf's own primary key, in columns of the root, if it is not deferrable.
    pub primary_key: Option<Vec<usize>>,
}

/// What tells rows of a table apart in the stream, in columns of the catalogue's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowIdentity {
    /// The values of these columns.
    Columns(Vec<usize>),
    /// The whole row; equal rows are counted.
    Bag,
}

/// Why a table cannot be followed, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("table \"{table}\" has no primary key: run {remedy}")]
    NoKey { table: String, remedy: String },
    #[error("table \"{table}\" has REPLICA IDENTITY NOTHING: run {remedy}")]
    Nothing { table: String, remedy: String },
    #[error("the partitions of table \"{table}\" have different replica identities (see \"{leaf}\"): run {remedy}")]
    Mixed { table: String, leaf: String, remedy: String },
}

impl Catalogue {
    /// The table with exactly this schema and name.
    pub fn find(&self, schema: &str, name: &str) -> Option<&CatalogueTable> {
        self.tables.iter().find(|table| &*table.schema == schema && &*table.name == name)
    }

    /// The table with this oid.
    pub fn by_oid(&self, oid: u32) -> Option<&CatalogueTable> {
        self.tables.iter().find(|table| table.oid == oid)
    }

    /// The type that SQL knows by `name`, for a declared parameter.
    pub fn find_type(&self, name: &str) -> Option<&Arc<ColumnType>> {
        self.types.get(name.trim())
    }
}

impl CatalogueTable {
    /// `schema.name`, or `name` in `public`: how configuration and messages name it.
    pub fn label(&self) -> String {
        label(&self.schema, &self.name)
    }

    /// The index of the column called `name`.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| &*column.name == name)
    }

    /// What identifies a row in the stream, the same for every relation that stores rows of this table.
    ///
    /// A relation with identity `FULL` tells every column, so it can serve whatever the others have; the primary key is
    /// preferred, because a bag costs a whole row per identity. A deferrable primary key identifies nothing: inside a
    /// transaction two rows may share it.
    pub fn row_identity(&self) -> Result<RowIdentity, IdentityError> {
        let own = self.primary_key.as_deref().filter(|_| !self.primary_key_deferrable);
        if self.kind != TableKind::Partitioned || self.leaves.is_empty() {
            return match told(&self.identity, own) {
                Told::Columns(columns) => Ok(RowIdentity::Columns(columns.to_vec())),
                Told::Everything => Ok(whole_or_key(own)),
                Told::Nothing => Err(self.no_identity(&self.schema, &self.name, &self.identity)),
            };
        }
        let mut common: Option<&[usize]> = None;
        for leaf in &self.leaves {
            match told(&leaf.identity, leaf.primary_key.as_deref()) {
                Told::Columns(columns) => match common {
                    None => common = Some(columns),
                    Some(have) if same_columns(have, columns) => {}
                    Some(_) => {
                        let remedy = alter_full(&leaf.schema, &leaf.name);
                        return Err(IdentityError::Mixed {
                            table: self.label(),
                            leaf: label(&leaf.schema, &leaf.name),
                            remedy,
                        });
                    }
                },
                Told::Everything => {}
                Told::Nothing => return Err(self.no_identity(&leaf.schema, &leaf.name, &leaf.identity)),
            }
        }
        Ok(common.map_or_else(|| whole_or_key(own), |columns| RowIdentity::Columns(columns.to_vec())))
    }

    fn no_identity(&self, schema: &str, name: &str, identity: &ReplicaIdentity) -> IdentityError {
        let (table, remedy) = (label(schema, name), alter_full(schema, name));
        match identity {
            ReplicaIdentity::Default => IdentityError::NoKey { table, remedy },
            _ => IdentityError::Nothing { table, remedy },
        }
    }
}

/// What old tuples tell of a relation's rows.
enum Told<'a> {
    Columns(&'a [usize]),
    Everything,
    Nothing,
}

fn told<'a>(identity: &'a ReplicaIdentity, primary_key: Option<&'a [usize]>) -> Told<'a> {
    match (identity, primary_key) {
        (ReplicaIdentity::Full, _) => Told::Everything,
        (ReplicaIdentity::Index(columns), _) => Told::Columns(columns),
        (ReplicaIdentity::Default, Some(columns)) => Told::Columns(columns),
        (ReplicaIdentity::Default, None) | (ReplicaIdentity::Nothing, _) => Told::Nothing,
    }
}

fn whole_or_key(primary_key: Option<&[usize]>) -> RowIdentity {
    primary_key.map_or(RowIdentity::Bag, |columns| RowIdentity::Columns(columns.to_vec()))
}

fn same_columns(a: &[usize], b: &[usize]) -> bool {
    a.len() == b.len() && a.iter().all(|column| b.contains(column))
}

fn label(schema: &str, name: &str) -> String {
    if schema == "public" { name.to_string() } else { format!("{schema}.{name}") }
}

fn alter_full(schema: &str, name: &str) -> String {
    format!("ALTER TABLE {}.{} REPLICA IDENTITY FULL", quote_identifier(schema), quote_identifier(name))
}

/// A name as SQL needs it: quoted, unless it is plainly a lower-case word. (Reserved words are quoted too: everything
/// that is not known to be harmless is.)
pub fn quote_identifier(name: &str) -> String {
    const PLAIN: fn(u8) -> bool = |b| b.is_ascii_lowercase() || b == b'_';
    let word = name.bytes().next().is_some_and(PLAIN) && name.bytes().all(|b| PLAIN(b) || b.is_ascii_digit());
    if word && !RESERVED.contains(&name) { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Words of SQL that cannot be a name without quotes (Postgres, appendix "SQL Key Words": reserved, and those that cannot
/// be a function or type).
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "both",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "dec",
    "decimal",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "float",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "greatest",
    "group",
    "grouping",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "inout",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "least",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "national",
    "natural",
    "nchar",
    "none",
    "normalize",
    "not",
    "notnull",
    "null",
    "nullif",
    "numeric",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "out",
    "outer",
    "overlaps",
    "overlay",
    "placing",
    "position",
    "precision",
    "primary",
    "real",
    "references",
    "returning",
    "right",
    "row",
    "select",
    "session_user",
    "setof",
    "similar",
    "smallint",
    "some",
    "substring",
    "symmetric",
    "system_user",
    "table",
    "tablesample",
    "then",
    "time",
    "timestamp",
    "to",
    "trailing",
    "treat",
    "trim",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlnamespaces",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
];
