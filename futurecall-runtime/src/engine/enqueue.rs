//! Group commit of single calls: each flush takes the calls that arrived while the previous one was in flight. There
//! is no timer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Mutex, Notify, mpsc, oneshot};

use super::fast_path::{self, FastPath};
use super::resend::Retries;
use super::supervise::supervised;
use super::{DriveError, Engine, NOW};
use crate::error::{ScheduleError, StoreError};
use crate::id::CallId;
use crate::signals::Op;
use crate::store::{Inserted, NewCall, Result};

/// Maximum number of rows per flush.
const MOST: usize = 2_000;
/// Number of calls that may be queued before callers have to wait.
const ROOM: usize = 16_384;

type Reply = oneshot::Sender<Result<(), ScheduleError>>;

/// A call waiting to be stored, and where to send the result.
#[derive(Debug)]
pub(super) struct PendingInsert {
    call: NewCall,
    reply: Reply,
}

/// The queue of single calls to be stored.
#[derive(Debug)]
pub(super) struct Enqueuer {
    sender: mpsc::Sender<PendingInsert>,
    /// Number of calls that are queued or being stored.
    waiting: AtomicUsize,
    /// Whether a flush is in progress.
    is_busy: AtomicBool,
    /// Notified when a flush ends.
    idle: Notify,
    /// Notified when calls were taken from the queue.
    room: Notify,
}

/// A guard of the flush in progress. Only tasks of the pod hold it: a caller's future may be kept unpolled forever.
struct FlushGuard(Arc<Engine>);

impl FlushGuard {
    fn try_begin(engine: &Arc<Engine>) -> Option<Self> {
        (!engine.enqueuer.is_busy.swap(true, Ordering::Acquire)).then(|| Self(Arc::clone(engine)))
    }

    async fn begin(engine: &Arc<Engine>) -> Self {
        loop {
            if let Some(busy) = Self::try_begin(engine) {
                return busy;
            }
            engine.enqueuer.idle.notified().await;
        }
    }
}

impl Drop for FlushGuard {
    fn drop(&mut self) {
        let enqueuer = &self.0.enqueuer;
        enqueuer.is_busy.store(false, Ordering::Release);
        enqueuer.idle.notify_one();
    }
}

impl Enqueuer {
    pub(super) fn new() -> (Self, mpsc::Receiver<PendingInsert>) {
        let (sender, receiver) = mpsc::channel(ROOM);
        (
            Self {
                sender,
                waiting: AtomicUsize::new(0),
                is_busy: AtomicBool::new(false),
                idle: Notify::new(),
                room: Notify::new(),
            },
            receiver,
        )
    }

    /// Queues a call as soon as there is room. Does not wait in a fair queue: a permit assigned to a future that is
    /// never polled again would be lost.
    async fn hand_in(&self, engine: &Engine, waiting: PendingInsert) -> Result<(), ScheduleError> {
        loop {
            let room = self.room.notified();
            match self.sender.try_reserve() {
                Ok(place) => {
                    self.waiting.fetch_add(1, Ordering::AcqRel);
                    place.send(waiting);
                    return Ok(());
                }
                Err(mpsc::error::TrySendError::Closed(())) => {
                    engine.is_open()?;
                    return Err(ScheduleError::Stopped);
                }
                Err(mpsc::error::TrySendError::Full(())) => {
                    tokio::select! {
                        () = room => {}
                        () = engine.over.cancelled() => engine.is_open()?,
                    }
                }
            }
        }
    }
}

/// Stores one call. If this future is dropped, the call is either stored or not.
pub(super) async fn one(engine: &Arc<Engine>, call: NewCall) -> Result<(), ScheduleError> {
    let enqueuer = &engine.enqueuer;
    // If nothing else is queued, the call is stored directly, without waking the flush task.
    let alone =
        if enqueuer.waiting.load(Ordering::Acquire) == 0 { FlushGuard::try_begin(engine) } else { None };
    let id = call.id;
    if let Some(busy) = alone {
        return engine.drive(by_itself(busy, call)).await.unwrap_or_else(|not| Err(not.of_call(id)));
    }
    let (reply, answer) = oneshot::channel();
    enqueuer.hand_in(engine, PendingInsert { call, reply }).await?;
    // The reply is missing if the flush was aborted by the end of its runtime or a panic. Its statement may have been
    // sent.
    answer.await.unwrap_or_else(|_| Err(DriveError::Lost.of_call(id)))
}

