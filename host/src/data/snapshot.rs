//! Transaction ids and the sets of them a Postgres snapshot sees.

use std::str::FromStr;

/// A transaction id as the replication stream gives it: 32 bits, compared modulo 2^32 (Postgres, "Transaction IDs").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Xid(pub u32);

impl Xid {
    /// Whether `self` was assigned before `other`; right as long as the two are less than 2^31 apart.
    pub fn precedes(self, other: Xid) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }
}

/// What `pg_current_snapshot()` tells: which transactions a query sees.
///
/// *Snapshot* is always Postgres's; the engine has no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Every transaction before this one has ended and is seen, if it committed.
    pub xmin: Xid,
    /// No transaction from this one on is seen.
    pub xmax: Xid,
    /// Those between the two that were still running: not seen. Sorted by distance from `xmin`.
    pub running: Vec<Xid>,
}

impl Snapshot {
    /// Whether the effects of the (committed) transaction `xid` are in this snapshot.
    pub fn sees(&self, xid: Xid) -> bool {
        xid.precedes(self.xmin) || (xid.precedes(self.xmax) && !self.running.contains(&xid))
    }
}

/// The text is not a snapshot in Postgres's notation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a snapshot: expected xmin:xmax:running, such as 100:104:100,102")]
pub struct ParseSnapshotError(String);

impl FromStr for Snapshot {
    type Err = ParseSnapshotError;

    /// Reads the text form of `pg_snapshot`. Its ids are 64 bits wide; the epoch is dropped, as the stream has none.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseSnapshotError(text.chars().take(80).collect());
        let xid = |id: &str| id.parse::<u64>().map(|id| Xid(id as u32)).map_err(|_| bad());
        let mut parts = text.split(':');
        let (Some(xmin), Some(xmax), Some(running), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad());
        };
        let (xmin, xmax) = (xid(xmin)?, xid(xmax)?);
        let running = running.split(',').filter(|id| !id.is_empty()).map(xid).collect::<Result<_, _>>()?;
        Ok(Snapshot { xmin, xmax, running })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_what_had_committed() {
        let snapshot: Snapshot = "100:105:100,103".parse().unwrap();
        let seen: Vec<u32> = (98..107).filter(|&id| snapshot.sees(Xid(id))).collect();
        assert_eq!(seen, [98, 99, 101, 102, 104]);
    }

    #[test]
    fn ids_wrap_around() {
        // 2^32 + 2 : 2^32 + 5, that is ids 2 to 5 of the second epoch.
        let snapshot: Snapshot = "4294967298:4294967301:4294967299".parse().unwrap();
        assert!(snapshot.sees(Xid(u32::MAX)), "the epoch before");
        assert!(snapshot.sees(Xid(2)) && !snapshot.sees(Xid(3)) && snapshot.sees(Xid(4)) && !snapshot.sees(Xid(5)));
    }

    #[test]
    fn malformed_text_is_an_error() {
        for bad in ["", "1", "1:2", "1:2:3:4", "a:2:", "1:2:x"] {
            assert!(bad.parse::<Snapshot>().is_err(), "{bad}");
        }
    }
}
