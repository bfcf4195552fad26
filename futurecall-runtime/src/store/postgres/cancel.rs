use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::PostgresStore;
use super::connect::{commit, step, step_one};
use super::encoding::{Spelled as _, is_refused};
use super::insert::lent;
use super::sql::{Row, at};
use super::timetable::Wanted;
use crate::error::StoreError;
use crate::id::CallId;
use crate::store::columns::Columns as _;
use crate::store::policy::reasons::CANCELLED;
use crate::store::transaction::TransactionRef;
use crate::store::{CallState, CancelStore, CancelTarget, Cancelled, Now, Result, Retention};

const DOING: &str = "cancel";

const DOING_IN: &str = "cancel in the transaction";

const DISCARDING: &str = "discard calls";

/// $1 identifier. Ended ones too: a declaration must not revive them between this statement and the next.
const SCHEDULES: &str = "
    SELECT s.id, s.state <> 2 AS live FROM futurecall.schedule AS s WHERE s.identifier = $1::text
    ORDER BY s.id FOR UPDATE";

/// $1 identifier, $2 schedules. Waits for claims under way, so that the next statement sees what became of them. A schedule
/// that was first declared after the statement before is not locked: its run is left to it, or it would have none.
const CALLS: &str = "
    SELECT c.id FROM futurecall.call AS c WHERE c.schedule_id = ANY ($2::uuid[]) OR (c.identifier = $1::text AND (c.schedule_id IS NULL
        OR NOT EXISTS (SELECT FROM futurecall.schedule AS s WHERE s.id = c.schedule_id AND s.id <> ALL ($2::uuid[]))))
    ORDER BY c.id FOR UPDATE";

/// $2 calls, $3 their reasons, $4 schedules to end, $5 whether cancelled calls are kept, $6 whether running ones are
/// flagged, $7 why schedules end.
const WITHDRAW: &str = "
    WITH ended AS (
        UPDATE futurecall.schedule AS s SET state = 2, reason = $7::text, updated_at = {now}
        WHERE s.id = ANY ($4::uuid[]) RETURNING s.id
    ), gone AS (
        DELETE FROM futurecall.call AS c WHERE c.id = ANY ($2::uuid[]) AND c.claimed_by IS NULL RETURNING c.*
    ), kept AS (
        {history} 4, g.attempt, NULL, NULL, NULL, NULL, {now}, u.reason
        FROM gone AS g JOIN unnest($2::uuid[], $3::text[]) AS u(id, reason) ON u.id = g.id
        WHERE $5::boolean ON CONFLICT (id) DO NOTHING
    ), flagged AS (
        UPDATE futurecall.call AS c SET cancel_requested = true
        WHERE $6::boolean AND c.id = ANY ($2::uuid[]) AND c.claimed_by IS NOT NULL RETURNING c.lease_until
    )
    SELECT (SELECT count(*) FROM gone AS g WHERE g.schedule_id IS NULL OR g.schedule_id <> ALL ($4::uuid[])) AS calls,
        (SELECT count(*) FROM ended) AS schedules,
        (SELECT count(*) FROM flagged AS f WHERE f.lease_until >= {now}) AS running,
        (SELECT count(*) FROM gone) + (SELECT count(*) FROM flagged) AS settled";

const SCHEDULES_OF: &str = "
    SELECT DISTINCT c.schedule_id FROM futurecall.call AS c
    WHERE c.id = ANY ($1::uuid[]) AND c.schedule_id IS NOT NULL";

const LOCK: &str = "
    SELECT c.id, c.claimed_by IS NULL AS waiting, c.schedule_id FROM futurecall.call AS c
    WHERE c.id = ANY ($1::uuid[]) ORDER BY c.id FOR UPDATE";

#[async_trait]
impl CancelStore for PostgresStore {
    async fn cancel(&self, now: Now, target: &CancelTarget, retention: &Retention) -> Result<Cancelled> {
        let mut transaction = self.begin(DOING).await?;
        let cancelled = self.cancel_on(DOING, &mut transaction, now, target, retention).await?;
        if cancelled == Cancelled::default() {
            commit(DOING, transaction).await?;
        } else {
            // What it counts can be counted once.
            self.commit_known(DOING, transaction).await?;
        }
        Ok(cancelled)
    }

    async fn cancel_in(
        &self,
        transaction: TransactionRef<'_>,
        target: &CancelTarget,
        retention: &Retention,
    ) -> Result<Cancelled> {
        let connection = lent(DOING_IN, transaction)?;
        // On a connection without a transaction each statement commits by itself.
        let is_open = connection.is_in_transaction();
        let cancelled = self.cancel_on(DOING_IN, connection, Now::Database, target, retention).await;
        if is_open { cancelled } else { cancelled.map_err(StoreError::perhaps_done) }
    }

    async fn discard(&self, now: Now, calls: &[(CallId, String)], retention: &Retention) -> Result<u64> {
        let done = self.discard_calls(now, calls, retention).await;
        if is_refused(&done) {
            return self.discard_calls(now, &calls.to_vec().in_ascii(), retention).await;
        }
        done
    }
}

impl PostgresStore {
    async fn discard_calls(
        &self,
        now: Now,
        calls: &[(CallId, String)],
        retention: &Retention,
    ) -> Result<u64> {
        let reasons: BTreeMap<Uuid, String> =
            calls.iter().map(|(id, reason)| (id.as_uuid(), reason.clone())).collect();
        let mut transaction = self.begin(DISCARDING).await?;
        let discarded =
            self.pass_over(DISCARDING, &mut transaction, now, reasons, retention, Running::LeftAlone).await?;
        commit(DISCARDING, transaction).await?;
        Ok(discarded.calls)
    }

