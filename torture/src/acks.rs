//! The results that producers got: the promises that the checker holds the library to.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use crate::Result;

/// What the call's policy allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// If interrupted, it stays interrupted: at most one start.
    Keep,
    /// If interrupted, it runs again: at least one full run.
    Rerun,
    /// Its attempts fail, and it is retried: see [`crate::retry`].
    Tries,
}

/// Whether a call was stored, as far as the producer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// The library returned `Ok`.
    Yes,
    /// The library's error means that nothing was written.
    No,
    /// The library's error means that the outcome is unknown.
    Unknown,
}

/// The result of a cancellation of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It had not started, and never will.
    Withdrawn,
    /// It was running.
    Running,
    /// There was nothing to cancel.
    Nothing,
    /// The outcome is unknown.
    Unknown,
    /// An error that means that nothing was done.
    Refused,
}

/// A cancellation, with the (monotonic) times at which it was sent and answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cancelled {
    pub(crate) answer: Answer,
    pub(crate) sent: i64,
    pub(crate) answered: i64,
}

/// When a call was requested, by the monotonic clock, and its delay, both in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) sent: i64,
    pub(crate) answered: i64,
    pub(crate) delay: i64,
    /// Whose clock counts; `None` is the producers'.
    pub(crate) worker: Option<usize>,
}

/// All that a producer knows of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    pub(crate) kind: Kind,
    pub(crate) stored: Stored,
    /// `None` for a run of a schedule, which no producer has requested.
    pub(crate) asked: Option<Asked>,
    pub(crate) cancelled: Option<Cancelled>,
}

/// All promises, and the file that holds them as well, for debugging a failure.
#[derive(Debug)]
pub(crate) struct Acks {
    promises: Mutex<HashMap<Uuid, Promise>>,
    file: File,
}

impl Acks {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self { promises: Mutex::default(), file: File::create(path)? })
    }

    pub(crate) fn scheduled(&self, call: Uuid, promise: Promise) {
        let Promise { kind, stored, asked, .. } = promise;
        let _ = writeln!(&self.file, "scheduled {call} {kind:?} {stored:?} {asked:?}");
        self.lock().insert(call, promise);
    }

    pub(crate) fn cancelled(&self, call: Uuid, cancelled: Cancelled) {
        let _ = writeln!(
            &self.file,
            "cancelled {call} {:?} {} {}",
            cancelled.answer, cancelled.sent, cancelled.answered
        );
        if let Some(promise) = self.lock().get_mut(&call) {
            promise.cancelled = Some(cancelled);
        }
    }

    pub(crate) fn all(&self) -> HashMap<Uuid, Promise> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Promise>> {
        self.promises.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