/// Stores one call by itself, through the fast path if that is open.
async fn by_itself(busy: FlushGuard, call: NewCall) -> Result<(), ScheduleError> {
    let engine = &busy.0;
    let retries = Retries::for_caller();
    let retries = match fast_path::store(engine, &call).await {
        FastPath::Stored => return Ok(()),
        FastPath::NotTaken => retries,
        FastPath::Failed(error) => return Err(error.into()),
        FastPath::Unknown(error) => retries.may_be_done(error),
    };
    let mut results = insert(engine, std::slice::from_ref(&call), OnRefusal::FailOne, Some(retries)).await;
    results.pop().unwrap_or(Err(ScheduleError::Stopped))
}

/// Starts the flush task.
pub(super) fn start(engine: &Arc<Engine>, gathered: mpsc::Receiver<PendingInsert>) {
    let (engine, gathered) = (Arc::clone(engine), Mutex::new(gathered));
    let (tracker, process) = (engine.flushers.clone(), engine.process.clone());
    tracker.spawn(process.task(async move {
        supervised(&engine, "enqueue", || async { run(&engine, &mut *gathered.lock().await).await }).await;
    }));
}

/// Flushes until the pod ends; calls queued before that are still stored.
async fn run(engine: &Arc<Engine>, gathered: &mut mpsc::Receiver<PendingInsert>) {
    let mut batch = Vec::new();
    loop {
        let open = tokio::select! {
            biased;
            () = engine.over.cancelled() => {
                gathered.close();
                gathered.recv_many(&mut batch, MOST).await > 0
            }
            count = gathered.recv_many(&mut batch, MOST) => count > 0,
        };
        if !open {
            return;
        }
        let _busy = FlushGuard::begin(engine).await;
        loop {
            gather(gathered, &mut batch).await;
            engine.enqueuer.room.notify_waiters();
            if batch.is_empty() {
                break;
            }
            flush(engine, std::mem::take(&mut batch)).await;
        }
    }
}

/// Yields to callers whose calls were just stored, so that they can queue their next call: otherwise the first of
/// them would be flushed alone while the others wait.
async fn gather(gathered: &mut mpsc::Receiver<PendingInsert>, batch: &mut Vec<PendingInsert>) {
    let mut quiet = 0;
    while quiet < 2 && batch.len() < MOST {
        let before = batch.len();
        tokio::task::yield_now().await;
        while let Ok(waiting) = gathered.try_recv() {
            batch.push(waiting);
            if batch.len() >= MOST {
                break;
            }
        }
        quiet = if batch.len() > before { 0 } else { quiet + 1 };
    }
}

async fn flush(engine: &Engine, batch: Vec<PendingInsert>) {
    let (calls, replies): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|waiting| (waiting.call, waiting.reply)).unzip();
    let results = insert(engine, &calls, OnRefusal::FailOne, None).await;
    engine.enqueuer.waiting.fetch_sub(replies.len(), Ordering::AcqRel);
    for (reply, result) in replies.into_iter().zip(results) {
        // The caller may have stopped waiting.
        let _ = reply.send(result);
    }
}

/// Stores a chunk of `schedule_all` atomically; in a task, so that dropping the caller's future does not interrupt
/// it.
pub(super) async fn chunk(engine: Arc<Engine>, calls: Vec<NewCall>) -> Result<(), ScheduleError> {
    engine.is_open()?;
    let storing = Arc::clone(&engine);
    let stored = engine.spawn(async move {
        let results = insert(&storing, &calls, OnRefusal::FailAll, None).await;
        results.into_iter().collect::<Result<(), _>>()
    });
    stored.await.unwrap_or_else(|_| Err(DriveError::Lost.into()))
}

