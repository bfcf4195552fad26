//! Runs work that callers ask for in tasks of the pod.
//!
//! A caller's future may be polled once and then kept, neither polled again nor dropped. So it never holds a queue
//! position, lock, permit or connection: those belong to a task on the pod's own runtime, and the caller's future
//! only awaits the result. This also lets any executor, or a thread without one, use a pod.

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

/// Why driven work has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DriveError {
    /// The pod's runtime had already ended: the work was not started.
    RuntimeEnded,
    /// The pod's runtime ended, or the work panicked, after it was started.
    Lost,
}

const LOST: &str = "the task that did it has ended early: its runtime was dropped, or it panicked";

impl DriveError {
    pub(crate) fn as_store(self, doing: &'static str) -> StoreError {
        match self {
            Self::RuntimeEnded => StoreError::permanent(doing, RUNTIME_ENDED),
            Self::Lost => StoreError::unknown(doing, LOST),
        }
    }

    /// Returns the error for the caller that stored call `id`.
    pub(super) fn of_call(self, id: CallId) -> ScheduleError {
        match self {
            Self::RuntimeEnded => ScheduleError::RuntimeEnded,
            Self::Lost => ScheduleError::OutcomeUnknown { id, source: self.as_store("store the call") },
        }
    }
}

impl From<DriveError> for ScheduleError {
    fn from(not: DriveError) -> Self {
        match not {
            DriveError::RuntimeEnded => Self::RuntimeEnded,
            DriveError::Lost => Self::Store(not.as_store("do it")),
        }
    }
}

impl From<DriveError> for OperateError {
    fn from(not: DriveError) -> Self {
        Self::Schedule(not.into())
    }
}

impl Engine {
    /// Runs work that continues to its end even if the returned future is dropped.
    pub(crate) fn drive<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Result<T, DriveError>> {
        // Boxed, so that the caller's future stays small.
        let work = Box::pin(self.process.task(work.in_current_span()));
        async move {
            match self.begin_work(work).await? {
                BegunWork::Done(done) => Ok(done),
                BegunWork::Task(task) => task.await.map_err(|_| DriveError::Lost),
            }
        }
    }

    /// Runs work that is aborted when the returned future is dropped.
    pub(crate) fn drive_while_awaited<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Result<T, DriveError>> {
        let work = Box::pin(self.process.task(work.in_current_span()));
        async move {
            match self.begin_work(work).await? {
                BegunWork::Done(done) => Ok(done),
                BegunWork::Task(task) => AbortOnDropHandle::new(task).await.map_err(|_| DriveError::Lost),
            }
        }
    }

    /// Spawns a task on the pod's runtime.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.handle.spawn(self.process.task(work))
    }

    /// Polls the work once, so that its first statement is sent at once, and spawns the rest as a task. Never
    /// pending, so that a caller's future never holds the work itself.
    async fn begin_work<T: Send + 'static>(
        &self,
        mut work: Pin<Box<impl Future<Output = T> + Send + 'static>>,
    ) -> Result<BegunWork<T>, DriveError> {
        if self.has_lost_its_runtime() {
            return Err(DriveError::RuntimeEnded);
        }
        // On another thread or runtime there may be no timer and no reactor, or a runtime that ends sooner.
        let is_here = Handle::try_current().is_ok_and(|handle| handle.id() == self.handle.id());
        if is_here
            && let Poll::Ready(done) = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await
        {
            return Ok(BegunWork::Done(done));
        }
        Ok(BegunWork::Task(self.handle.spawn(work)))
    }
}

enum BegunWork<T> {
    Done(T),
    Task(JoinHandle<T>),
}

/// Lives in a task of the pod, and so is dropped with the runtime at the latest.
pub(super) struct RuntimeWatch(pub(super) Arc<Engine>);

impl Drop for RuntimeWatch {
    fn drop(&mut self) {
        let Self(engine) = self;
        if !engine.over.is_cancelled() {
            engine.lose_runtime();
        }
    }
}
