//! The process of a pod in a simulation, which can be suspended.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// A simulated process, which can be suspended while time passes. One that is never resumed counts as killed.
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
    /// Creates a running process.
    pub fn new() -> Self {
        Self::default()
    }

    /// Suspends every task before its next poll.
    pub fn stop(&self) {
        self.gate().is_closed = true;
    }

    /// Resumes every task.
    pub fn go_on(&self) {
        let mut gate = self.gate();
        gate.is_closed = false;
        let waiting = std::mem::take(&mut gate.waiting);
        drop(gate);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Wraps a future so that it is suspended with the process.
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
