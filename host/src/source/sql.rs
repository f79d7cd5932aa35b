//! SQL for upqueries: literals, keys, and conditions that mean in Postgres what they mean in memory.
//!
//! # Literals
//!
//! A batch of the simple protocol is parsed before its `SET` runs, so `standard_conforming_strings` cannot be pinned by it.
//! Hence a text with a backslash is written `E'...'`, which means the same under either setting.
//!
//! # Values that are not of the class
//!
//! In memory a value that is not of the class compared is equal to nothing and the comparison is unknown. In SQL it would
//! be an error that fails the upquery for everybody. So such a value becomes a null, or the key is left out.
//!
//! # Text
//!
//! Equality of texts is that of their bytes under every deterministic collation, so it is written plainly and uses any
//! index. Order is by code point here, hence `COLLATE "C"` there. A column without a collation (`"char"`) is cast first.

use std::fmt::Write as _;

use crate::data::{
    Column, Comparison, Decode, Expr, Field, KeyBuilder, KeyClass, Operand, Table, Value, is_like_pattern,
    quote_identifier,
};

/// A condition that is not of the bound form an upquery takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SqlError {
    #[error("a condition on a computed field reached the database")]
    Path,
    #[error("a condition with an open parameter reached the database")]
    Param,
    #[error("a condition on an unknown column reached the database")]
    Column,
}

/// A text as SQL writes it.
pub(super) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// An array's text as SQL writes it, without a type.
pub(super) fn array<'a>(elements: impl IntoIterator<Item = Option<&'a str>>) -> String {
    let mut out = String::from("{");
    for element in elements {
        if out.len() > 1 {
            out.push(',');
        }
        match element {
            None => out.push_str("NULL"),
            Some(text) => {
                let _ = write!(out, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            }
        }
    }
    out.push('}');
    literal(&out)
}

/// The text Postgres reads as this value of the class; `None` if it is null or no such value.
fn input(class: &KeyClass, value: &Value) -> Option<String> {
    if !KeyBuilder::new().push(class, value) {
        return None;
    }
    if *class == KeyClass::Json {
        return Some(value.to_json());
    }
    let text = scalar(value)?;
    // No text of Postgres has it, and the server would refuse the whole batch.
    if text.contains('\0') { None } else { Some(text) }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(if *value { "t" } else { "f" }.to_string()),
        Value::Int(value) => Some(value.to_string()),
        Value::Number(text) | Value::Text(text) => Some(text.to_string()),
        _ => None,
    }
}

/// The type of a literal compared with this column: a float4 is compared as it is, for 0.1 is another number as float8.
fn literal_type<'a>(column: &'a Column, class: &'a KeyClass) -> &'a str {
    if *class == KeyClass::Float && column.ty.class.as_ref() == Some(class) { base_float(column) } else { class.sql() }
}

fn base_float(column: &Column) -> &str {
    // A domain over float4 compares as float4 too, and the domain's name does for it.
    if &*column.ty.sql == "float8" { "float8" } else { &column.ty.sql }
}

fn name(column: &Column) -> String {
    format!("t.{}", quote_identifier(&column.name))
}

/// The condition for rows in one of the groups `keys`; `None` if no row can be.
pub(super) fn keys(table: &Table, key: &[(usize, KeyClass)], keys: &[Vec<Value>]) -> Result<Option<String>, SqlError> {
    let mut columns = Vec::with_capacity(key.len());
    for (column, class) in key {
        columns.push((table.columns.get(*column).ok_or(SqlError::Column)?, class));
    }
    let texts = keys.iter().filter_map(|key| {
        let parts = columns.iter().zip(key).map(|((_, class), value)| input(class, value));
        parts.collect::<Option<Vec<String>>>().filter(|parts| parts.len() == columns.len())
    });
    let texts: Vec<Vec<String>> = texts.collect();
    if key.is_empty() {
        return Ok(Some("true".into()));
    }
    let Some(first) = texts.first() else { return Ok(None) };
    if texts.len() == 1 {
        let equal = columns.iter().zip(first).map(|((column, class), text)| {
            format!("{} = {}::{}", name(column), literal(text), literal_type(column, class))
        });
        return Ok(Some(equal.collect::<Vec<_>>().join(" AND ")));
    }
    let lists = columns.iter().enumerate().map(|(index, (column, class))| {
        let list = array(texts.iter().map(|parts| Some(parts[index].as_str())));
        format!("{list}::{}[]", literal_type(column, class))
    });
    let lists: Vec<String> = lists.collect();
    let names: Vec<String> = columns.iter().map(|(column, _)| name(column)).collect();
    Ok(Some(match (names.as_slice(), lists.as_slice()) {
        ([name], [list]) => format!("{name} = ANY ({list})"),
        _ => format!("({}) IN (SELECT * FROM unnest({}))", names.join(", "), lists.join(", ")),
    }))
}

/// A condition as SQL, with the meaning of [`Expr::test`](crate::data::Expr).
pub(super) fn condition(table: &Table, expr: &Expr) -> Result<String, SqlError> {
    write(table, expr, false)
}

