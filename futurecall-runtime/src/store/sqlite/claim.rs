//! Taking due calls, finding what a claim took, and giving calls back.

use std::collections::{HashMap, HashSet};

use sqlx::sqlite::SqliteRow;
use uuid::Uuid;
use uuid::fmt::Simple;

use super::SqliteStore;
use super::finish::{End, claims, end};
use super::schedule::{settle, waits};
use super::tx::{
    Tx, after, batch, flag, hex, kept, limit as rows_of, moment_in, no_nul, number, small, text, uuid,
};
use crate::error::StoreError;
use crate::id::{CallId, PodId, ScheduleId};
use crate::moment::Moment;
use crate::store::{CallState, Claim, ClaimRequest, ClaimedCall, Held, Now, OnVanish, codec};

const CLAIM: &str = "claim calls";

/// The lanes of the names ?1 that hold unclaimed calls: one step down the due index for each, so that neither other
/// names nor calls that are not due are walked.
macro_rules! lanes {
    ($rest:literal) => {
        concat!(
            "
WITH RECURSIVE lane (name, priority) AS (
    SELECT value, (SELECT c.priority FROM futurecall_call c
        WHERE c.claimed_by IS NULL AND c.name = asked.value ORDER BY c.priority LIMIT 1) FROM json_each(?1) AS asked
    UNION ALL
    SELECT name, (SELECT c.priority FROM futurecall_call c
        WHERE c.claimed_by IS NULL AND c.name = lane.name AND c.priority > lane.priority ORDER BY c.priority LIMIT 1)
    FROM lane WHERE priority IS NOT NULL
)",
            $rest
        )
    };
}

/// ?1 the names, ?2 the moment by which they are due (of schedules: ?7), ?3 how many, ?4 the calls passed over,
/// ?5 the pod, ?6 the claim number, ?7 now, ?8 when the lease ends, ?9 the names that run again if the pod vanishes.
///
/// It takes from the lanes of the lowest priority that has due calls, and of each of them at most its even share, so
/// that no more rows are looked at than are taken. Who wants more takes again.
pub(super) const TAKE: &str = lanes!(
    ",
due (name, priority) AS MATERIALIZED (
    SELECT name, priority FROM lane WHERE priority IS NOT NULL AND EXISTS (
        SELECT 1 FROM futurecall_call x
        WHERE x.claimed_by IS NULL AND x.name = lane.name AND x.priority = lane.priority AND x.due_at <= ?2
            AND (x.schedule_id IS NULL OR x.due_at <= ?7)
            AND (?4 = '[]' OR x.id NOT IN (SELECT unhex(value) FROM json_each(?4))))
),
first (name, priority) AS MATERIALIZED (SELECT name, priority FROM due WHERE priority = (SELECT min(priority) FROM due)),
ready (row, name, due_at, id) AS (
    SELECT c.rowid, c.name, c.due_at, c.id FROM first CROSS JOIN futurecall_call c
    WHERE c.rowid IN (
        SELECT x.rowid FROM futurecall_call x
        WHERE x.claimed_by IS NULL AND x.name = first.name AND x.priority = first.priority AND x.due_at <= ?2
            AND (x.schedule_id IS NULL OR x.due_at <= ?7)
            AND (?4 = '[]' OR x.id NOT IN (SELECT unhex(value) FROM json_each(?4)))
        ORDER BY x.due_at, x.id
        LIMIT (SELECT (?3 + count(*) - 1) / max(count(*), 1) FROM first))
),
turns (row, turn, first_due, first_id) AS (
    SELECT row, row_number() OVER lane, first_value(due_at) OVER lane, first_value(id) OVER lane
    FROM ready WINDOW lane AS (PARTITION BY name ORDER BY due_at, id)
)
UPDATE futurecall_call SET claimed_by = ?5, claim_no = ?6, claimed_at = ?7, lease_until = ?8,
    on_vanish = name IN (SELECT value FROM json_each(?9)), attempt = attempt + 1, started = 0
WHERE rowid IN (SELECT row FROM turns ORDER BY turn, first_due, first_id LIMIT ?3 + 0)
RETURNING id, claim_no, name, identifier, args, format, priority, due_at, claimed_at, attempt, schedule_id, traceparent"
);

/// ?1 the names, ?2 the calls passed over.
pub(super) const NEXT: &str = lanes!(
    "
SELECT min(due_at) AS due_at FROM (
    SELECT (SELECT x.due_at FROM futurecall_call x
        WHERE x.claimed_by IS NULL AND x.name = lane.name AND x.priority = lane.priority
            AND (?2 = '[]' OR x.id NOT IN (SELECT unhex(value) FROM json_each(?2)))
        ORDER BY x.due_at, x.id LIMIT 1) AS due_at
    FROM lane WHERE priority IS NOT NULL)"
);

