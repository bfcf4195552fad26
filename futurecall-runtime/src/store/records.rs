//! One reader per record for both SQL stores, whose statements name their columns alike.

use std::time::Duration;

use super::codec::{attempts_of, histogram_of, on_vanish, origin_of, rule_of, schedule_of, state_of};
use super::columns::Columns;
use super::policy::{Phase, Run, Schedule, Vanished};
use super::{
    ActionRecord, AttemptRecord, Backlog, CallRecord, CallState, ClaimedCall, MigrationRecord, PausedName,
    PendingName, PodRecord, Result, RunLog, ScheduleRecord, ScheduleState, Span, Statistics, TimelineCount,
};
use crate::id::{CallId, ScheduleId};
use crate::recurring::Rule;

/// Reads a claimed call as the engine takes it.
pub(super) fn claimed_call(row: &impl Columns) -> Result<ClaimedCall> {
    let due = row.get("due")?;
    Ok(ClaimedCall {
        id: row.get("id")?,
        claim_no: row.get("claim_no")?,
        name: row.get("name")?,
        identifier: row.find("identifier")?,
        args: row.get("args")?,
        format: row.get("format")?,
        priority: row.get("priority")?,
        due,
        first_due: row.find("first_due_at")?.unwrap_or(due),
        expires: row.find("expires_at")?,
        failures: row.get("failures")?,
        claimed: row.get("claimed")?,
        attempt: row.get("attempt")?,
        schedule: row.find("schedule_id")?,
        traceparent: row.find("traceparent")?,
    })
}

/// Reads a call, without its attempts. A state of NULL: it is scheduled or running.
pub(super) fn call(row: &impl Columns) -> Result<CallRecord> {
    let pod = row.find("pod")?;
    let state = match row.find("state")? {
        Some(code) => state_of(code),
        None if pod.is_some() => CallState::Running,
        None => CallState::Scheduled,
    };
    let started = row.moment("started")?;
    Ok(CallRecord {
        id: row.get("id")?,
        name: row.get("name")?,
        args: row.get("args")?,
        format: row.get("format")?,
        identifier: row.find("identifier")?,
        priority: row.get("priority")?,
        due: row.get("due")?,
        state,
        attempt: row.get("attempt")?,
        broken: None,
        declined: row.json("declined")?.unwrap_or_default(),
        next_attempt: row.find("next_attempt")?,
        expires: row.find("expires")?,
        schedule: row.find("schedule_id")?,
        rerun_of: row.find("rerun_of")?,
        created: row.get("created")?,
        finished: row.find("finished")?,
        pod,
        lease_until: row.find("lease_until")?,
        start_proven: pod.map(|_| started.is_some()),
        cancel_requested: row.get("cancel_requested")?,
        error: row.find("error")?,
        attempts: Vec::new(),
    })
}

/// Reads a call with its attempts: those that ended before, and the one that it is in, or ended with.
pub(super) fn call_with_attempts(row: &impl Columns) -> Result<CallRecord> {
    let mut call = call(row)?;
    call.attempts = attempts_of(row.text("attempts")?.as_deref());
    if call.pod.is_some() && call.attempt > 0 {
        call.attempts.push(AttemptRecord {
            number: call.attempt,
            pod: call.pod,
            started: row.find("started")?,
            duration: row.find("duration_us")?.map(Duration::from_micros),
            ended: call.finished,
            outcome: call.state,
            error: call.error.clone().filter(|_| call.state.is_finished()),
        });
    }
    Ok(call)
}

/// Reads a schedule for people; `None` where a newer release wrote its rule or its state.
pub(super) fn schedule_record(row: &impl Columns) -> Result<Option<ScheduleRecord>> {
    let id: ScheduleId = row.get("id")?;
    let (declared, effective): (String, String) = (row.get("declared")?, row.get("effective")?);
    let (declared, effective) = match (rule_of(&declared), rule_of(&effective)) {
        (Ok(declared), Ok(effective)) => (declared, effective),
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(schedule = %id, %error, "a rule that this version cannot read is not listed");
            return Ok(None);
        }
    };
    let Some(state) = schedule_of(row.get("state")?) else {
        tracing::warn!(schedule = %id, "a schedule in a state that this release does not know is not listed");
        return Ok(None);
    };
    Ok(Some(ScheduleRecord {
        id,
        name: row.get("name")?,
        identifier: row.find("identifier")?,
        args: row.get("args")?,
        declared,
        effective,
        origin: origin_of(row.get("origin")?),
        state,
        reason: row.find("reason")?,
        next: row.find("next")?.filter(|_| state == ScheduleState::Active),
        anchor: row.get("anchor")?,
        created: row.get("created")?,
    }))
}

/// Reads a rule; `None` for one of a newer release.
pub(super) fn rule(row: &impl Columns, column: &str) -> Result<Option<Rule>> {
    Ok(rule_of(&row.get::<String>(column)?).ok())
}

