//! Taking due calls, finding what a claim took, and giving calls back.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use uuid::Uuid;
use uuid::fmt::Simple;

use super::SqliteStore;
use super::claim_rows::Gathered;
use super::claim_scheduled::{ClaimedRun, settle};
use super::finish::claims;
use super::release::{DECLINE, RELEASE, give_back, give_back_claim};
use super::tx::{Row, Tx, after, batch, hex, kept, limit as rows_of, micros, no_nul, run};
use super::unreadable::UnreadableRuns;
use crate::id::PodId;
use crate::moment::Moment;
use crate::store::columns::Columns as _;
use crate::store::policy::waits_for_running;
use crate::store::round_robin::in_turns;
use crate::store::{
    Claim, ClaimRequest, ClaimStore, ClaimedCall, Held, Now, OnVanish, Result, codec, records,
};

const CLAIM: &str = "claim calls";

/// Which lanes of the names ?1 (each with the shape under which it is read, as [`codec::declined_by`] writes it) hold due calls, those of the lowest priority and the oldest call first, and when the next
/// unclaimed call is due. ?2 the calls passed over, ?3 now, ?4 the moment by which calls are due (of schedules: ?3),
/// ?5 how many lanes at most.
///
/// One step down the due index for each lane, so that neither other names nor calls that are not due are walked.
pub(super) const LANES: &str = "
WITH RECURSIVE lane (name, shape, priority) AS (
    SELECT value ->> 0, value ->> 1, (SELECT c.priority FROM futurecall_call c
        WHERE c.claimed_by IS NULL AND c.name = asked.value ->> 0 ORDER BY c.priority LIMIT 1) FROM json_each(?1) AS asked
    WHERE NOT EXISTS (SELECT 1 FROM futurecall_paused_name p WHERE p.name = asked.value ->> 0)
    UNION ALL
    SELECT name, shape, (SELECT c.priority FROM futurecall_call c
        WHERE c.claimed_by IS NULL AND c.name = lane.name AND c.priority > lane.priority ORDER BY c.priority LIMIT 1)
    FROM lane WHERE priority IS NOT NULL
),
head (name, priority, first, row, shape) AS MATERIALIZED (
    SELECT name, priority,
        (SELECT x.due_at FROM futurecall_call x
            WHERE x.claimed_by IS NULL AND x.name = lane.name AND x.priority = lane.priority
                AND (x.declined IS NULL OR instr(x.declined, lane.shape) = 0)
                AND (?2 = '[]' OR x.id NOT IN (SELECT unhex(value) FROM json_each(?2)))
            ORDER BY x.due_at, x.id LIMIT 1),
        (SELECT x.rowid FROM futurecall_call x
            WHERE x.claimed_by IS NULL AND x.name = lane.name AND x.priority = lane.priority AND x.due_at <= ?4
                AND (x.due_at <= ?3 OR x.schedule_id IS NULL)
                AND (x.declined IS NULL OR instr(x.declined, lane.shape) = 0)
                AND (?2 = '[]' OR x.id NOT IN (SELECT unhex(value) FROM json_each(?2)))
            ORDER BY x.due_at, x.id LIMIT 1),
        shape
    FROM lane WHERE priority IS NOT NULL
)
SELECT (SELECT min(first) FROM head) AS next,
    (SELECT json_group_array(json_array(name, priority, shape)) FROM (
        SELECT head.name, head.priority, head.shape FROM head CROSS JOIN futurecall_call c ON c.rowid = head.row
        ORDER BY head.priority, c.due_at, c.id LIMIT ?5 + 0)) AS due,
    EXISTS (SELECT 1 FROM futurecall_call INDEXED BY futurecall_call_run
        WHERE schedule_id IS NOT NULL AND claimed_by IS NOT NULL AND lease_until >= ?3) AS running";

macro_rules! take {
    ($on_vanish:literal) => {
        concat!(
            "
UPDATE futurecall_call SET claimed_by = ?5, claim_no = ?6, claimed_at = ?7, lease_until = ?8, attempt = attempt + 1,
    started = 0",
            $on_vanish,
            "
WHERE rowid IN (
    SELECT c.rowid FROM json_each(?1) AS lane CROSS JOIN futurecall_call c
    WHERE c.rowid IN (
        SELECT x.rowid FROM futurecall_call x
        WHERE x.claimed_by IS NULL AND x.name = lane.value ->> 0 AND x.priority = lane.value ->> 1 AND x.due_at <= ?2
            AND (x.due_at <= ?7 OR x.schedule_id IS NULL)
            AND (x.declined IS NULL OR instr(x.declined, lane.value ->> 2) = 0)
            AND (?4 = '[]' OR x.id NOT IN (SELECT unhex(value) FROM json_each(?4)))
        ORDER BY x.due_at, x.id LIMIT ?3 + 0))"
        )
    };
}

