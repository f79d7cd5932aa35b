//! Keeps the places that are open at an hour of the day.

use serde::Deserialize;

/// What the node sees of a row: other columns are left out. One that may be null is an `Option`, one of type time a `String`.
#[derive(Deserialize)]
struct Place {
    opens: u8,
    closes: u8,
}

/// What the query gives it: `args: { hour: $hour }`.
#[derive(Deserialize)]
struct Args {
    hour: u8,
}

#[sangre_node::keep]
fn keep(place: Place, args: &Args) -> bool {
    (place.opens..place.closes).contains(&args.hour)
}
