//! Reads the database's catalogue: one transaction, one round trip, all user tables.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use tokio_postgres::SimpleQueryRow;

use super::error::{DefiniteError, SourceError};
use super::session::{Pool, Sets, flag, nullable, parse, single, text};
use super::types::{TypeRow, Types};
use crate::data::{
    Catalogue, CatalogueColumn, CatalogueTable, ForeignKey, Leaf, ReplicaIdentity, TableKind, UniqueKey,
};

/// Tables of users: all but Postgres's own and temporary ones.
const TABLES: &str = "SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relreplident, \
    c.relrowsecurity OR c.relforcerowsecurity, c.relispartition \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't' \
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY n.nspname, c.relname";

/// Columns of these, and fields of composite types.
const COLUMNS: &str = "SELECT a.attrelid, a.attnum, a.attname, a.atttypid, \
    coalesce(l.collisdeterministic, true), a.attnotnull, a.attgenerated <> '' \
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
    LEFT JOIN pg_collation l ON l.oid = a.attcollation \
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') \
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY a.attrelid, a.attnum";

/// All types but pseudo-types and those of toast tables. A true array is told by its subscripting, as Postgres does.
const TYPES: &str = "SELECT t.oid, n.nspname, t.typname, t.typtype, \
    CASE WHEN t.typsubscript = 'pg_catalog.array_subscript_handler'::regproc THEN t.typelem ELSE 0 END, \
    t.typbasetype, t.typdelim, coalesce(l.collisdeterministic, true), t.typrelid \
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
    LEFT JOIN pg_collation l ON l.oid = t.typcollation \
    WHERE t.typtype <> 'p' AND n.nspname NOT IN ('pg_toast', 'information_schema')";

const LABELS: &str = "SELECT enumtypid, enumlabel FROM pg_enum ORDER BY enumtypid, enumsortorder";

/// Unique indexes that a row's identity or a key can rest on: no expression, no condition, valid.
const INDEXES: &str = "SELECT i.indrelid, x.relname, i.indisprimary, i.indimmediate, i.indisreplident, \
    array_to_string((i.indkey::int2[])[0:i.indnkeyatts - 1], ' ') \
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid \
    JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE i.indisunique AND i.indisvalid AND i.indislive AND i.indpred IS NULL AND i.indexprs IS NULL \
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY i.indrelid, x.relname";

/// Foreign keys as declared. A key that points at a partitioned table has a copy for each partition; those are left out.
const FOREIGN_KEYS: &str = "SELECT f.conrelid, f.conname, array_to_string(f.conkey, ' '), f.confrelid, \
    array_to_string(f.confkey, ' ') FROM pg_constraint f LEFT JOIN pg_constraint p ON p.oid = f.conparentid \
    WHERE f.contype = 'f' AND (p.oid IS NULL OR p.conrelid <> f.conrelid) ORDER BY f.conrelid, f.conname";

const INHERITS: &str = "SELECT i.inhrelid, i.inhparent, c.relispartition FROM pg_inherits i \
    JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relkind IN ('r', 'p', 'f')";

/// Reads the catalogue, under one snapshot.
pub(super) async fn load(pool: &Arc<Pool>) -> Result<Catalogue, SourceError> {
    Ok(load_with(pool, |_| "SELECT".into()).await?.0)
}

/// Reads the catalogue and runs more statements, given the server's version, under one snapshot.
pub(super) async fn load_with(
    pool: &Arc<Pool>,
    more: impl FnOnce(u32) -> String,
) -> Result<(Catalogue, Sets), SourceError> {
    let server_version = check_version(pool).await?;
    let more = more(server_version);
    let batch = [TABLES, COLUMNS, TYPES, LABELS, INDEXES, FOREIGN_KEYS, INHERITS, &more].join("; ");
    let mut sets = pool.read(&batch).await?.into_iter();
    let mut next = || sets.next().ok_or_else(|| SourceError::transient("the catalogue is incomplete"));
    let (tables, columns, types) = (next()?, next()?, next()?);
    let (labels, indexes, foreign_keys, inherits) = (next()?, next()?, next()?, next()?);

    let columns = read_columns(&columns)?;
    let mut types = read_types(&types, &labels, &columns)?;
    let mut builder = Builder::default();
    for row in &tables {
        builder.table(row, &columns, &mut types)?;
    }
    for row in &indexes {
        builder.index(row)?;
    }
    for row in &foreign_keys {
        builder.foreign_key(row)?;
    }
    builder.inherit(&inherits)?;
    let catalogue = Catalogue { tables: builder.tables, server_version, types: types.by_name() };
    Ok((catalogue, sets.collect()))
}

