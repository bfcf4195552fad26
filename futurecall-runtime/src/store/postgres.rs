//! The PostgreSQL store: many pods on one database.
//!
//! The server decides: its clock, its row locks. Every method is one statement, or one short transaction in READ
//! COMMITTED; nothing outlives a transaction on a connection, so that a pooler in transaction mode changes nothing but
//! the wake-ups.

mod actions;
mod again;
mod alive;
mod backlog;
mod cancel;
mod claim;
mod connect;
mod copy;
mod counting;
mod finish;
mod gap;
mod haul;
mod insert;
mod inspect;
mod keys;
mod known;
mod lanes;
mod listen;
mod listing;
mod logs;
mod look;
mod migrate;
mod operate;
mod reschedule;
mod rights;
mod runs;
mod schedule;
mod session;
mod settings;
mod spelling;
mod sql;
mod statistics;
#[cfg(test)]
mod tests;
mod timetable;
mod transaction;

use std::str::FromStr;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::OptionFuture;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::OnceCell;

use self::connect::{Link, nothing_done};
use self::lanes::Lanes;
use self::listen::Wake;
use self::spelling::{Spelled as _, ascii};
pub(crate) use self::transaction::PostgresOpen;
use super::place::check_schema;
use super::transaction::OpenTransaction;
use super::{
    ActionFilter, ActionRecord, Backlog, CallFilter, CallPage, CallRecord, CancelTarget, Cancelled, Claim,
    ClaimRequest, ClaimedCall, Completed, Counts, Declared, Due, Finish, Finished, Held, Inserted, KeysLook,
    LivePod, MigrationRecord, NewAction, NewCall, NewLog, NewSchedule, Now, PausedName, PendingKeys, PodBeat,
    PodRecord, Renewed, Rescheduled, Rescued, Retention, RunAgain, RunLog, ScheduleChange, ScheduleChanged,
    ScheduleRecord, Span, Statistics, Store, TimelineCount, TransactionRef,
};
use crate::error::StoreError;
use crate::id::{ActionId, CallId, PodId, ScheduleId};
use crate::moment::Moment;

/// How many connections a store opens unless told.
const CONNECTIONS: u32 = 4;

/// Calls in a PostgreSQL database (14 or newer), shared by all pods that reach it.
///
/// The tables stand in a schema of their own; [`migrate`](Store::migrate) makes them, and asks for no right to where they
/// are there: a pod needs no more than the rights that `migrations/roles.sql` grants to its kind. A handle opens a small pool of
/// its own, and one more connection to hear of other pods' calls once [`changed`](Store::changed) is first waited for.
///
/// # Behind a connection pooler
///
/// In transaction mode everything works except hearing of others at once: calls of other pods are found by the poll, up
/// to a scan interval later. Nothing is left behind on the sessions that a pod shares with others: before a pod listens it
/// makes sure that its session is its own. The pooler must track prepared statements (PgBouncer 1.21 and newer:
/// `max_prepared_statements`); for one that does not, add `?statement-cache-capacity=0` to the URL: nothing is then
/// prepared beyond a transaction. What a handler sends in [`Session::transaction`](crate::Session::transaction) needs
/// `.persistent(false)` there, as every statement of sqlx does behind such a pooler.
///
/// In session mode pods hear of each other as on a direct connection. Each connection of a pod keeps one of the pooler's
/// (`default_pool_size`): those of the pod's pool, one for leases, one to listen.
/// PgBouncer needs no `ignore_startup_parameters` for a pod; parameters in the URL (`options`) it refuses.
///
/// ```no_run
/// use futurecall_runtime::store::{PostgresStore, Store};
/// # async fn example() -> Result<(), futurecall_runtime::StoreError> {
/// let store = PostgresStore::open("postgres://app@localhost/app", "futurecall").await?;
/// store.migrate().await?;
/// println!("the database's clock says {}", store.now().await?);
/// # Ok(())
/// # }
/// ```
pub struct PostgresStore {
    link: Arc<Link>,
    schema: Arc<str>,
    wake: Wake,
    lanes: Arc<Lanes>,
    /// How many claims in a row found nothing but rows that others had locked.
    crowded: AtomicU32,
    /// Connections for the transactions of handlers, opened when the first is wanted.
    lending: OnceLock<PgPool>,
    /// Whether the database role may read arguments; asked when they are first to be shown.
    sees_arguments: OnceCell<bool>,
}

