//! How the plan's tables, which are names, meet the database's, which are oids.
//!
//! A binding is made each time a stream begins, from the catalogue, and made again when the catalogue changes. Everybody
//! who reads rows checks them against it: the stream by what Relation announces, an upquery by the *fingerprint*, a hash
//! of what the catalogue says of a table, taken under the upquery's own snapshot and locks.
//!
//! There are two fingerprints. The first covers what decides how a row is read and what identifies it: relations, columns,
//! identity, leaves. It is small, for each upquery computes it. The second, which is only polled, adds what goes wrong
//! silently: labels of enums, fields of composites, the publication.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::SimpleQueryRow;

use super::error::{DefiniteError, SourceError};
use super::session::{Pool, parse, single, text};
use super::sql::literal;
use crate::data::{
    Catalogue, CatalogueTable, Identity, LeafId, RowIdentity, Table, TableId, TableKind, quote_identifier,
};

/// The plan's tables in this database, now.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Binding {
    pub tables: Arc<Vec<Table>>,
    pub bound: Vec<BoundTable>,
    pub server_version: u32,
    /// As whom SQL is run.
    pub role: String,
}

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BoundTable {
    pub catalogue: CatalogueTable,
    pub fingerprints: Fingerprints,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprints {
    /// Of relations, columns, identity, leaves.
    pub shape: String,
    /// Of types and publication.
    pub rest: String,
}

/// A table of the plan that is not in the database as planned.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Misfit {
    pub table: TableId,
    pub error: DefiniteError,
}

impl Binding {
    /// Finds the tables in the catalogue, or says which do not fit.
    pub fn new(
        tables: &Arc<Vec<Table>>,
        catalogue: &Catalogue,
        mut fingerprints: HashMap<u32, Fingerprints>,
        role: String,
    ) -> Result<Self, Vec<Misfit>> {
        let (mut bound, mut misfits) = (Vec::new(), Vec::new());
        for (index, table) in tables.iter().enumerate() {
            match fit(table, catalogue) {
                Ok(found) => {
                    let fingerprints = fingerprints.remove(&found.oid).unwrap_or_default();
                    bound.push(BoundTable { catalogue: found.clone(), fingerprints });
                }
                Err(error) => misfits.push(Misfit { table: TableId(index as u32), error }),
            }
        }
        if !misfits.is_empty() {
            return Err(misfits);
        }
        Ok(Binding { tables: tables.clone(), bound, server_version: catalogue.server_version, role })
    }

    /// Loads the catalogue and binds to it. The inner error: the tables do not fit.
    pub async fn load(
        pool: &Arc<Pool>,
        tables: &Arc<Vec<Table>>,
        publication: &str,
    ) -> Result<Result<Self, Vec<Misfit>>, SourceError> {
        let names: Vec<String> = tables.iter().map(|table| qualified(&table.schema, &table.name)).collect();
        let list = super::sql::array(names.iter().map(|name| Some(name.as_str())));
        let from = format!("(SELECT to_regclass(n)::oid FROM unnest({list}::text[]) n) t(oid) WHERE t.oid IS NOT NULL");
        let more =
            |version| format!("{}; {}; SELECT current_user", shape_sql(&from), rest_sql(&from, version, publication));
        let (catalogue, sets) = super::catalogue::load_with(pool, more).await?;
        let fingerprints = read_fingerprints(&sets)?;
        let role = text(&single(&mut sets.into_iter().skip(2))?, 0)?.to_string();
        Ok(Binding::new(tables, &catalogue, fingerprints, role))
    }

    /// The tables of which rows are stored in this relation.
    pub fn tables_of(&self, oid: u32) -> impl Iterator<Item = TableId> + '_ {
        let stores = move |bound: &BoundTable| bound.leaf(oid).is_some();
        self.bound.iter().enumerate().filter(move |(_, bound)| stores(bound)).map(|(index, _)| TableId(index as u32))
    }

    /// The oids of the tables.
    pub fn oids(&self) -> Vec<u32> {
        self.bound.iter().map(|bound| bound.catalogue.oid).collect()
    }

    /// The tables that differ in `newer`, a later binding of the same tables: which, and whether in more than their leaves.
    pub fn changed(&self, newer: &Binding) -> Vec<(TableId, bool)> {
        let pairs = self.bound.iter().zip(&newer.bound).enumerate();
        let differing = pairs.filter(|(_, (old, new))| old != new);
        differing.map(|(index, (old, new))| (TableId(index as u32), !old.same_but_leaves(new))).collect()
    }
}

