//! The stages of a list: elements in, in order, through windows, out as one value.
//!
//! A stage is made of persistent lists, so keeping its state at a commit costs a clone of a few pointers, and what a
//! later stage has to do follows from the difference between two windows, not from their size. The first stage's
//! elements are cells, shared with other lists, and placed here by the list's cell; those of later stages belong to
//! this list alone and are evaluated here.
//!
//! A list that waits for guests is a [`PendingList`]: its stages as of one commit, with holes where answers are missing.
//! Answers fill the holes whatever the live cells have become since.

use std::sync::{Arc, Mutex, OnceLock};

use super::evaluate::{Calls, Context, Outcome, Params, Pending, Start, Versions, ask, input_of, look_up};
use super::guest::GuestCall;
use super::plan::{self, ListId, NodeCall, OrderBy, Shape};
use crate::data::{Edit, ElementKey, KeyBuilder, List, Row, Value};

/// What a list's stages have in common: definition, bound parameters, node versions, windows.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub list: ListId,
    pub params: Params,
    pub versions: Arc<Versions>,
    /// Offset and limit of each stage.
    pub windows: Arc<[(usize, Option<usize>)]>,
}

/// The state of one stage.
#[derive(Clone, Debug, Default)]
pub(super) struct Stage {
    /// The elements let through, in this stage's order, before its window.
    pub kept: List<Value>,
    /// Their rows, unless this is the last stage and nobody asks.
    pub rows: List<Row>,
    /// Elements that wait for a guest; by input key, in the first stage by [`ElementKey`] without sort terms.
    pub pending: List<Hole>,
    /// Later stages: the window of the stage before, as last seen.
    input: List<Value>,
    input_rows: List<Row>,
    /// Later stages: what became of each element of the input.
    placed: List<Placed>,
    /// Later stages: how many elements are held.
    held: usize,
    /// Later stages: how many elements a node has failed on.
    pub failed: usize,
}

/// An element that waits for a guest, in one list.
#[derive(Clone, Debug)]
pub(super) struct Hole {
    pub element: Arc<Pending>,
    /// The columns of the join row that this list adds to it.
    pub added: Option<Arc<[Value]>>,
}

#[derive(Clone, Debug)]
enum Placed {
    At(ElementKey, Went),
    Dropped(Went),
    Pending,
    Held,
}

/// Whether a node failed on an element that has its outcome all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Went {
    Well,
    Wrong,
}

/// What a list's stages come to.
#[derive(Clone, Debug)]
pub(super) enum Settled {
    Ready(Value),
    /// Guests' answers are missing.
    Waiting,
    /// A node failed and its policy is to hold.
    Held,
}

/// Who places the first stage's elements.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// The list's cell, as its elements' cells change.
    Cells,
    /// The stages themselves, as answers come.
    Here,
}

impl Stage {
    /// Lets an element through.
    pub(super) fn keep(&mut self, key: ElementKey, value: Value, row: Option<&Row>) {
        if let Some(row) = row {
            self.rows.insert(key.clone(), row.clone());
        }
        self.kept.insert(key, value);
    }

    /// Takes an element out.
    pub(super) fn take(&mut self, key: &ElementKey) {
        self.rows.remove(key);
        self.kept.remove(key);
    }

    fn window(&self, (offset, limit): (usize, Option<usize>)) -> (List<Value>, List<Row>) {
        if offset == 0 && limit.is_none() {
            return (self.kept.clone(), self.rows.clone());
        }
        (self.kept.slice(offset, limit), self.rows.slice(offset, limit))
    }
}

/// The sort terms of an element, as the beginning of its key.
pub(super) fn sort_terms(order: &[OrderBy], row: &Row, value: &Value) -> KeyBuilder {
    let mut key = KeyBuilder::new();
    for term in order {
        let field = look_up(&term.field, row, value).unwrap_or(&Value::Null);
        key.push_ordered(&term.class, field, term.descending, term.nulls_first);
    }
    key
}

/// Whether a stage has to keep the rows of its elements: for the next stage, or for a reduce's input.
pub(super) fn keeps_rows(list: &plan::List, stage: usize) -> bool {
    stage + 1 < list.stages.len() || matches!(&list.shape, Shape::Reduce(call) if call.input.is_some())
}

