//! The publication: which tables the stream tells of.
//!
//! - All tables in use are in it before the slot is made: a slot older than its publication fails for good.
//! - Tables are only ever added. Two servers share a publication, and one must not take away what the other follows.
//! - A table without a replica identity must not enter: the application's own UPDATE would fail from then on.
//! - Membership is read back, never assumed, and so is what would silently drop rows: row filters, column lists, a list of
//!   operations that lacks one. `publish_via_partition_root` must be off: with it TRUNCATE of a partition sends nothing.

use std::sync::Arc;

use super::binding::{check_followable, qualified};
use super::error::{DefiniteError, SourceError};
use super::session::{Pool, flag, parse, single, text};
use super::sql::literal;
use crate::data::{Catalogue, CatalogueTable, Table, TableKind, quote_identifier};

/// What the database says of a publication.
struct Found {
    all_tables: bool,
    via_root: bool,
    operations: bool,
    /// Oids of relations named in it, or in a schema named in it.
    members: Vec<u32>,
    /// Of these, those with a row filter or a column list.
    partial: Vec<u32>,
}

/// What a publication lacks.
pub(super) struct Lacking {
    /// The statement that adds it.
    pub sql: String,
    /// Oids of the tables it adds; who runs it must own them.
    pub tables: Vec<u32>,
    /// Whether the publication is there.
    pub exists: bool,
}

/// Makes the publication contain the tables, or says what somebody else must run.
pub(super) async fn ensure(pool: &Arc<Pool>, publication: &str, tables: &[Table]) -> Result<(), SourceError> {
    let Some(Lacking { sql, .. }) = lacking(pool, publication, tables).await? else { return Ok(()) };
    match pool.transaction("BEGIN READ WRITE", &sql).await {
        Ok(_) => {}
        Err(SourceError::Definite(DefiniteError::Forbidden(_))) => {
            let row = single(&mut pool.read("SELECT current_user").await?.into_iter())?;
            let role = text(&row, 0)?.to_string();
            return Err(DefiniteError::CannotPublish { role, sql }.into());
        }
        // Two servers that start together both add the same table, and one of them fails.
        Err(error) => return if lacking(pool, publication, tables).await?.is_none() { Ok(()) } else { Err(error) },
    }
    if lacking(pool, publication, tables).await?.is_none() {
        return Ok(());
    }
    Err(SourceError::transient(format!("publication \"{publication}\" is being changed by somebody else")))
}

/// What is missing; errors for what cannot be mended by adding.
pub(super) async fn lacking(
    pool: &Arc<Pool>,
    publication: &str,
    tables: &[Table],
) -> Result<Option<Lacking>, SourceError> {
    let catalogue = &super::catalogue::load(pool).await?;
    let mut wanted: Vec<&CatalogueTable> = Vec::new();
    for table in tables {
        let found = catalogue.find(&table.schema, &table.name);
        let found = found.ok_or_else(|| DefiniteError::TableMissing(table.label()))?;
        check_followable(found)?;
        found.row_identity().map_err(DefiniteError::from)?;
        wanted.push(found);
    }
    let name = quote_identifier(publication);
    let list = |tables: &[&CatalogueTable]| -> String {
        let names = tables.iter().map(|table| qualified(&table.schema, &table.name));
        names.collect::<Vec<_>>().join(", ")
    };
    let Some(found) = read(pool, catalogue, publication).await? else {
        let of = if wanted.is_empty() { String::new() } else { format!(" FOR TABLE {}", list(&wanted)) };
        return Ok(Some(lacks(format!("CREATE PUBLICATION {name}{of}"), &wanted, false)));
    };
    let fault = |fault: &str, remedy: String| {
        SourceError::from(DefiniteError::Publication { publication: publication.into(), fault: fault.into(), remedy })
    };
    if !found.operations {
        let remedy = format!("ALTER PUBLICATION {name} SET (publish = 'insert, update, delete, truncate')");
        return Err(fault("leaves out operations", remedy));
    }
    if found.via_root {
        let remedy = format!("ALTER PUBLICATION {name} SET (publish_via_partition_root = false)");
        return Err(fault("is published via partition roots", remedy));
    }
    let mut missing = Vec::new();
    for &table in &wanted {
        let relations = relations(table, catalogue);
        if let Some(&partial) = found.partial.iter().find(|oid| relations.contains(oid)) {
            let partial = catalogue.by_oid(partial).map_or_else(String::new, |t| qualified(&t.schema, &t.name));
            let what = format!("has a row filter or column list on table {partial}");
            let remedy =
                format!("ALTER PUBLICATION {name} DROP TABLE {partial}; ALTER PUBLICATION {name} ADD TABLE {partial}");
            return Err(fault(&what, remedy));
        }
        if !found.all_tables && !is_member(table, catalogue, &found.members) {
            missing.push(table);
        }
    }
    missing.dedup_by_key(|table| table.oid);
    if missing.is_empty() {
        return Ok(None);
    }
    Ok(Some(lacks(format!("ALTER PUBLICATION {name} ADD TABLE {}", list(&missing)), &missing, true)))
}

