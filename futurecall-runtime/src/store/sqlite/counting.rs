//! How many calls stand where: counted no further than somebody wants to know.

use std::time::Duration;

use async_trait::async_trait;

use super::SqliteStore;
use super::tx::{Tx, batch, before, run};
use crate::id::CallId;
use crate::moment::Moment;
use crate::store::columns::Columns as _;
use crate::store::listing_plan::capped;
use crate::store::{Backlog, CallState, CountingStore, Counts, Now, Result, TimelineCount, codec, records};

const COUNTING: &str = "count calls";
const AHEAD: &str = "count the calls before it";
const TIMELINE: &str = "count what is due when";

/// All lanes with calls that wait, found by skipping through the due index: the next one of the name, or the first one of
/// the next name. (Compared as a pair, SQLite would walk all of a name.)
macro_rules! lanes {
    () => {
        "lane (name, priority) AS (
    SELECT * FROM (SELECT c.name, c.priority FROM futurecall_call c INDEXED BY futurecall_call_due
        WHERE c.claimed_by IS NULL AND c.name >= '' ORDER BY c.name, c.priority LIMIT 1)
    UNION ALL
    SELECT c.name, c.priority FROM lane CROSS JOIN futurecall_call c ON c.rowid = coalesce(
        (SELECT n.rowid FROM futurecall_call n INDEXED BY futurecall_call_due
            WHERE n.claimed_by IS NULL AND n.name = lane.name AND n.priority > lane.priority
            ORDER BY n.priority LIMIT 1),
        (SELECT n.rowid FROM futurecall_call n INDEXED BY futurecall_call_due
            WHERE n.claimed_by IS NULL AND n.name > lane.name ORDER BY n.name, n.priority LIMIT 1))
)"
    };
}
pub(super) use lanes;

/// All lanes of the history: names, each with the states that it has ended in. Found in the same way.
macro_rules! past {
    () => {
        "past (name, state) AS (
    SELECT * FROM (SELECT f.name, f.state FROM futurecall_finished f INDEXED BY futurecall_finished_at
        WHERE f.name >= '' ORDER BY f.name, f.state LIMIT 1)
    UNION ALL
    SELECT f.name, f.state FROM past CROSS JOIN futurecall_finished f ON f.rowid = coalesce(
        (SELECT n.rowid FROM futurecall_finished n INDEXED BY futurecall_finished_at
            WHERE n.name = past.name AND n.state > past.state ORDER BY n.state LIMIT 1),
        (SELECT n.rowid FROM futurecall_finished n INDEXED BY futurecall_finished_at
            WHERE n.name > past.name ORDER BY n.name, n.state LIMIT 1))
)"
    };
}
pub(super) use past;
/// ?1 now, ?2 the cap.
pub(super) const COUNTS: &str = concat!(
    "WITH RECURSIVE ",
    lanes!(),
    "
SELECT
    (SELECT count(*) FROM (SELECT 1 FROM futurecall_call c INDEXED BY futurecall_call_due
        WHERE c.claimed_by IS NULL LIMIT ?2 + 0)) AS scheduled,
    (SELECT count(*) FROM (SELECT 1 FROM lane CROSS JOIN futurecall_call c INDEXED BY futurecall_call_due
        ON c.claimed_by IS NULL AND c.name = lane.name AND c.priority = lane.priority AND c.due_at <= ?1
        LIMIT ?2 + 0)) AS due,
    (SELECT count(*) FROM (SELECT 1 FROM futurecall_call c INDEXED BY futurecall_call_claimed
        WHERE c.claimed_by IS NOT NULL LIMIT ?2 + 0)) AS running,
    (SELECT min(first) FROM (SELECT (
        SELECT c.due_at FROM futurecall_call c INDEXED BY futurecall_call_due
        WHERE c.claimed_by IS NULL AND c.name = lane.name AND c.priority = lane.priority AND c.due_at <= ?1
        ORDER BY c.due_at LIMIT 1) AS first FROM lane)) AS oldest_due"
);

/// ?1 states, ?2 the cap.
pub(super) const PAST: &str = concat!(
    "WITH RECURSIVE ",
    past!(),
    "
SELECT asked.value AS state, (SELECT count(*) FROM (
    SELECT 1 FROM past CROSS JOIN futurecall_finished f INDEXED BY futurecall_finished_at
        ON f.name = past.name AND f.state = past.state
    WHERE past.state = asked.value LIMIT ?2 + 0)) AS calls
FROM json_each(?1) AS asked"
);

/// ?1 now, ?2 the call, ?3 the cap. Its own lane from its beginning, and all lanes of lower numbers.
pub(super) const BEFORE: &str = concat!(
    "WITH RECURSIVE ",
    lanes!(),
    "
SELECT count(*) AS calls FROM (
    SELECT * FROM (SELECT 1 FROM futurecall_call one CROSS JOIN futurecall_call c INDEXED BY futurecall_call_due
        ON c.claimed_by IS NULL AND c.name = one.name AND c.priority = one.priority AND c.due_at <= ?1
            AND (c.due_at, c.id) < (one.due_at, one.id)
    WHERE one.id = ?2 AND one.claimed_by IS NULL LIMIT ?3 + 0)
    UNION ALL
    SELECT * FROM (SELECT 1 FROM futurecall_call one CROSS JOIN lane ON lane.priority < one.priority
    CROSS JOIN futurecall_call c INDEXED BY futurecall_call_due
        ON c.claimed_by IS NULL AND c.name = lane.name AND c.priority = lane.priority AND c.due_at <= ?1
    WHERE one.id = ?2 AND one.claimed_by IS NULL LIMIT ?3 + 0)
    LIMIT ?3 + 0)"
);

