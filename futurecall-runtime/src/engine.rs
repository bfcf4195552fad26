//! What runs behind a pod: tasks that know the [`Store`](crate::store::Store) trait and no SQL.
//!
//! | file | task |
//! | --- | --- |
//! | `drive` | does what callers ask for in tasks of the pod |
//! | `enqueue` | gathers single calls into one insert (group commit) |
//! | `fast_path` | stores a due call as claimed and starts it, where nothing else waits |
//! | `claim` | sleeps until the next call is due, claims, hands out; `prefetch` says how much |
//! | `late_commits` | gives back what a claim takes after its connection was lost |
//! | `ready_queue` | what is claimed and waits for its moment (by `database_clock`; `timer_thread` starts it) or for a slot |
//! | `run` | one task a slot: the handlers, from lease check to outcome |
//! | `outcome` | what a run's end means for its call |
//! | `report` | logs and counts what was recorded of a run, after it was |
//! | `decline` | gives calls back whose arguments another release may be able to read |
//! | `complete` | completes a call in a transaction of its handler |
//! | `resend` | sends what may be sent twice until its outcome is known |
//! | `rerun` | runs a finished call again |
//! | `statistics` | what was run, counted by minute and hour |
//! | `finish` | gathers outcomes into one statement |
//! | `lease_keeper` | a thread of its own: renews leases, heartbeats, fences this pod when it cannot |
//! | `housekeeping` | finds claims of vanished pods, prunes the history, brings gauges up to date |
//! | `logs` | stores what runs have logged, where that is asked for |
//! | `health` | whether the loops turn, and the database answers |
//! | `shutdown` | the end, in order |
//! | `supervise` | starts a task again that panicked |

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
pub(crate) use self::drive::NotDriven;
use self::enqueue::Enqueuer;
use self::fast_path::Calm;
use self::finish::Finisher;
pub use self::health::Health;
use self::health::Pulse;
use self::leases::HeldCalls;
pub(crate) use self::leases::Signals;
use self::logs::LogKeeper;
pub(crate) use self::process::Process;
use self::ready_queue::ReadyCalls;
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

/// Everything that a pod's tasks share.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) pod: PodId,
    pub(crate) role: Role,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) config: Config,
    pub(crate) state: Arc<StateMap>,
    /// What is measured.
    pub(crate) meter: Meter,
    /// Whom to ask for the trace of whoever schedules; set before the pod is handed out.
    pub(crate) trace_context: OnceLock<TraceContext>,
    /// Where its tasks run.
    process: Process,
    /// The runtime on which the pod was started.
    handle: Handle,
    /// That runtime has ended, and the pod was not shut down before.
    runtime_ended: AtomicBool,
    /// What it can run.
    pub(crate) runner: Arc<dyn Runner>,
    /// Keys of the schedules that attributes declare, for the heartbeat.
    pub(crate) attribute_schedules: Vec<String>,
    enqueuer: Enqueuer,
    finisher: Finisher,
    #[cfg_attr(not(feature = "logs"), expect(dead_code, reason = "nothing is kept without the feature"))]
    log_keeper: LogKeeper,
    pulse: Pulse,
    held: HeldCalls,
    /// Claimed, and to be given back unstarted.
    unstarted: Mutex<Vec<Held>>,
    /// Held by whoever gives back what has gathered there.
    giving_back: tokio::sync::Mutex<()>,
    /// Claimed, and not started yet.
    ready: ReadyCalls,
    slots: Arc<Semaphore>,
    /// How many runs wait for a slot apart from the calls that are ready.
    slot_seekers: AtomicUsize,
    /// How many handlers were ever started.
    started: AtomicU64,
    claim_no: AtomicI64,
    /// What the database's clock says at least.
    clock: DatabaseClock,
    /// Whether anything may be waiting to be claimed.
    calm: Calm,
    counters: Counters,
    /// The next claim is to look at everything.
    sweep_due: AtomicBool,
    /// A heartbeat is due before its time.
    beat_due: AtomicBool,
    /// Wakes the claimer.
    wake: Notify,
    /// Calls wait that were declined: it is time to look whether they are to be offered again.
    has_declined: Notify,
    /// Wakes the lease thread before its time.
    renew: Notify,
    /// The shutdown's grace is over: handlers are asked to stop.
    asks_to_stop: AtomicBool,
    /// Cancelled once the claimer has looked for due calls.
    has_looked: CancellationToken,
    /// No more claims.
    pub(crate) stop: CancellationToken,
    /// Everything in the background ends.
    pub(crate) over: CancellationToken,
    /// A shutdown was asked for.
    is_shutting_down: AtomicBool,
    /// The shutdown is done: the store is used no more.
    closed: AtomicBool,
    /// The tasks that must flush before a shutdown may return, and the lease thread.
    flushers: TaskTracker,
    /// Handlers, until their outcome is stored.
    runs: TaskTracker,
    /// Claims under way: a shutdown waits for them, so that nothing starts after it.
    claimers: TaskTracker,
    shutdown: OnceLock<Shared<BoxFuture<'static, ShutdownSummary>>>,
}