fn lacks(sql: String, tables: &[&CatalogueTable], exists: bool) -> Lacking {
    Lacking { sql, tables: tables.iter().map(|table| table.oid).collect(), exists }
}

/// The table, its leaves, and the partitioned table above it: a filter on any of them leaves out rows.
fn relations(table: &CatalogueTable, catalogue: &Catalogue) -> Vec<u32> {
    let mut oids = vec![table.oid];
    oids.extend(table.leaves.iter().map(|leaf| leaf.oid));
    let above = catalogue.tables.iter().filter(|other| other.leaves.iter().any(|leaf| leaf.oid == table.oid));
    oids.extend(above.map(|table| table.oid));
    oids
}

/// Whether everything the table stores is published: itself, something above it, or each of its leaves.
fn is_member(table: &CatalogueTable, catalogue: &Catalogue, members: &[u32]) -> bool {
    let covered = |oid: u32| {
        members.contains(&oid)
            || catalogue
                .tables
                .iter()
                .any(|other| members.contains(&other.oid) && other.leaves.iter().any(|leaf| leaf.oid == oid))
    };
    // Leaves that come later are published only with the root, so a partitioned table has to be named or below one that is.
    if table.kind == TableKind::Partitioned { members.contains(&table.oid) } else { covered(table.oid) }
}

async fn read(pool: &Arc<Pool>, catalogue: &Catalogue, publication: &str) -> Result<Option<Found>, SourceError> {
    let name = literal(publication);
    let new = catalogue.server_version >= 150_000;
    let partial = if new { "p.prqual IS NOT NULL OR p.prattrs IS NOT NULL" } else { "false" };
    let schemas = if new {
        format!(
            "UNION SELECT c.oid, false FROM pg_publication_namespace s JOIN pg_publication b ON b.oid = s.pnpubid \
             JOIN pg_class c ON c.relnamespace = s.pnnspid WHERE b.pubname = {name} AND c.relkind IN ('r', 'p')"
        )
    } else {
        String::new()
    };
    let batch = format!(
        "SELECT puballtables, pubviaroot, pubinsert AND pubupdate AND pubdelete AND pubtruncate \
         FROM pg_publication WHERE pubname = {name}; \
         SELECT p.prrelid, {partial} FROM pg_publication_rel p JOIN pg_publication b ON b.oid = p.prpubid \
         WHERE b.pubname = {name} {schemas}"
    );
    let sets = pool.read(&batch).await?;
    let (Some(row), Some(rows)) = (sets.first().and_then(|rows| rows.first()), sets.get(1)) else { return Ok(None) };
    let mut found = Found {
        all_tables: flag(row, 0)?,
        via_root: flag(row, 1)?,
        operations: flag(row, 2)?,
        members: Vec::new(),
        partial: Vec::new(),
    };
    for row in rows {
        let oid = parse(row, 0)?;
        found.members.push(oid);
        if flag(row, 1)? {
            found.partial.push(oid);
        }
    }
    Ok(Some(found))
}
