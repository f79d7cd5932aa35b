//! `sangre.yaml`: from text to validated settings, of which each layer is handed its own part.
//!
//! Reading needs neither the database nor the file system (but for [`Settings::load`]): whether tables exist is found out
//! when queries are resolved, whether a node's file is any good by the node host. Relative paths count from the folder of
//! the file, so `sangre serve -c elsewhere/sangre.yaml` finds its nodes.

mod node;
mod node_limits;
mod part;
mod quantity;
mod server;

use std::path::Path as FilePath;
use std::sync::Arc;

pub use node::{EVERY, NodeSettings, NodeSource};
pub use node_limits::{DEADLINE, MEMORY, NodeLimits};
pub use part::{Part, PartValue};
pub use quantity::Quantity;
pub use server::{Auth, Database, Limits};

use crate::query::fields::{Fields, Keys, members};
use crate::query::problem::{Path, Problem, Problems};
use crate::query::syntax::{Query, TableRule, read_condition, read_query};
use crate::query::tree::{Name, PARSE_STACK, Tree};
use crate::query::{Definitions, NodeId};

/// Keys of the file.
pub const FILE: Keys = Keys {
    known: &["database", "listen", "admin", "origins", "auth", "limits", "tables", "nodes", "queries"],
    later: &[],
};

/// Keys of a table's rules.
pub const TABLE: Keys = Keys { known: &["where", "hide", "rls"], later: &[] };

/// A configuration that was read without a mistake.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file's name, for messages.
    pub file: Arc<str>,
    pub database: Database,
    /// Where clients connect.
    pub listen: std::net::SocketAddr,
    /// Health and metrics.
    pub admin: std::net::SocketAddr,
    /// Foreign origins whose pages may connect, such as `https://app.example.com`.
    pub origins: Vec<String>,
    /// `None`: not written, which is enough on loopback only.
    pub auth: Option<Auth>,
    pub limits: Limits,
    pub tables: Vec<TableRule>,
    pub nodes: Vec<NodeSettings>,
    pub queries: Vec<Query>,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {file}")]
    Read {
        file: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("{}", listed(file, problems))]
    Invalid { file: Arc<str>, problems: Vec<Problem> },
}

fn listed(file: &str, problems: &[Problem]) -> String {
    problems.iter().map(|problem| problem.in_file(file)).collect::<Vec<_>>().join("\n")
}

impl Settings {
    /// What queries are resolved and compiled from.
    pub fn definitions(&self) -> Definitions<'_> {
        Definitions {
            queries: &self.queries,
            tables: &self.tables,
            nodes: self.nodes.iter().zip(0..).map(|(node, index)| node.definition(NodeId(index))).collect(),
            depth: self.limits.depth,
        }
    }

    /// Reads the file at `path`, with the process's environment.
    pub fn load(path: &FilePath) -> Result<Settings, ConfigError> {
        Settings::load_with(path, &[])
    }

    /// The same with `parts` that the file does not have.
    pub fn load_with(path: &FilePath, parts: &[Part]) -> Result<Settings, ConfigError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Read { file: file.clone(), cause })?;
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(FilePath::new("."));
        Settings::parse_with(&text, parts, &file, dir, &|name| std::env::var(name).ok())
    }

    /// [`Settings::parse_with`] no parts.
    pub fn parse(
        text: &str,
        file: &str,
        dir: &FilePath,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Settings, ConfigError> {
        Settings::parse_with(text, &[], file, dir, env)
    }

    /// Reads YAML or JSON text, and `parts` that it does not have, in which nothing is expanded: code has its own ways. `file`
    /// is the text's name in messages, `dir` what relative paths count from.
    pub fn parse_with(
        text: &str,
        parts: &[Part],
        file: &str,
        dir: &FilePath,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Settings, ConfigError> {
        let mut problems = Problems::default();
        let settings = match parse_tree(text) {
            Ok(mut tree) => {
                tree.expand(env, &Path::default(), &mut problems);
                part::add(&mut tree, parts, &mut problems);
                read_file(&tree, file, dir, &mut problems)
            }
            Err(found) => {
                problems = found;
                None
            }
        };
        match settings {
            Some(settings) if problems.is_empty() => Ok(settings),
            _ => Err(ConfigError::Invalid { file: file.into(), problems: problems.0 }),
        }
    }
}

/// Reads the text on a thread whose stack is deep enough for whatever the text nests.
fn parse_tree(text: &str) -> Result<Tree, Problems> {
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().stack_size(PARSE_STACK);
        let told = reader.spawn_scoped(scope, || Tree::parse(text)).map(|reader| reader.join());
        told.map_or_else(
            |error| Err(Problems::one(format!("cannot start a thread to read the file: {error}"))),
            |tree| tree.unwrap_or_else(|_| Err(Problems::one("the file's reader failed"))),
        )
    })
}

