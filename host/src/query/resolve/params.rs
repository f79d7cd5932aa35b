//! Parameters: where each comes from, and what type it has.
//!
//! A declared type counts; without one the type is that of the column the parameter is compared with, and two columns of
//! different types need a declaration, because "as Postgres parses it" would have two answers.

use std::collections::HashMap;
use std::sync::Arc;

use crate::data::{Catalogue, ColumnType, Decode, KeyClass};
use crate::query::literal::Parsed;
use crate::query::problem::{Path, Place, Problems, did_you_mean};
use crate::query::request::{out_of_bounds, parse_default};
use crate::query::resolved::{Origin, ResolvedParam, Warning};
use crate::query::syntax::{Param, ParamDecl, Route, Segment};
use crate::query::tree::Kind;

/// The parameters of one query.
pub struct Params<'a> {
    declared: &'a [ParamDecl],
    route: &'a Route,
    /// Declared types, found.
    types: HashMap<&'a str, Arc<ColumnType>>,
    used: Vec<Used>,
}

struct Used {
    param: Slot,
    place: Place,
    /// The type, declared or of the first column it was compared with, and that column for messages.
    ty: Option<(Arc<ColumnType>, String)>,
    declared: bool,
    counts: bool,
}

#[derive(PartialEq)]
enum Slot {
    Param(Param),
    Literal(String),
}

impl<'a> Params<'a> {
    pub fn new(declared: &'a [ParamDecl], route: &'a Route) -> Self {
        Params { declared, route, types: HashMap::new(), used: Vec::new() }
    }

    /// Looks up the declared types and checks the declarations.
    pub fn declare(&mut self, catalogue: &Catalogue, path: &Path, problems: &mut Problems) {
        for decl in self.declared {
            let path = path.then("params").then(&decl.name.text);
            check_declaration(decl, &path, problems);
            let Some(name) = &decl.ty else { continue };
            match catalogue.find_type(name.as_str()) {
                Some(ty) => {
                    self.types.insert(decl.name.as_str(), ty.clone());
                    check_bounds(decl, ty, &path, problems);
                }
                None => {
                    let meant = did_you_mean(name.as_str(), catalogue.types.keys().map(|known| &**known));
                    let usual = if meant.is_empty() {
                        ": it is one of Postgres, such as int4, text, numeric or bool"
                    } else {
                        ""
                    };
                    problems.push(name.place, &path, format!("type \"{}\" does not exist{meant}{usual}", name.text));
                }
            }
        }
    }

