//! Moving what has not started, and storing once more what has ended.

use super::SqliteStore;
use super::tx::{Tx, batch, hex, micros, no_nul, number};
use crate::error::StoreError;
use crate::id::CallId;
use crate::store::{CancelTarget, Due, Now, Rescheduled, RunAgain};

const DOING: &str = "reschedule calls";

macro_rules! reschedule {
    ($target:literal) => {
        [
            concat!(
                "SELECT count(*) AS running FROM futurecall_call WHERE ",
                $target,
                " AND lease_until >= ?2"
            ),
            concat!(
                "
UPDATE futurecall_call SET due_at = max(coalesce(?3, ?2 + ?4), ?2),
    expires_at = iif(first_due_at IS NULL,
        min(max(coalesce(?3, ?2 + ?4), ?2) + expires_at - max(due_at, created_at), 253402300799999999), expires_at)
WHERE claimed_by IS NULL AND ",
                $target
            ),
        ]
    };
}

/// What counts the runs, and what moves the rest. A call keeps the time within which it may start; one that is run again
/// after an attempt is bound by its policy.
///
/// ?1 the identifier, ?2 now, ?3 the moment or ?4 the delay.
pub(super) const BY_IDENTIFIER: [&str; 2] = reschedule!("identifier = ?1");

/// ?1 the calls, and as above.
pub(super) const BY_ID: [&str; 2] = reschedule!("id IN (SELECT unhex(value) FROM json_each(?1))");

pub(super) async fn reschedule(
    store: &SqliteStore,
    now: Now,
    target: &CancelTarget,
    due: Due,
) -> Result<Rescheduled, StoreError> {
    if let CancelTarget::Identifier(identifier) = target {
        no_nul(DOING, "an identifier", identifier)?;
    }
    let target = target.clone();
    store
        .write(DOING, now, move |mut tx| Box::pin(async move { move_all(&mut tx, &target, due).await }))
        .await
}

async fn move_all(tx: &mut Tx<'_>, target: &CancelTarget, due: Due) -> Result<Rescheduled, StoreError> {
    let (moment, delay) = match due {
        Due::At(moment) => (Some(moment.as_micros()), None),
        Due::After(delay) => (None, Some(micros(delay))),
    };
    let ids = |ids: &[CallId]| {
        let ids: Vec<_> = ids.iter().map(|id| hex(id.as_uuid())).collect();
        batch(DOING, &ids)
    };
    let ([count, update], which) = match target {
        CancelTarget::Identifier(identifier) => (BY_IDENTIFIER, identifier.clone()),
        CancelTarget::Call(id) => (BY_ID, ids(&[*id])?),
        CancelTarget::Calls(all) => (BY_ID, ids(all)?),
    };
    let now = tx.now.as_micros();
    let running = tx.row(tx.sql(count).bind(which.clone()).bind(now)).await?;
    let running = running.and_then(|row| number(&row, "running")).unwrap_or(0);
    let calls = tx.run(tx.sql(update).bind(which).bind(now).bind(moment).bind(delay)).await?;
    Ok(Rescheduled::new(calls, u64::try_from(running).unwrap_or(0)))
}

const AGAIN: &str = "run the call again";

/// ?1 the old call, ?2 the new one.
pub(super) const FIND: &str = "
SELECT EXISTS (SELECT 1 FROM futurecall_call WHERE id = ?1) AS pending,
    (SELECT state FROM futurecall_finished WHERE id = ?1) AS state,
    EXISTS (SELECT 1 FROM futurecall_call WHERE id = ?2) OR EXISTS (SELECT 1 FROM futurecall_finished WHERE id = ?2)
        AS stored";

/// ?1 the old call, ?2 the new one, ?3 now.
pub(super) const STORE: &str = "
INSERT INTO futurecall_call (id, name, priority, due_at, identifier, args, format, rerun_of, traceparent, created_at)
SELECT ?2, name, priority, ?3, identifier, args, format, id, traceparent, ?3 FROM futurecall_finished WHERE id = ?1";

pub(super) async fn run_again(
    store: &SqliteStore,
    now: Now,
    of: CallId,
    id: CallId,
) -> Result<RunAgain, StoreError> {
    let (of, id) = (of.as_uuid(), id.as_uuid());
    store
        .write(AGAIN, now, move |mut tx| {
            Box::pin(async move {
                let found = tx.row(tx.sql(FIND).bind(of).bind(id)).await?;
                let column = |column| found.as_ref().and_then(|row| number(row, column));
                match (column("stored"), column("pending"), column("state")) {
                    (Some(1), ..) => Ok(RunAgain::Stored),
                    (_, Some(1), _) => Ok(RunAgain::Pending),
                    (_, _, None) => Ok(RunAgain::Unknown),
                    (_, _, Some(1)) => Ok(RunAgain::Succeeded),
                    (_, _, Some(_)) => {
                        let now = tx.now.as_micros();
                        tx.run(tx.sql(STORE).bind(of).bind(id).bind(now)).await?;
                        Ok(RunAgain::Stored)
                    }
                }
            })
        })
        .await
}
