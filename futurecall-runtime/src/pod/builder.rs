use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::database::{ApplicationPool, Database, Placement, open};
use super::{Pod, declared, start_check};
use crate::config::Config;
use crate::engine::resend::until_known_at_start;
use crate::engine::runner::Runner;
use crate::engine::{Engine, Process, first_look};
use crate::error::{StartError, StoreError};
use crate::registry::{Handler, Registry};
use crate::role::Role;
use crate::signals::trace::TraceContext;
use crate::state::StateMap;
use crate::store::{LivePod, NewSchedule, Now, Store};

/// The configuration of a pod before it starts.
///
/// ```standalone_crate
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futurecall_runtime::{Config, Pod};
///
/// let pod = Pod::builder()
///     .database_url("sqlite::memory:")
///     .config(Config::new().concurrency_limit(8))
///     .start()
///     .await?;
/// assert_eq!(pod.inspect().counts().await?.scheduled, 0);
/// pod.shutdown().await;
/// # Ok(()) }
/// ```
#[must_use = "a pod does nothing before `.start().await`"]
pub struct PodBuilder {
    database: Option<Database>,
    placement: Placement,
    role: Role,
    config: Config,
    from_env: bool,
    migrates: bool,
    state: StateMap,
    discovery: bool,
    registered: Vec<Registered>,
    by_name: Vec<Result<Handler, StartError>>,
    process: Process,
    trace_context: TraceContext,
}

/// A type given to `register`, with its handlers.
struct Registered {
    type_id: TypeId,
    handlers: Vec<Handler>,
}

impl PodBuilder {
    pub(super) fn new() -> Self {
        Self {
            database: None,
            placement: Placement::default(),
            role: Role::default(),
            config: Config::default(),
            from_env: false,
            migrates: true,
            state: StateMap::default(),
            discovery: true,
            registered: Vec::new(),
            by_name: Vec::new(),
            process: Process::default(),
            trace_context: TraceContext::default(),
        }
    }

    /// Sets the database: `sqlite:calls.db` (created if missing), `sqlite::memory:`, `postgres://…`, or `memory:`
    /// (lost when the process ends: for tests).
    pub fn database_url(mut self, url: impl Into<String>) -> Self {
        self.database = Some(Database::Url(url.into()));
        self
    }

    /// Uses the database of the application's own sqlx pool. The pod takes only the pool's connect options, and none
    /// of its connections.
    pub fn pool(mut self, pool: &impl ApplicationPool) -> Self {
        self.database = Some(pool.__database());
        self
    }

    /// Uses this store: a [`MemoryStore`](crate::store::MemoryStore) in tests, for example.
    pub fn store(mut self, store: impl Store) -> Self {
        self.database = Some(Database::Store(Arc::new(store)));
        self
    }

