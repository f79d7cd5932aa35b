//! Queries as TypeScript sees them: the types of their parameters and documents, and of what nodes are given.
//!
//! Types are those of the JSON that a client holds: `int8` and `numeric` are numbers there, timestamps are texts. What a node answers
//! is its own affair, hence `unknown`.

mod ty;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use self::ty::{Member, Ty, write_members};
use super::problem::Problems;
use super::resolve::resolve;
use super::resolved::{Call, Op, Origin, ResolvedList, ResolvedParam, ResolvedQuery, Source};
use super::{Definitions, NodeDefinition, syntax};
use crate::data::{Catalogue, CatalogueTable, Field};
use crate::dataflow::plan::{Arg, NodeId};

/// The types of all queries that resolve.
#[derive(Clone, Debug)]
pub struct Declarations {
    /// As the text of a module.
    pub text: String,
    /// What is wrong with the others.
    pub problems: Problems,
}

/// Declares the types of a configuration against a database.
pub fn declarations(definitions: &Definitions<'_>, catalogue: &Catalogue) -> Declarations {
    let resolution = resolve(definitions, catalogue);
    let mut writer = Writer { catalogue, uses: BTreeMap::new(), names: Names::default(), text: String::new() };
    for (query, resolved) in definitions.queries.iter().zip(&resolution.queries) {
        if let Some(resolved) = resolved {
            writer.query(query, resolved);
        }
    }
    writer.nodes(definitions);
    Declarations { text: writer.text, problems: resolution.problems }
}

const HOLDS: &str = "a string takes any text";

struct Writer<'a> {
    catalogue: &'a Catalogue,
    /// By node.
    uses: BTreeMap<u32, Uses>,
    names: Names,
    text: String,
}

/// What a node is given, wherever it is used.
#[derive(Default)]
struct Uses {
    places: Vec<String>,
    reduces: bool,
    inputs: Vec<Ty>,
    args: Vec<Ty>,
}

impl Writer<'_> {
    fn query(&mut self, query: &syntax::Query, resolved: &ResolvedQuery) {
        let document = self.list(&resolved.list, resolved, &resolved.name);
        let mut params: Vec<&ResolvedParam> = resolved.params.iter().collect();
        params.sort_by_key(|param| !matches!(param.origin, Origin::Route(_)));
        let params: Vec<Member> = params.into_iter().filter_map(param_member).collect();
        let name = self.names.take(&resolved.name);
        let route = &query.route.text.text;
        write!(self.text, "/** {} */\nexport namespace {name} {{\n  export interface Params ", comment(route))
            .expect(HOLDS);
        write_members(&params, "  ", &mut self.text);
        self.text.push_str("\n\n  export type Document = ");
        document.write("  ", &mut self.text);
        self.text.push_str(";\n}\n\n");
    }

    /// What a list gives its parent, or a query its client.
    fn list(&mut self, list: &ResolvedList, query: &ResolvedQuery, place: &str) -> Ty {
        let table = &self.catalogue.tables[list.table];
        let mut element = columns(table, &list.columns);
        if let Source::Through { table, add, .. } = &list.source {
            element.extend(columns(&self.catalogue.tables[*table], add));
        }
        for (name, child) in &list.children {
            let ty = self.list(child, query, &format!("{place}.{name}"));
            element.push(Member::new(name.clone(), ty));
        }
        let mut element = Ty::Object(element);
        for op in &list.ops {
            match op {
                Op::Filter(call) => self.used(call, false, table, &element, query, place),
                Op::Map { call, into } => {
                    self.used(call, false, table, &element, query, place);
                    element = match (into, element) {
                        (Some(into), Ty::Object(mut members)) => {
                            members.push(Member::new(into.clone(), Ty::Unknown));
                            Ty::Object(members)
                        }
                        _ => Ty::Unknown,
                    };
                }
                Op::Reduce(call) => {
                    self.used(call, true, table, &element, query, place);
                    return Ty::Unknown;
                }
                Op::Select(fields) => element = selected(fields, table, &element),
                Op::Where(_) | Op::Order(_) | Op::Choose { .. } | Op::Offset(_) | Op::Limit(_) => {}
            }
        }
        if list.one { element.nullable() } else { Ty::Array(Box::new(element)) }
    }

    fn used(
        &mut self,
        call: &Call,
        reduces: bool,
        table: &CatalogueTable,
        element: &Ty,
        query: &ResolvedQuery,
        place: &str,
    ) {
        let input = call.input.as_ref().map_or_else(|| element.clone(), |input| selected(input, table, element));
        let arg = |(name, arg): &(Arc<str>, Arg)| match arg {
            Arg::Value(value) => Member::new(name.clone(), Ty::of_value(value)),
            Arg::Param(param) => {
                let param = &query.params[*param];
                Member { name: name.clone(), optional: !param.is_certain(), ty: param_ty(param) }
            }
        };
        let args = Ty::Object(call.args.iter().map(arg).collect());
        let uses = self.uses.entry(call.node.0).or_default();
        uses.reduces = reduces;
        for (all, one) in [(&mut uses.inputs, input), (&mut uses.args, args)] {
            if !all.contains(&one) {
                all.push(one);
            }
        }
        if !uses.places.iter().any(|have| have == place) {
            uses.places.push(place.to_owned());
        }
    }

    fn nodes(&mut self, definitions: &Definitions<'_>) {
        for (node, uses) in std::mem::take(&mut self.uses) {
            let Some(NodeDefinition { name: node, exact, .. }) = definitions.node(NodeId(node)) else { continue };
            let name = self.names.take(&format!("node {node}"));
            let places = comment(&uses.places.join(", "));
            write!(self.text, "/** The node \"{}\", in {places} */\nexport namespace {name} {{\n", comment(node))
                .expect(HOLDS);
            let row = Ty::union(uses.inputs);
            let (label, row) = if uses.reduces { ("Rows", Ty::Array(Box::new(row))) } else { ("Row", row) };
            for (label, ty) in [(label, row), ("Args", Ty::union(uses.args))] {
                let ty = if *exact { ty.with_numbers_as_strings() } else { ty };
                write!(self.text, "  export type {label} = ").expect(HOLDS);
                ty.write("  ", &mut self.text);
                self.text.push_str(";\n");
            }
            self.text.push_str("}\n\n");
        }
    }
}