/// Brings all stages up to date and says what they come to. Calls waited for are added to `open`, calls used to `calls`.
pub(super) fn settle(
    context: &mut Context<'_>,
    frame: &Frame,
    stages: &mut [Stage],
    first: First,
    open: &mut Vec<Arc<GuestCall>>,
    calls: &mut Calls,
) -> Settled {
    for index in 0..stages.len() {
        if index > 0 {
            let (input, rows) = stages[index - 1].window(frame.windows[index - 1]);
            advance(context, frame, &mut stages[index], index, input, rows, open);
        }
        let stage = &mut stages[index];
        if (index > 0 || first == First::Here) && !resume(context, frame, stage, index, open) {
            return Settled::Held;
        }
        if stage.held > 0 {
            return Settled::Held;
        }
        if !stage.pending.is_empty() {
            return Settled::Waiting;
        }
    }
    finish(context, frame, stages, open, calls)
}

fn finish(
    context: &mut Context<'_>,
    frame: &Frame,
    stages: &[Stage],
    open: &mut Vec<Arc<GuestCall>>,
    calls: &mut Calls,
) -> Settled {
    let plan = context.plan;
    let last = stages.len() - 1;
    let (values, rows) = stages[last].window(frame.windows[last]);
    match &plan.lists[frame.list.0 as usize].shape {
        Shape::Array => Settled::Ready(Value::List(values)),
        Shape::One => Settled::Ready(values.first().map_or(Value::Null, |(_, value)| value.clone())),
        Shape::Reduce(call) => {
            let input = reduce_input(call, values, &rows);
            match ask(context, call, (&frame.params, &frame.versions), input, None, calls) {
                Ok(answer) => Settled::Ready(answer),
                Err(Outcome::Waiting(call)) => {
                    open.push(call);
                    Settled::Waiting
                }
                Err(Outcome::Held) => Settled::Held,
                Err(_) => Settled::Ready(Value::Null),
            }
        }
    }
}

/// The rows a reduce sees: the elements, or of each the fields it declared.
fn reduce_input(call: &NodeCall, values: List<Value>, rows: &List<Row>) -> Value {
    if call.input.is_none() {
        return Value::List(values);
    }
    let narrowed = values.iter().zip(rows.iter()).map(|((_, value), (_, row))| input_of(call, row, value));
    Value::Array(narrowed.collect())
}

/// Takes the difference between the stage's last input and this one.
fn advance(
    context: &mut Context<'_>,
    frame: &Frame,
    stage: &mut Stage,
    index: usize,
    input: List<Value>,
    rows: List<Row>,
    open: &mut Vec<Arc<GuestCall>>,
) {
    let mut changed: Vec<ElementKey> = Vec::new();
    List::diff(&stage.input, &input, |a, b| a.is_same(b), &mut |edit| changed.push(edit_key(&edit).clone()));
    List::diff(&stage.input_rows, &rows, same_row, &mut |edit| changed.push(edit_key(&edit).clone()));
    changed.sort_unstable();
    changed.dedup();
    for key in &changed {
        match stage.placed.remove(key) {
            Some(Placed::At(place, went)) => {
                stage.take(&place);
                stage.failed -= usize::from(went == Went::Wrong);
            }
            Some(Placed::Dropped(went)) => stage.failed -= usize::from(went == Went::Wrong),
            Some(Placed::Pending) => drop(stage.pending.remove(key)),
            Some(Placed::Held) => stage.held -= 1,
            None => {}
        }
    }
    for key in changed {
        let (Some(value), Some(row)) = (input.get(&key), rows.get(&key)) else { continue };
        let element = Arc::new(pending_element(context, frame, index, row, value));
        place(context, frame, stage, index, key, Hole { element, added: None }, open);
    }
    stage.input = input;
    stage.input_rows = rows;
}

fn edit_key<'a, V>(edit: &Edit<'a, V>) -> &'a ElementKey {
    match edit {
        Edit::Remove { key, .. } | Edit::Add { key, .. } | Edit::Change { key, .. } => key,
    }
}

fn same_row(a: &Row, b: &Row) -> bool {
    std::ptr::eq(a.values(), b.values())
}

