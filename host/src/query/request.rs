//! Requests: from a path, a query string and claims to a document and the values of its parameters.
//!
//! A claim's value comes from the verified token alone: `?auth.sub=1` is an unknown parameter, and a route's parameter is
//! not taken from the query string either.
//!
//! **Lists.** A parameter of an array type takes `ids=1&ids=2` (each value one element, whatever is in it), `ids={1,2}`
//! (Postgres's array literal) or, unless its elements are texts, `ids=1,2`. `ids=` is the empty list. A single value of a
//! list of texts is one element: `tags=a,b` has one comma, not two tags.
//!
//! Some texts only Postgres can read ([`literal`](super::literal)). Then binding stops at [`Binding::Ask`]: the caller
//! has Postgres cast each text to its type and hands the decoded values to [`Pending::finish`].

use std::fmt::Write;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use super::literal::{Parsed, parse_literal, parse_text};
use super::resolved::{Origin, ResolvedParam};
use super::syntax::{Query, Route, Segment};
use super::tree::{Kind, Tree};
use crate::data::{ColumnType, KeyClass, Value};
use crate::dataflow::plan::DocumentId;

/// All routes of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Routes(Vec<Entry>);

#[derive(Clone, Debug)]
struct Entry {
    query: String,
    segments: Vec<Segment>,
    /// `None`: the query is broken.
    served: Option<Arc<Served>>,
}

/// A query as requests need it.
#[derive(Clone, Debug)]
pub struct Served {
    pub params: Vec<ResolvedParam>,
    /// For each combination of choices (by parameter) its document.
    pub documents: Vec<(Vec<Option<usize>>, DocumentId)>,
}

/// A document that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    pub document: DocumentId,
    /// What [`Document::params`](crate::dataflow::plan::Document::params) counts in. `None`: optional and absent.
    pub params: Vec<Option<Value>>,
}

/// What came of binding a request.
#[derive(Debug)]
pub enum Binding {
    Done(Bound),
    /// Postgres must read some texts first.
    Ask(Pending),
}

/// A request that waits for Postgres to read texts.
#[derive(Debug)]
pub struct Pending {
    questions: Vec<Question>,
    served: Arc<Served>,
    values: Values,
}

/// A text and the type Postgres must cast it to.
#[derive(Clone, Debug)]
pub struct Question {
    /// Index of the parameter.
    param: usize,
    /// Its name, as the configuration writes it.
    pub label: String,
    pub ty: Arc<ColumnType>,
    pub text: String,
    /// The query whose definition has the text; `None`: it came with the request.
    pub query: Option<String>,
}

/// Why a request cannot be served. Each is one code of the interface; the text is fit for clients.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("there is nothing at this path")]
    UnknownRoute,
    /// Code `query_broken`.
    #[error("the query \"{0}\" cannot be served as it is written: the log says why")]
    Broken(String),
    #[error("there is no parameter \"{0}\"")]
    UnknownParameter(String),
    #[error("the parameter {0} is missing")]
    MissingParameter(String),
    #[error("the claim {0} is missing")]
    MissingClaim(String),
    #[error("the parameter {name} is not valid: {reason}")]
    InvalidParameter { name: String, reason: String },
    #[error("{0}")]
    BadRequest(String),
}

impl Question {
    /// The error if Postgres refuses the text. (Postgres's words may quote it, and are for the log.)
    pub fn refused(&self) -> RequestError {
        match &self.query {
            Some(query) => RequestError::Broken(query.clone()),
            None => invalid(&self.label, format!("expected a value of type {}", self.ty.sql)),
        }
    }
}

fn invalid(name: &str, reason: impl Into<String>) -> RequestError {
    RequestError::InvalidParameter { name: name.to_string(), reason: reason.into() }
}

/// Values as far as they are known, and what was chosen.
#[derive(Debug)]
struct Values {
    params: Vec<Option<Value>>,
    chosen: Vec<Option<usize>>,
}

