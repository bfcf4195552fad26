//! The initial states of the operations, and the final states, as text.

use std::sync::Arc;
use std::time::Duration;

use futurecall_runtime::store::{
    CallFilter, CallRecord, CallState, CancelTarget, Finish, Finished, LivePod, Now, OnVanish, Outcome,
    ScheduleChange, Store,
};
use futurecall_runtime::{CallId, PodId};

use super::operations::{CLAIM, Cast, KEEP, LABEL, LEASE, NAME, Op};

/// The state of the call or the schedule when two operations meet on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There is nothing yet.
    Nothing,
    /// The call is due.
    Waiting,
    /// It is claimed.
    Held,
    /// It is claimed, and was cancelled.
    Flagged,
    /// It is claimed by an unrelated pod.
    HeldByAnother,
    /// Its lease is over.
    Over,
    /// Its lease is over, and it is to be rerun.
    OverToRerun,
    /// It has failed.
    Failed,
    /// The schedule has a run that is due.
    RunWaiting,
    /// The run is claimed, and the next one waits for its due time.
    RunHeld,
    /// The lease of the run is over, and the next one is due.
    RunOver,
    /// The run was returned for another attempt, and the next one waits for its due time.
    RunAgain,
    /// The schedule was paused.
    Paused,
    /// The schedule was cancelled.
    Cancelled,
    /// The schedule was ended because it was no longer declared.
    Undeclared,
}

impl State {
    /// Returns whether the lease is over, so that another pod may take the call.
    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Over | Self::OverToRerun | Self::RunOver)
    }

    /// Returns whether an operation makes sense here: only a repetition gives the id of a finished call to a new one.
    pub(super) fn lets(self, op: Op) -> bool {
        self != Self::Failed || !matches!(op, Op::Insert | Op::InsertIn(_) | Op::InsertClaimed)
    }

    /// Brings a fresh store into that state; returns the current call.
    pub(super) async fn set_up(self, store: &dyn Store, cast: &Cast) -> CallId {
        match self {
            Self::Nothing => {}
            Self::Waiting
            | Self::Held
            | Self::Flagged
            | Self::HeldByAnother
            | Self::Over
            | Self::OverToRerun
            | Self::Failed => self.set_up_call(store, cast).await,
            _ => return self.set_up_schedule(store, cast).await,
        }
        cast.call
    }

    async fn set_up_call(self, store: &dyn Store, cast: &Cast) {
        let at = |minutes| Now::At(cast.minutes(minutes));
        store.insert(at(-190), &[cast.new_call()], false, Duration::ZERO).await.expect("an insert");
        let rerun = OnVanish::Rerun { budget: 3, after: Duration::ZERO };
        let (pod, lease, on_vanish) = match self {
            Self::Waiting => return,
            Self::HeldByAnother => (PodId::from_uuid(cast.schedule.as_uuid()), LEASE, OnVanish::Keep),
            Self::Over => (cast.holder, HOUR, OnVanish::Keep),
            Self::OverToRerun => (cast.holder, HOUR, rerun),
            _ => (cast.holder, LEASE, OnVanish::Keep),
        };
        claim(store, cast, pod, lease, on_vanish, -120).await;
        match self {
            Self::Flagged => {
                let target = CancelTarget::Call(cast.call);
                store.cancel(at(-60), &target, &KEEP).await.expect("a cancellation");
            }
            Self::Failed => {
                let outcome = Outcome::Failed { error: "it failed".to_owned() };
                finish(store, cast, cast.call, outcome, -60).await;
            }
            _ => {}
        }
    }

    async fn set_up_schedule(self, store: &dyn Store, cast: &Cast) -> CallId {
        let at = |minutes| Now::At(cast.minutes(minutes));
        // Its runs are due at -150, -90, -30, 30, …
        store.declare(at(-210), &[cast.new_schedule()]).await.expect("a declaration");
        match self {
            Self::RunHeld => return claim(store, cast, cast.holder, LEASE, OnVanish::Keep, -20).await,
            Self::RunOver => return claim(store, cast, cast.holder, HOUR, OnVanish::Keep, -130).await,
            Self::RunAgain => {
                let run = claim(store, cast, cast.holder, LEASE, OnVanish::Keep, -20).await;
                let outcome =
                    Outcome::Retry { error: "it failed".to_owned(), after: Duration::from_mins(10) };
                finish(store, cast, run, outcome, -10).await;
                return run;
            }
            Self::Paused => {
                let change = ScheduleChange::Pause { reason: "by hand".to_owned() };
                store.change_schedule(at(-60), cast.schedule, &change, &KEEP).await.expect("a pause");
            }
            Self::Cancelled => {
                let target = CancelTarget::Identifier(LABEL.to_owned());
                store.cancel(at(-60), &target, &KEEP).await.expect("a cancellation");
            }
            Self::Undeclared => {
                let live = LivePod { names: vec![NAME.to_owned()], schedules: Vec::new(), pod_live: HOUR };
                assert_eq!(store.end_undeclared(at(-60), &live, HOUR).await.expect("an end"), 1);
            }
            _ => {}
        }
        let run = listed(store, cast).await.into_iter().next();
        run.expect("the schedule has produced a run").id
    }
}

