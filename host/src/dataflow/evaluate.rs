//! What becomes of one element: a pure function of its inputs and the guests' answers.
//!
//! Evaluation stops at the first answer that has not come ([`Outcome::Waiting`]) and starts again from the beginning
//! when it has; answered calls are found in the memo, so nothing is asked twice. Everything an evaluation needs is
//! immutable, so a [`Pending`] element can be finished later, at the commit it belongs to, whatever happened since.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, OnceLock};

use smallvec::SmallVec;

use super::guest::{GuestCall, NodeVersion, Origin, TableKey};
use super::memo::Memo;
use super::plan::{Arg, Base, ElementId, ListId, NodeCall, OnError, Plan, Source, Step};
use super::sequence::PendingList;
use crate::data::{Field, Object, Row, Shape, Value};

/// The parameters of a sub-plan, bound; `None`: absent.
pub(super) type Params = Arc<[Option<Value>]>;

/// Calls a cell keeps alive.
pub(super) type Calls = SmallVec<[Arc<GuestCall>; 1]>;

/// The version and tick of each node; `None`: never loaded, or suspended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions(pub Vec<Option<(NodeVersion, u64)>>);

/// What an evaluation needs besides its inputs.
pub(super) struct Context<'a> {
    pub plan: &'a Plan,
    pub shapes: &'a Shapes,
    pub memo: &'a mut Memo,
}

/// What became of an element.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// It has this value.
    Keep(Value),
    /// A filter left it out, or a node failed on it and the policy is to skip.
    Drop,
    /// A node failed on it and the policy is to hold, or the node is not there.
    Held,
    /// An answer is missing.
    Waiting(Arc<GuestCall>),
}

/// The value of a nested list: known, or to be finished.
#[derive(Clone, Debug)]
pub(super) enum Child {
    Ready(Value),
    Pending(Arc<PendingList>),
}

/// An element whose value waits for a guest, as of one commit.
#[derive(Debug)]
pub(super) struct Pending {
    pub element: ElementId,
    pub row: Row,
    pub params: Params,
    pub versions: Arc<Versions>,
    pub start: Start,
    /// The call it waited for last: as long as that is open, trying again is no use.
    open: Mutex<Option<Arc<GuestCall>>>,
    outcome: OnceLock<Outcome>,
    /// Set if a node failed on it on the way to its outcome.
    failed: OnceLock<()>,
}

/// What an element's steps start from.
#[derive(Debug)]
pub(super) enum Start {
    /// The row's columns and these children.
    Children(Box<[Child]>),
    /// The element as the stage before left it.
    Value(Value),
}

impl Pending {
    pub(super) fn new(element: ElementId, row: Row, params: Params, versions: Arc<Versions>, start: Start) -> Self {
        Pending {
            element,
            row,
            params,
            versions,
            start,
            open: Mutex::new(None),
            outcome: OnceLock::new(),
            failed: OnceLock::new(),
        }
    }

    /// An element that has its value already.
    pub(super) fn with_outcome(self, outcome: Outcome) -> Self {
        self.outcome.get_or_init(|| outcome);
        self
    }

    /// Notes the call the evaluation stopped at.
    pub(super) fn waiting_for(self, call: Arc<GuestCall>) -> Self {
        *self.open.lock().expect("never poisoned: nothing panics under it") = Some(call);
        self
    }

    /// Whether a node failed on it, though it may have its outcome.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.get().is_some()
    }

    /// The outcome, if every answer it needs is there; otherwise the calls it waits for are added to `open`.
    pub(super) fn force(&self, context: &mut Context<'_>, open: &mut Vec<Arc<GuestCall>>) -> Option<Outcome> {
        if let Some(outcome) = self.outcome.get() {
            return Some(outcome.clone());
        }
        let last = self.open.lock().expect("never poisoned: nothing panics under it").clone();
        if let Some(call) = last.filter(|call| call.answer().is_none()) {
            open.push(call);
            return None;
        }
        let start = match &self.start {
            Start::Value(value) => Cow::Borrowed(value),
            Start::Children(children) => match force_children(children, context, open)? {
                Ok(values) => Cow::Owned(base_value(context, self.element, &self.row, values)),
                Err(outcome) => return Some(self.outcome.get_or_init(|| outcome).clone()),
            },
        };
        let inputs = Inputs { element: self.element, row: &self.row, params: &self.params, versions: &self.versions };
        let mut calls = Calls::new();
        let outcome = run_steps(context, &inputs, start.into_owned(), &mut calls);
        if any_failed(&calls) {
            self.failed.get_or_init(|| ());
        }
        match outcome {
            Outcome::Waiting(call) => {
                *self.open.lock().expect("never poisoned: nothing panics under it") = Some(call.clone());
                open.push(call);
                None
            }
            outcome => Some(self.outcome.get_or_init(|| outcome).clone()),
        }
    }
}

/// Whether a node failed on one of these.
pub(super) fn any_failed(calls: &[Arc<GuestCall>]) -> bool {
    calls.iter().any(|call| matches!(call.answer(), Some(Err(_))))
}

