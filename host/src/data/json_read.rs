//! Reads JSON text into a [`Value`].
//!
//! One pass, straight into values. Numbers keep their text. Objects of one shape share their names: the objects of an
//! array usually have the names of the one before, so those are looked at first. The input is bounded in depth, since
//! reading, comparing and dropping a value all recurse; it may come from a guest or from any column.

use std::borrow::Cow;
use std::sync::Arc;

use super::value::{Object, Shape, Value};

/// How many levels of arrays and objects a value read from text may have.
pub const MAX_DEPTH: usize = 512;

/// The text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not valid JSON: {problem} at byte {at}")]
pub struct ParseJsonError {
    /// What is wrong there.
    pub problem: &'static str,
    /// Where in the text the problem is, in bytes.
    pub at: usize,
}

impl ParseJsonError {
    /// Line and column of the problem in `text`, which was read; both from 1, columns in characters.
    pub fn place_in(&self, text: &str) -> (usize, usize) {
        let before = &text[..text.floor_char_boundary(self.at)];
        let line = before.rsplit('\n').next().unwrap_or(before);
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }
}

/// What becomes of `\ud800` without its other half: legal in Postgres's `json`, but no Unicode text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoneSurrogates {
    /// It is an error.
    Refuse,
    /// It is read as U+FFFD.
    Replace,
}

/// Reads one value and nothing after it.
pub(crate) fn read(text: &str, lone: LoneSurrogates) -> Result<Value, ParseJsonError> {
    let mut reader = Reader::new(text, lone, MAX_DEPTH);
    reader.space();
    let value = reader.value(0)?;
    reader.end()?;
    Ok(value)
}

/// Reads one array, itself the first of at most `levels` levels, and nothing after it: its elements.
pub(crate) fn read_array(text: &str, levels: usize) -> Result<Vec<Value>, ParseJsonError> {
    let mut reader = Reader::new(text, LoneSurrogates::Refuse, levels.min(MAX_DEPTH));
    reader.space();
    if reader.peek() != Some(b'[') {
        return reader.fail("expected an array");
    }
    let elements = reader.elements(0)?;
    reader.end()?;
    Ok(elements)
}

