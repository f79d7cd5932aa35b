//! Positions in Postgres's write-ahead log.

use std::fmt;
use std::str::FromStr;

/// A log sequence number: a byte position in the write-ahead log.
///
/// Written and read in Postgres's notation, two hexadecimal halves: `0/16B3748`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 as u32)
    }
}

/// The text is not a log sequence number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a log sequence number: expected two hexadecimal numbers such as 0/16B3748")]
pub struct ParseLsnError(String);

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseLsnError(text.chars().take(40).collect());
        let half = |half: &str| {
            let hex = (1..=8).contains(&half.len()) && half.bytes().all(|b| b.is_ascii_hexdigit());
            if hex { u64::from_str_radix(half, 16).ok() } else { None }
        };
        let (high, low) = text.split_once('/').ok_or_else(bad)?;
        Ok(Lsn(half(high).ok_or_else(bad)? << 32 | half(low).ok_or_else(bad)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notation_is_postgres_own() {
        for (text, value) in
            [("0/0", 0), ("0/16B3748", 0x16B_3748), ("1A/0", 0x1A_0000_0000), ("FFFFFFFF/FFFFFFFF", u64::MAX)]
        {
            assert_eq!(text.parse(), Ok(Lsn(value)));
            assert_eq!(Lsn(value).to_string(), text);
        }
        for bad in ["", "0", "/", "0/", "0/+1", "0/G", "0/123456789", "0/1/2"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad}");
        }
    }
}
