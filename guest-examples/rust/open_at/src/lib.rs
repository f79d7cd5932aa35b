//! Keeps the places that are open at an hour of the day: `filter: { node: open-at, args: { hour: $hour } }`.

use serde::Deserialize;

#[derive(Deserialize)]
struct Place {
    /// Hours of the day. A place that closes after midnight closes before it opens.
    opens: u8,
    closes: u8,
}

#[derive(Deserialize)]
struct Args {
    hour: u8,
}

#[sangre_node::keep]
fn open_at(place: Place, args: &Args) -> bool {
    let Place { opens, closes } = place;
    if opens <= closes { (opens..closes).contains(&args.hour) } else { args.hour >= opens || args.hour < closes }
}
