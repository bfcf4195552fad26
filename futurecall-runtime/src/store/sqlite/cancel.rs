//! Removing what has not started, ending schedules, flagging what runs.

use std::collections::BTreeSet;

use sqlx::SqliteConnection;

use super::SqliteStore;
use super::connect::Tables;
use super::finish::{End, end, to_history};
use super::schedule::{Run, go_on};
use super::tx::{Savepoint, Tx, batch, hex, kept, moment_in, no_nul, number, text, uuid};
use crate::error::StoreError;
use crate::id::{CallId, ScheduleId};
use crate::store::{CallState, CancelTarget, Cancelled, Now, Retention};

const DOING: &str = "cancel calls";

pub(super) async fn cancel(
    store: &SqliteStore,
    now: Now,
    target: &CancelTarget,
    retention: &Retention,
) -> Result<Cancelled, StoreError> {
    check(target)?;
    let (target, kept) = (target.clone(), kept(retention));
    store
        .write(DOING, now, move |mut tx| Box::pin(async move { cancel_target(&mut tx, &target, kept).await }))
        .await
}

pub(super) async fn cancel_in(
    tables: &Tables,
    connection: &mut SqliteConnection,
    target: &CancelTarget,
    retention: &Retention,
) -> Result<Cancelled, StoreError> {
    check(target)?;
    let mut savepoint = Savepoint::set(connection, DOING).await?;
    let mut tx = Tx::lent(savepoint.connection(), tables.clone(), DOING);
    let misfits = tx.misfits();
    let cancelled = cancel_target(&mut tx, target, kept(retention)).await?;
    misfits.check(DOING)?;
    savepoint.keep().await?;
    Ok(cancelled)
}

fn check(target: &CancelTarget) -> Result<(), StoreError> {
    match target {
        CancelTarget::Identifier(identifier) => no_nul(DOING, "an identifier", identifier),
        CancelTarget::Call(_) | CancelTarget::Calls(_) => Ok(()),
    }
}

async fn cancel_target(tx: &mut Tx<'_>, target: &CancelTarget, kept: i64) -> Result<Cancelled, StoreError> {
    match target {
        CancelTarget::Identifier(identifier) => cancel_identifier(tx, identifier, kept).await,
        CancelTarget::Call(id) => cancel_calls(tx, BTreeSet::from([*id]), kept).await,
        CancelTarget::Calls(ids) => {
            let ids: BTreeSet<CallId> = ids.iter().copied().collect();
            cancel_calls(tx, ids, kept).await
        }
    }
}

/// ?1 the identifier, ?2 now. The first statement writes, so that the application's transaction takes the file's lock
/// at once, instead of reading what another one is about to change.
const END_SCHEDULES: &str = "
UPDATE futurecall_schedule SET state = 2, reason = 'cancelled', updated_at = ?2
WHERE identifier = ?1 AND state <> 2
RETURNING id";

/// ?1 the identifier, ?2 now, ?3 the schedules that ended with it, whose calls count with them.
pub(super) const COUNT: &str = "
SELECT count(*) FILTER (WHERE claimed_by IS NULL
        AND (schedule_id IS NULL OR schedule_id NOT IN (SELECT unhex(value) FROM json_each(?3)))) AS calls,
    count(*) FILTER (WHERE lease_until >= ?2) AS running
FROM futurecall_call WHERE identifier = ?1";

/// ?1 the identifier.
pub(super) const FLAG: &str = "
UPDATE futurecall_call SET cancel_requested = 1 WHERE identifier = ?1 AND claimed_by IS NOT NULL";

/// ?1 the identifier, ?2 now, ?3 which states the history keeps.
pub(super) const RECORD: &str = to_history!(
    "
    4, c.attempt, NULL, NULL, NULL, NULL, ?2, 'cancelled'
FROM futurecall_call c WHERE c.identifier = ?1 AND c.claimed_by IS NULL AND ?3 >> 4 & 1
ON CONFLICT (id) DO NOTHING"
);

/// ?1 the identifier.
pub(super) const REMOVE: &str = "DELETE FROM futurecall_call WHERE identifier = ?1 AND claimed_by IS NULL";

