//! Texts of the configuration that only Postgres can read: what `sangre check` asks it, before a client's request does.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Compiled;
use super::literal::Parsed;
use super::problem::{Path, Place, Problem};
use super::request::parse_default;
use super::resolved::{Origin, ResolvedParam};

/// A literal or default, and the type Postgres must cast it to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    pub text: String,
    pub ty: Arc<str>,
    place: Place,
    path: Path,
}

impl Unread {
    /// The mistake, if Postgres refuses the text with these words.
    pub fn refused(&self, reason: &str) -> Problem {
        let message = format!("\"{}\" is not a value of type {}: {reason}", self.text, self.ty);
        Problem { place: self.place, path: self.path.clone(), message }
    }
}

impl Compiled {
    /// The texts of all queries that are served. One of a table's rules is told once, with the first query that uses it.
    pub fn unread(&self) -> Vec<Unread> {
        let mut told = BTreeSet::new();
        let mut texts = Vec::new();
        for (query, _, params) in &self.queries {
            let path = Path::default().then("queries").then(query);
            let unread = params.iter().filter_map(|param| unread(param, &path));
            texts.extend(unread.filter(|unread| told.insert((unread.place, unread.text.clone(), unread.ty.clone()))));
        }
        texts
    }
}

fn unread(param: &ResolvedParam, path: &Path) -> Option<Unread> {
    let ty = param.ty.as_ref()?;
    let (place, text) = match (&param.origin, &param.default) {
        (Origin::Literal(text), _) => (param.place, text.clone()),
        (_, Some(default)) => match parse_default(ty, ty.element.as_deref(), default) {
            Parsed::Ask(text) => (default.place, text),
            Parsed::Value(_) | Parsed::Invalid(_) => return None,
        },
        (_, None) => return None,
    };
    Some(Unread { text, ty: ty.sql.clone(), place, path: path.clone() })
}
