//! The background tasks of a pod. They use the [`Store`](crate::store::Store) traits and contain no SQL.
//!
//! | file | task |
//! | --- | --- |
//! | `drive` | runs what callers ask for in tasks of the pod |
//! | `enqueue` | gathers single calls into one insert (group commit) |
//! | `fast_path` | stores a due call as claimed and starts it, when nothing else is waiting |
//! | `claim` | sleeps until the next call is due, claims it, and starts it; `prefetch` decides how much to claim ahead |
//! | `late_commits` | gives back calls of a claim that committed after its connection was lost |
//! | `ready_queue` | claimed calls that wait for their due time (by `database_clock`; `timer_thread` starts them) or for a slot |
//! | `run` | runs handlers, one task per slot, from the lease check to the outcome |
//! | `outcome` | maps the end of a run to the outcome of its call |
//! | `report` | logs and counts outcomes once the database has recorded them |
//! | `decline` | gives back calls whose arguments only another release may be able to decode |
//! | `complete` | completes a call in a transaction of its handler |
//! | `resend` | repeats idempotent statements until their outcome is known |
//! | `rerun` | runs a finished call again |
//! | `statistics` | counts ended runs by minute and hour |
//! | `finish` | stores outcomes in batches |
//! | `lease_keeper` | its own thread: renews leases, writes heartbeats, stops handlers whose lease cannot be renewed |
//! | `housekeeping` | rescues expired leases, prunes the history, updates gauges |
//! | `logs` | stores the logs of runs, where that is enabled |
//! | `health` | reports whether the loops make progress and the database answers |
//! | `shutdown` | ends the pod, step by step |
//! | `supervise` | restarts a background task that panicked |

mod backoff;
mod claim;
mod complete;
mod database_clock;
mod decline;
mod drive;
mod enqueue;
mod fast_path;
mod finish;
mod flag;
mod health;
mod housekeeping;
mod late_commits;
mod lease_keeper;
mod leases;
mod logs;
mod outcome;
mod prefetch;
mod process;
pub(crate) mod readers;
mod ready_queue;
mod release;
mod report;
mod rerun;
pub(crate) mod resend;
mod run;
mod run_due;
pub(crate) mod runner;
mod shutdown;
#[cfg(feature = "testing")]
pub(crate) mod simulated;
mod statistics;
mod supervise;
mod timer_thread;
mod timer_wakeup;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::claim::first_look;
pub(crate) use self::complete::{Completion, Opened};
use self::database_clock::DatabaseClock;
pub(crate) use self::drive::DriveError;
use self::enqueue::Enqueuer;
use self::fast_path::FastPathGate;
use self::finish::Finisher;
pub use self::health::Health;
use self::health::Liveness;
use self::leases::HeldLeases;
pub(crate) use self::leases::RunSignals;
use self::logs::LogKeeper;
pub(crate) use self::process::Process;
use self::ready_queue::ReadyQueue;
use self::runner::Runner;
pub use self::shutdown::ShutdownSummary;
use self::statistics::Counters;
use crate::config::Config;
use crate::error::{ScheduleError, StoreError};
use crate::id::{CallId, PodId, ScheduleId};
use crate::moment::Moment;
use crate::role::Role;
use crate::shape::Shapes;
use crate::signals::trace::TraceContext;
use crate::signals::{CallMeter, Meter};
use crate::state::StateMap;
use crate::store::{Due, Held, NewCall, Now, PodBeat, REPEATED, Result, Store};

