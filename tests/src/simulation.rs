//! Whole runs in simulated time: engine and memory store, several pods, and a network and machines that fail, all drawn
//! from one seed.
//!
//! A simulation depends on nothing else: the runtime has one thread and paused time, randomness is seeded, and names
//! replace ids. So the same seed gives the same trace. Each trace is replayed in the model.

mod checker;
mod faulty;
mod handlers;
mod mutants;
mod play;
mod pods;
mod script;
mod server;
mod world;

use std::sync::Arc;
use std::time::Duration;

use futurecall_model::line::Line;
use futurecall_runtime::store::MemoryStore;
use futurecall_runtime::testing::Simulation;

pub use self::mutants::Mutant;
use self::play::Play;
pub use self::world::Counts;
use self::world::World;

/// The size of a simulation, and its faults.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says of one thing whether it goes wrong")]
pub struct Settings {
    /// How many pods there are at a time.
    pub pods: usize,
    /// How many calls are scheduled, in addition to a schedule.
    pub calls: usize,
    /// How many faults affect one pod, or all of them.
    pub troubles: usize,
    /// How many of a thousand messages take up to two leases.
    pub slow: usize,
    /// For how long there are faults.
    pub length: Duration,
    /// The pods' leases.
    pub lease: Duration,
    /// Whether there are faults at all.
    pub faults: bool,
    /// Whether, even so, every fifth claim loses its connection and is executed later.
    pub late_claims: bool,
    /// Whether, even so, the server rejects all pods now and then, for a quarter of a lease at most.
    pub denials: bool,
    /// Whether, even so, every tenth operation is not done and looks as if its reply were lost.
    pub unsent: bool,
    /// Whether interrupted calls are rerun.
    pub reruns: bool,
    /// How the store violates the protocol, if it does.
    pub mutant: Option<Mutant>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pods: 2,
            calls: 20,
            troubles: 10,
            slow: 4,
            length: Duration::from_secs(40),
            lease: Duration::from_secs(4),
            faults: true,
            late_claims: false,
            denials: false,
            unsent: false,
            reruns: false,
            mutant: None,
        }
    }
}

impl Settings {
    /// Returns how often a call is rerun after its pod vanished.
    fn reruns(&self) -> u8 {
        if self.reruns { 2 } else { 0 }
    }
}

/// The result of a simulation.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Violations.
    pub violations: Vec<String>,
    /// The trace.
    pub lines: Vec<Line>,
    /// Counts of events.
    pub counts: Counts,
}

impl Report {
    /// Returns a hash of the trace.
    pub fn hash(&self) -> u64 {
        let text = self.lines.iter().map(|line| format!("{line:?}")).collect::<Vec<_>>().join("\n");
        text.bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}

/// Plays the events drawn from a seed, and checks the result. Interrupted calls are rerun in every other seed.
///
/// # Panics
///
/// If the simulation itself is wrong.
pub fn simulate(seed: u64, settings: Settings) -> Report {
    let settings = Settings { reruns: seed.is_multiple_of(2), ..settings };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let simulation = Simulation::begin(seed, World::start());
        let (world, store) = (Arc::new(World::new(seed, settings)), MemoryStore::at(World::start()));
        let mut play = Play::new(&world, &store, &simulation);
        play.perform(script::script(seed, &settings)).await;
        checker::check(&world, &store).await;
        let shared = world.shared();
        Report {
            seed,
            violations: shared.violations.clone(),
            lines: shared.lines.clone(),
            counts: shared.counts,
        }
    })
}
