//! The cells of elements: a row's columns and children, and what the steps make of them.

use std::sync::Arc;

use super::cells::{Blocked, ElementCell, ElementState, ListCell, ListState, Reader, leave};
use super::engine::{Dirty, Engine, Orphan, Waiter, params_key};
use super::evaluate::{Calls, Child, Inputs, Outcome, Params, Pending, Start, any_failed, base_value, run_steps};
use super::plan::Base;
use super::small_map::SmallMap;
use super::tables::{ElementCellId, ListCellId};
use crate::data::{RowId, Value};

impl Engine {
    /// The element's cell of a row in a list, made if there is none, with the list as a reader.
    pub(super) fn element(&mut self, list: ListCellId, cell: &ListCell, row_id: &RowId) -> ElementCellId {
        let plan = self.plan.clone();
        let reference = &plan.lists[cell.list.0 as usize].stages[0].element;
        let params: Params = reference.params.iter().map(|&index| cell.params[index].clone()).collect();
        let key = (row_id.clone(), params_key(&params));
        if let Some(&found) = self.element_index[reference.id.0 as usize].get(&key) {
            *self.elements[found].readers.or_default(list) += 1;
            let (table, shown) = (self.elements[found].table, self.elements[found].row.clone());
            // The row may have come back with other values in this very step, after its changes were passed on.
            if self.tables.row(table, row_id).is_some_and(|row| !std::ptr::eq(row.values(), shown.values())) {
                self.mark_element(found);
            }
            return found;
        }
        let Base::Row { table, .. } = plan.elements[reference.id.0 as usize].base else {
            unreachable!("a first stage's elements are rows");
        };
        let known = self.tables.known_mut(table, row_id).expect("a member's row is held by its group");
        let row = known.row.clone();
        let element = self.elements.insert(ElementCell {
            element: reference.id,
            table,
            id: row_id.clone(),
            row,
            params,
            children: Vec::new(),
            state: ElementState::Blocked(Blocked::Missing),
            readers: SmallMap::default(),
            calls: Calls::new(),
            asked: Calls::new(),
        });
        known.elements.push(element);
        self.element_index[reference.id.0 as usize].insert(key, element);
        self.refresh_element(element);
        self.elements[element].readers.insert(list, 1);
        element
    }

    pub(super) fn release_element(&mut self, id: ElementCellId, reader: ListCellId) {
        let Some(cell) = self.elements.get_mut(id) else { return };
        leave(&mut cell.readers, &reader);
        if cell.readers.is_empty() {
            self.orphans.push(Orphan::Element(id));
        }
    }

    /// Brings an element up to date. True if its state or its row changed.
    pub(super) fn refresh_element(&mut self, id: ElementCellId) -> bool {
        let plan = self.plan.clone();
        let (definition_id, table) = (self.elements[id].element, self.elements[id].table);
        let definition = &plan.elements[definition_id.0 as usize];
        let known = self.tables.row(table, &self.elements[id].id).cloned();
        let cell = &mut self.elements[id];
        let row_changed = known.as_ref().is_some_and(|row| !std::ptr::eq(row.values(), cell.row.values()));
        if let Some(row) = known {
            cell.row = row;
        }
        if let Base::Row { children, .. } = &definition.base
            && (row_changed || cell.children.len() < children.len())
        {
            let (row, params) = (cell.row.clone(), cell.params.clone());
            let lists = children.iter().map(|(_, child)| {
                let parents = child.on.iter().map(|&column| row.get(column).clone()).collect();
                let params = child.params.iter().map(|&index| params[index].clone()).collect();
                self.list(child.id, parents, params)
            });
            let lists: Vec<ListCellId> = lists.collect();
            self.replace_children(id, lists);
        }
        let state = self.element_state(id);
        let cell = &mut self.elements[id];
        let same = same_element(&cell.state, &state);
        if !same {
            cell.state = state;
        }
        row_changed || !same
    }

