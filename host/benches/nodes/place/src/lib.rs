//! What a place looks like at an hour: five fields in, five out.

mod place;

use place::{Args, Place, Shown};

#[sangre_node::transform]
fn shown(place: Place, args: &Args) -> Shown {
    place::shown(place, args)
}
