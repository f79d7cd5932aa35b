//! What the database's owner must run before queries can follow their tables.

use super::syntax::{Body, Join};
use super::tree::Name;
use super::{Definitions, resolve};
use crate::data::{Catalogue, CatalogueTable, ReplicaIdentity, TableKind, quote_identifier};

/// `ALTER TABLE ... REPLICA IDENTITY FULL` for each table of a query, or partition of one, that tells nothing of the rows it
/// updates and deletes. Such queries are refused until then.
pub fn replica_identities(definitions: &Definitions<'_>, catalogue: &Catalogue) -> Vec<String> {
    let mut names = Vec::new();
    definitions.queries.iter().for_each(|query| tables_of(&query.body, &mut names));
    let mut statements = Vec::new();
    for name in names {
        let Some(table) = resolve::find_table(catalogue, name.as_str()) else { continue };
        for statement in missing(table) {
            if !statements.contains(&statement) {
                statements.push(statement);
            }
        }
    }
    statements
}

fn tables_of<'q>(body: &'q Body, names: &mut Vec<&'q Name>) {
    names.push(&body.from);
    for child in &body.with {
        if let Join::Through(through) = &child.join {
            names.push(&through.table);
        }
        tables_of(&child.body, names);
    }
}

fn missing(table: &CatalogueTable) -> Vec<String> {
    if !matches!(table.kind, TableKind::Table | TableKind::Partitioned) || table.row_identity().is_ok() {
        return Vec::new();
    }
    let full = |schema: &str, name: &str| {
        format!("ALTER TABLE {}.{} REPLICA IDENTITY FULL", quote_identifier(schema), quote_identifier(name))
    };
    if table.leaves.is_empty() {
        return vec![full(&table.schema, &table.name)];
    }
    let tells_nothing = |identity: &ReplicaIdentity, key: &Option<Vec<usize>>| match identity {
        ReplicaIdentity::Nothing => true,
        ReplicaIdentity::Default => key.is_none(),
        ReplicaIdentity::Full | ReplicaIdentity::Index(_) => false,
    };
    let silent: Vec<String> = table
        .leaves
        .iter()
        .filter(|leaf| tells_nothing(&leaf.identity, &leaf.primary_key))
        .map(|leaf| full(&leaf.schema, &leaf.name))
        .collect();
    // All tell something, but not the same: what serves all is the whole row.
    let different = || table.leaves.iter().map(|leaf| full(&leaf.schema, &leaf.name)).collect();
    if silent.is_empty() { different() } else { silent }
}
