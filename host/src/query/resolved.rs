//! Queries whose names, types and joins are known, but whose parts are not shared yet.
//!
//! Columns are indexes into the catalogue's table, parameters indexes into the query's own list; compiling turns both
//! into the plan's.

use std::sync::Arc;

use super::problem::{Path, Place};
use super::syntax::Param;
use crate::data::{ColumnType, Expr, Field, KeyClass};
use crate::dataflow::plan::{Arg, Count, NodeId, OrderBy};
use crate::query::tree::Tree;

/// A query that can be served.
#[derive(Clone, Debug)]
pub struct ResolvedQuery {
    pub name: Arc<str>,
    pub params: Vec<ResolvedParam>,
    pub list: ResolvedList,
    pub warnings: Vec<Warning>,
}

/// Something a query may be, but hardly should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub place: Place,
    pub path: Path,
    pub message: String,
    /// Of long numbers: what becomes of them is for the language of this node to say, and belongs to the message.
    pub numbers: Option<NodeNumbers>,
}

impl Warning {
    pub fn new(place: Place, path: &Path, message: impl Into<String>) -> Self {
        Warning { place, path: path.clone(), message: message.into(), numbers: None }
    }
}

/// Long numbers that a node is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeNumbers {
    pub node: NodeId,
    /// They have no fraction.
    pub are_integers: bool,
}

/// A parameter of a query.
#[derive(Clone, Debug)]
pub struct ResolvedParam {
    pub origin: Origin,
    pub place: Place,
    /// Its type; `None` for one that chooses.
    pub ty: Option<Arc<ColumnType>>,
    /// Taken when the request has none.
    pub default: Option<Tree>,
    /// Whether conditions that use it are left out when the request has none.
    pub optional: bool,
    pub min: Option<Tree>,
    pub max: Option<Tree>,
    /// Whether it is a number of elements somewhere, which is at least 0.
    pub counts: bool,
    /// The names it chooses between.
    pub choices: Option<Vec<String>>,
}

/// Where a parameter's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A segment of the route.
    Route(String),
    /// The URL's query string.
    Query(String),
    /// The verified token.
    Claim(Vec<String>),
    /// A literal of the configuration that only Postgres can read.
    Literal(String),
}

impl Origin {
    /// As the configuration writes it.
    pub fn label(&self) -> String {
        match self {
            Origin::Route(name) | Origin::Query(name) => Param::Named(name.clone()).to_string(),
            Origin::Claim(path) => Param::Claim(path.clone()).to_string(),
            Origin::Literal(text) => format!("\"{text}\""),
        }
    }
}

impl ResolvedParam {
    /// Whether every bound request has a value for it.
    pub fn is_certain(&self) -> bool {
        !self.optional
    }
}

/// A list, nested or at the root.
#[derive(Clone, Debug)]
pub struct ResolvedList {
    /// Index into the catalogue's tables.
    pub table: usize,
    pub source: Source,
    /// What rows must meet, all of it.
    pub filter: Vec<Expr>,
    /// Columns of the element, by their titles.
    pub columns: Vec<(Arc<str>, usize)>,
    pub children: Vec<(Arc<str>, ResolvedList)>,
    /// What is done with the rows, in order.
    pub ops: Vec<Op>,
    /// An object or null instead of a list.
    pub one: bool,
}

/// How a list's rows belong to its parent's.
#[derive(Clone, Debug)]
pub enum Source {
    /// All rows.
    Root,
    /// By equality.
    On(Vec<Pair>),
    /// By rows of a join table.
    Through {
        table: usize,
        filter: Vec<Expr>,
        /// The join table's columns and the parent's.
        parent: Vec<Pair>,
        /// The list's columns and the join table's.
        child: Vec<Pair>,
        /// Fields the join row adds to the element: their titles, and the join table's columns.
        add: Vec<(Arc<str>, usize)>,
    },
}

/// Two columns that must be equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The column that is looked up.
    pub own: usize,
    /// The column whose value it is looked up by.
    pub other: usize,
    /// The class both are compared in.
    pub class: KeyClass,
}

/// A step on rows or elements.
#[derive(Clone, Debug)]
pub enum Op {
    Filter(Call),
    Map {
        call: Call,
        into: Option<Arc<str>>,
    },
    Reduce(Call),
    Where(Expr),
    Select(Vec<(Arc<str>, Field)>),
    Order(Vec<OrderBy>),
    /// The order that a parameter chooses; the last one if it is optional and absent.
    Choose {
        param: usize,
        orders: Vec<Vec<OrderBy>>,
    },
    Offset(Count),
    Limit(Count),
}

/// A call of a node.
#[derive(Clone, Debug)]
pub struct Call {
    pub node: NodeId,
    pub args: Vec<(Arc<str>, Arg)>,
    pub input: Option<Vec<(Arc<str>, Field)>>,
}
