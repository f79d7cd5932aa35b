//! What comes back in process: documents, changes, and what they are called.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;

use crate::api::Error;
use crate::driver::handle::{Code, Problem, Status, Update};
use crate::revision;

/// The name of a document's state.
///
/// Its text is what clients receive as `revision`, and begins with the position in Postgres's log of the newest commit it
/// includes. Revisions of one document are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub(super) revision::Revision);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Revision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = |error: revision::ParseRevisionError| {
            Error::from(Problem { code: Code::InvalidParameter, message: error.to_string() })
        };
        text.parse().map(Revision).map_err(refused)
    }
}

/// A document: the JSON value of its query, exactly as of a commit.
#[derive(Clone, Debug)]
pub struct Document {
    revision: Revision,
    json: Arc<str>,
}

impl Document {
    pub(super) fn of(update: &Update) -> Self {
        Document { revision: Revision(update.revision), json: update.document_text() }
    }

    /// The state it is.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Its JSON text; numbers have all the digits that Postgres gave.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The document as a value of a Rust type.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        let unfit = |error: serde_json::Error| Error::Value(format!("the document is not as its type says: {error}"));
        serde_json::from_str(&self.json).map_err(unfit)
    }
}

/// What a subscription yields.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The document is another now, or this is the first one.
    Change(Change),
    /// The document is no longer live, or is so again; what was yielded stays right as of its revision.
    Status(Status),
}

/// A step from the document that was yielded before to a newer one.
///
/// Texts are made when they are asked for, and once for all who follow the same document.
#[derive(Clone, Debug)]
pub struct Change(pub(super) Update);

impl Change {
    /// The state it leads to.
    pub fn revision(&self) -> Revision {
        Revision(self.0.revision)
    }

    /// The state it starts from; `None`: it starts anew, and the patch replaces the whole document.
    pub fn from(&self) -> Option<Revision> {
        self.0.from.map(Revision)
    }

    /// The JSON text of the patch, an array of RFC 6902 operations: `add`, `remove`, `replace` and `move`.
    pub fn patch(&self) -> Arc<str> {
        self.0.patch()
    }

    /// The whole document after it.
    pub fn document(&self) -> Document {
        Document::of(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::handle::Value;

    #[test]
    fn documents_become_values_of_rust() {
        let value = Value::parse_json(r#"{"id":9007199254740993,"name":"Ada"}"#).expect("JSON");
        let revision: Revision = "0/5".parse().expect("a revision");
        let change = Change(Update::whole(revision.0, value));
        let document = change.document();
        assert_eq!((document.revision(), change.from()), (revision, None));
        #[derive(Deserialize)]
        struct User<'a> {
            id: i64,
            name: &'a str,
        }
        let user: User<'_> = document.decode().expect("it fits");
        assert_eq!((user.id, user.name), (9_007_199_254_740_993, "Ada"));
        assert!(matches!(document.decode::<Vec<u8>>(), Err(Error::Value(_))));
        assert_eq!("x".parse::<Revision>().map_err(|error| error.code()), Err(Some(Code::InvalidParameter)));
    }
}