impl Engine {
    /// Begins the tasks of a pod on the runtime that polls this.
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
            pulse: Pulse::new(),
            held: HeldCalls::default(),
            unstarted: Mutex::default(),
            giving_back: tokio::sync::Mutex::default(),
            ready: ReadyCalls::default(),
            slots,
            slot_seekers: AtomicUsize::new(0),
            started: AtomicU64::new(0),
            claim_no: AtomicI64::new(0),
            clock: DatabaseClock::default(),
            calm: Calm::default(),
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

    /// Starts what runs calls: nothing for `Serverless`, leases alone for `Maintenance`, everything for `Monolith`.
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

    /// Whether this pod may run calls at all: only then are leases renewed.
    fn runs_calls(&self) -> bool {
        self.role != Role::Serverless && self.config.execution_enabled
    }

    /// Whether this pod claims calls by itself, and not only when it is told to run what is due.
    pub(crate) fn claims_calls(&self) -> bool {
        self.runs_calls() && self.role == Role::Monolith
    }

    /// Looks for due calls now (a new name, a new call).
    pub(crate) fn wake(&self) {
        self.calm.tell();
        self.wake.notify_one();
    }

    /// The application's transaction stores calls: when it commits, this pod hears of them a little later.
    pub(crate) fn doubt(&self) {
        self.calm.doubt(crate::clock::instant().checked_add(self.config.scan_interval));
    }

