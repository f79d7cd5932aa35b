//! The demo's folder and `sangre.yaml`, and the file that the user edits.

use std::path::{Path, PathBuf};

use tokio::sync::watch;

use super::rebuild::Build;

/// The nodes the demo can run with: those whose tools are on this machine.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    /// The filter `open-at`: a built component.
    pub open_at: Option<PathBuf>,
    /// What that component is built from.
    pub open_at_source: Option<Source>,
    /// The transform `occupancy`: a script.
    pub occupancy: Option<PathBuf>,
    /// What is missing, a line each, with the remedy.
    pub missing: Vec<String>,
}

/// The source of a node that is built after each edit.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file to edit.
    pub file: PathBuf,
    /// How the build of its newest text goes.
    pub builds: watch::Receiver<Build>,
}

impl Nodes {
    /// The files to edit: what they are written in, which node they are, where they are.
    pub fn files_to_edit(&self) -> impl Iterator<Item = (&'static str, &'static str, &Path)> {
        let script = self.occupancy.as_deref().map(|file| ("JavaScript", "occupancy", file));
        let source = self.open_at_source.as_ref().map(|source| ("Rust", "open-at", &*source.file));
        script.into_iter().chain(source)
    }

    /// How the build of a node goes, if it is built from source.
    pub fn build(&self, node: &str) -> Option<Build> {
        let source = self.open_at_source.as_ref().filter(|_| node == "open-at")?;
        Some(source.builds.borrow().clone())
    }
}

/// The script that comes with the program. Not the example itself: an edit of that would have the program compiled again.
const OCCUPANCY: &str = include_str!("occupancy.js");

/// The folder of the examples, if this program still stands in the checkout it was built from.
fn examples() -> Option<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples").canonicalize().ok()
}

/// The script to run and to edit: the example itself in a checkout of the source, else a copy in `folder`.
pub fn occupancy_script(folder: &Path) -> std::io::Result<PathBuf> {
    match examples().map(|examples| examples.join("javascript/occupancy.js")).filter(|example| example.is_file()) {
        Some(example) => Ok(example),
        None => {
            let copy = folder.join("occupancy.js");
            std::fs::write(&copy, OCCUPANCY)?;
            Ok(copy)
        }
    }
}

/// The crate of the filter, in a checkout of the source.
pub fn open_at_crate() -> Option<PathBuf> {
    examples().map(|examples| examples.join("rust/open_at")).filter(|example| example.is_dir())
}

/// The text of the demo's `sangre.yaml`.
pub fn configuration(database: &str, port: u16, nodes: &Nodes) -> String {
    // A JSON string is a double-quoted string of YAML; `$` would be taken for a variable of the environment, but no URL of a
    // private Postgres has one.
    let quote = |text: &str| serde_json::Value::from(text).to_string();
    let node = |name: &str, kind: &str, path: &Option<PathBuf>| {
        let line = path.as_ref().map(|path| format!("  {name}: {{ {kind}: {} }}\n", quote(&path.to_string_lossy())));
        line.unwrap_or_default()
    };
    let mut text = format!("database: {}\nlisten: 127.0.0.1:{port}\nadmin: 127.0.0.1:0\n\n", quote(database));
    text += "tables:\n  users: { hide: [email] }\n\n";
    if nodes.open_at.is_some() || nodes.occupancy.is_some() {
        text += "nodes:\n";
        text += &node("open-at", "component", &nodes.open_at);
        text += &node("occupancy", "script", &nodes.occupancy);
        text += "\n";
    }
    text += QUERY;
    if nodes.open_at.is_some() {
        text += "              - filter: { node: open-at, args: { hour: $hour } }\n";
    }
    if nodes.occupancy.is_some() {
        text += "              - map: { node: occupancy, into: occupation, input: [id] }\n";
    }
    let first = if nodes.occupancy.is_some() { "-occupation, name" } else { "name" };
    text += &format!("              - order_by: [{first}]\n              - limit: 20\n");
    if nodes.open_at.is_none() {
        // A declared parameter that nothing uses would be a mistake in the file.
        text = text.replace("    params: { hour: { type: int4, default: 12 } }\n", "");
    }
    text
}

const QUERY: &str = r#"queries:
  followeds:
    route: "/followeds/{user_id}"
    params: { hour: { type: int4, default: 12 } }
    from: users
    get: { id: $user_id }
    with:
      followeds:
        from: users
        through: { table: users_followeds, parent: user_id, child: followed_id }
        select: [id, name]
        with:
          places:
            from: places
            through: users_places
            where: { rating: { gte: 3 } }
            steps:
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_that_comes_along_is_the_example() {
        let example = examples().expect("tests run in a checkout").join("javascript/occupancy.js");
        let text = std::fs::read_to_string(&example).expect("the example is there");
        assert_eq!(text, OCCUPANCY, "host/src/demo/occupancy.js has to be a copy of {}", example.display());
    }

    #[test]
    fn missing_nodes_leave_a_whole_configuration() {
        let (wasm, script) = (Some(PathBuf::from("/a \"b\"/open_at.wasm")), Some(PathBuf::from("/c/occupancy.js")));
        for (open_at, occupancy) in [(wasm.clone(), script.clone()), (wasm, None), (None, script), (None, None)] {
            let nodes = Nodes { open_at, occupancy, ..Nodes::default() };
            let text = configuration("postgres://u:p@127.0.0.1:5/postgres", 4000, &nodes);
            let settings =
                crate::config::Settings::parse(&text, "sangre.yaml", Path::new("."), &|_| None).expect("valid");
            assert_eq!(
                settings.nodes.len(),
                usize::from(nodes.open_at.is_some()) + usize::from(nodes.occupancy.is_some())
            );
            let value: serde_json::Value = serde_saphyr::from_str(&text).expect("YAML");
            let steps = &value["queries"]["followeds"]["with"]["followeds"]["with"]["places"]["steps"];
            let names = steps.as_array().expect("a list").iter().filter_map(|step| step.as_object()?.keys().next());
            let (open_at, occupancy) = (nodes.open_at.is_some(), nodes.occupancy.is_some());
            let expected = [("filter", open_at), ("map", occupancy), ("order_by", true), ("limit", true)];
            assert!(names.eq(expected.iter().filter(|(_, there)| *there).map(|(name, _)| name)), "{text}");
            assert_eq!(value["queries"]["followeds"].get("params").is_some(), open_at);
            assert_eq!(value["nodes"]["open-at"]["component"].as_str(), open_at.then_some("/a \"b\"/open_at.wasm"));
        }
    }
}