    fn declaration(&self, param: &Param) -> Option<&'a ParamDecl> {
        match param {
            Param::Named(name) => self.declared.iter().find(|decl| decl.name.as_str() == name),
            Param::Claim(_) => None,
        }
    }

    /// Whether a request may come without it, and then conditions on it are left out.
    pub fn is_optional(&self, index: usize) -> bool {
        match &self.used[index].param {
            Slot::Param(param) => self.declaration(param).is_some_and(|decl| decl.optional),
            Slot::Literal(_) => false,
        }
    }

    fn slot(&mut self, slot: Slot, place: Place) -> usize {
        if let Some(index) = self.used.iter().position(|used| used.param == slot) {
            return index;
        }
        let ty = match &slot {
            Slot::Param(Param::Named(name)) => self.types.get(name.as_str()).cloned(),
            _ => None,
        };
        let declared = ty.is_some();
        let ty = ty.map(|ty| (ty, "its declaration".to_string()));
        self.used.push(Used { param: slot, place, ty, declared, counts: false });
        self.used.len() - 1
    }

    /// A use that says nothing of the type: an argument, a computed field.
    pub fn mention(&mut self, param: &Param, place: Place) -> usize {
        self.slot(Slot::Param(param.clone()), place)
    }

    /// A literal of the configuration that only Postgres can read.
    pub fn literal(&mut self, ty: &Arc<ColumnType>, text: String, place: Place) -> usize {
        let index = self.used.len();
        let ty = Some((ty.clone(), String::new()));
        self.used.push(Used { param: Slot::Literal(text), place, ty, declared: true, counts: false });
        index
    }

    /// A use that compares with a value of type `ty`, that of `column`. Its index and its own type.
    pub fn compare(
        &mut self,
        param: &Param,
        place: Place,
        ty: &Arc<ColumnType>,
        column: &str,
    ) -> Result<(usize, Arc<ColumnType>), String> {
        let index = self.mention(param, place);
        let used = &mut self.used[index];
        match &used.ty {
            None => {
                used.ty = Some((ty.clone(), column.to_string()));
                Ok((index, ty.clone()))
            }
            Some((own, _)) if used.declared => Ok((index, own.clone())),
            Some((own, _)) if own.sql == ty.sql => Ok((index, own.clone())),
            Some((own, first)) => {
                let name = declared_name(param);
                Err(format!(
                    "{param} is compared with {first} ({}) and {column} ({}): declare its type, \
                     `params: {{ {name}: {{ type: {} }} }}`",
                    own.sql, ty.sql, ty.sql
                ))
            }
        }
    }

    /// A use as a number of elements.
    pub fn count(&mut self, param: &Param, place: Place) -> Result<usize, String> {
        let index = self.mention(param, place);
        self.used[index].counts = true;
        let name = declared_name(param);
        match &self.used[index].ty {
            Some((ty, _)) if self.used[index].declared && ty.class == Some(KeyClass::Int) => Ok(index),
            Some((ty, _)) if self.used[index].declared => {
                Err(format!("{param} is {}: a number of elements is an int4 or int8", ty.sql))
            }
            _ => Err(format!("{param} must be declared: `params: {{ {name}: {{ type: int4 }} }}`")),
        }
    }

    /// A use as the choice of an order: its index and declaration.
    pub fn choose(&mut self, name: &str, place: Place) -> Result<(usize, &'a ParamDecl), String> {
        let param = Param::Named(name.to_string());
        let decl = self.declaration(&param).filter(|decl| decl.choose.is_some());
        let Some(decl) = decl else {
            return Err(format!(
                "{param} must be declared with the orders it chooses between: `params: {{ {name}: {{ choose: {{ ... }} }} }}`"
            ));
        };
        let index = self.mention(&param, place);
        Ok((index, decl))
    }

    /// Whether any claim is used.
    pub fn mentions_auth(&self) -> bool {
        self.used.iter().any(|used| matches!(used.param, Slot::Param(Param::Claim(_))))
    }

    /// Whether the client sets any parameter.
    pub fn asks_client(&self) -> bool {
        self.used.iter().any(|used| matches!(used.param, Slot::Param(Param::Named(_))))
    }

    /// The parameters in the order of their indexes; those that are declared or in the route and unused come last.
    pub fn finish(&mut self, path: &Path, problems: &mut Problems) -> (Vec<ResolvedParam>, Vec<Warning>) {
        let mut warnings = Vec::new();
        self.add_unused(path, problems, &mut warnings);
        let mut params = Vec::new();
        for used in &self.used {
            let (origin, decl) = match &used.param {
                Slot::Literal(text) => (Origin::Literal(text.clone()), None),
                Slot::Param(param) => (self.origin(param), self.declaration(param)),
            };
            let chooses = decl.is_some_and(|decl| decl.choose.is_some());
            // A claim that is only an argument is passed as the JSON it is; of a number of elements `count` has told.
            if let (None, false, false, Slot::Param(Param::Named(name))) = (&used.ty, chooses, used.counts, &used.param)
            {
                let message = format!(
                    "the type of ${name} is not known from a column: declare it, `params: {{ {name}: {{ type: ... }} }}`"
                );
                problems.push(used.place, path, message);
            }
            let default = decl.and_then(|decl| decl.default.clone());
            let param = ResolvedParam {
                origin,
                place: used.place,
                ty: used.ty.as_ref().map(|(ty, _)| ty.clone()).filter(|_| !chooses),
                optional: decl.is_some_and(|decl| decl.optional),
                default,
                min: decl.and_then(|decl| decl.min.clone()),
                max: decl.and_then(|decl| decl.max.clone()),
                counts: used.counts,
                choices: decl
                    .and_then(|decl| Some(decl.choose.as_ref()?.iter().map(|(name, _)| name.text.clone()).collect())),
            };
            check_default(&param, path, problems);
            params.push(param);
        }
        (params, warnings)
    }

    fn origin(&self, param: &Param) -> Origin {
        match param {
            Param::Claim(path) => Origin::Claim(path.clone()),
            Param::Named(name) if self.route.segments.contains(&Segment::Param(name.clone())) => {
                Origin::Route(name.clone())
            }
            Param::Named(name) => Origin::Query(name.clone()),
        }
    }

    fn add_unused(&mut self, path: &Path, problems: &mut Problems, warnings: &mut Vec<Warning>) {
        for decl in self.declared {
            let param = Param::Named(decl.name.text.clone());
            if self.used.iter().any(|used| matches!(&used.param, Slot::Param(used) if *used == param)) {
                continue;
            }
            let path = path.then("params").then(&decl.name.text);
            warnings.push(Warning::new(decl.name.place, &path, "is never used"));
            self.mention(&param, decl.name.place);
        }
        for segment in &self.route.segments {
            let Segment::Param(name) = segment else { continue };
            let param = Param::Named(name.clone());
            if !self.used.iter().any(|used| matches!(&used.param, Slot::Param(used) if *used == param)) {
                let message = format!("{{{name}}} of the route is never used: write ${name} where it belongs");
                problems.push(self.route.text.place, &path.then("route"), message);
            }
        }
    }
}

