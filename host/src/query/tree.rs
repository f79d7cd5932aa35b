//! The configuration as a tree of values, each with its place in the text.
//!
//! Both forms, YAML 1.2 and JSON (which YAML 1.2 contains), become this one tree by serde; the syntax is then read from it.
//! A derived `Deserialize` for each part of the syntax would stop at the first mistake and lose places inside every
//! choice of forms (`limit: 20` or `limit: $n`), and it could not say of a key that it comes later. So serde's work ends
//! here.
//!
//! Numbers keep their text: `0.1` and `12345678901234567890.5` reach Postgres's rules untouched by floating point.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::problem::{Path, Place, Problem, Problems};
use crate::data::Value;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Tree {
    pub place: Place,
    pub kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    /// A number that is not an [`Kind::Int`], as JSON text.
    Number(Arc<str>),
    Text(String),
    List(Vec<Tree>),
    /// Members in the order of the text; no name twice.
    Map(Vec<(Name, Tree)>),
}

/// A name and where it stands.
#[derive(Clone, Debug, Default)]
pub struct Name {
    pub text: String,
    pub place: Place,
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.text == other
    }
}

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Deeper files are refused: sixteen levels of queries need less, and readers recurse.
const MAX_DEPTH: usize = 120;

/// What reading takes at most: a level of text costs some 50 KiB where serde's generic code is not optimised.
pub const PARSE_STACK: usize = 16 << 20;

impl Tree {
    /// Reads YAML or JSON text. Recurses into it: the caller has [`PARSE_STACK`] bytes of stack left.
    pub fn parse(text: &str) -> Result<Tree, Problems> {
        let options = serde_saphyr::options! {
            strict_booleans: true,
            with_snippet: false,
            non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::AsString,
            merge_keys: serde_saphyr::options::MergeKeyPolicy::Merge,
            budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
        };
        let raw: Raw = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let place = error.location().map_or(Place::default(), place_of);
            Problems(vec![Problem { place, path: Path::default(), message: without_place(&error) }])
        })?;
        Ok(raw.0.keep(text))
    }

    /// What the value is, for messages.
    pub fn what(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "true or false",
            Kind::Int(_) | Kind::Number(_) => "a number",
            Kind::Text(_) => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }

    /// The value as data.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(bool) => Value::Bool(*bool),
            Kind::Int(int) => Value::Int(*int),
            Kind::Number(number) => Value::Number(number.clone()),
            Kind::Text(text) => Value::Text(text.as_str().into()),
            Kind::List(items) => Value::Array(items.iter().map(Tree::to_value).collect()),
            Kind::Map(members) => {
                Value::object(members.iter().map(|(name, value)| (Arc::from(name.as_str()), value.to_value())))
            }
        }
    }

    /// Replaces `${NAME}` in every text value by `env(NAME)`; `$${` stands for `${`. Names of members are left alone.
    pub fn expand(&mut self, env: &dyn Fn(&str) -> Option<String>, path: &Path, problems: &mut Problems) {
        match &mut self.kind {
            Kind::Text(text) if text.contains("${") => match expanded(text, env) {
                Ok(expanded) => *text = expanded,
                Err(message) => problems.push(self.place, path, message),
            },
            Kind::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    item.expand(env, &path.at(index), problems);
                }
            }
            Kind::Map(members) => {
                for (name, member) in members {
                    member.expand(env, &path.then(&name.text), problems);
                }
            }
            _ => {}
        }
    }
}

fn expanded(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        if let Some(escaped) = before.strip_suffix('$') {
            // A literal that begins with `$$` keeps both: the reader of literals takes one away.
            out.push_str(if out.is_empty() && escaped.is_empty() { before } else { escaped });
            out.push_str("${");
            rest = after;
            continue;
        }
        let Some(end) = after.find('}') else {
            return Err("`${` without `}`: write `$${` for a literal one".to_string());
        };
        let name = &after[..end];
        let value = env(name).ok_or_else(|| format!("the environment variable {name} is not set"))?;
        out.push_str(before);
        out.push_str(&value);
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn place_of(location: serde_saphyr::Location) -> Place {
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Place { line: number(location.line()), column: number(location.column()) }
}

/// The parser's message, whose own "at line 3, column 4" would repeat the problem's place.
fn without_place(error: &serde_saphyr::Error) -> String {
    // Its own text goes on with advice to who calls the parser.
    if let serde_saphyr::Error::DuplicateMappingKey { key, .. } = error.without_snippet() {
        let key = key.as_ref().map_or_else(|| "a key".to_string(), |key| format!("the key \"{key}\""));
        return format!("{key} is written twice in the same mapping");
    }
    let text = error.without_snippet().to_string();
    let first = text.lines().next().unwrap_or("not valid YAML");
    let end = first.find(" at line ").or_else(|| first.find(" (line ")).unwrap_or(first.len());
    let start = first.find(": ").filter(|_| first.starts_with("line ") || first.starts_with("error: line "));
    let message = start.map_or(&first[..end], |start| &first[start + 2..]);
    format!("not valid YAML: {message}")
}

/// A tree whose numbers still need the text they stand in.
struct Raw(RawTree);

struct RawTree {
    location: serde_saphyr::Location,
    kind: RawKind,
}

enum RawKind {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Raw>),
    Map(Vec<(Spanned<String>, Raw)>),
}

impl RawTree {
    fn keep(self, text: &str) -> Tree {
        let kind = match self.kind {
            RawKind::Null => Kind::Null,
            RawKind::Bool(bool) => Kind::Bool(bool),
            RawKind::Int(int) => Kind::Int(int),
            RawKind::Float(float) => number(written(text, self.location), float),
            RawKind::Text(text) => Kind::Text(text),
            RawKind::List(items) => Kind::List(items.into_iter().map(|item| item.0.keep(text)).collect()),
            RawKind::Map(members) => Kind::Map(
                members
                    .into_iter()
                    .map(|(name, value)| {
                        (Name { text: name.value, place: place_of(name.referenced) }, value.0.keep(text))
                    })
                    .collect(),
            ),
        };
        Tree { place: place_of(self.location), kind }
    }
}