impl PostgresStore {
    /// Connects to the database of that URL (waiting up to 10 seconds for a server that is starting), with 4
    /// connections of its own at most.
    ///
    /// `schema` is the name of the schema for the tables: `a` to `z`, `0` to `9` and `_`, 48 characters at most, not
    /// beginning with a digit or with `pg_`.
    pub async fn open(url: &str, schema: &str) -> Result<Self, StoreError> {
        Self::open_with(url, schema, CONNECTIONS).await
    }

    /// [`open`](Self::open) with up to `connections` connections; at least one.
    pub async fn open_with(url: &str, schema: &str, connections: u32) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url).map_err(nothing_done("read the database URL"))?;
        Self::with_options(options, schema, connections).await
    }

    /// Connects to the database that the application's pool is connected to, with up to `connections` connections of
    /// its own; at least one. Of the pool it takes the connect options alone, and never a connection: what
    /// the application does on its connections (`SET ROLE`, hooks of the pool) does not hold on these.
    pub async fn from_pool(pool: &PgPool, schema: &str, connections: u32) -> Result<Self, StoreError> {
        Self::with_options(pool.connect_options().as_ref().clone(), schema, connections).await
    }

    async fn with_options(
        options: PgConnectOptions,
        schema: &str,
        connections: u32,
    ) -> Result<Self, StoreError> {
        check_schema(schema).map_err(|fault| {
            StoreError::permanent("use the database", format!("schema `{}` {fault}", schema.escape_debug()))
        })?;
        let link = Link::open(options, connections).await?;
        link.warn_of_settings();
        Ok(Self::on(link, schema.into()))
    }

    fn on(link: Link, schema: Arc<str>) -> Self {
        let lanes = Arc::new(Lanes::default());
        let wake = Wake::new(&schema, Arc::clone(&lanes));
        let (crowded, lending, sees_arguments) = (AtomicU32::new(0), OnceLock::new(), OnceCell::new());
        Self { link: Arc::new(link), schema, wake, lanes, crowded, lending, sees_arguments }
    }
}

impl super::sealed::Sealed for PostgresStore {}