fn pending_element(context: &Context<'_>, frame: &Frame, index: usize, row: &Row, value: &Value) -> Pending {
    let element = &context.plan.lists[frame.list.0 as usize].stages[index].element;
    let params = element.params.iter().map(|&param| frame.params[param].clone()).collect();
    let start = Start::Value(value.clone());
    let pending = Pending::new(element.id, row.clone(), params, frame.versions.clone(), start);
    // A stage that only sorts or cuts names the element of the stage before, whose steps are done.
    let before = &context.plan.lists[frame.list.0 as usize].stages[index - 1].element;
    if before.id == element.id { pending.with_outcome(Outcome::Keep(value.clone())) } else { pending }
}

/// Tries again the elements that waited. False: one of them is held.
fn resume(
    context: &mut Context<'_>,
    frame: &Frame,
    stage: &mut Stage,
    index: usize,
    open: &mut Vec<Arc<GuestCall>>,
) -> bool {
    if stage.pending.is_empty() {
        return true;
    }
    let waiting: Vec<_> = stage.pending.iter().map(|(key, hole)| (key.clone(), hole.clone())).collect();
    let held = stage.held;
    for (key, hole) in waiting {
        stage.pending.remove(&key);
        place(context, frame, stage, index, key, hole, open);
    }
    stage.held == held
}

/// Puts an element where its outcome says.
fn place(
    context: &mut Context<'_>,
    frame: &Frame,
    stage: &mut Stage,
    index: usize,
    key: ElementKey,
    hole: Hole,
    open: &mut Vec<Arc<GuestCall>>,
) {
    let list = &context.plan.lists[frame.list.0 as usize];
    let outcome = hole.element.force(context, open);
    let went = if hole.element.has_failed() { Went::Wrong } else { Went::Well };
    let placed = match outcome {
        None | Some(Outcome::Waiting(_)) => {
            stage.pending.insert(key.clone(), hole);
            Placed::Pending
        }
        Some(Outcome::Drop) => Placed::Dropped(went),
        Some(Outcome::Held) => {
            stage.held += 1;
            Placed::Held
        }
        Some(Outcome::Keep(value)) => {
            let value = match &hole.added {
                Some(added) => context.shapes.with_added(frame.list, &value, added),
                None => value,
            };
            let row = &hole.element.row;
            let order = &list.stages[index].order;
            let place = if order.is_empty() && index > 0 {
                key.clone()
            } else {
                let mut terms = sort_terms(order, row, &value);
                let identity_at = terms.len();
                terms.push_raw(key.identity());
                ElementKey::new(terms.finish(), identity_at)
            };
            stage.keep(place.clone(), value, keeps_rows(list, index).then_some(row));
            Placed::At(place, went)
        }
    };
    if index > 0 {
        let has_outcome = matches!(placed, Placed::At(..) | Placed::Dropped(_));
        stage.failed += usize::from(has_outcome && went == Went::Wrong);
        stage.placed.insert(key, placed);
    }
}

/// A list that waits for guests, as of one commit.
#[derive(Debug)]
pub(super) struct PendingList {
    frame: Frame,
    /// As far as answers have filled it.
    filled: Mutex<Filled>,
    /// `None` inside: held.
    outcome: OnceLock<Option<Value>>,
}

#[derive(Debug)]
struct Filled {
    stages: Vec<Stage>,
    /// Those of the list itself that it asked last: a call that nobody holds is not answered.
    calls: Calls,
}

impl PendingList {
    pub(super) fn new(frame: Frame, stages: Vec<Stage>) -> Self {
        let filled = Mutex::new(Filled { stages, calls: Calls::new() });
        PendingList { frame, filled, outcome: OnceLock::new() }
    }

    /// The node versions it was made with.
    pub(super) fn versions(&self) -> &Arc<Versions> {
        &self.frame.versions
    }

    /// Its value (`None`: held), if every answer is there; otherwise the calls it waits for are added to `open`.
    pub(super) fn force(&self, context: &mut Context<'_>, open: &mut Vec<Arc<GuestCall>>) -> Option<Option<Value>> {
        if let Some(outcome) = self.outcome.get() {
            return Some(outcome.clone());
        }
        let mut filled = self.filled.lock().expect("never poisoned: a panic ends the engine");
        let mut calls = Calls::new();
        let outcome = match settle(context, &self.frame, &mut filled.stages, First::Here, open, &mut calls) {
            Settled::Waiting => {
                filled.calls = calls;
                return None;
            }
            Settled::Ready(value) => Some(value),
            Settled::Held => None,
        };
        Some(self.outcome.get_or_init(|| outcome).clone())
    }
}
