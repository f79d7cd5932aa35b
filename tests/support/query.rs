//! A query as the oracle sees it: the syntax tree that is generated, written as configuration, and translated to SQL.
//!
//! It is made apart from the product's own syntax tree on purpose: two readings of the language that share no code.

use super::kinds::{Kind, Literal};
use super::schema_gen::{Column, Identity, Schema, Table};

pub struct Query {
    pub name: String,
    pub params: Vec<Param>,
    pub root: Level,
}

/// A parameter of a query.
pub struct Param {
    pub name: String,
    pub kind: Kind,
    /// Where its values are drawn from.
    pub column: Option<Column>,
    pub form: Form,
    /// A segment of the route, else a key of the query string.
    pub in_route: bool,
    pub default: Option<Literal>,
    pub optional: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Compared with a column.
    Scalar,
    /// The list of an `in`.
    Array,
    /// A limit or an offset.
    Count,
}

/// What a parameter is bound to: one literal, for an array any number; `None` if it is optional and absent.
pub type Binding = Option<Vec<Literal>>;

/// A list of rows of one table, or the one object of a `get`.
pub struct Level {
    pub table: usize,
    pub get: Vec<(usize, Operand)>,
    /// All must hold.
    pub conditions: Vec<Condition>,
    pub order: Vec<Order>,
    pub offset: Option<Operand>,
    pub limit: Option<Operand>,
    /// Columns and the names they get; `None`: all that are not hidden.
    pub select: Option<Vec<(usize, String)>>,
    pub children: Vec<Child>,
    pub steps: Vec<Step>,
}

pub struct Child {
    pub field: String,
    pub link: Link,
    /// Whether the configuration leaves the link to be inferred.
    pub inferred: bool,
    pub one: bool,
    pub level: Level,
}

pub enum Link {
    /// Pairs of a child's and a parent's column.
    On(Vec<(usize, usize)>),
    Through {
        table: usize,
        /// Pairs of a join table's and a parent's column.
        parent: Vec<(usize, usize)>,
        /// Pairs of a join table's and a child's column.
        child: Vec<(usize, usize)>,
        /// Whether the names of the other side's columns are written, rather than left to the foreign key.
        spelled: bool,
        conditions: Vec<Condition>,
        /// Columns of the join row that the element gets, and the names they get there.
        select: Vec<(usize, String)>,
    },
}

pub enum Step {
    Where(Vec<Condition>),
    /// Conditions on the row and on what the join row has added, the latter's columns being those of [`Link::added`].
    WhereJoined {
        row: Vec<Condition>,
        join: Vec<Condition>,
    },
    OrderBy(Vec<Order>),
    Offset(Operand),
    Limit(Operand),
    /// Columns by their new names, then children by theirs.
    Select(Vec<(usize, String)>),
    /// The node `at-least` on a column.
    Filter {
        column: usize,
        least: Operand,
    },
    /// The node `score` on a column.
    Map {
        column: usize,
        add: Operand,
        into: String,
    },
    /// The node `tally` on the list; it looks at this computed field.
    Reduce {
        field: String,
    },
}

/// The nodes of generated queries, in JavaScript; `naive_sql` has the same in SQL.
pub const NODES: [(&str, &str); 3] = [
    (
        "at-least",
        "export function keep(row, args) { const [v] = Object.values(row); return v !== null && v >= args.least; }",
    ),
    (
        "score",
        "export function transform(row, args) { const [v] = Object.values(row); return v === null ? null : (v * 7 + args.add) % 5; }",
    ),
    (
        "tally",
        "export function reduce(rows, args) { return { count: rows.length, values: rows.map((row) => row[args.field] ?? null) }; }",
    ),
];

/// What an order is by.
#[derive(Clone, PartialEq, Eq)]
pub enum By {
    Column(usize),
    /// A field that the join row has added: a column of [`Link::added`].
    Joined(usize),
    /// A field that `score` has added: an integer or null.
    Computed(String),
}

#[derive(Clone)]
pub struct Order {
    pub by: By,
    pub descending: bool,
    pub nulls_first: Option<bool>,
}

#[derive(Clone)]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    /// On a field that `score` has added.
    Computed {
        field: String,
        comparison: &'static Comparison,
        with: Literal,
    },
    Column {
        column: usize,
        test: Test,
        /// Written inside `columns: {}`.
        wrapped: bool,
    },
}

#[derive(Clone)]
pub enum Test {
    IsNull { negated: bool },
    Compare(&'static Comparison, Operand),
    In { negated: bool, list: List },
    Like { fold: bool, pattern: Operand },
    Contains(Literal),
    Overlaps(Literal),
}

/// A comparison in the query language and in SQL.
pub struct Comparison {
    pub name: &'static str,
    pub sql: &'static str,
}

pub const COMPARISONS: [Comparison; 6] = [
    Comparison { name: "eq", sql: "=" },
    Comparison { name: "ne", sql: "<>" },
    Comparison { name: "lt", sql: "<" },
    Comparison { name: "lte", sql: "<=" },
    Comparison { name: "gt", sql: ">" },
    Comparison { name: "gte", sql: ">=" },
];

#[derive(Clone)]
pub enum Operand {
    Constant(Literal),
    Param(usize),
}

#[derive(Clone)]
pub enum List {
    Constants(Vec<Literal>),
    Param(usize),
}

/// What holds wherever a table is used.
#[derive(Default)]
pub struct Rule {
    pub conditions: Vec<Condition>,
    pub hidden: Vec<usize>,
}

impl Link {
    /// What the join row adds to the element, as a table: by the names its columns have, or by those they get.
    pub fn added(&self, schema: &Schema, renamed: bool) -> Option<Table> {
        let Link::Through { table, select, .. } = self else { return None };
        let columns = select.iter().map(|(index, name)| {
            let column = schema.tables[*table].columns[*index].clone();
            if renamed { Column { name: name.clone(), ..column } } else { column }
        });
        let added = Table {
            name: schema.tables[*table].name.clone(),
            columns: columns.collect(),
            key: Vec::new(),
            unique: None,
            identity: Identity::Full,
            partitions: None,
            references: Vec::new(),
        };
        (!select.is_empty()).then_some(added)
    }
}

impl Condition {
    /// Whether it uses a parameter that this binding leaves out.
    pub fn absent(&self, bindings: &[Binding]) -> bool {
        let missing = |operand: &Operand| matches!(operand, Operand::Param(index) if bindings[*index].is_none());
        match self {
            Condition::Column { test: Test::Compare(_, operand) | Test::Like { pattern: operand, .. }, .. } => {
                missing(operand)
            }
            Condition::Column { test: Test::In { list: List::Param(index), .. }, .. } => bindings[*index].is_none(),
            _ => false,
        }
    }
}
