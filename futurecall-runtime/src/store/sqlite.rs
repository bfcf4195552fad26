//! The store in a SQLite file: embedded, durable, shared by the processes of one machine.
//!
//! All writing goes through one connection on a thread of its own, whatever waits in one `BEGIN IMMEDIATE` transaction;
//! reading has connections of its own. Rows travel as one JSON array, in and out: through the driver a statement costs
//! some 10 microseconds and each row it answers with more than one, a row inside it almost nothing.

mod actions;
mod again;
mod backlog;
mod cancel;
mod chunks;
mod claim;
mod connect;
mod counting;
mod ear;
mod file;
mod finish;
mod gap;
mod gathered;
mod insert;
mod inspect;
mod keys;
mod listing;
mod logs;
mod migrate;
mod news;
mod operate;
mod original;
mod pen;
mod release;
mod reschedule;
mod runs;
mod schedule;
mod settings;
mod statistics;
#[cfg(test)]
mod tests;
mod timetable;
mod transaction;
mod tx;
mod unreadable;
mod writer;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::OptionFuture;
use sqlx::SqlitePool;

pub(crate) use self::connect::check_url;
use self::connect::{OPEN, Source, Tables};
pub(crate) use self::transaction::SqliteOpen;
use self::tx::{lent, moment};
use self::unreadable::UnreadableRuns;
use self::writer::Writer;
use super::transaction::{OpenTransaction, TransactionRef};
use super::{
    ActionFilter, ActionRecord, Backlog, CallFilter, CallPage, CallRecord, CancelTarget, Cancelled, Claim,
    ClaimRequest, ClaimedCall, Completed, Counts, Declared, Due, Finish, Finished, Held, Inserted, KeysLook,
    LivePod, MigrationRecord, NewAction, NewCall, NewLog, NewSchedule, Now, PausedName, PendingKeys, PodBeat,
    PodRecord, Renewed, Rescheduled, Rescued, Retention, RunAgain, RunLog, ScheduleChange, ScheduleChanged,
    ScheduleRecord, Span, Statistics, Store, TimelineCount, sealed,
};
use crate::error::StoreError;
use crate::id::{ActionId, CallId, PodId, ScheduleId};
use crate::moment::Moment;

/// Calls in a SQLite file.
///
/// The file is in WAL mode with `synchronous=FULL`: what is stored survives a power cut. Several processes on one
/// machine may share it (not over a network file system, where SQLite's locks cannot be trusted). The database's
/// clock is the wall clock of the machine, read for each transaction, so that all processes agree on it; where it is set,
/// leases and moments go by the new time.
#[derive(Debug)]
pub struct SqliteStore {
    source: Source,
    tables: Tables,
    writer: Writer,
    /// `None` in memory, where the writer's connection is the only one.
    readers: Option<SqlitePool>,
    /// For the transactions of handlers; `None` in memory.
    lending: Option<SqlitePool>,
    /// What its claims leave to a pod of a newer version.
    unreadable: UnreadableRuns,
    /// Whether the writer is another handle's, which closes it.
    shares_writer: bool,
}

/// How many connections a store opens unless told, the writer among them.
const CONNECTIONS: u32 = 4;