/// The state that the tasks of a pod share.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) pod: PodId,
    pub(crate) role: Role,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) config: Config,
    pub(crate) state: Arc<StateMap>,
    /// The pod's metrics.
    pub(crate) meter: Meter,
    /// Reads the current trace context when a call is scheduled. Set before the pod is returned to the caller.
    pub(crate) trace_context: OnceLock<TraceContext>,
    /// The process that the tasks run in: the real one, or one of a simulation.
    process: Process,
    /// The runtime on which the pod was started.
    handle: Handle,
    /// Whether that runtime ended before the pod was shut down.
    runtime_ended: AtomicBool,
    /// The handlers that this pod can run.
    pub(crate) runner: Arc<dyn Runner>,
    /// Keys of the schedules declared by attributes, for the heartbeat.
    pub(crate) attribute_schedules: Vec<String>,
    enqueuer: Enqueuer,
    finisher: Finisher,
    #[cfg_attr(not(feature = "logs"), expect(dead_code, reason = "nothing is kept without the feature"))]
    log_keeper: LogKeeper,
    liveness: Liveness,
    held: HeldLeases,
    /// Claims that are to be given back unstarted.
    unstarted: Mutex<Vec<Held>>,
    /// Held while a batch of `unstarted` is given back.
    giving_back: tokio::sync::Mutex<()>,
    /// Calls that are claimed and not started yet.
    ready: ReadyQueue,
    slots: Arc<Semaphore>,
    /// Number of runs that wait for a slot without being in `ready`.
    slot_seekers: AtomicUsize,
    /// Number of handlers started so far.
    started: AtomicU64,
    claim_no: AtomicI64,
    /// A lower bound of the database's clock.
    clock: DatabaseClock,
    /// Decides whether a call may be stored as claimed and started at once.
    fast_path: FastPathGate,
    counters: Counters,
    /// Whether the next claim is a full scan.
    sweep_due: AtomicBool,
    /// Whether a heartbeat is due early.
    beat_due: AtomicBool,
    /// Wakes the claimer.
    wake: Notify,
    /// Notified when a heartbeat reports pending calls that were declined.
    has_declined: Notify,
    /// Wakes the lease thread early.
    renew: Notify,
    /// Whether the shutdown's grace period is over and handlers are asked to stop.
    asks_to_stop: AtomicBool,
    /// Cancelled after the claimer's first claim.
    has_looked: CancellationToken,
    /// Cancelled when the pod stops claiming.
    pub(crate) stop: CancellationToken,
    /// Cancelled when all background tasks are to end.
    pub(crate) over: CancellationToken,
    /// Whether `shutdown` was called.
    is_shutting_down: AtomicBool,
    /// Whether the shutdown is complete, so that the store must not be used any more.
    closed: AtomicBool,
    /// The tasks that must flush before a shutdown may return, and the lease thread.
    flushers: TaskTracker,
    /// Handlers, until their outcome is stored.
    runs: TaskTracker,
    /// Claims in flight. A shutdown waits for them, so that nothing starts after it.
    claimers: TaskTracker,
    shutdown: OnceLock<Shared<BoxFuture<'static, ShutdownSummary>>>,
}

impl Engine {
    /// Creates the engine, and starts the tasks that every pod has on the current runtime.
    pub(crate) fn new(
        role: Role,
        store: Arc<dyn Store>,
        config: Config,
        state: StateMap,
        runner: Arc<dyn Runner>,
        attribute_schedules: Vec<String>,
        process: Process,
    ) -> Arc<Self> {
        let slots = Arc::new(Semaphore::new(config.concurrency_limit.min(Semaphore::MAX_PERMITS)));
        let (enqueuer, gathered) = Enqueuer::new();
        let (finisher, outcomes) = Finisher::new();
        let (log_keeper, logs) = LogKeeper::new(config.keep_logs);
        let engine = Arc::new(Self {
            pod: PodId::new(),
            role,
            store,
            config,
            state: Arc::new(state),
            meter: Meter::new(),
            trace_context: OnceLock::new(),
            process,
            handle: Handle::current(),
            runtime_ended: AtomicBool::new(false),
            runner,
            attribute_schedules,
            enqueuer,
            finisher,
            log_keeper,
            liveness: Liveness::new(),
            held: HeldLeases::default(),
            unstarted: Mutex::default(),
            giving_back: tokio::sync::Mutex::default(),
            ready: ReadyQueue::default(),
            slots,
            slot_seekers: AtomicUsize::new(0),
            started: AtomicU64::new(0),
            claim_no: AtomicI64::new(0),
            clock: DatabaseClock::default(),
            fast_path: FastPathGate::default(),
            counters: Counters::default(),
            sweep_due: AtomicBool::new(false),
            beat_due: AtomicBool::new(false),
            wake: Notify::new(),
            has_declined: Notify::new(),
            renew: Notify::new(),
            asks_to_stop: AtomicBool::new(false),
            has_looked: CancellationToken::new(),
            stop: CancellationToken::new(),
            over: CancellationToken::new(),
            is_shutting_down: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            flushers: TaskTracker::new(),
            runs: TaskTracker::new(),
            claimers: TaskTracker::new(),
            shutdown: OnceLock::new(),
        });
        enqueue::start(&engine, gathered);
        finish::start(&engine, outcomes);
        logs::start(&engine, logs);
        engine.flushers.close();
        engine.spawn(shutdown::without_handles(Arc::clone(&engine)));
        engine
    }

    /// Starts the tasks that run calls: none for `Serverless`, leases only for `Maintenance`, all for `Monolith`.
    pub(crate) fn start(self: &Arc<Self>) -> std::io::Result<()> {
        if !self.runs_calls() {
            return Ok(());
        }
        lease_keeper::start(Arc::clone(self))?;
        statistics::start(self);
        if self.claims_calls() {
            timer_thread::start(self)?;
            claim::start(self);
            housekeeping::start(self);
        }
        Ok(())
    }

