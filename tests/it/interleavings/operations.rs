//! The operations that are interleaved, and the result of each, as text that does not depend on ids or on the clock.

use std::sync::Arc;
use std::time::Duration;

use futurecall_runtime::recurring::Rule;
use futurecall_runtime::store::{
    CancelTarget, ClaimRequest, Completed, Due, Finish, Held, Inserted, LivePod, NewCall, NewSchedule, Now,
    OnVanish, Outcome, Retention, ScheduleChange, ScheduleOrigin, Store,
};
use futurecall_runtime::{CallId, InTransaction as _, Moment, PodId, ScheduleId, StoreError};
use sqlx::PgPool;

/// An operation of [`Store`] on the current call or schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Insert,
    InsertAgain,
    InsertIn(End),
    InsertClaimed,
    Claim,
    Renew,
    Succeed,
    Retry,
    Rerun,
    Complete,
    Release,
    Rescue,
    CancelCall,
    CancelLabel,
    CancelIn(End),
    Reschedule,
    RescheduleLabel,
    RunAgain,
    RunAgainRepeated,
    Delete,
    Discard,
    Prune,
    Declare,
    DeclareAnotherRule,
    DeclareUnderAnotherName,
    Pause,
    Resume,
    Edit,
    End,
    Trigger,
    EndUndeclared,
}

/// How the application ends its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Commit,
    Rollback,
}

/// All operations on a call without a schedule.
pub(super) const ON_A_CALL: [Op; 23] = [
    Op::Insert,
    Op::InsertAgain,
    Op::InsertIn(End::Commit),
    Op::InsertIn(End::Rollback),
    Op::InsertClaimed,
    Op::Claim,
    Op::Renew,
    Op::Succeed,
    Op::Retry,
    Op::Rerun,
    Op::Complete,
    Op::Release,
    Op::Rescue,
    Op::CancelCall,
    Op::CancelLabel,
    Op::CancelIn(End::Commit),
    Op::CancelIn(End::Rollback),
    Op::Reschedule,
    Op::RunAgain,
    Op::RunAgainRepeated,
    Op::Delete,
    Op::Discard,
    Op::Prune,
];

/// All operations on a schedule and its runs.
pub(super) const ON_A_SCHEDULE: [Op; 24] = [
    Op::Claim,
    Op::Renew,
    Op::Succeed,
    Op::Retry,
    Op::Rerun,
    Op::Release,
    Op::Rescue,
    Op::CancelCall,
    Op::CancelLabel,
    Op::CancelIn(End::Commit),
    Op::CancelIn(End::Rollback),
    Op::Reschedule,
    Op::RescheduleLabel,
    Op::RunAgain,
    Op::Discard,
    Op::Declare,
    Op::DeclareAnotherRule,
    Op::DeclareUnderAnotherName,
    Op::Pause,
    Op::Resume,
    Op::Edit,
    Op::End,
    Op::Trigger,
    Op::EndUndeclared,
];

/// Which of the two operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    First,
    Second,
}

/// The ids and the time that everything in a test uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cast {
    /// By the server's clock, when the test began.
    pub(super) now: Moment,
    /// The pod that holds the call, or once held it.
    pub(super) holder: PodId,
    pods: [PodId; 2],
    pub(super) call: CallId,
    fresh: [CallId; 2],
    pub(super) schedule: ScheduleId,
    declared: [ScheduleId; 2],
}

/// The connections to the database.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) store: Arc<dyn Store>,
    /// The application's own connections; `None` on the memory store.
    pub(super) pool: Option<PgPool>,
}

pub(super) const LABEL: &str = "label";
pub(super) const NAME: &str = "work";
const OTHER_NAME: &str = "work, renamed";
/// The claim number of the holder.
pub(super) const CLAIM: i64 = 7;
const SOON: Duration = Duration::from_secs(5);
pub(super) const LEASE: Duration = Duration::from_hours(5);
pub(super) const KEEP: Retention = keeping(Duration::from_hours(24));

const fn keeping(age: Duration) -> Retention {
    Retention { succeeded: age, failed: age, interrupted: age, cancelled: age, skipped: age }
}