impl SqliteStore {
    /// Opens the database that `url` names (`sqlite:calls.db`, `sqlite::memory:`), creating the file if it is missing.
    ///
    /// `table_prefix` begins the names of all tables, so that several services can share a file: 1 to 48 lower-case
    /// letters, digits and underscores, no digit first. A database in memory has one connection, which
    /// [`separate`](Store::separate) shares, and is gone with the last handle.
    ///
    /// # Errors
    ///
    /// Permanent when the URL, the prefix or the file cannot be used; busy when the file stays locked for 5 seconds.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use futurecall_runtime::store::{Now, SqliteStore, Store};
    /// let store = SqliteStore::open("sqlite::memory:", "futurecall_").await?;
    /// store.migrate().await?;
    /// assert_eq!(store.pending_names(Now::Database, 10).await?, []);
    /// assert!(SqliteStore::open("sqlite::memory:", "drop table").await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open(url: &str, table_prefix: &str) -> Result<Self, StoreError> {
        Self::open_with(url, table_prefix, CONNECTIONS).await
    }

    /// [`open`](Self::open) with at most `connections` connections, at least 2.
    pub async fn open_with(url: &str, table_prefix: &str, connections: u32) -> Result<Self, StoreError> {
        let tables = Tables::new(table_prefix)?;
        Self::start(Source::from_url(url, connections)?, tables).await
    }

    /// Opens connections of our own (at most `connections`, at least 2) to the file that the application's pool uses.
    ///
    /// The pool lends nothing but its connect options. A pool whose database lives in memory is refused: nobody else
    /// can reach such a database. The file is put into WAL mode.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub async fn from_pool(
        pool: &SqlitePool,
        table_prefix: &str,
        connections: u32,
    ) -> Result<Self, StoreError> {
        let tables = Tables::new(table_prefix)?;
        let store = Self::start(Source::from_pool(pool, connections), tables).await?;
        if store.writer.in_memory {
            return Err(StoreError::permanent(
                OPEN,
                "the pool's database lives in memory, where a connection of our own would open another, empty one: \
                 give the pod a file, or `database_url(\"sqlite::memory:\")` for a database of its own",
            ));
        }
        Ok(store)
    }

    async fn start(source: Source, tables: Tables) -> Result<Self, StoreError> {
        let writer = Writer::start(source.clone()).await?;
        Ok(Self::with(source.opened(writer.original.clone()), tables, writer))
    }

    fn with(source: Source, tables: Tables, writer: Writer) -> Self {
        let readers = (!writer.in_memory).then(|| source.reading());
        let lending = (!writer.in_memory).then(|| transaction::pool(&source));
        let unreadable = UnreadableRuns::default();
        Self { source, tables, writer, readers, lending, unreadable, shares_writer: false }
    }
}

impl sealed::Sealed for SqliteStore {}

