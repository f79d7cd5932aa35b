//! The states of a document that clients may come back with.
//!
//! A client that lost its connection names the revision it holds. If the document as of that revision is known, it is sent
//! the difference; if not, the whole document. A wrong answer here would corrupt the client silently (see the module above),
//! so each rule below is about when "unchanged" is certain:
//!
//! - A revision that is in the history *is* its state.
//! - One between two states of the history, or after the last (from another host, or an earlier run), is as good as the one
//!   before it if all are of the same identity, and if the document was not touched from there up to it. It is not enough that no
//!   state was emitted in between: a document that waits for rows, and one whose source lost its place, goes from one state to
//!   a later one and leaves those between out. So every entry says by which commit its document was touched first.
//! - One that lies ahead of all this server knows is of no state here; waiting for the server to get there is the caller's part.
//! - A sequence other than 0 means that something else than a commit made the state. Only whoever gave it out knows which.

use std::collections::VecDeque;

use super::Revision;
use crate::data::{Lsn, Value};

/// What a history is told of a new state.
#[derive(Clone, Debug)]
pub struct Entry {
    pub revision: Revision,
    /// The document.
    pub root: Value,
    /// The end of the first commit that touched the document since the state before; if that is not known (the source lost
    /// its place), an LSN that is certainly not later: the state before's. For a commit applied at once: the revision's
    /// own LSN.
    pub touched: Lsn,
    /// Bytes that keeping the state before costs once this one is there, about: what is in it and not in this one
    /// ([`Weight::kept`](crate::diff::Weight)). `None`: too many to keep it.
    pub cost: Option<usize>,
    /// When the state came, in any unit of the caller's that ascends.
    pub at: u64,
}

/// Past states of one document. The newest is always kept.
pub trait History {
    /// Adds a state. Its revision should be greater than the newest; on another timeline it may be smaller. If it is not
    /// greater, states of its own identity are forgotten, for one name could stand for two of them.
    fn push(&mut self, entry: Entry);

    /// The newest state.
    fn newest(&self) -> Option<(Revision, &Value)>;

    /// The document as of `revision`, if that is certain. `untouched` is the LSN before which no commit has touched the
    /// document since its newest state; 0 if that is not known.
    fn find(&self, revision: &Revision, untouched: Lsn) -> Option<&Value>;
}

/// The last states, in memory, bounded in number and bytes.
///
/// Roots share most of their structure, so a state costs about what the next one changed. Even so the bounds are per document:
/// whoever holds many documents [shrinks](Recent::shrink) their histories, and [forgets](Recent::forget_before) old states.
#[derive(Debug)]
pub struct Recent {
    /// Oldest first.
    entries: VecDeque<Entry>,
    /// The sum of the costs of all entries but the first.
    cost: usize,
    most_entries: usize,
    most_cost: usize,
}

impl Default for Recent {
    /// 256 states, 256 KiB.
    fn default() -> Self {
        Recent::bounded(256, 256 << 10)
    }
}

impl Recent {
    /// As the default.
    pub fn new() -> Self {
        Self::default()
    }

    /// A history of at most this many states and bytes beside the newest state.
    pub fn bounded(most_entries: usize, most_cost: usize) -> Self {
        Recent { entries: VecDeque::new(), cost: 0, most_entries: most_entries.max(1), most_cost }
    }

    /// How many states there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes that the states before the newest hold, by the estimate of those who pushed them.
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// Forgets the states that had a successor before `at`: how a history ages.
    pub fn forget_before(&mut self, at: u64) {
        while self.entries.get(1).is_some_and(|successor| successor.at < at) {
            self.forget_oldest();
        }
    }

    /// Forgets the oldest states until the rest costs at most this much.
    pub fn shrink(&mut self, most_cost: usize) {
        while self.cost > most_cost && self.entries.len() > 1 {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        self.entries.pop_front();
        // The cost of the state that is gone was counted with the one after it.
        if let Some(first) = self.entries.front_mut() {
            self.cost -= first.cost.replace(0).unwrap_or(0);
        }
    }
}

impl History for Recent {
    fn push(&mut self, entry: Entry) {
        let newest = self.entries.back().map(|newest| newest.revision);
        let ascends = newest
            .is_none_or(|newest| (newest.lsn(), newest.sequence()) < (entry.revision.lsn(), entry.revision.sequence()));
        if !ascends {
            let identity = entry.revision.identity();
            self.entries.retain(|entry| entry.revision.identity() != identity);
            self.cost = self.entries.iter().skip(1).filter_map(|entry| entry.cost).sum();
        }
        if entry.cost.is_none() {
            (self.entries, self.cost) = (VecDeque::new(), 0);
        }
        self.cost += if self.entries.is_empty() { 0 } else { entry.cost.unwrap_or(0) };
        self.entries.push_back(entry);
        while self.entries.len() > self.most_entries {
            self.forget_oldest();
        }
        self.shrink(self.most_cost);
    }