impl Routes {
    /// Adds a query; `served` is `None` if it is broken.
    pub fn add(&mut self, query: &str, route: &Route, served: Option<Served>) {
        let segments = route.segments.clone();
        self.0.push(Entry { query: query.to_string(), segments, served: served.map(Arc::new) });
    }

    /// Routes of these queries that serve nothing yet.
    pub fn declared<'q>(queries: impl IntoIterator<Item = &'q Query>) -> Self {
        let mut routes = Routes::default();
        queries.into_iter().for_each(|query| routes.add(&query.name.text, &query.route, None));
        routes
    }

    /// A text that is the same for two documents, here or in another configuration, if the same requests lead to them:
    /// route and parameters, without their places in the file.
    pub fn requests_of(&self, document: DocumentId) -> String {
        let leads = |entry: &&Entry| {
            entry.served.as_ref().is_some_and(|served| served.documents.iter().any(|(_, id)| *id == document))
        };
        let mut text = String::new();
        for entry in self.0.iter().filter(leads) {
            let _ = writeln!(text, "route {:?}", entry.segments);
            for param in entry.served.iter().flat_map(|served| &served.params) {
                let json = |tree: &Option<Tree>| tree.as_ref().map(|tree| tree.to_value().to_json());
                let bounds = [&param.default, &param.min, &param.max].map(json);
                let ty = param.ty.as_ref().map(|ty| &ty.sql);
                let _ = writeln!(text, "{:?} {ty:?} {} {bounds:?} {:?}", param.origin, param.optional, param.choices);
            }
        }
        text
    }

    /// The query that already has the same route, whatever its parameters are called.
    pub fn same_as(&self, route: &Route) -> Option<&str> {
        let same = |a: &Segment, b: &Segment| match (a, b) {
            (Segment::Param(_), Segment::Param(_)) => true,
            (a, b) => a == b,
        };
        let found = self.0.iter().find(|entry| {
            entry.segments.len() == route.segments.len()
                && entry.segments.iter().zip(&route.segments).all(|(a, b)| same(a, b))
        });
        found.map(|entry| entry.query.as_str())
    }

    /// Finds the document a request asks for.
    ///
    /// `path` is the raw path of the URL, `query` the decoded pairs of its query string without the reserved keys, `claims`
    /// the verified claims, an object.
    pub fn bind(&self, path: &str, query: &[(String, String)], claims: &Value) -> Result<Binding, RequestError> {
        let segments = decode_path(path)?;
        let matching = self.0.iter().filter(|entry| fits(&entry.segments, &segments));
        // Of several, the one whose plain segments come first: `/users/me` before `/users/{id}`.
        let is_param = |entry: &&Entry| {
            entry.segments.iter().map(|segment| matches!(segment, Segment::Param(_))).collect::<Vec<_>>()
        };
        let entry = matching.min_by_key(is_param).ok_or(RequestError::UnknownRoute)?;
        let Some(served) = &entry.served else { return Err(RequestError::Broken(entry.query.clone())) };
        let given = Given { route: route_values(&entry.segments, &segments), query, claims };
        given.refuse_unknown(&served.params)?;
        bind_all(&entry.query, served.clone(), &given)
    }
}

fn decode_path(path: &str) -> Result<Vec<String>, RequestError> {
    let rest = path.strip_prefix('/').ok_or(RequestError::UnknownRoute)?;
    let parts = rest.split('/').filter(|_| !rest.is_empty());
    let decode = |part: &str| percent_decode_str(part).decode_utf8().map(|text| text.into_owned());
    parts.map(decode).collect::<Result<_, _>>().map_err(|_| RequestError::BadRequest("the path is not UTF-8".into()))
}

fn fits(route: &[Segment], path: &[String]) -> bool {
    route.len() == path.len()
        && route.iter().zip(path).all(|(segment, part)| match segment {
            Segment::Literal(text) => text == part,
            Segment::Param(_) => !part.is_empty(),
        })
}

fn route_values<'r>(route: &'r [Segment], path: &'r [String]) -> Vec<(&'r str, &'r str)> {
    let named = |(segment, part): (&'r Segment, &'r String)| match segment {
        Segment::Param(name) => Some((name.as_str(), part.as_str())),
        Segment::Literal(_) => None,
    };
    route.iter().zip(path).filter_map(named).collect()
}

