//! Queries: from the tree of values to the syntax tree.

use super::condition::read_condition;
use super::read::{
    is_param_name, read_count, read_element, read_literal, read_operand, read_order, read_select, read_terms,
};
use super::steps::read_steps;
use super::{
    Allow, Body, CHILD, Child, Join, PARAM, ParamDecl, QUERY, Query, RESERVED, Route, Segment, Side, THROUGH, Through,
};
use crate::query::fields::{Fields, list, members, text};
use crate::query::problem::{Path, Problems};
use crate::query::tree::{Kind, Name, Tree};

/// Reads a query of the configuration; `None` if too little of it could be read to go on.
pub fn read_query(name: &Name, tree: &Tree, path: &Path, problems: &mut Problems) -> Option<Query> {
    let fields = Fields::open(tree, path, &QUERY, problems)?;
    let route = fields.need("route", problems).and_then(|tree| read_route(tree, &fields.at("route"), problems));
    let at = fields.at("params");
    let params = fields.get("params").map_or(&[][..], |tree| members(tree, &at, problems));
    let params =
        params.iter().filter_map(|(name, tree)| read_param(name, tree, &at.then(&name.text), problems)).collect();
    let allow = fields.get("allow").and_then(|tree| read_allow(tree, &fields.at("allow"), problems));
    let body = read_body(&fields, problems);
    if let Some(Tree { place, kind: Kind::Bool(true) }) = fields.get("one") {
        let message = "`one` is for nested queries: write `get: { key: value }`, which gives one object or null";
        problems.push(*place, &fields.at("one"), message);
    }
    Some(Query { name: name.clone(), route: route?, params, allow, body: body? })
}

/// `/followeds/{user_id}`.
fn read_route(tree: &Tree, path: &Path, problems: &mut Problems) -> Option<Route> {
    let name = text(tree, path, problems)?;
    let mut fail = |message: String| {
        problems.push(name.place, path, message);
        None
    };
    let Some(rest) = name.text.strip_prefix('/') else {
        return fail(format!("a route begins with `/`: write \"/{}\"", name.text));
    };
    if name.text == "/sangre" {
        return fail("/sangre is the server's own".to_string());
    }
    let mut segments: Vec<Segment> = Vec::new();
    for part in rest.split('/').filter(|_| !rest.is_empty()) {
        let param = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        let segment = match param {
            _ if part.is_empty() => return fail("a route has no empty segments".to_string()),
            Some(param) if !is_param_name(param) => return fail(format!("\"{param}\" is not a parameter's name")),
            Some(param) if RESERVED.contains(&param) => return fail(format!("the name \"{param}\" is reserved")),
            Some("auth") => return fail("the name \"auth\" is kept for claims".to_string()),
            Some(param) => Segment::Param(param.to_string()),
            None if part.contains(['{', '}', '?', '#', '%']) => {
                return fail(format!("\"{part}\": a segment is either plain text or one `{{parameter}}`"));
            }
            None => Segment::Literal(part.to_string()),
        };
        if matches!(segment, Segment::Param(_)) && segments.contains(&segment) {
            return fail(format!("{part} stands twice in the route"));
        }
        segments.push(segment);
    }
    Some(Route { text: name, segments })
}

fn read_param(name: &Name, tree: &Tree, path: &Path, problems: &mut Problems) -> Option<ParamDecl> {
    let key = name.as_str();
    if RESERVED.contains(&key) {
        problems.push(name.place, path, format!("the name \"{key}\" is reserved"));
        return None;
    }
    if key == "auth" || key.starts_with("auth.") {
        problems.push(name.place, path, "claims come from the token: they are not declared");
        return None;
    }
    if !is_param_name(key) {
        problems.push(name.place, path, format!("\"{key}\" is not a parameter's name"));
        return None;
    }
    let fields = Fields::open(tree, path, &PARAM, problems)?;
    let default = fields.get("default");
    if let Some(Tree { place, kind: Kind::Null }) = default {
        problems.push(*place, path, "a default of null compares with nothing: write `optional: true`");
    }
    let at = fields.at("choose");
    let choose = fields.get("choose").map(|tree| {
        let choices = members(tree, &at, problems);
        choices.iter().map(|(name, tree)| (name.clone(), read_terms(tree, &at.then(&name.text), problems))).collect()
    });
    Some(ParamDecl {
        name: name.clone(),
        ty: fields.text("type", problems),
        default: default.map(|tree| read_literal(tree, &fields.at("default"), problems)),
        optional: fields.flag("optional", problems),
        min: fields.get("min").map(|tree| read_literal(tree, &fields.at("min"), problems)),
        max: fields.get("max").map(|tree| read_literal(tree, &fields.at("max"), problems)),
        choose,
    })
}

