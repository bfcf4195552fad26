//! The amounts that are measured.

use std::time::Duration;

/// The amount of each kind of work.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    /// How often ours and plain SQL alternate; the figures are the medians.
    pub(crate) rounds: usize,
    /// How long each round of single calls lasts.
    pub(crate) enqueue: Duration,
    pub(crate) bulk: u32,
    pub(crate) drain: u32,
    pub(crate) large_drain: u32,
    /// How long a pod has for the other work of a start.
    pub(crate) start: Duration,
    /// Pods that start one after the other.
    pub(crate) starts: usize,
    pub(crate) latency: usize,
    pub(crate) lateness: usize,
    /// Other calls per second.
    pub(crate) load: u32,
    /// Calls that are due later.
    pub(crate) backlog: u32,
    /// Calls stored at once and then run, in a part of the calls, in how many parts, with a transaction held open.
    pub(crate) turn: u32,
    pub(crate) part: u32,
    pub(crate) parts: usize,
    pub(crate) pods_drain: u32,
    /// Calls of which some are a killed pod's.
    pub(crate) recovery: u32,
    /// `None` is the default.
    pub(crate) leases: &'static [Option<Duration>],
    pub(crate) cost: u32,
    /// Few and many due calls that wait.
    pub(crate) waiting: [u32; 2],
    /// How long a pod has to claim them.
    pub(crate) memory: Duration,
    pub(crate) settings: u32,
    /// How long a pod is left alone before it counts as idle.
    pub(crate) settle: Duration,
    pub(crate) idle: Duration,
    /// Methods of the crates that are checked by the compiler.
    pub(crate) methods: &'static [usize],
    /// Whether those crates depend on the stores, like the default features.
    pub(crate) stores: bool,
}

impl Sizes {
    pub(crate) const FULL: Self = Self {
        rounds: 5,
        enqueue: Duration::from_secs(3),
        bulk: 100_000,
        drain: 20_000,
        large_drain: 1_000_000,
        start: Duration::from_secs(1),
        starts: 30,
        latency: 500,
        lateness: 2_000,
        load: 5_000,
        backlog: 1_000_000,
        turn: 1_000,
        part: 60_000,
        parts: 5,
        pods_drain: 100_000,
        recovery: 2_000,
        leases: &[None, Some(Duration::from_secs(3))],
        cost: 100_000,
        waiting: [1_000, 1_000_000],
        memory: Duration::from_secs(5),
        settings: 20_000,
        settle: Duration::from_secs(12),
        idle: Duration::from_secs(20),
        methods: &[10, 100, 200],
        stores: true,
    };

    /// The minimum that shows that everything runs.
    pub(crate) const QUICK: Self = Self {
        rounds: 1,
        enqueue: Duration::from_millis(200),
        bulk: 2_000,
        drain: 1_000,
        large_drain: 2_000,
        start: Duration::from_millis(200),
        starts: 3,
        latency: 20,
        lateness: 50,
        load: 500,
        backlog: 5_000,
        turn: 100,
        part: 300,
        parts: 2,
        pods_drain: 1_000,
        recovery: 400,
        leases: &[Some(Duration::from_secs(1))],
        cost: 1_280,
        waiting: [200, 2_000],
        memory: Duration::from_millis(500),
        settings: 500,
        settle: Duration::from_millis(500),
        idle: Duration::from_secs(1),
        methods: &[10],
        stores: false,
    };
}
