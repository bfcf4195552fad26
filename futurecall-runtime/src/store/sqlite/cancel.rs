//! Removing what has not started, ending schedules, flagging what runs.

use std::collections::{BTreeSet, HashSet};

use async_trait::async_trait;
use uuid::Uuid;

use super::chunks::{CHUNK, gather, ids};
use super::history::{End, end, to_history};
use super::timetable::{Wanted, load, write};
use super::tx::{Row, Savepoint, Tx, batch, hex, kept, lent, no_nul, run};
use super::{SqliteStore, history_gap};
use crate::error::StoreError;
use crate::id::{CallId, ScheduleId};
use crate::moment::Moment;
use crate::store::columns::Columns as _;
use crate::store::policy::reasons::CANCELLED;
use crate::store::transaction::TransactionRef;
use crate::store::{CallState, CancelStore, CancelTarget, Cancelled, Now, REPEATED, Result, Retention};

const DOING: &str = "cancel calls";

/// ?1 the identifier, ?2 now, ?3 why. The first statement writes, so that the application's transaction takes the file's lock
/// at once, instead of reading what another one is about to change.
const END_SCHEDULES: &str = "
UPDATE futurecall_schedule SET state = 2, reason = ?3, updated_at = ?2
WHERE identifier = ?1 AND state <> 2
RETURNING id";

/// Counts up to one call more than a chunk has. ?1 the identifier, ?2 now, ?3 the schedules that ended with it, whose calls
/// count with them.
pub(super) const COUNT: &str = "
SELECT count(*) AS found,
    count(*) FILTER (WHERE claimed_by IS NULL
        AND (schedule_id IS NULL OR schedule_id NOT IN (SELECT unhex(value) FROM json_each(?3)))) AS calls,
    count(*) FILTER (WHERE lease_until >= ?2) AS running
FROM (SELECT claimed_by, schedule_id, lease_until FROM futurecall_call WHERE identifier = ?1 LIMIT 2001)";

/// ?1 the identifier.
pub(super) const FLAG: &str = "
UPDATE futurecall_call SET cancel_requested = 1 WHERE identifier = ?1 AND claimed_by IS NOT NULL";

/// ?1 the identifier, ?2 now, ?3 which states the history keeps, ?4 why.
pub(super) const RECORD: &str = to_history!(
    "
    4, c.attempt, NULL, NULL, NULL, NULL, ?2, ?4
FROM futurecall_call c WHERE c.identifier = ?1 AND c.claimed_by IS NULL AND ?3 >> 4 & 1
ON CONFLICT (id) DO NOTHING"
);

/// ?1 the identifier.
pub(super) const REMOVE: &str = "DELETE FROM futurecall_call WHERE identifier = ?1 AND claimed_by IS NULL";

/// Flags what is claimed, and says whose lease lasts. Found among the claimed calls, because there are fewer of them than
/// of the identifier. ?1 the identifier.
pub(super) const FLAG_CLAIMED: &str = "
UPDATE futurecall_call SET cancel_requested = 1 WHERE rowid IN (
    SELECT rowid FROM futurecall_call INDEXED BY futurecall_call_claimed
    WHERE claimed_by IS NOT NULL AND lease_until >= 0 AND identifier = ?1)
RETURNING id, lease_until";

/// The next runs of the schedules ?1.
pub(super) const RUNS: &str = "
SELECT id FROM futurecall_call
WHERE schedule_id IN (SELECT unhex(value) FROM json_each(?1)) AND claimed_by IS NULL";

/// ?1 the calls.
pub(super) const FLAG_CALLS: &str = "
UPDATE futurecall_call SET cancel_requested = 1
WHERE id IN (SELECT unhex(value) FROM json_each(?1)) AND claimed_by IS NOT NULL
RETURNING lease_until";

/// ?1 the calls, ?2 now, ?3 which states the history keeps, ?4 why.
pub(super) const RECORD_CALLS: &str = to_history!(
    "
    4, c.attempt, NULL, NULL, NULL, NULL, ?2, ?4
FROM json_each(?1) CROSS JOIN futurecall_call c ON c.id = unhex(value)
WHERE c.claimed_by IS NULL AND ?3 >> 4 & 1
ON CONFLICT (id) DO NOTHING"
);

/// ?1 the calls.
pub(super) const REMOVE_CALLS: &str = "
DELETE FROM futurecall_call WHERE id IN (SELECT unhex(value) FROM json_each(?1)) AND claimed_by IS NULL";

const DISCARD: &str = "discard broken calls";

/// ?1 the calls with their reasons.
pub(super) const UNCLAIMED: &str = "
SELECT c.id, c.schedule_id, value ->> 1 AS reason
FROM json_each(?1) CROSS JOIN futurecall_call c ON c.id = unhex(value ->> 0)
WHERE c.claimed_by IS NULL";

