//! Reading what is missing under one snapshot that is kept open (S8 of the design).
//!
//! Every commit may make a document need keys that nobody has asked for. Each round of upqueries has a snapshot of its
//! own and ends at a later commit, which may need yet other keys: under steady writes a document may wait for ever. So
//! when one has waited for long:
//!
//! ```text
//!   ask for a snapshot, and keep it ─► its position is passed: stand still at this commit
//!     ─► ask for all that is missing, under the kept snapshot; the log still has every commit that it has not seen
//!     ─► answers are merged at once, and may show that more is missing: again, at most as often as queries nest
//!     ─► nothing is missing: go on, let the snapshot go
//! ```
//!
//! - *Standing still is not what makes it right*: a stage is its answer and all commits that its snapshot has not seen, up
//!   to wherever the engine is. It is what makes it end, since no commit comes along to need more.
//! - *The snapshot was found usable once* and stays so while the log drops nothing that came after it was asked for; that
//!   later snapshots were used meanwhile does not make it stale.
//! - *Tables are locked before it is taken, all of them*: nothing that ignores snapshots can happen to any of them.
//! - *What was asked long before* and has no answer yet is slow, and is not waited for.

use rustc_hash::FxHashSet;

use super::engine::{Cause, Engine};
use super::tables::{Fill, GroupId};
use crate::data::Snapshot;

/// See the module.
pub(super) struct WholeRead {
    /// The number of the upquery that takes the snapshot.
    pub id: u64,
    /// The number of the first commit that came after it was asked for; once it is there, of the first it has not seen.
    pub opened: u64,
    /// Once it is there.
    pub snapshot: Option<Snapshot>,
    /// Its position is passed.
    pub stands: bool,
}

impl WholeRead {
    /// Whether a stage with this [`Upquery::under`](crate::data::Upquery) is one of its questions.
    fn asked(&self, under: Option<u64>) -> bool {
        under == Some(self.id)
    }
}

impl Engine {
    /// Begins to read all that is missing under one snapshot. To be called when a document has been
    /// [`Blocked::Missing`](super::Blocked) for long; while one such reading is under way, it is not begun again.
    pub fn read_whole(&mut self) -> super::Effects {
        if self.whole_read.is_none() {
            let id = self.next_stage;
            self.whole_read = Some(WholeRead { id, opened: self.log.end(), snapshot: None, stands: false });
            self.ask_under(Vec::new(), Some(id));
        }
        self.finish(Cause::Other)
    }

    /// Whether commits and positions are better kept back for a moment.
    pub fn stands_still(&self) -> bool {
        self.whole_read.as_ref().is_some_and(|read| read.stands)
    }

    /// Gives the reading up: what it asked for is asked in the usual way.
    pub fn end_whole_read(&mut self) -> super::Effects {
        self.drop_whole_read();
        self.finish(Cause::Other)
    }

    pub(super) fn drop_whole_read(&mut self) {
        let Some(read) = self.whole_read.take() else { return };
        self.effects.release_snapshot = true;
        let under: Vec<u64> =
            self.stages.iter().filter(|(_, stage)| read.asked(stage.under)).map(|(&id, _)| id).collect();
        for id in under {
            let asks = self.stages.remove(&id).map(|stage| stage.asks).unwrap_or_default();
            asks.into_iter().flatten().for_each(|group| self.want_if_asked(group));
        }
    }

    /// A stage has no answer that is of use: if it was a question of the reading, the transaction that keeps the snapshot is
    /// broken, or of no use either.
    pub(super) fn drop_if_read(&mut self, under: Option<u64>) {
        if self.whole_read.as_ref().is_some_and(|read| read.asked(under)) {
            self.drop_whole_read();
        }
    }

    /// Whether an answer to this stage comes under the kept snapshot, already found usable.
    pub(super) fn is_kept(&self, under: Option<u64>, snapshot: &Snapshot) -> bool {
        let read = self.whole_read.as_ref().filter(|read| read.asked(under));
        read.is_some_and(|read| read.snapshot.as_ref() == Some(snapshot))
    }

    /// The stage with this number has been merged: if it was to bring the snapshot, now is the moment to stand still.
    pub(super) fn stand_if_read(&mut self, stage: u64) {
        let Some(read) = self.whole_read.as_mut().filter(|read| read.id == stage) else { return };
        read.stands = true;
        let slow = self.stages.range(..stage).filter(|(_, stage)| !stage.is_answered());
        let slow: FxHashSet<GroupId> = slow.flat_map(|(_, stage)| stage.asks.iter().flatten().copied()).collect();
        let asked = self.tables.groups.iter().filter(|(id, group)| group.state == Fill::Asked && !slow.contains(id));
        let asked: Vec<GroupId> = asked.map(|(id, _)| id).collect();
        asked.into_iter().for_each(|group| self.want_if_asked(group));
    }

    fn want_if_asked(&mut self, group: GroupId) {
        if let Some(found) = self.tables.groups.get_mut(group).filter(|group| group.state == Fill::Asked) {
            found.state = Fill::Wanted;
            self.wanted.push(group);
        }
    }

    /// Goes on when nothing is asked under the kept snapshot any more.
    pub(super) fn end_if_read(&mut self) {
        let Some(read) = self.whole_read.as_ref().filter(|read| read.stands) else { return };
        if !self.stages.values().any(|stage| read.asked(stage.under)) {
            self.whole_read = None;
            self.effects.release_snapshot = true;
        }
    }
}