    fn newest(&self) -> Option<(Revision, &Value)> {
        self.entries.back().map(|entry| (entry.revision, &entry.root))
    }

    fn find(&self, revision: &Revision, untouched: Lsn) -> Option<&Value> {
        // The newest is asked for most often, by clients that come back at once.
        let exact = self.entries.iter().rev().find(|entry| entry.revision == *revision);
        let after = || {
            let newest = self.entries.back()?;
            covers(newest, untouched, revision).then_some(newest)
        };
        let between = || {
            let mut pairs = self.entries.iter().zip(self.entries.iter().skip(1));
            // On another timeline the one after says nothing of the commits that only the old one had.
            let in_one = |after: &Entry| after.revision.identity() == revision.identity();
            pairs
                .find(|(before, after)| in_one(after) && covers(before, after.touched, revision))
                .map(|(before, _)| before)
        };
        exact.or_else(after).or_else(between).map(|entry| &entry.root)
    }
}

/// Whether the document as of `revision` is certainly that of `before`, which is right up to the commit that ends at `touched`.
fn covers(before: &Entry, touched: Lsn, revision: &Revision) -> bool {
    before.revision.identity() == revision.identity()
        && revision.sequence() == 0
        && before.revision.lsn() < revision.lsn()
        && revision.lsn() < touched
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::revision::Identity;

    /// `2:0/A` is of identity 2, sequence 0; `2:0/A#1` of sequence 1.
    fn revision(text: &str) -> Revision {
        let (identity, rest) = text.split_once(':').unwrap();
        let (lsn, sequence) = rest.split_once('#').unwrap_or((rest, "0"));
        format!("{lsn}.{sequence}-{:016x}", identity.parse::<u64>().unwrap()).parse().unwrap()
    }

    fn entry(at: &str, touched: &str, root: i64) -> Entry {
        Entry {
            revision: revision(at),
            root: Value::Int(root),
            touched: touched.parse().unwrap(),
            cost: Some(100),
            at: 0,
        }
    }

    fn found(history: &Recent, at: &str) -> Option<i64> {
        found_before(history, at, Lsn(0))
    }

    fn found_before(history: &Recent, at: &str, untouched: Lsn) -> Option<i64> {
        match history.find(&revision(at), untouched) {
            Some(Value::Int(root)) => Some(*root),
            None => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn finds_states_and_what_is_certainly_between() {
        let mut history = Recent::new();
        assert!(history.newest().is_none() && history.is_empty());
        for (at, touched, root) in [
            ("1:0/10", "0/10", 1),
            ("1:0/20", "0/20", 2),
            ("1:0/20#1", "0/20", 3),
            // Touched at 28 already, and shown with what a node answered only now.
            ("1:0/30", "0/28", 4),
            // The source had lost its place: nothing is known since 30.
            ("1:0/40", "0/30", 5),
            // A node was reloaded.
            ("2:0/40#1", "0/40", 6),
            ("2:0/50", "0/50", 7),
        ] {
            history.push(entry(at, touched, root));
        }
        for (at, root) in [
            ("1:0/10", Some(1)),
            ("1:0/20", Some(2)),
            ("1:0/20#1", Some(3)),
            ("1:0/40", Some(5)),
            ("2:0/40#1", Some(6)),
            ("2:0/50", Some(7)),
            ("1:0/F", None),
            ("1:0/15", Some(1)),
            ("1:0/15#1", None),
            ("1:0/20#2", None),
            ("1:0/27", Some(3)),
            ("1:0/28", None),
            ("1:0/29", None),
            ("1:0/35", None),
            ("1:0/40#1", None),
            ("1:0/45", None),
            ("2:0/45", Some(6)),
            ("2:0/15", None),
            ("2:0/40", None),
            ("2:0/51", Some(7)),
            ("2:0/54", Some(7)),
            ("2:0/54#1", None),
            ("2:0/55", None),
            ("2:0/60", None),
            ("1:0/51", None),
            ("3:0/20", None),
        ] {
            assert_eq!(found_before(&history, at, Lsn(0x55)), root, "{at}");
        }
        assert_eq!(history.newest().map(|(at, _)| at), Some(revision("2:0/50")));
    }

    #[test]
    fn another_timeline_tells_nothing_of_the_old_one() {
        let mut history = Recent::new();
        history.push(entry("1:0/10", "0/10", 1));
        // It branched off at 15; what the old timeline had after that is gone.
        history.push(entry("2:0/20", "0/20", 2));
        assert_eq!((found(&history, "1:0/10"), found(&history, "1:0/18")), (Some(1), None));
        history.push(entry("3:0/8", "0/8", 3));
        assert_eq!((found(&history, "1:0/10"), found(&history, "3:0/8")), (Some(1), Some(3)));
        history.push(entry("1:0/8", "0/8", 4));
        assert_eq!((found(&history, "1:0/10"), found(&history, "1:0/8")), (None, Some(4)));
        assert_eq!(history.len(), 3);
    }

    #[test]
    fn bounded_in_number_cost_and_age() {
        let at = |n: u64| Revision::new(Lsn(n), 0, Identity::NONE);
        let fill = |mut history: Recent, cost: usize| {
            (0..1000).for_each(|n| {
                history.push(Entry { revision: at(n), root: Value::Null, touched: Lsn(n), cost: Some(cost), at: n });
            });
            history
        };
        assert_eq!(fill(Recent::new(), 0).len(), 256);
        assert_eq!(fill(Recent::bounded(10, 1000), 1).len(), 10);
        let mut history = fill(Recent::bounded(100, 1000), 300);
        assert_eq!((history.len(), history.cost()), (4, 900), "three older ones");
        let found = |lsn| history.find(&at(lsn), Lsn(0)).is_some();
        assert!(found(996) && !found(995));
        history.forget_before(998);
        assert_eq!((history.len(), history.cost()), (3, 600), "997 was the newest until 998");
        history.shrink(599);
        assert_eq!((history.len(), history.cost()), (2, 300));
        history.forget_before(5000);
        assert_eq!((history.len(), history.cost()), (1, 0));
        assert_eq!(fill(Recent::bounded(0, 0), 5).newest().map(|(at, _)| at), Some(at(999)));
        let mut history = fill(Recent::new(), 1);
        history.push(Entry { revision: at(1000), root: Value::Null, touched: Lsn(1000), cost: None, at: 1000 });
        assert_eq!((history.len(), history.cost()), (1, 0), "too much changed");
    }

    proptest! {
        /// What is found for any revision is what the document was, whichever of its states were emitted.
        #[test]
        fn never_a_wrong_answer(commits in proptest::collection::vec((1..4u64, any::<bool>(), any::<bool>()), 1..60)) {
            let mut history = Recent::bounded(20, usize::MAX);
            let (mut lsn, mut state, mut touched) = (0, 0, None);
            // The document as of every LSN.
            let mut truth = BTreeMap::from([(0, 0)]);
            let mut push = |lsn, touched, state| history.push(Entry {
                revision: Revision::new(Lsn(lsn), 0, Identity::NONE),
                root: Value::Int(state),
                touched: Lsn(touched),
                cost: Some(0),
                at: 0,
            });
            push(0, 0, 0);
            for (gap, changes, emits) in commits {
                lsn += gap;
                if changes {
                    state += 1;
                    truth.insert(lsn, state);
                    touched = touched.or(Some(lsn));
                }
                if let (Some(since), true) = (touched, emits) {
                    push(lsn, since, state);
                    touched = None;
                }
            }
            for at in 0..=lsn + 2 {
                let right = truth.range(..=at).next_back().unwrap().1;
                // The document is known up to the last commit, or to the first that was not shown.
                let untouched = Lsn(touched.unwrap_or(lsn + 1));
                if let Some(found) = history.find(&Revision::new(Lsn(at), 0, Identity::NONE), untouched) {
                    prop_assert_eq!(found, &Value::Int(*right));
                }
            }
        }
    }
}