#[async_trait]
impl CancelStore for SqliteStore {
    async fn cancel(&self, now: Now, target: &CancelTarget, retention: &Retention) -> Result<Cancelled> {
        check(target)?;
        let kept = kept(retention);
        let (mut total, left) = match target {
            CancelTarget::Identifier(identifier) => {
                let identifier = identifier.clone();
                let first =
                    run!(self.write, DOING, now, |tx| cancel_identifier(&mut tx, &identifier, kept).await);
                first.await?
            }
            CancelTarget::Call(_) | CancelTarget::Calls(_) => (Cancelled::default(), Left::of(target)),
        };
        for chunk in left.chunks() {
            let cancelling = run!(self.write, DOING, now, |tx| cancel_chunk(&mut tx, chunk, kept).await);
            match cancelling.await {
                Ok(part) => add(&mut total, part),
                Err(error) if total == Cancelled::default() => return Err(error),
                Err(error) => return Err(StoreError::partly(DOING, total.calls, total.schedules, &error)),
            }
        }
        Ok(total)
    }

    async fn cancel_in(
        &self,
        transaction: TransactionRef<'_>,
        target: &CancelTarget,
        retention: &Retention,
    ) -> Result<Cancelled> {
        self.check(DOING)?;
        let connection = lent(DOING, transaction)?;
        check(target)?;
        let kept = kept(retention);
        let mut savepoint = Savepoint::set(connection, DOING).await?;
        let mut tx = Tx::lent(savepoint.connection(), self.tables.clone(), DOING);
        if retention.cancelled < REPEATED {
            // Here, because nobody else can write it while the application's transaction holds the file's lock.
            history_gap::note(&mut tx, REPEATED).await?;
        }
        let (mut total, left) = match target {
            CancelTarget::Identifier(identifier) => cancel_identifier(&mut tx, identifier, kept).await?,
            CancelTarget::Call(_) | CancelTarget::Calls(_) => (Cancelled::default(), Left::of(target)),
        };
        for chunk in left.chunks() {
            add(&mut total, cancel_chunk(&mut tx, chunk, kept).await?);
        }
        savepoint.keep().await?;
        Ok(total)
    }

    async fn discard(&self, now: Now, calls: &[(CallId, String)], retention: &Retention) -> Result<u64> {
        if calls.is_empty() {
            return Ok(0);
        }
        for (_, reason) in calls {
            no_nul(DISCARD, "a reason", reason)?;
        }
        let (calls, kept) = (calls.to_vec(), kept(retention));
        run!(self.write, DISCARD, now, |tx| {
            let calls: Vec<_> =
                calls.iter().map(|(id, reason)| (hex(id.as_uuid()), reason.as_str())).collect();
            give_up(&mut tx, DISCARD, &calls, kept).await
        })
        .await
    }
}

/// What is still to be cancelled.
#[derive(Debug, Default)]
struct Left {
    calls: Vec<Uuid>,
    /// Whether they are cancelled with their identifier, and thus with the schedules that they are runs of.
    with_identifier: bool,
}

impl Left {
    fn of(target: &CancelTarget) -> Self {
        let ids: BTreeSet<Uuid> = match target {
            CancelTarget::Identifier(_) => BTreeSet::new(),
            CancelTarget::Call(id) => BTreeSet::from([id.as_uuid()]),
            CancelTarget::Calls(ids) => ids.iter().map(CallId::as_uuid).collect(),
        };
        Self { calls: ids.into_iter().collect(), with_identifier: false }
    }

    fn chunks(&self) -> impl Iterator<Item = Self> {
        let chunk = |calls: &[Uuid]| Self { calls: calls.to_vec(), with_identifier: self.with_identifier };
        self.calls.chunks(CHUNK).map(chunk)
    }
}

fn add(total: &mut Cancelled, part: Cancelled) {
    total.calls = total.calls.saturating_add(part.calls);
    total.running = total.running.saturating_add(part.running);
}

async fn cancel_chunk(tx: &mut Tx<'_>, chunk: Left, kept: i64) -> Result<Cancelled> {
    let running = flag(tx, &chunk.calls).await?;
    if chunk.with_identifier {
        return Ok(Cancelled::new(remove(tx, &chunk.calls, kept).await?, 0, running));
    }
    let calls: Vec<_> = chunk.calls.into_iter().map(|id| (hex(id), CANCELLED)).collect();
    Ok(Cancelled::new(give_up(tx, DOING, &calls, kept).await?, 0, running))
}

fn check(target: &CancelTarget) -> Result<()> {
    match target {
        CancelTarget::Identifier(identifier) => no_nul(DOING, "an identifier", identifier),
        CancelTarget::Call(_) | CancelTarget::Calls(_) => Ok(()),
    }
}

