//! How many hours a day a place is open.

use sangre_node::Args;
use serde::Deserialize;

/// What the node sees of a row: other columns are left out. One that may be null is an `Option`, one of type time a `String`.
#[derive(Deserialize)]
struct Place {
    opens: u8,
    closes: u8,
}

#[sangre_node::transform]
fn transform(place: Place, _args: &Args) -> u8 {
    place.closes.saturating_sub(place.opens)
}
