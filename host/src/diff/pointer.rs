//! JSON Pointer (RFC 6901), written straight into JSON text.

use std::fmt::Write;

/// A pointer that grows and shrinks while a document is walked.
///
/// Its text is kept as it stands inside a JSON string: `/a~1b/0`, quotes and control characters already escaped.
#[derive(Clone, Debug, Default)]
pub struct Pointer(String);

/// How long a pointer was, to go back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark(usize);

impl Pointer {
    /// Goes down to the member called `name`.
    pub fn push_name(&mut self, name: &str) -> Mark {
        let mark = Mark(self.0.len());
        self.0.push('/');
        if name.bytes().any(|byte| matches!(byte, b'~' | b'/' | b'"' | b'\\' | 0..0x20)) {
            name.chars().for_each(|c| self.push_escaped(c));
        } else {
            self.0.push_str(name);
        }
        mark
    }

    /// Goes down to the element at `index`.
    pub fn push_index(&mut self, index: usize) -> Mark {
        let mark = Mark(self.0.len());
        let _ = write!(self.0, "/{index}");
        mark
    }

    /// Goes back up to where the pointer was.
    pub fn truncate(&mut self, mark: Mark) {
        self.0.truncate(mark.0);
    }

    /// The text between the quotes of a JSON string.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    fn push_escaped(&mut self, c: char) {
        match c {
            '~' => self.0.push_str("~0"),
            '/' => self.0.push_str("~1"),
            '"' | '\\' => self.0.extend(['\\', c]),
            '\0'..='\x1f' => {
                let _ = write!(self.0, "\\u{:04x}", u32::from(c));
            }
            _ => self.0.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_for_pointer_and_json() {
        for (name, pointer) in [
            ("", "/"),
            ("name", "/name"),
            ("a/b", "/a~1b"),
            ("m~n", "/m~0n"),
            ("~1", "/~01"),
            ("-", "/-"),
            ("0", "/0"),
            ("q\"\\", "/q\"\\"),
            ("\u{1}\n", "/\u{1}\n"),
            ("né 😀", "/né 😀"),
        ] {
            let mut path = Pointer::default();
            path.push_name(name);
            let text: String = serde_json::from_str(&format!("\"{}\"", path.as_json())).unwrap();
            assert_eq!(text, pointer);
        }
    }

    #[test]
    fn goes_down_and_up() {
        let mut path = Pointer::default();
        path.push_name("a");
        let mark = path.push_index(10);
        path.push_name("b/");
        assert_eq!(path.as_json(), "/a/10/b~1");
        path.truncate(mark);
        assert_eq!(path.as_json(), "/a");
    }
}