/// The value of a JSON number's text, if the whole text is one.
pub(crate) fn read_number(text: &str) -> Option<Value> {
    let mut reader = Reader::new(text, LoneSurrogates::Refuse, MAX_DEPTH);
    let value = reader.number().ok()?;
    (reader.at == text.len()).then_some(value)
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    lone: LoneSurrogates,
    /// How many levels there may be.
    levels: usize,
    /// By depth, the shape of the last object read there.
    shapes: Vec<Option<Arc<Shape>>>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, lone: LoneSurrogates, levels: usize) -> Self {
        Reader { text, bytes: text.as_bytes(), at: 0, lone, levels, shapes: Vec::new() }
    }

    fn end(&mut self) -> Result<(), ParseJsonError> {
        self.space();
        if self.at < self.bytes.len() { self.fail("more text after the value") } else { Ok(()) }
    }

    fn fail<T>(&self, problem: &'static str) -> Result<T, ParseJsonError> {
        Err(ParseJsonError { problem, at: self.at })
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Value, ParseJsonError> {
        match self.peek() {
            Some(b'{' | b'[') if depth >= self.levels => self.fail("nested too deeply"),
            Some(b'{') => self.object(depth),
            Some(b'[') => Ok(Value::Array(self.elements(depth)?.into())),
            _ => self.scalar(),
        }
    }

    fn scalar(&mut self) -> Result<Value, ParseJsonError> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                Ok(Value::Text(self.string()?.into()))
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(_) => self.fail("unexpected character"),
            None => self.fail("unexpected end"),
        }
    }

    fn word(&mut self, word: &'static str, value: Value) -> Result<Value, ParseJsonError> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.fail("unexpected character");
        }
        self.at += word.len();
        Ok(value)
    }

    fn digits(&mut self) -> Result<(), ParseJsonError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { self.fail("a digit is missing") } else { Ok(()) }
    }

    fn number(&mut self) -> Result<Value, ParseJsonError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        } else if let Some(b'0'..=b'9') = self.peek() {
            return self.fail("a number begins with 0");
        }
        let mut integer = true;
        if self.take(b'.') {
            integer = false;
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            integer = false;
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        // "-0" becomes 0, as in Postgres's numeric.
        let small = if integer { text.parse().ok() } else { None };
        Ok(small.map_or_else(|| Value::Number(text.into()), Value::Int))
    }

    /// The elements of the array that begins here.
    fn elements(&mut self, depth: usize) -> Result<Vec<Value>, ParseJsonError> {
        self.at += 1;
        let mut elements = Vec::new();
        self.space();
        if self.take(b']') {
            return Ok(elements);
        }
        loop {
            self.space();
            elements.push(self.value(depth + 1)?);
            self.space();
            if self.take(b']') {
                return Ok(elements);
            }
            if !self.take(b',') {
                return self.fail("expected , or ]");
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, ParseJsonError> {
        self.at += 1;
        let mut members = Members::after(self.shapes.get(depth));
        self.space();
        if self.take(b'}') {
            return Ok(members.finish());
        }
        loop {
            self.name(&mut members)?;
            let value = self.value(depth + 1)?;
            members.values.push(value);
            self.space();
            if self.take(b'}') {
                let object = members.finish();
                self.remember(depth, &object);
                return Ok(object);
            }
            if !self.take(b',') {
                return self.fail("expected , or }");
            }
        }
    }

    /// Reads a member's name, and goes to its value.
    fn name(&mut self, members: &mut Members) -> Result<(), ParseJsonError> {
        self.space();
        if !self.take(b'"') {
            return self.fail("expected a member's name in quotes");
        }
        let name = self.string()?;
        members.push_name(name);
        self.space();
        if !self.take(b':') {
            return self.fail("expected :");
        }
        self.space();
        Ok(())
    }

    fn remember(&mut self, depth: usize, object: &Value) {
        let Value::Object(object) = object else { return };
        if self.shapes.len() <= depth {
            self.shapes.resize(depth + 1, None);
        }
        self.shapes[depth] = Some(object.shape().clone());
    }

    /// The string whose opening quote was taken.
    fn string(&mut self) -> Result<Cow<'a, str>, ParseJsonError> {
        let start = self.at;
        self.plain();
        if self.take(b'"') {
            return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
        }
        let mut text = self.text[start..self.at].to_owned();
        loop {
            if self.take(b'"') {
                return Ok(Cow::Owned(text));
            }
            if !self.take(b'\\') {
                return self.fail(if self.peek().is_none() {
                    "unexpected end"
                } else {
                    "control character in a string"
                });
            }
            text.push(self.escape()?);
            let start = self.at;
            self.plain();
            text.push_str(&self.text[start..self.at]);
        }
    }

    /// Goes to the next quote, backslash or control character: all of them ASCII, so also a character's boundary.
    fn plain(&mut self) {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20);
        self.at += end.unwrap_or(rest.len());
    }

    fn escape(&mut self) -> Result<char, ParseJsonError> {
        let Some(byte) = self.peek() else { return self.fail("unexpected end") };
        let char = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode();
            }
            _ => return self.fail("unknown escape"),
        };
        self.at += 1;
        Ok(char)
    }

    fn unicode(&mut self) -> Result<char, ParseJsonError> {
        let unit = self.hex()?;
        if let Some(char) = char::from_u32(unit) {
            return Ok(char);
        }
        let after = self.at;
        if unit < 0xDC00 && self.take(b'\\') && self.take(b'u') {
            let low = self.hex()?;
            if (0xDC00..0xE000).contains(&low) {
                let point = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                return Ok(char::from_u32(point).expect("two surrogates make a scalar value"));
            }
        }
        self.at = after;
        match self.lone {
            LoneSurrogates::Refuse => self.fail("half of a surrogate pair"),
            LoneSurrogates::Replace => Ok(char::REPLACEMENT_CHARACTER),
        }
    }

    fn hex(&mut self) -> Result<u32, ParseJsonError> {
        let digits = self.bytes.get(self.at..self.at + 4).unwrap_or_default();
        let unit = digits.iter().try_fold(0, |sum, &digit| Some(sum << 4 | char::from(digit).to_digit(16)?));
        match unit {
            Some(unit) if digits.len() == 4 => {
                self.at += 4;
                Ok(unit)
            }
            _ => self.fail("expected four hexadecimal digits"),
        }
    }
}

/// The members of an object while it is read.
struct Members {
    /// The shape of the object read before, whose names are shared as long as they are the same.
    before: Option<Arc<Shape>>,
    /// All names, once they differ from those.
    names: Option<Vec<Arc<str>>>,
    values: Vec<Value>,
}

impl Members {
    fn after(before: Option<&Option<Arc<Shape>>>) -> Self {
        Members { before: before.cloned().flatten(), names: None, values: Vec::new() }
    }

    /// Adds a name, whose value is pushed next.
    fn push_name(&mut self, name: Cow<'_, str>) {
        let known = self.before.as_ref().map_or(&[][..], |shape| shape.names());
        let index = self.values.len();
        match &mut self.names {
            Some(names) => {
                let name = match known.get(index) {
                    Some(known) if **known == *name => known.clone(),
                    _ => name.into(),
                };
                names.push(name);
            }
            None if known.get(index).is_some_and(|known| **known == *name) => {}
            None => {
                let mut names = known[..index].to_vec();
                names.push(name.into());
                self.names = Some(names);
            }
        }
    }

    fn finish(self) -> Value {
        Value::Object(match (self.names, self.before) {
            (None, Some(before)) if before.names().len() == self.values.len() => Object::new(before, self.values),
            (None, Some(before)) => Object::from_members(before.names()[..self.values.len()].to_vec(), self.values),
            (names, _) => Object::from_members(names.unwrap_or_default(), self.values),
        })
    }
}