async fn cancel_identifier(tx: &mut Tx<'_>, identifier: &str, kept: i64) -> Result<Cancelled, StoreError> {
    let now = tx.now.as_micros();
    let schedules = tx.rows(tx.sql(END_SCHEDULES).bind(identifier.to_owned()).bind(now)).await?;
    let ended: Vec<_> = schedules.iter().filter_map(|row| uuid(row, "id")).map(hex).collect();
    let ended = batch(DOING, &ended)?;
    let counted = tx.row(tx.sql(COUNT).bind(identifier.to_owned()).bind(now).bind(ended)).await?;
    let count = |column| {
        counted
            .as_ref()
            .and_then(|row| number(row, column))
            .and_then(|count| u64::try_from(count).ok())
            .unwrap_or(0)
    };
    let cancelled = Cancelled::new(count("calls"), schedules.len() as u64, count("running"));
    tx.run(tx.sql(FLAG).bind(identifier.to_owned())).await?;
    tx.run(tx.sql(RECORD).bind(identifier.to_owned()).bind(now).bind(kept)).await?;
    tx.run(tx.sql(REMOVE).bind(identifier.to_owned())).await?;
    Ok(cancelled)
}

/// ?1 the calls.
pub(super) const FLAG_CALLS: &str = "
UPDATE futurecall_call SET cancel_requested = 1
WHERE id IN (SELECT unhex(value) FROM json_each(?1)) AND claimed_by IS NOT NULL
RETURNING lease_until";

/// Cancels single calls. Of a schedule, each is one run: its successor comes all the same.
async fn cancel_calls(tx: &mut Tx<'_>, ids: BTreeSet<CallId>, kept: i64) -> Result<Cancelled, StoreError> {
    let ids: Vec<_> = ids.into_iter().map(|id| hex(id.as_uuid())).collect();
    let claimed = tx.rows(tx.sql(FLAG_CALLS).bind(batch(DOING, &ids)?)).await?;
    let is_live = |row: &&_| moment_in(row, "lease_until").is_some_and(|until| until >= tx.now);
    let running = claimed.iter().filter(is_live).count() as u64;
    let calls: Vec<_> = ids.into_iter().map(|id| (id, "cancelled")).collect();
    Ok(Cancelled::new(give_up(tx, DOING, &calls, kept).await?, 0, running))
}

const DISCARD: &str = "discard broken calls";

pub(super) async fn discard(
    store: &SqliteStore,
    now: Now,
    calls: &[(CallId, String)],
    retention: &Retention,
) -> Result<u64, StoreError> {
    if calls.is_empty() {
        return Ok(0);
    }
    for (_, reason) in calls {
        no_nul(DISCARD, "a reason", reason)?;
    }
    let (calls, kept) = (calls.to_vec(), kept(retention));
    store
        .write(DISCARD, now, move |mut tx| {
            Box::pin(async move {
                let calls: Vec<_> =
                    calls.iter().map(|(id, reason)| (hex(id.as_uuid()), reason.as_str())).collect();
                give_up(&mut tx, DISCARD, &calls, kept).await
            })
        })
        .await
}

/// ?1 the calls with their reasons.
pub(super) const UNCLAIMED: &str = "
SELECT c.id, c.schedule_id, c.due_at, value ->> 1 AS reason
FROM json_each(?1) CROSS JOIN futurecall_call c ON c.id = unhex(value ->> 0)
WHERE c.claimed_by IS NULL";

/// Cancels single calls that nobody has claimed; the schedules that they are runs of go on.
async fn give_up(
    tx: &mut Tx<'_>,
    doing: &'static str,
    calls: &[(uuid::fmt::Simple, &str)],
    kept: i64,
) -> Result<u64, StoreError> {
    let rows = tx.rows(tx.sql(UNCLAIMED).bind(batch(doing, calls)?)).await?;
    let (mut ends, mut runs) = (Vec::new(), Vec::new());
    for row in &rows {
        let Some(id) = uuid(row, "id").map(CallId::from_uuid) else { continue };
        ends.push(End::unstarted(id, CallState::Cancelled, text(row, "reason").unwrap_or_default()));
        if let (Some(schedule), Some(due)) = (uuid(row, "schedule_id"), moment_in(row, "due_at")) {
            runs.push(Run { id, schedule: ScheduleId::from_uuid(schedule), due });
        }
    }
    go_on(tx, doing, &runs).await?;
    end(tx, doing, &ends, kept).await
}
