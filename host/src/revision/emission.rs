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
    length: Length,
    patch: OnceLock<Arc<str>>,
    text: OnceLock<Arc<str>>,
}

/// The length of a document's JSON text: measured once, of whichever of its states is looked at first, and from there
/// on known by what each step adds.
#[derive(Clone, Debug, Default)]
struct Length {
    /// That of the state since which [`Length::grown`] counts.
    origin: Arc<OnceLock<i64>>,
    grown: i64,
}

impl Emission {
    /// A document's first state.
    pub fn first(revision: Revision, root: Value) -> Self {
        let (patch, text) = (OnceLock::new(), OnceLock::new());
        Emission { revision, root, previous: None, length: Length::default(), patch, text }
    }

    /// The state after this one, its JSON text longer by so many bytes, if that is known.
    pub fn then(&self, revision: Revision, root: Value, grown: Option<i64>) -> Self {
        let length = grown.map(|grown| Length { origin: self.length.origin.clone(), grown: self.length.grown + grown });
        let previous = Some((self.revision, self.root.clone()));
        Emission { previous, length: length.unwrap_or_default(), ..Emission::first(revision, root) }
    }

    /// The same state, holding neither the one before nor any text.
    pub fn alone(&self) -> Self {
        Emission { length: self.length.clone(), ..Emission::first(self.revision, self.root.clone()) }
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

    /// Whether the document's JSON text has more than `most` bytes.
    ///
    /// The first who asks of a document pays for a walk through it, those after for nothing.
    pub fn is_longer_than(&self, most: usize) -> bool {
        let Length { origin, grown } = &self.length;
        // No text is longer than memory.
        let measure = || self.root.json_len(usize::MAX).unwrap_or(usize::MAX >> 1) as i64 - grown;
        origin.get_or_init(measure) + grown > most as i64
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
        let before = Emission::first(first.revision(), object(1));
        let second = before.then(first.revision().next(Lsn(2), Identity::NONE), object(2), Some(0));
        let texts: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| second.patch(&memo))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(&*texts[0], r#"[{"op":"replace","path":"/a","value":2}]"#);
        assert!(texts.iter().all(|text| Arc::ptr_eq(text, &texts[0])));
    }
    #[test]
    fn the_length_follows_every_step() {
        let text = |length: usize| Value::Text("x".repeat(length - 2).into());
        let revision = |lsn| Revision::new(Lsn(lsn), 0, Identity::NONE);
        let first = Emission::first(revision(1), text(100));
        let second = first.then(revision(2), text(150), Some(50));
        let third = second.then(revision(3), text(30), Some(-120));
        assert!(!third.is_longer_than(30) && third.is_longer_than(29));
        assert_eq!(first.length.origin.get(), Some(&100), "measured once, of the third");
        assert!(second.is_longer_than(149) && !second.is_longer_than(150) && !first.is_longer_than(100));
        let other = third.then(revision(4), text(80), None);
        assert!(other.is_longer_than(79) && !other.is_longer_than(80));
        let alone = second.alone();
        assert!(alone.is_longer_than(149) && alone.previous().is_none());
        assert_eq!(alone.revision(), second.revision());
    }
}
