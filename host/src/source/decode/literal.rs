//! The outer form of arrays and composites, as their output functions write it: tokens, without their meaning.
//!
//! In both a backslash takes the next character as it is. In a composite a quote inside quotes is doubled, too, and
//! nothing at all is null; in an array an unquoted `NULL` is.

use std::borrow::Cow;

/// How many dimensions an array can have (Postgres, `MAXDIM`).
const MAX_DIMENSIONS: usize = 6;

/// What an array's text consists of, commas aside.
#[derive(Debug, PartialEq)]
pub(super) enum Token<'a> {
    Open,
    Close,
    /// An element's text; `None` for null.
    Element(Option<Cow<'a, str>>),
}

/// Reads an array's text token by token.
pub(super) struct Array<'a> {
    text: &'a str,
    at: usize,
    delimiter: u8,
    depth: usize,
    /// Whether an element or an inner array has just ended, so that only a delimiter or `}` can follow.
    ended: bool,
    /// Whether the last brace was closed and nothing may follow, or the text was wrong.
    done: bool,
}

impl<'a> Array<'a> {
    /// Skips the bounds, `[0:2][1:1]=`; `None` if they do not end.
    pub fn open(text: &'a str, delimiter: u8) -> Option<Self> {
        let at = if text.starts_with('[') { text.find('=')? + 1 } else { 0 };
        Some(Array { text, at, delimiter, depth: 0, ended: false, done: false })
    }

    /// The text not read yet, for messages.
    pub fn rest(&self) -> String {
        self.text[self.at..].to_owned()
    }

    /// The next token; `Some(None)` if the text is wrong, `None` after the end.
    pub fn next(&mut self) -> Option<Option<Token<'a>>> {
        if self.done {
            return None;
        }
        let token = self.token();
        if token.is_none() || (self.depth == 0 && token == Some(Token::Close)) {
            self.done = true;
        }
        if self.depth == 0 && token == Some(Token::Close) && self.at != self.text.len() {
            return Some(None);
        }
        Some(token)
    }

    fn token(&mut self) -> Option<Token<'a>> {
        let byte = *self.text.as_bytes().get(self.at)?;
        if byte == b'}' {
            self.depth = self.depth.checked_sub(1)?;
            (self.at, self.ended) = (self.at + 1, true);
            return Some(Token::Close);
        }
        if self.ended {
            if byte != self.delimiter {
                return None;
            }
            self.at += 1;
        }
        if self.text.as_bytes().get(self.at) == Some(&b'{') {
            self.depth += 1;
            (self.at, self.ended) = (self.at + 1, false);
            return (self.depth <= MAX_DIMENSIONS).then_some(Token::Open);
        }
        self.ended = true;
        if self.depth == 0 { None } else { self.element() }
    }

    fn element(&mut self) -> Option<Token<'a>> {
        if self.text[self.at..].starts_with('"') {
            return Some(Token::Element(Some(self.quoted()?)));
        }
        let rest = &self.text[self.at..];
        let end = rest.bytes().position(|byte| byte == self.delimiter || byte == b'}')?;
        self.at += end;
        // What Postgres does not quote has no backslash and is not empty.
        let element = &rest[..end];
        let wrong = element.is_empty() || element.contains(['"', '\\', '{']);
        match element {
            _ if wrong => None,
            "NULL" => Some(Token::Element(None)),
            _ => Some(Token::Element(Some(Cow::Borrowed(element)))),
        }
    }

    fn quoted(&mut self) -> Option<Cow<'a, str>> {
        let (text, length) = quoted(&self.text[self.at..], false)?;
        self.at += length;
        Some(text)
    }
}

/// Reads a quoted text up to its closing quote: what it says, and how many bytes it takes with its quotes.
fn quoted(text: &str, doubled: bool) -> Option<(Cow<'_, str>, usize)> {
    let bytes = text.as_bytes();
    let mut said = Cow::Borrowed("");
    let (mut start, mut at) = (1, 1);
    loop {
        let byte = *bytes.get(at)?;
        let escaped = byte == b'\\' || (doubled && byte == b'"' && bytes.get(at + 1) == Some(&b'"'));
        if escaped {
            // The character after it starts the next piece, and is not looked at itself.
            said.to_mut().push_str(&text[start..at]);
            start = at + 1;
            at = start + text[start..].chars().next()?.len_utf8();
        } else if byte == b'"' {
            let last = &text[start..at];
            let said = if said.is_empty() { Cow::Borrowed(last) } else { Cow::Owned(said.into_owned() + last) };
            return Some((said, at + 1));
        } else {
            at += 1;
        }
    }
}

/// The texts of a composite's fields, `None` for null; `None` if the text is wrong or has another number of fields.
pub(super) fn composite(text: &str, fields: usize) -> Option<Vec<Option<Cow<'_, str>>>> {
    let inner = text.strip_prefix('(')?.strip_suffix(')')?;
    if fields == 0 {
        return inner.is_empty().then(Vec::new);
    }
    let (mut texts, mut at) = (Vec::with_capacity(fields), 0);
    loop {
        let rest = &inner[at..];
        let (field, length) = if rest.starts_with('"') {
            let (said, length) = quoted(rest, true)?;
            (Some(said), length)
        } else {
            let length = rest.find(',').unwrap_or(rest.len());
            let field = &rest[..length];
            if field.contains(['"', '\\', '(', ')']) {
                return None;
            }
            ((!field.is_empty()).then_some(Cow::Borrowed(field)), length)
        };
        texts.push(field);
        at += length;
        match inner.as_bytes().get(at) {
            None => return (texts.len() == fields).then_some(texts),
            Some(b',') if texts.len() < fields => at += 1,
            Some(_) => return None,
        }
    }
}