fn read_allow(tree: &Tree, path: &Path, problems: &mut Problems) -> Option<Allow> {
    match &tree.kind {
        Kind::Text(text) if text == "anyone" => return Some(Allow::Anyone),
        Kind::Map(members) if members.iter().any(|(name, _)| name.as_str() == "role") => {
            problems.push(tree.place, path, "`allow: { role }` is not supported yet");
        }
        _ => problems.push(tree.place, path, "expected \"anyone\""),
    }
    None
}

/// What a query and a nested query have in common.
fn read_body(fields: &Fields<'_>, problems: &mut Problems) -> Option<Body> {
    fields.need("from", problems);
    let from = fields.text("from", problems);
    let get = if fields.knows("get") {
        let at = fields.at("get");
        fields.get("get").map(|tree| {
            let members = members(tree, &at, problems);
            let columns = members.iter();
            columns.filter_map(|(name, tree)| Some((name.clone(), read_operand(tree, &at, problems)?))).collect()
        })
    } else {
        None
    };
    let condition = fields.get("where").map(|tree| read_condition(tree, &fields.at("where"), problems));
    let order_by = fields.get("order_by").and_then(|tree| read_order(tree, &fields.at("order_by"), problems));
    let offset = fields.get("offset").and_then(|tree| read_count(tree, &fields.at("offset"), problems));
    let limit = fields.get("limit").and_then(|tree| read_count(tree, &fields.at("limit"), problems));
    let at = fields.at("with");
    let with = fields.get("with").map_or(&[][..], |tree| members(tree, &at, problems));
    let with = with.iter().filter_map(|(name, tree)| read_child(name, tree, &at.then(&name.text), problems)).collect();
    let steps = fields.get("steps").map_or_else(Vec::new, |tree| read_steps(tree, &fields.at("steps"), problems));
    let select = fields.get("select").map(|tree| read_element(tree, &fields.at("select"), problems));
    let one = fields.flag("one", problems);
    Some(Body { place: fields.place, from: from?, get, condition, order_by, offset, limit, with, steps, select, one })
}

fn read_child(name: &Name, tree: &Tree, path: &Path, problems: &mut Problems) -> Option<Child> {
    let fields = Fields::open(tree, path, &CHILD, problems)?;
    let on = fields.get("on").map(|tree| read_pairs(tree, &fields.at("on"), problems));
    let through = fields.get("through").map(|tree| read_through(tree, &fields.at("through"), problems));
    let join = match (on, through) {
        (Some(_), Some(_)) => {
            problems.push(
                fields.place,
                path,
                "`on` and `through` exclude each other: the join table's columns stand in `through`",
            );
            None
        }
        (Some(on), None) => Some(Join::On(on)),
        (None, Some(through)) => through.map(Join::Through),
        (None, None) => Some(Join::Inferred),
    };
    let body = read_body(&fields, problems)?;
    Some(Child { field: name.clone(), join: join?, body })
}

/// `{ column: other column }`.
fn read_pairs(tree: &Tree, path: &Path, problems: &mut Problems) -> Vec<(Name, Name)> {
    let pairs = members(tree, path, problems);
    if pairs.is_empty() && matches!(tree.kind, Kind::Map(_)) {
        problems.push(tree.place, path, "no columns");
    }
    let mut read = Vec::new();
    for (name, other) in pairs {
        if matches!(other.kind, Kind::Map(_)) {
            problems.push(other.place, path, "operators in `on` are not supported yet");
        } else if let Some(other) = text(other, path, problems) {
            read.push((name.clone(), other));
        }
    }
    read
}

fn read_through(tree: &Tree, path: &Path, problems: &mut Problems) -> Option<Through> {
    if matches!(tree.kind, Kind::Text(_)) {
        let table = text(tree, path, problems)?;
        return Some(Through { table, parent: None, child: None, condition: None, select: Vec::new() });
    }
    let fields = Fields::open(tree, path, &THROUGH, problems)?;
    fields.need("table", problems)?;
    Some(Through {
        table: fields.text("table", problems)?,
        parent: fields.get("parent").map(|tree| read_side(tree, &fields.at("parent"), problems)),
        child: fields.get("child").map(|tree| read_side(tree, &fields.at("child"), problems)),
        condition: fields.get("where").map(|tree| read_condition(tree, &fields.at("where"), problems)),
        select: fields.get("select").map_or_else(Vec::new, |tree| read_select(tree, &fields.at("select"), problems)),
    })
}

/// A column, a list of columns, or `{ its: other }`.
fn read_side(tree: &Tree, path: &Path, problems: &mut Problems) -> Side {
    match &tree.kind {
        Kind::Map(_) => Side::Pairs(read_pairs(tree, path, problems)),
        Kind::List(_) => {
            let items = list(tree, path, problems);
            Side::Columns(items.iter().filter_map(|item| text(item, path, problems)).collect())
        }
        _ => Side::Columns(text(tree, path, problems).into_iter().collect()),
    }
}
