//! One running instance of the service.

mod builder;
mod database;
mod declared;
mod start_check;

use std::fmt;
use std::sync::Arc;

use tracing::Instrument;

pub use self::builder::PodBuilder;
pub use self::database::ApplicationPool;
pub(crate) use self::start_check::why as why_broken;
use crate::config::Config;
use crate::engine::resend::until_known;
use crate::engine::{Engine, Health, RunSummary, ShutdownSummary};
use crate::error::{ScheduleError, StoreError};
use crate::id::CallId;
use crate::registry::Registry;
use crate::role::Role;
use crate::store::transaction::TransactionRef;
use crate::store::{CancelTarget, Cancelled, Declared, Due, NewCall, NewSchedule, Now, Rescheduled};

/// A started pod: schedules calls, and runs them unless its role says otherwise. Clones are the same pod.
///
/// It works on the Tokio runtime on which it was started, and can be used from any thread and any executor while that
/// runtime runs. (A current-thread runtime runs only while something blocks on it.) Once the runtime has ended,
/// [`health`](Self::health) reports it, and scheduling returns [`ScheduleError::RuntimeEnded`].
///
/// A future of the library may be polled and then kept: it never holds anything that others are waiting for.
///
/// End it with [`shutdown`](Self::shutdown) or [`run_until_signal`](Self::run_until_signal). Dropping the last clone
/// stops claiming, and logs a warning if the pod claims calls: running handlers continue, and their outcomes are
/// stored if the process lives that long. The pod that a [`Session`](crate::Session) lends does not count as a clone.
///
/// A pod that was not started cannot schedule: the builder has no `future_calls()`.
#[derive(Clone)]
pub struct Pod {
    engine: Arc<Engine>,
    registry: Arc<Registry>,
    /// `None` in sessions: a run must not keep a pod claiming that the user has dropped.
    #[expect(dead_code, reason = "held for its drop")]
    handle: Option<Arc<Handle>>,
}

/// Stops claiming when the user's last clone is dropped.
struct Handle {
    engine: Arc<Engine>,
}

impl Pod {
    /// Returns a builder. It does not read the environment by itself: see [`PodBuilder::override_from_env`].
    pub fn builder() -> PodBuilder {
        PodBuilder::new()
    }

    pub(crate) fn new(engine: Arc<Engine>, registry: Arc<Registry>) -> Self {
        let handle = Some(Arc::new(Handle { engine: Arc::clone(&engine) }));
        Self { engine, registry, handle }
    }

    /// Creates the pod of a session.
    pub(crate) fn of_session(engine: &Arc<Engine>, registry: Arc<Registry>) -> Self {
        Self { engine: Arc::clone(engine), registry, handle: None }
    }

    /// Returns the handlers of this pod.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Returns the pod's id, which is new at every start.
    pub fn id(&self) -> crate::PodId {
        self.engine.pod
    }

    /// Returns the pod's role.
    pub fn role(&self) -> Role {
        self.engine.role
    }

    /// Returns the settings that the pod was started with, those from the environment included.
    pub fn config(&self) -> &Config {
        &self.engine.config
    }

    /// Runs everything that is due now, waits for it, and returns the counts. For [`Role::Maintenance`] and for
    /// tests; on a pod that runs calls anyway, both share the work, and this waits for and counts only what it took
    /// itself.
    ///
    /// Calls that become due while it runs are left alone. A call that gets no free slot within a lease is given back
    /// ([`RunSummary::released`]), and no more are claimed. Dropping the future does not stop the calls that were
    /// started.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or if a handler of the same pod calls it: it would wait for calls
    /// that may need the slot that the handler runs in. Calls that were started before still end and are recorded.
    pub async fn run_due(&self) -> Result<RunSummary, StoreError> {
        self.engine.run_due().await
    }

    /// Shuts the pod down gracefully: stops claiming, gives calls that have not started back to other pods, lets
    /// running calls finish within the grace period, then signals them, then abandons them as interrupted; stores
    /// everything that is queued, and closes the pod's connections. Until this returns, handlers and the last
    /// requests may still schedule; afterwards scheduling returns [`ScheduleError::Stopped`], and inspecting is an
    /// error, too ([`StoreError::is_closed`]).
    ///
    /// A SQLite file is complete by itself afterwards, and may be copied alone. No other files (`-wal`, `-shm`) are
    /// left unless the file is still open elsewhere: in another pod, or in the application's own pool, whose last
    /// connection removes both.
    ///
    /// If the database is unreachable, it still ends within half a minute after the grace period: outcomes that could
    /// not be stored are recorded as interrupted when their leases end.
    ///
    /// Idempotent, from any clone: every caller waits for the same shutdown and gets the same summary. Cancel-safe:
    /// once begun, it continues even if this future is dropped. A handler that awaits it waits for itself until the
    /// grace period is over: spawn it there.
    pub async fn shutdown(&self) -> ShutdownSummary {
        self.engine.shut_down().await
    }