    /// Sets the PostgreSQL schema of the tables (default `futurecall`), so that several services can share one
    /// database. 1 to 48 of a-z, 0-9 and _.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.placement.schema = schema.into();
        self
    }

    /// Sets the SQLite prefix of the tables (default `futurecall_`). 1 to 48 of a-z, 0-9 and _.
    pub fn table_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.placement.table_prefix = prefix.into();
        self
    }

    /// Sets the size of the pod's own pool (default 4), besides one connection for leases and one to listen.
    pub fn connections(mut self, connections: u32) -> Self {
        self.placement.connections = connections;
        self
    }

    /// Sets the pod's role.
    pub fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Replaces all settings.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Lets the `FUTURECALL_…` environment variables override the settings in code.
    pub fn override_from_env(mut self) -> Self {
        self.from_env = true;
        self
    }

    /// Adds a value that handlers can borrow: `session.state::<T>()`, or a parameter marked `#[future_call(state)]`.
    /// One value per type: a second one is [`StartError::StateTwice`] at the start.
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.state.insert(value);
        self
    }

    /// Sets a function that returns the caller's W3C `traceparent`, called each time that calls are stored: it is
    /// stored with the call, and its run is recorded with it ([`signals`](crate::signals)). An invalid `traceparent`
    /// is ignored. Not needed with the feature `opentelemetry`.
    ///
    /// ```standalone_crate
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), futurecall_runtime::BoxError> {
    /// use futurecall_runtime::Pod;
    /// # struct Context { traceparent: String }
    /// # tokio::task_local! { static CONTEXT: Context; }
    ///
    /// // Kept by the application's own middleware, say.
    /// let current = || CONTEXT.try_with(|context| context.traceparent.clone()).ok();
    /// let pod = Pod::builder().database_url("memory:").trace_context(current).start().await?;
    /// # pod.shutdown().await;
    /// # Ok(()) }
    /// ```
    pub fn trace_context(mut self, current: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        self.trace_context = TraceContext::new(current);
        self
    }

    /// Runs the pod's tasks in a simulated process.
    #[cfg(feature = "testing")]
    #[doc(hidden)]
    pub fn in_process(mut self, process: crate::engine::simulated::Process) -> Self {
        self.process = Process::simulated(process);
        self
    }

    /// Adds the handlers of a type that was registered by hand.
    pub(crate) fn add_type(mut self, type_id: TypeId, handlers: Vec<Handler>) -> Self {
        self.registered.push(Registered { type_id, handlers });
        self
    }

    /// Adds the handler of a call by name, or the error of creating it.
    pub(crate) fn add_named(mut self, handler: Result<Handler, StartError>) -> Self {
        self.by_name.push(handler);
        self
    }

    /// Does not migrate: if a migration of the schema is missing, the start fails and names it. For tools that
    /// inspect a service's database, and for teams that migrate by hand.
    pub fn without_migration(mut self) -> Self {
        self.migrates = false;
        self
    }

    /// Runs only handlers that are registered by hand.
    pub fn without_discovery(mut self) -> Self {
        self.discovery = false;
        self
    }

    /// Opens the database, migrates its tables, checks everything that can be checked, and starts the pod. Calls that
    /// are due may start before this returns.
    ///
    /// The pod runs on the Tokio runtime on which this is awaited, and can be used from any thread and any executor
    /// as long as that runtime runs. Dropping the future ends what was started.
    ///
    /// # Errors
    ///
    /// Returns a [`StartError`]; nothing is left running in the background.
    pub async fn start(self) -> Result<Pod, StartError> {
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        // In a task, because a migration holds locks, and this future may be kept unpolled.
        let starting = runtime.spawn(self.start_here().in_current_span());
        let started = AbortOnDropHandle::new(starting).await;
        started.unwrap_or_else(|error| Err(StoreError::unknown("start the pod", error).into()))
    }

    /// Starts on the current runtime.
    async fn start_here(self) -> Result<Pod, StartError> {
        let Self {
            database,
            placement,
            role,
            mut config,
            from_env,
            migrates,
            state,
            discovery,
            registered,
            by_name,
            process,
            trace_context,
        } = self;
        if from_env {
            config = config.overridden_by_env()?;
        }
        config.validate()?;
        placement.validate()?;
        state.check()?;
        let database = database.ok_or(StartError::NoDatabase)?;
        let runs = role != Role::Serverless && config.execution_enabled;
        let registry = if runs { registry(registered, by_name, discovery, &state)? } else { Registry::new() };
        let schedules = declared::by_attribute(&registry)?;
        let keys = schedules.iter().map(|schedule| schedule.key.clone()).collect();

        let store = open(database, &placement).await?;
        let tables = if migrates {
            until_known_at_start(|| store.migrate()).await.map_err(StartError::from)
        } else {
            is_migrated(&*store).await
        };
        if let Err(error) = tables {
            store.close().await;
            return Err(error);
        }
        let runner: Arc<dyn Runner> = Arc::<Registry>::clone(&registry);
        let engine = Engine::new(role, store, config, state, runner, keys, process);
        let _ = engine.trace_context.set(trace_context);
        let pod = Pod::new(Arc::clone(&engine), registry);
        if let Err(error) = begin(&pod, runs, schedules).await {
            // Also removes the row written by the first heartbeat.
            engine.shut_down().await;
            return Err(error);
        }
        Ok(pod)
    }
}

