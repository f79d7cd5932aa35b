//! Takes big-endian numbers, texts and counted bytes off a message, never beyond its end.

use super::PgoutputError;
use crate::data::{Lsn, Xid};

/// What is left of a message.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// Of the whole message, for errors.
    length: usize,
}

impl<'a> Reader<'a> {
    pub fn new(message: &'a [u8]) -> Self {
        Reader { rest: message, length: message.len() }
    }

    /// Passes `message` on if all its bytes were read.
    pub fn finish<T>(self, kind: u8, message: T) -> Result<T, PgoutputError> {
        match self.rest.len() {
            0 => Ok(message),
            extra => Err(PgoutputError::Trailing { kind: char::from(kind), extra }),
        }
    }

    fn truncated<T>(&self, what: &'static str) -> Result<T, PgoutputError> {
        Err(PgoutputError::Truncated { what, length: self.length })
    }

    fn bytes(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], PgoutputError> {
        let Some((bytes, rest)) = self.rest.split_at_checked(count) else { return self.truncated(what) };
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], PgoutputError> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else { return self.truncated(what) };
        self.rest = rest;
        Ok(*bytes)
    }

    pub fn u8(&mut self, what: &'static str) -> Result<u8, PgoutputError> {
        self.array(what).map(u8::from_be_bytes)
    }

    pub fn u16(&mut self, what: &'static str) -> Result<u16, PgoutputError> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub fn u32(&mut self, what: &'static str) -> Result<u32, PgoutputError> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub fn i64(&mut self, what: &'static str) -> Result<i64, PgoutputError> {
        self.array(what).map(i64::from_be_bytes)
    }

    pub fn lsn(&mut self) -> Result<Lsn, PgoutputError> {
        self.array("a position").map(|bytes| Lsn(u64::from_be_bytes(bytes)))
    }

    pub fn xid(&mut self) -> Result<Xid, PgoutputError> {
        self.u32("a transaction id").map(Xid)
    }

    /// A byte that is always this one.
    pub fn expect(&mut self, byte: u8) -> Result<(), PgoutputError> {
        match self.u8("a tuple's kind")? {
            found if found == byte => Ok(()),
            found => Err(PgoutputError::Unknown { what: "kind of tuple", found: found.into() }),
        }
    }

    /// Flags of which none is defined.
    pub fn no_flags(&mut self) -> Result<(), PgoutputError> {
        match self.u8("flags")? {
            0 => Ok(()),
            flags => Err(PgoutputError::Unknown { what: "flag of a commit", found: flags.into() }),
        }
    }

    /// A text up to a zero byte.
    pub fn text(&mut self, what: &'static str) -> Result<&'a str, PgoutputError> {
        let Some(end) = self.rest.iter().position(|&byte| byte == 0) else { return self.truncated(what) };
        let text = self.bytes(end, what)?;
        self.u8(what)?;
        std::str::from_utf8(text).map_err(|_| PgoutputError::NotUtf8 { what })
    }

    /// Bytes after their number.
    pub fn counted(&mut self, what: &'static str) -> Result<&'a [u8], PgoutputError> {
        let count = self.u32(what)?;
        self.bytes(usize::try_from(count).unwrap_or(usize::MAX), what)
    }

    /// A text after its number of bytes.
    pub fn counted_text(&mut self, what: &'static str) -> Result<&'a str, PgoutputError> {
        std::str::from_utf8(self.counted(what)?).map_err(|_| PgoutputError::NotUtf8 { what })
    }

    /// `count` items of at least `least` bytes each; what cannot fit is refused before anything is allocated.
    pub fn many<T>(
        &mut self,
        count: u32,
        least: usize,
        what: &'static str,
        mut item: impl FnMut(&mut Self) -> Result<T, PgoutputError>,
    ) -> Result<Vec<T>, PgoutputError> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count.saturating_mul(least) > self.rest.len() {
            return self.truncated(what);
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }
}