/// What a request came with.
struct Given<'r> {
    route: Vec<(&'r str, &'r str)>,
    query: &'r [(String, String)],
    claims: &'r Value,
}

/// A parameter's value as it came.
enum Raw<'r> {
    Absent,
    Texts(Vec<&'r str>),
    Claim(&'r Value),
    Default(&'r Tree),
    Literal(&'r str),
}

impl<'r> Given<'r> {
    fn refuse_unknown(&self, params: &[ResolvedParam]) -> Result<(), RequestError> {
        let known = |key: &str| params.iter().any(|param| matches!(&param.origin, Origin::Query(name) if name == key));
        match self.query.iter().find(|(key, _)| !known(key)) {
            Some((key, _)) => Err(RequestError::UnknownParameter(key.clone())),
            None => Ok(()),
        }
    }

    fn raw(&self, param: &'r ResolvedParam) -> Result<Raw<'r>, RequestError> {
        let texts: Vec<&str> = match &param.origin {
            Origin::Literal(text) => return Ok(Raw::Literal(text)),
            Origin::Claim(path) => {
                let claim = claim(self.claims, path);
                return claim.map(Raw::Claim).ok_or_else(|| RequestError::MissingClaim(path.join(".")));
            }
            Origin::Route(name) => self.route.iter().filter(|(key, _)| key == name).map(|(_, text)| *text).collect(),
            Origin::Query(name) => self.query.iter().filter(|(key, _)| key == name).map(|(_, text)| &**text).collect(),
        };
        match (texts.is_empty(), &param.default) {
            (false, _) => Ok(Raw::Texts(texts)),
            (true, Some(default)) => Ok(Raw::Default(default)),
            (true, None) if param.optional => Ok(Raw::Absent),
            (true, None) => Err(RequestError::MissingParameter(param.origin.label())),
        }
    }
}

/// The claim at this path of names.
fn claim<'v>(claims: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(claims, |value, name| match value {
        Value::Object(object) => object.get(name),
        _ => None,
    })
}

fn bind_all(query: &str, served: Arc<Served>, given: &Given<'_>) -> Result<Binding, RequestError> {
    let mut values = Values { params: Vec::new(), chosen: Vec::new() };
    let mut questions = Vec::new();
    for (index, param) in served.params.iter().enumerate() {
        let raw = given.raw(param)?;
        if let Some(choices) = &param.choices {
            values.chosen.push(Some(choice(param, choices, &raw)?));
            values.params.push(None);
            continue;
        }
        values.chosen.push(None);
        let ours = matches!(raw, Raw::Literal(_) | Raw::Default(_));
        let parsed = match (&param.ty, raw) {
            (_, Raw::Absent) => None,
            // A claim that is only an argument of a node: the JSON it is.
            (None, Raw::Claim(claim)) => Some(Parsed::Value(claim.clone())),
            (None, _) => None,
            (Some(ty), raw) => Some(parse(ty, &raw, &param.origin)?),
        };
        values.params.push(match parsed {
            None => None,
            Some(Parsed::Value(value)) => Some(value),
            Some(Parsed::Invalid(reason)) => return Err(invalid(&param.origin.label(), reason)),
            Some(Parsed::Ask(text)) => {
                let ty = param.ty.clone().expect("only a text of a known type is asked about");
                let query = ours.then(|| query.to_string());
                questions.push(Question { param: index, label: param.origin.label(), ty, text, query });
                None
            }
        });
    }
    let pending = Pending { questions, served, values };
    if pending.questions.is_empty() { pending.finish(Vec::new()).map(Binding::Done) } else { Ok(Binding::Ask(pending)) }
}

/// Which choice was made; the number of choices stands for none.
fn choice(param: &ResolvedParam, choices: &[String], raw: &Raw<'_>) -> Result<usize, RequestError> {
    let text = match raw {
        Raw::Texts(texts) => match texts.as_slice() {
            [text] => *text,
            _ => return Err(repeated(&param.origin.label())),
        },
        Raw::Default(Tree { kind: Kind::Text(text), .. }) => text,
        _ => return Ok(choices.len()),
    };
    let found = choices.iter().position(|choice| choice == text);
    found.ok_or_else(|| invalid(&param.origin.label(), format!("expected one of {}", choices.join(", "))))
}

fn repeated(name: &str) -> RequestError {
    RequestError::BadRequest(format!("the parameter {name} is given more than once"))
}

fn parse(ty: &ColumnType, raw: &Raw<'_>, origin: &Origin) -> Result<Parsed, RequestError> {
    Ok(match (raw, &ty.element) {
        (Raw::Texts(texts), Some(element)) => parse_array(element, texts, origin),
        (Raw::Texts(texts), None) => match texts.as_slice() {
            [text] => parse_text(ty, text),
            _ => return Err(repeated(&origin.label())),
        },
        (Raw::Literal(text), _) => parse_text(ty, text),
        (Raw::Default(tree), element) => parse_default(ty, element.as_deref(), tree),
        (Raw::Claim(claim), element) => parse_claim(ty, element.as_deref(), claim),
        (Raw::Absent, _) => Parsed::Value(Value::Null),
    })
}

/// See the module's doc.
fn parse_array(element: &ColumnType, texts: &[&str], origin: &Origin) -> Parsed {
    if let [text] = texts {
        if text.is_empty() {
            return Parsed::Value(Value::Array(Arc::from([])));
        }
        if text.starts_with('{') && text.ends_with('}') {
            return Parsed::Ask((*text).to_string());
        }
        let whole = matches!(element.class, None | Some(KeyClass::Text | KeyClass::BpChar | KeyClass::Enum { .. }));
        if !whole && text.starts_with('[') {
            return Parsed::Invalid(match origin {
                Origin::Query(name) => format!("a list is written {name}=1,2 or {name}=1&{name}=2 or {name}={{1,2}}"),
                _ => "a list is written 1,2 or {1,2}".to_string(),
            });
        }
        if !whole {
            return parse_elements(element, &text.split(',').collect::<Vec<_>>());
        }
    }
    parse_elements(element, texts)
}

fn parse_elements(element: &ColumnType, texts: &[&str]) -> Parsed {
    let mut values = Vec::new();
    for text in texts {
        match parse_text(element, text) {
            Parsed::Value(value) => values.push(value),
            // One statement for the whole array.
            Parsed::Ask(_) => return Parsed::Ask(array_text(texts)),
            invalid @ Parsed::Invalid(_) => return invalid,
        }
    }
    Parsed::Value(Value::Array(values.into()))
}

/// Postgres's array literal of these elements.
fn array_text(texts: &[&str]) -> String {
    let quoted: Vec<String> =
        texts.iter().map(|text| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))).collect();
    format!("{{{}}}", quoted.join(","))
}