/// Returns an error if the tables are not those of this library.
async fn is_migrated(store: &dyn Store) -> Result<(), StartError> {
    let steps = store.migrations().await?;
    let missing: Vec<String> = steps
        .into_iter()
        .filter(|step| step.applied.is_none())
        .map(|step| format!("{} ({})", step.version, step.name))
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(StartError::NotMigrated { missing }) }
}

async fn begin(pod: &Pod, runs: bool, schedules: Vec<NewSchedule>) -> Result<(), StartError> {
    let engine = pod.engine();
    if runs {
        let names = pod.registry().names();
        tracing::info!(pod = %engine.pod, store = engine.store.kind(), role = engine.role.as_str(), ?names, "pod starts");
        until_known_at_start(|| engine.beat_to(&*engine.store)).await?;
        if !schedules.is_empty() {
            until_known_at_start(|| engine.store.declare(Now::Database, &schedules)).await?;
        }
        let live = LivePod {
            names: pod.registry().names(),
            schedules: engine.attribute_schedules.clone(),
            pod_live: engine.pod_live(),
        };
        let grace = engine.config.schedule_grace;
        let ended = until_known_at_start(|| engine.store.end_undeclared(Now::Database, &live, grace)).await?;
        if ended > 0 {
            tracing::warn!(
                schedules = ended,
                "schedules ended that no live pod declares by attribute any more"
            );
        }
    }
    // A check that only reports must not delay calls: its duration depends on how many calls are pending.
    let claims_first = engine.claims_calls() && start_check::only_reports(&engine.config);
    if runs && !claims_first {
        look_for_broken_calls(pod).await?;
    }
    engine.start().map_err(|error| {
        StartError::setting("lease", format!("the thread that renews leases could not be started: {error}"))
    })?;
    if runs && claims_first {
        first_look(engine).await;
        look_for_broken_calls(pod).await?;
    }
    Ok(())
}

async fn look_for_broken_calls(pod: &Pod) -> Result<(), StartError> {
    let found = until_known_at_start(|| start_check::check(pod)).await?;
    if found.is_empty() { Ok(()) } else { Err(StartError::BrokenCalls { found }) }
}

fn registry(
    registered: Vec<Registered>,
    by_name: Vec<Result<Handler, StartError>>,
    discovery: bool,
    state: &StateMap,
) -> Result<Arc<Registry>, StartError> {
    let registry = Registry::new();
    let by_hand: Vec<TypeId> = registered.iter().map(|registered| registered.type_id).collect();
    let mut not_registered = Vec::new();
    for handler in registered.into_iter().flat_map(|registered| registered.handlers) {
        registry.add(handler)?;
    }
    let found = if discovery { crate::discovery::discovered() } else { Vec::new() };
    for found in found.into_iter().filter(|found| !by_hand.contains(&found.type_id)) {
        if found.needs_instance {
            not_registered.push(found.type_name.to_owned());
            continue;
        }
        for handler in (found.handlers)() {
            registry.add(handler)?;
        }
    }
    if !not_registered.is_empty() {
        not_registered.sort_unstable();
        return Err(StartError::NotRegistered { types: not_registered });
    }
    for handler in by_name {
        registry.add(handler?)?;
    }
    missing_state(&registry, state)?;
    Ok(registry)
}

fn missing_state(registry: &Registry, state: &StateMap) -> Result<(), StartError> {
    let handlers = registry.handlers();
    let mut needs: Vec<String> = handlers
        .iter()
        .flat_map(|handler| handler.state.iter().map(move |need| (handler, need)))
        .filter(|(_, need)| !state.has((need.type_id)()))
        .map(|(handler, need)| {
            format!("{} takes `{}: &{}`", handler.name, need.parameter, (need.type_name)())
        })
        .collect();
    needs.sort_unstable();
    if needs.is_empty() { Ok(()) } else { Err(StartError::MissingState { needs }) }
}

impl fmt::Debug for PodBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the database: its URL may contain a password.
        f.debug_struct("PodBuilder")
            .field("role", &self.role)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