/// The children's values; `Err` if one of them is held.
fn force_children(
    children: &[Child],
    context: &mut Context<'_>,
    open: &mut Vec<Arc<GuestCall>>,
) -> Option<Result<Vec<Value>, Outcome>> {
    let mut values = Vec::with_capacity(children.len());
    let mut complete = true;
    for child in children {
        match child {
            Child::Ready(value) => values.push(value.clone()),
            Child::Pending(list) => match list.force(context, open) {
                Some(Some(value)) => values.push(value),
                Some(None) => return Some(Err(Outcome::Held)),
                None => complete = false,
            },
        }
    }
    complete.then_some(Ok(values))
}

/// What an element's steps see besides the element itself.
pub(super) struct Inputs<'a> {
    pub element: ElementId,
    pub row: &'a Row,
    pub params: &'a [Option<Value>],
    pub versions: &'a Versions,
}

impl<'a> Inputs<'a> {
    fn bound(&self) -> (&'a [Option<Value>], &'a Versions) {
        (self.params, self.versions)
    }
}

/// Runs an element's steps on `value`. Every call that was asked is added to `calls`: whoever holds them keeps their
/// answers in the memo.
pub(super) fn run_steps(
    context: &mut Context<'_>,
    inputs: &Inputs<'_>,
    mut value: Value,
    calls: &mut Calls,
) -> Outcome {
    let plan = context.plan;
    let definition = &plan.elements[inputs.element.0 as usize];
    for (index, step) in definition.steps.iter().enumerate() {
        let done = match step {
            Step::Where(condition) => {
                let bound = match definition.params {
                    0 => Cow::Borrowed(condition),
                    _ => Cow::Owned(condition.bind(inputs.params)),
                };
                match bound.test(&|field| look_up(field, inputs.row, &value)) {
                    Some(true) => Ok(value),
                    _ => Err(Outcome::Drop),
                }
            }
            Step::Select(fields) => Ok(select(context.shapes.after(inputs.element, index), fields, inputs.row, &value)),
            Step::Filter(call) => {
                let input = input_of(call, inputs.row, &value);
                match ask(context, call, inputs.bound(), input, Some(inputs), calls) {
                    Ok(Value::Bool(true)) => Ok(value),
                    Ok(_) => Err(Outcome::Drop),
                    Err(outcome) => Err(outcome),
                }
            }
            Step::Map { call, into } => {
                let input = input_of(call, inputs.row, &value);
                ask(context, call, inputs.bound(), input, Some(inputs), calls).map(|answer| match into {
                    None => answer,
                    Some(name) => add_field(context.shapes.after(inputs.element, index), &value, name, answer),
                })
            }
        };
        match done {
            Ok(next) => value = next,
            Err(outcome) => return outcome,
        }
    }
    Outcome::Keep(value)
}

/// A node's answer about `input`, its failures turned into what the node's policy says. `of` is the element it is about, if it is one.
pub(super) fn ask(
    context: &mut Context<'_>,
    call: &NodeCall,
    (params, versions): (&[Option<Value>], &Versions),
    input: Value,
    of: Option<&Inputs<'_>>,
    calls: &mut Calls,
) -> Result<Value, Outcome> {
    let Some((version, tick)) = versions.0[call.node.0 as usize] else { return Err(Outcome::Held) };
    let shapes = context.shapes;
    let origin = || of.map(|of| Origin { keys: shapes.keys[of.element.0 as usize].clone(), row: of.row.clone() });
    let asked = context.memo.ask(call.node, version, tick, args_of(call, params), input, origin);
    let result = match asked.answer() {
        None => Err(Outcome::Waiting(asked.clone())),
        Some(Ok(answer)) => Ok(answer.clone()),
        Some(Err(_)) => match context.plan.nodes[&call.node].on_error {
            OnError::Skip => Err(Outcome::Drop),
            OnError::Null => Ok(Value::Null),
            OnError::Hold => Err(Outcome::Held),
        },
    };
    calls.push(asked);
    result
}

fn args_of(call: &NodeCall, params: &[Option<Value>]) -> Value {
    let value = |arg: &Arg| match arg {
        Arg::Value(value) => Some(value.clone()),
        Arg::Param(index) => params[*index].clone(),
    };
    let values: SmallVec<[Value; 4]> = call.args.iter().filter_map(|(_, arg)| value(arg)).collect();
    if values.len() == call.args_shape().names().len() {
        return Value::Object(Object::new(call.args_shape().clone(), values));
    }
    Value::object(call.args.iter().filter_map(|(name, arg)| Some((name.clone(), value(arg)?))))
}

/// What the node sees: the whole element, or exactly the fields it declared.
pub(super) fn input_of(call: &NodeCall, row: &Row, value: &Value) -> Value {
    match &call.input {
        None => value.clone(),
        Some(fields) => select(Some(call.input_shape()), fields, row, value),
    }
}

/// The value a field names, of the row or of the element as it stands.
pub(super) fn look_up<'a>(field: &Field, row: &'a Row, value: &'a Value) -> Option<&'a Value> {
    match field {
        Field::Column(index) => Some(row.get(*index)),
        Field::Path(path) => path.iter().try_fold(value, |value, name| match value {
            Value::Object(object) => object.get(name),
            _ => None,
        }),
    }
}