impl BoundTable {
    /// The relation with this oid, if it stores rows of this table.
    pub fn leaf(&self, oid: u32) -> Option<LeafId> {
        let stores = match self.catalogue.kind {
            TableKind::Partitioned => self.catalogue.leaves.iter().any(|leaf| leaf.oid == oid),
            _ => self.catalogue.oid == oid,
        };
        stores.then_some(LeafId(oid))
    }

    fn same_but_leaves(&self, other: &BoundTable) -> bool {
        let strip = |table: &CatalogueTable| CatalogueTable { leaves: Vec::new(), ..table.clone() };
        strip(&self.catalogue) == strip(&other.catalogue)
    }
}

/// The table in the catalogue, if it can be followed with the plan's columns and identity.
fn fit<'a>(table: &Table, catalogue: &'a Catalogue) -> Result<&'a CatalogueTable, DefiniteError> {
    let label = table.label();
    let found = catalogue.find(&table.schema, &table.name).ok_or_else(|| DefiniteError::TableMissing(label.clone()))?;
    check_followable(found)?;
    let changed = |reason: String| DefiniteError::NotFollowable { table: label.clone(), reason };
    for column in &table.columns {
        let missing = || DefiniteError::ColumnMissing { table: label.clone(), column: column.name.to_string() };
        let have = &found.columns[found.column(&column.name).ok_or_else(missing)?];
        if have.ty != column.ty {
            return Err(changed(format!(
                "column \"{}\" is of type {}, not {}",
                column.name, have.ty.sql, column.ty.sql
            )));
        }
    }
    let same = match (found.row_identity()?, &table.identity) {
        (RowIdentity::Bag, Identity::Bag) => {
            found.columns.iter().filter(|column| !column.generated).count() == table.columns.len()
        }
        (RowIdentity::Columns(have), Identity::Columns(planned)) => {
            have.len() == planned.len()
                && planned.iter().all(|&p| have.iter().any(|&h| found.columns[h].name == table.columns[p].name))
        }
        _ => false,
    };
    if same { Ok(found) } else { Err(changed("its replica identity or its columns are not those of the plan".into())) }
}

/// Refuses what is not in the stream, or not as one would think.
pub(super) fn check_followable(table: &CatalogueTable) -> Result<(), DefiniteError> {
    let kind = match table.kind {
        TableKind::Table | TableKind::Partitioned => None,
        TableKind::Unlogged => Some("an unlogged table: its rows are not in the write-ahead log"),
        TableKind::View => Some("a view: query its tables instead"),
        TableKind::MaterializedView => Some("a materialized view: query its tables instead"),
        TableKind::Foreign => Some("a foreign table: its rows are elsewhere"),
    };
    let reason = match kind {
        Some(kind) => format!("it is {kind}"),
        None if table.inherits => "it inherits or is inherited from, outside partitioning".into(),
        None => match table.leaves.iter().find(|leaf| leaf.kind != TableKind::Table) {
            Some(leaf) => format!("its partition \"{}\" is unlogged or foreign", leaf.name),
            None => return Ok(()),
        },
    };
    Err(DefiniteError::NotFollowable { table: table.label(), reason })
}

/// Where [`shape_sql`] finds the tables: by oid.
fn by_oid(oids: &[u32]) -> String {
    let list: Vec<String> = oids.iter().map(u32::to_string).collect();
    format!("unnest('{{{}}}'::oid[]) t(oid)", list.join(","))
}

/// The statement that gives `oid, shape` for these tables; what an upquery asks along.
pub(super) fn shape_of(oids: &[u32]) -> String {
    shape_sql(&by_oid(oids))
}