#[async_trait]
impl Store for SqliteStore {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        migrate::migrate(self).await
    }

    async fn separate(&self) -> Result<Box<dyn Store>, StoreError> {
        let (source, tables) = (self.source.clone(), self.tables.clone());
        if self.writer.in_memory {
            let store = Self::with(source, tables, self.writer.clone());
            return Ok(Box::new(Self { shares_writer: true, ..store }));
        }
        Ok(Box::new(Self::start(source, tables).await?))
    }

    async fn close(&self) {
        if self.shares_writer {
            return;
        }
        // From here on no handler gets a transaction; one that is open keeps its connection until its end.
        let lending = OptionFuture::from(self.lending.as_ref().map(SqlitePool::close));
        OptionFuture::from(self.readers.as_ref().map(SqlitePool::close)).await;
        // Last, because it writes the log back into the file.
        tokio::join!(lending, self.writer.close());
    }

    async fn now(&self) -> Result<Moment, StoreError> {
        Ok(moment(Now::Database))
    }

    async fn changed(&self) {
        self.writer.others_wrote().await;
    }

    /// `soon` needs no work here: a commit is all that other pods watch for.
    async fn insert(
        &self,
        now: Now,
        calls: &[NewCall],
        again: bool,
        _soon: Duration,
    ) -> Result<Vec<Inserted>, StoreError> {
        insert::insert(self, now, calls, again).await
    }

    async fn insert_claimed(
        &self,
        now: Now,
        call: &NewCall,
        request: &ClaimRequest,
    ) -> Result<Option<ClaimedCall>, StoreError> {
        insert::insert_claimed(self, now, call, request).await
    }

    async fn insert_in(
        &self,
        transaction: TransactionRef<'_>,
        calls: &[NewCall],
        _soon: Duration,
    ) -> Result<(), StoreError> {
        self.check("store calls")?;
        insert::insert_in(&self.tables, lent("store calls", transaction)?, calls).await
    }

    async fn cancel(
        &self,
        now: Now,
        target: &CancelTarget,
        retention: &Retention,
    ) -> Result<Cancelled, StoreError> {
        cancel::cancel(self, now, target, retention).await
    }

    async fn cancel_in(
        &self,
        transaction: TransactionRef<'_>,
        target: &CancelTarget,
        retention: &Retention,
    ) -> Result<Cancelled, StoreError> {
        self.check("cancel calls")?;
        cancel::cancel_in(&self.tables, lent("cancel calls", transaction)?, target, retention).await
    }

    async fn reschedule(
        &self,
        now: Now,
        target: &CancelTarget,
        due: Due,
        _soon: Duration,
    ) -> Result<Rescheduled, StoreError> {
        reschedule::reschedule(self, now, target, due).await
    }

    async fn run_again(&self, now: Now, of: CallId, id: CallId, again: bool) -> Result<RunAgain, StoreError> {
        reschedule::run_again(self, now, of, id, again).await
    }

    async fn declare(&self, now: Now, schedules: &[NewSchedule]) -> Result<Vec<Declared>, StoreError> {
        schedule::declare(self, now, schedules).await
    }

    async fn end_undeclared(&self, now: Now, live: &LivePod, grace: Duration) -> Result<u64, StoreError> {
        schedule::end_undeclared(self, now, live, grace).await
    }

    async fn claim(&self, now: Now, request: &ClaimRequest) -> Result<Claim, StoreError> {
        claim::claim(self, now, request).await
    }

    async fn find_claim(&self, pod: PodId, claim_no: i64) -> Result<Vec<ClaimedCall>, StoreError> {
        claim::find_claim(self, pod, claim_no).await
    }

    async fn renew(
        &self,
        now: Now,
        pod: PodId,
        held: &[Held],
        lease: Duration,
    ) -> Result<Vec<Renewed>, StoreError> {
        finish::renew(self, now, pod, held, lease).await
    }

    async fn finish(
        &self,
        now: Now,
        pod: PodId,
        finished: &[Finish],
        retention: &Retention,
    ) -> Result<Vec<Finished>, StoreError> {
        finish::finish(self, now, pod, finished, retention).await
    }

    async fn begin(&self, limit: Duration) -> Result<Option<OpenTransaction>, StoreError> {
        transaction::begin(self, limit).await
    }

    async fn complete(
        &self,
        transaction: OpenTransaction,
        now: Now,
        pod: PodId,
        finish: &Finish,
        retention: &Retention,
    ) -> Result<bool, StoreError> {
        transaction::complete(self, transaction, now, pod, finish, retention).await
    }

    async fn completed(&self, pod: PodId, id: CallId, claim_no: i64) -> Result<Completed, StoreError> {
        transaction::completed(self, pod, id, claim_no).await
    }

    async fn release(
        &self,
        now: Now,
        pod: PodId,
        held: &[Held],
        declined: Option<i64>,
    ) -> Result<u64, StoreError> {
        release::release(self, now, pod, held, declined).await
    }

    async fn rescue(&self, now: Now, limit: usize, kept: &Retention) -> Result<Vec<Rescued>, StoreError> {
        finish::rescue(self, now, limit, kept).await
    }

    async fn beat(&self, now: Now, pod: &PodBeat) -> Result<bool, StoreError> {
        inspect::beat(self, now, pod).await
    }

    async fn reopen(&self, now: Now, live: Duration, limit: usize) -> Result<u64, StoreError> {
        inspect::reopen(self, now, live, limit).await
    }

    async fn leave(&self, pod: PodId) -> Result<(), StoreError> {
        inspect::leave(self, pod).await
    }

    async fn prune(&self, now: Now, retention: &Retention, limit: usize) -> Result<u64, StoreError> {
        finish::prune(self, now, retention, limit).await
    }

    async fn note_history_gap(&self, now: Now, lasts: Duration) -> Result<(), StoreError> {
        gap::note_gap(self, now, lasts).await
    }

    async fn discard(
        &self,
        now: Now,
        calls: &[(CallId, String)],
        retention: &Retention,
    ) -> Result<u64, StoreError> {
        cancel::discard(self, now, calls, retention).await
    }

    async fn calls(&self, now: Now, filter: &CallFilter) -> Result<CallPage, StoreError> {
        listing::calls(self, now, filter).await
    }

    async fn call(&self, now: Now, id: CallId) -> Result<Option<CallRecord>, StoreError> {
        inspect::call(self, now, id).await
    }

    async fn schedules(&self) -> Result<Vec<ScheduleRecord>, StoreError> {
        inspect::schedules(self).await
    }

    async fn pods(&self, now: Now, within: Duration) -> Result<Vec<PodRecord>, StoreError> {
        inspect::pods(self, now, within).await
    }

    async fn counts(&self, now: Now, cap: u64) -> Result<Counts, StoreError> {
        counting::counts(self, now, cap).await
    }

    async fn count(&self, now: Now, filter: &CallFilter, cap: u64) -> Result<u64, StoreError> {
        listing::count(self, now, filter, cap).await
    }

    async fn ahead(&self, now: Now, id: CallId, cap: u64) -> Result<u64, StoreError> {
        counting::ahead(self, now, id, cap).await
    }

    async fn timeline(&self, now: Now, edges: &[Moment], cap: u64) -> Result<Vec<TimelineCount>, StoreError> {
        counting::timeline(self, now, edges, cap).await
    }

    async fn pending_names(&self, now: Now, cap: u64) -> Result<Vec<(String, u64)>, StoreError> {
        counting::pending_names(self, now, cap).await
    }

    async fn pending_keys(&self, now: Now, look: &KeysLook) -> Result<Vec<PendingKeys>, StoreError> {
        keys::pending_keys(self, now, look).await
    }

    async fn backlog(&self, now: Now, cap: u64, pod_live: Duration) -> Result<Backlog, StoreError> {
        backlog::backlog(self, now, cap, pod_live).await
    }

    async fn keep_logs(&self, now: Now, logs: &[NewLog]) -> Result<(), StoreError> {
        logs::keep_logs(self, now, logs).await
    }

    async fn logs(&self, id: CallId) -> Result<Vec<RunLog>, StoreError> {
        logs::logs(self, id).await
    }

    async fn settings(&self) -> Result<Vec<(String, String)>, StoreError> {
        settings::settings(self).await
    }

    async fn migrations(&self) -> Result<Vec<MigrationRecord>, StoreError> {
        migrate::migrations(self).await
    }

    async fn delete(&self, now: Now, ids: &[CallId]) -> Result<u64, StoreError> {
        operate::delete(self, now, ids).await
    }

    async fn change_schedule(
        &self,
        now: Now,
        id: ScheduleId,
        change: &ScheduleChange,
        retention: &Retention,
    ) -> Result<ScheduleChanged, StoreError> {
        operate::change_schedule(self, now, id, change, retention).await
    }

    async fn trigger(
        &self,
        now: Now,
        schedule: ScheduleId,
        id: CallId,
        again: bool,
    ) -> Result<Option<Inserted>, StoreError> {
        operate::trigger(self, now, schedule, id, again).await
    }

    async fn pause_name(&self, now: Now, name: &str, actor: &str, reason: &str) -> Result<bool, StoreError> {
        operate::pause_name(self, now, name, actor, reason).await
    }

    async fn resume_name(&self, name: &str) -> Result<bool, StoreError> {
        operate::resume_name(self, name).await
    }

    async fn paused_names(&self) -> Result<Vec<PausedName>, StoreError> {
        operate::paused_names(self).await
    }

    async fn note_action(&self, now: Now, action: &NewAction) -> Result<(), StoreError> {
        actions::note_action(self, now, action).await
    }

    async fn settle_action(&self, id: ActionId, outcome: &str) -> Result<(), StoreError> {
        actions::settle_action(self, id, outcome).await
    }

    async fn actions(&self, filter: &ActionFilter) -> Result<Vec<ActionRecord>, StoreError> {
        actions::actions(self, filter).await
    }

    async fn put_statistics(&self, pod: PodId, counted: &[Statistics]) -> Result<(), StoreError> {
        statistics::put_statistics(self, pod, counted).await
    }

    async fn statistics(
        &self,
        span: Span,
        since: Moment,
        name: Option<&str>,
    ) -> Result<Vec<Statistics>, StoreError> {
        statistics::statistics(self, span, since, name).await
    }
}
