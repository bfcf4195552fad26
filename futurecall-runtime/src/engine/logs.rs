//! Stores the logs of ended runs in batches, where that is enabled.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tracing::Span;

use super::resend::Retries;
use super::supervise::supervised;
use super::{Engine, NOW};
use crate::id::CallId;
use crate::signals::Op;
use crate::store::NewLog;

/// Maximum number of logs per statement.
const MOST: usize = 64;
/// Number of logs that may wait to be stored before more are dropped: they are large, and less important than
/// outcomes.
const ROOM: usize = 256;
/// How long to retry storing a batch.
const PATIENCE: Duration = Duration::from_secs(30);

/// The queue of logs to be stored; `None` where no logs are kept.
#[derive(Debug)]
pub(super) struct LogKeeper {
    #[cfg_attr(not(feature = "logs"), expect(dead_code, reason = "nothing is kept without the feature"))]
    sender: Option<mpsc::Sender<NewLog>>,
}

impl LogKeeper {
    /// Creates the queue and its receiver. If `limit` is 0, no logs are kept.
    pub(super) fn new(limit: usize) -> (Self, Option<mpsc::Receiver<NewLog>>) {
        if limit == 0 {
            return (Self { sender: None }, None);
        }
        let (sender, receiver) = mpsc::channel(ROOM);
        (Self { sender: Some(sender) }, Some(receiver))
    }
}

/// The log of one run.
#[derive(Debug)]
pub(super) struct Log {
    #[cfg(feature = "logs")]
    collecting: Option<crate::signals::Collecting>,
}

impl Log {
    /// Starts collecting the events in that span.
    #[cfg(feature = "logs")]
    pub(super) fn begin(engine: &Engine, span: &Span) -> Self {
        let begin = || crate::signals::Collecting::begin(span, engine.config.keep_logs);
        Self { collecting: engine.log_keeper.sender.is_some().then(begin).flatten() }
    }

    /// Returns whether anything is collected.
    #[cfg(feature = "logs")]
    pub(super) fn is_collecting(&self) -> bool {
        self.collecting.is_some()
    }

    /// Queues the log, if a row of the call remains with which it can be kept.
    #[cfg(feature = "logs")]
    pub(super) fn end(self, engine: &Engine, id: CallId, attempt: u32, is_kept: bool) {
        let (Some(sender), Some(collecting)) = (&engine.log_keeper.sender, self.collecting) else { return };
        let Some(text) = collecting.take().filter(|_| is_kept) else { return };
        if sender.try_send(NewLog { id, attempt, text }).is_err() {
            engine.meter.failed(Op::Log);
            tracing::debug!(%id, "the log of a run is dropped: too many wait to be stored, or the pod has ended");
        }
    }

    /// Collects nothing, because the feature is off.
    #[cfg(not(feature = "logs"))]
    pub(super) fn begin(_engine: &Engine, _span: &Span) -> Self {
        Self {}
    }

    /// Returns `false`: nothing is collected.
    #[cfg(not(feature = "logs"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(super) fn is_collecting(&self) -> bool {
        false
    }

    /// Does nothing: nothing was collected.
    #[cfg(not(feature = "logs"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(super) fn end(self, _engine: &Engine, _id: CallId, _attempt: u32, _is_kept: bool) {}
}

/// Starts the task that stores the logs.
pub(super) fn start(engine: &Arc<Engine>, logs: Option<mpsc::Receiver<NewLog>>) {
    let Some(logs) = logs else { return };
    let (engine, logs) = (Arc::clone(engine), Mutex::new(logs));
    let (tracker, process) = (engine.flushers.clone(), engine.process.clone());
    tracker.spawn(process.task(async move {
        supervised(&engine, "log", || async { run(&engine, &mut *logs.lock().await).await }).await;
    }));
}

/// Stores logs until the pod ends; logs queued before that are still stored.
async fn run(engine: &Engine, logs: &mut mpsc::Receiver<NewLog>) {
    let mut batch = Vec::new();
    loop {
        let open = tokio::select! {
            biased;
            () = engine.over.cancelled() => {
                logs.close();
                logs.recv_many(&mut batch, MOST).await > 0
            }
            count = logs.recv_many(&mut batch, MOST) => count > 0,
        };
        if !open {
            return;
        }
        store(engine, &batch).await;
        batch.clear();
    }
}

/// Stores a batch, or drops it if that fails for too long: no call waits for its log.
async fn store(engine: &Engine, batch: &[NewLog]) {
    let mut retries = Retries::within(PATIENCE);
    while let Err(error) = engine.store.keep_logs(NOW, batch).await {
        engine.meter.failed(Op::Log);
        let after = if engine.over.is_cancelled() { Err(error) } else { retries.after(error).await };
        if let Err(error) = after {
            tracing::warn!(%error, logs = batch.len(), "could not store the logs of runs; they are dropped");
            return;
        }
    }
}