/// The due, unclaimed calls of schedules of which a run is under way. ?1 now.
pub(super) const BEHIND: &str = "
SELECT c.id, s.effective, NOT EXISTS (SELECT 1 FROM futurecall_call later
    WHERE later.schedule_id = s.id AND (later.due_at, later.id) > (c.due_at, c.id)) AS latest
FROM (SELECT DISTINCT schedule_id FROM futurecall_call INDEXED BY futurecall_call_run
    WHERE schedule_id IS NOT NULL AND claimed_by IS NOT NULL AND lease_until >= ?1) AS run
CROSS JOIN futurecall_schedule s ON s.id = run.schedule_id
CROSS JOIN futurecall_call c ON c.schedule_id = s.id AND c.claimed_by IS NULL AND c.due_at <= ?1";

pub(super) async fn claim(
    store: &SqliteStore,
    now: Now,
    request: &ClaimRequest,
) -> Result<Claim, StoreError> {
    for (name, _) in &request.names {
        no_nul(CLAIM, "a name", name)?;
    }
    let request = request.clone();
    store.write(CLAIM, now, move |mut tx| Box::pin(async move { take(&mut tx, &request).await })).await
}

async fn take(tx: &mut Tx<'_>, request: &ClaimRequest) -> Result<Claim, StoreError> {
    let names: HashSet<&str> = request.names.iter().map(|(name, _)| name.as_str()).collect();
    let names = batch(CLAIM, &Vec::from_iter(names))?;
    let mut waiting = must_wait(tx).await?;
    // Runs that this claim itself stores are left to the next one, however long they have been due.
    let mut stored = Vec::new();
    let mut claim = Claim::default();
    loop {
        let passed_over = batch(CLAIM, &[waiting.as_slice(), stored.as_slice()].concat())?;
        let mut took = 0;
        let room = request.limit.saturating_sub(claim.calls.len());
        if room > 0 {
            let mut calls = take_some(tx, request, &names, passed_over.clone(), room).await?;
            took = calls.len();
            if calls.iter().any(|call| call.schedule.is_some()) {
                let mut settled =
                    settle(tx, CLAIM, &mut calls, request.pod.as_uuid(), kept(&request.retention)).await?;
                claim.skipped += settled.skipped;
                stored.append(&mut settled.stored);
                waiting = must_wait(tx).await?;
            }
            claim.calls.append(&mut calls);
        }
        let passed_over = batch(CLAIM, &[waiting.as_slice(), stored.as_slice()].concat())?;
        let more = next(tx, &names, passed_over).await?;
        // There is more where a lane had less than its share, at other priorities, and behind what was skipped.
        if took == 0
            || claim.calls.len() >= request.limit
            || more.is_none_or(|due| due > horizon(tx, request))
        {
            let next =
                if stored.is_empty() { more } else { next(tx, &names, batch(CLAIM, &waiting)?).await? };
            claim.now = Some(tx.now);
            claim.next = next.map(|due| due.saturating_since(tx.now));
            claim.calls = in_turns(claim.calls);
            return Ok(claim);
        }
    }
}

/// When the next unclaimed call of these names is due, but for those passed over.
async fn next(tx: &mut Tx<'_>, names: &str, passed_over: String) -> Result<Option<Moment>, StoreError> {
    let row = tx.row(tx.sql(NEXT).bind(names.to_owned()).bind(passed_over)).await?;
    Ok(row.and_then(|row| moment_in(&row, "due_at")))
}

/// The moment by which a call must be due.
fn horizon(tx: &Tx<'_>, request: &ClaimRequest) -> Moment {
    let ahead = after(tx.now, request.ahead);
    request.until.map_or(ahead, |until| until.min(ahead))
}

/// Takes up to `limit` due calls, of schedules or not.
async fn take_some(
    tx: &mut Tx<'_>,
    request: &ClaimRequest,
    names: &str,
    passed_over: String,
    limit: usize,
) -> Result<Vec<ClaimedCall>, StoreError> {
    let rerun: Vec<_> = request
        .names
        .iter()
        .filter(|(_, on_vanish)| *on_vanish == OnVanish::Rerun)
        .map(|(name, _)| name.as_str())
        .collect();
    let sql = tx
        .sql(TAKE)
        .bind(names.to_owned())
        .bind(horizon(tx, request).as_micros())
        .bind(rows_of(limit))
        .bind(passed_over)
        .bind(request.pod.as_uuid())
        .bind(request.claim_no)
        .bind(tx.now.as_micros())
        .bind(after(tx.now, request.lease).as_micros())
        .bind(batch(CLAIM, &rerun)?);
    Ok(tx.rows(sql).await?.iter().filter_map(call).collect())
}

/// The due calls that must wait for another run of their schedule. (One that lies ahead may have its turn by then.)
async fn must_wait(tx: &mut Tx<'_>) -> Result<Vec<Simple>, StoreError> {
    let rows = tx.rows(tx.sql(BEHIND).bind(tx.now.as_micros())).await?;
    let waiting = |row: &SqliteRow| {
        let rule = codec::rule_of(&text(row, "effective")?).ok()?;
        if waits(&rule, flag(row, "latest")) { uuid(row, "id").map(hex) } else { None }
    };
    Ok(rows.iter().filter_map(waiting).collect())
}

