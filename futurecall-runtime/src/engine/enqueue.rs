//! Group commit: a flush takes whatever gathered while the previous one was in flight. No timer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Mutex, Notify, mpsc, oneshot};

use super::fast_path::{self, Tried};
use super::resend::Retries;
use super::supervise::supervised;
use super::{Engine, NOW, NotDriven};
use crate::error::{ScheduleError, StoreError};
use crate::id::CallId;
use crate::signals::Op;
use crate::store::{Inserted, NewCall, Result};

/// The most rows of one flush.
const MOST: usize = 2_000;
/// How many single calls may wait before callers wait for room.
const ROOM: usize = 16_384;

type Reply = oneshot::Sender<Result<(), ScheduleError>>;

/// One call on its way to the database, and who waits for it.
#[derive(Debug)]
pub(super) struct Waiting {
    call: NewCall,
    reply: Reply,
}

/// Where callers hand in single calls.
#[derive(Debug)]
pub(super) struct Enqueuer {
    sender: mpsc::Sender<Waiting>,
    /// How many calls are handed in and not stored yet.
    waiting: AtomicUsize,
    /// A flush is under way.
    is_busy: AtomicBool,
    /// It has ended.
    idle: Notify,
    /// Some of the calls that were handed in have been taken out.
    room: Notify,
}

/// A flush under way; over when dropped. Held by tasks of the pod alone: a caller's future may be kept unpolled for ever.
struct Busy(Arc<Engine>);

impl Busy {
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

impl Drop for Busy {
    fn drop(&mut self) {
        let enqueuer = &self.0.enqueuer;
        enqueuer.is_busy.store(false, Ordering::Release);
        enqueuer.idle.notify_one();
    }
}

impl Enqueuer {
    pub(super) fn new() -> (Self, mpsc::Receiver<Waiting>) {
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

    /// Hands in a call, as soon as there is room. Waits without a place in a queue: one that is given to a future which is
    /// never polled again would be lost.
    async fn hand_in(&self, engine: &Engine, waiting: Waiting) -> Result<(), ScheduleError> {
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

/// Stores one call. Dropping this future leaves the call stored or not, never half.
pub(super) async fn one(engine: &Arc<Engine>, call: NewCall) -> Result<(), ScheduleError> {
    let enqueuer = &engine.enqueuer;
    // Where nobody else is at it, the call is flushed by itself, and the task that flushes is not woken.
    let alone = if enqueuer.waiting.load(Ordering::Acquire) == 0 { Busy::try_begin(engine) } else { None };
    let id = call.id;
    if let Some(busy) = alone {
        return engine.drive(by_itself(busy, call)).await.unwrap_or_else(|not| Err(not.of_call(id)));
    }
    let (reply, answer) = oneshot::channel();
    enqueuer.hand_in(engine, Waiting { call, reply }).await?;
    // Without an answer, the flush ended before its time: with its runtime, or by a panic. Its statement may have been sent.
    answer.await.unwrap_or_else(|_| Err(NotDriven::Lost.of_call(id)))
}

/// Flushes one call.
async fn by_itself(busy: Busy, call: NewCall) -> Result<(), ScheduleError> {
    let engine = &busy.0;
    let retries = Retries::for_caller();
    let retries = match fast_path::store(engine, &call).await {
        Tried::Stored => return Ok(()),
        Tried::Not => retries,
        Tried::Failed(error) => return Err(error.into()),
        Tried::Unknown(error) => retries.may_be_done(error),
    };
    let mut results = insert(engine, std::slice::from_ref(&call), Refused::FailsAlone, Some(retries)).await;
    results.pop().unwrap_or(Err(ScheduleError::Stopped))
}

/// Starts the task that flushes.
pub(super) fn start(engine: &Arc<Engine>, gathered: mpsc::Receiver<Waiting>) {
    let (engine, gathered) = (Arc::clone(engine), Mutex::new(gathered));
    let (tracker, process) = (engine.flushers.clone(), engine.process.clone());
    tracker.spawn(process.task(async move {
        supervised(&engine, "enqueue", || async { run(&engine, &mut *gathered.lock().await).await }).await;
    }));
}

/// Flushes until the pod is over; what was handed in before that is still stored.
async fn run(engine: &Arc<Engine>, gathered: &mut mpsc::Receiver<Waiting>) {
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
        let _busy = Busy::begin(engine).await;
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

/// Lets those who have just heard of the flush before hand in their next call: otherwise the first of them would be
/// flushed alone, and the others wait for that.
async fn gather(gathered: &mut mpsc::Receiver<Waiting>, batch: &mut Vec<Waiting>) {
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

async fn flush(engine: &Engine, batch: Vec<Waiting>) {
    let (calls, replies): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|waiting| (waiting.call, waiting.reply)).unzip();
    let results = insert(engine, &calls, Refused::FailsAlone, None).await;
    engine.enqueuer.waiting.fetch_sub(replies.len(), Ordering::AcqRel);
    for (reply, result) in replies.into_iter().zip(results) {
        // Whoever stopped waiting does not need the answer.
        let _ = reply.send(result);
    }
}

/// Stores a chunk of `schedule_all`, or nothing of it; in a task of its own, so that dropping the caller's future never cuts
/// it in half.
pub(super) async fn chunk(engine: Arc<Engine>, calls: Vec<NewCall>) -> Result<(), ScheduleError> {
    engine.is_open()?;
    let storing = Arc::clone(&engine);
    let stored = engine.spawn(async move {
        let results = insert(&storing, &calls, Refused::FailsAll, None).await;
        results.into_iter().collect::<Result<(), _>>()
    });
    stored.await.unwrap_or_else(|_| Err(NotDriven::Lost.into()))
}

/// What becomes of the other calls where the database refuses one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// They are stored: each has a caller of its own.
    FailsAlone,
    /// They are not stored either: one caller gets one answer for all.
    FailsAll,
}

/// Stores calls, trying again while that may help. Where a row that the database refuses is to fail alone, a refused batch is
/// halved until only the offender is left. `retries`: those of the calls together, if they were sent before.
async fn insert(
    engine: &Engine,
    calls: &[NewCall],
    refusal: Refused,
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
            Err(refused) if refused.is_refused() && part.len() > 1 && refusal == Refused::FailsAlone => {
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
        // An id is made once and sent once, so a duplicate can only be our own row, stored by a lost first try.
        Inserted::Stored | Inserted::Duplicate => Ok(()),
        Inserted::Unknown => Err(unknowable(call.id)),
    }
}

/// The error of a repetition that cannot tell whether the first try stored the call.
pub(super) fn unknowable(id: CallId) -> ScheduleError {
    let text = "the reply was lost, and the history does not keep every call that has ended since";
    ScheduleError::OutcomeUnknown { id, source: StoreError::unknown("store the call", text) }
}

/// Every call of the part gets the error: the first the original, the others its text.
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

/// One insert, tried again until it worked, cannot work, or patience is over. Once an outcome was unknown, every later
/// try is a repetition, and giving up leaves it unknown.
async fn insert_part(engine: &Engine, calls: &[NewCall], retries: &mut Retries) -> Result<Vec<Inserted>> {
    loop {
        let again = retries.unknown().is_some();
        match engine.store.insert(NOW, calls, again, engine.config.scan_interval).await {
            Ok(inserted) => {
                if again {
                    let stored = calls.iter().zip(&inserted).filter(|(_, said)| **said != Inserted::Unknown);
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
