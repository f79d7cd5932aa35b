//! Where a stream begins, exactly (S1).
//!
//! # A temporary slot
//!
//! The engine's state is rebuilt from demand at each start, so nothing durable is needed in Postgres: the slot lives and
//! dies with its session, and a dead server of ours holds no log. Its name is new each time, for the one before may still
//! be dying.
//!
//! # Why a snapshot, and not a position, says what the stream leaves out
//!
//! ```text
//!  session   BEGIN      CREATE_REPLICATION_SLOT ... USE_SNAPSHOT      SELECT pg_current_snapshot()   COMMIT
//!                       |                                    |         what the slot never delivers
//!                       consistent point is looked for       found
//!  others    ...x commits: record written... ................ x becomes visible to ordinary snapshots ...
//! ```
//!
//! Transactions become visible to others after their commit record is written, with a synchronous standby long after. So
//! one whose record lies before the consistent point may be unseen by an ordinary snapshot taken later. The naive way (take
//! the slot's position, call everything before it known) loses that commit: the stream never delivers it, and a query made
//! at once does not see it. The snapshot that the slot itself was built with sees exactly what the slot leaves out, and the
//! session that made the slot can adopt it; its text is what upqueries are later held against.
//!
//! # Which history it is of
//!
//! Positions mean something within one history of the database only. A timeline's id and switch point tell most histories apart,
//! but not all: two standbys promoted at one position, or two restores of one backup, agree in both (a new id is chosen by
//! whoever is promoted, from the history files it can see), and a copied data folder that is just started has no new timeline
//! at all. None of this happens without starting a server, so the time at which ours was started tells the rest.
//!
//! # Why it may take long
//!
//! The consistent point is only reached when every transaction that was running has ended, prepared ones included. Nothing
//! can be done about that but to say who it is.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use pgwire_replication::ReplicationClient;
use tokio::time::{Instant, interval_at, timeout};

use super::connection::NOTICE;
use super::error::SourceError;
use super::event::{History, SourceEvent, SourceSender};
use super::session::{Pool, text};
use crate::data::{Lsn, Snapshot};

/// For how long one attempt to make a slot waits for transactions of others.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it says whom it waits for.
const REPORT: Duration = Duration::from_secs(1);

/// For how long the end of the server waits for the end of its slot.
const LEAVE: Duration = Duration::from_secs(3);

/// A slot just made.
#[derive(Debug)]
pub(super) struct Slot {
    pub snapshot: Snapshot,
    pub position: Lsn,
    pub history: History,
}

/// A name that no slot has: 64 random bits.
pub(super) fn unique_name() -> String {
    let random = std::hash::RandomState::new().build_hasher().finish();
    format!("sangre_{random:016x}")
}

/// Waits until the session of a slot is over on the server's side too, and the slot gone with it. A server that is away needs
/// no wait.
pub(super) async fn leave(control: &Arc<Pool>, name: &str) {
    let sql =
        format!("SELECT pg_terminate_backend(active_pid, 2000) FROM pg_replication_slots WHERE slot_name = '{name}'");
    match timeout(LEAVE, control.read(&sql)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "nobody can tell whether the slot is gone"),
        Err(_) => tracing::debug!("the database does not tell whether the slot is gone"),
    }
}