/// What stands at a place in the text.
fn written(text: &str, location: serde_saphyr::Location) -> Option<&str> {
    let span = location.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
    text.get(start..end).map(str::trim)
}

/// The number as it was written if that is JSON too, else as floating point shows it (`.5`, `+1.0`).
fn number(written: Option<&str>, float: f64) -> Kind {
    let is_json = |text: &&str| matches!(Value::parse_json(text), Ok(Value::Int(_) | Value::Number(_)));
    match written.filter(is_json) {
        Some(text) => Kind::Number(text.into()),
        None => Kind::Number(serde_json::Number::from_f64(float).map_or("0".into(), |n| n.to_string().into())),
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<RawKind>::deserialize(deserializer)?;
        Ok(Raw(RawTree { location: spanned.referenced, kind: spanned.value }))
    }
}

impl<'de> Deserialize<'de> for RawKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = RawKind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<RawKind, E> {
        Ok(RawKind::Null)
    }

    fn visit_none<E>(self) -> Result<RawKind, E> {
        Ok(RawKind::Null)
    }

    fn visit_bool<E>(self, bool: bool) -> Result<RawKind, E> {
        Ok(RawKind::Bool(bool))
    }

    fn visit_i64<E>(self, int: i64) -> Result<RawKind, E> {
        Ok(RawKind::Int(int))
    }

    fn visit_u64<E>(self, int: u64) -> Result<RawKind, E> {
        // Beyond int8 the text is taken; the float only stands in for it.
        Ok(i64::try_from(int).map_or(RawKind::Float(int as f64), RawKind::Int))
    }

    fn visit_f64<E>(self, float: f64) -> Result<RawKind, E> {
        Ok(RawKind::Float(float))
    }

    fn visit_str<E>(self, text: &str) -> Result<RawKind, E> {
        Ok(RawKind::Text(text.to_string()))
    }

    fn visit_string<E>(self, text: String) -> Result<RawKind, E> {
        Ok(RawKind::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawKind, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(RawKind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<RawKind, A::Error> {
        let mut map = Vec::new();
        while let Some(member) = members.next_entry()? {
            map.push(member);
        }
        Ok(RawKind::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(tree: &Tree) -> String {
        match &tree.kind {
            Kind::Null => "null".into(),
            Kind::Bool(bool) => bool.to_string(),
            Kind::Int(int) => int.to_string(),
            Kind::Number(number) => format!("n{number}"),
            Kind::Text(text) => format!("{text:?}"),
            Kind::List(items) => format!("[{}]", items.iter().map(shape).collect::<Vec<_>>().join(",")),
            Kind::Map(members) => {
                let members: Vec<_> = members.iter().map(|(name, v)| format!("{}:{}", name.text, shape(v))).collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }

    #[test]
    fn yaml_and_json_become_the_same_tree() {
        let yaml =
            "a: 1\nb: [x, 'y', \"1\", yes, on, true, ~, null, 0.10, 12345678901234567890.5, 98765432109876543210]\n";
        let json = r#"{"a": 1, "b": ["x","y","1","yes","on",true,null,null,0.10,12345678901234567890.5,98765432109876543210]}"#;
        let expect = "{a:1,b:[\"x\",\"y\",\"1\",\"yes\",\"on\",true,null,null,n0.10,n12345678901234567890.5,n98765432109876543210]}";
        assert_eq!(shape(&Tree::parse(yaml).unwrap()), expect);
        assert_eq!(shape(&Tree::parse(json).unwrap()), expect);
    }

    #[test]
    fn places_are_lines_and_columns() {
        let tree = Tree::parse("a: 1\nb:\n  c: [x,\n    y]\n").unwrap();
        let Kind::Map(members) = &tree.kind else { panic!("a mapping") };
        let Kind::Map(inner) = &members[1].1.kind else { panic!("a mapping") };
        let Kind::List(items) = &inner[0].1.kind else { panic!("a list") };
        assert_eq!(members[1].0.place, Place { line: 2, column: 1 });
        assert_eq!(inner[0].0.place, Place { line: 3, column: 3 });
        assert_eq!(items[1].place, Place { line: 4, column: 5 });
    }

    #[test]
    fn faults_of_the_text_have_a_place() {
        let fault = |text: &str| Tree::parse(text).unwrap_err().to_string();
        assert_eq!(fault("a: 1\na: 2\n"), "2:1: the key \"a\" is written twice in the same mapping");
        assert_eq!(fault("b: { a: 1, \"a\": 2 }\n"), "1:12: the key \"a\" is written twice in the same mapping");
        assert!(fault("a: [1\nb: 2").contains("not valid YAML"));
        let deep = "[".repeat(5000);
        assert!(fault(&deep).contains("not valid YAML"));
    }

    #[test]
    fn the_environment_is_expanded_in_values() {
        let env = |name: &str| (name == "HOME").then(|| "/root".to_string());
        let expand = |text: &str| expanded(text, &env);
        assert_eq!(expand("${HOME}/x${HOME}").unwrap(), "/root/x/root");
        assert_eq!(expand("a$${HOME}").unwrap(), "a${HOME}");
        assert_eq!(expand("$${HOME}").unwrap(), "$${HOME}");
        assert_eq!(expand("${NO}").unwrap_err(), "the environment variable NO is not set");
        assert!(expand("${HOME").is_err());
    }
}