/// ?1 the lanes, ?2 the moment by which calls are due (of schedules: ?7), ?3 how many of each lane, ?4 the calls passed
/// over, ?5 the pod, ?6 the claim number, ?7 now, ?8 when the lease ends.
pub(super) const TAKE: &str = take!("");

/// The same where calls of some names run again if the pod vanishes. ?9 those names, how often, and after how long.
pub(super) const TAKE_TO_RERUN: &str = take!(
    ",
    (on_vanish, vanish_after) = (SELECT coalesce(max(value ->> 1), 0), max(value ->> 2)
        FROM json_each(?9) WHERE value ->> 0 = name)"
);

/// What one claim holds. ?1 the pod, ?2 the claim number, ?3 when its lease ends. One row: through the driver each takes
/// as long as ten calls in it do.
pub(super) const GATHER: &str = "
SELECT json_group_array(json_array(hex(id), name, identifier, args, format, priority, due_at, attempt,
    nullif(hex(schedule_id), ''), traceparent, first_due_at, expires_at, failures)) AS calls, count(*) AS held
FROM futurecall_call INDEXED BY futurecall_call_claimed
WHERE claimed_by IS NOT NULL AND lease_until = ?3 AND claimed_by = ?1 AND claim_no = ?2";

/// The runs of schedules that one claim holds. ?1 the pod, ?2 the claim number.
pub(super) const RUNS: &str = "
SELECT id, schedule_id, due_at FROM futurecall_call INDEXED BY futurecall_call_run
WHERE schedule_id IS NOT NULL AND claimed_by IS NOT NULL AND claimed_by = ?1 AND claim_no = ?2";

/// The due, unclaimed calls of schedules of which a run is under way. ?1 now.
pub(super) const BEHIND: &str = "
SELECT c.id, s.effective, NOT EXISTS (SELECT 1 FROM futurecall_call later
    WHERE later.schedule_id = s.id AND (later.due_at, later.id) > (c.due_at, c.id)
        AND later.first_due_at IS NULL) AND c.first_due_at IS NULL AS latest
FROM (SELECT DISTINCT schedule_id FROM futurecall_call INDEXED BY futurecall_call_run
    WHERE schedule_id IS NOT NULL AND claimed_by IS NOT NULL AND lease_until >= ?1) AS run
CROSS JOIN futurecall_schedule s ON s.id = run.schedule_id
CROSS JOIN futurecall_call c ON c.schedule_id = s.id AND c.claimed_by IS NULL AND c.due_at <= ?1";

/// A lane: its name and priority, and the shape under which this pod reads its calls.
type Lane = (String, i64, String);

/// ?1 the pod, ?2 the claim number.
const FIND: &str = "
SELECT id, claim_no, name, identifier, args, format, priority, due_at AS due, claimed_at AS claimed, attempt, schedule_id,
    traceparent, first_due_at, expires_at, failures
FROM futurecall_call INDEXED BY futurecall_call_claimed
WHERE claimed_by IS NOT NULL AND claimed_by = ?1 AND claim_no = ?2";

#[async_trait]
impl ClaimStore for SqliteStore {
    async fn claim(&self, now: Now, request: &ClaimRequest) -> Result<Claim> {
        for (name, _) in &request.names {
            no_nul(CLAIM, "a name", name)?;
        }
        let (pod, claim_no) = (request.pod, request.claim_no);
        let (request, unreadable) = (request.clone(), self.unreadable.clone());
        let taken = run!(self.write, CLAIM, now, |tx| take(&mut tx, &request, &unreadable).await).await?;
        // Read here and not by the writer, whose time is everybody's.
        let calls = match taken.calls {
            None => Vec::new(),
            Some(text) => match serde_json::from_str::<Vec<Gathered>>(&text) {
                Ok(calls) => calls.into_iter().map(|call| call.claimed(claim_no, taken.now)).collect(),
                // They are too long for one text, or one of them cannot be read: then none is kept.
                Err(_) => match self.find_claim(pod, claim_no).await {
                    Ok(calls) => calls,
                    Err(error) => {
                        give_back_claim(self, now, pod, claim_no).await?;
                        return Err(error);
                    }
                },
            },
        };
        Ok(Claim {
            calls: in_turns(calls),
            next: taken.next.map(|due| due.saturating_since(taken.now)),
            skipped: taken.skipped,
            now: Some(taken.now),
            crowded: false,
        })
    }