/// ?1 the edges, ?2 the cap.
pub(super) const STRETCHES: &str = concat!(
    "WITH RECURSIVE ",
    lanes!(),
    "
SELECT name, stretch, min(sum(calls), ?2) AS calls FROM (
    SELECT lane.name, edge.key AS stretch, (SELECT count(*) FROM (
        SELECT 1 FROM futurecall_call c INDEXED BY futurecall_call_due
        WHERE c.claimed_by IS NULL AND c.name = lane.name AND c.priority = lane.priority
            AND c.due_at >= edge.value ->> 0 AND c.due_at < edge.value ->> 1 LIMIT ?2 + 0)) AS calls
    FROM lane CROSS JOIN json_each(?1) AS edge)
WHERE calls > 0 GROUP BY name, stretch ORDER BY name, stretch"
);

/// ?1 now, ?2 where counting a lane stops, ?3 since when a heartbeat is recent. One step down the due index for each lane.
const BACKLOG: &str = "
WITH RECURSIVE known (name) AS (
    SELECT (SELECT c.name FROM futurecall_call c WHERE c.claimed_by IS NULL ORDER BY c.name LIMIT 1)
    UNION ALL
    SELECT (SELECT c.name FROM futurecall_call c WHERE c.claimed_by IS NULL AND c.name > known.name
        ORDER BY c.name LIMIT 1)
    FROM known WHERE name IS NOT NULL
),
lane (name, priority) AS (
    SELECT name, (SELECT c.priority FROM futurecall_call c
        WHERE c.claimed_by IS NULL AND c.name = known.name ORDER BY c.priority LIMIT 1)
    FROM known WHERE name IS NOT NULL
    UNION ALL
    SELECT name, (SELECT c.priority FROM futurecall_call c
        WHERE c.claimed_by IS NULL AND c.name = lane.name AND c.priority > lane.priority ORDER BY c.priority LIMIT 1)
    FROM lane WHERE priority IS NOT NULL
),
head (scheduled, due, first) AS (
    SELECT (SELECT count(*) FROM (SELECT 1 FROM futurecall_call c
            WHERE c.claimed_by IS NULL AND c.name = lane.name AND c.priority = lane.priority LIMIT ?2 + 0)),
        (SELECT count(*) FROM (SELECT 1 FROM futurecall_call c
            WHERE c.claimed_by IS NULL AND c.name = lane.name AND c.priority = lane.priority AND c.due_at <= ?1
            LIMIT ?2 + 0)),
        (SELECT c.due_at FROM futurecall_call c
            WHERE c.claimed_by IS NULL AND c.name = lane.name AND c.priority = lane.priority AND c.due_at <= ?1
            ORDER BY c.due_at LIMIT 1)
    FROM lane WHERE priority IS NOT NULL
)
SELECT coalesce(sum(scheduled), 0) AS scheduled, coalesce(sum(due), 0) AS due, ?1 - min(first) AS age,
    (SELECT count(*) FROM futurecall_pod WHERE beat_at >= ?3) AS pods
FROM head";

#[async_trait]
impl CountingStore for SqliteStore {
    async fn counts(&self, now: Now, cap: u64) -> Result<Counts> {
        run!(self.read, COUNTING, now, |tx| count_all(&mut tx, capped(cap)).await).await
    }

    async fn ahead(&self, now: Now, id: CallId, cap: u64) -> Result<u64> {
        run!(self.read, AHEAD, now, |tx| {
            let sql = tx.sql(BEFORE).bind(tx.now.as_micros()).bind(id.as_uuid()).bind(capped(cap));
            tx.one(sql).await?.get("calls")
        })
        .await
    }

    async fn timeline(&self, now: Now, edges: &[Moment], cap: u64) -> Result<Vec<TimelineCount>> {
        let ends = edges.iter().skip(1).map(|end| end.as_micros());
        let edges: Vec<_> = edges.iter().map(|begin| begin.as_micros()).zip(ends).collect();
        let edges = batch(TIMELINE, &edges)?;
        run!(self.read, TIMELINE, now, |tx| {
            let rows = tx.rows(tx.sql(STRETCHES).bind(edges).bind(capped(cap))).await?;
            rows.iter().map(records::timeline_count).collect()
        })
        .await
    }

    async fn backlog(&self, now: Now, cap: u64, pod_live: Duration) -> Result<Backlog> {
        let cap = i64::try_from(cap).unwrap_or(i64::MAX);
        run!(self.read, "see what waits", now, |tx| {
            let live = before(tx.now, pod_live);
            let look = tx.sql(BACKLOG).bind(tx.now.as_micros()).bind(cap).bind(live);
            records::backlog(&tx.one(look).await?)
        })
        .await
    }
}

async fn count_all(tx: &mut Tx<'_>, cap: i64) -> Result<Counts> {
    let row = tx.one(tx.sql(COUNTS).bind(tx.now.as_micros()).bind(cap)).await?;
    let mut counts = Counts {
        scheduled: row.get("scheduled")?,
        due: row.get("due")?,
        running: row.get("running")?,
        oldest_due: row.find("oldest_due")?,
        ..Counts::default()
    };
    let states: Vec<i16> = CallState::ALL.into_iter().filter_map(codec::state_code).collect();
    for row in tx.rows(tx.sql(PAST).bind(batch(COUNTING, &states)?).bind(cap)).await? {
        counts.add(codec::state_of(row.get("state")?), row.get("calls")?);
    }
    Ok(counts)
}
