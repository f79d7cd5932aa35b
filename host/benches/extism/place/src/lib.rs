//! What a place looks like at an hour, as an Extism plug-in: the work of Sangre's node, by the files that node is made of.
//!
//! Batches are read and answered by the code of `sangre-node` itself, so both guests do the same; what differs is how text
//! comes into a guest and out of it.

#[allow(dead_code, reason = "a node leaves a panic's message with its host by a part of this; a plug-in cannot")]
#[path = "../../../../../wit/rust/sangre-node/src/answer.rs"]
mod answer;
#[path = "../../../../../wit/rust/sangre-node/src/finite.rs"]
mod finite;
#[path = "../../../../../wit/rust/sangre-node/src/misfit.rs"]
mod misfit;
#[path = "../../../nodes/place/src/place.rs"]
mod place;

use extism_pdk::{Error, FnResult, plugin_fn};

#[plugin_fn]
pub fn transform(batch: String) -> FnResult<String> {
    let answers = answer::answer("row", &batch, |row, args| Ok(place::shown(row, args)));
    match answers.failures.first() {
        None => Ok(answers.values),
        Some((row, message)) => Err(Error::msg(format!("row {row}: {message}")).into()),
    }
}