#[async_trait]
impl Store for PostgresStore {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        self.bring_up().await
    }

    async fn separate(&self) -> Result<Box<dyn Store>, StoreError> {
        let link = Link::open(self.options(), 1).await?;
        Ok(Box::new(Self::on(link, Arc::clone(&self.schema))))
    }

    async fn close(&self) {
        let lending = OptionFuture::from(self.lending.get().map(PgPool::close));
        self.wake.said().await;
        self.wake.close().await;
        self.link.close().await;
        lending.await;
    }

    async fn now(&self) -> Result<Moment, StoreError> {
        self.clock().await
    }

    fn hears(&self) -> bool {
        self.wake.hears()
    }

    async fn changed(&self) {
        self.wake.changed(self.options(), &self.link).await;
    }

    async fn insert(
        &self,
        now: Now,
        calls: &[NewCall],
        again: bool,
        soon: Duration,
    ) -> Result<Vec<Inserted>, StoreError> {
        self.insert_calls(now, calls, again, soon).await
    }

    async fn insert_claimed(
        &self,
        now: Now,
        call: &NewCall,
        request: &ClaimRequest,
    ) -> Result<Option<ClaimedCall>, StoreError> {
        self.insert_claimed_call(now, call, request).await
    }

    async fn insert_in(
        &self,
        transaction: TransactionRef<'_>,
        calls: &[NewCall],
        soon: Duration,
    ) -> Result<(), StoreError> {
        self.insert_calls_in(transaction, calls, soon).await
    }

    async fn cancel(
        &self,
        now: Now,
        target: &CancelTarget,
        retention: &Retention,
    ) -> Result<Cancelled, StoreError> {
        self.cancel_target(now, target, retention).await
    }

    async fn cancel_in(
        &self,
        transaction: TransactionRef<'_>,
        target: &CancelTarget,
        retention: &Retention,
    ) -> Result<Cancelled, StoreError> {
        self.cancel_target_in(transaction, target, retention).await
    }

    async fn reschedule(
        &self,
        now: Now,
        target: &CancelTarget,
        due: Due,
        soon: Duration,
    ) -> Result<Rescheduled, StoreError> {
        self.reschedule_calls(now, target, due, soon).await
    }

    async fn run_again(&self, now: Now, of: CallId, id: CallId, again: bool) -> Result<RunAgain, StoreError> {
        self.run_call_again(now, of, id, again).await
    }

    async fn declare(&self, now: Now, schedules: &[NewSchedule]) -> Result<Vec<Declared>, StoreError> {
        self.declare_schedules(now, schedules).await
    }

    async fn end_undeclared(&self, now: Now, live: &LivePod, grace: Duration) -> Result<u64, StoreError> {
        self.end_undeclared_schedules(now, live, grace).await
    }

    async fn claim(&self, now: Now, request: &ClaimRequest) -> Result<Claim, StoreError> {
        self.claim_calls(now, request).await
    }

    async fn find_claim(&self, pod: PodId, claim_no: i64) -> Result<Vec<ClaimedCall>, StoreError> {
        self.find_claimed(pod, claim_no).await
    }

    async fn renew(
        &self,
        now: Now,
        pod: PodId,
        held: &[Held],
        lease: Duration,
    ) -> Result<Vec<Renewed>, StoreError> {
        self.renew_leases(now, pod, held, lease).await
    }

    async fn finish(
        &self,
        now: Now,
        pod: PodId,
        finished: &[Finish],
        retention: &Retention,
    ) -> Result<Vec<Finished>, StoreError> {
        let done = self.finish_calls(now, pod, finished, retention).await;
        if spelling::is_refused(&done) {
            return self.finish_calls(now, pod, &finished.to_vec().in_ascii(), retention).await;
        }
        done
    }

    async fn begin(&self, _limit: Duration) -> Result<Option<OpenTransaction>, StoreError> {
        self.begin_for_handler().await.map(Some)
    }

    async fn complete(
        &self,
        transaction: OpenTransaction,
        now: Now,
        pod: PodId,
        finish: &Finish,
        retention: &Retention,
    ) -> Result<bool, StoreError> {
        self.complete_call(transaction, now, pod, finish, retention).await
    }

    async fn completed(&self, pod: PodId, id: CallId, claim_no: i64) -> Result<Completed, StoreError> {
        self.completed_call(pod, id, claim_no).await
    }

    async fn release(
        &self,
        now: Now,
        pod: PodId,
        held: &[Held],
        declined: Option<i64>,
    ) -> Result<u64, StoreError> {
        self.release_calls(now, pod, held, declined).await
    }

    async fn rescue(&self, now: Now, limit: usize, kept: &Retention) -> Result<Vec<Rescued>, StoreError> {
        self.rescue_calls(now, limit, kept).await
    }

    async fn beat(&self, now: Now, pod: &PodBeat) -> Result<bool, StoreError> {
        let done = self.write_beat(now, pod).await;
        if spelling::is_refused(&done) { self.write_beat(now, &pod.in_ascii()).await } else { done }
    }

    async fn reopen(&self, now: Now, live: Duration, limit: usize) -> Result<u64, StoreError> {
        self.reopen_calls(now, live, limit).await
    }

    async fn leave(&self, pod: PodId) -> Result<(), StoreError> {
        self.wake.said().await;
        self.forget_pod(pod).await
    }

    async fn prune(&self, now: Now, retention: &Retention, limit: usize) -> Result<u64, StoreError> {
        self.prune_history(now, retention, limit).await
    }

    async fn note_history_gap(&self, now: Now, lasts: Duration) -> Result<(), StoreError> {
        self.note_gap(now, lasts).await
    }

    async fn discard(
        &self,
        now: Now,
        calls: &[(CallId, String)],
        retention: &Retention,
    ) -> Result<u64, StoreError> {
        let done = self.discard_calls(now, calls, retention).await;
        if spelling::is_refused(&done) {
            return self.discard_calls(now, &calls.to_vec().in_ascii(), retention).await;
        }
        done
    }

    async fn calls(&self, now: Now, filter: &CallFilter) -> Result<CallPage, StoreError> {
        self.call_page(now, filter).await
    }

    async fn call(&self, _now: Now, id: CallId) -> Result<Option<CallRecord>, StoreError> {
        self.call_record(id).await
    }

    async fn schedules(&self) -> Result<Vec<ScheduleRecord>, StoreError> {
        self.schedule_records().await
    }

    async fn pods(&self, now: Now, within: Duration) -> Result<Vec<PodRecord>, StoreError> {
        self.pod_records(now, within).await
    }

    async fn counts(&self, now: Now, cap: u64) -> Result<Counts, StoreError> {
        self.call_counts(now, cap).await
    }

    async fn count(&self, now: Now, filter: &CallFilter, cap: u64) -> Result<u64, StoreError> {
        self.count_calls(now, filter, cap).await
    }

    async fn ahead(&self, now: Now, id: CallId, cap: u64) -> Result<u64, StoreError> {
        self.calls_ahead(now, id, cap).await
    }

    async fn timeline(&self, now: Now, edges: &[Moment], cap: u64) -> Result<Vec<TimelineCount>, StoreError> {
        self.call_timeline(now, edges, cap).await
    }

    async fn pending_names(&self, now: Now, cap: u64) -> Result<Vec<(String, u64)>, StoreError> {
        self.names_of_pending(now, cap).await
    }

    async fn pending_keys(&self, _now: Now, look: &KeysLook) -> Result<Vec<PendingKeys>, StoreError> {
        self.keys_of_pending(look).await
    }

    async fn backlog(&self, now: Now, cap: u64, pod_live: Duration) -> Result<Backlog, StoreError> {
        self.see_backlog(now, cap, pod_live).await
    }

    async fn keep_logs(&self, now: Now, logs: &[NewLog]) -> Result<(), StoreError> {
        let done = self.keep_run_logs(now, logs).await;
        if spelling::is_refused(&done) {
            return self.keep_run_logs(now, &logs.to_vec().in_ascii()).await;
        }
        done
    }

    async fn logs(&self, id: CallId) -> Result<Vec<RunLog>, StoreError> {
        self.run_logs(id).await
    }

    async fn settings(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.server_settings().await
    }

    async fn migrations(&self) -> Result<Vec<MigrationRecord>, StoreError> {
        self.migration_records().await
    }

    async fn delete(&self, now: Now, ids: &[CallId]) -> Result<u64, StoreError> {
        self.delete_calls(now, ids).await
    }

    async fn change_schedule(
        &self,
        now: Now,
        id: ScheduleId,
        change: &ScheduleChange,
        retention: &Retention,
    ) -> Result<ScheduleChanged, StoreError> {
        let done = self.change_schedule_of(now, id, change, retention).await;
        if spelling::is_refused(&done) {
            return self.change_schedule_of(now, id, &change.in_ascii(), retention).await;
        }
        done
    }

    async fn trigger(
        &self,
        now: Now,
        schedule: ScheduleId,
        id: CallId,
        again: bool,
    ) -> Result<Option<Inserted>, StoreError> {
        self.trigger_schedule(now, schedule, id, again).await
    }

    async fn pause_name(&self, now: Now, name: &str, actor: &str, reason: &str) -> Result<bool, StoreError> {
        let done = self.pause_call_name(now, name, actor, reason).await;
        if spelling::is_refused(&done) {
            return self.pause_call_name(now, name, &ascii(actor), &ascii(reason)).await;
        }
        done
    }

    async fn resume_name(&self, name: &str) -> Result<bool, StoreError> {
        self.resume_call_name(name).await
    }

    async fn paused_names(&self) -> Result<Vec<PausedName>, StoreError> {
        self.paused_call_names().await
    }

    async fn note_action(&self, now: Now, action: &NewAction) -> Result<(), StoreError> {
        let done = self.note_action_of(now, action).await;
        if spelling::is_refused(&done) { self.note_action_of(now, &action.in_ascii()).await } else { done }
    }

    async fn settle_action(&self, id: ActionId, outcome: &str) -> Result<(), StoreError> {
        let done = self.settle_action_of(id, outcome).await;
        if spelling::is_refused(&done) { self.settle_action_of(id, &ascii(outcome)).await } else { done }
    }

    async fn actions(&self, filter: &ActionFilter) -> Result<Vec<ActionRecord>, StoreError> {
        self.action_records(filter).await
    }

    async fn put_statistics(&self, pod: PodId, counted: &[Statistics]) -> Result<(), StoreError> {
        self.write_statistics(pod, counted).await
    }

    async fn statistics(
        &self,
        span: Span,
        since: Moment,
        name: Option<&str>,
    ) -> Result<Vec<Statistics>, StoreError> {
        self.read_statistics(span, since, name).await
    }
}
