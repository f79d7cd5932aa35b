//! Recent commits, and which commits are beyond recall.
//!
//! An upquery's snapshot and the stream meet by transaction id (S2, S4 and S5 of the design). A commit that the log still
//! has can be replayed over an answer that has not seen it; an answer that misses any other commit is of no use. The
//! commits beyond recall are those the slot's own snapshot saw, which the stream never delivers, and those that the log
//! has dropped.
//!
//! Ids have 32 bits and are compared modulo 2^32, so nothing older than 2^31 transactions may be compared with. Each usable
//! snapshot renews what is: of everything before its oldest running transaction one number is kept, [`Log::settle`]. The
//! driver sees to it that one comes along in time ([`Engine::refresh`](super::Engine::refresh)).

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use crate::data::{Change, Commit, Snapshot, Xid};

/// See the module.
pub(super) struct Log {
    commits: VecDeque<Arc<Commit>>,
    /// How many commits were dropped from the front: the number of the first one kept.
    first: u64,
    /// About how many bytes they take.
    size: usize,
    /// How many bytes are kept when nobody needs them.
    keep: usize,
    /// What the slot's snapshot sees is not in the stream. `None` once every usable snapshot sees all of it.
    origin: Option<Snapshot>,
    /// Dropped commits that some later snapshot could still have missed.
    dropped: FxHashSet<Xid>,
    /// The latest of them. `None` once every usable snapshot ends after it.
    last_dropped: Option<Xid>,
    /// Every transaction before this one had ended when some usable snapshot was taken.
    settled: Option<Xid>,
}

impl Log {
    /// An empty log of a stream that begins where `origin` ends; it keeps about `keep` bytes back.
    pub(super) fn new(origin: Snapshot, keep: usize) -> Self {
        Log {
            commits: VecDeque::new(),
            first: 0,
            size: 0,
            keep,
            origin: Some(origin),
            dropped: FxHashSet::default(),
            last_dropped: None,
            settled: None,
        }
    }

    /// Appends a commit.
    pub(super) fn push(&mut self, commit: Arc<Commit>) {
        self.size += size(&commit);
        self.commits.push_back(commit);
    }

    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The number that the next commit will have.
    pub(super) fn end(&self) -> u64 {
        self.first + self.commits.len() as u64
    }

    /// Whether there is more than is kept when nobody needs it.
    pub(super) fn is_long(&self) -> bool {
        self.size > self.keep
    }

    /// Drops what neither its size nor an open stage (`needed`: the number of the first commit one needs) keeps.
    pub(super) fn trim(&mut self, needed: Option<u64>) {
        while self.is_long() && needed.is_none_or(|needed| self.first < needed) {
            let Some(commit) = self.commits.pop_front() else { return };
            self.first += 1;
            self.size -= size(&commit);
            self.miss(commit.xid);
        }
    }

    /// A commit that cannot be replayed, dropped or never kept: answers have to see it.
    pub(super) fn miss(&mut self, xid: Xid) {
        self.dropped.insert(xid);
        if self.last_dropped.is_none_or(|last| last.precedes(xid)) {
            self.last_dropped = Some(xid);
        }
    }

    /// Whether an answer under this snapshot misses nothing that the log cannot replay.
    pub(super) fn covers(&self, snapshot: &Snapshot) -> bool {
        self.origin.as_ref().is_none_or(|origin| !snapshot.xmax.precedes(origin.xmax))
            && self.settled.is_none_or(|settled| !snapshot.xmax.precedes(settled))
            && self.last_dropped.is_none_or(|last| last.precedes(snapshot.xmax))
            && !snapshot.running.iter().any(|&xid| self.beyond_recall(xid))
    }

    fn beyond_recall(&self, xid: Xid) -> bool {
        // Of transactions before `settled` nothing is remembered: they have ended, so a snapshot that saw them running
        // is older than one already used, and asking again is always right.
        self.origin.as_ref().is_some_and(|origin| origin.sees(xid))
            || self.dropped.contains(&xid)
            || self.settled.is_some_and(|settled| xid.precedes(settled))
    }

    /// Notes a usable snapshot: later ones see all that had ended before its oldest running transaction.
    pub(super) fn settle(&mut self, snapshot: &Snapshot) {
        if self.settled.is_none_or(|settled| settled.precedes(snapshot.xmin)) {
            let ended = |xid: Xid| xid.precedes(snapshot.xmin);
            self.settled = Some(snapshot.xmin);
            self.dropped.retain(|&xid| !ended(xid));
            self.last_dropped = self.last_dropped.filter(|&last| !ended(last));
            self.origin = self.origin.take_if(|origin| snapshot.xmin.precedes(origin.xmax));
        }
    }