/// Reads a schedule for the policy.
pub(super) fn schedule(row: &impl Columns) -> Result<Schedule> {
    Ok(Schedule {
        id: row.get("id")?,
        key: row.get("key")?,
        args: row.get("args")?,
        format: row.get("format")?,
        priority: row.get("priority")?,
        declared: rule(row, "declared")?,
        effective: rule(row, "effective")?,
        anchor: row.get("anchor")?,
        state: schedule_of(row.get("state")?),
        reason: row.find("reason")?,
        missed_from: row.find("missed_from")?,
    })
}

/// Reads a run of a schedule for the policy.
pub(super) fn run(row: &impl Columns) -> Result<(ScheduleId, Run)> {
    let phase = match (row.get("waiting")?, row.get("running")?) {
        (true, _) => Phase::Waiting,
        (false, true) => Phase::Running,
        (false, false) => Phase::Abandoned,
    };
    let run =
        Run { id: row.get("id")?, due: row.get("due")?, phase, has_successor: row.get("has_successor")? };
    Ok((row.get("schedule_id")?, run))
}

/// Reads a call whose pod vanished: its id, its name, and what decides about it.
pub(super) fn vanished(row: &impl Columns) -> Result<(CallId, String, Vanished)> {
    let vanished = Vanished {
        pod: row.get("pod")?,
        lease_until: row.get("lease_until")?,
        started: row.get("started")?,
        cancel_requested: row.get("cancel_requested")?,
        on_vanish: on_vanish(row.get("on_vanish")?, row.find("vanish_after")?),
        pods: row.get::<u32>("vanished")?.saturating_add(1),
    };
    Ok((row.get("id")?, row.get("name")?, vanished))
}

/// Reads a pod.
pub(super) fn pod(row: &impl Columns) -> Result<PodRecord> {
    Ok(PodRecord {
        id: row.get("id")?,
        label: row.get("label")?,
        role: row.get("role")?,
        version: row.get("version")?,
        names: row.json("names")?.unwrap_or_default(),
        // NULL where the pod is of a version that says nothing of them.
        shapes: row.json("shapes")?.unwrap_or_default(),
        redacted: row.json("redacted")?.unwrap_or_default(),
        slots: row.get("slots")?,
        running: row.get("running")?,
        started: row.get("started")?,
        beat: row.get("beat")?,
        live: row.get("live")?,
    })
}

/// Reads what one pod has counted in a span of time.
pub(super) fn statistics(row: &impl Columns, span: Span) -> Result<Statistics> {
    let histogram = |column| Ok(histogram_of(&row.get::<String>(column)?));
    Ok(Statistics {
        name: row.get("name")?,
        span,
        start: row.get("start")?,
        succeeded: row.get("succeeded")?,
        failed: row.get("failed")?,
        retried: row.get("retried")?,
        interrupted: row.get("interrupted")?,
        expired: row.get("expired")?,
        durations: histogram("durations")?,
        lateness: histogram("lateness")?,
    })
}

/// Reads an action of an operator.
pub(super) fn action(row: &impl Columns) -> Result<ActionRecord> {
    Ok(ActionRecord {
        id: row.get("id")?,
        at: row.get("at")?,
        actor: row.get("actor")?,
        verb: row.get("verb")?,
        target: row.get("target")?,
        call: row.find("call_id")?,
        schedule: row.find("schedule_id")?,
        outcome: row.find("outcome")?,
    })
}

/// Reads the log of a run.
pub(super) fn log(row: &impl Columns) -> Result<RunLog> {
    Ok(RunLog { attempt: row.get("attempt")?, text: row.get("text")?, at: row.get("at")? })
}

/// Reads a name whose calls are paused.
pub(super) fn paused_name(row: &impl Columns) -> Result<PausedName> {
    Ok(PausedName::new(row.get("name")?, row.get("since")?, row.get("actor")?, row.get("reason")?))
}

/// Reads how many calls of a name are due in a stretch of time.
pub(super) fn timeline_count(row: &impl Columns) -> Result<TimelineCount> {
    Ok(TimelineCount::new(row.get("name")?, row.get("stretch")?, row.get("calls")?))
}

/// Reads what waits.
pub(super) fn backlog(row: &impl Columns) -> Result<Backlog> {
    Ok(Backlog {
        scheduled: row.get("scheduled")?,
        due: row.get("due")?,
        oldest_due_age: row.find("age")?.map(Duration::from_micros),
        pods: row.get("pods")?,
    })
}

/// Reads a step of the schema that was applied; what it did is added where this library knows.
pub(super) fn migration(row: &impl Columns) -> Result<MigrationRecord> {
    Ok(MigrationRecord::new(row.get("version")?, row.get("name")?, row.find("applied")?, String::new()))
}

/// Reads a lane, or a state of a name: the name and the number.
pub(super) fn lane(row: &impl Columns) -> Result<(String, i16)> {
    Ok((row.get("name")?, row.get("code")?))
}

/// Reads how many calls of a name there are.
pub(super) fn calls_of_name(row: &impl Columns) -> Result<PendingName> {
    Ok(PendingName { name: row.get("name")?, calls: row.get("calls")? })
}