impl Cast {
    pub(super) fn at(now: Moment) -> Self {
        Self {
            now,
            holder: PodId::new(),
            pods: [PodId::new(), PodId::new()],
            call: CallId::new(),
            fresh: [CallId::new(), CallId::new()],
            schedule: ScheduleId::new(),
            declared: [ScheduleId::new(), ScheduleId::new()],
        }
    }

    /// Returns that many minutes after (before, if negative) the time at which operations meet.
    pub(super) fn minutes(&self, minutes: i64) -> Moment {
        Moment::from_micros(self.now.as_micros() + minutes * 60_000_000).expect("within the range")
    }

    pub(super) fn new_call(&self) -> NewCall {
        NewCall {
            id: self.call,
            name: NAME.to_owned(),
            identifier: Some(LABEL.to_owned()),
            args: "{}".to_owned(),
            format: 1,
            priority: 0,
            due: Due::At(self.minutes(-180)),
            expires_after: None,
            traceparent: None,
        }
    }

    pub(super) fn new_schedule(&self) -> NewSchedule {
        NewSchedule {
            id: self.schedule,
            key: "key".to_owned(),
            former_keys: Vec::new(),
            name: NAME.to_owned(),
            identifier: Some(LABEL.to_owned()),
            args: "{}".to_owned(),
            format: 1,
            priority: 0,
            rule: every_hours(1),
            origin: ScheduleOrigin::Attribute,
        }
    }

    pub(super) fn request(pod: PodId, claim_no: i64, on_vanish: OnVanish) -> ClaimRequest {
        ClaimRequest {
            pod,
            claim_no,
            names: [NAME, OTHER_NAME].map(|name| (name.to_owned(), on_vanish)).to_vec(),
            shapes: Arc::default(),
            limit: 10,
            lease: LEASE,
            until: None,
            ahead: Duration::ZERO,
            sweep: true,
            retention: KEEP,
        }
    }

    /// Returns the name of a call or a pod for comparisons.
    pub(super) fn name_of(&self, id: CallId) -> &'static str {
        match id {
            id if id == self.call => "the call",
            id if id == self.fresh[0] => "a new call of the first",
            id if id == self.fresh[1] => "a new call of the second",
            _ => "a run",
        }
    }

    /// Returns all given ids of calls, not the store's own.
    pub(super) fn calls(&self) -> Vec<uuid::Uuid> {
        [self.call, self.fresh[0], self.fresh[1]].map(|id| id.as_uuid()).to_vec()
    }

    fn pod(&self, side: Side) -> PodId {
        self.pods[usize::from(side == Side::Second)]
    }

    fn fresh(&self, side: Side) -> CallId {
        self.fresh[usize::from(side == Side::Second)]
    }

    fn declaring(&self, side: Side) -> NewSchedule {
        NewSchedule { id: self.declared[usize::from(side == Side::Second)], ..self.new_schedule() }
    }

    /// Returns the distance from the time at which operations meet, in steps of ten minutes: the progress of the
    /// server's clock since then does not show.
    pub(super) fn about(&self, moment: Moment) -> i64 {
        let minutes = (moment.as_micros() - self.now.as_micros()).div_euclid(60_000_000);
        (minutes + 5).div_euclid(10) * 10
    }
}

pub(super) fn every_hours(hours: u64) -> Rule {
    Rule::every(Duration::from_hours(hours)).expect("a rule")
}