/// A default of the configuration.
pub fn parse_default(ty: &ColumnType, element: Option<&ColumnType>, tree: &Tree) -> Parsed {
    match (&tree.kind, element) {
        (Kind::List(items), Some(element)) => {
            let mut values = Vec::new();
            for item in items {
                match parse_literal(element, item) {
                    Parsed::Value(value) => values.push(value),
                    Parsed::Ask(text) => {
                        return Parsed::Invalid(format!("\"{text}\": write the whole array as its text, \"{{...}}\""));
                    }
                    invalid @ Parsed::Invalid(_) => return invalid,
                }
            }
            Parsed::Value(Value::Array(values.into()))
        }
        (Kind::Text(text), Some(_)) => Parsed::Ask(text.clone()),
        (_, Some(_)) => Parsed::Invalid(format!("expected a list, found {}", tree.what())),
        (Kind::Int(_) | Kind::Number(_) | Kind::Bool(_) | Kind::List(_) | Kind::Map(_), None) if ty.class.is_none() => {
            Parsed::Ask(tree.to_value().to_json())
        }
        (_, None) => parse_literal(ty, tree),
    }
}

/// A claim is JSON: texts, numbers and booleans are read as their text; null equals nothing.
fn parse_claim(ty: &ColumnType, element: Option<&ColumnType>, claim: &Value) -> Parsed {
    match (claim, element) {
        (Value::Null, _) => Parsed::Value(Value::Null),
        (Value::Array(items), Some(element)) => {
            let texts: Option<Vec<String>> = items.iter().map(scalar_text).collect();
            match texts {
                Some(texts) => parse_elements(element, &texts.iter().map(String::as_str).collect::<Vec<_>>()),
                None => Parsed::Invalid(format!("expected a list of {}", element.sql)),
            }
        }
        (scalar, Some(element)) => match scalar_text(scalar) {
            Some(text) => parse_elements(element, &[&text]),
            None => Parsed::Invalid(format!("expected a list of {}", element.sql)),
        },
        (scalar, None) => match scalar_text(scalar) {
            Some(text) => parse_text(ty, &text),
            None if ty.class.is_none() => Parsed::Ask(scalar.to_json()),
            None => Parsed::Invalid(format!("expected a value of type {}", ty.sql)),
        },
    }
}

fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.to_string()),
        Value::Int(int) => Some(int.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        _ => None,
    }
}

impl Pending {
    /// What Postgres must read, in this order.
    pub fn questions(&self) -> &[Question] {
        &self.questions
    }

    /// Goes on with the values Postgres gave, decoded, one for each question.
    pub fn finish(mut self, answers: Vec<Value>) -> Result<Bound, RequestError> {
        debug_assert_eq!(answers.len(), self.questions.len(), "an answer for each question");
        for (question, answer) in self.questions.iter().zip(answers) {
            self.values.params[question.param] = Some(answer);
        }
        for (param, value) in self.served.params.iter().zip(&self.values.params) {
            if let Some(reason) = value.as_ref().and_then(|value| out_of_bounds(param, value)) {
                return Err(invalid(&param.origin.label(), reason));
            }
        }
        let document = self.served.documents.iter().find(|(chosen, _)| chosen_same(chosen, &self.values.chosen));
        let (_, document) = document.ok_or(RequestError::UnknownRoute)?;
        Ok(Bound { document: *document, params: self.values.params })
    }
}

/// Whether a variant's choices are those made; a choice that the query does not use matches any.
fn chosen_same(variant: &[Option<usize>], made: &[Option<usize>]) -> bool {
    variant.iter().zip(made).all(|(variant, made)| variant.is_none() || variant == made)
}

/// What `min`, `max` or being a number of elements has against the value.
pub fn out_of_bounds(param: &ResolvedParam, value: &Value) -> Option<String> {
    if let Value::Array(items) = value {
        let bound = |bound: &Option<Tree>| match bound.as_ref().map(|tree| &tree.kind) {
            Some(Kind::Int(count)) => usize::try_from(*count).ok(),
            _ => None,
        };
        return match (bound(&param.min), bound(&param.max)) {
            (Some(min), _) if items.len() < min => Some(format!("expected at least {min} elements")),
            (_, Some(max)) if items.len() > max => Some(format!("expected at most {max} elements")),
            _ => None,
        };
    }
    if param.counts && matches!(value, Value::Int(int) if *int < 0) {
        return Some("expected a number of at least 0".to_string());
    }
    let class = param.ty.as_ref().and_then(|ty| ty.class.as_ref());
    let beyond = |bound: &Tree, order| class.and_then(|class| class.compare(value, &bound.to_value())) == Some(order);
    match (&param.min, &param.max) {
        (Some(min), _) if beyond(min, std::cmp::Ordering::Less) => Some(format!("expected at least {}", shown(min))),
        (_, Some(max)) if beyond(max, std::cmp::Ordering::Greater) => Some(format!("expected at most {}", shown(max))),
        _ => None,
    }
}

fn shown(bound: &Tree) -> String {
    match &bound.kind {
        Kind::Int(int) => int.to_string(),
        Kind::Number(number) => number.to_string(),
        _ => String::new(),
    }
}
