//! The ends of calls: outcomes, leases that go on, leases that ended, and history that is old.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::counting::past;
use super::history::{End, Ended, FINISH, Part, end, record};
use super::logs::prune_logs;
use super::tx::{Row, Tx, after, batch, before, hex, kept, limit as rows_of, micros, run};
use super::{SqliteStore, history_gap, requeue};
use crate::id::PodId;
use crate::store::columns::Columns as _;
use crate::store::policy::ending_of;
use crate::store::{
    ACTIONS_KEPT, CallState, Finish, FinishStore, Finished, Held, Lease, Now, REPEATED, Renewed, Rescued,
    Result, Retention, Span, codec, records,
};

const RENEW: &str = "renew leases";

/// ?1 the claims, ?2 the pod, ?3 when the lease ends.
pub(super) const EXTEND: &str = "
UPDATE futurecall_call SET lease_until = ?3,
    started = started OR (id, claim_no) IN (
        SELECT unhex(value ->> 0), value ->> 1 FROM json_each(?1) WHERE value ->> 2)
WHERE rowid IN (
    SELECT c.rowid FROM json_each(?1) CROSS JOIN futurecall_call c
        ON c.id = unhex(value ->> 0) AND c.claimed_by = ?2 AND c.claim_no = value ->> 1)
RETURNING id, claim_no, cancel_requested";

const RESCUE: &str = "rescue the calls of vanished pods";

/// ?1 now, ?2 how many.
pub(super) const ENDED: &str = "
SELECT id, name, claimed_by AS pod, lease_until, started, on_vanish, vanish_after, vanished, cancel_requested
FROM futurecall_call WHERE claimed_by IS NOT NULL AND lease_until < ?1 ORDER BY lease_until, id LIMIT ?2 + 0";

const PRUNE: &str = "prune the history";

/// The first calls that are past their retention, lane by lane. ?1 the states with the moment before which each is old, ?2
/// how many.
macro_rules! old {
    () => {
        " FROM past CROSS JOIN json_each(?1) AS old ON old.value ->> 0 = past.state
    CROSS JOIN futurecall_finished f INDEXED BY futurecall_finished_at
        ON f.name = past.name AND f.state = past.state AND f.finished_at < old.value ->> 1
    LIMIT ?2 + 0)"
    };
}

