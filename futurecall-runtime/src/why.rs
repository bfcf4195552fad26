//! Why a call has not run (yet), in one answer.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::id::{CallId, PodId};
use crate::moment::Moment;
use crate::store::{CallState, Shown};
use crate::text::duration;

/// Why a call stands where it stands: [`Inspector::why`](crate::inspect::Inspector::why). `Display` gives it in words, and so does
/// each reason's `says` in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Why {
    /// Which call.
    pub id: CallId,
    /// Where it stands.
    pub state: CallState,
    /// What holds it up, or what became of it: the decisive reason first. Never empty.
    #[serde(serialize_with = "in_words")]
    pub reasons: Vec<Reason>,
}

impl Why {
    pub(crate) const fn new(id: CallId, state: CallState, reasons: Vec<Reason>) -> Self {
        Self { id, state, reasons }
    }
}

/// One reason why a call has not run, or what became of it. In JSON `reason` names it (`not_due`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Its moment has not come.
    NotDue {
        /// When it comes.
        #[serde(serialize_with = "rfc3339")]
        due: Moment,
        /// How long that is from now, by the database's clock.
        #[serde(rename = "left_seconds", serialize_with = "seconds")]
        left: Duration,
    },
    /// An attempt has failed, or its pod has vanished, and the next one waits for its moment.
    WaitsForRetry {
        /// The attempt that comes next.
        attempt: u32,
        /// When.
        #[serde(serialize_with = "rfc3339")]
        at: Moment,
        /// What the last one said.
        error: Option<String>,
    },
    /// No pod is alive that runs calls.
    NoPod,
    /// Pods are alive, and none of them knows its name.
    NoPodKnowsName {
        /// Its stored name.
        name: String,
        /// How many pods are alive.
        pods: u64,
    },
    /// Pods could not read its arguments, which are of another release, and have left it to pods that can.
    OtherRelease {
        /// Its stored name.
        name: String,
        /// How many live pods know the name under a shape that has not been tried.
        able: u64,
    },
    /// Its name is paused.
    Paused {
        /// Its stored name.
        name: String,
        /// Who paused it.
        actor: String,
        /// Why.
        #[serde(rename = "because")]
        reason: String,
        /// Since when.
        #[serde(serialize_with = "rfc3339")]
        since: Moment,
    },
    /// It is due, and others go before it.
    Waiting {
        /// How many due calls go before it; at [`Reason::AHEAD_CAP`]: that many or more.
        ahead: u64,
        /// Handlers at once, of all live pods that know its name.
        slots: u64,
        /// Handlers that run there now, by their last heartbeats.
        running: u64,
    },
    /// A run of its schedule is still going, and its rule lets them not overlap.
    RunBefore {
        /// The run that is going.
        id: CallId,
    },
    /// It is due, and nothing is known that holds it up: a pod takes it with its next look.
    Due {
        /// For how long it has been due.
        #[serde(rename = "late_seconds", serialize_with = "seconds")]
        late: Duration,
    },
    /// This binary could not run it: its arguments do not decode.
    Broken {
        /// Why, with the parameter's name.
        #[serde(rename = "because")]
        reason: String,
    },
    /// A pod has claimed it.
    Running {
        /// Which pod.
        pod: PodId,
        /// Whether its handler is known to have started.
        started: bool,
        /// Until when the pod holds it unless it renews.
        #[serde(serialize_with = "rfc3339")]
        lease_until: Option<Moment>,
    },
    /// It was cancelled while it runs: its handler has been told.
    CancelRequested,
    /// It is over.
    Finished {
        /// When it ended.
        #[serde(serialize_with = "rfc3339")]
        at: Option<Moment>,
        /// What it said, or why it was cancelled, skipped or not started.
        error: Option<String>,
    },
    /// An operator did this to it last.
    Action {
        /// Who.
        actor: String,
        /// What, in one word.
        verb: String,
        /// When.
        #[serde(serialize_with = "rfc3339")]
        at: Moment,
    },
}

impl Reason {
    /// Where counting the calls that go before stops.
    pub const AHEAD_CAP: u64 = 10_000;
}

/// A reason beside its words.
#[derive(Serialize)]
struct Said<'a> {
    #[serde(flatten)]
    reason: &'a Reason,
    says: String,
}

fn in_words<S: Serializer>(reasons: &[Reason], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(reasons.iter().map(|reason| Said { reason, says: reason.to_string() }))
}

fn rfc3339<S: Serializer>(moment: &impl Shown, serializer: S) -> Result<S::Ok, S::Error> {
    moment.shown().serialize(serializer)
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, reason) in self.reasons.iter().enumerate() {
            write!(f, "{}{reason}", if n == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDue { due, left } => write!(f, "not due for {} (at {due})", duration(*left)),
            Self::WaitsForRetry { attempt, at, error } => {
                write!(f, "waits for attempt {attempt} at {at}")?;
                error.as_ref().map_or(Ok(()), |error| write!(f, ", after: {error}"))
            }
            Self::NoPod => f.write_str("no live pod runs calls: start one"),
            Self::NoPodKnowsName { name, pods } => write!(
                f,
                "none of the {pods} live pods knows the name `{name}`: deploy one that does, or cancel the call"
            ),
            Self::OtherRelease { name, able: 0 } => write!(
                f,
                "every live pod that knows `{name}` has failed to read its arguments, which are of another release: start a \
                 pod of that release within the next heartbeats, or the call fails"
            ),
            Self::OtherRelease { name, able } => write!(
                f,
                "its arguments are of another release: it waits for one of {able} live pods that know `{name}` in another \
                 shape"
            ),
            Self::Paused { name, actor, reason, since } => {
                write!(f, "calls of `{name}` have been paused by {actor} since {since}")?;
                if reason.is_empty() { Ok(()) } else { write!(f, ": {reason}") }
            }
            Self::Waiting { ahead, slots, running } => {
                let more = if *ahead >= Self::AHEAD_CAP { " or more" } else { "" };
                write!(f, "waits behind {ahead}{more} due calls, with {running} of {slots} slots taken")
            }
            Self::RunBefore { id } => write!(f, "the run before it ({id}) is still going"),
            Self::Due { late } => {
                write!(
                    f,
                    "due for {}, and nothing holds it up: a pod takes it with its next look",
                    duration(*late)
                )
            }
            Self::Broken { reason } => write!(f, "broken: {reason}"),
            Self::Running { pod, started, lease_until } => {
                let how = if *started { "runs" } else { "is claimed, start not proven," };
                write!(f, "{how} on pod {pod}")?;
                lease_until
                    .map_or(Ok(()), |until| write!(f, ", whose lease lasts until {until} unless renewed"))
            }
            Self::CancelRequested => f.write_str("cancelled while it runs: its handler has been told"),
            Self::Finished { at, error } => {
                f.write_str("over")?;
                at.map_or(Ok(()), |at| write!(f, " since {at}"))?;
                error.as_ref().map_or(Ok(()), |error| write!(f, ": {error}"))
            }
            Self::Action { actor, verb, at } => write!(f, "{actor} did `{verb}` to it at {at}"),
        }
    }
}
