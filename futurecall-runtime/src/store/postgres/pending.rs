//! What waits, by name and by the keys of its arguments.

use async_trait::async_trait;

use super::PostgresStore;
use super::inspect::PENDING;
use super::sql::at;
use crate::moment::Moment;
use crate::store::argument_keys::{BYTES_A_CALL, Gathered, KeysLook, PendingKeys, SETS};
use crate::store::columns::Columns as _;
use crate::store::listing_plan::capped;
use crate::store::{Now, PendingName, PendingStore, Result, records};

const LISTING: &str = "count calls";

const LOOKING: &str = "look at the keys of arguments";

/// $1 names, $2 from when on, $3 how many calls of a name, $4 how many calls of a set. A row for each of these.
///
/// What reads a key reads every escape in all of the arguments, and fails where one is of a character that a text of the
/// database cannot hold (NUL in any). So none is left: with a slash instead, JSON stays JSON.
const KEYS: &str = "
    WITH RECURSIVE {lanes}, asked AS MATERIALIZED (
        SELECT l.name, l.priority, greatest($3::bigint / count(*) OVER (PARTITION BY l.name), 1) AS most
        FROM lane AS l WHERE l.name = ANY ($1::text[])
    )
    SELECT array_to_json(s.keys)::text AS keys, CASE WHEN i.place = 1 THEN s.calls ELSE 0 END AS calls, :columns
    FROM asked AS l CROSS JOIN LATERAL (
        SELECT k.format, k.keys, count(*) AS calls, (array_agg(k.id ORDER BY k.due_at, k.id))[:$4::integer] AS ids
        FROM (
            SELECT v.id, v.due_at, v.format, CASE WHEN json_typeof(v.value) = 'object' THEN
                ARRAY(SELECT DISTINCT json_object_keys(v.value) COLLATE \"C\" ORDER BY 1) END AS keys
            FROM (
                SELECT p.id, p.due_at, p.format, CASE WHEN p.format <> 2 OR json_typeof(p.args) <> 'object' THEN p.args
                    ELSE coalesce(p.args -> 'data', json_build_object()) END AS value
                FROM (
                    SELECT r.id, r.due_at, r.format, CASE WHEN strpos(r.args::text, chr(92) || 'u') > 0
                        THEN replace(r.args::text, chr(92) || 'u', '/u')::json ELSE r.args END AS args
                    FROM (
                        SELECT c.*, coalesce(sum(pg_column_size(c.args)) OVER
                            (ORDER BY c.due_at, c.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
                        FROM (
                            SELECT c.id, c.due_at, c.format, :args AS args FROM futurecall.call AS c
                            WHERE c.name = l.name AND c.priority = l.priority AND c.due_at >= {at $2::bigint}
                                AND c.claimed_by IS NULL
                            ORDER BY c.due_at, c.id LIMIT l.most
                        ) AS c
                    ) AS r WHERE r.before < l.most * :bytes
                    OFFSET 0
                ) AS p
                OFFSET 0
            ) AS v
        ) AS k
        GROUP BY k.format, k.keys ORDER BY min(k.due_at) LIMIT :sets
    ) AS s
    CROSS JOIN LATERAL unnest(s.ids) WITH ORDINALITY AS i(id, place)
    JOIN futurecall.call AS c ON c.id = i.id";

/// $2 the cap. What is not due for a minute nobody has claimed.
const NAMES: &str = "
    WITH RECURSIVE {lanes}
    SELECT l.name, least(sum(n.calls), $2::bigint)::bigint AS calls FROM lane AS l CROSS JOIN LATERAL (
        SELECT count(*) AS calls FROM (
            SELECT FROM futurecall.call AS c WHERE c.name = l.name AND c.priority = l.priority
                AND c.due_at >= {now} + interval '1 minute'
            LIMIT $2::bigint) AS c
        UNION ALL
        SELECT count(*) FROM (
            SELECT FROM futurecall.call AS c WHERE c.name = l.name AND c.priority = l.priority
                AND c.due_at < {now} + interval '1 minute' AND c.claimed_by IS NULL
            LIMIT $2::bigint) AS c
    ) AS n
    GROUP BY l.name HAVING sum(n.calls) > 0 ORDER BY l.name";

#[async_trait]
impl PendingStore for PostgresStore {
    async fn pending_names(&self, now: Now, cap: u64) -> Result<Vec<PendingName>> {
        let mut look = self.look(LISTING).await?;
        let rows = look.rows(look.query(NAMES).bind(at(now)).bind(capped(cap))).await?;
        rows.iter().map(records::calls_of_name).collect()
    }

    async fn pending_keys(&self, _now: Now, look: &KeysLook) -> Result<Vec<PendingKeys>> {
        let args = if self.sees().await? { "c.args" } else { "NULL::json" };
        let sql = KEYS
            .replace(":columns", PENDING)
            .replace(":args", args)
            .replace(":bytes", &BYTES_A_CALL.to_string())
            .replace(":sets", &SETS.to_string());
        let mut transaction = self.look(LOOKING).await?;
        let query = transaction
            .shown(&sql)
            .await?
            .bind(look.names.clone())
            .bind(look.from.unwrap_or(Moment::MIN).as_micros())
            .bind(capped(look.calls))
            .bind(i32::try_from(look.first.max(1)).unwrap_or(i32::MAX));
        let rows = transaction.rows(query).await?;
        let mut found = Gathered::default();
        for row in &rows {
            found.add(row.json("keys")?, row.get("calls")?, records::call(row)?);
        }
        Ok(found.done(look.first))
    }
}