    async fn find_claim(&self, pod: PodId, claim_no: i64) -> Result<Vec<ClaimedCall>> {
        // The writer answers, so that a claim that is still on its way there comes first.
        let mut calls: Vec<ClaimedCall> = run!(self.write, "find a claim", Now::Database, |tx| {
            let rows = tx.rows(tx.sql(FIND).bind(pod.as_uuid()).bind(claim_no)).await?;
            rows.iter().map(records::claimed_call).collect()
        })
        .await?;
        calls.sort_by_key(|call| (call.priority, call.due, call.id));
        Ok(calls)
    }

    async fn release(&self, now: Now, pod: PodId, held: &[Held], declined: Option<i64>) -> Result<u64> {
        if held.is_empty() {
            return Ok(0);
        }
        let rows = claims(RELEASE, held)?;
        run!(self.write, RELEASE, now, |tx| {
            if let Some(shape) = declined {
                let sql = tx.sql(DECLINE).bind(rows.clone()).bind(pod.as_uuid());
                tx.run(sql.bind(codec::declined_by(shape))).await?;
            }
            give_back(&mut tx, pod.as_uuid(), rows).await
        })
        .await
    }
}

/// What the writer hands back of a claim.
struct Taken {
    /// As [`GATHER`] gives them.
    calls: Option<String>,
    next: Option<Moment>,
    skipped: u64,
    now: Moment,
}

/// What there is to be claimed.
struct View {
    next: Option<Moment>,
    /// Lanes with due calls, in the order of their turns.
    due: Vec<Lane>,
    /// Whether runs of schedules are under way.
    running: bool,
}

async fn take(tx: &mut Tx<'_>, request: &ClaimRequest, unreadable: &UnreadableRuns) -> Result<Taken> {
    let names: HashSet<&str> = request.names.iter().map(|(name, _)| name.as_str()).collect();
    let names: Vec<_> =
        names.into_iter().map(|name| (name, codec::declined_by(request.shape(name)))).collect();
    let names = batch(CLAIM, &names)?;
    let mut waiting = Vec::new();
    // Runs that this claim itself stores are left to the next one, however long they have been due.
    let mut stored = Vec::new();
    let (mut settled, mut skipped, mut held) = (HashSet::new(), 0, 0);
    let mut turns = HashMap::new();
    let mut left_alone = unreadable.still(tx).await?;
    let mut view = look(tx, request, &names, &left_alone).await?;
    if view.running {
        waiting = must_wait(tx).await?;
        if !waiting.is_empty() {
            waiting.extend(&left_alone);
            view = look(tx, request, &names, &waiting).await?;
        }
    }
    // There is more where a lane had less than its share, at other priorities, and behind what was skipped.
    while held < request.limit && !view.due.is_empty() {
        let passed_over = [waiting.as_slice(), stored.as_slice(), left_alone.as_slice()].concat();
        put_in_turn(&mut view.due, &mut turns);
        let took = take_share(tx, request, &view.due, request.limit - held, &passed_over).await?;
        if took == 0 {
            break;
        }
        held += took;
        view = look(tx, request, &names, &passed_over).await?;
        let runs = if view.running { runs(tx, request, &mut settled).await? } else { Vec::new() };
        if !runs.is_empty() {
            let mut done = settle(tx, CLAIM, runs, request, kept(&request.retention)).await?;
            held = held.saturating_sub(done.not_held);
            skipped += done.skipped;
            stored.append(&mut done.stored);
            unreadable.remember(&done.unreadable);
            left_alone.append(&mut done.unreadable);
            waiting = must_wait(tx).await?;
            waiting.extend(&left_alone);
            view = look(tx, request, &names, &[waiting.as_slice(), stored.as_slice()].concat()).await?;
        }
    }
    if !stored.is_empty() {
        waiting.extend(&left_alone);
        view = look(tx, request, &names, &waiting).await?;
    }
    let calls = if held > 0 { Some(gather(tx, request, held).await?) } else { None };
    Ok(Taken { calls, next: view.next, skipped, now: tx.now })
}

async fn look(tx: &mut Tx<'_>, request: &ClaimRequest, names: &str, passed_over: &[Simple]) -> Result<View> {
    let sql = tx
        .sql(LANES)
        .bind(names.to_owned())
        .bind(batch(CLAIM, passed_over)?)
        .bind(tx.now.as_micros())
        .bind(horizon(tx, request).as_micros())
        .bind(rows_of(request.limit));
    let row = tx.one(sql).await?;
    Ok(View {
        next: row.find("next")?,
        due: row.json("due")?.unwrap_or_default(),
        running: row.get("running")?,
    })
}