/// The element before its steps: its columns, then its children.
pub(super) fn base_value(context: &Context<'_>, element: ElementId, row: &Row, children: Vec<Value>) -> Value {
    let Base::Row { columns, .. } = &context.plan.elements[element.0 as usize].base else {
        unreachable!("only elements of a first stage have children");
    };
    let columns = columns.iter().map(|(_, column)| row.get(*column).clone());
    Value::Object(Object::new(context.shapes.base(element).clone(), columns.chain(children)))
}

fn select(shape: Option<&Arc<Shape>>, fields: &[(Arc<str>, Field)], row: &Row, value: &Value) -> Value {
    let values = fields.iter().map(|(_, field)| look_up(field, row, value).cloned().unwrap_or(Value::Null));
    match shape.filter(|shape| shape.names().len() == fields.len()) {
        Some(shape) => Value::Object(Object::new(shape.clone(), values)),
        None => Value::object(fields.iter().map(|(name, _)| name.clone()).zip(values)),
    }
}

/// The element with the answer as one more field, or in place of the field of that name. Anything but an object
/// (an earlier map replaced it) becomes an object of the one field.
fn add_field(shape: Option<&Arc<Shape>>, value: &Value, name: &Arc<str>, answer: Value) -> Value {
    let Value::Object(object) = value else { return Value::object([(name.clone(), answer)]) };
    if let Some(shape) = shape.filter(|shape| shape.names().len() == object.values().len() + 1) {
        let values = object.values().iter().cloned().chain([answer]);
        return Value::Object(Object::new(shape.clone(), values));
    }
    let members = object.shape().names().iter().cloned().zip(object.values().iter().cloned());
    Value::object(members.chain([(name.clone(), answer)]))
}

/// The shapes of elements, made once for each definition so that equal objects share their names and a patch compares
/// them member by member.
pub(super) struct Shapes {
    base: Vec<Option<Arc<Shape>>>,
    steps: Vec<Vec<Option<Arc<Shape>>>>,
    /// For each element, how messages show its row.
    keys: Vec<Arc<TableKey>>,
    /// For each list, that of its first stage's elements with columns of the join row, if it adds any.
    added: Vec<Option<Arc<Shape>>>,
}

impl Shapes {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut shapes = Shapes { base: Vec::new(), steps: Vec::new(), keys: Vec::new(), added: Vec::new() };
        let tables: Vec<_> = plan.tables.iter().map(|table| Arc::new(TableKey::of(table))).collect();
        for element in &plan.elements {
            shapes.keys.push(match &element.base {
                Base::Row { table, .. } => tables[table.0 as usize].clone(),
                Base::Element(earlier) => shapes.keys[earlier.id.0 as usize].clone(),
            });
            let mut now = match &element.base {
                Base::Row { columns, children, .. } => {
                    let names = columns.iter().map(|(name, _)| name).chain(children.iter().map(|(name, _)| name));
                    Some(Shape::new(names.cloned()))
                }
                Base::Element(earlier) => shapes.last(earlier.id),
            };
            shapes.base.push(now.clone());
            let mut steps = Vec::new();
            for step in &element.steps {
                now = match step {
                    Step::Select(fields) => Some(Shape::new(fields.iter().map(|(name, _)| name.clone()))),
                    Step::Map { into: None, .. } => None,
                    Step::Map { into: Some(name), .. } => {
                        now.map(|shape| Shape::new(shape.names().iter().chain([name]).cloned()))
                    }
                    Step::Where(_) | Step::Filter(_) => now,
                };
                steps.push(now.clone());
            }
            shapes.steps.push(steps);
        }
        for list in &plan.lists {
            let added = match &list.source {
                Source::Through { add, .. } if !add.is_empty() => {
                    let own = shapes.base(list.stages[0].element.id).names().iter();
                    Some(Shape::new(own.chain(add.iter().map(|(name, _)| name)).cloned()))
                }
                _ => None,
            };
            shapes.added.push(added);
        }
        shapes
    }

    /// The element with these columns of its join row.
    pub(super) fn with_added(&self, list: ListId, value: &Value, added: &[Value]) -> Value {
        match (value, &self.added[list.0 as usize]) {
            (Value::Object(object), Some(shape)) => {
                let values = object.values().iter().chain(added).cloned();
                Value::Object(Object::new(shape.clone(), values))
            }
            _ => value.clone(),
        }
    }

    fn base(&self, element: ElementId) -> &Arc<Shape> {
        self.base[element.0 as usize].as_ref().expect("an element of a row is an object")
    }

    /// The shape after a step; `None` if a node decides it.
    fn after(&self, element: ElementId, step: usize) -> Option<&Arc<Shape>> {
        self.steps[element.0 as usize][step].as_ref()
    }

    fn last(&self, element: ElementId) -> Option<Arc<Shape>> {
        let element = element.0 as usize;
        self.steps[element].last().unwrap_or(&self.base[element]).clone()
    }
}