    /// Resolves at SIGINT (Ctrl-C) or SIGTERM, or when the pod's shutdown begins: for axum's
    /// `with_graceful_shutdown(pod.shutdown_signal())`. Follow it with [`shutdown`](Self::shutdown).
    pub fn shutdown_signal(&self) -> impl Future<Output = ()> + Send + 'static {
        let engine = Arc::clone(&self.engine);
        async move {
            tokio::select! {
                biased;
                () = engine.stop.cancelled() => {}
                // Without the pod's runtime, the pod has ended.
                _ = engine.drive_while_awaited(signal()) => {}
            }
        }
    }

    /// Runs until SIGINT (Ctrl-C) or SIGTERM, then shuts down.
    pub async fn run_until_signal(&self) -> ShutdownSummary {
        self.shutdown_signal().await;
        self.shutdown().await
    }

    /// Checks the pod's health, for `/health/live` and `/health/ready`: whether its loops make progress; and whether
    /// its database answers within two seconds and has the expected tables, and the pod is not shutting down. A pod
    /// that only schedules has no loops. One whose runtime has ended is neither live nor ready.
    ///
    /// The database is queried at most once a second; in between, its last answer is returned again.
    ///
    /// ```standalone_crate
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), futurecall_runtime::BoxError> {
    /// # use futurecall_runtime::Pod;
    /// let pod = Pod::builder().database_url("memory:").start().await?;
    /// assert!(pod.health().await.ready);
    /// pod.shutdown().await;
    /// let health = pod.health().await;
    /// assert!(health.live && !health.ready, "{:?}", health.reasons);
    /// # Ok(()) }
    /// ```
    pub async fn health(&self) -> Health {
        self.engine.health().await
    }

    pub(crate) async fn enqueue(&self, mut call: NewCall) -> Result<(), ScheduleError> {
        let span = self.engine.schedule_span(std::slice::from_mut(&mut call));
        self.engine.enqueue(call).instrument(span).await
    }

    pub(crate) async fn enqueue_chunk(&self, mut calls: Vec<NewCall>) -> Result<(), ScheduleError> {
        let span = self.engine.schedule_span(&mut calls);
        self.engine.enqueue_chunk(calls).instrument(span).await
    }

    pub(crate) async fn insert_in(
        &self,
        transaction: TransactionRef<'_>,
        calls: &mut [NewCall],
    ) -> Result<(), ScheduleError> {
        let engine = self.running()?;
        let span = engine.schedule_span(calls);
        engine.hold_fast_path();
        engine.store.insert_in(transaction, calls, engine.config.scan_interval).instrument(span).await?;
        engine.count_scheduled(calls);
        Ok(())
    }

    pub(crate) async fn cancel_target(&self, target: CancelTarget) -> Result<Cancelled, ScheduleError> {
        let cancelling = self.drive(move |engine| async move {
            let cancelled = engine.cancel(&target).await?;
            if cancelled.running > 0 {
                engine.renew_now();
            }
            Ok(cancelled)
        });
        cancelling.await
    }

    pub(crate) async fn reschedule(
        &self,
        target: CancelTarget,
        due: Due,
    ) -> Result<Rescheduled, ScheduleError> {
        let moving = self.drive(move |engine| async move {
            let moved = engine.reschedule(&target, due).await?;
            if moved.calls > 0 {
                // They may be due before the claimer's next scan.
                engine.wake();
            }
            Ok(moved)
        });
        moving.await
    }

    pub(crate) async fn run_again(&self, of: CallId) -> Result<CallId, ScheduleError> {
        self.drive(move |engine| async move { engine.run_again(of).await }).await
    }

    pub(crate) async fn cancel_in(
        &self,
        transaction: TransactionRef<'_>,
        target: &CancelTarget,
    ) -> Result<Cancelled, ScheduleError> {
        let engine = self.running()?;
        // SQLite's store notes it in the application's transaction, which holds the lock of the whole file.
        if engine.forgets_cancelled() && engine.store.kind() != "sqlite" {
            self.drive(|engine| async move { Ok(engine.note_history_gap().await?) }).await?;
        }
        Ok(engine.store.cancel_in(transaction, target, &engine.config.retention).await?)
    }

    pub(crate) async fn declare(&self, schedules: Vec<NewSchedule>) -> Result<Vec<Declared>, ScheduleError> {
        let declaring = self.drive(move |engine| async move {
            let declared = until_known(|| engine.store.declare(Now::Database, &schedules)).await?;
            // Its first run may be due before the claimer's next scan.
            engine.wake();
            Ok(declared)
        });
        declaring.await
    }

    /// Runs work in a task of the pod, which continues to its end.
    async fn drive<T, F>(&self, work: impl FnOnce(Arc<Engine>) -> F) -> Result<T, ScheduleError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ScheduleError>> + Send + 'static,
    {
        let engine = self.running()?;
        engine.drive(work(Arc::clone(engine))).await?
    }

    fn running(&self) -> Result<&Arc<Engine>, ScheduleError> {
        self.engine.is_open()?;
        Ok(&self.engine)
    }
}

/// Waits for SIGINT or SIGTERM; forever if signals cannot be received.
async fn signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending::<()>().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.engine.stop.is_cancelled() {
            // A pod that never claims loses nothing.
            if self.engine.claims_calls() {
                tracing::warn!(
                    pod = %self.engine.pod,
                    "the last handle of a pod was dropped without `shutdown().await`: it claims no more calls; keep a \
                     handle for as long as calls are to run, and end with `pod.shutdown().await` or \
                     `pod.run_until_signal().await`, which wait for what runs"
                );
            }
            // A task of the engine does the rest: it waits for running handlers, and stores the outcomes.
            self.engine.stop.cancel();
        }
    }
}

impl fmt::Debug for Pod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pod")
            .field("id", &self.engine.pod)
            .field("role", &self.engine.role)
            .finish_non_exhaustive()
    }
}
