//! What a handler is given while it runs.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::error::MissingState;
use crate::facade::FutureCalls;
use crate::id::{CallId, ScheduleId};
use crate::moment::Moment;
use crate::pod::Pod;
use crate::state::StateMap;

/// The company of one run: who called, what the pod offers, and whether to stop.
///
/// Lives as long as the run; handlers borrow it.
///
/// ```standalone_crate
/// use futurecall_runtime::prelude::*;
/// use futurecall_runtime::Role;
///
/// pub struct ChainFutureCall;
///
/// #[future_call]
/// impl ChainFutureCall {
///     pub async fn step(session: &Session, n: u32) -> Result<(), BoxError> {
///         let greeting = session.state::<String>()?;
///         println!("{greeting} from step {n} of call {}", session.call().id);
///         if n < 3 && !session.is_cancelled() {
///             session.future_calls().call_now().chain().step(n + 1).await?;
///         }
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let builder = Pod::builder().database_url("memory:").role(Role::Maintenance).state("hello".to_owned());
/// let pod = builder.start().await?;
/// pod.future_calls().call_now().chain().step(1).await?;
/// // Each run schedules the next, which is due when the one after it is looked for.
/// while pod.run_due().await?.started > 0 {}
/// assert_eq!(pod.inspect().counts().await?.succeeded, 3);
/// # pod.shutdown().await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Session {
    pod: Pod,
    state: Arc<StateMap>,
    call: CallInfo,
    cancelled: CancellationToken,
}

/// The call that is being run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallInfo {
    /// Which call. The same for every attempt: a good idempotency key for effects outside the database.
    pub id: CallId,
    /// Its stored name.
    pub name: String,
    /// Its identifier, if it has one.
    pub identifier: Option<String>,
    /// When it was due, by the database's clock: its first attempt, however often it was tried since.
    pub due: Moment,
    /// Which attempt this is; 1 is the first. Attempts of pods that vanished count.
    pub attempt: u32,
    /// The schedule that produced it, if one did.
    pub schedule: Option<ScheduleId>,
    /// The W3C `traceparent` of whoever scheduled it, if given.
    pub traceparent: Option<String>,
}

impl Session {
    pub(crate) fn new(pod: Pod, state: Arc<StateMap>, call: CallInfo, cancelled: CancellationToken) -> Self {
        Self { pod, state, call, cancelled }
    }

    /// The pod that runs this call.
    pub fn pod(&self) -> &Pod {
        &self.pod
    }

    /// Schedules from within a call, also while the pod drains.
    pub fn future_calls(&self) -> FutureCalls {
        self.pod.future_calls()
    }

    /// What `PodBuilder::state` was given of this type.
    ///
    /// # Errors
    ///
    /// [`MissingState`], which names the type. A parameter marked `#[future_call(state)]` is checked at start instead.
    pub fn state<T: Send + Sync + 'static>(&self) -> Result<&T, MissingState> {
        self.state.get().ok_or_else(MissingState::of::<T>)
    }

    /// The call that is being run.
    pub fn call(&self) -> &CallInfo {
        &self.call
    }

    /// Resolves when the run should stop: its call was cancelled, or the pod's shutdown grace is over. A run that
    /// never looks is not disturbed by a cancellation; at the end of a shutdown it is abandoned.
    ///
    /// Cancel-safe.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Whether [`cancelled`](Self::cancelled) would resolve at once.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }
}