    fn replace_children(&mut self, id: ElementCellId, lists: Vec<ListCellId>) {
        for &list in &lists {
            *self.list_mut(list).readers.or_default(Reader::Element(id)) += 1;
        }
        for list in std::mem::replace(&mut self.elements[id].children, lists) {
            self.release_list(list, Reader::Element(id));
        }
    }

    fn element_state(&mut self, id: ElementCellId) -> ElementState {
        let cell = &self.elements[id];
        let (element, row, params) = (cell.element, cell.row.clone(), cell.params.clone());
        let mut children = Vec::with_capacity(cell.children.len());
        let mut blocked = None;
        for &list in &cell.children {
            match &self.list_ref(list).state {
                ListState::Ready(value) => children.push(Child::Ready(value.clone())),
                ListState::Pending(list) => children.push(Child::Pending(list.clone())),
                ListState::Blocked(reason) => blocked = worse(blocked, *reason),
            }
        }
        if let Some(reason) = blocked {
            return ElementState::Blocked(reason);
        }
        let versions = self.versions.clone();
        if children.iter().any(|child| matches!(child, Child::Pending(_))) {
            let start = Start::Children(children.into());
            return ElementState::Pending(Arc::new(Pending::new(element, row, params, versions, start)));
        }
        let values = children.iter().map(|child| match child {
            Child::Ready(value) => value.clone(),
            Child::Pending(_) => unreachable!("just seen to be ready"),
        });
        let values: Vec<Value> = values.collect();
        let base = base_value(&self.context(), element, &row, values);
        let inputs = Inputs { element, row: &row, params: &params, versions: &versions };
        let mut calls = Calls::new();
        let outcome = run_steps(&mut self.context(), &inputs, base, &mut calls);
        self.note_failing(Dirty::Element(id), any_failed(&calls), matches!(outcome, Outcome::Waiting(_)));
        let cell = &mut self.elements[id];
        if matches!(outcome, Outcome::Waiting(_)) {
            cell.asked = calls;
        } else {
            cell.calls = calls;
            cell.asked.clear();
        }
        match outcome {
            Outcome::Keep(value) => ElementState::Ready(value),
            Outcome::Drop => ElementState::Dropped,
            Outcome::Held => ElementState::Blocked(Blocked::Held),
            Outcome::Waiting(call) => {
                self.wait(Waiter::Element(id), std::slice::from_ref(&call));
                let start = Start::Children(children.into());
                let pending = Pending::new(element, row, params, versions, start);
                ElementState::Pending(Arc::new(pending.waiting_for(call)))
            }
        }
    }
}

/// Of two reasons the one that counts.
pub(super) fn worse(a: Option<Blocked>, b: Blocked) -> Option<Blocked> {
    // What will not pass by itself comes first. Missing comes before held: a document that lacks rows has no state at this
    // commit at all.
    let rank = |reason: &Blocked| match reason {
        Blocked::Held => 0,
        Blocked::Missing => 1,
        Blocked::TooLong => 2,
        Blocked::Refused => 3,
    };
    a.into_iter().chain([b]).max_by_key(rank)
}

/// Whether an element is as it was: so that what did not change keeps its place in memory, and is skipped by patches.
fn same_element(a: &ElementState, b: &ElementState) -> bool {
    match (a, b) {
        (ElementState::Ready(Value::Object(a)), ElementState::Ready(Value::Object(b))) => {
            Arc::ptr_eq(a.shape(), b.shape()) && a.values().iter().zip(b.values()).all(|(a, b)| same_value(a, b))
        }
        (ElementState::Ready(a), ElementState::Ready(b)) => same_value(a, b),
        (ElementState::Blocked(a), ElementState::Blocked(b)) => a == b,
        (ElementState::Dropped, ElementState::Dropped) => true,
        _ => false,
    }
}

fn same_value(a: &Value, b: &Value) -> bool {
    // Lists are compared by identity alone: theirs changes only when they do.
    a.is_same(b) || (!matches!(a, Value::List(_)) && !matches!(b, Value::List(_)) && a == b)
}
