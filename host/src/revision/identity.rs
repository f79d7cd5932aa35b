//! What a revision is a state of.
//!
//! Two revisions of one [`Identity`] with equal LSN and sequence must name the same document, wherever and whenever they
//! were given out, for a client may come back with either. Everything else a document depends on is therefore part of
//! the identity.

use std::fmt;

use crate::data::Lsn;

/// The hash of a [`Subject`]: 64 bits, written as 16 hexadecimal digits.
///
/// A client's revision is compared with the one identity of the document it asks for, so an accidental match has a chance
/// of 2^-64; one that a client forges spoils its own document only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(u64);

/// Everything that makes a document what it is, but the commits.
#[derive(Clone, Debug, Default)]
pub struct Subject<'a> {
    /// The cluster's system identifier.
    pub system: &'a str,
    /// The timeline's id.
    pub timeline: u32,
    /// Where the timeline began: two standbys promoted apart have equal ids.
    pub timeline_start: Lsn,
    /// When the database server was started: two standbys promoted at one position, or two restores of one backup, may agree
    /// in all of the above.
    pub server_start: &'a str,
    /// The query's definition after resolving it, any text or bytes that differ when the meaning does: what is selected,
    /// from which tables and types, under which table rules.
    pub definition: &'a [u8],
    /// The parameters' names and bound values, in any order.
    pub parameters: &'a [(&'a str, &'a [u8])],
    /// The names and values of the claims the query uses, in any order. Of no others, or every new token would begin
    /// anew.
    pub claims: &'a [(&'a str, &'a [u8])],
    /// The names and versions of the nodes in use, in any order.
    pub nodes: &'a [(&'a str, u64)],
    /// `None` if LSN and the above determine the document. Otherwise (a node has `every`, or its errors leave elements out) a
    /// number that is never used twice, not for the same document evicted and made again, nor after a restart: the
    /// same LSN and sequence may then name another state.
    pub instance: Option<u64>,
}

impl Identity {
    /// That of no document: what revisions have that nobody is to resume from.
    pub const NONE: Identity = Identity(0);

    /// Reads 16 lower-case hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        digits.then(|| u64::from_str_radix(text, 16).ok().map(Identity))?
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Subject<'_> {
    /// The identity: a BLAKE3 hash over the parts, each with its length in front, so that no two subjects give the same
    /// bytes.
    pub fn identity(&self) -> Identity {
        let mut parts = Parts(blake3::Hasher::new_derive_key("sangre 2025 revision identity"));
        parts.push(self.system.as_bytes());
        parts.number(self.timeline.into());
        parts.number(self.timeline_start.0);
        parts.push(self.server_start.as_bytes());
        parts.push(self.definition);
        parts.pairs(self.parameters);
        parts.pairs(self.claims);
        let versions: Vec<_> = self.nodes.iter().map(|&(name, version)| (name, version.to_le_bytes())).collect();
        let nodes: Vec<_> = versions.iter().map(|(name, version)| (*name, version.as_slice())).collect();
        parts.pairs(&nodes);
        parts.number(self.instance.is_some().into());
        parts.number(self.instance.unwrap_or(0));
        let mut hash = [0; 8];
        parts.0.finalize_xof().fill(&mut hash);
        Identity(u64::from_le_bytes(hash).max(1))
    }
}

struct Parts(blake3::Hasher);

impl Parts {
    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn push(&mut self, part: &[u8]) {
        self.number(part.len() as u64);
        self.0.update(part);
    }

    fn pairs(&mut self, pairs: &[(&str, &[u8])]) {
        let mut pairs = pairs.to_vec();
        pairs.sort_unstable();
        self.number(pairs.len() as u64);
        for (name, value) in pairs {
            self.push(name.as_bytes());
            self.push(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts() {
        let a: &[(&str, &[u8])] = &[("a", b"1"), ("b", b"2")];
        let subject =
            Subject { system: "s", definition: b"q", parameters: a, nodes: &[("n", 1)], ..Subject::default() };
        let others = [
            Subject::default(),
            Subject { system: "t", ..subject.clone() },
            Subject { timeline: 1, ..subject.clone() },
            Subject { timeline_start: Lsn(1), ..subject.clone() },
            Subject { server_start: "1", ..subject.clone() },
            Subject { definition: b"r", ..subject.clone() },
            Subject { parameters: &a[..1], ..subject.clone() },
            Subject { parameters: &[("a", b"1"), ("b", b"3")], ..subject.clone() },
            Subject { parameters: &[("a", b"2"), ("b", b"1")], ..subject.clone() },
            Subject { parameters: &[("a1", b""), ("b", b"2")], ..subject.clone() },
            Subject { parameters: &[], claims: a, ..subject.clone() },
            Subject { claims: a, ..subject.clone() },
            Subject { claims: &[("a", b"1"), ("b", b"3")], ..subject.clone() },
            Subject { nodes: &[("n", 2)], ..subject.clone() },
            Subject { nodes: &[("m", 1)], ..subject.clone() },
            Subject { instance: Some(0), ..subject.clone() },
            Subject { instance: Some(1), ..subject.clone() },
            Subject { system: "sq", definition: b"", ..subject.clone() },
            subject.clone(),
        ];
        let mut identities: Vec<_> = others.iter().map(Subject::identity).collect();
        identities.sort();
        identities.dedup();
        assert_eq!(identities.len(), others.len());
        assert!(!identities.contains(&Identity::NONE));
    }

    #[test]
    fn the_order_of_names_does_not_count() {
        let there: &[(&str, &[u8])] = &[("a", b"1"), ("b", b"2")];
        let back: &[(&str, &[u8])] = &[("b", b"2"), ("a", b"1")];
        let of = |parameters| Subject { parameters, ..Subject::default() }.identity();
        assert_eq!(of(there), of(back));
    }
}
