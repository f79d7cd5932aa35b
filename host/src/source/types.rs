//! Postgres types: how a value's text becomes JSON, and how values compare.
//!
//! Both are decided here, once per type, by what `to_jsonb` and the type's operators do (json.c, `json_categorize_type`).
//! A type whose equality or order is not certain to be reproduced gets no class, and so is refused in joins and
//! conditions: a text under a nondeterministic collation (`'a' = 'A'`), citext and other extension types, intervals,
//! ranges, composites.

use std::collections::HashMap;
use std::sync::Arc;

use crate::data::{ColumnType, Decode, KeyClass, quote_identifier};

/// A row of `pg_type`, with what hangs on it.
#[derive(Clone, Debug)]
pub(super) struct TypeRow {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    /// `typtype`: b, c, d, e, m, p, r.
    pub kind: u8,
    /// The element's type if this is a true array; 0 otherwise.
    pub element: u32,
    /// A domain's base type; 0 otherwise.
    pub base: u32,
    pub delimiter: u8,
    /// Whether the type's own collation is deterministic; true without one.
    pub deterministic: bool,
    /// An enum's labels in order.
    pub labels: Vec<Arc<str>>,
    /// A composite's fields.
    pub fields: Vec<(Arc<str>, u32)>,
}

/// All types of the database, resolved when asked for.
#[derive(Default)]
pub(super) struct Types {
    rows: HashMap<u32, TypeRow>,
    resolved: HashMap<(u32, bool), Arc<ColumnType>>,
}

/// Postgres forbids types that contain themselves; this only guards against a catalogue that says otherwise.
const DEPTH: usize = 64;

impl Types {
    pub fn new(rows: impl IntoIterator<Item = TypeRow>) -> Self {
        Types { rows: rows.into_iter().map(|row| (row.oid, row)).collect(), resolved: HashMap::new() }
    }

    /// The type of a column; `deterministic` says so of the column's collation.
    pub fn get(&mut self, oid: u32, deterministic: bool) -> Arc<ColumnType> {
        self.resolve(oid, deterministic, 0)
    }

    fn resolve(&mut self, oid: u32, deterministic: bool, depth: usize) -> Arc<ColumnType> {
        if let Some(ty) = self.resolved.get(&(oid, deterministic)) {
            return ty.clone();
        }
        let ty = Arc::new(self.make(oid, deterministic, depth));
        self.resolved.insert((oid, deterministic), ty.clone());
        ty
    }

    fn make(&mut self, oid: u32, deterministic: bool, depth: usize) -> ColumnType {
        let unknown = || ColumnType { oid, sql: "text".into(), decode: Decode::Text, class: None, element: None };
        let Some(row) = self.rows.get(&oid).cloned().filter(|_| depth < DEPTH) else { return unknown() };
        let sql: Arc<str> = self.sql(&row).into();
        let plain = |decode, class| ColumnType { oid, sql: sql.clone(), decode, class, element: None };
        match row.kind {
            b'd' => {
                let base = self.resolve(row.base, deterministic && row.deterministic, depth + 1);
                ColumnType { oid, sql, ..(*base).clone() }
            }
            b'e' => {
                let labels = row.labels.into();
                plain(Decode::Text, Some(KeyClass::Enum { sql: sql.clone(), labels }))
            }
            b'c' => {
                let fields = row.fields.into_iter();
                let fields = fields.map(|(name, ty)| (name, self.resolve(ty, true, depth + 1).decode.clone()));
                plain(Decode::Composite(fields.collect()), None)
            }
            _ if row.element != 0 => {
                let element = self.resolve(row.element, deterministic, depth + 1);
                let delimiter = self.rows.get(&row.element).map_or(b',', |element| element.delimiter);
                let decode = Decode::Array { element: Box::new(element.decode.clone()), delimiter };
                ColumnType { oid, sql, decode, class: None, element: Some(element) }
            }
            _ => {
                let (decode, class) = built_in(oid);
                let class = class.filter(|class| deterministic || !matches!(class, KeyClass::Text | KeyClass::BpChar));
                plain(decode, class)
            }
        }
    }

    /// The name that means exactly this type with an empty search path.
    fn sql(&self, row: &TypeRow) -> String {
        if row.element != 0
            && row.name.starts_with('_')
            && let Some(element) = self.rows.get(&row.element)
        {
            return format!("{}[]", self.sql(element));
        }
        match row.name.as_str() {
            // Unquoted, these mean char(1) and bit(1).
            "char" | "bit" if row.schema == "pg_catalog" => format!("\"{}\"", row.name),
            name if row.schema == "pg_catalog" => name.to_string(),
            name => format!("{}.{}", quote_identifier(&row.schema), quote_identifier(name)),
        }
    }

