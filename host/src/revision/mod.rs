//! Revisions.

/// The name of a document's state, opaque to clients: `0/16B3748.<the server's part>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revision(pub std::sync::Arc<str>);
