//! Compiling: resolved queries to one plan, equal parts once.
//!
//! A definition numbers its own parameters from 0 in the order of their first use, so that two queries which nest the
//! same list share it whatever their routes call the parameters. Equality with a parameter that every request has becomes
//! a column of the arrangement's key: `get: { id: $a }` and a nested list joined on `id` then read the same cells.
//! Constants stay in the filter, or every constant of the configuration would widen the key of all its users.

mod element;
mod list;
mod local;
mod stages;

use std::sync::Arc;

use super::problem::Problems;
use super::request::{Routes, Served};
use super::resolve::{Uses, resolve};
use super::resolved::{Op, ResolvedList, ResolvedQuery, Warning};
use super::{Definitions, NodeDefinition, resolved::ResolvedParam};
use crate::data::{Catalogue, Column, Identity, RowIdentity, Table, TableId};
use crate::dataflow::plan::{Document, DocumentId, Node, Plan};
use local::Local;

/// Everything that comes of a configuration's queries.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub plan: Plan,
    pub routes: Routes,
    /// What keeps queries from being served; each names its query in its path. Those without are served.
    pub problems: Problems,
    pub warnings: Vec<Warning>,
    /// Name, route and parameters of each query that is served, in the order of the configuration.
    pub queries: Vec<(Arc<str>, String, Vec<ResolvedParam>)>,
}

/// More documents than this for one query are refused: every combination of choices is one.
const MAX_VARIANTS: usize = 64;

/// Resolves and compiles all queries. Broken ones are in `problems`, and their routes answer so.
pub fn compile(definitions: &Definitions<'_>, catalogue: &Catalogue) -> Compiled {
    let resolution = resolve(definitions, catalogue);
    let mut problems = resolution.problems;
    let mut compiler = Compiler::new(definitions, catalogue, &resolution.uses);
    let mut routes = Routes::default();
    let (mut warnings, mut queries) = (Vec::new(), Vec::new());
    for (query, resolved) in definitions.queries.iter().zip(resolution.queries) {
        let path = super::problem::Path::default().then("queries").then(&query.name.text);
        if let Some(other) = routes.same_as(&query.route) {
            let message = format!("the query \"{other}\" has the same route");
            problems.push(query.route.text.place, &path.then("route"), message);
            continue;
        }
        let served = resolved.filter(|resolved| {
            let variants = variants(resolved);
            if variants.is_none() {
                let message = format!("its choices combine to more than {MAX_VARIANTS} queries");
                problems.push(query.name.place, &path, message);
            }
            variants.is_some()
        });
        routes.add(&query.name.text, &query.route, served.as_ref().map(|resolved| compiler.query(resolved)));
        if let Some(resolved) = served {
            warnings.extend(resolved.warnings);
            queries.push((resolved.name, query.route.text.text.clone(), resolved.params));
        }
    }
    Compiled { plan: compiler.plan, routes, problems, warnings, queries }
}

/// Builds the plan.
struct Compiler<'a> {
    catalogue: &'a Catalogue,
    plan: Plan,
    /// By index of the catalogue's table: its place in the plan, and its columns in use.
    tables: Vec<Option<(TableId, Vec<usize>)>>,
    /// What the query being compiled has chosen, by parameter.
    chosen: Vec<Option<usize>>,
}

impl<'a> Compiler<'a> {
    fn new(definitions: &Definitions<'_>, catalogue: &'a Catalogue, uses: &Uses) -> Self {
        let mut compiler = Compiler {
            catalogue,
            plan: Plan::default(),
            tables: vec![None; catalogue.tables.len()],
            chosen: Vec::new(),
        };
        for (&index, columns) in uses {
            let columns: Vec<usize> = columns.iter().copied().collect();
            compiler.add_table(index, columns);
        }
        let node = |node: &NodeDefinition<'_>| (node.id, Node { name: node.name.into(), on_error: node.on_error });
        compiler.plan.nodes = definitions.nodes.iter().map(node).collect();
        compiler
    }

    fn add_table(&mut self, index: usize, columns: Vec<usize>) {
        let found = &self.catalogue.tables[index];
        let place = |column: &usize| columns.binary_search(column).expect("identity and primary key are in use");
        let identity = match found.row_identity().expect("a table without identity is not resolved") {
            RowIdentity::Columns(key) => Identity::Columns(key.iter().map(place).collect()),
            RowIdentity::Bag => Identity::Bag,
        };
        let column = |column: &usize| {
            let column = &found.columns[*column];
            Column { name: column.name.clone(), ty: column.ty.clone(), not_null: column.not_null }
        };
        let table = Table {
            schema: found.schema.clone(),
            name: found.name.clone(),
            columns: columns.iter().map(column).collect(),
            identity,
            primary_key: found.primary_key.iter().flatten().map(place).collect(),
        };
        let id = TableId(id(self.plan.tables.len()));
        self.plan.tables.push(table);
        self.tables[index] = Some((id, columns));
    }

    /// The plan's table.
    fn table(&self, index: usize) -> TableId {
        self.tables[index].as_ref().expect("a table in use is in the plan").0
    }

    /// The plan's column.
    fn column(&self, table: usize, column: usize) -> usize {
        let (_, columns) = self.tables[table].as_ref().expect("a table in use is in the plan");
        columns.binary_search(&column).expect("a column in use is in the plan")
    }

    /// Compiles a query, once for each combination of its choices.
    fn query(&mut self, query: &ResolvedQuery) -> Served {
        let mut documents = Vec::new();
        for variant in variants(query).expect("their number was looked at before") {
            self.chosen = variant.clone();
            let mut local = Local::default();
            let list = self.list(&query.list, query, &mut local);
            let document = Document { name: query.name.clone(), list, params: local.0 };
            let id = DocumentId(id(self.plan.documents.len()));
            self.plan.documents.push(document);
            documents.push((variant, id));
        }
        Served { params: query.params.clone(), documents }
    }
}

/// Every combination of choices: for each parameter, which choice; `None` for those that do not choose.
fn variants(query: &ResolvedQuery) -> Option<Vec<Vec<Option<usize>>>> {
    let mut used = vec![0; query.params.len()];
    count_choices(&query.list, &mut used);
    let mut variants = vec![Vec::new()];
    for count in used {
        variants = match count {
            0 => variants.into_iter().map(|variant: Vec<Option<usize>>| with(variant, None)).collect(),
            count => {
                let each =
                    |variant: Vec<Option<usize>>| (0..count).map(move |choice| with(variant.clone(), Some(choice)));
                variants.into_iter().flat_map(each).take(MAX_VARIANTS + 1).collect()
            }
        };
    }
    (variants.len() <= MAX_VARIANTS).then_some(variants)
}

fn with(mut variant: Vec<Option<usize>>, choice: Option<usize>) -> Vec<Option<usize>> {
    variant.push(choice);
    variant
}

fn count_choices(list: &ResolvedList, used: &mut [usize]) {
    for op in &list.ops {
        if let Op::Choose { param, orders } = op {
            used[*param] = orders.len();
        }
    }
    list.children.iter().for_each(|(_, child)| count_choices(child, used));
}

/// The place of `item`, which is added if nothing equal is there.
fn intern<T: PartialEq>(items: &mut Vec<T>, item: T) -> u32 {
    let place = items.iter().position(|have| *have == item).unwrap_or_else(|| {
        items.push(item);
        items.len() - 1
    });
    id(place)
}

fn id(place: usize) -> u32 {
    u32::try_from(place).expect("a configuration has far fewer parts than 2^32")
}