fn declared_name(param: &Param) -> String {
    match param {
        Param::Named(name) => name.clone(),
        Param::Claim(path) => path.join("."),
    }
}

fn check_declaration(decl: &ParamDecl, path: &Path, problems: &mut Problems) {
    if decl.optional && decl.default.is_some() {
        problems.push(
            decl.name.place,
            path,
            "`optional` and `default` exclude each other: with a default it is never absent",
        );
    }
    match &decl.choose {
        Some(choices) => {
            if decl.ty.is_some() || decl.min.is_some() || decl.max.is_some() {
                problems.push(decl.name.place, path, "`choose` stands alone with `default` or `optional`");
            }
            if choices.is_empty() {
                problems.push(decl.name.place, path, "`choose` has no choices");
            }
            let names = || choices.iter().map(|(name, _)| name.as_str());
            if let Some(default) = &decl.default
                && !matches!(&default.kind, Kind::Text(text) if names().any(|name| name == text))
            {
                let text = if let Kind::Text(text) = &default.kind { text } else { "" };
                let meant = did_you_mean(text, names());
                problems.push(default.place, path, format!("the default is not one of the choices{meant}"));
            }
        }
        None if decl.ty.is_none() && (decl.min.is_some() || decl.max.is_some()) => {
            problems.push(decl.name.place, path, "`min` and `max` need a `type`");
        }
        None => {}
    }
}

/// A default is a value of the type and within its own bounds. (What only Postgres can read is asked by `sangre check`.)
fn check_default(param: &ResolvedParam, path: &Path, problems: &mut Problems) {
    let (Some(default), Some(ty)) = (&param.default, &param.ty) else { return };
    let reason = match parse_default(ty, ty.element.as_deref(), default) {
        Parsed::Value(value) => out_of_bounds(param, &value),
        Parsed::Ask(_) => None,
        Parsed::Invalid(message) => Some(message),
    };
    if let Some(reason) = reason {
        problems.push(default.place, path, format!("the default of {}: {reason}", param.origin.label()));
    }
}

/// `min` and `max`: of a number its value, of an array how many elements.
fn check_bounds(decl: &ParamDecl, ty: &ColumnType, path: &Path, problems: &mut Problems) {
    for (key, bound) in [("min", &decl.min), ("max", &decl.max)] {
        let Some(bound) = bound else { continue };
        let fits = match (&ty.class, &ty.decode) {
            (_, Decode::Array { .. }) => matches!(bound.kind, Kind::Int(count) if count >= 0),
            (Some(KeyClass::Int), _) => matches!(bound.kind, Kind::Int(_)),
            (Some(KeyClass::Numeric | KeyClass::Float), _) => matches!(bound.kind, Kind::Int(_) | Kind::Number(_)),
            _ => {
                problems.push(
                    bound.place,
                    path,
                    format!("`{key}` bounds numbers and the length of arrays, not {}", ty.sql),
                );
                continue;
            }
        };
        if !fits {
            problems.push(bound.place, path, format!("`{key}` does not fit {}", ty.sql));
        }
    }
}
