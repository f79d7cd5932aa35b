//! A document's step from one state to the next.

use std::sync::{Arc, OnceLock};

use super::Revision;
use crate::data::Value;
use crate::diff::{self, DiffMemo};

/// A new state of a document, and the one before it.
///
/// Shared by all who follow the document: the patch is written once, by whoever needs it first.
#[derive(Debug)]
pub struct Emission {
    revision: Revision,
    root: Value,
    previous: Option<(Revision, Value)>,
    patch: OnceLock<Arc<str>>,
    text: OnceLock<Arc<str>>,
}

impl Emission {
    /// A document's first state.
    pub fn first(revision: Revision, root: Value) -> Self {
        Emission { revision, root, previous: None, patch: OnceLock::new(), text: OnceLock::new() }
    }

    /// The state after `previous`.
    pub fn after(previous: (Revision, Value), revision: Revision, root: Value) -> Self {
        Emission { revision, root, previous: Some(previous), patch: OnceLock::new(), text: OnceLock::new() }
    }

    /// The new state's name.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The document now.
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// The document's JSON text, written once by whoever needs it first.
    pub fn text(&self) -> Arc<str> {
        self.text.get_or_init(|| self.root.to_json().into()).clone()
    }

    /// The state before: `from` of the message.
    pub fn previous(&self) -> Option<&(Revision, Value)> {
        self.previous.as_ref()
    }

    /// The JSON Patch from the state before, or one that replaces any document by this first one.
    ///
    /// [`diff::is_empty`] if both are equal; such a step is not sent. One that needs it while another writes it waits.
    pub fn patch(&self, memo: &DiffMemo) -> Arc<str> {
        let write = || match &self.previous {
            Some((_, previous)) => diff::patch(previous, &self.root, memo),
            None => diff::whole(&self.root),
        };
        self.patch.get_or_init(|| write().into()).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Lsn;
    use crate::revision::Identity;

    #[test]
    fn the_patch_is_written_once() {
        let memo = DiffMemo::new();
        let first = Emission::first(Revision::new(Lsn(1), 0, Identity::NONE), Value::Int(1));
        assert_eq!(&*first.patch(&memo), r#"[{"op":"replace","path":"","value":1}]"#);
        let object = |n| Value::parse_json(&format!(r#"{{"a":{n},"b":0}}"#)).unwrap();
        let previous = (first.revision(), object(1));
        let second = Emission::after(previous, first.revision().next(Lsn(2), Identity::NONE), object(2));
        let texts: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| second.patch(&memo))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(&*texts[0], r#"[{"op":"replace","path":"/a","value":2}]"#);
        assert!(texts.iter().all(|text| Arc::ptr_eq(text, &texts[0])));
    }
}
