//! The plan: what all queries of a configuration come down to, equal parts once.
//!
//! A plan is a directed acyclic graph of operators with their parameters left open. An operator at one key is a *cell*
//! (see the module above); a plan has no state. It is acyclic even for users -> followeds -> users, because an operator
//! refers to smaller sub-plans only. Equal definitions are interned: two queries that nest the same list share it,
//! whatever their routes call the parameters, because a definition numbers its own free parameters from 0 and each
//! reference says which of the referrer's they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::data::{self, Expr, Field, KeyClass, Table, TableId, Value};

macro_rules! plan_ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);
    )+};
}

plan_ids! {
    /// Index into [`Plan::arrangements`].
    ArrangementId,
    /// Index into [`Plan::elements`].
    ElementId,
    /// Index into [`Plan::lists`].
    ListId,
    /// A node of the configuration: the same in every plan that has it, and in no other is it another one.
    NodeId,
    /// Index into [`Plan::documents`].
    DocumentId,
}

/// All operators, each definition once. References point to earlier entries of their own kind only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub tables: Vec<Table>,
    pub arrangements: Vec<Arrangement>,
    pub elements: Vec<Element>,
    pub lists: Vec<List>,
    pub nodes: BTreeMap<NodeId, Node>,
    pub documents: Vec<Document>,
}

/// Rows of a table that meet a condition, grouped by the values of some columns.
///
/// The cell at a key holds the rows of that group; it is filled by one upquery when it is first asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrangement {
    pub table: TableId,
    /// The grouping columns, each with the class its values are compared in (that of the wider type, if the two sides
    /// of a join differ). A null in any of them puts a row in no group. Empty: one group.
    pub key: Vec<(usize, KeyClass)>,
    /// What a row must meet to be in any group. Its parameters count from 0 to `params`.
    pub filter: Option<Expr>,
    /// How many parameters `filter` has; their values are part of a cell's key.
    pub params: usize,
}

/// A reference to an arrangement: where the values of a cell's key come from.
#[derive(Clone, Debug, PartialEq)]
pub struct ArrangementRef {
    pub id: ArrangementId,
    /// One for each of the arrangement's key columns.
    pub key: Vec<KeySource>,
    /// For each of the arrangement's parameters, which of the referrer's it is.
    pub params: Vec<usize>,
}

/// Where one value of an arrangement's key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The parent's value at this index of [`ListRef::on`].
    Parent(usize),
    /// A column of the join row, in the second step of a [`Source::Through`].
    Join(usize),
    /// A parameter of the list.
    Param(usize),
}

/// A list under one parent, or at the root of a document.
///
/// Its cell's key is the parent's values ([`ListRef::on`]) and its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    pub source: Source,
    /// At least one. Each takes the elements that the one before let through.
    pub stages: Vec<Stage>,
    /// What becomes of the last stage's elements.
    pub shape: Shape,
    /// How many parents' values the key has.
    pub parents: usize,
    /// How many parameters the list has, its children's and nodes' included.
    pub params: usize,
}

/// The rows a list starts from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The rows of one cell of an arrangement.
    Rows(ArrangementRef),
    /// For each join row in one cell of `joins`, the rows of the cell of `rows` it points at: one element for each pair.
    Through {
        joins: ArrangementRef,
        rows: ArrangementRef,
        /// Columns of the join row that become fields of the element, after its own. Cells of elements are shared by lists
        /// that have other join rows, so then the first stage's element has no steps, and the stage no order and no window:
        /// they are the second stage's.
        add: Vec<(Arc<str>, usize)>,
    },
}

/// Steps on each element, then an order, then a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// What is done with each element alone. A later stage that names the element of the stage before does nothing.
    pub element: ElementRef,
    /// The order of those that are left. Empty: that of the stage before, for the first by the tie-break alone.
    pub order: Vec<OrderBy>,
    /// How many to leave out at the start.
    pub offset: Count,
    /// How many to keep at most.
    pub limit: Option<Count>,
}

