//! Revisions: what a document's states are called, and which of them a client can still build on.
//!
//! A revision's text is `<LSN>.<sequence>-<identity>`, such as `0/16B3748.3-9f86d081884c7d65`. Clients may rely on the
//! LSN in front and on nothing else. The identity says *of what* it is a state ([`Subject`]), the rest *which*.
//!
//! What a reader could get wrong: a patch is only as good as its base. A client that applies a patch to another document
//! than the patch was made from ends with a wrong document, or an error, and nothing tells the server; from there each
//! further patch makes it worse. So whatever is not certainly the same state counts as unknown, and the
//! client is sent the whole document.

mod emission;
mod history;
mod identity;

use std::fmt;
use std::str::FromStr;

pub use emission::Emission;
pub use history::{Entry, History, Recent};
pub use identity::{Identity, Subject};

use crate::data::Lsn;

/// The name of a document's state: `0/16B3748.3-9f86d081884c7d65`.
///
/// Small and copied. Ordered by LSN, then sequence; that order means something among revisions of one timeline only (the
/// identity comes last, so that the order agrees with equality).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    lsn: Lsn,
    sequence: u64,
    identity: Identity,
}

/// The text is not a revision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a revision: expected one as the server sent it, such as 0/16B3748.3-9f86d081884c7d65")]
pub struct ParseRevisionError(String);

impl Revision {
    /// No revision's text is longer (in bytes).
    pub const MAX_LEN: usize = 17 + 1 + 20 + 1 + 16;

    /// The `sequence`th state (from 0) of a document whose newest commit ends at `lsn`.
    pub const fn new(lsn: Lsn, sequence: u64, identity: Identity) -> Self {
        Revision { lsn, sequence, identity }
    }

    /// The revision after this one: the first at its LSN, or the next one if the LSN is the same (a node was reloaded, its
    /// time had come). Lower LSNs are of a new timeline and begin anew.
    pub fn next(&self, lsn: Lsn, identity: Identity) -> Self {
        let sequence = if lsn == self.lsn { self.sequence + 1 } else { 0 };
        Revision { lsn, sequence, identity }
    }

    /// The end of the newest commit it includes.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Tells revisions at one LSN apart, counting from 0.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What it is a state of.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Reads a revision's text, as [`FromStr`] does.
    pub fn parse(text: &str) -> Result<Self, ParseRevisionError> {
        text.parse()
    }
}

impl fmt::Display for Revision {
    /// A revision of [nothing](Identity::NONE) with sequence 0 is its LSN alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.lsn)?;
        if (self.sequence, self.identity) == (0, Identity::NONE) {
            return Ok(());
        }
        write!(f, ".{}-{}", self.sequence, self.identity)
    }
}

impl FromStr for Revision {
    type Err = ParseRevisionError;

    /// Total and bounded: any text that is not exactly as [`Display`](fmt::Display) writes it is an error.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            if text.len() > Self::MAX_LEN {
                return None;
            }
            let revision = match text.split_once('.') {
                None => Revision::new(text.parse().ok()?, 0, Identity::NONE),
                Some((lsn, rest)) => {
                    let (sequence, identity) = rest.split_once('-')?;
                    Revision::new(lsn.parse().ok()?, sequence.parse().ok()?, Identity::parse(identity)?)
                }
            };
            (revision.to_string() == text).then_some(revision)
        };
        read().ok_or_else(|| ParseRevisionError(text.chars().take(Self::MAX_LEN).collect()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn revision(text: &str) -> Revision {
        text.parse().unwrap()
    }

    #[test]
    fn text_begins_with_the_lsn() {
        let parsed = revision("0/16B3748.3-9f86d081884c7d65");
        assert_eq!((parsed.lsn(), parsed.sequence()), (Lsn(0x16B_3748), 3));
        assert_eq!(parsed.identity().to_string(), "9f86d081884c7d65");
        assert_eq!(parsed.to_string(), "0/16B3748.3-9f86d081884c7d65");
        assert_eq!(Revision::new(Lsn(5), 0, Identity::NONE).to_string(), "0/5");
        let longest = Revision::new(Lsn(u64::MAX), u64::MAX, revision("0/1.0-ffffffffffffffff").identity());
        assert_eq!(longest.to_string().len(), Revision::MAX_LEN);
        assert_eq!(revision(&longest.to_string()), longest);
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in [
            "",
            ".",
            "-",
            "0/1.",
            "0/1.0",
            "0/1.0-",
            "0/1.-9f86d081884c7d65",
            "0/1.0-9f86d081884c7d6",
            "0/1.0-9F86D081884C7D65",
            "0/1.0-9f86d081884c7d65-",
            "0/1.00-9f86d081884c7d65",
            "0/1.+1-9f86d081884c7d65",
            "0/1.18446744073709551616-9f86d081884c7d65",
            "0/1.0-0000000000000000",
            "0/1.0-+f86d081884c7d65",
            "0/01.0-9f86d081884c7d65",
            "0/a.0-9f86d081884c7d65",
            " 0/1",
            "1",
            "0/1.0-9f86d081884c7dé",
        ] {
            assert!(Revision::parse(bad).is_err(), "{bad}");
        }
        let error = Revision::parse(&"é".repeat(1 << 20)).unwrap_err();
        assert!(error.to_string().len() < 500);
    }

    #[test]
    fn order_is_by_lsn_then_sequence() {
        let ordered = ["0/9.7-ffffffffffffffff", "0/A.0-1000000000000000", "0/A.9-1000000000000000"];
        let last = ["0/A.10-0000000000000001", "1/0.0-0000000000000001"];
        assert!(ordered.iter().chain(&last).map(|text| revision(text)).is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn the_next_one_counts_at_one_lsn() {
        let first = revision("0/A.0-1000000000000000");
        assert_eq!(first.next(Lsn(10), first.identity()).to_string(), "0/A.1-1000000000000000");
        assert_eq!(first.next(Lsn(11), first.identity()).to_string(), "0/B.0-1000000000000000");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,70}") {
            if let Ok(revision) = Revision::parse(&text) {
                prop_assert_eq!(revision.to_string(), text);
            }
        }

        #[test]
        fn every_revision_is_read_back(lsn: u64, sequence: u64, identity in 1u64..) {
            let identity = Identity::parse(&format!("{identity:016x}")).unwrap();
            let revision = Revision::new(Lsn(lsn), sequence, identity);
            prop_assert_eq!(Revision::parse(&revision.to_string()), Ok(revision));
        }
    }
}
