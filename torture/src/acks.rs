//! What producers were told: the promises that the checker holds the library to.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use crate::Result;

/// What may befall a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Interrupted, it stays so: at most one start.
    Keep,
    /// Interrupted, it runs again: at least one full run.
    Rerun,
    /// Its attempts fail, and it is tried again: see [`crate::retry`].
    Tries,
}

/// What is known of whether a call was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// The library said so.
    Yes,
    /// The library said that nothing was written.
    No,
    /// The library said that it cannot know.
    Unknown,
}

/// What a cancellation of a call was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It had not started, and never will.
    Withdrawn,
    /// It was under way.
    Running,
    /// There was nothing to cancel.
    Nothing,
    /// The library cannot know.
    Unknown,
    /// An error that says nothing was done.
    Refused,
}

/// A cancellation, with the moments (monotonic) at which it was sent and answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cancelled {
    pub(crate) answer: Answer,
    pub(crate) sent: i64,
    pub(crate) answered: i64,
}

/// When a call was asked for, by the monotonic clock, and how long after it was stored it is due, all in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) sent: i64,
    pub(crate) answered: i64,
    pub(crate) delay: i64,
    /// By whose clock; none is the producers'.
    pub(crate) worker: Option<usize>,
}

/// All that a producer knows of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    pub(crate) kind: Kind,
    pub(crate) stored: Stored,
    /// None of a run of a schedule, which no producer has asked for.
    pub(crate) asked: Option<Asked>,
    pub(crate) cancelled: Option<Cancelled>,
}

/// All promises, and the file in which they stand as well, for whoever looks into a failure.
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
