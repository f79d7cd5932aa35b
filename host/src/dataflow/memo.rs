//! The calls of guests: equal questions exist once.
//!
//! A call is found by a keyed hash of (node, version, tick, arguments, input) and compared byte by byte on a hit, so a collision
//! costs time and never an answer. The memo itself only holds calls weakly: a call lives while a cell or a waiting document uses
//! it, and, once it is answered, a while longer in a short queue of recent ones, since rows that leave a list often come back.
//!
//! There are as many calls as rows that nodes see, so what is kept of each is small; and what is held weakly still takes its place in
//! memory, so a call that leaves the queue without a user is forgotten then, and others now and then.

use std::collections::VecDeque;
use std::hash::Hasher as _;
use std::sync::{Arc, Weak};

use hashbrown::HashTable;
use rustc_hash::FxHashMap;
use siphasher::sip::SipHasher13;

use super::guest::{GuestCall, NodeVersion, Origin};
use super::plan::NodeId;
use crate::data::Value;

/// How many calls outlive their last user.
const RECENT: usize = 2048;

/// For how many calls there stays room when none is open.
pub(super) const RESERVED: usize = 512;

/// See the module.
pub(super) struct Memo {
    calls: HashTable<Known>,
    recent: VecDeque<(u64, Arc<GuestCall>)>,
    /// Calls nobody has asked a guest for yet.
    asked: Vec<Arc<GuestCall>>,
    /// Calls without an answer, by their addresses.
    open: FxHashMap<usize, Open>,
    key: [u8; 16],
    scratch: String,
    /// By node, how often an answer was there or on its way.
    hits: Vec<u64>,
    /// Size of `calls` at which dead entries are swept.
    sweep_at: usize,
}

struct Known {
    hash: u64,
    call: Weak<GuestCall>,
}

/// What is known of a call while it is open, and is not kept in the call, which lives on.
struct Open {
    hash: u64,
    /// The row it was first asked of.
    origin: Option<Origin>,
}

impl Memo {
    /// `key` makes hashes unpredictable to whoever writes rows.
    pub(super) fn new(key: [u8; 16]) -> Self {
        Memo {
            calls: HashTable::new(),
            recent: VecDeque::new(),
            asked: Vec::new(),
            open: FxHashMap::default(),
            key,
            scratch: String::new(),
            hits: Vec::new(),
            sweep_at: 2 * RECENT,
        }
    }

    /// The call of this question, with its answer if it has come. `origin` is whose question it is, if it is new.
    pub(super) fn ask(
        &mut self,
        node: NodeId,
        version: NodeVersion,
        tick: u64,
        args: Value,
        input: Value,
        origin: impl FnOnce() -> Option<Origin>,
    ) -> Arc<GuestCall> {
        let hash = self.hash(node, version, tick, &args, &input);
        let same = |call: &GuestCall| {
            call.node == node
                && call.version == version
                && call.tick == tick
                && call.args.is_written_alike(&args)
                && call.input.is_written_alike(&input)
        };
        let mut found = None;
        let is_known = self.calls.find(hash, |known| {
            found = Some(known).filter(|known| known.hash == hash).and_then(|known| known.call.upgrade());
            found.as_deref().is_some_and(same)
        });
        if let Some(call) = found.filter(|_| is_known.is_some()) {
            let at = node.0 as usize;
            self.hits.resize(self.hits.len().max(at + 1), 0);
            self.hits[at] += 1;
            return call;
        }
        let call = Arc::new(GuestCall::new(node, version, tick, args, input));
        self.open.insert(address(&call), Open { hash, origin: origin() });
        let known = Known { hash, call: Arc::downgrade(&call) };
        match self.calls.find_mut(hash, |known| known.hash == hash && known.call.strong_count() == 0) {
            Some(dead) => *dead = known,
            None => drop(self.calls.insert_unique(hash, known, |known| known.hash)),
        }
        self.asked.push(call.clone());
        if self.calls.len() >= self.sweep_at {
            self.forget(|_| false);
            self.sweep_at = (2 * self.calls.len()).max(2 * RECENT);
        }
        call
    }

    /// The row that a call which is open was first asked of: others may ask the same. `None`: a whole list.
    pub(super) fn origin(&self, call: &Arc<GuestCall>) -> Option<&Origin> {
        self.open.get(&address(call))?.origin.as_ref()
    }

    /// A call is open no more. Its hash, if it was.
    pub(super) fn close(&mut self, call: &Arc<GuestCall>) -> Option<u64> {
        let closed = self.open.remove(&address(call))?;
        if self.open.is_empty() {
            // Many are open at once when many documents begin.
            self.open.shrink_to(RESERVED);
        }
        Some(closed.hash)
    }

    /// How often a question to this node was none, since its answer was there or on its way.
    pub(super) fn hits(&self, node: NodeId) -> u64 {
        self.hits.get(node.0 as usize).copied().unwrap_or(0)
    }

    /// The calls that were made since this was last asked, each of them new.
    pub(super) fn take_asked(&mut self) -> Vec<Arc<GuestCall>> {
        std::mem::take(&mut self.asked)
    }

    /// Questions to this node that failed for a reason that may pass are asked anew when they are asked again.
    pub(super) fn forget_passing(&mut self, node: NodeId) {
        self.forget(|call| call.node == node && call.is_passing_failure());
    }

    /// Questions that this version failed on are asked anew when they are asked again.
    pub(super) fn forget_failures(&mut self, node: NodeId, version: NodeVersion) {
        let failed = |call: &GuestCall| matches!(call.answer(), Some(Err(_)));
        self.forget(|call| call.node == node && call.version == version && failed(call));
    }

