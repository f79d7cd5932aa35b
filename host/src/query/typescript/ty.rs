//! Types as TypeScript writes them, and those of Postgres's JSON.

use std::sync::Arc;

use crate::data::{ColumnType, Decode, KeyClass, Value, write_json_text};

/// A type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ty {
    /// `string`, `number`, a union of literals: text that stands by itself.
    Plain(String),
    Object(Vec<Member>),
    Array(Box<Ty>),
    Nullable(Box<Ty>),
    Union(Vec<Ty>),
    Unknown,
}

/// A member of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: Arc<str>,
    pub optional: bool,
    pub ty: Ty,
}

impl Member {
    pub fn new(name: impl Into<Arc<str>>, ty: Ty) -> Self {
        Member { name: name.into(), optional: false, ty }
    }
}

impl Ty {
    pub fn plain(text: &str) -> Self {
        Ty::Plain(text.into())
    }

    /// What `to_jsonb` makes of a column's values, nulls aside.
    pub fn of_column(ty: &ColumnType) -> Self {
        match (&ty.element, &ty.class) {
            (Some(element), _) => Ty::Array(Box::new(Ty::of_column(element))),
            (None, Some(KeyClass::Enum { labels, .. })) => Ty::choice(labels.iter().map(|label| &**label)),
            _ => Ty::of_decode(&ty.decode),
        }
    }

    fn of_decode(decode: &Decode) -> Self {
        match decode {
            Decode::Bool => Ty::plain("boolean"),
            Decode::Number => Ty::plain("number"),
            Decode::Json => Ty::Unknown,
            Decode::Array { element, .. } => Ty::Array(Box::new(Ty::of_decode(element))),
            Decode::Composite(fields) => {
                let member =
                    |(name, decode): &(Arc<str>, Decode)| Member::new(name.clone(), Ty::of_decode(decode).nullable());
                Ty::Object(fields.iter().map(member).collect())
            }
            Decode::Date | Decode::Timestamp | Decode::Timestamptz | Decode::Text => Ty::plain("string"),
        }
    }

    /// The type a literal of the configuration has, not the literal itself.
    pub fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Ty::plain("null"),
            Value::Bool(_) => Ty::plain("boolean"),
            Value::Int(_) | Value::Number(_) => Ty::plain("number"),
            Value::Text(_) => Ty::plain("string"),
            Value::Object(object) => Ty::Object(
                object.members().map(|(name, value)| Member::new(name.clone(), Ty::of_value(value))).collect(),
            ),
            Value::Array(_) | Value::List(_) => {
                let mut types: Vec<Ty> = Vec::new();
                for ty in value.elements().into_iter().flatten().map(Ty::of_value) {
                    if !types.contains(&ty) {
                        types.push(ty);
                    }
                }
                Ty::Array(Box::new(Ty::union(types)))
            }
        }
    }

    /// One of these texts.
    pub fn choice<'t>(texts: impl Iterator<Item = &'t str>) -> Self {
        let quoted = texts.map(quoted).collect::<Vec<_>>();
        if quoted.is_empty() { Ty::plain("never") } else { Ty::Plain(quoted.join(" | ")) }
    }

    /// Any of these.
    pub fn union(mut types: Vec<Ty>) -> Self {
        match types.len() {
            _ if types.contains(&Ty::Unknown) => Ty::Unknown,
            0 => Ty::Unknown,
            1 => types.remove(0),
            _ => Ty::Union(types),
        }
    }

    pub fn nullable(self) -> Self {
        match self {
            Ty::Unknown | Ty::Nullable(_) => self,
            ty => Ty::Nullable(Box::new(ty)),
        }
    }

    /// The same of who is given every number as a string.
    pub fn with_numbers_as_strings(self) -> Self {
        match self {
            Ty::Plain(text) if text == "number" => Ty::plain("string"),
            Ty::Object(members) => {
                let member = |member: Member| Member { ty: member.ty.with_numbers_as_strings(), ..member };
                Ty::Object(members.into_iter().map(member).collect())
            }
            Ty::Array(element) => Ty::Array(Box::new(element.with_numbers_as_strings())),
            Ty::Nullable(inner) => inner.with_numbers_as_strings().nullable(),
            Ty::Union(types) => {
                let mut all: Vec<Ty> = Vec::new();
                for ty in types.into_iter().map(Ty::with_numbers_as_strings) {
                    if !all.contains(&ty) {
                        all.push(ty);
                    }
                }
                Ty::union(all)
            }
            Ty::Plain(_) | Ty::Unknown => self,
        }
    }

    /// The type of the member `name`, if this is an object that has it.
    pub fn member(&self, name: &str) -> Option<Ty> {
        match self {
            Ty::Object(members) => members.iter().find(|have| &*have.name == name).map(|have| have.ty.clone()),
            Ty::Nullable(inner) => inner.member(name).map(Ty::nullable),
            _ => None,
        }
    }

    /// Appends it as text; further lines begin with `indent`.
    pub fn write(&self, indent: &str, out: &mut String) {
        match self {
            Ty::Plain(text) => out.push_str(text),
            Ty::Unknown => out.push_str("unknown"),
            Ty::Object(members) if members.is_empty() => out.push_str("Record<string, never>"),
            Ty::Object(members) => write_members(members, indent, out),
            Ty::Array(element) => {
                let single = match &**element {
                    Ty::Plain(text) => !text.contains('|'),
                    Ty::Nullable(_) | Ty::Union(_) => false,
                    Ty::Object(_) | Ty::Array(_) | Ty::Unknown => true,
                };
                out.push_str(if single { "" } else { "(" });
                element.write(indent, out);
                out.push_str(if single { "[]" } else { ")[]" });
            }
            Ty::Nullable(inner) => {
                inner.write(indent, out);
                out.push_str(" | null");
            }
            Ty::Union(types) => {
                for (index, ty) in types.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { " | " });
                    ty.write(indent, out);
                }
            }
        }
    }
}

/// Appends an object's members in braces.
pub fn write_members(members: &[Member], indent: &str, out: &mut String) {
    if members.is_empty() {
        return out.push_str("{}");
    }
    let inner = format!("{indent}  ");
    out.push_str("{\n");
    for member in members {
        out.push_str(&inner);
        out.push_str(&property(&member.name));
        out.push_str(if member.optional { "?: " } else { ": " });
        member.ty.write(&inner, out);
        out.push_str(";\n");
    }
    out.push_str(indent);
    out.push('}');
}

/// A property's name, in quotes unless it is an identifier.
fn property(name: &str) -> String {
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '$';
    let plain = name.starts_with(starts) && name.chars().all(|c| starts(c) || c.is_ascii_digit());
    if plain { name.to_owned() } else { quoted(name) }
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    write_json_text(text, &mut out);
    out
}
