//! What runs have logged goes to the database in batches, when they have ended, and only where it is asked for.

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

/// The most logs of one statement.
const MOST: usize = 64;
/// How many logs may wait to be stored before more are dropped: they are large, and less than what outcomes are.
const ROOM: usize = 256;
/// For how long storing a batch is tried again.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where runs hand in what they have logged; nothing where no logs are kept.
#[derive(Debug)]
pub(super) struct LogKeeper {
    #[cfg_attr(not(feature = "logs"), expect(dead_code, reason = "nothing is kept without the feature"))]
    sender: Option<mpsc::Sender<NewLog>>,
}

impl LogKeeper {
    /// What runs have logged comes out of the receiver. `limit`: none are kept if it is 0.
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
    /// Begins to collect what is logged in that span.
    #[cfg(feature = "logs")]
    pub(super) fn begin(engine: &Engine, span: &Span) -> Self {
        let begin = || crate::signals::Collecting::begin(span, engine.config.keep_logs);
        Self { collecting: engine.log_keeper.sender.is_some().then(begin).flatten() }
    }

    /// Whether anything is collected.
    #[cfg(feature = "logs")]
    pub(super) fn is_collecting(&self) -> bool {
        self.collecting.is_some()
    }

    /// Hands in what was logged, if the call leaves a trace with which it can be kept.
    #[cfg(feature = "logs")]
    pub(super) fn end(self, engine: &Engine, id: CallId, attempt: u32, is_kept: bool) {
        let (Some(sender), Some(collecting)) = (&engine.log_keeper.sender, self.collecting) else { return };
        let Some(text) = collecting.take().filter(|_| is_kept) else { return };
        if sender.try_send(NewLog { id, attempt, text }).is_err() {
            engine.meter.failed(Op::Log);
            tracing::debug!(%id, "the log of a run is dropped: too many wait to be stored, or the pod has ended");
        }
    }

    /// Nothing is collected: the feature is off.
    #[cfg(not(feature = "logs"))]
    pub(super) fn begin(_engine: &Engine, _span: &Span) -> Self {
        Self {}
    }

    /// Nothing is collected.
    #[cfg(not(feature = "logs"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(super) fn is_collecting(&self) -> bool {
        false
    }

    /// Nothing was collected.
    #[cfg(not(feature = "logs"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(super) fn end(self, _engine: &Engine, _id: CallId, _attempt: u32, _is_kept: bool) {}
}

/// Starts the task that stores them.
pub(super) fn start(engine: &Arc<Engine>, logs: Option<mpsc::Receiver<NewLog>>) {
    let Some(logs) = logs else { return };
    let (engine, logs) = (Arc::clone(engine), Mutex::new(logs));
    let (tracker, process) = (engine.flushers.clone(), engine.process.clone());
    tracker.spawn(process.task(async move {
        supervised(&engine, "log", || async { run(&engine, &mut *logs.lock().await).await }).await;
    }));
}

/// Stores until the pod is over; what was handed in before that is still stored.
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

/// What cannot be stored is dropped: no call waits for its log.
async fn store(engine: &Engine, batch: &[NewLog]) {
    let mut retries = Retries::within(PATIENCE);
    while let Err(error) = engine.store.keep_logs(NOW, batch).await {
        engine.meter.failed(Op::Log);
        let after = if engine.over.is_cancelled() { Err(error) } else { retries.after(error).await };
        if let Err(error) = after {
            tracing::warn!(%error, logs = batch.len(), "the logs of runs could not be kept");
            return;
        }
    }
}