fn columns(table: &CatalogueTable, titles: &[(Arc<str>, usize)]) -> Vec<Member> {
    titles.iter().map(|(title, column)| Member::new(title.clone(), column_ty(table, *column))).collect()
}

fn column_ty(table: &CatalogueTable, column: usize) -> Ty {
    let column = &table.columns[column];
    let ty = Ty::of_column(&column.ty);
    if column.not_null { ty } else { ty.nullable() }
}

/// An object of these fields, as they are of the row and of the element so far.
fn selected(fields: &[(Arc<str>, Field)], table: &CatalogueTable, element: &Ty) -> Ty {
    let member = |(title, field): &(Arc<str>, Field)| {
        let ty = match field {
            Field::Column(column) => column_ty(table, *column),
            Field::Path(path) => {
                path.iter().try_fold(element.clone(), |ty, name| ty.member(name)).unwrap_or(Ty::Unknown)
            }
        };
        Member::new(title.clone(), ty)
    };
    Ty::Object(fields.iter().map(member).collect())
}

/// A parameter as a client gives it; none of a claim or literal, which no client does.
fn param_member(param: &ResolvedParam) -> Option<Member> {
    let name = match &param.origin {
        Origin::Route(name) | Origin::Query(name) => name.as_str(),
        Origin::Claim(_) | Origin::Literal(_) => return None,
    };
    Some(Member { name: name.into(), optional: param.optional || param.default.is_some(), ty: param_ty(param) })
}

fn param_ty(param: &ResolvedParam) -> Ty {
    match (&param.choices, &param.ty) {
        (Some(choices), _) => Ty::choice(choices.iter().map(String::as_str)),
        (None, Some(ty)) => Ty::of_column(ty),
        (None, None) => Ty::Unknown,
    }
}

/// Text that does not end a comment.
fn comment(text: &str) -> String {
    text.replace("*/", "* /").replace(['\n', '\r'], " ")
}

/// Names of namespaces, each once.
#[derive(Default)]
struct Names(Vec<String>);

impl Names {
    /// The words of `name`, each with a capital: `open-at` is `OpenAt`.
    fn take(&mut self, name: &str) -> String {
        let mut made = String::new();
        let mut begins = true;
        for c in name.chars() {
            if c.is_ascii_alphanumeric() {
                made.push(if begins { c.to_ascii_uppercase() } else { c });
            }
            begins = !c.is_ascii_alphanumeric();
        }
        if !made.starts_with(|c: char| c.is_ascii_alphabetic()) {
            made.insert(0, 'Q');
        }
        let mut unique = made.clone();
        for number in 2.. {
            if !self.0.contains(&unique) {
                break;
            }
            unique = format!("{made}{number}");
        }
        self.0.push(unique.clone());
        unique
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_an_identifier_of_its_own() {
        let mut names = Names::default();
        let taken = ["open-at", "open_at", "3d", "nodeX", "größe"].map(|name| names.take(name));
        assert_eq!(taken, ["OpenAt", "OpenAt2", "Q3d", "NodeX", "GrE"]);
    }
}
