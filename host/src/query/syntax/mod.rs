//! The syntax tree: a query as it was written, before anything is known of the database.
//!
//! One tree for YAML and JSON. Names are kept with their places, so that resolving can say where a wrong one stands.
//! Nothing here is checked against tables; `read` only refuses what no database could make right.

mod condition;
mod query;
mod read;
mod steps;

use std::fmt;

pub use condition::{Condition, OPERATORS, Op, read_condition};
pub use query::read_query;
pub use read::{read_count, read_operand, read_order, read_select};
pub use steps::{CALL, MAP_CALL, STEP};

use super::fields::Keys;
use super::problem::Place;
use super::tree::{Name, Tree};

/// Keys of a query.
pub const QUERY: Keys = Keys {
    known: &[
        "route", "params", "allow", "from", "get", "where", "order_by", "offset", "limit", "with", "steps", "select",
        "one",
    ],
    later: LATER,
};

/// Keys of a nested query.
pub const CHILD: Keys = Keys {
    known: &["from", "on", "through", "one", "where", "order_by", "offset", "limit", "with", "steps", "select"],
    later: LATER,
};

/// Reserved keys of queries.
const LATER: &[&str] = &["exists", "aggregate", "group_by", "distinct", "collate"];

/// Keys of a declared parameter.
pub const PARAM: Keys = Keys { known: &["type", "default", "optional", "min", "max", "choose"], later: &[] };

/// Keys of `through`, when it is a mapping.
pub const THROUGH: Keys = Keys { known: &["table", "parent", "child", "where", "select"], later: &["on"] };

/// Keys of a term of `order_by`, when it is a mapping.
pub const ORDER: Keys = Keys { known: &["by", "desc", "nulls"], later: &["collate"] };

/// Keys of the URL's query string that the server keeps for itself.
pub const RESERVED: &[&str] = &["revision", "after", "format", "access_token"];

/// What holds wherever a table is used.
#[derive(Clone, Debug)]
pub struct TableRule {
    pub table: Name,
    pub condition: Option<Condition>,
    /// Columns no document and no node may see.
    pub hide: Vec<Name>,
    /// Whether `rls: ignore` was written: its row-level security is known not to apply.
    pub ignore_rls: bool,
}

/// A query of the configuration.
#[derive(Clone, Debug)]
pub struct Query {
    pub name: Name,
    pub route: Route,
    pub params: Vec<ParamDecl>,
    pub allow: Option<Allow>,
    pub body: Body,
}

/// A path with open segments.
#[derive(Clone, Debug)]
pub struct Route {
    pub text: Name,
    pub segments: Vec<Segment>,
}

/// One segment of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Exactly this text.
    Literal(String),
    /// Any text that is not empty: the parameter of this name.
    Param(String),
}

/// Who may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    Anyone,
}

/// A declared parameter.
#[derive(Clone, Debug)]
pub struct ParamDecl {
    pub name: Name,
    pub ty: Option<Name>,
    pub default: Option<Tree>,
    pub optional: bool,
    /// The least value, or for an array the least number of elements.
    pub min: Option<Tree>,
    /// The greatest value, or for an array the greatest number of elements.
    pub max: Option<Tree>,
    /// Names a client may choose between, each with the order it stands for.
    pub choose: Option<Vec<(Name, Vec<Term>)>>,
}

/// What queries and nested queries share.
#[derive(Clone, Debug)]
pub struct Body {
    pub place: Place,
    pub from: Name,
    pub get: Option<Vec<(Name, Operand)>>,
    pub condition: Option<Condition>,
    pub order_by: Option<OrderBy>,
    pub offset: Option<Count>,
    pub limit: Option<Count>,
    pub with: Vec<Child>,
    pub steps: Vec<Step>,
    pub select: Option<Vec<Pick>>,
    /// An object or null instead of a list.
    pub one: bool,
}

/// A query nested under each element of another.
#[derive(Clone, Debug)]
pub struct Child {
    pub field: Name,
    pub join: Join,
    pub body: Body,
}

/// How a nested query's rows belong to the parent's.
#[derive(Clone, Debug)]
pub enum Join {
    /// By a foreign key between the two tables.
    Inferred,
    /// By equality of these columns: the child's, then the parent's.
    On(Vec<(Name, Name)>),
    /// By rows of a third table.
    Through(Through),
}

/// A join table between parent and child.
#[derive(Clone, Debug)]
pub struct Through {
    pub table: Name,
    /// Which of its columns name the parent.
    pub parent: Option<Side>,
    /// Which of its columns name the child.
    pub child: Option<Side>,
    pub condition: Option<Condition>,
    /// Columns of the join row that are added to the element.
    pub select: Vec<Pick>,
}

/// Columns of a join table that name a row of another.
#[derive(Clone, Debug)]
pub enum Side {
    /// Its columns; the other table's are those of the foreign key, else of the primary key.
    Columns(Vec<Name>),
    /// Its columns and the other table's.
    Pairs(Vec<(Name, Name)>),
}

/// A selected field, and what it is called in the element.
#[derive(Clone, Debug)]
pub struct Pick {
    pub name: Name,
    pub title: Name,
}

/// A term of an order.
#[derive(Clone, Debug)]
pub struct Term {
    pub by: Name,
    pub descending: bool,
    /// As in Postgres: last ascending, first descending, unless said.
    pub nulls_first: bool,
}

/// An order.
#[derive(Clone, Debug)]
pub enum OrderBy {
    Terms(Vec<Term>),
    /// The client's choice: a parameter declared with `choose`.
    Chosen(Name),
}

/// A number of elements.
#[derive(Clone, Debug)]
pub enum Count {
    Fixed(u64),
    Param(Place, Param),
}

/// A step on the elements.
#[derive(Clone, Debug)]
pub enum Step {
    Filter(Call),
    Map { call: Call, into: Option<Name> },
    Reduce(Call),
    Where(Condition),
    Select(Vec<Pick>),
    OrderBy(OrderBy),
    Offset(Count),
    Limit(Count),
}

/// A call of a node.
#[derive(Clone, Debug)]
pub struct Call {
    pub node: Name,
    pub args: Vec<(Name, Operand)>,
    pub input: Option<Vec<Pick>>,
}

/// A value that something is compared with, or an argument.
#[derive(Clone, Debug)]
pub struct Operand {
    pub place: Place,
    pub kind: OperandKind,
}

/// See [`Operand`].
#[derive(Clone, Debug)]
pub enum OperandKind {
    /// A value without parameters in it.
    Literal(Tree),
    Param(Param),
    /// A list that has parameters among its items.
    List(Vec<Operand>),
}

/// A parameter's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Param {
    /// `$name`: of the route, else of the URL's query string.
    Named(String),
    /// `$auth.path`: of the verified token alone.
    Claim(Vec<String>),
}

impl fmt::Display for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Param::Named(name) => write!(f, "${name}"),
            Param::Claim(path) => write!(f, "$auth.{}", path.join(".")),
        }
    }
}
