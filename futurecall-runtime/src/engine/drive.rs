//! Does the pod's work in tasks of the pod.
//!
//! A caller's future may be polled once and then kept, neither polled again nor dropped. So it never holds a turn, a lock, a
//! permit or a connection: those belong to a task on the pod's own runtime, and the caller's future only awaits its result.
//! This also lets any executor, or a thread without one, use a pod.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::Engine;
use crate::error::RUNTIME_ENDED;
use crate::error::{OperateError, ScheduleError, StoreError};
use crate::id::CallId;

/// Why work has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotDriven {
    /// The pod's runtime had ended before: the work was not begun.
    RuntimeEnded,
    /// The pod's runtime ended, or the work panicked, after it was begun.
    Lost,
}

const LOST: &str = "the task that did it has ended early: its runtime was dropped, or it panicked";

impl NotDriven {
    pub(crate) fn as_store(self, doing: &'static str) -> StoreError {
        match self {
            Self::RuntimeEnded => StoreError::permanent(doing, RUNTIME_ENDED),
            Self::Lost => StoreError::unknown(doing, LOST),
        }
    }

    /// As the answer to who stored that call.
    pub(super) fn of_call(self, id: CallId) -> ScheduleError {
        match self {
            Self::RuntimeEnded => ScheduleError::RuntimeEnded,
            Self::Lost => ScheduleError::OutcomeUnknown { id, source: self.as_store("store the call") },
        }
    }
}

impl From<NotDriven> for ScheduleError {
    fn from(not: NotDriven) -> Self {
        match not {
            NotDriven::RuntimeEnded => Self::RuntimeEnded,
            NotDriven::Lost => Self::Store(not.as_store("do it")),
        }
    }
}

impl From<NotDriven> for OperateError {
    fn from(not: NotDriven) -> Self {
        Self::Schedule(not.into())
    }
}

impl Engine {
    /// Does work that goes on to its end even if the future that awaits it is dropped.
    pub(crate) fn drive<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Result<T, NotDriven>> {
        // Moved out of the caller's future at once, which is small then.
        let work = Box::pin(self.process.task(work.in_current_span()));
        async move {
            match self.begin_work(work).await? {
                Begun::Done(done) => Ok(done),
                Begun::Task(task) => task.await.map_err(|_| NotDriven::Lost),
            }
        }
    }

    /// Does work that ends early when the future that awaits it is dropped.
    pub(crate) fn drive_while_awaited<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Result<T, NotDriven>> {
        let work = Box::pin(self.process.task(work.in_current_span()));
        async move {
            match self.begin_work(work).await? {
                Begun::Done(done) => Ok(done),
                Begun::Task(task) => AbortOnDropHandle::new(task).await.map_err(|_| NotDriven::Lost),
            }
        }
    }

    /// Runs a task of this pod.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.handle.spawn(self.process.task(work))
    }

    /// Polls the work once, so that what it sends is on its way, and hands it to a task unless that was all of it. Never
    /// pending, so that no caller's future ever holds the work itself.
    async fn begin_work<T: Send + 'static>(
        &self,
        mut work: Pin<Box<impl Future<Output = T> + Send + 'static>>,
    ) -> Result<Begun<T>, NotDriven> {
        if self.has_lost_its_runtime() {
            return Err(NotDriven::RuntimeEnded);
        }
        // Elsewhere there may be no timer and no reactor, or those of a runtime that ends sooner.
        let is_here = Handle::try_current().is_ok_and(|handle| handle.id() == self.handle.id());
        if is_here
            && let Poll::Ready(done) = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await
        {
            return Ok(Begun::Done(done));
        }
        Ok(Begun::Task(self.handle.spawn(work)))
    }
}

enum Begun<T> {
    Done(T),
    Task(JoinHandle<T>),
}

/// Lives in a task of the pod, and is dropped with the runtime at the latest.
pub(super) struct RuntimeWatch(pub(super) Arc<Engine>);

impl Drop for RuntimeWatch {
    fn drop(&mut self) {
        let Self(engine) = self;
        if !engine.over.is_cancelled() {
            engine.lose_runtime();
        }
    }
}