impl Op {
    /// Returns the result if it skips rows that are locked, as if it had not been called.
    pub(super) fn passes_by(self) -> &'static [&'static str] {
        match self {
            Self::Claim => &["[] skipped 0"],
            Self::Rescue => &["[]"],
            Self::Prune => &["0"],
            // A lease that is over is not extended once the lock is gone: another pod may take the call first.
            Self::Renew => &[
                "Kept, cancelled false",
                "Kept, cancelled true",
                "Lost, cancelled false",
                "Lost, cancelled true",
            ],
            _ => &[],
        }
    }

    /// Performs it, and returns the result as text.
    pub(super) async fn run(self, way: Way, cast: Cast, target: CallId, side: Side) -> String {
        let done = match self {
            Self::Insert | Self::InsertAgain | Self::InsertIn(_) | Self::InsertClaimed | Self::Claim => {
                self.store_or_claim(&way, &cast, side).await
            }
            Self::Renew
            | Self::Succeed
            | Self::Retry
            | Self::Rerun
            | Self::Complete
            | Self::Release
            | Self::Rescue => self.hold(&way, &cast, target).await,
            Self::Declare
            | Self::DeclareAnotherRule
            | Self::DeclareUnderAnotherName
            | Self::Pause
            | Self::Resume
            | Self::Edit
            | Self::End
            | Self::Trigger
            | Self::EndUndeclared => self.schedule(&way, &cast, side).await,
            _ => self.operate(&way, &cast, target, side).await,
        };
        done.unwrap_or_else(|error| format!("error: {error} ({error:?})"))
    }

    async fn store_or_claim(self, way: &Way, cast: &Cast, side: Side) -> Result<String, StoreError> {
        let (store, now) = (&way.store, Now::At(cast.now));
        let (calls, pod) = ([cast.new_call()], cast.pod(side));
        let claim_no = if side == Side::First { 11 } else { 12 };
        let request = Cast::request(pod, claim_no, OnVanish::Keep);
        Ok(match self {
            Self::InsertIn(end) => insert_in(way, now, &calls, end).await?,
            Self::InsertClaimed => {
                let claimed = store.insert_claimed(now, &calls[0], &request).await?;
                format!("{:?}", claimed.map(|call| (call.claim_no, call.attempt)))
            }
            Self::Claim => {
                let claim = store.claim(now, &request).await?;
                let call = |call: &futurecall_runtime::store::ClaimedCall| {
                    let (name, due) = (cast.name_of(call.id), cast.about(call.due));
                    (name, due, call.claim_no, call.attempt, call.failures)
                };
                let mut calls: Vec<_> = claim.calls.iter().map(call).collect();
                calls.sort_unstable();
                format!("{calls:?} skipped {}", claim.skipped)
            }
            again => {
                format!("{:?}", store.insert(now, &calls, again == Self::InsertAgain, SOON).await?)
            }
        })
    }

    async fn hold(self, way: &Way, cast: &Cast, id: CallId) -> Result<String, StoreError> {
        let (store, now, pod) = (&way.store, Now::At(cast.now), cast.holder);
        let held = [Held { id, claim_no: CLAIM, started: true }];
        let after = Duration::ZERO;
        let outcome = match self {
            Self::Retry => Outcome::Retry { error: "it failed".to_owned(), after },
            Self::Rerun => Outcome::Rerun { error: "it was given up".to_owned() },
            _ => Outcome::Succeeded,
        };
        let (started_after, ran_for) = (Some(Duration::from_mins(10)), Duration::from_mins(10));
        let finish = Finish { id, claim_no: CLAIM, outcome, started_after, ran_for };
        Ok(match self {
            Self::Renew => {
                let renewed = store.renew(now, pod, &held, LEASE).await?;
                format!("{:?}, cancelled {}", renewed[0].lease, renewed[0].cancelled)
            }
            Self::Complete if way.pool.is_some() => {
                let open = store.begin(Duration::from_secs(10)).await?.expect("PostgreSQL has transactions");
                format!("{}", store.complete(open, now, pod, &finish, &KEEP).await?)
            }
            Self::Complete => {
                let is_held = store.completed(pod, id, CLAIM).await? == Completed::No;
                let done = is_held && store.finish(now, pod, &[finish], &KEEP).await?[0].is_recorded();
                format!("{done}")
            }
            Self::Release => format!("{}", store.release(now, pod, &held, None).await?),
            Self::Rescue => {
                let rescued = store.rescue(now, 10, &KEEP).await?;
                let told = rescued.iter().map(|one| (one.name.as_str(), one.pod, one.rerun));
                format!("{:?}", told.collect::<Vec<_>>())
            }
            _ => format!("{:?}", store.finish(now, pod, &[finish], &KEEP).await?[0]),
        })
    }

    async fn operate(self, way: &Way, cast: &Cast, target: CallId, side: Side) -> Result<String, StoreError> {
        let (store, now, due) = (&way.store, Now::At(cast.now), Due::At(cast.minutes(60)));
        let label = CancelTarget::Identifier(LABEL.to_owned());
        let call = CancelTarget::Call(target);
        Ok(match self {
            Self::CancelCall => format!("{:?}", store.cancel(now, &call, &KEEP).await?),
            Self::CancelLabel => format!("{:?}", store.cancel(now, &label, &KEEP).await?),
            Self::CancelIn(end) => cancel_in(way, now, &label, end).await?,
            Self::Reschedule => format!("{:?}", store.reschedule(now, &call, due, SOON).await?),
            Self::RescheduleLabel => format!("{:?}", store.reschedule(now, &label, due, SOON).await?),
            Self::RunAgain => {
                format!("{:?}", store.run_again(now, target, cast.fresh(side), false).await?)
            }
            Self::RunAgainRepeated => {
                format!("{:?}", store.run_again(now, target, cast.fresh(Side::First), true).await?)
            }
            Self::Delete => format!("{}", store.delete(now, &[target]).await?),
            Self::Discard => {
                format!("{}", store.discard(now, &[(target, "broken".to_owned())], &KEEP).await?)
            }
            _ => {
                let pruned = store.prune(now, &keeping(Duration::from_mins(30)), 10).await?;
                format!("{pruned}")
            }
        })
    }

    async fn schedule(self, way: &Way, cast: &Cast, side: Side) -> Result<String, StoreError> {
        let (store, now) = (&way.store, Now::At(cast.now));
        let reason = "by hand".to_owned();
        let change = match self {
            Self::Pause => ScheduleChange::Pause { reason },
            Self::Resume => ScheduleChange::Resume,
            Self::Edit => ScheduleChange::Edit(every_hours(3)),
            Self::End => ScheduleChange::End { reason },
            Self::Trigger => {
                let id = cast.fresh(Side::First);
                return Ok(format!("{:?}", store.trigger(now, cast.schedule, id, false).await?));
            }
            Self::EndUndeclared => {
                let live = LivePod {
                    names: vec![NAME.to_owned(), OTHER_NAME.to_owned()],
                    schedules: Vec::new(),
                    pod_live: Duration::from_hours(1),
                };
                let ended = store.end_undeclared(now, &live, Duration::from_hours(1)).await?;
                return Ok(format!("{ended}"));
            }
            _ => {
                let mut new = cast.declaring(side);
                if self == Self::DeclareAnotherRule {
                    new.rule = every_hours(2);
                }
                if self == Self::DeclareUnderAnotherName {
                    new.former_keys = vec![std::mem::replace(&mut new.key, "another key".to_owned())];
                    OTHER_NAME.clone_into(&mut new.name);
                }
                let declared = store.declare(now, &[new]).await?;
                return Ok(format!("created {}, changed {}", declared[0].created, declared[0].changed));
            }
        };
        Ok(format!("{:?}", store.change_schedule(now, cast.schedule, &change, &KEEP).await?))
    }
}

