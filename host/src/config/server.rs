//! The server's own settings: database, addresses, origins, limits.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::quantity::{Quantity, parse_bytes};
use crate::query::fields::{Fields, Keys, text, texts};
use crate::query::problem::{Path, Problems};
use crate::query::tree::{Kind, Tree};

/// Keys of `database`, when it is a mapping.
pub const DATABASE: Keys =
    Keys { known: &["url", "replication_url", "publication", "slot", "connections"], later: &[] };

/// Keys of `limits`.
pub const LIMITS: Keys = Keys {
    known: &[
        "connections",
        "connections_per_client",
        "subscriptions",
        "queued",
        "frame",
        "document",
        "list",
        "depth",
        "component",
        "output",
    ],
    later: &[],
};

/// How to reach Postgres.
#[derive(Clone, PartialEq, Eq)]
pub struct Database {
    /// For upqueries; may be a pooler.
    pub url: String,
    /// For the replication stream; must reach Postgres directly. Defaults to `url`.
    pub replication_url: String,
    pub publication: String,
    pub slot: Slot,
    /// How many connections upqueries may use.
    pub connections: usize,
}

/// Without the addresses: they hold passwords.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Database");
        shown.field("publication", &self.publication).field("slot", &self.slot).field("connections", &self.connections);
        shown.finish_non_exhaustive()
    }
}

/// What kind of replication slot is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slot {
    /// Gone with the connection: a dead server holds no WAL.
    #[default]
    Temporary,
}

/// How clients prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Not at all: there are no claims.
    None,
}

/// Bounds on what clients and queries may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one client address.
    pub connections_per_client: usize,
    /// Documents subscribed to in all.
    pub subscriptions: usize,
    /// Bytes waiting to be sent to one client.
    pub queued_bytes: usize,
    /// Bytes of a frame from a client.
    pub frame_bytes: usize,
    /// Bytes of a document's JSON text.
    pub document_bytes: usize,
    /// Elements of a list.
    pub list_elements: usize,
    /// Levels of nested queries.
    pub depth: usize,
    /// Bytes of a node's file, if the node says nothing else.
    pub component_bytes: usize,
    /// Bytes of a node's answers to one batch, if the node says nothing else.
    pub output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 10_000,
            connections_per_client: 1_000,
            subscriptions: 100_000,
            queued_bytes: 4 << 20,
            frame_bytes: 64 << 10,
            document_bytes: 16 << 20,
            list_elements: 100_000,
            depth: 16,
            component_bytes: 64 << 20,
            output_bytes: 8 << 20,
        }
    }
}

/// Nested queries may not go deeper whatever is set: resolving, compiling and encoding recurse.
const MAX_DEPTH: usize = 32;

/// Of a node's file, and of what it answers: files are read whole, and no engine takes a larger one.
pub(super) const NODE_BYTES: Quantity = Quantity::size("8MiB", MAX_NODE_BYTES);
pub(super) const MAX_NODE_BYTES: u64 = 1 << 30;

pub(super) fn read_database(tree: &Tree, path: &Path, problems: &mut Problems) -> Option<Database> {
    let database = |url: String, replication_url: Option<String>| Database {
        replication_url: replication_url.unwrap_or_else(|| url.clone()),
        url,
        publication: "sangre".to_string(),
        slot: Slot::Temporary,
        connections: 8,
    };
    if matches!(tree.kind, Kind::Text(_)) {
        return text(tree, path, problems).map(|url| database(url.text, None));
    }
    let fields = Fields::open(tree, path, &DATABASE, problems)?;
    fields.need("url", problems);
    let replication_url = fields.text("replication_url", problems).map(|url| url.text);
    let mut database = database(fields.text("url", problems)?.text, replication_url);
    if let Some(publication) = fields.text("publication", problems) {
        database.publication = publication.text;
    }
    if let Some(slot) = fields.get("slot") {
        read_slot(slot, &fields.at("slot"), problems);
    }
    if let Some(count) = number(&fields, "connections", 1, 1000, problems) {
        database.connections = count;
    }
    Some(database)
}

fn read_slot(tree: &Tree, path: &Path, problems: &mut Problems) {
    match &tree.kind {
        Kind::Text(text) if text == "temporary" => {}
        Kind::Text(text) if text == "permanent" => {
            problems.push(tree.place, path, "`slot: permanent` is not supported yet")
        }
        Kind::Map(members) if members.iter().any(|(name, _)| name.as_str() == "permanent") => {
            problems.push(tree.place, path, "`slot: permanent` is not supported yet");
        }
        _ => problems.push(tree.place, path, "expected \"temporary\""),
    }
}

