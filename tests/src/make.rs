//! Builders and shorthands for the cases.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futurecall_runtime::recurring::Rule;
use futurecall_runtime::store::{
    CallFilter, CallRecord, CallState, CancelTarget, Cancelled, Claim, ClaimRequest, ClaimedCall, Due,
    Finish, Finished, Held, Inserted, NewCall, NewSchedule, Now, OnVanish, Outcome, Renewed, Rescued,
    Retention, ScheduleOrigin, ScheduleRecord, Store,
};
use futurecall_runtime::{CallId, Moment, PodId, ScheduleId};

use crate::suite::Fixture;

/// The lease of every claim, unless a case needs another.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// The time span within which an insert notifies other pods.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// Keeps every outcome for an hour.
pub(crate) const KEEP: Retention = same_retention(Duration::from_hours(1));

/// Keeps nothing.
pub(crate) const FORGET: Retention = same_retention(Duration::ZERO);

const fn same_retention(age: Duration) -> Retention {
    Retention { succeeded: age, failed: age, interrupted: age, cancelled: age, skipped: age }
}

/// Returns that many seconds after the time at which the cases begin, 2027-01-01 00:00:00 UTC.
pub(crate) fn at(seconds: i64) -> Moment {
    micros(seconds * 1_000_000)
}

/// Returns that many microseconds after the time at which the cases begin.
pub(crate) fn micros(micros: i64) -> Moment {
    Moment::from_micros(1_798_761_600_000_000 + micros).expect("cases stay within the range")
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Returns a call without arguments, due when the cases begin.
pub(crate) fn call(name: &str) -> NewCall {
    NewCall {
        id: CallId::new(),
        name: name.to_owned(),
        identifier: None,
        args: "{}".to_owned(),
        format: 1,
        priority: 0,
        due: Due::At(at(0)),
        expires_after: None,
        traceparent: None,
    }
}

/// Returns a call without arguments, due that many seconds after the cases begin.
pub(crate) fn call_at(name: &str, seconds: i64) -> NewCall {
    NewCall { due: Due::At(at(seconds)), ..call(name) }
}

/// Returns a call without arguments that has an identifier.
pub(crate) fn labelled(name: &str, identifier: &str) -> NewCall {
    NewCall { identifier: Some(identifier.to_owned()), ..call(name) }
}

/// Returns a schedule declared by code under this key.
pub(crate) fn schedule(key: &str, rule: Rule) -> NewSchedule {
    NewSchedule {
        id: ScheduleId::new(),
        key: key.to_owned(),
        former_keys: Vec::new(),
        name: "work".to_owned(),
        identifier: Some(key.to_owned()),
        args: r#"{"n": 1}"#.to_owned(),
        format: 1,
        priority: 0,
        rule,
        origin: ScheduleOrigin::Code,
    }
}

/// Returns an interval of that many seconds.
pub(crate) fn every(seconds: u64) -> Rule {
    Rule::every(secs(seconds)).expect("a rule")
}

pub(crate) fn identifier(identifier: &str) -> CancelTarget {
    CancelTarget::Identifier(identifier.to_owned())
}

pub(crate) fn failed(error: &str) -> Outcome {
    Outcome::Failed { error: error.to_owned() }
}

pub(crate) fn retry(error: &str, after: u64) -> Outcome {
    Outcome::Retry { error: error.to_owned(), after: secs(after) }
}

pub(crate) fn ids(calls: &[ClaimedCall]) -> Vec<CallId> {
    calls.iter().map(|call| call.id).collect()
}

pub(crate) fn new_ids(calls: &[NewCall]) -> Vec<CallId> {
    calls.iter().map(|call| call.id).collect()
}

/// Returns the claim as held by its pod.
pub(crate) fn held(call: &ClaimedCall) -> Held {
    Held { id: call.id, claim_no: call.claim_no, started: false }
}

/// Returns the end of a run that began a second after its claim and took two.
pub(crate) fn finish(call: &ClaimedCall, outcome: Outcome) -> Finish {
    Finish { id: call.id, claim_no: call.claim_no, outcome, started_after: Some(secs(1)), ran_for: secs(2) }
}

impl Fixture {
    /// Stores calls when the cases begin.
    pub(crate) async fn add(&self, calls: &[NewCall]) {
        let inserted = self.store.insert(Now::At(at(0)), calls, false, SOON).await.expect("an insert");
        assert_eq!(inserted, vec![Inserted::Stored; calls.len()]);
    }

    /// Declares one schedule and returns its permanent id.
    pub(crate) async fn declare(&self, now: Moment, schedule: &NewSchedule) -> ScheduleId {
        let declared =
            self.store.declare(Now::At(now), std::slice::from_ref(schedule)).await.expect("a declaration");
        assert_eq!(declared.len(), 1);
        declared[0].id
    }

    /// Returns a pod on the first handle.
    pub(crate) fn pod(&self) -> Pod {
        Pod::on(&self.store)
    }

    /// Returns a pod on the second handle.
    pub(crate) fn other_pod(&self) -> Pod {
        Pod::on(&self.other)
    }

    pub(crate) async fn cancel(&self, now: Moment, target: &CancelTarget) -> Cancelled {
        self.store.cancel(Now::At(now), target, &KEEP).await.expect("a cancellation")
    }

    pub(crate) async fn rescue(&self, now: Moment) -> Vec<Rescued> {
        self.other.rescue(Now::At(now), 100, &KEEP).await.expect("a rescue")
    }

    /// Returns the call, which must exist.
    pub(crate) async fn record(&self, id: CallId) -> CallRecord {
        self.find(id).await.unwrap_or_else(|| panic!("call {id} is neither pending nor in the history"))
    }

    pub(crate) async fn find(&self, id: CallId) -> Option<CallRecord> {
        self.other.call(Now::At(at(0)), id).await.expect("a look-up")
    }

    pub(crate) async fn state(&self, id: CallId) -> CallState {
        self.record(id).await.state
    }

    /// Returns all calls that match the filter, on one page, as of a time after everything in a case.
    pub(crate) async fn list(&self, filter: CallFilter) -> Vec<CallRecord> {
        let now = Now::At(at(1_000_000_000));
        let page = self.store.calls(now, &filter.limit(10_000)).await.expect("a page");
        assert_eq!(page.next, None, "all fit on one page");
        page.calls
    }

    pub(crate) async fn listed(&self, state: CallState) -> Vec<CallRecord> {
        self.list(CallFilter::new().state(state)).await
    }

    /// Returns the only schedule.
    pub(crate) async fn the_schedule(&self) -> ScheduleRecord {
        let mut schedules = self.store.schedules().await.expect("the schedules");
        assert_eq!(schedules.len(), 1, "{schedules:?}");
        schedules.remove(0)
    }

    /// Returns the only waiting call.
    pub(crate) async fn the_pending(&self) -> CallRecord {
        let mut pending = self.listed(CallState::Scheduled).await;
        assert_eq!(pending.len(), 1, "{pending:?}");
        pending.remove(0)
    }
}

/// A pod that the case plays.
pub(crate) struct Pod {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) id: PodId,
    pub(crate) on_vanish: OnVanish,
    last_claim: AtomicI64,
}