/// A number of elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Count {
    Fixed(u64),
    /// A parameter of the list, an int8 of at least 0; null or absent counts as no limit, as offset 0.
    Param(usize),
}

/// One term of an order. After the last, ties are broken by the primary key, without one by the row's JSON text, then by
/// occurrence.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderBy {
    pub field: Field,
    /// How values compare; [`KeyClass::Json`] for computed fields.
    pub class: KeyClass,
    pub descending: bool,
    pub nulls_first: bool,
}

/// What a list gives its parent.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A JSON array.
    Array,
    /// The first element, or null.
    One,
    /// The answer of a `reduce` node on the array.
    Reduce(NodeCall),
}

/// A reference to an element's definition.
#[derive(Clone, Debug, PartialEq)]
pub struct ElementRef {
    pub id: ElementId,
    /// For each of the element's parameters, which of the list's it is.
    pub params: Vec<usize>,
}

/// What is made of one row: its columns and children, then steps on it.
///
/// Its cell's key is the row's identity and the parameters, so lists that hold the same row share it.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    pub base: Base,
    pub steps: Vec<Step>,
    pub params: usize,
}

/// What an element starts from.
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// An object of columns, then children, in this order.
    Row { table: TableId, columns: Vec<(Arc<str>, usize)>, children: Vec<(Arc<str>, ListRef)> },
    /// The element as an earlier stage left it.
    Element(ElementRef),
}

/// A reference from an element to the list nested under it.
#[derive(Clone, Debug, PartialEq)]
pub struct ListRef {
    pub id: ListId,
    /// The row's columns that are the child's parent values.
    pub on: Vec<usize>,
    /// For each of the list's parameters, which of the element's it is.
    pub params: Vec<usize>,
}

/// A step on one element.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Keep the element if the node answers true.
    Filter(NodeCall),
    /// Add the answer as a field, or replace the element by it.
    Map { call: NodeCall, into: Option<Arc<str>> },
    /// Keep the element if the condition is true.
    Where(Expr),
    /// An object of these fields only, in this order.
    Select(Vec<(Arc<str>, Field)>),
}

/// A call of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeCall {
    pub node: NodeId,
    /// The members of `args`.
    pub args: Vec<(Arc<str>, Arg)>,
    /// The fields the node sees, by name; `None`: the whole element.
    pub input: Option<Vec<(Arc<str>, Field)>>,
    /// Of `args` and of `input`, once for all calls.
    shapes: [Arc<data::Shape>; 2],
}

impl NodeCall {
    /// A use of `node`.
    pub fn new(node: NodeId, args: Vec<(Arc<str>, Arg)>, input: Option<Vec<(Arc<str>, Field)>>) -> Self {
        let shapes = [
            data::Shape::new(args.iter().map(|(name, _)| name.clone())),
            data::Shape::new(input.iter().flatten().map(|(name, _)| name.clone())),
        ];
        NodeCall { node, args, input, shapes }
    }

    /// The members of args, if there are as many as there may be.
    pub(super) fn args_shape(&self) -> &Arc<data::Shape> {
        &self.shapes[0]
    }

    /// The members of the declared input.
    pub(super) fn input_shape(&self) -> &Arc<data::Shape> {
        &self.shapes[1]
    }
}

/// One member of a node's `args`.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    Value(Value),
    /// A parameter of the element (of the list, for `reduce`); absent ones are left out.
    Param(usize),
}

/// A node as queries name it. Its code and version are the node host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub name: Arc<str>,
    pub on_error: OnError,
}

/// What an element becomes when a node fails on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// It is left out.
    #[default]
    Skip,
    /// The answer counts as null (a filter's as false).
    Null,
    /// The document keeps its revision.
    Hold,
}

/// The root of a query: a list without parents.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The query's name.
    pub name: Arc<str>,
    pub list: ListId,
    /// For each of the list's parameters, which of the request's bound values it is.
    pub params: Vec<usize>,
}
