//! Reading a mapping whose keys are known: what is missing, what nobody knows, what comes later.
//!
//! A key that the language reserves is refused by its name ("`exists` is not supported yet"), never ignored: a condition
//! that is silently left out would show rows to people who must not see them.

use super::problem::{Path, Place, Problems, did_you_mean, one_of};
use super::tree::{Kind, Name, Tree};

/// The keys of one kind of mapping.
#[derive(Debug)]
pub struct Keys {
    pub known: &'static [&'static str],
    /// Reserved, and refused until they are built.
    pub later: &'static [&'static str],
}

/// A mapping being read.
#[derive(Debug)]
pub struct Fields<'t> {
    pub path: Path,
    pub place: Place,
    members: &'t [(Name, Tree)],
    keys: &'static Keys,
}

impl<'t> Fields<'t> {
    /// The mapping at `path`; reports whatever is not a mapping, and every key that is not among `keys`.
    pub fn open(tree: &'t Tree, path: &Path, keys: &'static Keys, problems: &mut Problems) -> Option<Self> {
        let Kind::Map(members) = &tree.kind else {
            let expected = one_of(keys.known.iter().copied());
            problems.push(tree.place, path, format!("expected a mapping with {expected}, found {}", tree.what()));
            return None;
        };
        for (name, _) in members {
            let key = name.as_str();
            if keys.later.contains(&key) {
                problems.push(name.place, path, format!("`{key}` is not supported yet"));
            } else if !keys.known.contains(&key) {
                let meant = did_you_mean(key, keys.known.iter().copied());
                let meant =
                    if meant.is_empty() { format!("; expected {}", one_of(keys.known.iter().copied())) } else { meant };
                problems.push(name.place, path, format!("unknown key \"{key}\"{meant}"));
            }
        }
        Some(Fields { path: path.clone(), place: tree.place, members, keys })
    }

    /// The member called `key`.
    pub fn get(&self, key: &str) -> Option<&'t Tree> {
        debug_assert!(self.keys.known.contains(&key), "{key} is not among the keys");
        self.members.iter().find(|(name, _)| name.as_str() == key).map(|(_, tree)| tree)
    }

    /// Whether such a mapping can have `key` at all.
    pub fn knows(&self, key: &str) -> bool {
        self.keys.known.contains(&key)
    }

    /// The member called `key`; reports if there is none.
    pub fn need(&self, key: &str, problems: &mut Problems) -> Option<&'t Tree> {
        let found = self.get(key);
        if found.is_none() {
            problems.push(self.place, &self.path, format!("`{key}` is missing"));
        }
        found
    }

    /// Where the member called `key` stands.
    pub fn at(&self, key: &str) -> Path {
        self.path.then(key)
    }

    /// The text at `key`.
    pub fn text(&self, key: &str, problems: &mut Problems) -> Option<Name> {
        self.get(key).and_then(|tree| text(tree, &self.at(key), problems))
    }

    /// Whether `key` is true; false without it.
    pub fn flag(&self, key: &str, problems: &mut Problems) -> bool {
        self.get(key).and_then(|tree| flag(tree, &self.at(key), problems)).unwrap_or(false)
    }
}

/// A text.
pub fn text(tree: &Tree, path: &Path, problems: &mut Problems) -> Option<Name> {
    match &tree.kind {
        Kind::Text(text) => Some(Name { text: text.clone(), place: tree.place }),
        _ => {
            problems.push(tree.place, path, format!("expected a text, found {}", tree.what()));
            None
        }
    }
}

/// True or false.
pub fn flag(tree: &Tree, path: &Path, problems: &mut Problems) -> Option<bool> {
    match tree.kind {
        Kind::Bool(bool) => Some(bool),
        _ => {
            problems.push(tree.place, path, format!("expected true or false, found {}", tree.what()));
            None
        }
    }
}

/// A list's items.
pub fn list<'t>(tree: &'t Tree, path: &Path, problems: &mut Problems) -> &'t [Tree] {
    match &tree.kind {
        Kind::List(items) => items,
        _ => {
            problems.push(tree.place, path, format!("expected a list{}, found {}", example(tree), tree.what()));
            &[]
        }
    }
}

/// What was meant where a single item stands for a list: `, such as [name]`.
fn example(tree: &Tree) -> String {
    match &tree.kind {
        Kind::Text(text) => format!(", such as [{text}]"),
        Kind::Map(members) => {
            members.first().map_or_else(String::new, |(name, _)| format!(", such as [{{ {}: ... }}]", name.text))
        }
        _ => String::new(),
    }
}

/// The members of a mapping whose keys are names of the user's.
pub fn members<'t>(tree: &'t Tree, path: &Path, problems: &mut Problems) -> &'t [(Name, Tree)] {
    match &tree.kind {
        Kind::Map(members) => members,
        _ => {
            problems.push(tree.place, path, format!("expected a mapping, found {}", tree.what()));
            &[]
        }
    }
}

/// A list of texts.
pub fn texts(tree: &Tree, path: &Path, problems: &mut Problems) -> Vec<Name> {
    list(tree, path, problems)
        .iter()
        .enumerate()
        .filter_map(|(index, item)| text(item, &path.at(index), problems))
        .collect()
}