    /// Looks at everything now: what waited may have its turn.
    fn sweep_now(&self) {
        self.sweep_due.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// An operator has resumed a name through this pod: its calls are claimed now.
    pub(crate) fn resumed_name(&self) {
        self.sweep_now();
    }

    /// Wakes the claimer if it wants more calls than are left.
    fn wake_if_wanting(&self) {
        if self.ready.is_wanting() {
            self.wake();
        }
    }

    /// Renews leases now: that is how a cancellation reaches the handlers that run.
    pub(crate) fn renew_now(&self) {
        self.renew.notify_one();
    }

    /// Stores one call, together with whatever else waits to be stored.
    pub(crate) async fn enqueue(self: &Arc<Self>, call: NewCall) -> Result<(), ScheduleError> {
        self.is_open()?;
        enqueue::one(self, call).await
    }

    /// Stores a chunk of calls by itself.
    pub(crate) async fn enqueue_chunk(self: &Arc<Self>, calls: Vec<NewCall>) -> Result<(), ScheduleError> {
        enqueue::chunk(Arc::clone(self), calls).await
    }

    /// Stores a new call that does a finished one's work.
    pub(crate) async fn run_again(&self, of: CallId) -> Result<CallId, ScheduleError> {
        rerun::run_again(self, of).await
    }

    /// Stores one more run of a schedule, due now.
    pub(crate) async fn trigger(&self, schedule: ScheduleId, id: CallId) -> Result<bool, ScheduleError> {
        rerun::trigger(self, schedule, id).await
    }

    /// Wakes the claimer if one of these calls may be due before its next look.
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

    /// The span in which calls are stored; each remembers it.
    pub(crate) fn schedule_span(&self, calls: &mut [NewCall]) -> tracing::Span {
        self.trace_context.get_or_init(TraceContext::default).schedule(calls)
    }

    /// What is measured of the calls of that name.
    fn call_meter(&self, name: &str) -> Arc<CallMeter> {
        let handler = self.runner.handler(name);
        Arc::clone(handler.as_ref().map_or(&self.meter.other, |handler| handler.meter()))
    }

    /// Counts calls that were stored.
    pub(crate) fn count_scheduled(&self, calls: &[NewCall]) {
        for calls in calls.chunk_by(|one, next| one.name == next.name) {
            let (Some(first), count) = (calls.first(), calls.len() as u64) else { continue };
            match self.runner.handler(&first.name) {
                Some(handler) => handler.meter().scheduled(count),
                None => self.meter.scheduled_elsewhere(&first.name, count),
            }
        }
    }

    /// Writes a heartbeat now: the names of this pod have changed.
    pub(crate) fn beat_now(&self) {
        self.beat_due.store(true, Ordering::Relaxed);
        self.renew_now();
    }

    /// Writes a heartbeat to this store.
    pub(crate) async fn beat_to(&self, store: &dyn Store) -> Result<()> {
        if !self.config.retention.outlasts_repetitions() {
            // Until it is found dead, should it vanish, and for as long as what it ended last may be repeated.
            store.note_history_gap(NOW, self.pod_live().saturating_add(REPEATED)).await?;
        }
        if store.beat(NOW, &self.beat()).await? {
            self.has_declined.notify_one();
        }
        Ok(())
    }

    /// The store, until the pod has been shut down.
    pub(crate) fn open_store(&self, doing: &'static str) -> Result<&dyn Store> {
        if self.closed.load(Ordering::Relaxed) { Err(StoreError::closed(doing)) } else { Ok(&*self.store) }
    }

    fn next_claim_no(&self) -> i64 {
        self.claim_no.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// What this pod says of itself.
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

    /// Runs everything that is due now, waits for it, and counts.
    pub(crate) async fn run_due(self: &Arc<Self>) -> Result<RunSummary> {
        if run::is_in_handler_of(self.pod) {
            return Err(StoreError::permanent("run what is due", IN_A_HANDLER));
        }
        let left = CancellationToken::new();
        let (engine, has_left) = (Arc::clone(self), left.clone());
        // Nobody awaits it any more once this is dropped.
        let _leaving = left.drop_guard();
        let running = self.drive(async move { run_due::run_due(&engine, &has_left).await });
        running.await.unwrap_or_else(|not| Err(not.as_store("run what is due")))
    }

    /// Ends the pod; every caller gets the same summary. In a task of its own, so that it ends whoever stops waiting.
    pub(crate) async fn shut_down(self: &Arc<Self>) -> ShutdownSummary {
        let begin = || {
            let engine = Arc::clone(self);
            engine.is_shutting_down.store(true, Ordering::Relaxed);
            let task = self.spawn(async move { shutdown::run(&engine).await });
            task.map(Result::unwrap_or_default).boxed().shared()
        };
        self.shutdown.get_or_init(begin).clone().await
    }

    /// An error once calls can no longer be stored through this pod.
    pub(crate) fn is_open(&self) -> Result<(), ScheduleError> {
        if self.has_lost_its_runtime() {
            Err(ScheduleError::RuntimeEnded)
        } else if self.over.is_cancelled() {
            Err(ScheduleError::Stopped)
        } else {
            Ok(())
        }
    }

    /// Whether the runtime on which the pod was started ended before the pod did.
    pub(crate) fn has_lost_its_runtime(&self) -> bool {
        self.runtime_ended.load(Ordering::Acquire)
    }

    /// Nothing of this pod runs any more. Its threads end, so that no lease is renewed for handlers that are gone.
    fn lose_runtime(&self) {
        self.runtime_ended.store(true, Ordering::Release);
        self.stop.cancel();
        self.ready.alarm.set();
        self.over.cancel();
    }

    /// How long a pod counts as live after its heartbeat.
    pub(crate) fn pod_live(&self) -> Duration {
        self.config.lease.max(BEAT.saturating_mul(3))
    }
}

/// How often a pod writes its heartbeat.
const BEAT: Duration = Duration::from_secs(10);

const IN_A_HANDLER: &str = "a handler would wait for calls that may need the slot that it runs in: schedule them with \
                            `call_now()`, and let them run after it";

/// What [`Pod::run_due`](crate::Pod::run_due) did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunSummary {
    /// Handlers started.
    pub started: u64,
    /// Of them: ended well.
    pub succeeded: u64,
    /// Of them: failed, panicked, or could not decode their arguments, for good or because their call was cancelled.
    pub failed: u64,
    /// Of them: failed, and are due again later.
    pub retried: u64,
    /// Calls found interrupted: their pod had vanished; or abandoned here, or failed too late to be recorded.
    pub interrupted: u64,
    /// Calls that were not started, because the time within which they might was over.
    pub expired: u64,
    /// Runs of schedules that their rules passed over.
    pub skipped: u64,
    /// Calls that were given back, because no slot of the pod came free for them within a lease: they are still due.
    pub released: u64,
    /// Started calls by stored name.
    pub by_name: BTreeMap<String, u64>,
}

/// The clock that decides everywhere in the engine.
const NOW: Now = Now::Database;
