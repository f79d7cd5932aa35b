//! The column types that generated schemas use, and small domains of values so that joins and conditions hit.

use serde_json::{Value, json};

use super::dice::Dice;

/// A column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Int4,
    Int8,
    Numeric,
    Text,
    Bool,
    Timestamptz,
    Float8,
    Uuid,
    Mood,
    Jsonb,
    Int4Array,
    TextArray,
    /// Text beyond 2 kB, stored out of line: an update that leaves it alone does not send it.
    Blob,
}

/// A value in the three forms a case needs.
#[derive(Clone, Debug)]
pub struct Literal {
    /// As SQL writes it, with its type.
    pub sql: String,
    /// As a query's constant.
    pub json: Value,
    /// As a parameter's text in a URL, not yet percent-encoded.
    pub text: String,
}

/// How often a value from the edge of a type's range is drawn.
const EDGE: f64 = 0.08;

impl Kind {
    pub const PLAIN: [Kind; 13] = [
        Kind::Int4,
        Kind::Int8,
        Kind::Numeric,
        Kind::Text,
        Kind::Bool,
        Kind::Timestamptz,
        Kind::Float8,
        Kind::Uuid,
        Kind::Mood,
        Kind::Jsonb,
        Kind::Int4Array,
        Kind::TextArray,
        Kind::Blob,
    ];

    /// The type's name in SQL.
    pub fn sql(self) -> &'static str {
        match self {
            Kind::Int4 => "int4",
            Kind::Int8 => "int8",
            Kind::Numeric => "numeric",
            Kind::Text | Kind::Blob => "text",
            Kind::Bool => "bool",
            Kind::Timestamptz => "timestamptz",
            Kind::Float8 => "float8",
            Kind::Uuid => "uuid",
            Kind::Mood => "mood",
            Kind::Jsonb => "jsonb",
            Kind::Int4Array => "int4[]",
            Kind::TextArray => "text[]",
        }
    }

    /// Whether `=` and `<` of this type are promised to be reproduced.
    pub fn compares(self) -> bool {
        !matches!(self, Kind::Jsonb | Kind::Int4Array | Kind::TextArray | Kind::Blob)
    }

    /// Whether SQL sorts and compares it by collation.
    pub fn collates(self) -> bool {
        matches!(self, Kind::Text | Kind::Blob)
    }

    /// A value for a row, null not among them.
    pub fn value(self, dice: &mut Dice) -> Literal {
        let edge = dice.chance(EDGE);
        match self {
            Kind::Numeric if edge => self.one_of(dice, &["NaN", "123456789012345678901234567890.5", "1e-20"]),
            Kind::Float8 if edge => self.one_of(dice, &["NaN", "Infinity", "-Infinity", "-0", "5e-324"]),
            Kind::Timestamptz if edge => self.one_of(dice, &["infinity", "-infinity", "0044-03-15 12:00:00+00 BC"]),
            Kind::Text if edge => {
                let long = format!("long {}", "αβγ ".repeat(dice.between(1, 40)));
                self.one_of(dice, &["", "\\", "'\"\n\t\u{1}", "😀", long.as_str()])
            }
            _ => self.constant(dice),
        }
    }

    /// A value that a condition may compare with: what JSON and a URL can say without doubt.
    pub fn constant(self, dice: &mut Dice) -> Literal {
        let edge = dice.chance(EDGE);
        match self {
            Kind::Int4 if edge => self.one_of(dice, &["-2147483648", "2147483647"]),
            Kind::Int8 if edge => self.one_of(dice, &["9007199254740993", "-9223372036854775808"]),
            Kind::Int4 | Kind::Int8 => self.literal(&(dice.between(0, 9) as i64 - 1).to_string()),
            Kind::Numeric => {
                self.one_of(dice, &["0", "1", "1.0", "1.50", "1.5", "-2.25", "3", "100000000000000000000"])
            }
            Kind::Float8 => self.one_of(dice, &["0", "1.5", "-2.25", "0.1", "1e300", "3"]),
            Kind::Text => {
                self.one_of(dice, &["a", "b", "B", "ab", "Zoë", "é", "z", "a_b", "50%", "$5", "O'Hara", "Ünder"])
            }
            Kind::Blob => {
                let seed = dice.between(0, 3);
                self.literal(&format!("{seed}{}", "0123456789abcdef".repeat(150 + seed)))
            }
            Kind::Bool => self.one_of(dice, &["true", "false"]),
            Kind::Timestamptz => self.one_of(
                dice,
                &[
                    "2024-02-29T12:00:00+00:00",
                    "2024-02-29T12:00:00.123456+00:00",
                    "1999-12-31T23:59:59+00:00",
                    "2038-01-19T03:14:08+00:00",
                ],
            ),
            Kind::Uuid => self.literal(&format!("6ba7b810-9dad-41d1-80b4-0000000000{:02x}", dice.between(0, 9) * 25)),
            Kind::Mood => self.one_of(dice, &["sad", "ok", "happy"]),
            Kind::Jsonb => self.one_of(
                dice,
                &[
                    r#"{"a":1}"#,
                    r#"{"a":1.0,"b":[1,"x",null]}"#,
                    r#"{"b":[1]}"#,
                    "[1,2]",
                    "{}",
                    r#""a""#,
                    "12345678901234567890.10",
                ],
            ),
            Kind::Int4Array => self.one_of(dice, &["{}", "{1}", "{1,2}", "{2,1,2}", "{7}"]),
            Kind::TextArray => self.one_of(dice, &["{}", "{a}", "{a,b}", r#"{"a b","\"q\""}"#, "{é}"]),
        }
    }

    /// The literal of one of these texts.
    fn one_of(self, dice: &mut Dice, texts: &[&str]) -> Literal {
        self.literal(texts[dice.between(0, texts.len() - 1)])
    }

    /// The value number `n` of a key's domain.
    pub fn key(self, n: usize) -> Literal {
        match self {
            Kind::Text => self.literal(&format!("{}{n}", ["k", "K", "é", "$"][n % 4])),
            Kind::Uuid => self.literal(&format!("6ba7b810-9dad-41d1-80b4-0000000000{:02x}", n * 19)),
            _ => self.literal(&n.to_string()),
        }
    }

    /// What a text of Postgres means in each form.
    fn literal(self, text: &str) -> Literal {
        let json = match self {
            Kind::Int4 | Kind::Int8 | Kind::Numeric | Kind::Float8 | Kind::Bool | Kind::Jsonb => {
                serde_json::from_str(text).unwrap_or_else(|_| json!(text))
            }
            Kind::Int4Array => {
                json!(items(text).iter().map(|item| item.parse::<i64>().unwrap_or(0)).collect::<Vec<_>>())
            }
            Kind::TextArray => json!(items(text)),
            _ => json!(text),
        };
        Literal { sql: format!("{}::{}", quote(text), self.sql()), json: escape_dollar(json), text: text.to_owned() }
    }
}

/// A text constant in SQL; the `E` form, so that it means the same whatever the session says about backslashes.
pub fn quote(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A name in SQL, always quoted.
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The elements of the few array texts above.
fn items(text: &str) -> Vec<String> {
    match text {
        r#"{"a b","\"q\""}"# => vec!["a b".into(), "\"q\"".into()],
        _ => text.trim_matches(['{', '}']).split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect(),
    }
}

/// A text that begins with `$` would name a parameter.
fn escape_dollar(value: Value) -> Value {
    match value {
        Value::String(text) if text.starts_with('$') => Value::String(format!("${text}")),
        other => other,
    }
}