/// Lower priority first; then by turns among names, in the order of their oldest call; a lane's own by (due, id).
fn in_turns(mut calls: Vec<ClaimedCall>) -> Vec<ClaimedCall> {
    calls.sort_by_key(|call| (call.due, call.id));
    let mut lanes: HashMap<(i16, String), ((Moment, CallId), u32)> = HashMap::new();
    let mut placed: Vec<_> = calls
        .into_iter()
        .map(|call| {
            let lane = lanes.entry((call.priority, call.name.clone())).or_insert(((call.due, call.id), 0));
            lane.1 += 1;
            ((call.priority, lane.1, lane.0), call)
        })
        .collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, call)| call).collect()
}

/// A row as the engine takes it.
fn call(row: &SqliteRow) -> Option<ClaimedCall> {
    Some(ClaimedCall {
        id: CallId::from_uuid(uuid(row, "id")?),
        claim_no: number(row, "claim_no")?,
        name: text(row, "name")?,
        identifier: text(row, "identifier"),
        args: text(row, "args")?,
        format: small(row, "format")?,
        priority: small(row, "priority")?,
        due: moment_in(row, "due_at")?,
        claimed: moment_in(row, "claimed_at")?,
        attempt: small(row, "attempt")?,
        schedule: uuid(row, "schedule_id").map(ScheduleId::from_uuid),
        traceparent: text(row, "traceparent"),
    })
}

/// ?1 the pod, ?2 the claim number.
const FIND: &str = "
SELECT id, claim_no, name, identifier, args, format, priority, due_at, claimed_at, attempt, schedule_id, traceparent
FROM futurecall_call INDEXED BY futurecall_call_claimed
WHERE claimed_by IS NOT NULL AND claimed_by = ?1 AND claim_no = ?2";

pub(super) async fn find_claim(
    store: &SqliteStore,
    pod: PodId,
    claim_no: i64,
) -> Result<Vec<ClaimedCall>, StoreError> {
    // The writer answers, so that a claim that is still on its way there comes first.
    let rows = store
        .write("find a claim", Now::Database, move |mut tx| {
            Box::pin(async move { tx.rows(tx.sql(FIND).bind(pod.as_uuid()).bind(claim_no)).await })
        })
        .await?;
    let mut calls: Vec<_> = rows.iter().filter_map(call).collect();
    calls.sort_by_key(|call| (call.priority, call.due, call.id));
    Ok(calls)
}

const RELEASE: &str = "release calls";

/// ?1 the claims, ?2 the pod.
pub(super) const CANCELLED: &str = "
SELECT c.id FROM json_each(?1) CROSS JOIN futurecall_call c
    ON c.id = unhex(value ->> 0) AND c.claimed_by = ?2 AND c.claim_no = value ->> 1
WHERE c.cancel_requested";

/// ?1 the claims, ?2 the pod.
pub(super) const GIVE_BACK: &str = "
UPDATE futurecall_call SET claimed_by = NULL, claim_no = NULL, claimed_at = NULL, lease_until = NULL, on_vanish = 0,
    attempt = max(attempt - 1, 0), started = 0
WHERE rowid IN (
    SELECT c.rowid FROM json_each(?1) CROSS JOIN futurecall_call c
        ON c.id = unhex(value ->> 0) AND c.claimed_by = ?2 AND c.claim_no = value ->> 1)";

pub(super) async fn release(
    store: &SqliteStore,
    now: Now,
    pod: PodId,
    held: &[Held],
) -> Result<u64, StoreError> {
    if held.is_empty() {
        return Ok(0);
    }
    let rows = claims(RELEASE, held)?;
    store
        .write(RELEASE, now, move |mut tx| {
            Box::pin(async move { give_back(&mut tx, pod.as_uuid(), rows).await })
        })
        .await
}

/// Makes claimed calls claimable again, with their attempts; what was cancelled meanwhile is over instead.
pub(super) async fn give_back(tx: &mut Tx<'_>, pod: Uuid, rows: String) -> Result<u64, StoreError> {
    let cancelled = tx.rows(tx.sql(CANCELLED).bind(rows.clone()).bind(pod)).await?;
    let cancelled: Vec<End> = cancelled
        .iter()
        .filter_map(|row| uuid(row, "id"))
        .map(|id| End::unstarted(CallId::from_uuid(id), CallState::Cancelled, "cancelled".into()))
        .collect();
    // A release knows no retention: the next pruning does.
    let over = end(tx, RELEASE, &cancelled, i64::MAX).await?;
    Ok(over + tx.run(tx.sql(GIVE_BACK).bind(rows).bind(pod)).await?)
}
