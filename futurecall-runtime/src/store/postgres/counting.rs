//! How many calls stand where: counted no further than somebody wants to know.

use std::time::Duration;

use async_trait::async_trait;

use super::PostgresStore;

use super::listing::each_lane;
use super::sql::{at, micros};
use crate::id::CallId;
use crate::moment::Moment;
use crate::store::codec::{state_code, state_of};
use crate::store::columns::Columns as _;
use crate::store::listing_plan::{LOOKED_AT, capped};
use crate::store::{Backlog, CallState, CountingStore, Counts, Now, Result, TimelineCount, records};

const COUNTING: &str = "count calls";

const AHEAD: &str = "count the calls before it";

const TIMELINE: &str = "count what is due when";

const BACKLOG_READING: &str = "see what waits";

/// $2 the cap. What is not due for a minute nobody has claimed: the index has all that is to be known of it. Of what runs, which stands first in its lane among what is due, :each rows of each lane are looked at.
const COUNTS: &str = "
    WITH RECURSIVE {lanes}
    SELECT
        (SELECT count(*) FROM (SELECT FROM lane AS l CROSS JOIN LATERAL (
            SELECT FROM futurecall.call AS c WHERE c.name = l.name AND c.priority = l.priority AND c.claimed_by IS NULL
                AND c.due_at < {now} + interval '1 minute'
            OFFSET 0) AS c LIMIT $2::bigint) AS n) AS soon,
        (SELECT count(*) FROM (SELECT FROM lane AS l CROSS JOIN LATERAL (
            SELECT FROM futurecall.call AS c WHERE c.name = l.name AND c.priority = l.priority
                AND c.due_at >= {now} + interval '1 minute'
            OFFSET 0) AS c LIMIT $2::bigint) AS n) AS later,
        (SELECT count(*) FROM (SELECT FROM lane AS l CROSS JOIN LATERAL (
            SELECT FROM futurecall.call AS c WHERE c.name = l.name AND c.priority = l.priority AND c.claimed_by IS NULL
                AND c.due_at <= {now}
            OFFSET 0) AS c LIMIT $2::bigint) AS n) AS due,
        (SELECT count(*) FROM (SELECT FROM lane AS l CROSS JOIN LATERAL (
            SELECT c.claimed_by FROM futurecall.call AS c
            WHERE c.name = l.name AND c.priority = l.priority AND c.due_at <= {now} + interval '1 minute'
            ORDER BY c.due_at, c.id LIMIT :each) AS c WHERE c.claimed_by IS NOT NULL LIMIT $2::bigint) AS n) AS running,
        (SELECT {us min(c.due_at)} FROM lane AS l CROSS JOIN LATERAL (
            SELECT c.due_at FROM futurecall.call AS c
            WHERE c.name = l.name AND c.priority = l.priority AND c.claimed_by IS NULL AND c.due_at <= {now}
            ORDER BY c.due_at, c.id LIMIT 1) AS c) AS oldest_due";

/// $1 states, $2 the cap.
const PAST: &str = "
    WITH RECURSIVE {past}
    SELECT u.state, n.calls FROM unnest($1::smallint[]) AS u(state) CROSS JOIN LATERAL (
        SELECT count(*) AS calls FROM (SELECT FROM past AS p CROSS JOIN LATERAL (
            SELECT FROM futurecall.finished AS f WHERE f.name = p.name AND f.state = p.state OFFSET 0) AS f
        WHERE p.state = u.state LIMIT $2::bigint) AS n
    ) AS n";

/// $2 the call, $3 the cap. Its own lane from its beginning, and all lanes of lower numbers.
const BEFORE: &str = "
    WITH RECURSIVE {lanes}, one AS MATERIALIZED (
        SELECT c.name, c.priority, c.due_at, c.id FROM futurecall.call AS c WHERE c.id = $2::uuid AND c.claimed_by IS NULL
    )
    SELECT count(*) AS calls FROM (SELECT FROM (
        SELECT FROM one AS o CROSS JOIN LATERAL (
            SELECT FROM futurecall.call AS c WHERE c.name = o.name AND c.priority = o.priority AND c.due_at <= {now}
                AND (c.due_at, c.id) < (o.due_at, o.id) AND c.claimed_by IS NULL
            OFFSET 0) AS c
        UNION ALL
        SELECT FROM one AS o JOIN lane AS l ON l.priority < o.priority CROSS JOIN LATERAL (
            SELECT FROM futurecall.call AS c WHERE c.name = l.name AND c.priority = l.priority AND c.due_at <= {now}
                AND c.claimed_by IS NULL
            OFFSET 0) AS c
    ) AS c LIMIT $3::bigint) AS n";

