//! All live documents, and how much of their past is kept.
//!
//! A document's history is bounded by itself; all of them together are bounded here, in bytes and in time, so that many documents
//! that change do not add up, and a server that has grown quiet keeps nothing but what its documents are now.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use rustc_hash::FxHashSet;

use super::documents::{Document, Name};
use super::replan::definition;
use crate::data::Lsn;
use crate::dataflow::plan::{DocumentId, Plan};
use crate::dataflow::{Blocked, DocumentKey, Emission};
use crate::diff::Scales;
use crate::query::Routes;
use crate::source::History;

/// Bytes that past states of all documents take. Beyond, each history gives half of what it has.
const MOST_BYTES: usize = 3 << 20;

/// How long a state is kept once there is a newer one, in seconds: for clients that come back after a while.
const MOST_SECONDS: u64 = 300;

/// See the module.
pub(super) struct Live {
    pub by_key: HashMap<DocumentKey, Document>,
    pub by_name: HashMap<Name, DocumentKey>,
    /// Of the documents that were opened, each once for all its parameters: they are long.
    definitions: HashMap<DocumentId, Arc<str>>,
    /// Bytes of all past states.
    kept: usize,
    most_bytes: usize,
    /// Since when seconds count.
    began: Instant,
    /// The end of the commit whose effects are told.
    pub commit: Option<Lsn>,
    /// Whether a node has failed on any.
    fails: bool,
}

impl Default for Live {
    fn default() -> Self {
        let began = Instant::now();
        Live {
            by_key: HashMap::new(),
            by_name: HashMap::new(),
            definitions: HashMap::new(),
            kept: 0,
            most_bytes: MOST_BYTES,
            began,
            commit: None,
            fails: false,
        }
    }
}

impl Live {
    /// None yet, in the time of these.
    pub(super) fn next(&self) -> Self {
        Live { began: self.began, most_bytes: self.most_bytes, fails: self.fails, ..Live::default() }
    }

    /// What a document is defined as, in the plan and routes of these.
    pub(super) fn definition(&mut self, plan: &Plan, routes: &Routes, document: DocumentId) -> Arc<str> {
        self.definitions.entry(document).or_insert_with(|| definition(plan, routes, document).into()).clone()
    }

    /// Bytes of all past states.
    pub(super) fn kept(&self) -> usize {
        self.kept
    }

    pub(super) fn insert(&mut self, key: DocumentKey, document: Document) {
        self.kept += document.kept();
        self.by_name.insert(document.name.clone(), key);
        self.by_key.insert(key, document);
    }

    pub(super) fn remove(&mut self, key: DocumentKey) -> Option<Document> {
        let document = self.by_key.remove(&key)?;
        self.kept -= document.kept();
        self.by_name.remove(&document.name);
        Some(document)
    }

    /// New states of documents.
    pub(super) fn emit(&mut self, plan: &Plan, origin: &History, emissions: Vec<Emission>) {
        if emissions.is_empty() {
            return;
        }
        let at = self.began.elapsed().as_secs();
        let mut scales = Scales::default();
        for emission in emissions {
            if let Some(document) = self.by_key.get_mut(&emission.document) {
                self.kept -= document.kept();
                let identity = document.identity(plan, origin, &emission.versions);
                document.emit(emission, identity, &mut scales, at, self.commit);
                self.kept += document.kept();
            }
        }
        if self.kept > self.most_bytes {
            self.by_key.values_mut().for_each(|document| document.shrink(document.kept() / 2));
            self.count();
        }
    }

    /// Notes that a document has no newer state, and why; `None`: the reason is gone.
    pub(super) fn blocked(&mut self, key: DocumentKey, reason: Option<Blocked>, tell: bool) {
        let Some(document) = self.by_key.get_mut(&key) else { return };
        if reason.is_some() {
            document.touch(self.commit);
        }
        if tell {
            document.blocked(reason);
        }
    }

    /// Whether one of these is the first state of a document that calls nodes.
    pub(super) fn begins_with_nodes(&self, emissions: &[Emission]) -> bool {
        let document = |emission: &Emission| self.by_key.get(&emission.document);
        emissions.iter().filter_map(document).any(Document::begins_with_nodes)
    }

    /// Notes on which documents a node has failed: on these and no others.
    pub(super) fn fail(&mut self, failing: &FxHashSet<DocumentKey>) {
        if self.fails || !failing.is_empty() {
            self.by_key.iter().for_each(|(key, document)| document.fail(failing.contains(key)));
        }
        self.fails = !failing.is_empty();
    }