    /// Returns whether this pod may run calls at all: only then are leases renewed.
    fn runs_calls(&self) -> bool {
        self.role != Role::Serverless && self.config.execution_enabled
    }

    /// Returns whether this pod claims calls by itself, and not only in `run_due`.
    pub(crate) fn claims_calls(&self) -> bool {
        self.runs_calls() && self.role == Role::Monolith
    }

    /// Wakes the claimer: a call may be due, or a name was added.
    pub(crate) fn wake(&self) {
        self.fast_path.close();
        self.wake.notify_one();
    }

    /// Keeps the fast path closed for a scan interval: when an application's transaction that stores calls commits,
    /// this pod is notified only a little later.
    pub(crate) fn hold_fast_path(&self) {
        self.fast_path.hold(crate::clock::instant().checked_add(self.config.scan_interval));
    }

    /// Makes the next claim a full scan, and wakes the claimer: calls that were passed over may be claimable now.
    fn sweep_now(&self) {
        self.sweep_due.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Claims the calls of a name that an operator has resumed through this pod.
    pub(crate) fn resumed_name(&self) {
        self.sweep_now();
    }

    /// Wakes the claimer if it asked for more calls and few enough are left.
    fn wake_if_wanting(&self) {
        if self.ready.is_wanting() {
            self.wake();
        }
    }

    /// Renews leases now, which is how a cancellation reaches running handlers.
    pub(crate) fn renew_now(&self) {
        self.renew.notify_one();
    }

    /// Stores one call, batched with others that are waiting to be stored.
    pub(crate) async fn enqueue(self: &Arc<Self>, call: NewCall) -> Result<(), ScheduleError> {
        self.is_open()?;
        enqueue::one(self, call).await
    }

    /// Stores a chunk of calls in a statement of its own.
    pub(crate) async fn enqueue_chunk(self: &Arc<Self>, calls: Vec<NewCall>) -> Result<(), ScheduleError> {
        enqueue::chunk(Arc::clone(self), calls).await
    }

    /// Stores a new call that repeats a finished one.
    pub(crate) async fn run_again(&self, of: CallId) -> Result<CallId, ScheduleError> {
        rerun::run_again(self, of).await
    }

    /// Stores one more run of a schedule, due now.
    pub(crate) async fn trigger(&self, schedule: ScheduleId, id: CallId) -> Result<bool, ScheduleError> {
        rerun::trigger(self, schedule, id).await
    }

    /// Wakes the claimer if one of these calls may be due before its next scan.
    fn wake_for(&self, calls: &[NewCall]) {
        let soon = self.config.scan_interval;
        let now = self.clock.at_least(crate::clock::instant()).unwrap_or(Moment::MAX);
        let horizon = now.checked_add(soon).unwrap_or(Moment::MAX);
        let is_soon = |call: &NewCall| match call.due {
            Due::After(delay) => delay <= soon,
            Due::At(moment) => moment <= horizon,
        };
        if calls.iter().any(is_soon) {
            self.wake();
        }
    }

    /// Returns the span in which calls are stored, and writes its trace context into each of them.
    pub(crate) fn schedule_span(&self, calls: &mut [NewCall]) -> tracing::Span {
        self.trace_context.get_or_init(TraceContext::default).schedule(calls)
    }

    /// Returns the metrics of the calls of that name.
    fn call_meter(&self, name: &str) -> Arc<CallMeter> {
        let handler = self.runner.handler(name);
        Arc::clone(handler.as_ref().map_or(&self.meter.other, |handler| handler.meter()))
    }

    /// Counts stored calls in the metrics.
    pub(crate) fn count_scheduled(&self, calls: &[NewCall]) {
        for calls in calls.chunk_by(|one, next| one.name == next.name) {
            let (Some(first), count) = (calls.first(), calls.len() as u64) else { continue };
            match self.runner.handler(&first.name) {
                Some(handler) => handler.meter().scheduled(count),
                None => self.meter.scheduled_elsewhere(&first.name, count),
            }
        }
    }

    /// Writes a heartbeat now, because the names of this pod have changed.
    pub(crate) fn beat_now(&self) {
        self.beat_due.store(true, Ordering::Relaxed);
        self.renew_now();
    }

    /// Writes a heartbeat through this store.
    pub(crate) async fn beat_to(&self, store: &dyn Store) -> Result<()> {
        if !self.config.retention.outlasts_repetitions() {
            // For as long as it takes to notice that this pod has vanished, plus the time for which its last calls
            // may be resent.
            store.note_history_gap(NOW, self.pod_live().saturating_add(REPEATED)).await?;
        }
        if store.beat(NOW, &self.beat()).await? {
            self.has_declined.notify_one();
        }
        Ok(())
    }

    /// Returns the store, or an error once the pod has been shut down.
    pub(crate) fn open_store(&self, doing: &'static str) -> Result<&dyn Store> {
        if self.closed.load(Ordering::Relaxed) { Err(StoreError::closed(doing)) } else { Ok(&*self.store) }
    }

    fn next_claim_no(&self) -> i64 {
        self.claim_no.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Builds this pod's heartbeat.
    fn beat(&self) -> PodBeat {
        let limit = self.config.concurrency_limit;
        let running = limit.saturating_sub(self.slots.available_permits());
        let mut beat = PodBeat {
            id: self.pod,
            label: process::label(),
            role: self.role.as_str().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            schedules: self.attribute_schedules.clone(),
            slots: u32::try_from(limit).unwrap_or(u32::MAX),
            running: u32::try_from(running).unwrap_or(u32::MAX),
            names: Vec::new(),
            shapes: Shapes::new(),
            redacted: BTreeMap::new(),
        };
        self.runner.describe(&mut beat);
        beat
    }

    /// Runs everything that is due now, waits for it, and returns the counts.
    pub(crate) async fn run_due(self: &Arc<Self>) -> Result<RunSummary> {
        if run::is_in_handler_of(self.pod) {
            return Err(StoreError::permanent("run what is due", IN_A_HANDLER));
        }
        let left = CancellationToken::new();
        let (engine, has_left) = (Arc::clone(self), left.clone());
        // Dropped when the caller stops waiting.
        let _leaving = left.drop_guard();
        let running = self.drive(async move { run_due::run_due(&engine, &has_left).await });
        running.await.unwrap_or_else(|not| Err(not.as_store("run what is due")))
    }

    /// Shuts the pod down; every caller gets the same summary. Runs in a task, so that it completes even if the
    /// caller stops waiting.
    pub(crate) async fn shut_down(self: &Arc<Self>) -> ShutdownSummary {
        let begin = || {
            let engine = Arc::clone(self);
            engine.is_shutting_down.store(true, Ordering::Relaxed);
            let task = self.spawn(async move { shutdown::run(&engine).await });
            task.map(Result::unwrap_or_default).boxed().shared()
        };
        self.shutdown.get_or_init(begin).clone().await
    }

    /// Returns an error once calls can no longer be stored through this pod.
    pub(crate) fn is_open(&self) -> Result<(), ScheduleError> {
        if self.has_lost_its_runtime() {
            Err(ScheduleError::RuntimeEnded)
        } else if self.over.is_cancelled() {
            Err(ScheduleError::Stopped)
        } else {
            Ok(())
        }
    }

    /// Returns whether the runtime on which the pod was started ended before the pod did.
    pub(crate) fn has_lost_its_runtime(&self) -> bool {
        self.runtime_ended.load(Ordering::Acquire)
    }

    /// Stops the pod's threads after its runtime ended, so that no lease is renewed for handlers that are gone.
    fn lose_runtime(&self) {
        self.runtime_ended.store(true, Ordering::Release);
        self.stop.cancel();
        self.ready.wakeup.set();
        self.over.cancel();
    }

    /// Returns how long a pod counts as live after a heartbeat.
    pub(crate) fn pod_live(&self) -> Duration {
        self.config.lease.max(BEAT.saturating_mul(3))
    }
}

/// Interval between the heartbeats of a pod.
const BEAT: Duration = Duration::from_secs(10);

const IN_A_HANDLER: &str = "a handler would wait for calls that may need the slot that it runs in: schedule them with \
                            `call_now()`, and let them run after it";

/// What [`Pod::run_due`](crate::Pod::run_due) has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunSummary {
    /// Number of handlers that were started.
    pub started: u64,
    /// Runs that succeeded.
    pub succeeded: u64,
    /// Runs that failed for good: they returned an error, panicked, or could not decode their arguments, and are not
    /// tried again (also because their call was cancelled).
    pub failed: u64,
    /// Runs that failed and are due again later.
    pub retried: u64,
    /// Calls that were interrupted: their pod had vanished, they were abandoned at shutdown, or their outcome came
    /// too late to be recorded.
    pub interrupted: u64,
    /// Calls that missed their start deadline (`expires_after`), and were not started.
    pub expired: u64,
    /// Runs of schedules that were skipped by their rules.
    pub skipped: u64,
    /// Calls that were given back, because no slot of the pod became free for them within a lease. They are still
    /// due.
    pub released: u64,
    /// Number of started calls by stored name.
    pub by_name: BTreeMap<String, u64>,
}

/// The clock that the engine passes to every store operation.
const NOW: Now = Now::Database;
