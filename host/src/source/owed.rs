//! What has to be run before the role of the SQL sessions can serve: grants, and the publication.
//!
//! Rights are asked for, not tried: `sangre check` changes nothing and waits for no lock. `serve` creates or alters the
//! publication itself where its role may, so a statement about it is a problem only where it may not.

use std::sync::Arc;

use tokio_postgres::SimpleQueryRow;

use super::binding::qualified;
use super::error::{DefiniteError, SourceError};
use super::publication::{self, Lacking};
use super::session::{Pool, flag, nullable, parse, single, text};
use super::sql::literal;
use crate::data::{Table, quote_identifier};

/// What is still missing until tables can be served.
#[derive(Debug, Default)]
pub struct Owed {
    /// What has to be run, by whoever may, in this order; without the semicolons.
    pub statements: Vec<String>,
    /// Why the server would not serve as things are, each with its remedy.
    pub problems: Vec<DefiniteError>,
}

impl Owed {
    fn owe(&mut self, sql: &str, problem: DefiniteError) {
        if !self.statements.iter().any(|have| have == sql) {
            self.statements.push(sql.to_string());
            self.problems.push(problem);
        }
    }
}

/// Rights to one table.
struct Rights {
    schema_usage: bool,
    /// Whether it may read any column of it.
    some: bool,
    row_security: bool,
    oid: u32,
    owner: bool,
    /// Names of columns in use that it may not read.
    unreadable: Vec<String>,
}

/// Looks what the role lacks to serve these tables.
pub(super) async fn owed(pool: &Arc<Pool>, publication: &str, tables: &[Table]) -> Result<Owed, SourceError> {
    let row = single(&mut pool.read("SELECT current_user").await?.into_iter())?;
    let role = text(&row, 0)?.to_string();
    let mut owed = Owed::default();
    let mut owned = Vec::new();
    for table in tables {
        let Some(rights) = rights(pool, table).await? else { continue };
        if rights.owner {
            owned.push(rights.oid);
        }
        to_read(&mut owed, &role, table, &rights);
    }
    match publication::lacking(pool, publication, tables).await {
        Ok(None) => {}
        Ok(Some(lacking)) => {
            let may = may_publish(pool, publication, &lacking).await?;
            if may && lacking.tables.iter().all(|oid| owned.contains(oid)) {
                owed.statements.push(lacking.sql);
            } else {
                let sql = lacking.sql.clone();
                owed.owe(&lacking.sql, DefiniteError::CannotPublish { role, sql });
            }
        }
        Err(SourceError::Definite(error @ DefiniteError::Publication { .. })) => {
            let DefiniteError::Publication { remedy, .. } = &error else { return Err(error.into()) };
            owed.owe(&remedy.clone(), error);
        }
        Err(SourceError::Definite(error)) => owed.problems.push(error),
        Err(error) => return Err(error),
    }
    Ok(owed)
}

/// `None`: the table is gone.
async fn rights(pool: &Arc<Pool>, table: &Table) -> Result<Option<Rights>, SourceError> {
    let columns: Vec<String> = table.columns.iter().map(|column| literal(&column.name)).collect();
    let batch = format!(
        "SELECT has_schema_privilege(n.oid, 'USAGE'), has_any_column_privilege(c.oid, 'SELECT'), \
         row_security_active(c.oid), c.oid, pg_has_role(c.relowner, 'USAGE') \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {schema} AND c.relname = {name}; \
         SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = {schema} AND c.relname = {name} AND a.attname = ANY (ARRAY[{}]::name[]) \
         AND a.attnum > 0 AND NOT a.attisdropped AND NOT has_column_privilege(c.oid, a.attnum, 'SELECT') \
         ORDER BY a.attnum",
        columns.join(", "),
        schema = literal(&table.schema),
        name = literal(&table.name),
    );
    let sets = pool.read(&batch).await?;
    let Some(row) = sets.first().and_then(|rows| rows.first()) else { return Ok(None) };
    let name = |row: &SimpleQueryRow| Ok::<_, SourceError>(text(row, 0)?.to_string());
    Ok(Some(Rights {
        schema_usage: flag(row, 0)?,
        some: flag(row, 1)?,
        row_security: flag(row, 2)?,
        oid: parse(row, 3)?,
        owner: flag(row, 4)?,
        unreadable: sets.get(1).into_iter().flatten().map(name).collect::<Result<_, _>>()?,
    }))
}

fn to_read(owed: &mut Owed, role: &str, table: &Table, rights: &Rights) {
    let quoted = quote_identifier(role);
    let cannot = |what: String, sql: &str| DefiniteError::CannotSelect { role: role.into(), what, sql: sql.into() };
    if !rights.schema_usage {
        let sql = format!("GRANT USAGE ON SCHEMA {} TO {quoted}", quote_identifier(&table.schema));
        owed.owe(&sql, cannot(format!("use schema \"{}\"", table.schema), &sql));
    }
    if !rights.unreadable.is_empty() {
        let names = rights.unreadable.iter().map(|name| quote_identifier(name)).collect::<Vec<_>>().join(", ");
        let relation = qualified(&table.schema, &table.name);
        // Where some columns were granted, somebody chose them: ask for no more than is needed.
        let (what, of) = if rights.some {
            (format!("read {names} of table \"{}\"", table.label()), format!(" ({names})"))
        } else {
            (format!("read table \"{}\"", table.label()), String::new())
        };
        let sql = format!("GRANT SELECT{of} ON {relation} TO {quoted}");
        owed.owe(&sql, cannot(what, &sql));
    }
    if rights.row_security {
        let sql = format!("ALTER ROLE {quoted} BYPASSRLS");
        owed.owe(&sql, DefiniteError::RowSecurity { role: role.into(), quoted });
    }
}

/// Whether the role may create the publication, or alter the one that is there; the tables are another matter.
async fn may_publish(pool: &Arc<Pool>, publication: &str, lacking: &Lacking) -> Result<bool, SourceError> {
    let batch = if lacking.exists {
        format!("SELECT pg_has_role(pubowner, 'USAGE') FROM pg_publication WHERE pubname = {}", literal(publication))
    } else {
        "SELECT has_database_privilege(current_database(), 'CREATE')".to_string()
    };
    let row = single(&mut pool.read(&batch).await?.into_iter())?;
    Ok(nullable(&row, 0)? == Some("t"))
}
