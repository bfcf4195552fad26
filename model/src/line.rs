//! The trace of a real run: the operations of its database, in the order of the commits, and the observations of its
//! handlers and clients.

use serde::{Deserialize, Serialize};

use crate::state::{End, Outcome};

/// One line of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The time, by the database's clock, in microseconds.
    pub at: u64,
    /// The event.
    pub what: What,
}

/// An event. Calls, pods and schedules have names; a restarted process has a new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A call was stored.
    Stored {
        /// The call.
        call: String,
        /// When it is due.
        due: u64,
        /// How often it may be attempted.
        attempts: u8,
        /// How often it may be rerun after its pod vanished.
        reruns: u8,
    },
    /// A call starts no later than that, if at all: recorded when it is stored, and whenever that changes.
    Limited {
        /// The call.
        call: String,
        /// The deadline.
        expires: u64,
    },
    /// A call was stored that repeats a finished one.
    RanAgain {
        /// The finished call.
        of: String,
        /// The new call.
        call: String,
        /// When it is due.
        due: u64,
    },
    /// A schedule was stored, with its first call.
    Declared {
        /// The schedule.
        schedule: String,
        /// Its first call.
        call: String,
        /// When that is due.
        due: u64,
        /// The interval between runs.
        interval: u64,
        /// How often each run may be rerun after its pod vanished.
        reruns: u8,
    },
    /// A schedule was ended.
    Ended {
        /// The schedule.
        schedule: String,
    },
    /// A client got a result.
    Told {
        /// The call.
        call: String,
        /// The promise.
        what: Promise,
    },
    /// A cancellation of a call.
    Cancelled {
        /// The call.
        call: String,
        /// What was found.
        found: Found,
        /// The run of its schedule that was stored instead.
        successor: Option<Successor>,
    },
    /// A rescheduling of a call.
    Moved {
        /// The call.
        call: String,
        /// The new due time.
        to: u64,
        /// What was found.
        found: Found,
    },
    /// A call was claimed.
    Claimed {
        /// The pod.
        pod: String,
        /// The call.
        call: String,
        /// The claim number.
        number: u64,
        /// The attempt.
        attempt: u8,
        /// When the claim was sent.
        sent: u64,
        /// The next run of its schedule, stored with the claim.
        successor: Option<Successor>,
    },
    /// A run of a schedule was skipped.
    Skipped {
        /// The run.
        call: String,
        /// The next run of its schedule.
        successor: Option<Successor>,
    },
    /// A handler started.
    Started {
        /// The pod.
        pod: String,
        /// The call.
        call: String,
    },
    /// A renewal of a lease.
    Renewed {
        /// The pod.
        pod: String,
        /// The call.
        call: String,
        /// The claim number.
        number: u64,
        /// Whether the claim was still held.
        held: bool,
    },
    /// The reply to a renewal informed a pod that its call was cancelled.
    Heard {
        /// The pod.
        pod: String,
        /// The call.
        call: String,
        /// The claim number.
        number: u64,
    },
    /// An attempt to store an outcome.
    Finished {
        /// The pod.
        pod: String,
        /// The call.
        call: String,
        /// The claim number.
        number: u64,
        /// The outcome.
        outcome: Outcome,
        /// The result for the call.
        fate: Fate,
    },
    /// A release of a call.
    Released {
        /// The pod.
        pod: String,
        /// The call.
        call: String,
        /// The claim number.
        number: u64,
        /// The result for the call.
        fate: Fate,
    },
    /// A claim was rescued whose lease had ended.
    Rescued {
        /// The call.
        call: String,
        /// The result for the call.
        fate: Fate,
    },
    /// A call was pruned from the history.
    Pruned {
        /// The call.
        call: String,
    },
    /// A pod began to shut down.
    Stopped {
        /// The pod.
        pod: String,
    },
    /// A process vanished.
    Vanished {
        /// The process.
        pod: String,
    },
}

/// The next run of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Successor {
    /// Its call.
    pub call: String,
    /// When it is due.
    pub due: u64,
}

/// A promise to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Promise {
    /// The call is stored.
    Stored,
    /// The call will never start.
    Cancelled,
    /// The call runs, and gets no further attempt.
    UnderWay,
    /// The call starts no sooner than that.
    Moved(u64),
}

/// What a cancellation or a rescheduling found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    /// A call that had not started.
    Waiting,
    /// A call that is claimed.
    Claimed,
    /// Nothing.
    Nothing,
}

/// The result for a claimed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// It has ended.
    Over(End),
    /// It has ended, and had before: a repetition.
    Known,
    /// It is due again then.
    Again(u64),
    /// The fence did not hold.
    Refused,
}
