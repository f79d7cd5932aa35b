//! The work itself; the benchmarks do it natively too, with this very file.

use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
pub struct Place {
    id: i64,
    name: String,
    rating: i64,
    opens: u8,
    closes: u8,
}

#[derive(Deserialize)]
pub struct Args {
    hour: u8,
}

#[derive(Serialize)]
pub struct Shown {
    id: i64,
    name: String,
    stars: i64,
    open: bool,
    hours: u8,
}

pub fn shown(place: Place, args: &Args) -> Shown {
    let Place { id, name, rating, opens, closes } = place;
    let open = opens <= args.hour && args.hour < closes;
    Shown { id, name, stars: rating * 2, open, hours: closes - opens }
}
