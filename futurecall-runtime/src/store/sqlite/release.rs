//! Giving claimed calls back.

use uuid::Uuid;

use super::SqliteStore;
use super::history::{End, end};
use super::tx::{Row, Tx, run};
use crate::id::PodId;
use crate::store::columns::Columns as _;
use crate::store::policy::reasons::CANCELLED as CANCELLED_CALL;
use crate::store::{CallState, Now, Result};

pub(super) const RELEASE: &str = "release calls";

/// ?1 the pod, ?2 the claim number.
const CLAIMED: &str = "
SELECT json_group_array(json_array(hex(id), claim_no, 0)) AS claims FROM futurecall_call
    INDEXED BY futurecall_call_claimed
WHERE claimed_by IS NOT NULL AND claimed_by = ?1 AND claim_no = ?2";

/// Gives back all that was claimed under that number, without reading more of it than its ids.
pub(super) async fn give_back_claim(store: &SqliteStore, now: Now, pod: PodId, claim_no: i64) -> Result<()> {
    run!(store.write, RELEASE, now, |tx| {
        let row = tx.one(tx.sql(CLAIMED).bind(pod.as_uuid()).bind(claim_no)).await?;
        give_back(&mut tx, pod.as_uuid(), row.get("claims")?).await.map(drop)
    })
    .await
}

/// ?1 the claims, ?2 the pod.
pub(super) const CANCELLED: &str = "
SELECT c.id FROM json_each(?1) CROSS JOIN futurecall_call c
    ON c.id = unhex(value ->> 0) AND c.claimed_by = ?2 AND c.claim_no = value ->> 1
WHERE c.cancel_requested";

/// ?1 the claims, ?2 the pod.
pub(super) const GIVE_BACK: &str = "
UPDATE futurecall_call SET claimed_by = NULL, claim_no = NULL, claimed_at = NULL, lease_until = NULL, on_vanish = 0,
    vanish_after = NULL, attempt = max(attempt - 1, 0), started = 0
WHERE rowid IN (
    SELECT c.rowid FROM json_each(?1) CROSS JOIN futurecall_call c
        ON c.id = unhex(value ->> 0) AND c.claimed_by = ?2 AND c.claim_no = value ->> 1)";

/// ?1 the claims, ?2 the pod, ?3 the shape under which it could not read them.
pub(super) const DECLINE: &str = "
UPDATE futurecall_call SET declined = replace(coalesce(declined, ''), ?3, '') || ?3
WHERE rowid IN (
    SELECT c.rowid FROM json_each(?1) CROSS JOIN futurecall_call c
        ON c.id = unhex(value ->> 0) AND c.claimed_by = ?2 AND c.claim_no = value ->> 1)";

/// Makes claimed calls claimable again, with their attempts; what was cancelled meanwhile is over instead.
pub(super) async fn give_back(tx: &mut Tx<'_>, pod: Uuid, rows: String) -> Result<u64> {
    let cancelled = tx.rows(tx.sql(CANCELLED).bind(rows.clone()).bind(pod)).await?;
    let end_of = |row: &Row| Ok(End::unstarted(row.get("id")?, CallState::Cancelled, CANCELLED_CALL.into()));
    let cancelled = cancelled.iter().map(end_of).collect::<Result<Vec<_>>>()?;
    // A release knows no retention: the next pruning does.
    let over = end(tx, RELEASE, &cancelled, i64::MAX).await?;
    Ok(over + tx.run(tx.sql(GIVE_BACK).bind(rows).bind(pod)).await?)
}