fn read_file(tree: &Tree, file: &str, dir: &FilePath, problems: &mut Problems) -> Option<Settings> {
    let fields = Fields::open(tree, &Path::default(), &FILE, problems)?;
    let database = fields.need("database", problems);
    let database = database.and_then(|tree| server::read_database(tree, &fields.at("database"), problems));
    let auth = fields.get("auth").and_then(|tree| server::read_auth(tree, &fields.at("auth"), problems));
    let listen = server::read_address(&fields, "listen", 4000, problems);
    let admin = server::read_address(&fields, "admin", 4001, problems);
    if let Some(listen) = listen
        && !listen.ip().is_loopback()
        && fields.get("auth").is_none()
    {
        let place = fields.get("listen").map_or(fields.place, |tree| tree.place);
        let message =
            format!("{listen} is reachable from elsewhere and `auth` is not set: write `auth: none` if that is meant");
        problems.push(place, &fields.at("listen"), message);
    }
    let origins = server::read_origins(&fields, problems);
    let limits = fields
        .get("limits")
        .map_or_else(|| Some(Limits::default()), |tree| server::read_limits(tree, &fields.at("limits"), problems));
    let named = |key: &str, problems: &mut Problems| {
        let path = fields.at(key);
        fields.get(key).map_or(&[][..], |tree| members(tree, &path, problems))
    };
    let mut tables: Vec<TableRule> = Vec::new();
    for (name, tree) in named("tables", problems) {
        tables.extend(read_table(name, tree, &fields.at("tables").then(&name.text), problems));
    }
    let mut nodes = Vec::new();
    let all = limits.clone().unwrap_or_default();
    for (name, tree) in named("nodes", problems) {
        nodes.extend(node::read_node(name, tree, dir, &all, &fields.at("nodes").then(&name.text), problems));
    }
    let mut queries = Vec::new();
    for (name, tree) in named("queries", problems) {
        queries.extend(read_query(name, tree, &fields.at("queries").then(&name.text), problems));
    }
    Some(Settings {
        file: file.into(),
        database: database?,
        listen: listen?,
        admin: admin?,
        origins,
        auth,
        limits: limits?,
        tables,
        nodes,
        queries,
    })
}

fn read_table(name: &Name, tree: &Tree, path: &Path, problems: &mut Problems) -> Option<TableRule> {
    let fields = Fields::open(tree, path, &TABLE, problems)?;
    let condition = fields.get("where").map(|tree| read_condition(tree, &fields.at("where"), problems));
    let hide = fields.get("hide");
    let hide = hide.map_or_else(Vec::new, |tree| crate::query::fields::texts(tree, &fields.at("hide"), problems));
    let rls = fields.text("rls", problems);
    if let Some(rls) = rls.as_ref().filter(|rls| rls.as_str() != "ignore") {
        problems.push(rls.place, &fields.at("rls"), "expected \"ignore\": logical replication does not apply policies");
    }
    Some(TableRule { table: name.clone(), condition, hide, ignore_rls: rls.is_some() })
}

#[cfg(test)]
mod schema;
#[cfg(test)]
mod tests;