    async fn cancel_on(
        &self,
        doing: &'static str,
        connection: &mut PgConnection,
        now: Now,
        target: &CancelTarget,
        retention: &Retention,
    ) -> Result<Cancelled> {
        match target {
            CancelTarget::Identifier(identifier) => {
                self.cancel_identifier(doing, connection, now, identifier, retention).await
            }
            CancelTarget::Call(id) => {
                let reasons = BTreeMap::from([(id.as_uuid(), CANCELLED.to_owned())]);
                self.pass_over(doing, connection, now, reasons, retention, Running::Flagged).await
            }
            CancelTarget::Calls(ids) => {
                let reasons = ids.iter().map(|id| (id.as_uuid(), CANCELLED.to_owned())).collect();
                self.pass_over(doing, connection, now, reasons, retention, Running::Flagged).await
            }
        }
    }

    async fn cancel_identifier(
        &self,
        doing: &'static str,
        connection: &mut PgConnection,
        now: Now,
        identifier: &str,
        retention: &Retention,
    ) -> Result<Cancelled> {
        let query = self.query(SCHEDULES).bind(identifier.to_owned());
        let rows = step(doing, connection, query).await?;
        let locked = column(&rows, "id")?;
        let live = rows.iter().map(|row| row.get("live")).collect::<Result<Vec<bool>>>()?;
        let schedules: Vec<Uuid> =
            locked.iter().zip(live).filter_map(|(id, is_live)| is_live.then_some(*id)).collect();
        let mut cancelled = Cancelled::default();
        // Twice at most where the application lent a connection without a transaction: there the locks do not last
        // until the next statement, and a call may be claimed in between.
        for _ in 0..3 {
            let query = self.query(CALLS).bind(identifier.to_owned()).bind(locked.clone());
            let calls = column(&step(doing, connection, query).await?, "id")?;
            let found = calls.len() as u64;
            let reasons = vec![CANCELLED.to_owned(); calls.len()];
            let withdrawn =
                Withdrawal { calls, reasons, schedules: schedules.clone(), running: Running::Flagged };
            let (part, settled) = self.withdraw(doing, connection, now, withdrawn, retention).await?;
            cancelled = Cancelled::new(
                cancelled.calls + part.calls,
                cancelled.schedules.max(part.schedules),
                cancelled.running.max(part.running),
            );
            if settled >= found {
                break;
            }
        }
        Ok(cancelled)
    }

    /// Records unclaimed calls as cancelled; the schedules that they belong to go on.
    async fn pass_over(
        &self,
        doing: &'static str,
        connection: &mut PgConnection,
        now: Now,
        mut reasons: BTreeMap<Uuid, String>,
        retention: &Retention,
        running: Running,
    ) -> Result<Cancelled> {
        let all: Vec<Uuid> = reasons.keys().copied().collect();
        let rows = step(doing, connection, self.query(SCHEDULES_OF).bind(all.clone())).await?;
        let schedules: Vec<Uuid> = column(&rows, "schedule_id")?;
        let timetable = if schedules.is_empty() {
            None
        } else {
            let now = self.moment_of(doing, connection, now).await?;
            Some(self.lock_timetable(doing, connection, now, Wanted::Ids(&schedules)).await?)
        };
        let rows = step(doing, connection, self.query(LOCK).bind(all)).await?;
        let found: BTreeSet<Uuid> = column(&rows, "id")?.into_iter().collect();
        reasons.retain(|id, _| found.contains(id));
        if let Some(mut timetable) = timetable {
            for row in &rows {
                if let (true, Some(schedule)) = (row.get("waiting")?, row.find("schedule_id")?) {
                    // Where the rule cannot be told, a pod of the release that wrote it stores the next run.
                    let _ = timetable.succeed(schedule, row.get("id")?);
                }
            }
            let now = timetable.now();
            self.write_changes(doing, connection, now, timetable.into_changes(), true).await?;
        }
        let (calls, reasons) = reasons.into_iter().unzip();
        let withdrawn = Withdrawal { calls, reasons, schedules: Vec::new(), running };
        let (cancelled, _) = self.withdraw(doing, connection, now, withdrawn, retention).await?;
        Ok(cancelled)
    }

    /// Deletes what is not claimed and flags what is; also says how many calls that were.
    async fn withdraw(
        &self,
        doing: &'static str,
        connection: &mut PgConnection,
        now: Now,
        withdrawal: Withdrawal,
        retention: &Retention,
    ) -> Result<(Cancelled, u64)> {
        if withdrawal.calls.is_empty() && withdrawal.schedules.is_empty() {
            return Ok((Cancelled::default(), 0));
        }
        let query = self
            .query(WITHDRAW)
            .bind(at(now))
            .bind(withdrawal.calls)
            .bind(withdrawal.reasons)
            .bind(withdrawal.schedules)
            .bind(!retention.of(CallState::Cancelled).is_zero())
            .bind(withdrawal.running == Running::Flagged)
            .bind(CANCELLED);
        let row = step_one(doing, connection, query).await?;
        let cancelled = Cancelled::new(row.get("calls")?, row.get("schedules")?, row.get("running")?);
        Ok((cancelled, row.get("settled")?))
    }
}

/// What is taken back.
struct Withdrawal {
    calls: Vec<Uuid>,
    reasons: Vec<String>,
    schedules: Vec<Uuid>,
    running: Running,
}

/// What happens to those of the calls that are claimed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Running {
    /// They are told to stop.
    Flagged,
    /// Nothing.
    LeftAlone,
}

fn column(rows: &[Row], name: &str) -> Result<Vec<Uuid>> {
    rows.iter().map(|row| row.get(name)).collect()
}
