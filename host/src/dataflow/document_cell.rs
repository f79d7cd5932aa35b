//! The cells of documents: when a state is emitted, and as of which commit.
//!
//! A document that waits for rows has no state until they are there, at whatever commit the engine is then. One that
//! waits for guests keeps the tree of its state at a commit; when the live cells go on past it, the tree is finished by
//! itself, and the next state is considered when it is.

use std::sync::Arc;

use super::cells::{Blocked, DocumentCell, DocumentKey, ListState, Reader, Waiting};
use super::engine::{Cause, Effects, Emission, Engine, Waiter, params_key};
use super::evaluate::{Params, Versions};
use super::memo::address;
use super::plan::DocumentId;
use crate::data::{Lsn, Value};

impl Engine {
    /// Keeps a document live from now on; its first state is emitted as soon as it is there. `params` are the request's
    /// bound values, in the order that [`plan::Document::params`](super::plan::Document) counts. Asking again for a
    /// document gives the same key.
    pub fn open(&mut self, document: DocumentId, params: &[Option<Value>]) -> (DocumentKey, Effects) {
        let definition = &self.plan.documents[document.0 as usize];
        let params: Params = definition.params.iter().map(|&index| params[index].clone()).collect();
        let key = params_key(&params);
        if let Some(&open) = self.document_index.get(&(document, key.clone())) {
            return (open, Effects::default());
        }
        let list = self.list(definition.list, Vec::new(), params.clone());
        let cell = DocumentCell { document, key: key.clone(), params, list, last: None, waiting: None, told: None };
        let id = self.documents.insert(cell);
        self.document_index.insert((document, key), id);
        self.list_mut(list).readers.insert(Reader::Document(id), 1);
        self.changed.insert(id);
        (id, self.finish(Cause::Other))
    }

    /// Lets a document go, and all that only it needed.
    pub fn close(&mut self, document: DocumentKey) -> Effects {
        if let Some(cell) = self.documents.remove(document) {
            self.document_index.remove(&(cell.document, cell.key));
            self.release_list(cell.list, Reader::Document(document));
        }
        self.finish(Cause::Other)
    }

    /// Emits a document's new state, or notes what it waits for.
    pub(super) fn consider(&mut self, id: DocumentKey, cause: Cause) {
        let Some(document) = self.documents.get_mut(id) else { return };
        if document.waiting.is_some() && (cause == Cause::Other || is_frozen(document)) {
            self.freeze(id);
            return;
        }
        document.waiting = None;
        let list = document.list;
        match self.list_ref(list).state.clone() {
            ListState::Ready(root) => {
                let (position, versions) = (self.position, self.versions.clone());
                self.emit(id, position, root, versions);
            }
            ListState::Pending(tree) => {
                let waiting = Waiting { tree, position: self.position, frozen: None };
                self.documents[id].waiting = Some(waiting);
            }
            ListState::Blocked(reason) => self.tell(id, Some(reason)),
        }
    }

    /// The live cells go on past the commit a document waits at: from now on its tree is finished by itself.
    fn freeze(&mut self, id: DocumentKey) {
        if !is_frozen(&self.documents[id]) {
            self.finish_tree(id);
        }
    }

    /// One of the calls that a frozen document waits for was answered; the document, if it was the last.
    pub(super) fn count_answer(&mut self, id: DocumentKey) -> Option<DocumentKey> {
        let waiting = self.documents.get_mut(id)?.waiting.as_mut()?;
        let open = waiting.frozen.as_mut()?;
        *open = open.saturating_sub(1);
        (*open == 0).then_some(id)
    }

    /// Finishes a document's tree, if every answer is there, or waits for the rest.
    pub(super) fn finish_tree(&mut self, id: DocumentKey) {
        let Some(waiting) = self.documents.get(id).and_then(|document| document.waiting.as_ref()) else { return };
        let (tree, position, versions) = (waiting.tree.clone(), waiting.position, waiting.versions().clone());
        let mut open = Vec::new();
        let outcome = tree.force(&mut self.context(), &mut open);
        match outcome {
            Some(value) => {
                self.documents[id].waiting = None;
                if let Some(root) = value {
                    self.emit(id, position, root, versions);
                }
                self.changed.insert(id);
            }
            None => {
                open.sort_unstable_by_key(address);
                open.dedup_by_key(|call| address(call));
                for call in &open {
                    self.waiters.entry(address(call)).or_default().insert(Waiter::Document(id));
                }
                if let Some(waiting) = &mut self.documents[id].waiting {
                    waiting.frozen = Some(open.len());
                }
            }
        }
    }

    fn emit(&mut self, id: DocumentKey, position: Lsn, root: Value, versions: Arc<Versions>) {
        self.tell(id, None);
        let document = &mut self.documents[id];
        if document.last.as_ref().is_some_and(|last| last.is_same(&root)) {
            self.effects.unchanged.push(id);
            return;
        }
        document.last = Some(root.clone());
        self.effects.emissions.push(Emission { document: id, position, root, versions });
    }

    fn tell(&mut self, id: DocumentKey, reason: Option<Blocked>) {
        let document = &mut self.documents[id];
        if document.told != reason {
            document.told = reason;
            self.effects.blocked.push((id, reason));
        }
    }
}

fn is_frozen(document: &DocumentCell) -> bool {
    document.waiting.as_ref().is_some_and(|waiting| waiting.frozen.is_some())
}
