//! What waits, for gauges.

use std::time::Duration;

use sqlx::Row;

use super::PostgresStore;
use super::connect::{empty, nothing_done};
use super::sql::{at, count, micros};
use crate::error::StoreError;
use crate::store::{Backlog, Now};

const LOOKING: &str = "see what waits";

/// $2 how old a recent heartbeat may be, $3 where counting a lane stops.
const BACKLOG: &str = "
    WITH RECURSIVE {lanes}
    SELECT coalesce(sum(k.calls), 0)::bigint AS scheduled, coalesce(sum(d.calls), 0)::bigint AS due,
        {now_us} - {us min(d.oldest)} AS age,
        (SELECT count(*) FROM futurecall.pod AS p WHERE p.beat_at >= {ago $2::bigint}) AS pods
    FROM lane AS l
    CROSS JOIN LATERAL (SELECT count(*) AS calls FROM (SELECT FROM futurecall.call AS c
        WHERE c.name = l.name AND c.priority = l.priority AND c.claimed_by IS NULL LIMIT $3::bigint) AS c) AS k
    CROSS JOIN LATERAL (SELECT count(*) AS calls, min(c.due_at) AS oldest FROM (SELECT c.due_at
        FROM futurecall.call AS c WHERE c.name = l.name AND c.priority = l.priority AND c.claimed_by IS NULL
            AND c.due_at <= {now} ORDER BY c.due_at LIMIT $3::bigint) AS c) AS d
    WHERE {a_lane}";

impl PostgresStore {
    pub(super) async fn see_backlog(
        &self,
        now: Now,
        cap: u64,
        pod_live: Duration,
    ) -> Result<Backlog, StoreError> {
        let cap = i64::try_from(cap).unwrap_or(i64::MAX);
        let query = self.query(BACKLOG).bind(at(now)).bind(micros(pod_live)).bind(cap);
        let row = self.read(LOOKING, query).await?.pop().ok_or_else(|| empty(LOOKING))?;
        let age: Option<i64> = row.try_get("age").map_err(nothing_done(LOOKING))?;
        let count = |column| count(&row, column).map_err(nothing_done(LOOKING));
        Ok(Backlog {
            scheduled: count("scheduled")?,
            due: count("due")?,
            oldest_due_age: age.map(|age| Duration::from_micros(u64::try_from(age).unwrap_or(0))),
            pods: count("pods")?,
        })
    }
}
