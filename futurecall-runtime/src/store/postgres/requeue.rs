//! Calls that are to run again after an attempt: due anew, with the attempt on record.
//!
//! Such a call keeps its row: `due_at` moves to the next attempt, because the due index is over it, and `first_due_at`
//! keeps the time that people see, and tells that a schedule's run has its successor. Past attempts are one JSON array on
//! the row (the newest 100) and move to the history with it, so that ending a call remains one statement.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use super::PostgresStore;
use super::connect::{commit, step, step_one};
use super::history::{FINISHING, Gone, History, Key, in_id_order, key};
use super::sql::{Row, ahead, at, micros};
use crate::id::PodId;
use crate::store::codec::{again_after, failures, outcome_state, state_code};
use crate::store::columns::Columns as _;
use crate::store::{Finish, Finished, Now, Result, Retention};

/// $1 ids. All at once, in the order in which a cancellation locks them: two statements follow.
const LOCK: &str =
    "SELECT c.id FROM futurecall.call AS c WHERE c.id = ANY ($1::uuid[]) ORDER BY c.id FOR UPDATE";

/// $2 pod, $3 ids and $4 to $10 what became of them. What was cancelled meanwhile is left to be ended.
const AGAIN: &str = "
    WITH locked AS MATERIALIZED (
        SELECT c.id, c.claim_no, c.cancel_requested, c.claimed_at + {span u.started_after} AS began,
            CASE WHEN u.started_after IS NOT NULL THEN u.ran_for END AS ran_for, u.state, u.said, u.after, u.failures
        FROM unnest($3::uuid[], $4::bigint[], $5::smallint[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[],
                $10::integer[])
            AS u(id, claim_no, state, said, started_after, ran_for, after, failures)
        JOIN futurecall.call AS c ON c.id = u.id AND c.claim_no = u.claim_no
        WHERE c.claimed_by = $2::uuid AND {few u.id} ORDER BY c.id FOR UPDATE OF c
    ), due AS (
        UPDATE futurecall.call AS c SET due_at = {lease l.after}, failures = c.failures + l.failures, {again}
        FROM locked AS l WHERE c.id = l.id AND NOT l.cancel_requested AND {few l.id}
        RETURNING c.id, c.name, c.priority, {us c.due_at} AS due
    )
    SELECT l.claim_no, d.id, d.name, d.priority, d.due, {now_us} AS now FROM locked AS l JOIN due AS d ON d.id = l.id";

/// $1 pod, $2 to $4 ids, claim numbers and states. Which of these attempts stand on record.
pub(super) const RECORDED_BEFORE: &str = "
    SELECT u.id, u.claim_no, false AS cancelled FROM unnest($2::uuid[], $3::bigint[], $4::smallint[]) AS u(id, claim_no, state)
    CROSS JOIN LATERAL (
        SELECT c.attempts FROM futurecall.call AS c WHERE c.id = u.id
        UNION ALL SELECT f.attempts FROM futurecall.finished AS f WHERE f.id = u.id
    ) AS known
    WHERE known.attempts @> jsonb_build_array(
        jsonb_build_object('pod', $1::uuid, 'claim_no', u.claim_no, 'state', u.state))";

impl PostgresStore {
    /// Records outcomes of which some let their call run again; gives those whose fence held, and what was recorded.
    pub(super) async fn finish_or_again(
        &self,
        now: Now,
        pod: PodId,
        finished: &[Finish],
        retention: &Retention,
    ) -> Result<HashMap<Key, Finished>> {
        let mut transaction = self.begin(FINISHING).await?;
        let ids: Vec<Uuid> = finished.iter().map(|finish| finish.id.as_uuid()).collect();
        step(FINISHING, &mut transaction, self.query(LOCK).bind(ids)).await?;
        let again: Vec<&Finish> = finished.iter().filter(|finish| finish.outcome.is_again()).collect();
        let due = self.make_due(&mut transaction, now, pod, &again).await?;
        let mut done: HashMap<_, _> =
            due.iter().map(|due| ((due.id, due.claim_no), Finished::Recorded)).collect();
        let over: Vec<&Finish> = finished.iter().filter(|finish| !done.contains_key(&key(finish))).collect();
        if !over.is_empty() {
            let over = in_id_order(over.into_iter());
            let query = self.finishing(now, pod, &over, retention, History::Any);
            let row = step_one(FINISHING, &mut transaction, query).await?;
            done.extend(Gone::read(&row, &over)?.of(&over));
        }
        commit(FINISHING, transaction).await?;
        for due in &due {
            self.lanes.due_again(&due.name, due.priority, due.due);
        }
        // Others hear only of what is due before they look by themselves; this pod knows it anyway.
        let soon =
            due.iter().filter(|due| due.due <= due.now.saturating_add(micros(SOON))).map(|due| due.due);
        if let Some(earliest) = soon.min() {
            self.notify(Some(earliest));
        }
        Ok(done)
    }

    async fn make_due(
        &self,
        connection: &mut PgConnection,
        now: Now,
        pod: PodId,
        again: &[&Finish],
    ) -> Result<Vec<DueAgain>> {
        let outcomes: Vec<_> = again.iter().map(|finish| outcome_state(&finish.outcome)).collect();
        let after = |finish: &&Finish| ahead(again_after(&finish.outcome).unwrap_or_default());
        let query = self
            .query(AGAIN)
            .bind(at(now))
            .bind(pod.as_uuid())
            .bind(again.iter().map(|finish| finish.id.as_uuid()).collect::<Vec<_>>())
            .bind(again.iter().map(|finish| finish.claim_no).collect::<Vec<_>>())
            .bind(outcomes.iter().map(|(state, _)| state_code(*state)).collect::<Vec<_>>())
            .bind(outcomes.iter().map(|(_, said)| said.map(str::to_owned)).collect::<Vec<_>>())
            .bind(again.iter().map(|finish| finish.started_after.map(ahead)).collect::<Vec<_>>())
            .bind(again.iter().map(|finish| micros(finish.ran_for)).collect::<Vec<_>>())
            .bind(again.iter().map(after).collect::<Vec<_>>())
            .bind(again.iter().map(|finish| failures(&finish.outcome)).collect::<Vec<_>>());
        let rows = step(FINISHING, connection, query).await?;
        rows.iter().map(DueAgain::read).collect()
    }
}

/// How soon a call must be due again for others to be told: they look by themselves about as often.
const SOON: Duration = Duration::from_secs(5);

/// A call that is due again.
struct DueAgain {
    id: Uuid,
    claim_no: i64,
    name: String,
    priority: i16,
    due: i64,
    now: i64,
}

impl DueAgain {
    fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            claim_no: row.get("claim_no")?,
            name: row.get("name")?,
            priority: row.get("priority")?,
            due: row.get("due")?,
            now: row.get("now")?,
        })
    }
}