const ROLLED_BACK: &str = "rolled back";

async fn insert_in(way: &Way, now: Now, calls: &[NewCall], end: End) -> Result<String, StoreError> {
    let stored = match &way.pool {
        None if end == End::Rollback => true,
        None => way.store.insert(now, calls, false, SOON).await? == [Inserted::Stored],
        Some(pool) => {
            let mut transaction = pool.begin().await.expect("a transaction");
            match way.store.insert_in(transaction.lend(), calls, SOON).await {
                Ok(()) if end == End::Commit => transaction.commit().await.map(|()| true).expect("a commit"),
                Ok(()) => transaction.rollback().await.map(|()| true).expect("a rollback"),
                Err(error) if error.is_refused() => false,
                Err(error) => return Err(error),
            }
        }
    };
    Ok(if end == End::Rollback { ROLLED_BACK.to_owned() } else { format!("stored {stored}") })
}

async fn cancel_in(way: &Way, now: Now, target: &CancelTarget, end: End) -> Result<String, StoreError> {
    let cancelled = match &way.pool {
        None if end == End::Rollback => return Ok(ROLLED_BACK.to_owned()),
        None => way.store.cancel(now, target, &KEEP).await?,
        Some(pool) => {
            let mut transaction = pool.begin().await.expect("a transaction");
            let cancelled = way.store.cancel_in(transaction.lend(), target, &KEEP).await?;
            if end == End::Rollback {
                transaction.rollback().await.expect("a rollback");
                return Ok(ROLLED_BACK.to_owned());
            }
            transaction.commit().await.expect("a commit");
            cancelled
        }
    };
    Ok(format!("{cancelled:?}"))
}
