//! The objects that the futures of a round use.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futurecall_runtime::chrono::{DateTime, TimeZone, Utc};
use futurecall_runtime::operate::Selection;
use futurecall_runtime::recurring::Rule;
use futurecall_runtime::{CallId, Pod, PodBuilder, Role, ScheduleId};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::Journal;
use tokio::sync::Semaphore;

use super::handlers::{COMPLETE, Complete, KeptTickFutureCall, NOTE, Note};

/// The stored name of calls that no pod of a round runs.
pub(crate) const ELSEWHERE: &str = "elsewhere";
/// How many calls there are in a group that is changed together.
pub(crate) const GROUP: usize = 3;

/// Pods on one database, and calls that were stored before.
pub(crate) struct Stage<'b> {
    pub(crate) backend: &'b Backend,
    pub(crate) pod: Pod,
    /// Runs due calls only on request.
    pub(crate) side: Pod,
    /// Is ended in the round.
    pub(crate) ending: Pod,
    pub(crate) journal: Journal,
    pub(crate) gate: Arc<Semaphore>,
}

/// The due time of calls that were not rescheduled.
pub(crate) fn far() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2060, 1, 1, 0, 0, 0).single().expect("there is such a moment")
}

impl<'b> Stage<'b> {
    pub(crate) async fn new(backend: &'b Backend) -> Self {
        let (journal, gate) = (Journal::new(), Arc::new(Semaphore::new(0)));
        let builder = || with_handlers(backend, &journal, &gate);
        let pod = builder().start().await.unwrap();
        let side = builder().role(Role::Maintenance).start().await.unwrap();
        let ending = backend.builder().start().await.unwrap();
        Self { backend, pod, side, ending, journal, gate }
    }

    /// Whether handlers can begin transactions.
    pub(crate) fn has_transactions(&self) -> bool {
        !matches!(self.backend, Backend::Memory(_))
    }

    /// Stores calls that stay unless they are changed.
    pub(crate) async fn group(&self) -> Vec<CallId> {
        let calls = self.pod.future_calls();
        let group = (0..GROUP).map(|_| self.pod.future_call_at_time(ELSEWHERE, None::<&()>, far()));
        calls.schedule_all(group).await.unwrap()
    }

    /// Does the same with an identifier.
    pub(crate) async fn identified(&self, identifier: &str) -> Vec<CallId> {
        let calls = self.pod.future_calls();
        let one = || self.pod.future_call_at_time(ELSEWHERE, None::<&()>, far()).identifier(identifier);
        calls.schedule_all((0..GROUP).map(|_| one())).await.unwrap()
    }

    /// Stores calls that have ended.
    pub(crate) async fn over(&self) -> Vec<CallId> {
        let ids = self.group().await;
        let acted = self.pod.operate("stage").cancel(Selection::Calls(ids.clone())).await.unwrap();
        assert_eq!(acted.done, GROUP as u64);
        ids
    }

    /// Declares a schedule of a call that no pod runs.
    pub(crate) async fn schedule(&self, identifier: &str) -> ScheduleId {
        declare(&self.pod, identifier).await.unwrap()
    }
}

/// Returns a schedule of the call that writes lines, first due in an hour.
pub(crate) fn declare(pod: &Pod, identifier: &str) -> futurecall_runtime::schedule::PendingSchedule {
    let every_hour =
        pod.future_calls().call_recurring().identifier(identifier).every(Duration::from_hours(1));
    every_hour.of::<KeptTickFutureCall>().tick()
}

pub(crate) fn another_rule() -> Rule {
    Rule::every(Duration::from_hours(2)).expect("it is a rule")
}

fn with_handlers(backend: &Backend, journal: &Journal, gate: &Arc<Semaphore>) -> PodBuilder {
    let builder = backend.builder().register_future_call(NOTE, Note(journal.clone()));
    match backend {
        Backend::Memory(_) => builder,
        Backend::Sqlite(_) => builder.register_future_call(COMPLETE, complete::<sqlx::Sqlite>(gate)),
        Backend::Postgres(_) => builder.register_future_call(COMPLETE, complete::<sqlx::Postgres>(gate)),
    }
}

fn complete<Db>(gate: &Arc<Semaphore>) -> Complete<Db> {
    Complete { gate: Arc::clone(gate), database: PhantomData }
}
