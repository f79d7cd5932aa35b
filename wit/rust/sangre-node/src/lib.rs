//! Write nodes for Sangre in Rust.
//!
//! A node is a pure function of a row (for `reduce`, of a list of rows) and of the arguments its query gives it. Rows and
//! arguments are any types that serde can read; answers, any it can write.
//!
//! ```ignore
//! use serde::Deserialize;
//! use sangre_node::Args;
//!
//! #[derive(Deserialize)]
//! struct User {
//!     first: String,
//!     last: String,
//! }
//!
//! #[sangre_node::transform]
//! fn full_name(user: User, _args: Args) -> String {
//!     format!("{} {}", user.first, user.last)
//! }
//! ```
//!
//! Build it as a `cdylib` for `wasm32-wasip2`; that is the component. One node for each crate.
//!
//! A function may also return `Result<T, E>` for any `E` that can be displayed: an error is that row's alone. So is a panic,
//! though it costs more. There is no clock, no randomness, no file and no network: what reads them fails and says so.
//! What is printed goes to the server's log. Take the arguments by reference, `&Args`, and they are read once for many rows.

mod abi;
mod answer;
mod finite;
mod misfit;
mod world;

/// Names of kinds, which say what to write instead.
#[doc(hidden)]
pub use sangre_node_macro::{filter, map};
pub use sangre_node_macro::{keep, reduce, transform};

/// Arguments of any shape, for nodes that take few or none. A type of your own that serde can read says more.
pub type Args = serde_json::Map<String, serde_json::Value>;

/// Any JSON value.
pub use serde_json::Value;

/// For the attributes' expansion only.
#[doc(hidden)]
pub mod __private {
    pub use crate::abi::{Returned, called, forget, last_words};
    pub use crate::answer::{answer, answer_owned, kept, on_panic};
    pub use crate::world::{FILTER, MAP, REDUCE};
}
