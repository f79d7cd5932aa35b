//! A person's full name: `map: { node: full-name, into: full_name, input: [first_name, last_name] }`.

use sangre_node::Args;
use serde::Deserialize;

#[derive(Deserialize)]
struct Person {
    first_name: Option<String>,
    last_name: Option<String>,
}

#[sangre_node::transform]
fn full_name(person: Person, _args: &Args) -> String {
    let parts = [person.first_name, person.last_name];
    parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}
