//! The calls of guests: equal questions exist once.
//!
//! A call is found by a keyed 128-bit hash of (node, version, tick, arguments, input) and compared byte by byte on a
//! hit, so a collision costs time and never an answer. The memo itself only holds calls weakly: a call lives while a
//! cell or a waiting document uses it, and, once it is answered, a while longer in a short queue of recent ones, since rows
//! that leave a list often come back.

use std::collections::VecDeque;
use std::hash::Hasher;
use std::sync::{Arc, Weak};

use rustc_hash::FxHashMap;
use siphasher::sip128::{Hasher128, SipHasher13};
use smallvec::SmallVec;

use super::guest::{GuestCall, NodeVersion, Origin};
use super::plan::NodeId;
use crate::data::Value;

/// How many calls outlive their last user.
const RECENT: usize = 4096;

/// See the module.
pub(super) struct Memo {
    calls: FxHashMap<u128, SmallVec<[Weak<GuestCall>; 1]>>,
    recent: VecDeque<Arc<GuestCall>>,
    /// Calls nobody has asked a guest for yet.
    asked: Vec<Arc<GuestCall>>,
    /// By the address of a call that is open: the row it was first asked of. Not in the call, which lives on.
    origins: FxHashMap<usize, Origin>,
    key: [u8; 16],
    scratch: String,
    /// By node, how often an answer was there or on its way.
    hits: Vec<u64>,
    /// Size of `calls` at which dead entries are swept.
    sweep_at: usize,
}

impl Memo {
    /// `key` makes hashes unpredictable to whoever writes rows.
    pub(super) fn new(key: [u8; 16]) -> Self {
        Memo {
            calls: FxHashMap::default(),
            recent: VecDeque::new(),
            asked: Vec::new(),
            origins: FxHashMap::default(),
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
        let entry = self.calls.entry(hash).or_default();
        entry.retain(|call| call.strong_count() > 0);
        if let Some(call) = entry.iter().filter_map(Weak::upgrade).find(|call| same(call)) {
            let at = node.0 as usize;
            self.hits.resize(self.hits.len().max(at + 1), 0);
            self.hits[at] += 1;
            return call;
        }
        let call = Arc::new(GuestCall::new(node, version, tick, args, input));
        if let Some(origin) = origin() {
            self.origins.insert(address(&call), origin);
        }
        entry.push(Arc::downgrade(&call));
        self.asked.push(call.clone());
        if self.calls.len() >= self.sweep_at {
            self.forget(|_| false);
            self.sweep_at = (2 * self.calls.len()).max(2 * RECENT);
        }
        call
    }

    /// The row that a call which is open was first asked of: others may ask the same. `None`: a whole list.
    pub(super) fn origin(&self, call: &Arc<GuestCall>) -> Option<&Origin> {
        self.origins.get(&address(call))
    }

    /// A call is open no more.
    pub(super) fn close(&mut self, call: &Arc<GuestCall>) {
        self.origins.remove(&address(call));
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
        self.calls.retain(|_, calls| {
            calls.retain(|call| call.upgrade().is_some_and(|call| !is_forgotten(&call)));
            !calls.is_empty()
        });
    }

    /// Keeps a call that was answered for a while, whether anybody uses it or not.
    pub(super) fn remember(&mut self, call: Arc<GuestCall>) {
        self.close(&call);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(call);
    }

    fn hash(&mut self, node: NodeId, version: NodeVersion, tick: u64, args: &Value, input: &Value) -> u128 {
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
        hasher.finish128().as_u128()
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
        assert!(memo.origin(&answered).is_none() && memo.origins.is_empty());
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
    fn calls_without_users_are_forgotten() {
        let mut memo = Memo::new([7; 16]);
        for n in 0..10 * RECENT as i64 {
            memo.ask(NodeId(0), NodeVersion(1), 0, Value::object([]), Value::Int(n), || None);
            memo.take_asked();
        }
        assert!(memo.calls.len() <= 2 * RECENT);
    }
}
