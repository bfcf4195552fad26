//! What waits, by name and by the keys of its arguments.

use async_trait::async_trait;

use super::SqliteStore;
use super::counting::lanes;
use super::inspect::CALL;
use super::tx::{Tx, batch, no_nul, run};
use crate::moment::Moment;
use crate::store::argument_keys::{BYTES_A_CALL, Gathered, KeysLook, PendingKeys, share};
use crate::store::columns::Columns as _;
use crate::store::listing_plan::capped;
use crate::store::{Now, PendingName, PendingStore, Result, records};

const LOOKING: &str = "look at the keys of arguments";

/// ?1 names.
pub(super) const LANES: &str = concat!(
    "WITH RECURSIVE ",
    lanes!(),
    " SELECT name, priority, count(*) OVER (PARTITION BY name) AS priorities FROM lane
WHERE name IN (SELECT value FROM json_each(?1))"
);

/// ?1 and ?2 the lane, ?3 from when on, ?4 how many calls, ?5 how many bytes of arguments, ?6 how many calls of a set. A row
/// for each of these.
///
/// No escape is read, so that none can be of a character that a text cannot hold: with a slash instead, JSON stays JSON.
pub(super) const KEYS: &str = "
WITH taken AS MATERIALIZED (
    SELECT c.rowid AS row, c.due_at, c.id FROM futurecall_call c INDEXED BY futurecall_call_due
    WHERE c.claimed_by IS NULL AND c.name = ?1 AND c.priority = ?2 AND c.due_at >= ?3
    ORDER BY c.due_at, c.id LIMIT ?4 + 0
), sized AS MATERIALIZED (
    SELECT t.row, t.due_at, t.id, coalesce(sum(octet_length(c.args)) OVER
        (ORDER BY t.due_at, t.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
    FROM taken AS t CROSS JOIN futurecall_call c ON c.rowid = t.row
), plain AS MATERIALIZED (
    SELECT s.row, s.due_at, s.id, c.format, replace(c.args, '\\u', '/u') AS args
    FROM sized AS s CROSS JOIN futurecall_call c ON c.rowid = s.row WHERE s.before < ?5
), valued AS MATERIALIZED (
    SELECT row, due_at, id, format, CASE WHEN NOT json_valid(args) THEN NULL WHEN format <> 2 THEN args
        WHEN json_type(args) = 'object' THEN coalesce(args -> '$.data', '{}') END AS holder
    FROM plain
), keyed AS MATERIALIZED (
    SELECT row, due_at, id, format, CASE WHEN json_type(holder) = 'object' THEN
        (SELECT json_group_array(key) FROM (SELECT DISTINCT e.key FROM json_each(v.holder) AS e ORDER BY e.key)) END AS keys
    FROM valued AS v
), ranked AS MATERIALIZED (
    SELECT row, format, keys, count(*) OVER (PARTITION BY format, keys) AS calls,
        row_number() OVER (PARTITION BY format, keys ORDER BY due_at, id) AS place
    FROM keyed
)
SELECT r.keys, iif(r.place = 1, r.calls, 0) AS calls, :call
FROM ranked AS r CROSS JOIN futurecall_call AS c ON c.rowid = r.row WHERE r.place <= ?6";

/// ?1 where counting a name stops. One step down the due index for each name.
pub(super) const NAMES: &str = "
WITH RECURSIVE known (name) AS (
    SELECT (SELECT c.name FROM futurecall_call c WHERE c.claimed_by IS NULL ORDER BY c.name LIMIT 1)
    UNION ALL
    SELECT (SELECT c.name FROM futurecall_call c WHERE c.claimed_by IS NULL AND c.name > known.name
        ORDER BY c.name LIMIT 1)
    FROM known WHERE name IS NOT NULL
)
SELECT name, (SELECT count(*) FROM (SELECT 1 FROM futurecall_call c
    WHERE c.claimed_by IS NULL AND c.name = known.name LIMIT ?1 + 0)) AS calls
FROM known WHERE name IS NOT NULL";

#[async_trait]
impl PendingStore for SqliteStore {
    async fn pending_names(&self, now: Now, cap: u64) -> Result<Vec<PendingName>> {
        run!(self.read, "list the names of calls", now, |tx| {
            let rows = tx.rows(tx.sql(NAMES).bind(capped(cap))).await?;
            rows.iter().map(records::calls_of_name).collect()
        })
        .await
    }

    async fn pending_keys(&self, now: Now, look: &KeysLook) -> Result<Vec<PendingKeys>> {
        for name in &look.names {
            no_nul(LOOKING, "a name", name)?;
        }
        let look = look.clone();
        run!(self.read, LOOKING, now, |tx| gather(&mut tx, &look).await).await
    }
}

async fn gather(tx: &mut Tx<'_>, look: &KeysLook) -> Result<Vec<PendingKeys>> {
    let mut found = Gathered::default();
    let keys = KEYS.replace(":call", CALL);
    let from = look.from.unwrap_or(Moment::MIN).as_micros();
    for lane in tx.rows(tx.sql(LANES).bind(batch(LOOKING, &look.names)?)).await? {
        let (name, priority): (String, i16) = (lane.get("name")?, lane.get("priority")?);
        let most = share(look.calls, lane.get("priorities")?);
        let sql = tx.composed(&keys).bind(name.clone()).bind(priority).bind(from).bind(capped(most));
        let sql = sql.bind(capped(most.saturating_mul(BYTES_A_CALL))).bind(capped(look.first.max(1) as u64));
        for row in tx.rows(sql).await? {
            found.add(row.json("keys")?, row.get("calls")?, records::call(&row)?);
        }
    }
    Ok(found.done(look.first))
}