/// Makes the slot in a session that has not started streaming, and tells now and then what it waits for.
pub(super) async fn create(
    client: &mut ReplicationClient,
    pool: &Arc<Pool>,
    name: &str,
    server_version: u32,
    events: &SourceSender,
) -> Result<Slot, SourceError> {
    let pid = cell(client, "SELECT pg_catalog.pg_backend_pid()").await?;
    let identity = timeout(NOTICE, client.identify_system()).await.map_err(|_| silent())?;
    let identity = identity.map_err(|error| SourceError::from_replication(&error))?;
    let history = History {
        system: identity.system_id,
        timeline: identity.timeline,
        timeline_start: timeline_start(client, identity.timeline).await,
        server_start: cell(client, "SELECT extract(epoch FROM pg_catalog.pg_postmaster_start_time())").await?,
    };
    run(client, "BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    let option = if server_version >= 150_000 { "(SNAPSHOT 'use')" } else { "USE_SNAPSHOT" };
    let sql = format!("CREATE_REPLICATION_SLOT {name} TEMPORARY LOGICAL pgoutput {option}");
    let rows = {
        let mut creating = std::pin::pin!(client.simple_query(&sql));
        let deadline = Instant::now() + PATIENCE;
        let mut report = interval_at(Instant::now() + REPORT, REPORT);
        loop {
            tokio::select! {
                done = &mut creating => break Ok(done.map_err(|error| SourceError::from_replication(&error))?),
                _ = report.tick() => {
                    let who = blocker(pool, &pid).await.unwrap_or_else(|_| "the database".into());
                    if Instant::now() >= deadline {
                        break Err(who);
                    }
                    events.send(SourceEvent::Starting { waiting_for: who }, 0).await;
                }
            }
        }
    };
    let rows = match rows {
        Ok(rows) => rows,
        Err(who) => {
            // The session cannot be told to stop: it waits inside the server.
            let _ = pool.read(&format!("SELECT pg_terminate_backend({pid})")).await;
            client.abort();
            return Err(SourceError::transient(format!("gave up waiting for {who} to start the stream")));
        }
    };
    let position = rows.first().and_then(|row| row.get(1)?.as_deref()).and_then(|text| std::str::from_utf8(text).ok());
    let position = position.and_then(|text| text.parse().ok());
    let position = position.ok_or_else(|| SourceError::transient("the new slot has no position"))?;
    let snapshot = cell(client, "SELECT pg_catalog.pg_current_snapshot()").await?;
    let snapshot = snapshot.parse().map_err(|error| SourceError::transient(format!("the new slot: {error}")))?;
    run(client, "COMMIT").await?;
    Ok(Slot { snapshot, position, history })
}

/// Where the timeline began: what the last line of its history says. The first one has none; where it cannot be read, what
/// else a [`History`] holds has to do.
async fn timeline_start(client: &mut ReplicationClient, timeline: u32) -> Lsn {
    if timeline == 1 {
        return Lsn(0);
    }
    match run(client, &format!("TIMELINE_HISTORY {timeline}")).await {
        Ok(rows) => {
            let content = rows.first().and_then(|row| row.get(1)?.as_deref());
            content.and_then(switch_point).unwrap_or(Lsn(0))
        }
        Err(error) => {
            tracing::debug!(%error, "the timeline's history cannot be read");
            Lsn(0)
        }
    }
}

/// The position in the last line of a timeline's history: `parent <tab> position <tab> reason`. Before Postgres 15 it comes
/// as a bytea's text.
fn switch_point(content: &[u8]) -> Option<Lsn> {
    let text = std::str::from_utf8(content).ok()?;
    let decoded = text.strip_prefix("\\x").map(|digits| {
        let bytes =
            digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        bytes.collect::<Option<Vec<u8>>>()
    });
    let bytes = decoded.unwrap_or_else(|| Some(content.to_vec()))?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.next_back()?.split('\t').nth(1)?.trim().parse().ok()
}

fn silent() -> SourceError {
    SourceError::transient("the replication connection does not answer")
}

async fn run(client: &mut ReplicationClient, sql: &str) -> Result<Vec<pgwire_replication::QueryRow>, SourceError> {
    let answer = timeout(NOTICE, client.simple_query(sql)).await.map_err(|_| silent())?;
    answer.map_err(|error| SourceError::from_replication(&error))
}

async fn cell(client: &mut ReplicationClient, sql: &str) -> Result<String, SourceError> {
    let rows = run(client, sql).await?;
    let cell = rows.first().and_then(|row| row.first()).and_then(Option::as_deref);
    let cell = cell.ok_or_else(|| SourceError::transient("the replication connection gave no answer"))?;
    Ok(String::from_utf8_lossy(cell).into_owned())
}

/// Whom the backend `pid` waits for: a session by its pid, or a prepared transaction by its gid.
async fn blocker(pool: &Arc<Pool>, pid: &str) -> Result<String, SourceError> {
    let sql = format!(
        "SELECT coalesce('prepared transaction ' || quote_literal(p.gid), \
           'transaction ' || w.transactionid || ' of pid ' || h.pid \
           || coalesce(' (' || a.state || ' since ' || to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS') || ' UTC)', ''), \
           'transaction ' || w.transactionid) \
         FROM pg_locks w LEFT JOIN pg_locks h ON h.locktype = 'transactionid' AND h.granted \
           AND h.transactionid = w.transactionid \
         LEFT JOIN pg_prepared_xacts p ON p.transaction = w.transactionid \
         LEFT JOIN pg_stat_activity a ON a.pid = h.pid \
         WHERE w.pid = {pid} AND w.locktype = 'transactionid' AND NOT w.granted"
    );
    let sets = pool.read(&sql).await?;
    match sets.first().and_then(|rows| rows.first()) {
        Some(row) => Ok(text(row, 0)?.to_string()),
        None => Ok("the database".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_begins_where_its_history_ends() {
        let history = "1\t0/3000028\tno recovery target specified\n\n2\t1/5A0\tbefore 2026-01-01 00:00:00+00\n";
        assert_eq!(switch_point(history.as_bytes()), Some(Lsn(0x1_0000_05A0)));
        let hex: String = history.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(switch_point(format!("\\x{hex}").as_bytes()), Some(Lsn(0x1_0000_05A0)));
        for bad in ["", "\n", "1", "1\tx\ty", "# 1\t0/3\tx"] {
            assert_eq!(switch_point(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