    /// What this version was asked is asked anew, should it be loaded again.
    pub(super) fn forget_version(&mut self, node: NodeId, version: NodeVersion) {
        self.forget(|call| call.node == node && call.version == version);
    }

    fn forget(&mut self, is_forgotten: impl Fn(&GuestCall) -> bool) {
        self.calls.retain(|known| known.call.upgrade().is_some_and(|call| !is_forgotten(&call)));
    }

    /// Keeps a call that was answered for a while, whether anybody uses it or not.
    pub(super) fn remember(&mut self, call: Arc<GuestCall>) {
        // One that was open no more was remembered then.
        let Some(hash) = self.close(&call) else { return };
        if self.recent.len() == RECENT
            && let Some((hash, last)) = self.recent.pop_front()
            && Arc::strong_count(&last) == 1
            && let Ok(known) = self.calls.find_entry(hash, |known| known.call.as_ptr() == Arc::as_ptr(&last))
        {
            known.remove();
        }
        self.recent.push_back((hash, call));
    }

    fn hash(&mut self, node: NodeId, version: NodeVersion, tick: u64, args: &Value, input: &Value) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write_u32(node.0);
        hasher.write_u64(version.0);
        hasher.write_u64(tick);
        for value in [args, input] {
            self.scratch.clear();
            value.write_json(&mut self.scratch);
            hasher.write_usize(self.scratch.len());
            hasher.write(self.scratch.as_bytes());
        }
        hasher.finish()
    }
}

/// What a call is known by while it is open.
pub(super) fn address(call: &Arc<GuestCall>) -> usize {
    Arc::as_ptr(call) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Row;
    use crate::dataflow::guest::TableKey;

    #[test]
    fn equal_questions_are_one_call() {
        let mut memo = Memo::new([7; 16]);
        let ask = |memo: &mut Memo, input: &str| {
            memo.ask(
                NodeId(0),
                NodeVersion(1),
                0,
                Value::object([]),
                Value::parse_json(input).expect("the test's input is JSON"),
                || None,
            )
        };
        let first = ask(&mut memo, r#"{"id":1}"#);
        assert!(Arc::ptr_eq(&first, &ask(&mut memo, r#"{"id":1}"#)));
        assert!(!Arc::ptr_eq(&first, &ask(&mut memo, r#"{"id":1.0}"#)), "another text is another question");
        assert_eq!(memo.take_asked().len(), 2);
        first.resolve(Ok(Value::Int(5)));
        assert_eq!(ask(&mut memo, r#"{"id":1}"#).answer(), Some(&Ok(Value::Int(5))));
        assert!(memo.take_asked().is_empty());
    }

    #[test]
    fn rows_are_kept_for_as_long_as_their_calls_are_open() {
        let mut memo = Memo::new([7; 16]);
        let row = Row::new([Value::Int(7)]);
        let keys = Arc::new(TableKey::named("places", &[(0, "id")]));
        let origin = || Some(Origin { keys: keys.clone(), row: row.clone() });
        let ask = |memo: &mut Memo, n| memo.ask(NodeId(0), NodeVersion(1), 0, Value::object([]), Value::Int(n), origin);
        let [answered, never_asked] = [1, 2].map(|n| ask(&mut memo, n));
        ask(&mut memo, 1);
        assert_eq!(memo.origin(&answered).map(ToString::to_string).as_deref(), Some("places id=7"));
        answered.resolve(Ok(Value::Null));
        memo.remember(answered.clone());
        memo.close(&never_asked);
        assert!(memo.origin(&answered).is_none() && memo.open.is_empty());
    }

    #[test]
    fn what_may_pass_is_asked_anew() {
        let mut memo = Memo::new([7; 16]);
        let ask = |memo: &mut Memo, node, n| {
            memo.ask(NodeId(node), NodeVersion(1), 0, Value::object([]), Value::Int(n), || None)
        };
        let failure = |passing| Err(Arc::new(super::super::guest::GuestError { message: "late".into(), passing }));
        let calls = [(0, 1, true), (0, 2, false), (1, 1, true)];
        let before = calls.map(|(node, n, passing)| {
            let call = ask(&mut memo, node, n);
            call.resolve(failure(passing));
            call
        });
        memo.forget_passing(NodeId(0));
        let same = [0, 1, 2].map(|i| Arc::ptr_eq(&before[i], &ask(&mut memo, calls[i].0, calls[i].1)));
        assert_eq!(same, [false, true, true]);
    }

    #[test]
    fn a_call_without_users_is_forgotten_once_it_is_not_recent() {
        let mut memo = Memo::new([7; 16]);
        let mut used = Vec::new();
        for n in 0..3 * RECENT as i64 {
            let call = memo.ask(NodeId(0), NodeVersion(1), 0, Value::object([]), Value::Int(n), || None);
            memo.take_asked();
            call.resolve(Ok(Value::Int(n)));
            memo.remember(call.clone());
            if n % 1000 == 0 {
                used.push(call);
            }
        }
        let before = used.iter().filter(|call| matches!(call.input, Value::Int(n) if n < 2 * RECENT as i64)).count();
        assert_eq!(memo.calls.len(), RECENT + before);
        for call in used {
            let input = call.input.clone();
            let again = memo.ask(NodeId(0), NodeVersion(1), 0, Value::object([]), input, || None);
            assert!(Arc::ptr_eq(&call, &again));
        }
    }

    #[test]
    fn calls_without_users_are_forgotten() {
        let mut memo = Memo::new([7; 16]);
        for n in 0..10 * RECENT as i64 {
            memo.ask(NodeId(0), NodeVersion(1), 0, Value::object([]), Value::Int(n), || None);
            memo.take_asked();
        }
        assert!(memo.calls.len() <= 2 * RECENT);
    }
}