/// `denied`: below a `NOT`, where false and unknown are no longer the same.
fn write(table: &Table, expr: &Expr, denied: bool) -> Result<String, SqlError> {
    let several = |parts: &[Expr], word: &str, none: &str| -> Result<String, SqlError> {
        let parts = parts.iter().map(|part| write(table, part, denied)).collect::<Result<Vec<_>, _>>()?;
        Ok(if parts.is_empty() { none.to_string() } else { format!("({})", parts.join(word)) })
    };
    match expr {
        Expr::All(parts) => several(parts, " AND ", "true"),
        Expr::Any(parts) => several(parts, " OR ", "false"),
        Expr::Not(part) => Ok(format!("(NOT {})", write(table, part, true)?)),
        Expr::IsNull(field) => Ok(is_null(column(table, field)?)),
        Expr::Compare { field, class, op, with } => compare(column(table, field)?, class, *op, value(with)?),
        Expr::In { field, class, list } => Ok(is_in(column(table, field)?, class, value(list)?)),
        Expr::Like { field, pattern, fold } => Ok(like(column(table, field)?, value(pattern)?, *fold)),
        Expr::Contains { field, element, with } => {
            let column = column(table, field)?;
            Ok(match element {
                Some(element) => arrays(column, element, value(with)?, "@>"),
                None => contains_json(column, value(with)?, denied),
            })
        }
        Expr::Overlaps { field, element, with } => Ok(arrays(column(table, field)?, element, value(with)?, "&&")),
    }
}

fn column<'a>(table: &'a Table, field: &Field) -> Result<&'a Column, SqlError> {
    match field {
        Field::Column(index) => table.columns.get(*index).ok_or(SqlError::Column),
        Field::Path(_) => Err(SqlError::Path),
    }
}

fn value(operand: &Operand) -> Result<&Value, SqlError> {
    match operand {
        Operand::Value(value) => Ok(value),
        Operand::Param(_) => Err(SqlError::Param),
    }
}

const UNKNOWN: &str = "NULL::bool";

/// Not `IS NULL`, which is true of a composite whose fields are all null. The JSON null is what a row shows for both.
fn is_null(column: &Column) -> String {
    let plain = format!("{} IS NOT DISTINCT FROM NULL", name(column));
    match column.ty.decode {
        Decode::Json => format!("(({plain}) OR {}::jsonb = 'null'::jsonb)", name(column)),
        _ => format!("({plain})"),
    }
}

/// The column as it is put in order, matched or folded.
fn collated(column: &Column, class: &KeyClass) -> String {
    match class {
        KeyClass::Text if &*column.ty.sql == "\"char\"" => format!("{}::text COLLATE \"C\"", name(column)),
        KeyClass::Text | KeyClass::BpChar => format!("{} COLLATE \"C\"", name(column)),
        _ => name(column),
    }
}

fn compare(column: &Column, class: &KeyClass, op: Comparison, with: &Value) -> Result<String, SqlError> {
    let Some(text) = input(class, with) else { return Ok(UNKNOWN.into()) };
    let (sign, equality) = match op {
        Comparison::Eq => ("=", true),
        Comparison::Ne => ("<>", true),
        Comparison::Lt => ("<", false),
        Comparison::Lte => ("<=", false),
        Comparison::Gt => (">", false),
        Comparison::Gte => (">=", false),
    };
    let left = if equality { name(column) } else { collated(column, class) };
    Ok(format!("({left} {sign} {}::{})", literal(&text), literal_type(column, class)))
}

fn is_in(column: &Column, class: &KeyClass, list: &Value) -> String {
    let Some(elements) = list.elements() else { return UNKNOWN.into() };
    let texts: Vec<Option<String>> = elements.map(|element| input(class, element)).collect();
    let list = array(texts.iter().map(Option::as_deref));
    format!("({} = ANY ({list}::{}[]))", name(column), literal_type(column, class))
}

fn like(column: &Column, pattern: &Value, fold: bool) -> String {
    let Value::Text(pattern) = pattern else { return UNKNOWN.into() };
    if !is_like_pattern(pattern) || pattern.contains('\0') {
        // Matches nothing: false, unknown for a null.
        return format!("({} IS NULL AND {UNKNOWN})", name(column));
    }
    let class = column.ty.class.clone().unwrap_or(KeyClass::Text);
    // Folding is a matter of the collation. That of the database is not known in memory; "C" folds ASCII, everywhere.
    let word = if fold { "ILIKE" } else { "LIKE" };
    format!("({} {word} {})", collated(column, &class), literal(pattern))
}

fn contains_json(column: &Column, with: &Value, denied: bool) -> String {
    // A JSON null that is searched for cannot be told from no operand.
    if matches!(with, Value::Null) {
        return UNKNOWN.into();
    }
    let text = with.to_json();
    if text.contains("\\u0000") {
        return UNKNOWN.into();
    }
    let plain = format!("({}::jsonb @> {}::jsonb)", name(column), literal(&text));
    // In memory a JSON null is a null; this form uses no index, so it stands only where it matters.
    if denied { format!("(CASE WHEN {}::jsonb <> 'null'::jsonb THEN {plain} END)", name(column)) } else { plain }
}

