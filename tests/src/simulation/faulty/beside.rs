//! Operations of a pod outside of the protocol of calls: its row, queries, and operators' actions.

use std::time::Duration;

use async_trait::async_trait;
use futurecall_runtime::operate::ActionId;
use futurecall_runtime::store::{
    ActionFilter, ActionRecord, ActionStore, Backlog, CallFilter, CallPage, CallRecord, CountingStore,
    Counts, Inserted, InspectStore, KeysLook, ListingStore, LogStore, NewAction, NewLog, Now, OperateStore,
    PausedName, PendingKeys, PendingName, PendingStore, PodBeat, PodRecord, PodStore, Retention, RunLog,
    ScheduleChange, ScheduleChanged, ScheduleRecord, Span, Statistics, StatisticsStore, TimelineCount,
};
use futurecall_runtime::{CallId, Moment, PodId, ScheduleId, StoreError};

use super::{Faulty, Server};

#[async_trait]
impl PodStore for Faulty {
    async fn beat(&self, _now: Now, pod: &PodBeat) -> Result<bool, StoreError> {
        let pod = pod.clone();
        self.ask(move |server| server.beat(&pod)).await
    }

    async fn reopen(&self, _now: Now, live: Duration, limit: usize) -> Result<u64, StoreError> {
        self.ask(move |server| server.reopen(live, limit)).await
    }

    async fn leave(&self, pod: PodId) -> Result<(), StoreError> {
        self.ask(move |server| server.leave(pod)).await
    }

    async fn pods(&self, _now: Now, within: Duration) -> Result<Vec<PodRecord>, StoreError> {
        self.ask(move |server| server.pods(within)).await
    }
}

#[async_trait]
impl ListingStore for Faulty {
    async fn calls(&self, _now: Now, filter: &CallFilter) -> Result<CallPage, StoreError> {
        let filter = filter.clone();
        self.ask(move |server| server.calls(&filter)).await
    }

    async fn count(&self, _now: Now, filter: &CallFilter, cap: u64) -> Result<u64, StoreError> {
        let filter = filter.clone();
        self.ask(move |server| server.count(&filter, cap)).await
    }
}

#[async_trait]
impl CountingStore for Faulty {
    async fn counts(&self, _now: Now, cap: u64) -> Result<Counts, StoreError> {
        self.ask(move |server| server.counts(cap)).await
    }

    async fn ahead(&self, _now: Now, id: CallId, cap: u64) -> Result<u64, StoreError> {
        self.ask(move |server| server.ahead(id, cap)).await
    }

    async fn timeline(
        &self,
        _now: Now,
        edges: &[Moment],
        cap: u64,
    ) -> Result<Vec<TimelineCount>, StoreError> {
        let edges = edges.to_vec();
        self.ask(move |server| server.timeline(&edges, cap)).await
    }

    async fn backlog(&self, _now: Now, cap: u64, pod_live: Duration) -> Result<Backlog, StoreError> {
        self.ask(move |server| server.backlog(cap, pod_live)).await
    }
}

#[async_trait]
impl PendingStore for Faulty {
    async fn pending_names(&self, _now: Now, cap: u64) -> Result<Vec<PendingName>, StoreError> {
        self.ask(move |server| server.pending_names(cap)).await
    }

    async fn pending_keys(&self, _now: Now, look: &KeysLook) -> Result<Vec<PendingKeys>, StoreError> {
        let look = look.clone();
        self.ask(move |server| server.pending_keys(&look)).await
    }
}

#[async_trait]
impl InspectStore for Faulty {
    async fn call(&self, _now: Now, id: CallId) -> Result<Option<CallRecord>, StoreError> {
        self.ask(move |server| Ok(server.record(id))).await
    }

    async fn schedules(&self) -> Result<Vec<ScheduleRecord>, StoreError> {
        self.ask(Server::schedules).await
    }
}

#[async_trait]
impl OperateStore for Faulty {
    async fn delete(&self, _now: Now, ids: &[CallId]) -> Result<u64, StoreError> {
        let ids = ids.to_vec();
        self.ask(move |server| server.delete(&ids)).await
    }

    async fn change_schedule(
        &self,
        _now: Now,
        id: ScheduleId,
        change: &ScheduleChange,
        retention: &Retention,
    ) -> Result<ScheduleChanged, StoreError> {
        let (change, retention) = (change.clone(), *retention);
        self.ask(move |server| server.change_schedule(id, &change, &retention)).await
    }

    async fn trigger(
        &self,
        _now: Now,
        schedule: ScheduleId,
        id: CallId,
        again: bool,
    ) -> Result<Option<Inserted>, StoreError> {
        self.ask(move |server| server.trigger(schedule, id, again)).await
    }

    async fn pause_name(&self, _now: Now, name: &str, actor: &str, reason: &str) -> Result<bool, StoreError> {
        let (name, actor, reason) = (name.to_owned(), actor.to_owned(), reason.to_owned());
        self.ask(move |server| server.pause_name(&name, &actor, &reason)).await
    }

    async fn resume_name(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.ask(move |server| server.resume_name(&name)).await
    }

    async fn paused_names(&self) -> Result<Vec<PausedName>, StoreError> {
        self.ask(Server::paused_names).await
    }
}

#[async_trait]
impl ActionStore for Faulty {
    async fn note_action(&self, _now: Now, action: &NewAction) -> Result<(), StoreError> {
        let action = action.clone();
        self.ask(move |server| server.note_action(&action)).await
    }

    async fn settle_action(&self, id: ActionId, outcome: &str) -> Result<(), StoreError> {
        let outcome = outcome.to_owned();
        self.ask(move |server| server.settle_action(id, &outcome)).await
    }

    async fn actions(&self, filter: &ActionFilter) -> Result<Vec<ActionRecord>, StoreError> {
        let filter = filter.clone();
        self.ask(move |server| server.actions(&filter)).await
    }
}

#[async_trait]
impl LogStore for Faulty {
    async fn keep_logs(&self, _now: Now, logs: &[NewLog]) -> Result<(), StoreError> {
        let logs = logs.to_vec();
        self.ask(move |server| server.keep_logs(&logs)).await
    }

    async fn logs(&self, id: CallId) -> Result<Vec<RunLog>, StoreError> {
        self.ask(move |server| server.logs(id)).await
    }
}

#[async_trait]
impl StatisticsStore for Faulty {
    async fn put_statistics(&self, pod: PodId, counted: &[Statistics]) -> Result<(), StoreError> {
        let counted = counted.to_vec();
        self.ask(move |server| server.put_statistics(pod, &counted)).await
    }

    async fn statistics(
        &self,
        span: Span,
        since: Moment,
        name: Option<&str>,
    ) -> Result<Vec<Statistics>, StoreError> {
        let name = name.map(str::to_owned);
        self.ask(move |server| server.statistics(span, since, name.as_deref())).await
    }
}
