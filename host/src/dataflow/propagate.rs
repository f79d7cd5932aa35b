//! Refreshing cells: from groups to elements to lists, each once in a step, in order of height.
//!
//! A cell that comes to be is computed at once, from cells below it. Those are final: the step refreshes by ascending
//! height, and a cell refers to lower ones only. A cell that loses its last reader is freed at the end of the step, so
//! that a row which moves from one list to another keeps its element.

use smallvec::SmallVec;

use super::cells::{Reader, SourceCell};
use super::engine::{Dirty, Engine, Orphan, params_key};
use super::plan::{Base, ElementId, ListId, Plan};
use super::tables::{ElementCellId, ListCellId};

/// The height of each operator: above everything it is made of.
pub(super) struct Heights {
    elements: Vec<u16>,
    lists: Vec<u16>,
}

impl Heights {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut heights = Heights { elements: vec![0; plan.elements.len()], lists: vec![0; plan.lists.len()] };
        for list in 0..plan.lists.len() {
            heights.list(plan, ListId(list as u32));
        }
        heights
    }

    fn list(&mut self, plan: &Plan, id: ListId) -> u16 {
        if self.lists[id.0 as usize] == 0 {
            let stages = &plan.lists[id.0 as usize].stages;
            let highest = stages.iter().map(|stage| self.element(plan, stage.element.id)).max();
            self.lists[id.0 as usize] = 1 + highest.unwrap_or(0);
        }
        self.lists[id.0 as usize]
    }

    fn element(&mut self, plan: &Plan, id: ElementId) -> u16 {
        if self.elements[id.0 as usize] == 0 {
            let highest = match &plan.elements[id.0 as usize].base {
                Base::Row { children, .. } => children.iter().map(|(_, child)| self.list(plan, child.id)).max(),
                Base::Element(_) => None,
            };
            self.elements[id.0 as usize] = 1 + highest.unwrap_or(0);
        }
        self.elements[id.0 as usize]
    }
}

impl Engine {
    pub(super) fn mark_element(&mut self, id: ElementCellId) {
        let height = self.heights.elements[self.elements[id].element.0 as usize];
        self.dirty.insert((height, Dirty::Element(id)));
    }

    pub(super) fn mark_list(&mut self, id: ListCellId) {
        let height = self.heights.lists[self.list_ref(id).list.0 as usize];
        self.dirty.insert((height, Dirty::List(id)));
    }

    /// Refreshes every dirty cell, lowest first.
    pub(super) fn refresh_dirty(&mut self) {
        while let Some((_, cell)) = self.dirty.pop_first() {
            match cell {
                Dirty::Element(id) if self.elements.contains_key(id) => {
                    if self.refresh_element(id) {
                        self.element_news(id);
                    }
                }
                Dirty::List(id) if self.lists.contains_key(id) => {
                    if self.refresh_list(id) {
                        self.list_news(id);
                    }
                }
                Dirty::Element(_) | Dirty::List(_) => {}
            }
        }
    }

    fn element_news(&mut self, id: ElementCellId) {
        let row = self.elements[id].id.clone();
        let readers: SmallVec<[ListCellId; 4]> = self.elements[id].readers.keys().copied().collect();
        for list in readers {
            self.list_mut(list).news.elements.push(row.clone());
            self.mark_list(list);
        }
    }

    fn list_news(&mut self, id: ListCellId) {
        let readers: SmallVec<[Reader; 4]> = self.list_ref(id).readers.keys().copied().collect();
        for reader in readers {
            match reader {
                Reader::Element(element) => self.mark_element(element),
                Reader::Document(document) => drop(self.changed.insert(document)),
            }
        }
    }

    /// Frees the cells nobody reads, and what only they read.
    pub(super) fn free_orphans(&mut self) {
        while let Some(orphan) = self.orphans.pop() {
            match orphan {
                Orphan::Group(id) => {
                    if self.tables.groups.get(id).is_some_and(|group| group.readers.is_empty()) {
                        self.tables.forget(id);
                    }
                }
                Orphan::Element(id) => {
                    if self.elements.get(id).is_some_and(|element| element.readers.is_empty()) {
                        self.free_element(id);
                    }
                }
                Orphan::List(id) => {
                    if self.lists.contains_key(id) && self.list_ref(id).readers.is_empty() {
                        self.free_list(id);
                    }
                }
            }
        }
    }

    fn free_element(&mut self, id: ElementCellId) {
        let Some(cell) = self.elements.remove(id) else { return };
        self.tables.forget_element(cell.table, &cell.id, id);
        let key = (cell.id, params_key(&cell.params));
        self.element_index[cell.element.0 as usize].remove(&key);
        for list in cell.children {
            self.release_list(list, Reader::Element(id));
        }
    }

    fn free_list(&mut self, id: ListCellId) {
        let Some(Some(cell)) = self.lists.remove(id) else { return };
        self.list_index[cell.list.0 as usize].remove(&cell.key);
        for member in cell.members.values() {
            self.release_element(member.element, id);
        }
        if let Some(group) = cell.source.first() {
            self.release_group(group, id);
        }
        if let SourceCell::Through { targets, .. } = cell.source {
            targets.into_entries().for_each(|(group, _)| self.release_group(group, id));
        }
    }
}