fn shape_sql(from: &str) -> String {
    format!(
        "SELECT r.oid, md5(concat(\
         (SELECT string_agg(concat_ws(':', c.oid, c.relkind, c.relpersistence, c.relreplident, c.relrowsecurity, \
           c.relforcerowsecurity, c.relnamespace, c.relname), ',' ORDER BY c.oid) \
           FROM pg_class c WHERE c.oid = ANY (r.relations)), ';', \
         (SELECT string_agg(concat_ws(':', a.attrelid, a.attnum, a.attname, a.atttypid, a.attcollation, \
           a.attnotnull, a.attgenerated), ',' ORDER BY a.attrelid, a.attnum) \
           FROM pg_attribute a WHERE a.attrelid = ANY (r.relations) AND a.attnum > 0 AND NOT a.attisdropped), ';', \
         (SELECT string_agg(concat_ws(':', i.indrelid, i.indisprimary, i.indisreplident, i.indimmediate, i.indkey), \
           ',' ORDER BY i.indexrelid) FROM pg_index i \
           WHERE i.indrelid = ANY (r.relations) AND (i.indisprimary OR i.indisreplident)))) \
         FROM (SELECT t.oid, ARRAY(SELECT t.oid UNION SELECT relid::oid FROM pg_partition_tree(t.oid)) AS relations \
         FROM {from}) r"
    )
}

/// The statement that gives `oid, rest`.
fn rest_sql(from: &str, server_version: u32, publication: &str) -> String {
    let publication = literal(publication);
    let (filters, schemas) = if server_version >= 150_000 {
        (
            "p.prqual IS NOT NULL, p.prattrs",
            "(SELECT string_agg(s.pnnspid::text, ',' ORDER BY s.pnnspid) \
         FROM pg_publication_namespace s JOIN pg_publication b ON b.oid = s.pnpubid \
         JOIN pg_class c ON c.relnamespace = s.pnnspid WHERE b.pubname = r.publication AND c.oid = ANY (r.relations))",
        )
    } else {
        ("''", "''")
    };
    format!(
        "SELECT r.oid, md5(concat(\
         (SELECT string_agg(concat_ws(':', e.enumtypid, e.enumsortorder, e.enumlabel), ',' \
           ORDER BY e.enumtypid, e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = ANY (r.types)), ';', \
         (SELECT string_agg(concat_ws(':', a.attrelid, a.attnum, a.attname, a.atttypid), ',' \
           ORDER BY a.attrelid, a.attnum) FROM pg_type t JOIN pg_attribute a ON a.attrelid = t.typrelid \
           WHERE t.oid = ANY (r.types) AND t.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped), ';', \
         (SELECT concat_ws(':', b.oid, b.puballtables, b.pubinsert, b.pubupdate, b.pubdelete, b.pubtruncate, \
           b.pubviaroot) FROM pg_publication b WHERE b.pubname = r.publication), ';', \
         (SELECT string_agg(concat_ws(':', p.prrelid, {filters}), ',' ORDER BY p.prrelid) \
           FROM pg_publication_rel p JOIN pg_publication b ON b.oid = p.prpubid \
           WHERE b.pubname = r.publication AND p.prrelid = ANY (r.relations)), ';', {schemas})) \
         FROM (SELECT t.oid, {publication}::name AS publication, \
         ARRAY(SELECT t.oid UNION SELECT relid::oid FROM pg_partition_tree(t.oid) \
           UNION SELECT relid::oid FROM pg_partition_ancestors(t.oid)) AS relations, \
         ARRAY(SELECT unnest(ARRAY[y.oid, y.typelem, y.typbasetype]) FROM pg_attribute a \
           JOIN pg_type y ON y.oid = a.atttypid WHERE a.attrelid = t.oid AND a.attnum > 0) AS types \
         FROM {from}) r"
    )
}

/// Both fingerprints of these tables; none for a table that does not exist.
pub(super) async fn fingerprints(
    pool: &Arc<Pool>,
    oids: &[u32],
    server_version: u32,
    publication: &str,
) -> Result<HashMap<u32, Fingerprints>, SourceError> {
    let from = by_oid(oids);
    let batch = format!("{}; {}", shape_sql(&from), rest_sql(&from, server_version, publication));
    read_fingerprints(&pool.read(&batch).await?)
}

fn read_fingerprints(sets: &[Vec<SimpleQueryRow>]) -> Result<HashMap<u32, Fingerprints>, SourceError> {
    let [shapes, rests, ..] = sets else {
        return Err(SourceError::transient("the fingerprint of the tables is incomplete"));
    };
    let mut found: HashMap<u32, Fingerprints> = HashMap::new();
    for row in shapes {
        found.entry(parse(row, 0)?).or_default().shape = text(row, 1)?.to_string();
    }
    for row in rests {
        found.entry(parse(row, 0)?).or_default().rest = text(row, 1)?.to_string();
    }
    Ok(found)
}

/// `"schema"."name"`, quoted where needed.
pub(super) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quote_identifier(schema), quote_identifier(name))
}
