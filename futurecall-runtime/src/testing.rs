//! The doors that this repository's own simulation needs. Feature `testing`, off by default; nothing in here is covered
//! by semantic versioning, and no program should depend on it.
//!
//! A simulation runs several pods on one current-thread runtime whose time is paused. [`Simulation`] makes this
//! thread's clocks and dice repeatable; [`Process`] makes the tasks of one pod stand still, as a stopped or killed
//! process would; and [`Sealed`] lets a store of the simulation stand between a pod and a real one.

use std::time::Duration;

pub use crate::engine::simulated::Process;
use crate::moment::Moment;
pub use crate::store::sealed::Sealed;
pub use crate::store::transaction::{OpenTransaction, TransactionRef};

/// While it lives, this thread's clocks are those of the tokio runtime it is in, and its dice are seeded.
#[derive(Debug)]
pub struct Simulation(());

impl Simulation {
    /// Begins. Wall clocks say `wall` now. To be called on the thread of a current-thread runtime whose time is paused.
    pub fn begin(seed: u64, wall: Moment) -> Self {
        crate::random::seed(Some(seed));
        crate::clock::simulate(Some(wall));
        Self(())
    }

    /// Sets the wall clocks of all pods forward; their monotonic clocks go on as before. It is as if the machines had
    /// been suspended for that long.
    pub fn suspend(&self, time: Duration) {
        crate::clock::skip(time);
    }

    /// Sets the wall clocks of all pods back, to 1970 at most; their monotonic clocks go on as before.
    pub fn set_back(&self, time: Duration) {
        crate::clock::set_back(time);
    }

    /// The simulated wall clock.
    pub fn now(&self) -> Moment {
        crate::clock::wall()
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        crate::random::seed(None);
        crate::clock::simulate(None);
    }
}