    /// Forgets what is too old, and gives the documents that nobody has followed for long. To be called now and then.
    pub(super) fn sweep(&mut self, now: Instant) -> Vec<DocumentKey> {
        let seconds = now.duration_since(self.began).as_secs();
        self.by_key.values_mut().for_each(|document| document.forget_before(seconds.saturating_sub(MOST_SECONDS)));
        self.count();
        let documents = self.by_key.iter_mut();
        documents.filter_map(|(&key, document)| document.is_abandoned(now).then_some(key)).collect()
    }

    /// Documents that nobody follows, those idle longest first; a sixteenth of all at most, so that the search for room is
    /// not made for each one.
    pub(super) fn longest_idle(&self) -> Vec<DocumentKey> {
        let idle = self.by_key.iter().filter(|(_, document)| document.is_idle());
        let mut idle: Vec<_> = idle.map(|(&key, document)| (document.idle_since(), key)).collect();
        idle.sort_unstable_by_key(|&(since, key)| (since.is_none(), since, key));
        idle.truncate(self.by_key.len().div_ceil(16));
        idle.into_iter().map(|(_, key)| key).collect()
    }

    fn count(&mut self) {
        self.kept = self.by_key.values().map(Document::kept).sum();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use slotmap::{Key, KeyData};

    use super::*;
    use crate::data::{Lsn, Table, TableId, Value};
    use crate::dataflow::Versions;
    use crate::dataflow::plan::{
        self, ArrangementId, ArrangementRef, Base, Count, DocumentId, ElementId, ElementRef, ListId,
    };
    use crate::driver::documents::{Asked, Standing};
    use crate::revision::{Identity, Revision, Subject};

    /// One document: a table's rows.
    fn plan() -> Plan {
        let base = Base::Row { table: TableId(0), columns: Vec::new(), children: Vec::new() };
        let rows = ArrangementRef { id: ArrangementId(0), key: Vec::new(), params: Vec::new() };
        let element = ElementRef { id: ElementId(0), params: Vec::new() };
        let stage = plan::Stage { element, order: Vec::new(), offset: Count::Fixed(0), limit: None };
        let source = plan::Source::Rows(rows);
        let list = plan::List { source, stages: vec![stage], shape: plan::Shape::Array, parents: 0, params: 0 };
        Plan {
            tables: vec![Table {
                schema: "public".into(),
                name: "t".into(),
                columns: Vec::new(),
                identity: crate::data::Identity::Bag,
                primary_key: Vec::new(),
            }],
            arrangements: vec![plan::Arrangement { table: TableId(0), key: Vec::new(), filter: None, params: 0 }],
            elements: vec![plan::Element { base, steps: Vec::new(), params: 0 }],
            lists: vec![list],
            nodes: Default::default(),
            documents: vec![plan::Document { name: "q".into(), list: ListId(0), params: Vec::new() }],
        }
    }

    fn identity() -> Identity {
        Subject { definition: b"q", ..Subject::default() }.identity()
    }

    /// How a document stands that has nothing to wait for.
    fn standing(position: u64) -> Standing {
        Standing { identity: identity(), position: Lsn(position), settled: true, blocked: None }
    }

    fn key(number: u64) -> DocumentKey {
        KeyData::from_ffi(1 << 32 | number).into()
    }

    /// So many live documents.
    fn live(documents: u64) -> Live {
        let mut live = Live::default();
        for number in 0..documents {
            live.insert(
                key(number),
                Document::new(&plan(), (DocumentId(0), number.to_string()), Vec::new(), "q".into(), number),
            );
        }
        live
    }

    /// Shows a text of so many bytes that no other state has, and gives what tells whether it is still there.
    fn emit(live: &mut Live, document: u64, lsn: u64, bytes: usize) -> std::sync::Weak<str> {
        let text: Arc<str> = "x".repeat(bytes).into();
        let told = Arc::downgrade(&text);
        let versions = Arc::new(Versions::default());
        let emission = Emission { document: key(document), position: Lsn(lsn), root: Value::Text(text), versions };
        live.emit(&plan(), &History::default(), vec![emission]);
        told
    }

    #[test]
    fn past_states_are_bounded_in_all_and_the_newest_never_counts() {
        let mut live = live(100);
        live.most_bytes = 1 << 20;
        for lsn in 1..50 {
            for document in 0..100 {
                emit(&mut live, document, lsn, 10_000);
                assert!(live.kept <= 1 << 20, "{}", live.kept);
            }
        }
        assert!(live.kept > 1 << 18, "there is room: {}", live.kept);
        for document in 0..100 {
            live.remove(key(document));
        }
        assert_eq!(live.kept, 0);
    }

    #[test]
    fn a_small_change_of_a_large_document_costs_little() {
        let mut live = live(1);
        emit(&mut live, 0, 1, 1 << 20);
        assert_eq!(live.kept, 0);
        let one = emit(&mut live, 0, 2, 1000);
        assert_eq!(live.kept, 0, "a megabyte is too much for one state");
        emit(&mut live, 0, 3, 1000);
        assert!((1000..1300).contains(&live.kept), "{}", live.kept);
        assert!(one.upgrade().is_some());
    }

    #[test]
    fn a_quiet_server_keeps_nothing_but_what_documents_are_now() {
        let mut live = live(1);
        let old: Vec<_> = (1..5).map(|lsn| emit(&mut live, 0, lsn, 1000)).collect();
        let now = emit(&mut live, 0, 5, 1000);
        let began = live.began;
        live.sweep(began + Duration::from_secs(MOST_SECONDS));
        assert!(old.iter().all(|old| old.upgrade().is_some()), "clients may come back");
        live.sweep(began + Duration::from_secs(MOST_SECONDS + 1));
        assert!(old.iter().all(|old| old.upgrade().is_none()));
        assert!(now.upgrade().is_some() && live.kept == 0);
    }

    #[test]
    fn of_those_that_nobody_follows_the_longest_idle_make_room() {
        let mut live = live(40);
        let follow = |live: &mut Live, number| {
            live.by_key.get_mut(&key(number)).expect("there").open(&Asked::default(), &standing(0)).expect("no problem")
        };
        let _followed: Vec<_> = (0..20).map(|number| follow(&mut live, number)).collect();
        let now = live.began;
        live.sweep(now);
        let (first, second) = (follow(&mut live, 30), follow(&mut live, 31));
        live.sweep(now + Duration::from_secs(1));
        drop((first, second));
        live.sweep(now + Duration::from_secs(2));
        let going = live.longest_idle();
        assert_eq!(going.len(), 3);
        assert!(going.iter().all(|key| (20..40).contains(&(key.data().as_ffi() as u32))), "{going:?}");
        assert!(![30, 31].iter().any(|&late| going.contains(&key(late))), "{going:?}");
    }

    /// What a client that holds the state as of this LSN is told to build on, and whether it has to wait.
    fn resumed(live: &mut Live, held: u64, now: Standing) -> (Option<usize>, bool) {
        let document = live.by_key.get_mut(&key(0)).expect("there");
        let asked = Asked { resume: Some(Revision::new(Lsn(held), 0, now.identity)), newest: false };
        let opened = document.open(&asked, &now).expect("no problem");
        (opened.base.map(|(_, root)| root.to_json().len() - 2), opened.waits_for.is_some())
    }

    #[test]
    fn a_revision_between_two_states_is_as_good_as_the_one_before_it() {
        let mut live = live(1);
        for (lsn, bytes) in [(10, 1), (20, 2)] {
            live.commit = Some(Lsn(lsn));
            emit(&mut live, 0, lsn, bytes);
        }
        live.commit = None;
        let mut identity = Identity::NONE;
        for document in live.by_key.values_mut() {
            identity = document.identity(&plan(), &History::default(), &Arc::default());
        }
        let standing = |settled| Standing { identity, settled, ..standing(30) };
        for (held, found) in [(9, None), (10, Some(1)), (19, Some(1)), (20, Some(2)), (30, Some(2)), (31, None)] {
            assert_eq!(resumed(&mut live, held, standing(true)), (found, false), "{held}");
        }
        // Rows are missing since 25: what it is from there on is not known, and nobody is taken back.
        live.commit = Some(Lsn(25));
        live.blocked(key(0), Some(Blocked::Missing), true);
        live.commit = None;
        assert_eq!(resumed(&mut live, 24, standing(false)), (Some(2), false));
        assert_eq!(resumed(&mut live, 25, standing(false)), (None, true));
        emit(&mut live, 0, 28, 3);
        for (held, found) in [(24, Some(2)), (25, None), (27, None), (28, Some(3)), (30, Some(3))] {
            assert_eq!(resumed(&mut live, held, standing(true)), (found, false), "{held}");
        }
        // The stream breaks off: commits may be missed from here on.
        live.by_key.values_mut().for_each(Document::begin_anew);
        assert_eq!(resumed(&mut live, 29, standing(true)), (None, false));
        emit(&mut live, 0, 40, 4);
        assert_eq!(resumed(&mut live, 30, standing(true)), (None, false));
        assert_eq!(resumed(&mut live, 28, standing(true)), (Some(3), false));
    }
}
