//! The engine: a spreadsheet over the database, as a state machine without I/O.
//!
//! Queries compile to a [`plan`]; an operator of the plan at one key is a *cell*: the row of `places` with id 3, the list
//! of places of user 7. A cell exists while something depends on it, is computed when it is first asked for, and again
//! when an input changed.
//!
//! ```text
//!  commit ─► rows ─► groups (an arrangement at a key) ─► elements ─► lists ─► documents ─► emissions
//!              ▲            │ not filled: wanted            ▲  │ a node's answer is missing: called
//!              └─ answers ◄─┘ (upquery)                     └──┘ (guest call)
//! ```
//!
//! What is easily got wrong:
//!
//! - **No clock, no I/O, no task, no randomness.** Events go in through the methods of [`Engine`], [`Effects`] come out.
//!   The same events give the same effects, so a test can play any interleaving from a seed.
//! - **Order.** A step first brings rows and groups up to date, then refreshes dirty cells by the static height of their
//!   operator, so each is computed once, with inputs that are final. Nothing of a step is seen before it ends.
//! - **Snapshots and stream** are joined by transaction id, in [`stitch`]; the position only says when.
//! - **Waiting for a guest** never blocks a commit: a document's state at the commit it waits at is an immutable tree
//!   with holes ([`sequence::PendingList`]), which answers finish while the live cells go on.

mod bounds;
mod cells;
mod closure;
mod document_cell;
mod element_cell;
mod engine;
mod evaluate;
mod failing;
pub mod guest;
mod index;
mod intervals;
mod list_cell;
mod log;
mod memo;
pub mod plan;
mod propagate;
mod sequence;
mod small_map;
mod stitch;
mod tables;
mod whole_read;

pub use cells::{Blocked, DocumentKey};
pub use engine::{Effects, Emission, Engine, Limits, Size};
pub use evaluate::Versions;

#[cfg(test)]
mod simulation;