fn arrays(column: &Column, class: &KeyClass, with: &Value, operator: &str) -> String {
    if with.elements().is_none() {
        return UNKNOWN.into();
    }
    let mut texts = Vec::new();
    flatten(class, with, &mut |element| texts.push(input(class, element).filter(|text| in_range(column, text))));
    // A null element equals nothing: it is never contained, and overlaps with nothing.
    let list = array(texts.iter().map(Option::as_deref));
    format!("({} {operator} {list}::{})", name(column), column.ty.sql)
}

/// Visits the elements of an array of any dimensions. JSON elements may be arrays themselves and are taken as they are.
fn flatten(class: &KeyClass, value: &Value, visit: &mut impl FnMut(&Value)) {
    for element in value.elements().into_iter().flatten() {
        if *class != KeyClass::Json && element.elements().is_some() {
            flatten(class, element, visit);
        } else {
            visit(element);
        }
    }
}

/// Whether the number is one of the array's own type, not only of its class.
fn in_range(column: &Column, text: &str) -> bool {
    match column.ty.element.as_ref().map_or("", |element| &*element.sql) {
        "int2" => text.parse::<i16>().is_ok(),
        "int4" => text.parse::<i32>().is_ok(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::{ColumnType, Identity};

    fn table() -> Table {
        let column = |name: &str, sql: &str, class: Option<KeyClass>| Column {
            name: name.into(),
            ty: Arc::new(ColumnType { oid: 0, sql: sql.into(), decode: Decode::Text, class, element: None }),
            not_null: false,
        };
        let columns = vec![
            column("id", "int4", Some(KeyClass::Int)),
            column("Name", "text", Some(KeyClass::Text)),
            column("ratio", "float4", Some(KeyClass::Float)),
        ];
        let (schema, name) = ("public".into(), "t".into());
        Table { schema, name, columns, identity: Identity::Columns(vec![0]), primary_key: vec![0] }
    }

    fn json(text: &str) -> Value {
        Value::parse_json(text).expect("JSON of a test")
    }

    #[test]
    fn texts_stay_texts() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\'; DROP"), r"E'a\\''; DROP'");
        assert_eq!(array([Some(r#"a"b\"#), None, Some("")]), r#"E'{"a\\"b\\\\",NULL,""}'"#);
    }

    #[test]
    fn keys_use_indexes_and_leave_out_what_equals_nothing() {
        let table = table();
        let sql = |columns: &[(usize, KeyClass)], keys: &[&str]| {
            let keys: Vec<Vec<Value>> =
                keys.iter().map(|key| json(key).elements().expect("an array").cloned().collect()).collect();
            self::keys(&table, columns, &keys).expect("bound")
        };
        let id = [(0, KeyClass::Int)];
        assert_eq!(sql(&id, &["[1]"]).as_deref(), Some("t.id = '1'::int8"));
        assert_eq!(
            sql(&id, &["[1]", "[null]", "[\"x\"]", "[2]"]).as_deref(),
            Some(r#"t.id = ANY ('{"1","2"}'::int8[])"#)
        );
        assert_eq!(sql(&id, &["[null]"]), None);
        assert_eq!(sql(&[], &[]).as_deref(), Some("true"));
        let both = [(0, KeyClass::Int), (1, KeyClass::Text)];
        assert_eq!(sql(&both, &["[1,\"a\"]"]).as_deref(), Some("t.id = '1'::int8 AND t.\"Name\" = 'a'::text"));
        assert_eq!(
            sql(&both, &["[1,\"a\"]", "[2,\"b\"]"]).as_deref(),
            Some(r#"(t.id, t."Name") IN (SELECT * FROM unnest('{"1","2"}'::int8[], '{"a","b"}'::text[]))"#)
        );
    }

    #[test]
    fn conditions_keep_their_meaning() {
        let compare = |column, class, op, with: &str| Expr::Compare {
            field: Field::Column(column),
            class,
            op,
            with: Operand::Value(json(with)),
        };
        for (expr, expected) in [
            (compare(1, KeyClass::Text, Comparison::Lt, "\"b\""), "(t.\"Name\" COLLATE \"C\" < 'b'::text)"),
            (compare(1, KeyClass::Text, Comparison::Ne, "\"b\""), "(t.\"Name\" <> 'b'::text)"),
            (compare(0, KeyClass::Int, Comparison::Eq, "\"b\""), "NULL::bool"),
            (compare(2, KeyClass::Float, Comparison::Eq, "0.1"), "(t.ratio = '0.1'::float4)"),
            (Expr::All(vec![]), "true"),
            (Expr::Not(Box::new(Expr::Any(vec![]))), "(NOT false)"),
            (Expr::IsNull(Field::Column(0)), "(t.id IS NOT DISTINCT FROM NULL)"),
        ] {
            assert_eq!(condition(&table(), &expr).as_deref(), Ok(expected));
        }
        let path = Expr::IsNull(Field::Path(vec!["a".into()]));
        assert_eq!(condition(&table(), &path), Err(SqlError::Path));
    }
}
