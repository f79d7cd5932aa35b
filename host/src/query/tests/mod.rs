//! Tests from a configuration's text to what comes of it, over a catalogue made by hand.

pub mod catalogue;
pub mod plans;
mod problems;
mod random;
mod request;
mod show;
mod typescript;

use std::path::Path;

use super::{Compiled, compile};
use crate::config::Settings;

/// What comes of a configuration that reads without a mistake.
fn compiled(text: &str) -> Compiled {
    let env = |name: &str| (name == "DATABASE_URL").then(|| "postgres://localhost/x".to_string());
    let settings = Settings::parse(text, "sangre.yaml", Path::new("/app"), &env);
    let settings = settings.unwrap_or_else(|error| panic!("{error}"));
    compile(&settings.definitions(), &catalogue::catalogue())
}

/// The configuration of a single query `q`, its route with an `{a}` if it uses `$a`.
fn query(body: &str) -> String {
    let route = if body.replace("$auth", "").contains("$a") { "/q/{a}" } else { "/q" };
    let nodes = "nodes: { keep: { script: a.js }, calc: { script: a.js }, sum: { script: a.js, on_error: hold } }";
    format!("database: x\n{nodes}\nqueries:\n  q: {{ route: \"{route}\", {body} }}\n")
}
