//! What the file of a runtime ends with: a hash of the rest, in a section of its own, which the format allows in every component.
//!
//! So a copy of the file carries it along, and one that was cut short or damaged, in the cache or in a release, is not taken for a
//! mistake of whoever's script it was to run.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::wasm::files::{ending, is_whole, write_whole};

/// A section for tools: its number, its length, the length of its name, its name; and then the hash.
const SECTION: &[u8] = b"\0\x2e\x0dsangre-blake3";

/// Writes the component `bytes` to `path`, with what tells that it is whole.
pub(super) fn write_sealed(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_whole(path, &[bytes, SECTION, ending(&[bytes, SECTION]).as_bytes()])
}

/// Whether the file at `path` is as it was written; `None` if there is none.
pub(super) fn is_as_written(path: &Path) -> Option<bool> {
    match File::open(path) {
        Ok(mut file) => Some(is_whole(&mut file).unwrap_or(false)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(_) => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_has_the_length_it_says() {
        let [0, length, name_length, name @ ..] = SECTION else { panic!("a section") };
        assert_eq!(usize::from(*name_length), name.len());
        assert_eq!(usize::from(*length), 1 + name.len() + blake3::OUT_LEN);
    }
}
