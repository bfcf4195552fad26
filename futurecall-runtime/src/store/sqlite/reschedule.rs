//! Moving what has not started, and storing once more what has ended.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::chunks::{CHUNK, gather, ids};
use super::tx::{Tx, after, micros, no_nul, run};
use super::{SqliteStore, history_gap};
use crate::error::StoreError;
use crate::id::CallId;
use crate::store::columns::Columns as _;
use crate::store::{CancelTarget, Due, Now, RescheduleStore, Rescheduled, Result, RunAgain};

const DOING: &str = "reschedule calls";

macro_rules! reschedule {
    ($target:literal) => {
        concat!(
            "
UPDATE futurecall_call SET due_at = max(coalesce(?3, ?2 + ?4), ?2),
    expires_at = iif(first_due_at IS NULL,
        min(max(coalesce(?3, ?2 + ?4), ?2) + expires_at - max(due_at, created_at), 253402300799999999), expires_at)
WHERE claimed_by IS NULL AND ",
            $target
        )
    };
}

/// Counts the runs, and the calls up to one more than a chunk has. ?1 the identifier, ?2 now.
pub(super) const COUNT: &str = "
SELECT count(*) AS found, count(*) FILTER (WHERE lease_until >= ?2) AS running
FROM (SELECT lease_until FROM futurecall_call WHERE identifier = ?1 LIMIT 2001)";

/// Moves what has not started. A call keeps the time within which it may start; one that is run again after an attempt is
/// bound by its policy. ?1 the identifier, ?2 now, ?3 the moment or ?4 the delay.
pub(super) const MOVE: &str = reschedule!("identifier = ?1");

/// The same of the calls ?1.
pub(super) const COUNT_CALLS: &str = "
SELECT count(*) AS running FROM futurecall_call
WHERE id IN (SELECT unhex(value) FROM json_each(?1)) AND lease_until >= ?2";

/// The same of the calls ?1.
pub(super) const MOVE_CALLS: &str = reschedule!("id IN (SELECT unhex(value) FROM json_each(?1))");

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

#[async_trait]
impl RescheduleStore for SqliteStore {
    async fn reschedule(
        &self,
        now: Now,
        target: &CancelTarget,
        due: Due,
        _soon: Duration,
    ) -> Result<Rescheduled> {
        let (mut total, left, due) = match target {
            CancelTarget::Identifier(identifier) => {
                no_nul(DOING, "an identifier", identifier)?;
                let identifier = identifier.clone();
                let first =
                    run!(self.write, DOING, now, |tx| move_identifier(&mut tx, &identifier, due).await);
                first.await?
            }
            CancelTarget::Call(id) => (Rescheduled::default(), vec![id.as_uuid()], due),
            CancelTarget::Calls(all) => {
                let all: BTreeSet<Uuid> = all.iter().map(CallId::as_uuid).collect();
                (Rescheduled::default(), all.into_iter().collect(), due)
            }
        };
        for chunk in left.chunks(CHUNK) {
            let which = ids(DOING, chunk)?;
            let moving =
                run!(self.write, DOING, now, |tx| move_them(&mut tx, [COUNT_CALLS, MOVE_CALLS], which, due)
                    .await);
            match moving.await {
                Ok(part) => {
                    total.calls = total.calls.saturating_add(part.calls);
                    total.running = total.running.saturating_add(part.running);
                }
                Err(error) if total == Rescheduled::default() => return Err(error),
                Err(error) => return Err(StoreError::partly(DOING, total.calls, 0, &error)),
            }
        }
        Ok(total)
    }

    async fn run_again(&self, now: Now, of: CallId, id: CallId, again: bool) -> Result<RunAgain> {
        let (of, id) = (of.as_uuid(), id.as_uuid());
        run!(self.write, AGAIN, now, |tx| {
            let found = tx.one(tx.sql(FIND).bind(of).bind(id)).await?;
            match (found.get("stored")?, found.get("pending")?, found.number("state")?) {
                (true, ..) => Ok(RunAgain::Stored),
                (_, true, _) => Ok(RunAgain::Pending),
                (_, _, None) => Ok(RunAgain::Unknown),
                (_, _, Some(1)) => Ok(RunAgain::Succeeded),
                (_, _, Some(_)) if again && history_gap::is_open(&mut tx).await? => Ok(RunAgain::Unknown),
                (_, _, Some(_)) => {
                    let now = tx.now.as_micros();
                    tx.run(tx.sql(STORE).bind(of).bind(id).bind(now)).await?;
                    Ok(RunAgain::Stored)
                }
            }
        })
        .await
    }
}

/// Moves the calls, or, where they are more than a chunk, says which they are, and to which moment they go together.
async fn move_identifier(
    tx: &mut Tx<'_>,
    identifier: &str,
    due: Due,
) -> Result<(Rescheduled, Vec<Uuid>, Due)> {
    let counted = tx.one(tx.sql(COUNT).bind(identifier.to_owned()).bind(tx.now.as_micros())).await?;
    if counted.get::<usize>("found")? > CHUNK {
        let due = match due {
            Due::At(moment) => moment,
            Due::After(delay) => after(tx.now, delay),
        };
        return Ok((Rescheduled::default(), gather(tx, identifier).await?, Due::At(due)));
    }
    let moved = move_them(tx, [COUNT, MOVE], identifier.to_owned(), due).await?;
    Ok((moved, Vec::new(), due))
}

async fn move_them(
    tx: &mut Tx<'_>,
    [count, update]: [&'static str; 2],
    which: String,
    due: Due,
) -> Result<Rescheduled> {
    let (moment, delay) = match due {
        Due::At(moment) => (Some(moment.as_micros()), None),
        Due::After(delay) => (None, Some(micros(delay))),
    };
    let now = tx.now.as_micros();
    let running = tx.one(tx.sql(count).bind(which.clone()).bind(now)).await?.get("running")?;
    let calls = tx.run(tx.sql(update).bind(which).bind(now).bind(moment).bind(delay)).await?;
    Ok(Rescheduled::new(calls, running))
}