/// The moment by which a call must be due.
fn horizon(tx: &Tx<'_>, request: &ClaimRequest) -> Moment {
    let ahead = after(tx.now, request.ahead);
    request.until.map_or(ahead, |until| until.min(ahead))
}

/// Lanes have their turns in the order in which this claim has come to them, whatever is the oldest of what is left.
fn put_in_turn(due: &mut [Lane], turns: &mut HashMap<Lane, usize>) {
    for lane in &*due {
        let next = turns.len();
        turns.entry(lane.clone()).or_insert(next);
    }
    due.sort_by_key(|lane| (lane.1, turns.get(lane).copied()));
}

/// Takes as many calls of each of the first lanes, which are those whose turn it is, and at most `room`.
async fn take_share(
    tx: &mut Tx<'_>,
    request: &ClaimRequest,
    lanes: &[Lane],
    room: usize,
    passed_over: &[Simple],
) -> Result<usize> {
    let priority = lanes.first().map(|(_, priority, _)| *priority);
    let lanes: Vec<_> = lanes.iter().take_while(|(_, of, _)| Some(*of) == priority).take(room).collect();
    let share = room / lanes.len().max(1);
    let rerun = to_rerun(request, &lanes);
    let sql = tx
        .sql(if rerun.is_empty() { TAKE } else { TAKE_TO_RERUN })
        .bind(batch(CLAIM, &lanes)?)
        .bind(horizon(tx, request).as_micros())
        .bind(rows_of(share))
        .bind(batch(CLAIM, passed_over)?)
        .bind(request.pod.as_uuid())
        .bind(request.claim_no)
        .bind(tx.now.as_micros())
        .bind(after(tx.now, request.lease).as_micros());
    let sql = if rerun.is_empty() { sql } else { sql.bind(batch(CLAIM, &rerun)?) };
    Ok(usize::try_from(tx.run(sql).await?).unwrap_or(usize::MAX))
}

/// Of these lanes' names, those whose calls run again if the pod vanishes: until how many have, and after how long.
fn to_rerun<'a>(request: &'a ClaimRequest, lanes: &[&Lane]) -> Vec<(&'a str, u32, i64)> {
    let rerun = request.names.iter().filter_map(|(name, on_vanish)| match on_vanish {
        OnVanish::Rerun { budget, after } => Some((name.as_str(), *budget, micros(*after))),
        OnVanish::Keep => None,
    });
    rerun.filter(|(name, ..)| lanes.iter().any(|(lane, ..)| lane == name)).collect()
}

/// The runs of schedules that this claim holds and nobody has decided about.
async fn runs(
    tx: &mut Tx<'_>,
    request: &ClaimRequest,
    settled: &mut HashSet<Uuid>,
) -> Result<Vec<ClaimedRun>> {
    let rows = tx.rows(tx.sql(RUNS).bind(request.pod.as_uuid()).bind(request.claim_no)).await?;
    let run = |row: &Row| {
        Ok(ClaimedRun { id: row.get("id")?, schedule: row.get("schedule_id")?, due: row.get("due_at")? })
    };
    let runs = rows.iter().map(run).collect::<Result<Vec<_>>>()?;
    Ok(runs.into_iter().filter(|run| settled.insert(run.id.as_uuid())).collect())
}

/// What this claim holds, which are `held` calls.
async fn gather(tx: &mut Tx<'_>, request: &ClaimRequest, held: usize) -> Result<String> {
    let until = after(tx.now, request.lease).as_micros();
    let sql = tx.sql(GATHER).bind(request.pod.as_uuid()).bind(request.claim_no).bind(until);
    let row = match tx.one(sql).await {
        // More text than SQLite puts together: it is read call by call.
        Err(error) if error.is_refused() => return Ok(String::new()),
        row => row?,
    };
    if row.get::<usize>("held")? != held {
        // Handing out what an earlier claim has taken would have it run twice.
        return Err(tx.refused(format!("claim number {} has been used before", request.claim_no)));
    }
    row.get("calls")
}

/// The due calls that must wait for another run of their schedule. (One that lies ahead may have its turn by then.)
async fn must_wait(tx: &mut Tx<'_>) -> Result<Vec<Simple>> {
    let rows = tx.rows(tx.sql(BEHIND).bind(tx.now.as_micros())).await?;
    let mut waiting = Vec::new();
    for row in &rows {
        let is_latest = row.get("latest")?;
        if records::rule(row, "effective")?.is_some_and(|rule| waits_for_running(&rule, is_latest)) {
            waiting.push(hex(row.get("id")?));
        }
    }
    Ok(waiting)
}