const HOUR: Duration = Duration::from_hours(1);

async fn claim(
    store: &dyn Store,
    cast: &Cast,
    pod: PodId,
    lease: Duration,
    on_vanish: OnVanish,
    minutes: i64,
) -> CallId {
    let mut request = Cast::request(pod, CLAIM, on_vanish);
    request.lease = lease;
    let claim = store.claim(Now::At(cast.minutes(minutes)), &request).await.expect("a claim");
    assert_eq!(claim.calls.len(), 1, "{claim:?}");
    claim.calls[0].id
}

async fn finish(store: &dyn Store, cast: &Cast, id: CallId, outcome: Outcome, minutes: i64) {
    let (started_after, ran_for) = (Some(Duration::ZERO), Duration::from_mins(10));
    let finish = Finish { id, claim_no: CLAIM, outcome, started_after, ran_for };
    let now = Now::At(cast.minutes(minutes));
    assert_eq!(
        store.finish(now, cast.holder, &[finish], &KEEP).await.expect("a finish"),
        [Finished::Recorded]
    );
}

async fn listed(store: &dyn Store, cast: &Cast) -> Vec<CallRecord> {
    let now = Now::At(cast.minutes(100_000));
    store.calls(now, &CallFilter::new().limit(1_000)).await.expect("a page").calls
}

/// Returns all rows as text, in an order that does not depend on ids.
pub(super) async fn rows(store: &Arc<dyn Store>, cast: &Cast) -> Vec<String> {
    let mut rows = Vec::new();
    for mut record in listed(&**store, cast).await {
        if record.attempt > 1 || record.state == CallState::Scheduled {
            let now = Now::At(cast.minutes(100_000));
            record = store.call(now, record.id).await.expect("a look").expect("it was listed");
        }
        rows.push(row(&record, cast));
    }
    for schedule in store.schedules().await.expect("the schedules") {
        let next = schedule.next.map(|next| cast.about(next));
        let (anchor, created) = (cast.about(schedule.anchor), cast.about(schedule.created));
        rows.push(format!(
            "schedule of {}: {:?} ({:?}), next {next:?}, anchor {anchor}, created {created}, {:?} declared {:?} in effect {:?}",
            schedule.name,
            schedule.state,
            schedule.reason,
            schedule.origin,
            schedule.declared.recurrence,
            schedule.effective.recurrence
        ));
    }
    rows.sort();
    rows
}

fn row(record: &CallRecord, cast: &Cast) -> String {
    let about = |moment: Option<_>| moment.map(|moment| cast.about(moment));
    let attempt = |attempt: &futurecall_runtime::inspect::AttemptRecord| {
        (
            attempt.number,
            attempt.pod,
            about(attempt.started),
            about(attempt.ended),
            attempt.outcome,
            attempt.error.clone(),
        )
    };
    let attempts: Vec<_> = record.attempts.iter().map(attempt).collect();
    format!(
        "{} of {} {:?}: {:?}, due {}, next attempt {:?}, attempt {} by {:?} until {:?}, start {:?}, cancelled {}, \
         schedule {}, again {:?}, created {}, finished {:?}, error {:?}, attempts {attempts:?}",
        cast.name_of(record.id),
        record.name,
        record.identifier,
        record.state,
        cast.about(record.due),
        about(record.next_attempt),
        record.attempt,
        record.pod,
        about(record.lease_until),
        record.start_proven,
        record.cancel_requested,
        record.schedule.is_some(),
        record.rerun_of.map(|id| cast.name_of(id)),
        cast.about(record.created),
        about(record.finished),
        record.error,
    )
}
