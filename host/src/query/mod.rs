//! The nested query: from the configuration's text to a plan, and from a request to a document of that plan.
//!
//! ```text
//! text ─ tree ─► values with places ─ syntax ─► queries as written ─ resolve (catalogue) ─► names known, types known
//!                                                                                              │ compile
//!      request: path, query string, claims ─ routes ─► document and its parameters ◄── plan ◄──┘
//! ```
//!
//! Everything here is pure. What only Postgres can say (how it reads `yesterday` as a timestamptz) is handed back as a
//! question: see [`Binding`].

mod compile;
pub mod fields;
pub mod literal;
mod owner;
pub mod problem;
mod request;
mod resolve;
mod resolved;
pub mod syntax;
pub mod tree;
pub mod typescript;
mod unread;

pub use compile::{Compiled, compile};
pub use owner::replica_identities;
pub use request::{Binding, Bound, Pending, Question, RequestError, Routes};
pub use resolved::{NodeNumbers, Origin, ResolvedParam, Warning};
pub use unread::Unread;

pub use crate::dataflow::plan::{NodeId, OnError};

/// What a configuration says about queries.
#[derive(Clone, Debug)]
pub struct Definitions<'a> {
    pub queries: &'a [syntax::Query],
    pub tables: &'a [syntax::TableRule],
    /// In the order of the configuration.
    pub nodes: Vec<NodeDefinition<'a>>,
    /// Levels of nesting allowed.
    pub depth: usize,
}

impl<'a> Definitions<'a> {
    fn node(&self, id: NodeId) -> Option<&NodeDefinition<'a>> {
        self.nodes.iter().find(|node| node.id == id)
    }
}

/// What queries have to know of a node.
#[derive(Clone, Copy, Debug)]
pub struct NodeDefinition<'a> {
    /// What plans call it.
    pub id: NodeId,
    pub name: &'a str,
    pub on_error: OnError,
    /// It is given numbers in a form that loses nothing.
    pub exact: bool,
}

#[cfg(test)]
mod tests;

/// The catalogue of the tests, for those of other modules.
#[cfg(test)]
pub fn test_catalogue() -> crate::data::Catalogue {
    tests::catalogue::catalogue()
}

/// The example of the interface, for tests of other modules.
#[cfg(test)]
pub fn test_example() -> &'static str {
    tests::plans::EXAMPLE
}