    /// How many dropped commits have to be remembered; a snapshot, from any upquery, brings it down.
    pub(super) fn remembered(&self) -> usize {
        self.dropped.len()
    }

    /// The number of the first commit that a snapshot has not seen.
    pub(super) fn first_unseen(&self, snapshot: &Snapshot) -> u64 {
        let seen = self.commits.iter().take_while(|commit| snapshot.sees(commit.xid)).count();
        self.first + seen as u64
    }

    /// The commits that a snapshot has not seen, in order.
    pub(super) fn unseen<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Arc<Commit>> {
        self.commits.iter().filter(|commit| !snapshot.sees(commit.xid))
    }
}

/// About how many bytes a commit takes.
fn size(commit: &Commit) -> usize {
    size_of::<Commit>() + commit.changes.iter().map(Change::weight).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Lsn;

    fn commit(xid: u32) -> Arc<Commit> {
        Arc::new(Commit { xid: Xid(xid), end: Lsn(u64::from(xid) * 8), changes: Vec::new() })
    }

    fn snapshot(text: &str) -> Snapshot {
        text.parse().expect("the test's snapshot is well formed")
    }

    #[test]
    fn what_the_slot_never_delivers_must_be_seen() {
        // Transaction 100 waits for its standby: committed in the log before the slot, unseen by ordinary snapshots.
        let log = Log::new(snapshot("101:101:"), 0);
        assert!(!log.covers(&snapshot("100:101:100")), "100 is in no stream and not in the snapshot");
        assert!(!log.covers(&snapshot("100:100:")), "an older snapshot");
        assert!(log.covers(&snapshot("101:101:")));
        assert!(log.covers(&snapshot("101:105:101,103")), "those the stream will deliver may be missing");

        let mut log = Log::new(snapshot("101:103:101"), 0);
        log.settle(&snapshot("101:104:101"));
        assert!(
            !log.covers(&snapshot("101:104:101,102")),
            "a usable snapshot with old transactions running settles nothing"
        );
    }

    #[test]
    fn dropped_commits_must_be_seen_and_kept_ones_are_replayed() {
        let mut log = Log::new(snapshot("100:100:"), 2 * size(&commit(100)));
        for xid in [100, 102, 101] {
            log.push(commit(xid));
        }
        log.trim(Some(0));
        assert!(log.covers(&snapshot("100:103:100,101,102")), "all are in the log");
        let replayed: Vec<u32> = log.unseen(&snapshot("101:103:101")).map(|commit| commit.xid.0).collect();
        assert_eq!(replayed, [101]);
        log.trim(None);
        assert_eq!(log.end(), 3);
        assert!(!log.covers(&snapshot("100:103:100")), "100 was dropped");
        assert!(log.covers(&snapshot("101:103:101,102")), "101 and 102 were not");
    }

    #[test]
    fn ids_may_go_round() {
        let mut log = Log::new(snapshot("100:100:"), 0);
        // A quarter of the circle at a time, three times round.
        for quarter in 1..12_u64 {
            let now = 100 + (quarter << 30);
            log.push(commit(now as u32));
            log.trim(None);
            assert!(!log.covers(&snapshot(&format!("{now}:{}:{now}", now + 1))), "{now} was dropped");
            let next = snapshot(&format!("{}:{}:", now + 1, now + 1));
            assert!(log.covers(&next), "quarter {quarter}");
            log.settle(&next);
            assert!(!log.covers(&snapshot(&format!("{now}:{now}:"))), "older than one already used");
            assert!(log.covers(&next), "the same again, quarter {quarter}");
        }
    }

    #[test]
    fn remembering_ends_when_a_snapshot_has_seen_it() {
        let mut log = Log::new(snapshot("100:100:"), 0);
        for xid in 100..200 {
            log.push(commit(xid));
        }
        log.trim(None);
        assert_eq!(log.remembered(), 100);
        log.settle(&snapshot("200:200:"));
        assert_eq!(log.remembered(), 0);
        assert!(!log.covers(&snapshot("150:200:150")), "older than one already used: ask again");
        assert!(log.covers(&snapshot("200:201:200")));
    }
}
