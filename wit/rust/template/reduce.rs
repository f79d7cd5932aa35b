//! One object for a whole list of places.

use sangre_node::Args;
use serde::{Deserialize, Serialize};

/// What the node sees of a row: other columns are left out. One that may be null is an `Option`.
#[derive(Deserialize)]
struct Place {
    rating: f64,
}

#[derive(Serialize)]
struct Summary {
    count: usize,
    best: f64,
}

#[sangre_node::reduce]
fn reduce(places: Vec<Place>, _args: &Args) -> Summary {
    Summary { count: places.len(), best: places.iter().map(|place| place.rating).fold(0.0, f64::max) }
}