    /// Every type by each name SQL knows it by.
    pub fn by_name(&mut self) -> HashMap<Arc<str>, Arc<ColumnType>> {
        let mut names: HashMap<Arc<str>, Arc<ColumnType>> = HashMap::new();
        let mut rows: Vec<TypeRow> = self.rows.values().filter(|row| row.kind != b'p').cloned().collect();
        // Of equal short names the one in pg_catalog wins, as with any search path.
        rows.sort_by_key(|row| (row.schema != "pg_catalog", row.oid));
        for row in rows {
            let ty = self.get(row.oid, row.deterministic);
            let array = row.element != 0 && row.name.starts_with('_');
            let spelled = if array { &row.name[1..] } else { &row.name };
            let suffix = if array { "[]" } else { "" };
            let mut add = |name: String| {
                names.entry(format!("{name}{suffix}").into()).or_insert_with(|| ty.clone());
            };
            if matches!(row.schema.as_str(), "pg_catalog" | "public") && spelled != "char" {
                add(spelled.to_string());
                add(quote_identifier(spelled));
            }
            if row.schema == "pg_catalog" {
                ALIASES.iter().filter(|(_, name)| *name == spelled).for_each(|(alias, _)| add((*alias).to_string()));
            }
            names.entry(ty.sql.clone()).or_insert_with(|| ty.clone());
        }
        names
    }
}

/// Names that SQL's grammar knows and the catalogue does not.
const ALIASES: &[(&str, &str)] = &[
    ("bigint", "int8"),
    ("boolean", "bool"),
    ("bit varying", "varbit"),
    ("char", "bpchar"),
    ("character", "bpchar"),
    ("character varying", "varchar"),
    ("decimal", "numeric"),
    ("double precision", "float8"),
    ("float", "float8"),
    ("int", "int4"),
    ("integer", "int4"),
    ("real", "float4"),
    ("smallint", "int2"),
    ("time without time zone", "time"),
    ("time with time zone", "timetz"),
    ("timestamp without time zone", "timestamp"),
    ("timestamp with time zone", "timestamptz"),
];

/// Types that every database has, by their fixed oids (pg_type.dat).
fn built_in(oid: u32) -> (Decode, Option<KeyClass>) {
    match oid {
        16 => (Decode::Bool, Some(KeyClass::Bool)),
        20 | 21 | 23 => (Decode::Number, Some(KeyClass::Int)),
        700 | 701 => (Decode::Number, Some(KeyClass::Float)),
        1700 => (Decode::Number, Some(KeyClass::Numeric)),
        114 | 3802 => (Decode::Json, None),
        1082 => (Decode::Date, Some(KeyClass::Date)),
        1114 => (Decode::Timestamp, Some(KeyClass::Timestamp)),
        1184 => (Decode::Timestamptz, Some(KeyClass::Timestamptz)),
        1083 => (Decode::Text, Some(KeyClass::Time)),
        17 => (Decode::Text, Some(KeyClass::Bytea)),
        18 | 19 | 25 | 1043 => (Decode::Text, Some(KeyClass::Text)),
        1042 => (Decode::Text, Some(KeyClass::BpChar)),
        2950 => (Decode::Text, Some(KeyClass::Uuid)),
        _ => (Decode::Text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(oid: u32, name: &str, kind: u8) -> TypeRow {
        let (schema, name) = name.split_once('.').unwrap_or(("pg_catalog", name));
        let (schema, name) = (schema.to_string(), name.to_string());
        let (labels, fields) = (Vec::new(), Vec::new());
        TypeRow { oid, schema, name, kind, element: 0, base: 0, delimiter: b',', deterministic: true, labels, fields }
    }

    fn types() -> Types {
        Types::new([
            row(23, "int4", b'b'),
            TypeRow { element: 23, ..row(1007, "_int4", b'b') },
            row(18, "char", b'b'),
            row(1042, "bpchar", b'b'),
            row(25, "text", b'b'),
            TypeRow { labels: vec!["sad".into(), "ok".into()], ..row(900, "public.Mood", b'e') },
            TypeRow { base: 900, ..row(901, "app.feeling", b'd') },
            TypeRow { element: 901, ..row(902, "app._feeling", b'b') },
            TypeRow { fields: vec![("a".into(), 23), ("b".into(), 902)], ..row(903, "public.pair", b'c') },
        ])
    }

    #[test]
    fn names_are_exact() {
        let mut types = types();
        let sql = |types: &mut Types, oid| types.get(oid, true).sql.to_string();
        let names: Vec<String> = [23, 1007, 18, 900, 901, 902].map(|oid| sql(&mut types, oid)).into();
        assert_eq!(names, ["int4", "int4[]", "\"char\"", "public.\"Mood\"", "app.feeling", "app.feeling[]"]);
        let by_name = types.by_name();
        for (name, oid) in [("integer", 23), ("int[]", 1007), ("char", 1042), ("\"char\"", 18), ("Mood", 900)] {
            assert_eq!(by_name.get(name).map(|ty| ty.oid), Some(oid), "{name}");
        }
    }

    #[test]
    fn domains_are_their_base_and_composites_nest() {
        let mut types = types();
        assert!(matches!(types.get(901, true).class, Some(KeyClass::Enum { .. })));
        let Decode::Composite(fields) = &types.get(903, true).decode else { panic!("a composite") };
        assert!(matches!(&fields[1].1, Decode::Array { element, delimiter: b',' } if **element == Decode::Text));
    }

    #[test]
    fn what_is_not_reproduced_has_no_class() {
        let mut types = types();
        assert_eq!(types.get(25, true).class, Some(KeyClass::Text));
        assert_eq!(types.get(25, false).class, None);
        assert_eq!(types.get(7777, true).class, None);
    }
}
