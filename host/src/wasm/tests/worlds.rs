//! What the crate for nodes in Rust says of its components is what the interface says.

use std::fmt::Write as _;

use wit_component::{StringEncoding, metadata};
use wit_parser::Resolve;

const WRITTEN: &str = include_str!("../../../../wit/rust/sangre-node/src/world.rs");

const HEADER: &str = "//! What a component says of the world it fits, for the tool that makes one of a module: `../../../0.1.0/node.wit`, encoded. The server's
//! tests keep it true (`host/src/wasm/tests/worlds.rs`).
";

/// `world` as a section of a module, but for who encoded it.
fn encoded(world: &str) -> Vec<u8> {
    let mut interface = Resolve::default();
    let wit = include_str!("../../../../wit/0.1.0/node.wit");
    let package = interface.push_source("node.wit", wit).expect("WIT");
    let world = interface.select_world(&[package], Some(world)).expect("a world");
    let mut bytes = metadata::encode(&interface, world, StringEncoding::UTF8, None).expect("encoded");
    let name = b"\x09producers";
    let producers = bytes.windows(name.len()).rposition(|window| window == name).expect("a last section");
    // Before the name: what section it is, and its size.
    bytes.truncate(producers - 2);
    bytes
}

#[test]
fn the_worlds_of_rust_nodes_are_those_of_the_interface() {
    let mut text = HEADER.to_owned();
    for (name, world) in [("FILTER", "filter-node"), ("MAP", "map-node"), ("REDUCE", "reduce-node")] {
        let bytes = encoded(world);
        let _ = write!(text, "\npub const {name}: &[u8; {}] = b\"", bytes.len());
        for line in bytes.chunks(80) {
            // A space at the beginning of a line would be left out.
            let _ = write!(text, "\\\n{}", line.escape_ascii().to_string().replace(' ', "\\x20"));
        }
        text.push_str("\";\n");
    }
    assert!(text == WRITTEN, "{text}");
}
