//! The slots in which pods run, one process after the other.

use std::sync::Arc;
use std::time::Duration;

use futurecall_model::line::What;
use futurecall_runtime::store::MemoryStore;
use futurecall_runtime::testing::Process;
use futurecall_runtime::{CheckBrokenCalls, Config, OnInterrupt, Pod, Retention, StartError};

use super::faulty::Faulty;
use super::handlers::{PLAIN, RETRY, SimTimedFutureCall, TICK, Work};
use super::world::World;

/// For how long the history is kept: a client tries for 10 s, may be paused for three leases, and its messages take up
/// to two.
pub(crate) const RETAINED: Duration = Duration::from_secs(32);

/// One slot, and the process that runs there.
pub(crate) struct Place {
    number: usize,
    life: usize,
    pub(crate) running: Option<Running>,
}

/// A pod and its process.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) name: String,
    pub(crate) pod: Pod,
    pub(crate) process: Process,
}

impl Place {
    pub(crate) fn new(number: usize) -> Self {
        Self { number, life: 0, running: None }
    }

    /// Starts a process here, retrying until it runs.
    pub(crate) async fn start(&mut self, world: &Arc<World>, store: &MemoryStore) {
        while self.running.is_none() {
            self.life += 1;
            let name = format!("p{}.{}", self.number, self.life);
            self.running = start(world, store, name).await;
        }
    }

    /// Kills the process: it never resumes.
    pub(crate) fn kill(&mut self, world: &World) -> Option<Running> {
        let running = self.running.take()?;
        running.process.stop();
        world.stands_still(&running.name, Duration::MAX);
        world.trouble(&running.name, Duration::MAX);
        world.write(What::Vanished { pod: running.name.clone() });
        Some(running)
    }
}

impl Running {
    /// Pauses the process.
    pub(crate) fn pause(&self, world: &World, length: Duration) {
        self.process.stop();
        world.stands_still(&self.name, length);
        world.trouble(&self.name, length);
    }

    /// Performs something in the process.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.process.task(task));
    }
}

async fn start(world: &Arc<World>, store: &MemoryStore, name: String) -> Option<Running> {
    let process = Process::new();
    let work = || Work { world: Arc::clone(world), pod: name.clone() };
    let on_interrupt = if world.settings.reruns() > 0 { OnInterrupt::Rerun } else { OnInterrupt::Keep };
    let age = RETAINED;
    // One in three keeps nothing of what succeeded.
    let succeeded = if world.shared().dice.below(3) == 0 { Duration::ZERO } else { age };
    let config = Config::new()
        .on_interrupt(on_interrupt)
        .crash_budget(u32::from(world.settings.reruns()) + 1)
        .lease(world.settings.lease)
        .concurrency_limit(3)
        .scan_interval(Duration::from_secs(2))
        .check_broken_calls(CheckBrokenCalls::Never)
        .shutdown_grace(Duration::from_secs(3))
        .retention(Retention { succeeded, failed: age, interrupted: age, cancelled: age, skipped: age });
    let builder = Pod::builder()
        .store(Faulty::new(world, store.clone(), name.clone()))
        .config(config)
        .without_discovery()
        .register_future_call(PLAIN, work())
        .register_future_call(RETRY, work())
        .register_future_call(TICK, work())
        .register(SimTimedFutureCall)
        .state(work())
        .in_process(process.clone());
    match builder.start().await {
        Ok(pod) => Some(Running { name, pod, process }),
        // The database could not be reached; anything else is a mistake of the simulation.
        Err(StartError::Store(_)) => None,
        Err(error) => panic!("a pod does not start: {error}"),
    }
}