/// Ends the schedules and cancels the calls, or, where these are more than a chunk, flags those that are claimed, cancels
/// the next runs of the schedules that ended, and says which calls are left.
async fn cancel_identifier(tx: &mut Tx<'_>, identifier: &str, kept: i64) -> Result<(Cancelled, Left)> {
    let now = tx.now.as_micros();
    let schedules =
        tx.rows(tx.sql(END_SCHEDULES).bind(identifier.to_owned()).bind(now).bind(CANCELLED)).await?;
    let ended = batch(DOING, &uuids(&schedules)?.into_iter().map(hex).collect::<Vec<_>>())?;
    let counted = tx.one(tx.sql(COUNT).bind(identifier.to_owned()).bind(now).bind(ended.clone())).await?;
    if counted.get::<usize>("found")? > CHUNK {
        let (running, left) = cancel_first(tx, identifier, ended, kept).await?;
        return Ok((Cancelled::new(0, schedules.len() as u64, running), left));
    }
    let cancelled = Cancelled::new(counted.get("calls")?, schedules.len() as u64, counted.get("running")?);
    tx.run(tx.sql(FLAG).bind(identifier.to_owned())).await?;
    let recording = tx.sql(RECORD).bind(identifier.to_owned()).bind(now).bind(kept).bind(CANCELLED);
    tx.run(recording).await?;
    tx.run(tx.sql(REMOVE).bind(identifier.to_owned())).await?;
    Ok((cancelled, Left::default()))
}

/// What of many calls may not wait for the next chunk. Returns how many calls run, and what is left.
async fn cancel_first(tx: &mut Tx<'_>, identifier: &str, ended: String, kept: i64) -> Result<(u64, Left)> {
    let claimed = tx.rows(tx.sql(FLAG_CLAIMED).bind(identifier.to_owned())).await?;
    let running = live(tx, &claimed)?;
    let runs = uuids(&tx.rows(tx.sql(RUNS).bind(ended)).await?)?;
    remove(tx, &runs, kept).await?;
    let done: HashSet<Uuid> = uuids(&claimed)?.into_iter().chain(runs).collect();
    let mut calls = gather(tx, identifier).await?;
    calls.retain(|id| !done.contains(id));
    Ok((running, Left { calls, with_identifier: true }))
}

/// Flags those of the calls that are claimed; returns how many of them run.
async fn flag(tx: &mut Tx<'_>, calls: &[Uuid]) -> Result<u64> {
    let claimed = tx.rows(tx.sql(FLAG_CALLS).bind(ids(DOING, calls)?)).await?;
    live(tx, &claimed)
}

/// How many of the claimed calls are still believed to run.
fn live(tx: &Tx<'_>, claimed: &[Row]) -> Result<u64> {
    let until = claimed.iter().map(|row| row.get("lease_until")).collect::<Result<Vec<Moment>>>()?;
    Ok(until.into_iter().filter(|until| *until >= tx.now).count() as u64)
}

fn uuids(rows: &[Row]) -> Result<Vec<Uuid>> {
    rows.iter().map(|row| row.get("id")).collect()
}

/// Records those of the calls as cancelled that nobody has claimed; no schedule goes on for it. Returns how many.
async fn remove(tx: &mut Tx<'_>, calls: &[Uuid], kept: i64) -> Result<u64> {
    if calls.is_empty() {
        return Ok(0);
    }
    let (calls, now) = (ids(DOING, calls)?, tx.now.as_micros());
    tx.run(tx.sql(RECORD_CALLS).bind(calls.clone()).bind(now).bind(kept).bind(CANCELLED)).await?;
    tx.run(tx.sql(REMOVE_CALLS).bind(calls)).await
}

/// Cancels single calls that nobody has claimed; the schedules that they are runs of go on.
async fn give_up(
    tx: &mut Tx<'_>,
    doing: &'static str,
    calls: &[(uuid::fmt::Simple, &str)],
    kept: i64,
) -> Result<u64> {
    let rows = tx.rows(tx.sql(UNCLAIMED).bind(batch(doing, calls)?)).await?;
    let (mut ends, mut runs) = (Vec::new(), Vec::new());
    for row in &rows {
        let id = row.get("id")?;
        ends.push(End::unstarted(id, CallState::Cancelled, row.get("reason")?));
        if let Some(schedule) = row.find("schedule_id")? {
            runs.push((schedule, id));
        }
    }
    if !runs.is_empty() {
        let schedules: BTreeSet<Uuid> = runs.iter().map(|(schedule, _)| *schedule).collect();
        let schedules: Vec<Uuid> = schedules.into_iter().collect();
        let mut timetable = load(tx, doing, Wanted::Ids(&schedules), &[]).await?;
        for (schedule, id) in runs {
            // Where the rule cannot be told, a pod of the release that wrote it stores the next run.
            let _ = timetable.succeed(ScheduleId::from_uuid(schedule), id);
        }
        write(tx, doing, timetable.into_changes(), kept).await?;
    }
    end(tx, doing, &ends, kept).await
}
