//! Parts of a configuration that are written in code, beside a text or in place of one.
//!
//! They become members of the same tree, so that all that is checked in a file is checked in them. Their values have no
//! places, for a line of a snippet says nothing beside a file's name; their paths (`queries.notes.from`) say which they are.

use super::parse_tree;
use crate::query::problem::{Path, Place, Problems};
use crate::query::tree::{Kind, Name, Tree};

/// A member of the configuration, or of one of its mappings.
#[derive(Clone)]
pub struct Part {
    /// A key of the file, such as `queries`.
    pub key: &'static str,
    /// The member of that key; `None`: its whole value, in place of whatever is there.
    pub name: Option<String>,
    pub value: PartValue,
}

/// What a part says.
#[derive(Clone)]
pub enum PartValue {
    /// YAML or JSON.
    Yaml(String),
    /// This text, whatever is in it.
    Text(String),
    Texts(Vec<String>),
}

/// Adds parts to what was read from a text.
pub(super) fn add(tree: &mut Tree, parts: &[Part], problems: &mut Problems) {
    // An empty text is a mapping without members.
    if matches!(tree.kind, Kind::Null) && !parts.is_empty() {
        tree.kind = Kind::Map(Vec::new());
    }
    // Otherwise whoever reads the tree says what is wrong with it.
    let Kind::Map(members) = &mut tree.kind else { return };
    for part in parts {
        let path = Path::default().then(part.key);
        let path = part.name.iter().fold(path, |path, name| path.then(name));
        let Some(value) = read(&part.value, &path, problems) else { continue };
        match &part.name {
            None => {
                members.retain(|(key, _)| key.as_str() != part.key);
                members.push((unplaced(part.key), value));
            }
            Some(name) => add_named(members, part.key, name, value, &path, problems),
        }
    }
}

fn add_named(
    members: &mut Vec<(Name, Tree)>,
    key: &str,
    name: &str,
    value: Tree,
    path: &Path,
    problems: &mut Problems,
) {
    if !members.iter().any(|(known, _)| known.as_str() == key) {
        members.push((unplaced(key), Tree { place: Place::default(), kind: Kind::Map(Vec::new()) }));
    }
    let section = members.iter_mut().find(|(known, _)| known.as_str() == key);
    let Some((_, Tree { kind: Kind::Map(section), .. })) = section else { return };
    if section.iter().any(|(known, _)| known.as_str() == name) {
        problems.push(Place::default(), path, "is there twice: in the configuration and in code, or twice in code");
        return;
    }
    section.push((unplaced(name), value));
}

fn read(value: &PartValue, path: &Path, problems: &mut Problems) -> Option<Tree> {
    let text = |text: &String| Tree { place: Place::default(), kind: Kind::Text(text.clone()) };
    match value {
        PartValue::Text(value) => Some(text(value)),
        PartValue::Texts(texts) => {
            Some(Tree { place: Place::default(), kind: Kind::List(texts.iter().map(text).collect()) })
        }
        PartValue::Yaml(yaml) => match parse_tree(yaml) {
            Ok(mut tree) => {
                forget_places(&mut tree);
                Some(tree)
            }
            Err(found) => {
                for problem in found.0 {
                    let (line, column) = (problem.place.line, problem.place.column);
                    problems.push(Place::default(), path, format!("line {line}, column {column}: {}", problem.message));
                }
                None
            }
        },
    }
}

fn unplaced(text: &str) -> Name {
    Name { text: text.to_string(), place: Place::default() }
}

fn forget_places(tree: &mut Tree) {
    tree.place = Place::default();
    match &mut tree.kind {
        Kind::List(items) => items.iter_mut().for_each(forget_places),
        Kind::Map(members) => {
            for (name, member) in members {
                name.place = Place::default();
                forget_places(member);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path as FilePath;

    use super::super::{ConfigError, Settings};
    use super::*;

    fn part(key: &'static str, name: Option<&str>, yaml: &str) -> Part {
        Part { key, name: name.map(Into::into), value: PartValue::Yaml(yaml.into()) }
    }

    fn read(text: &str, parts: &[Part]) -> Result<Settings, String> {
        let read = Settings::parse_with(text, parts, "sangre.yaml", FilePath::new("."), &|_| Some("expanded".into()));
        read.map_err(|error| match error {
            ConfigError::Invalid { .. } => error.to_string(),
            ConfigError::Read { .. } => unreachable!("no file is read"),
        })
    }

    #[test]
    fn parts_stand_beside_a_text_or_alone() {
        let url = Part { key: "database", name: None, value: PartValue::Text("postgres://u:${p@h/d".into()) };
        let query = part("queries", Some("notes"), "{ route: /notes, from: notes }");
        let alone = read("", &[url.clone(), query.clone(), part("tables", Some("notes"), "{ hide: [secret] }")]);
        let alone = alone.expect("valid");
        assert_eq!(alone.database.url, "postgres://u:${p@h/d", "code says what it means");
        assert_eq!((alone.queries[0].name.as_str(), alone.tables[0].hide[0].as_str()), ("notes", "secret"));

        let text = "database: \"${URL}\"\nqueries: { users: { route: /users, from: users } }";
        let beside = read(text, std::slice::from_ref(&query)).expect("valid");
        assert_eq!((beside.database.url.as_str(), beside.queries.len()), ("expanded", 2));
        let instead = read(text, &[url]).expect("valid");
        assert_eq!((instead.database.url.as_str(), instead.queries.len()), ("postgres://u:${p@h/d", 1));
    }

    #[test]
    fn mistakes_in_parts_are_told_by_their_paths() {
        let text = "database: x\nqueries: { notes: { route: /notes, from: notes } }";
        let told = |name: &str, yaml: &str| read(text, &[part("queries", Some(name), yaml)]).expect_err("a mistake");
        assert_eq!(
            told("notes", "{ route: /other, from: notes }"),
            "sangre.yaml: queries.notes: is there twice: in the configuration and in code, or twice in code"
        );
        assert!(
            told("b", "{ route: /b, form: b }").starts_with("sangre.yaml: queries.b: unknown key \"form\"; did you")
        );
        assert!(told("b", "{ route: /b").starts_with("sangre.yaml: queries.b: line 1, column "), "{}", told("b", "{"));
    }
}