/// The server's version; refuses those that cannot do what the source needs.
async fn check_version(pool: &Arc<Pool>) -> Result<u32, SourceError> {
    let mut sets = pool.read("SELECT current_setting('server_version_num')").await?.into_iter();
    let version: u32 = parse(&single(&mut sets)?, 0)?;
    if version < 140_000 {
        return Err(DefiniteError::TooOld(format!("{}.{}", version / 10_000, version % 100)).into());
    }
    Ok(version)
}

/// A row of `pg_attribute`.
struct Attribute {
    number: i16,
    name: Arc<str>,
    ty: u32,
    deterministic: bool,
    not_null: bool,
    generated: bool,
}

type Attributes = HashMap<u32, Vec<Attribute>>;

fn read_columns(rows: &[SimpleQueryRow]) -> Result<Attributes, SourceError> {
    let mut columns = Attributes::new();
    for row in rows {
        columns.entry(parse(row, 0)?).or_default().push(Attribute {
            number: parse(row, 1)?,
            name: text(row, 2)?.into(),
            ty: parse(row, 3)?,
            deterministic: flag(row, 4)?,
            not_null: flag(row, 5)?,
            generated: flag(row, 6)?,
        });
    }
    Ok(columns)
}

fn read_types(rows: &[SimpleQueryRow], labels: &[SimpleQueryRow], columns: &Attributes) -> Result<Types, SourceError> {
    let mut by_enum: HashMap<u32, Vec<Arc<str>>> = HashMap::new();
    for row in labels {
        by_enum.entry(parse(row, 0)?).or_default().push(text(row, 1)?.into());
    }
    let mut types = Vec::with_capacity(rows.len());
    for row in rows {
        let oid = parse(row, 0)?;
        let relation: u32 = parse(row, 8)?;
        let fields = columns.get(&relation).map(|columns| columns.iter().map(|c| (c.name.clone(), c.ty)).collect());
        types.push(TypeRow {
            oid,
            schema: text(row, 1)?.to_string(),
            name: text(row, 2)?.to_string(),
            kind: byte(row, 3)?,
            element: parse(row, 4)?,
            base: parse(row, 5)?,
            delimiter: byte(row, 6)?,
            deterministic: flag(row, 7)?,
            labels: by_enum.remove(&oid).unwrap_or_default(),
            fields: fields.unwrap_or_default(),
        });
    }
    Ok(Types::new(types))
}

fn byte(row: &SimpleQueryRow, column: usize) -> Result<u8, SourceError> {
    Ok(nullable(row, column)?.and_then(|text| text.bytes().next()).unwrap_or(b' '))
}

#[derive(Default)]
struct Builder {
    tables: Vec<CatalogueTable>,
    /// By oid: the table's place, and its attribute numbers in the order of its columns.
    places: HashMap<u32, (usize, Vec<i16>)>,
    partitions: HashSet<u32>,
}

impl Builder {
    fn table(&mut self, row: &SimpleQueryRow, columns: &Attributes, types: &mut Types) -> Result<(), SourceError> {
        let oid = parse(row, 0)?;
        let kind = match (byte(row, 3)?, byte(row, 4)?) {
            (b'p', _) => TableKind::Partitioned,
            (b'v', _) => TableKind::View,
            (b'm', _) => TableKind::MaterializedView,
            (b'f', _) => TableKind::Foreign,
            (_, b'u') => TableKind::Unlogged,
            _ => TableKind::Table,
        };
        let identity = match byte(row, 5)? {
            b'f' => ReplicaIdentity::Full,
            b'd' => ReplicaIdentity::Default,
            // An index is entered when it is read; if it is gone, this is what is left.
            _ => ReplicaIdentity::Nothing,
        };
        if flag(row, 7)? {
            self.partitions.insert(oid);
        }
        let attributes = columns.get(&oid).map_or(&[][..], Vec::as_slice);
        self.places.insert(oid, (self.tables.len(), attributes.iter().map(|column| column.number).collect()));
        self.tables.push(CatalogueTable {
            oid,
            schema: text(row, 1)?.into(),
            name: text(row, 2)?.into(),
            kind,
            columns: attributes.iter().map(|column| make_column(column, types)).collect(),
            primary_key: None,
            primary_key_deferrable: false,
            unique: Vec::new(),
            foreign_keys: Vec::new(),
            identity,
            row_security: flag(row, 6)?,
            leaves: Vec::new(),
            inherits: false,
            partition_of: None,
        });
        Ok(())
    }