/// What happens to the rest of a batch when the database refuses one call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnRefusal {
    /// The others are stored: each has a caller of its own.
    FailOne,
    /// Nothing is stored: one caller gets one result for all.
    FailAll,
}

/// Stores calls, retrying transient errors. With [`OnRefusal::FailOne`] a refused batch is halved until only the
/// offending row is left. `retries` is given if the calls were sent before, as one batch.
async fn insert(
    engine: &Engine,
    calls: &[NewCall],
    refusal: OnRefusal,
    mut retries: Option<Retries>,
) -> Vec<Result<(), ScheduleError>> {
    let mut results: Vec<Option<Result<(), ScheduleError>>> = calls.iter().map(|_| None).collect();
    let mut ranges = Vec::new();
    ranges.push(0..calls.len());
    while let Some(range) = ranges.pop() {
        let (Some(part), Some(slots)) = (calls.get(range.clone()), results.get_mut(range.clone())) else {
            continue;
        };
        let mut retries = retries.take().unwrap_or_else(Retries::for_caller);
        match insert_part(engine, part, &mut retries).await {
            Ok(inserted) => {
                for ((slot, call), inserted) in slots.iter_mut().zip(part).zip(inserted) {
                    *slot = Some(outcome(call, inserted));
                }
                engine.wake_for(part);
            }
            Err(refused) if refused.is_refused() && part.len() > 1 && refusal == OnRefusal::FailOne => {
                let middle = range.start + part.len() / 2;
                ranges.push(middle..range.end);
                ranges.push(range.start..middle);
            }
            Err(failed) => fail(slots, part, failed),
        }
    }
    results.into_iter().map(|result| result.unwrap_or(Err(ScheduleError::Stopped))).collect()
}

fn outcome(call: &NewCall, inserted: Inserted) -> Result<(), ScheduleError> {
    match inserted {
        // Ids are generated once and sent once, so a duplicate is our own row, stored by a first try whose reply was
        // lost.
        Inserted::Stored | Inserted::Duplicate => Ok(()),
        Inserted::Unknown => Err(unknowable(call.id)),
    }
}

/// Returns the error of a repetition that cannot tell whether the first try stored the call.
pub(super) fn unknowable(id: CallId) -> ScheduleError {
    let text = "the reply was lost, and the history does not keep every call that has ended since";
    ScheduleError::OutcomeUnknown { id, source: StoreError::unknown("store the call", text) }
}

/// Fails every call of the part: the first with the original error, the others with a copy of its text.
fn fail(slots: &mut [Option<Result<(), ScheduleError>>], part: &[NewCall], failed: StoreError) {
    let unknown = failed.outcome_unknown();
    let copies: Vec<StoreError> = part.iter().skip(1).map(|_| failed.echo()).collect();
    for ((slot, call), error) in slots.iter_mut().zip(part).zip(std::iter::once(failed).chain(copies)) {
        *slot = Some(Err(if unknown {
            ScheduleError::OutcomeUnknown { id: call.id, source: error }
        } else {
            ScheduleError::from(error)
        }));
    }
}

/// Sends one insert, retried until it succeeds, fails for good, or runs out of time. Once an outcome was unknown,
/// every later try is marked as a repetition, and giving up leaves it unknown.
async fn insert_part(engine: &Engine, calls: &[NewCall], retries: &mut Retries) -> Result<Vec<Inserted>> {
    loop {
        let again = retries.unknown().is_some();
        match engine.store.insert(NOW, calls, again, engine.config.scan_interval).await {
            Ok(inserted) => {
                if again {
                    let stored =
                        calls.iter().zip(&inserted).filter(|(_, inserted)| **inserted != Inserted::Unknown);
                    stored.for_each(|(call, _)| engine.count_scheduled(std::slice::from_ref(call)));
                } else {
                    engine.count_scheduled(calls);
                }
                return Ok(inserted);
            }
            Err(error) => {
                engine.meter.failed(Op::Schedule);
                retries.after(error).await?;
            }
        }
    }
}
