//! Rows of two stores, compared by their contents, not by ids that each store creates itself.

use futurecall_runtime::store::{CallRecord, ClaimedCall, Held};
use futurecall_runtime::{CallId, Moment, ScheduleId};

/// A call by what both stores must agree on. The ids of a schedule's calls are the store's own, so that these go by
/// their schedule and their moments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Which {
    Given(CallId),
    OfSchedule(ScheduleId, Moment, Moment),
}

pub(super) fn held(some: &[(ClaimedCall, ClaimedCall)], started: &[bool]) -> (Vec<Held>, Vec<Held>) {
    let held = |call: &ClaimedCall, started: bool| Held { id: call.id, claim_no: call.claim_no, started };
    some.iter()
        .zip(started)
        .map(|((model, store), started)| (held(model, *started), held(store, *started)))
        .unzip()
}

pub(super) fn of_record(record: &CallRecord) -> Which {
    match record.schedule {
        None => Which::Given(record.id),
        Some(schedule) => Which::OfSchedule(schedule, record.due, record.created),
    }
}

/// A claimed call does not say when it was created; one moment of a schedule is claimed once.
pub(super) fn of_claimed(call: &ClaimedCall) -> Which {
    match call.schedule {
        None => Which::Given(call.id),
        Some(schedule) => Which::OfSchedule(schedule, call.first_due, call.claimed),
    }
}

pub(super) fn is_lane_by_lane(calls: &[ClaimedCall]) -> bool {
    calls.iter().enumerate().all(|(at, call)| {
        let earlier = calls[..at]
            .iter()
            .filter(|earlier| (&earlier.name, earlier.priority) == (&call.name, call.priority));
        earlier.map(|earlier| earlier.due).all(|due| due <= call.due)
    })
}

pub(super) fn plain(calls: &[ClaimedCall]) -> Vec<Which> {
    calls.iter().map(of_claimed).collect()
}

/// All rows without the ids that are the store's own, in an order that both agree on.
pub(super) fn settled(records: Vec<CallRecord>) -> Vec<(Which, CallRecord)> {
    let settle = |mut record: CallRecord| {
        let which = of_record(&record);
        record.id = CallId::from_uuid(uuid::Uuid::nil());
        (which, record)
    };
    let mut settled: Vec<_> = records.into_iter().map(settle).collect();
    settled.sort_by(|(one, _), (other, _)| one.cmp(other));
    settled
}
