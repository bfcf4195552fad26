//! The trace of a real run: what its database did, in the order of the commits, and what its handlers and clients saw.

use serde::{Deserialize, Serialize};

use crate::state::{End, Outcome};

/// One line of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When, by the database's clock, in microseconds.
    pub at: u64,
    /// What.
    pub what: What,
}

/// What happened. Calls, pods and schedules have names; a restarted process has another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A call was stored.
    Stored {
        /// Which.
        call: String,
        /// When it is due.
        due: u64,
        /// How often it may be attempted.
        attempts: u8,
        /// How often it may be run again after its pod vanished.
        reruns: u8,
    },
    /// A call starts no later than that, if at all: said when it is stored, and whenever that changes.
    Limited {
        /// Which.
        call: String,
        /// The moment.
        expires: u64,
    },
    /// A call was stored that does again what one that is over was to do.
    RanAgain {
        /// That one.
        of: String,
        /// The new one.
        call: String,
        /// When it is due.
        due: u64,
    },
    /// A schedule was stored, with its first call.
    Declared {
        /// Which.
        schedule: String,
        /// Its first call.
        call: String,
        /// When that is due.
        due: u64,
        /// How long it is from one run to the next.
        interval: u64,
        /// How often each run may be run again after its pod vanished.
        reruns: u8,
    },
    /// A schedule was ended.
    Ended {
        /// Which.
        schedule: String,
    },
    /// A client heard something.
    Told {
        /// Of which call.
        call: String,
        /// What.
        what: Promise,
    },
    /// A call was cancelled, or was to be.
    Cancelled {
        /// Which.
        call: String,
        /// What was found.
        found: Found,
        /// The run of its schedule that was stored instead.
        successor: Option<Successor>,
    },
    /// A call was moved, or was to be.
    Moved {
        /// Which.
        call: String,
        /// To when.
        to: u64,
        /// What was found.
        found: Found,
    },
    /// A call was claimed.
    Claimed {
        /// By which pod.
        pod: String,
        /// Which call.
        call: String,
        /// Under which number.
        number: u64,
        /// Which attempt that is.
        attempt: u8,
        /// When the claim was sent.
        sent: u64,
        /// The next run of its schedule, stored with the claim.
        successor: Option<Successor>,
    },
    /// A run of a schedule was passed over.
    Skipped {
        /// Which.
        call: String,
        /// The next run of its schedule.
        successor: Option<Successor>,
    },
    /// A handler started.
    Started {
        /// On which pod.
        pod: String,
        /// Of which call.
        call: String,
    },
    /// A lease was extended, or was to be.
    Renewed {
        /// By which pod.
        pod: String,
        /// Of which call.
        call: String,
        /// Under which number.
        number: u64,
        /// Whether the claim was held still.
        held: bool,
    },
    /// The reply to a renewal told a pod that a call of its was cancelled.
    Heard {
        /// Which pod.
        pod: String,
        /// Of which call.
        call: String,
        /// Under which number.
        number: u64,
    },
    /// An outcome was stored, or was to be.
    Finished {
        /// By which pod.
        pod: String,
        /// Of which call.
        call: String,
        /// Under which number.
        number: u64,
        /// The outcome.
        outcome: Outcome,
        /// What became of the call.
        fate: Fate,
    },
    /// A call was given back, or was to be.
    Released {
        /// By which pod.
        pod: String,
        /// Which call.
        call: String,
        /// Under which number.
        number: u64,
        /// What became of it.
        fate: Fate,
    },
    /// A claim was taken whose lease had ended.
    Rescued {
        /// Of which call.
        call: String,
        /// What became of it.
        fate: Fate,
    },
    /// The history forgot a call.
    Pruned {
        /// Which.
        call: String,
    },
    /// A pod began to stop.
    Stopped {
        /// Which.
        pod: String,
    },
    /// A process vanished.
    Vanished {
        /// Which.
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

/// What a client was promised.
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

/// What a cancellation or a move found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    /// A call that had not started.
    Waiting,
    /// A call that is claimed.
    Claimed,
    /// Nothing.
    Nothing,
}

/// What became of a claimed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// It is over.
    Over(End),
    /// It is over, and was so before: a repetition.
    Known,
    /// It is due again then.
    Again(u64),
    /// The fence did not hold.
    Refused,
}