impl Pod {
    pub(crate) fn on(store: &Arc<dyn Store>) -> Self {
        let store = Arc::clone(store);
        Self { store, id: PodId::new(), on_vanish: OnVanish::Keep, last_claim: AtomicI64::new(0) }
    }

    /// Returns the same pod, whose calls are rerun if it vanishes.
    pub(crate) fn rerunning(self) -> Self {
        self.rerunning_within(5, Duration::ZERO)
    }

    /// Returns the same pod, whose calls are rerun that long after it vanished, until that many pods have.
    pub(crate) fn rerunning_within(self, budget: u32, after: Duration) -> Self {
        Self { on_vanish: OnVanish::Rerun { budget, after }, ..self }
    }

    /// Returns the same pod on another handle.
    pub(crate) fn through(&self, store: &Arc<dyn Store>) -> Self {
        Self { id: self.id, ..Self::on(store) }
    }

    pub(crate) fn request(&self, names: &[&str], limit: usize) -> ClaimRequest {
        ClaimRequest {
            pod: self.id,
            claim_no: self.last_claim.fetch_add(1, Ordering::Relaxed) + 1,
            names: names.iter().map(|name| ((*name).to_owned(), self.on_vanish)).collect(),
            shapes: Arc::default(),
            limit,
            lease: LEASE,
            until: None,
            ahead: Duration::ZERO,
            sweep: true,
            retention: KEEP,
        }
    }

    pub(crate) async fn send(&self, now: Moment, request: &ClaimRequest) -> Claim {
        self.store.claim(Now::At(now), request).await.expect("a claim")
    }

    /// Claims, and returns the whole result.
    pub(crate) async fn ask(&self, now: Moment, names: &[&str], limit: usize) -> Claim {
        self.send(now, &self.request(names, limit)).await
    }

    /// Claims, and returns the calls.
    pub(crate) async fn claim(&self, now: Moment, names: &[&str], limit: usize) -> Vec<ClaimedCall> {
        self.ask(now, names, limit).await.calls
    }

    /// Claims if there is exactly one call of the name.
    pub(crate) async fn claim_one(&self, now: Moment, name: &str) -> ClaimedCall {
        let mut calls = self.claim(now, &[name], 100).await;
        assert_eq!(calls.len(), 1, "{calls:?}");
        calls.remove(0)
    }

    /// Records an outcome; returns whether the fence held.
    pub(crate) async fn finish(&self, now: Moment, call: &ClaimedCall, outcome: Outcome) -> bool {
        self.finish_keeping(now, call, outcome, &KEEP).await
    }

    pub(crate) async fn finish_keeping(
        &self,
        now: Moment,
        call: &ClaimedCall,
        outcome: Outcome,
        retention: &Retention,
    ) -> bool {
        self.ended_keeping(now, call, outcome, retention).await.is_recorded()
    }

    /// Records an outcome; returns the result.
    pub(crate) async fn ended(&self, now: Moment, call: &ClaimedCall, outcome: Outcome) -> Finished {
        self.ended_keeping(now, call, outcome, &KEEP).await
    }

    pub(crate) async fn ended_keeping(
        &self,
        now: Moment,
        call: &ClaimedCall,
        outcome: Outcome,
        retention: &Retention,
    ) -> Finished {
        let finished = [finish(call, outcome)];
        let results = self.store.finish(Now::At(now), self.id, &finished, retention).await.expect("a finish");
        assert_eq!(results.len(), 1);
        results[0]
    }

    pub(crate) async fn renew(&self, now: Moment, call: &ClaimedCall) -> Renewed {
        self.renew_held(now, held(call)).await
    }

    pub(crate) async fn renew_held(&self, now: Moment, held: Held) -> Renewed {
        let renewed = self.store.renew(Now::At(now), self.id, &[held], LEASE).await.expect("a renewal");
        assert_eq!(renewed.len(), 1);
        renewed[0]
    }

    pub(crate) async fn release(&self, now: Moment, call: &ClaimedCall) -> u64 {
        self.store.release(Now::At(now), self.id, &[held(call)], None).await.expect("a release")
    }
}
