//! Schedules for tests.

use futurecall_runtime::ScheduleId;
use futurecall_runtime::inspect::ScheduleRecord;
use futurecall_runtime::prelude::*;
use futurecall_runtime::recurring::{Recurrence, Rule};

/// Recurs.
#[derive(Debug)]
pub(crate) struct TickFutureCall;

#[future_call]
impl TickFutureCall {
    /// Does nothing.
    pub(crate) async fn tock(_session: &Session) {}

    /// Knows something that nobody should see.
    pub(crate) async fn whisper(_session: &Session, _to: String, #[future_call(redact)] _secret: String) {}
}

/// Declares a schedule by that cron rule.
pub(crate) async fn declare(pod: &Pod, rule: Rule) -> ScheduleId {
    let effective = rule.clone();
    let Recurrence::Cron { expression, time_zone, .. } = rule.recurrence else { panic!("a cron rule") };
    let calls = pod.future_calls();
    calls
        .call_recurring()
        .identifier(&expression)
        .cron(&expression)
        .time_zone(&time_zone)
        .tick()
        .tock()
        .await
        .unwrap();
    let all = pod.inspect().schedules().await.unwrap();
    all.into_iter().find(|one| one.effective == effective).unwrap().id
}

pub(crate) async fn schedule(pod: &Pod, id: ScheduleId) -> ScheduleRecord {
    pod.inspect().schedules().await.unwrap().into_iter().find(|schedule| schedule.id == id).unwrap()
}