/// Deletes [`old`] calls.
pub(super) const OLD: &str = concat!(
    "WITH RECURSIVE ",
    past!(),
    "
DELETE FROM futurecall_finished WHERE rowid IN (
    SELECT f.rowid",
    old!()
);

/// What was logged of the same ones.
pub(super) const UNREAD: &str = concat!(
    "WITH RECURSIVE ",
    past!(),
    "
DELETE FROM futurecall_log WHERE call_id IN (
    SELECT f.id",
    old!()
);

/// ?1 the moment before which an action is old, ?2 how many.
pub(super) const OLD_ACTIONS: &str = "
DELETE FROM futurecall_action WHERE id IN (
    SELECT id FROM futurecall_action WHERE at < ?1 ORDER BY at LIMIT ?2 + 0)";

/// ?1 the moment before which statistics are old, ?2 how many, ?3 of which span.
pub(super) const OLD_STATISTICS: &str = "
DELETE FROM futurecall_statistics WHERE span = ?3 AND (start, name, pod) IN (
    SELECT start, name, pod FROM futurecall_statistics WHERE span = ?3 AND start < ?1 ORDER BY start LIMIT ?2 + 0)";

#[async_trait]
impl FinishStore for SqliteStore {
    async fn renew(&self, now: Now, pod: PodId, held: &[Held], lease: Duration) -> Result<Vec<Renewed>> {
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let rows = claims(RENEW, held)?;
        let extended: HashMap<(Uuid, i64), bool> = run!(self.write, RENEW, now, |tx| {
            let until = after(tx.now, lease).as_micros();
            let rows = tx.rows(tx.sql(EXTEND).bind(rows).bind(pod.as_uuid()).bind(until)).await?;
            let extended =
                |row: &Row| Ok(((row.get("id")?, row.get("claim_no")?), row.get("cancel_requested")?));
            rows.iter().map(extended).collect()
        })
        .await?;
        let renewed = |one: &Held| match extended.get(&(one.id.as_uuid(), one.claim_no)) {
            Some(&cancelled) => Renewed { lease: Lease::Held, cancelled },
            None => Renewed { lease: Lease::Lost, cancelled: false },
        };
        Ok(held.iter().map(renewed).collect())
    }

    async fn finish(
        &self,
        now: Now,
        pod: PodId,
        finished: &[Finish],
        retention: &Retention,
    ) -> Result<Vec<Finished>> {
        if finished.is_empty() {
            return Ok(Vec::new());
        }
        let (mut over, mut again) = (Part::default(), Part::default());
        for (place, one) in finished.iter().enumerate() {
            let part = if one.outcome.is_again() { &mut again } else { &mut over };
            part.places.push(place);
            part.rows.push(Ended::of(one)?);
        }
        let (kept, count, pod) = (kept(retention), finished.len(), pod.as_uuid());
        let recorded = run!(self.write, FINISH, now, |tx| {
            let mut done = requeue::record(&mut tx, &mut over, again, pod).await?;
            done.append(&mut record(&mut tx, over, pod, kept).await?);
            Ok(done)
        })
        .await?;
        let mut became = vec![Finished::Lost; count];
        for (place, recorded) in recorded {
            if let Some(became) = became.get_mut(place) {
                *became = recorded;
            }
        }
        Ok(became)
    }

    async fn rescue(&self, now: Now, limit: usize, retention: &Retention) -> Result<Vec<Rescued>> {
        let kept = kept(retention);
        run!(self.write, RESCUE, now, |tx| rescue_some(&mut tx, limit, kept).await).await
    }

    async fn prune(&self, now: Now, retention: &Retention, limit: usize) -> Result<u64> {
        let retention = *retention;
        run!(self.write, PRUNE, now, |tx| {
            if !retention.outlasts_repetitions() {
                history_gap::note(&mut tx, REPEATED).await?;
            }
            let old: Vec<_> = CallState::ALL
                .into_iter()
                .filter_map(|state| Some((codec::state_code(state)?, before(tx.now, retention.of(state)))))
                .collect();
            let (old, limit) = (batch(PRUNE, &old)?, rows_of(limit));
            tx.run(tx.sql(OLD_ACTIONS).bind(before(tx.now, ACTIONS_KEPT)).bind(limit)).await?;
            for span in Span::ALL {
                let since = before(tx.now, span.kept());
                tx.run(tx.sql(OLD_STATISTICS).bind(since).bind(limit).bind(span.minutes())).await?;
            }
            tx.run(tx.sql(UNREAD).bind(old.clone()).bind(limit)).await?;
            let pruned = tx.run(tx.sql(OLD).bind(old).bind(limit)).await?;
            prune_logs(&mut tx, &retention, limit).await?;
            Ok(pruned)
        })
        .await
    }

    async fn note_history_gap(&self, now: Now, lasts: Duration) -> Result<()> {
        run!(self.write, history_gap::NOTING, now, |tx| history_gap::note(&mut tx, lasts).await).await
    }
}

/// Claims as the statements take them.
pub(super) fn claims(doing: &'static str, held: &[Held]) -> Result<String> {
    let rows: Vec<_> =
        held.iter().map(|one| (hex(one.id.as_uuid()), one.claim_no, i32::from(one.started))).collect();
    batch(doing, &rows)
}

async fn rescue_some(tx: &mut Tx<'_>, limit: usize, kept: i64) -> Result<Vec<Rescued>> {
    let ended = tx.rows(tx.sql(ENDED).bind(tx.now.as_micros()).bind(rows_of(limit))).await?;
    let (mut over, mut again, mut rescued) = (Vec::new(), Vec::new(), Vec::new());
    for row in &ended {
        let (id, name, vanished) = records::vanished(row)?;
        let ending = ending_of(&vanished);
        let rerun = ending.again_after.is_some();
        match ending.again_after {
            Some(after) => again.push(requeue::vanished(id, ending.error, vanished.started, micros(after))),
            None => over.push(End::of_claim(id, ending.state, ending.error)),
        }
        rescued.push(Rescued { id, name, pod: vanished.pod, rerun });
    }
    end(tx, RESCUE, &over, kept).await?;
    if !again.is_empty() {
        requeue::make_due(tx, RESCUE, &again).await?;
    }
    Ok(rescued)
}