    /// Column indexes for attribute numbers, if all are columns of the table.
    fn columns(&self, oid: u32, numbers: &str) -> Option<Vec<usize>> {
        let (_, attributes) = self.places.get(&oid)?;
        let numbers = numbers.split_whitespace().map(|number| number.parse::<i16>().ok());
        numbers.map(|number| attributes.iter().position(|have| Some(*have) == number)).collect()
    }

    fn index(&mut self, row: &SimpleQueryRow) -> Result<(), SourceError> {
        let oid = parse(row, 0)?;
        let (Some(columns), Some(&(place, _))) = (self.columns(oid, text(row, 5)?), self.places.get(&oid)) else {
            return Ok(());
        };
        let table = &mut self.tables[place];
        let immediate = flag(row, 3)?;
        if flag(row, 4)? && table.identity == ReplicaIdentity::Nothing {
            table.identity = ReplicaIdentity::Index(columns.clone());
        }
        if flag(row, 2)? {
            table.primary_key = Some(columns);
            table.primary_key_deferrable = !immediate;
        } else {
            table.unique.push(UniqueKey { name: text(row, 1)?.into(), columns });
        }
        Ok(())
    }

    fn foreign_key(&mut self, row: &SimpleQueryRow) -> Result<(), SourceError> {
        let (oid, references) = (parse(row, 0)?, parse(row, 3)?);
        let columns = self.columns(oid, text(row, 2)?);
        let referenced_columns = self.columns(references, text(row, 4)?);
        if let (Some(columns), Some(referenced_columns), Some(&(place, _))) =
            (columns, referenced_columns, self.places.get(&oid))
        {
            let name = text(row, 1)?.into();
            self.tables[place].foreign_keys.push(ForeignKey { name, columns, references, referenced_columns });
        }
        Ok(())
    }

    /// Finds leaves and roots, and marks inheritance of the other kind.
    fn inherit(&mut self, rows: &[SimpleQueryRow]) -> Result<(), SourceError> {
        let mut parents: BTreeMap<u32, u32> = BTreeMap::new();
        for row in rows {
            let (child, parent): (u32, u32) = (parse(row, 0)?, parse(row, 1)?);
            if flag(row, 2)? {
                parents.insert(child, parent);
                continue;
            }
            for oid in [child, parent] {
                if let Some(&(place, _)) = self.places.get(&oid) {
                    self.tables[place].inherits = true;
                }
            }
        }
        for &oid in parents.keys() {
            let above: Vec<u32> = std::iter::successors(Some(oid), |oid| parents.get(oid).copied()).skip(1).collect();
            let Some(&(place, _)) = self.places.get(&oid) else { continue };
            self.tables[place].partition_of = above.last().copied();
            if self.tables[place].kind != TableKind::Partitioned {
                for root in above {
                    self.add_leaf(root, oid);
                }
            }
        }
        Ok(())
    }

    fn add_leaf(&mut self, root: u32, leaf: u32) {
        let (Some(&(root, _)), Some(&(leaf, _))) = (self.places.get(&root), self.places.get(&leaf)) else { return };
        let (root_table, table) = (&self.tables[root], &self.tables[leaf]);
        // Attribute numbers differ between the two, names do not.
        let translate = |columns: &Vec<usize>| -> Option<Vec<usize>> {
            columns.iter().map(|&column| root_table.column(&table.columns[column].name)).collect()
        };
        let identity = match &table.identity {
            ReplicaIdentity::Index(columns) => {
                translate(columns).map_or(ReplicaIdentity::Nothing, ReplicaIdentity::Index)
            }
            other => other.clone(),
        };
        let primary_key = table.primary_key.as_ref().filter(|_| !table.primary_key_deferrable).and_then(translate);
        let (oid, schema, name, kind) = (table.oid, table.schema.clone(), table.name.clone(), table.kind);
        self.tables[root].leaves.push(Leaf { oid, schema, name, kind, identity, primary_key });
    }
}

fn make_column(column: &Attribute, types: &mut Types) -> CatalogueColumn {
    CatalogueColumn {
        name: column.name.clone(),
        ty: types.get(column.ty, column.deterministic),
        not_null: column.not_null,
        generated: column.generated,
    }
}