pub(super) fn read_auth(tree: &Tree, path: &Path, problems: &mut Problems) -> Option<Auth> {
    match &tree.kind {
        Kind::Text(text) if text == "none" => return Some(Auth::None),
        Kind::Map(members) => {
            for (name, _) in members {
                let message = match name.as_str() {
                    key @ ("jwt" | "forward") => format!("`auth: {key}` is not supported yet"),
                    key => format!("unknown key \"{key}\"; expected \"none\""),
                };
                problems.push(name.place, path, message);
            }
        }
        _ => problems.push(tree.place, path, "expected \"none\""),
    }
    None
}

/// `127.0.0.1:4000`, `[::1]:4000` or `localhost:4000`; without it loopback at `port`.
pub(super) fn read_address(fields: &Fields<'_>, key: &str, port: u16, problems: &mut Problems) -> Option<SocketAddr> {
    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let Some(tree) = fields.get(key) else { return Some(SocketAddr::new(LOOPBACK, port)) };
    let name = text(tree, &fields.at(key), problems)?;
    let local = name.text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    let address = local.map(|port| SocketAddr::new(LOOPBACK, port)).or_else(|| name.text.parse().ok());
    if address.is_none() {
        let message = format!("\"{}\" is not an address with a port, such as 127.0.0.1:{port}", name.text);
        problems.push(name.place, &fields.at(key), message);
    }
    address
}

/// Origins as browsers send them: scheme, host and port only.
pub(super) fn read_origins(fields: &Fields<'_>, problems: &mut Problems) -> Vec<String> {
    let at = fields.at("origins");
    let Some(tree) = fields.get("origins") else { return Vec::new() };
    let origins = texts(tree, &at, problems);
    for origin in &origins {
        let host = origin.text.strip_prefix("https://").or_else(|| origin.text.strip_prefix("http://"));
        if !host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '*', ' '])) {
            let message = format!("\"{}\" is not an origin: write it as in https://app.example.com", origin.text);
            problems.push(origin.place, &at, message);
        }
    }
    origins.into_iter().map(|origin| origin.text.to_ascii_lowercase()).collect()
}

pub(super) fn read_limits(tree: &Tree, path: &Path, problems: &mut Problems) -> Option<Limits> {
    let fields = Fields::open(tree, path, &LIMITS, problems)?;
    let mut limits = Limits::default();
    let most = usize::MAX >> 1;
    let mut count = |key: &str, to: &mut usize, most: usize| {
        if let Some(read) = number(&fields, key, 1, most, problems) {
            *to = read;
        }
    };
    count("connections", &mut limits.connections, most);
    count("connections_per_client", &mut limits.connections_per_client, most);
    count("subscriptions", &mut limits.subscriptions, most);
    count("list", &mut limits.list_elements, most);
    count("depth", &mut limits.depth, MAX_DEPTH);
    let bytes = |key: &str, to: &mut usize, problems: &mut Problems| {
        if let Some(read) = size(&fields, key, problems) {
            *to = read;
        }
    };
    bytes("queued", &mut limits.queued_bytes, problems);
    bytes("frame", &mut limits.frame_bytes, problems);
    bytes("document", &mut limits.document_bytes, problems);
    for (key, to) in [("component", &mut limits.component_bytes), ("output", &mut limits.output_bytes)] {
        bytes(key, to, problems);
        if let Err(problem) = NODE_BYTES.checked(*to as u64)
            && let Some(tree) = fields.get(key)
        {
            problems.push(tree.place, &fields.at(key), problem);
        }
    }
    Some(limits)
}

pub(super) fn number(
    fields: &Fields<'_>,
    key: &str,
    least: usize,
    most: usize,
    problems: &mut Problems,
) -> Option<usize> {
    let tree = fields.get(key)?;
    let number = match tree.kind {
        Kind::Int(int) => usize::try_from(int).ok().filter(|number| (least..=most).contains(number)),
        _ => None,
    };
    if number.is_none() {
        let range = if most > usize::MAX >> 2 { format!("from {least}") } else { format!("from {least} to {most}") };
        problems.push(tree.place, &fields.at(key), format!("expected a whole number {range}"));
    }
    number
}

/// A size with its unit, or a number of bytes.
fn size(fields: &Fields<'_>, key: &str, problems: &mut Problems) -> Option<usize> {
    let tree = fields.get(key)?;
    let bytes = match &tree.kind {
        Kind::Int(int) => usize::try_from(*int).ok(),
        Kind::Text(text) => parse_bytes(text).and_then(|bytes| usize::try_from(bytes).ok()),
        _ => None,
    };
    let bytes = bytes.filter(|bytes| *bytes > 0);
    if bytes.is_none() {
        problems.push(tree.place, &fields.at(key), "expected a size with its unit, such as 16MiB");
    }
    bytes
}
