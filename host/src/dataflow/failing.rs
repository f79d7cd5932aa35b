//! Which documents show less than they should because a node fails.
//!
//! With `on_error: skip` or `null` a document goes on without what a node failed on. The cells it failed on are known as they are
//! computed; the documents above them are looked for when somebody wants to know: that costs what the failures reach, and
//! nothing while there are none.

use rustc_hash::FxHashSet;

use super::cells::{DocumentKey, Reader};
use super::engine::{Dirty, Engine};

impl Engine {
    /// Notes whether a node failed on what the cell itself asked. One that waits shows for now what it showed before.
    pub(super) fn note_failing(&mut self, cell: Dirty, failed: bool, waits: bool) {
        if failed {
            self.failing.insert(cell);
        } else if !waits {
            self.failing.remove(&cell);
        }
    }

    /// Whether there may be documents that a node has failed on.
    pub fn has_failing(&self) -> bool {
        !self.failing.is_empty()
    }

    /// The documents with a part that a node has failed on.
    pub fn failing_documents(&mut self) -> FxHashSet<DocumentKey> {
        let (elements, lists) = (&self.elements, &self.lists);
        self.failing.retain(|cell| match cell {
            Dirty::Element(id) => elements.contains_key(*id),
            Dirty::List(id) => lists.contains_key(*id),
        });
        let mut open: Vec<Dirty> = self.failing.iter().copied().collect();
        let mut seen: FxHashSet<Dirty> = open.iter().copied().collect();
        let mut documents = FxHashSet::default();
        while let Some(cell) = open.pop() {
            let mut reach = |above: Dirty| {
                if seen.insert(above) {
                    open.push(above);
                }
            };
            match cell {
                Dirty::Element(id) => {
                    let readers = self.elements.get(id).into_iter().flat_map(|element| element.readers.keys());
                    readers.for_each(|&list| reach(Dirty::List(list)));
                }
                Dirty::List(id) => {
                    for reader in self.list_ref(id).readers.keys() {
                        match reader {
                            Reader::Element(element) => reach(Dirty::Element(*element)),
                            Reader::Document(document) => drop(documents.insert(*document)),
                        }
                    }
                }
            }
        }
        documents
    }
}
