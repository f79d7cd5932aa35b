//! Resolving: names become tables, columns and types, and everything that cannot be served is said.
//!
//! A query is resolved on its own, so that a broken one leaves the others alone. A table's rules are part of every query
//! that uses the table, at any depth and as a join table too: if they are broken, so are these queries, because serving
//! them without the rule would show what it hides.

mod condition;
mod join;
mod list;
mod params;
mod scope;
mod steps;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use super::Definitions;
use super::problem::{Path, Place, Problems};
use super::resolved::{ResolvedQuery, Warning};
use super::syntax::{Query, TableRule};
use crate::data::{Catalogue, CatalogueTable};
use crate::dataflow::plan::NodeId;
use params::Params;
pub use table::find_table;

/// What came of all queries.
#[derive(Debug)]
pub struct Resolution {
    /// One for each query of the definitions; `None`: broken.
    pub queries: Vec<Option<ResolvedQuery>>,
    pub problems: Problems,
    /// Columns in use, by index of the catalogue's table.
    pub uses: Uses,
}

/// Columns in use, by index of the catalogue's table.
pub type Uses = BTreeMap<usize, BTreeSet<usize>>;

/// Resolves every query against the catalogue.
pub fn resolve(definitions: &Definitions<'_>, catalogue: &Catalogue) -> Resolution {
    let mut problems = Problems::default();
    let rules = table::resolve_rules(definitions, catalogue, &mut problems);
    let mut uses = Uses::new();
    let mut queries = Vec::new();
    let mut kinds = NodeKinds::new();
    for query in definitions.queries {
        let params = Params::new(&query.params, &query.route);
        let mut resolver = Resolver::new(definitions, catalogue, &rules, params);
        resolver.kinds = std::mem::take(&mut kinds);
        let resolved = resolver.query(query);
        kinds = std::mem::take(&mut resolver.kinds);
        if resolver.problems.is_empty() {
            for (table, columns) in resolver.uses {
                uses.entry(table).or_default().extend(columns);
            }
            queries.push(resolved);
        } else {
            problems.0.append(&mut resolver.problems.0);
            queries.push(None);
        }
    }
    Resolution { queries, problems, uses }
}

/// What each node is used as, and where first.
type NodeKinds = BTreeMap<NodeId, (&'static str, Path, Place)>;

/// A table's rules, found.
#[derive(Clone, Copy, Debug)]
struct Rules<'a> {
    rule: &'a TableRule,
    /// Whether something is wrong with them.
    broken: bool,
}

/// One query being resolved.
struct Resolver<'a> {
    definitions: &'a Definitions<'a>,
    catalogue: &'a Catalogue,
    rules: &'a BTreeMap<usize, Rules<'a>>,
    params: Params<'a>,
    problems: Problems,
    warnings: Vec<Warning>,
    uses: Uses,
    kinds: NodeKinds,
}

impl<'a> Resolver<'a> {
    fn new(
        definitions: &'a Definitions<'a>,
        catalogue: &'a Catalogue,
        rules: &'a BTreeMap<usize, Rules<'a>>,
        params: Params<'a>,
    ) -> Self {
        Resolver {
            definitions,
            catalogue,
            rules,
            params,
            problems: Problems::default(),
            warnings: Vec::new(),
            uses: Uses::new(),
            kinds: NodeKinds::new(),
        }
    }

    fn query(&mut self, query: &Query) -> Option<ResolvedQuery> {
        let path = Path::default().then("queries").then(&query.name.text);
        self.params.declare(self.catalogue, &path, &mut self.problems);
        let list = self.root(query, &path);
        let mentions_auth = self.params.mentions_auth();
        let unused = std::mem::take(&mut self.warnings);
        let (params, mut warnings) = self.params.finish(&path, &mut self.problems);
        warnings.extend(unused);
        if query.allow.is_none() && !mentions_auth && self.params.asks_client() {
            let message = "takes a parameter, mentions no `$auth` and has no `allow`: any client may ask for any value";
            warnings.push(Warning::new(query.name.place, &path, message));
        }
        Some(ResolvedQuery { name: query.name.as_str().into(), params, list: list?, warnings })
    }

    fn fail(&mut self, place: Place, path: &Path, message: impl Into<String>) {
        self.problems.push(place, path, message);
    }

    fn warn(&mut self, place: Place, path: &Path, message: impl Into<String>) {
        self.warnings.push(Warning::new(place, path, message));
    }

    /// The catalogue's table at `index`, for as long as the catalogue lives.
    fn table_at(&self, index: usize) -> &'a CatalogueTable {
        &self.catalogue.tables[index]
    }

    fn use_column(&mut self, table: usize, column: usize) {
        self.uses.entry(table).or_default().insert(column);
    }
}