/// $2 and $3 the beginning and the end of each stretch, $4 the cap. What is not due for a minute nobody has claimed: the
/// index has all that is to be known of it.
const STRETCHES: &str = "
    WITH RECURSIVE {lanes}
    SELECT l.name, u.stretch - 1 AS stretch, least(sum(n.calls), $4::bigint)::bigint AS calls
    FROM lane AS l CROSS JOIN unnest($2::bigint[], $3::bigint[]) WITH ORDINALITY AS u(first, last, stretch)
    CROSS JOIN LATERAL (
        SELECT count(*) AS calls FROM (
            SELECT FROM futurecall.call AS c
            WHERE c.name = l.name AND c.priority = l.priority AND c.claimed_by IS NULL
                AND c.due_at >= {at u.first} AND c.due_at < least({at u.last}, {now} + interval '1 minute')
            LIMIT $4::bigint) AS c
        UNION ALL
        SELECT count(*) FROM (
            SELECT FROM futurecall.call AS c WHERE c.name = l.name AND c.priority = l.priority
                AND c.due_at >= greatest({at u.first}, {now} + interval '1 minute') AND c.due_at < {at u.last}
            LIMIT $4::bigint) AS c
    ) AS n
    WHERE n.calls > 0 GROUP BY l.name, u.stretch ORDER BY l.name, u.stretch";

const LANES: &str = "WITH RECURSIVE {lanes} SELECT count(*) AS lanes FROM lane";

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

#[async_trait]
impl CountingStore for PostgresStore {
    async fn counts(&self, now: Now, cap: u64) -> Result<Counts> {
        let mut look = self.look(COUNTING).await?;
        let lanes = look.one(look.query(LANES)).await?.get("lanes")?;
        let counts = COUNTS.replace(":each", &each_lane(LOOKED_AT.max(cap), lanes).to_string());
        let pending = look.one(look.query(&counts).bind(at(now)).bind(capped(cap))).await?;
        let states: Vec<i16> = CallState::ALL.into_iter().filter_map(state_code).collect();
        let past = look.rows(look.query(PAST).bind(states).bind(capped(cap))).await?;
        let mut counts = Counts {
            scheduled: pending.get::<u64>("soon")?.saturating_add(pending.get("later")?).min(cap),
            due: pending.get("due")?,
            running: pending.get("running")?,
            oldest_due: pending.find("oldest_due")?,
            ..Counts::default()
        };
        for row in past {
            counts.add(state_of(row.get("state")?), row.get("calls")?);
        }
        Ok(counts)
    }

    async fn ahead(&self, now: Now, id: CallId, cap: u64) -> Result<u64> {
        let mut look = self.look(AHEAD).await?;
        let query = look.query(BEFORE).bind(at(now)).bind(id.as_uuid()).bind(capped(cap));
        look.one(query).await?.get("calls")
    }

    async fn timeline(&self, now: Now, edges: &[Moment], cap: u64) -> Result<Vec<TimelineCount>> {
        let edges: Vec<i64> = edges.iter().map(|edge| edge.as_micros()).collect();
        let Some((_, ends)) = edges.split_first() else { return Ok(Vec::new()) };
        let mut look = self.look(TIMELINE).await?;
        let begins = edges.get(..ends.len()).unwrap_or_default().to_vec();
        let query = look.query(STRETCHES).bind(at(now)).bind(begins).bind(ends.to_vec()).bind(capped(cap));
        let rows = look.rows(query).await?;
        rows.iter().map(records::timeline_count).collect()
    }

    async fn backlog(&self, now: Now, cap: u64, pod_live: Duration) -> Result<Backlog> {
        let cap = i64::try_from(cap).unwrap_or(i64::MAX);
        let query = self.query(BACKLOG).bind(at(now)).bind(micros(pod_live)).bind(cap);
        records::backlog(&self.read_one(BACKLOG_READING, query).await?)
    }
}
