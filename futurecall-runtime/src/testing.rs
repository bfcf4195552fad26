//! The doors that this repository's own simulation needs. Feature `testing`, off by default; nothing in here is covered
//! by semantic versioning, and no program should depend on it.
//!
//! A simulation runs several pods on one current-thread runtime whose time is paused. [`Simulation`] makes this
//! thread's clocks and dice repeatable; [`Process`] makes the tasks of one pod stand still, as a stopped or killed
//! process would; and [`Sealed`] lets a store of the simulation stand between a pod and a real one.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::moment::Moment;
pub use crate::store::sealed::Sealed;
pub use crate::store::transaction::{OpenTransaction, TransactionRef};

thread_local! {
    static DICE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// While it lives, this thread's clocks are those of the tokio runtime it is in, and its dice are seeded.
#[derive(Debug)]
pub struct Simulation(());

impl Simulation {
    /// Begins. Wall clocks say `wall` now. To be called on the thread of a current-thread runtime whose time is paused.
    pub fn begin(seed: u64, wall: Moment) -> Self {
        DICE.set(Some(seed));
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
        DICE.set(None);
        crate::clock::simulate(None);
    }
}

/// The next bits of this thread's dice (`SplitMix64`), if they are seeded.
pub(crate) fn bits() -> Option<u32> {
    let seed = DICE.get()?.wrapping_add(0x9e37_79b9_7f4a_7c15);
    DICE.set(Some(seed));
    let mut mixed = seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    u32::try_from((mixed ^ (mixed >> 31)) >> 32).ok()
}

/// A process, as far as its tasks can tell: it can stand still while time goes on. One that never goes on again has
/// been killed.
#[derive(Clone, Default)]
pub struct Process {
    gate: Arc<Mutex<Gate>>,
}

#[derive(Default)]
struct Gate {
    is_closed: bool,
    waiting: Vec<Waker>,
}

impl Process {
    /// One that runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every task stands still from its next step on.
    pub fn stop(&self) {
        self.gate().is_closed = true;
    }

    /// Every task goes on.
    pub fn go_on(&self) {
        let mut gate = self.gate();
        gate.is_closed = false;
        let waiting = std::mem::take(&mut gate.waiting);
        drop(gate);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// A future that stands still with the process.
    pub fn task<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        Task { gate: Arc::clone(&self.gate), future: Box::pin(future) }
    }

    fn gate(&self) -> std::sync::MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("is_stopped", &self.gate().is_closed).finish_non_exhaustive()
    }
}

struct Task<F> {
    gate: Arc<Mutex<Gate>>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Task<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let task = self.get_mut();
        let mut gate = task.gate.lock().unwrap_or_else(PoisonError::into_inner);
        if gate.is_closed {
            gate.waiting.push(context.waker().clone());
            return Poll::Pending;
        }
        drop(gate);
        task.future.as_mut().poll(context)
    }
}
