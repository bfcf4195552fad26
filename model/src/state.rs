//! The state of the model: the rows of the database, what each pod believes, the promises to clients, and a few facts
//! about the past that only the invariants use.

use serde::{Deserialize, Serialize};

use crate::breach::Breaches;

/// One process of a pod: a restarted process is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PodId {
    /// Its place in [`World::pods`].
    pub place: usize,
    /// How many processes were there before.
    pub life: u8,
}

/// The whole state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct World {
    /// The database's clock. Pods have none of their own: a lease's deadline is counted in the same ticks.
    pub now: u64,
    /// The calls, including those to come.
    pub calls: Vec<Call>,
    /// The schedules.
    pub schedules: Vec<Schedule>,
    /// The pods.
    pub pods: Vec<Pod>,
    /// How many faults may still happen.
    pub budget: Budget,
    /// Violations that have happened.
    pub breaches: Breaches,
}

/// How many faults and interventions may happen: this keeps the model finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Processes that vanish.
    pub crashes: u8,
    /// Processes that are paused for any time, and resume.
    pub pauses: u8,
    /// Replies that are lost after the commit.
    pub losses: u8,
    /// Cancellations.
    pub cancels: u8,
    /// Reschedulings.
    pub moves: u8,
    /// Handlers that fail.
    pub failures: u8,
    /// Pods that are shut down.
    pub stops: u8,
    /// Claims released unstarted without a shutdown.
    pub releases: u8,
    /// Handlers that complete their call in a transaction.
    pub transactions: u8,
    /// Requests to run a finished call again.
    pub again: u8,
}

/// One call: its row, and what is known about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// Its state in the database.
    pub row: Row,
    /// When it is due.
    pub due: u64,
    /// Counted at the claim, given back by a release.
    pub attempt: u8,
    /// How many of its attempts failed and were followed by another.
    pub failures: u8,
    /// How often a pod that held it vanished.
    pub interruptions: u8,
    /// How often a pod that shut down handed it back for another run.
    pub handed_back: u8,
    /// Attempts on record: by which pod, under which number, and how they ended.
    pub past: Vec<(PodId, u64, Outcome)>,
    /// Its policy.
    pub policy: Policy,
    /// Its first attempt starts no later than that.
    pub expires: Option<u64>,
    /// The call that it repeats.
    pub rerun_of: Option<usize>,
    /// A handler's transaction that ends it, and holds its row until it is committed or rolled back.
    pub completing: Option<Completing>,
    /// The schedule that it is a run of.
    pub schedule: Option<usize>,
    /// Its successor is stored.
    pub has_successor: bool,
    /// The promises to clients.
    pub told: Told,
    /// How often it was claimed: identifies claims regardless of their numbers.
    pub claims: u8,
    /// How many handlers were started.
    pub starts: u8,
    /// How often it ended.
    pub ends: u8,
    /// How often a handler's writes in its transaction were committed.
    pub writes: u8,
    /// The claim whose handler was informed that its latest transaction is rolled back.
    pub rolled_back: Option<u8>,
}

/// A handler's transaction, after the fence has held in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Completing {
    /// The pod.
    pub pod: PodId,
    /// The claim number.
    pub number: u64,
    /// Which of the call's claims that is.
    pub claim: u8,
}

/// The state of a call in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Row {
    /// Nothing: it has not been scheduled yet.
    Absent,
    /// Scheduled.
    Waiting,
    /// Claimed.
    Claimed(Claim),
    /// In the history, with the claim under which it ended.
    Over(End, Option<(PodId, u64)>),
    /// It was pruned from the history.
    Forgotten,
}

/// A claim, as stored on the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The pod.
    pub pod: PodId,
    /// The claim number.
    pub number: u64,
    /// The end of the lease.
    pub lease_until: u64,
    /// The call was cancelled meanwhile.
    pub is_cancelled: bool,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum End {
    /// Its handler succeeded.
    Succeeded,
    /// Its handler failed, and no attempt is left; or its pods vanished too often.
    Failed,
    /// Its pod vanished, and it is not to be rerun.
    Interrupted,
    /// It was cancelled by request.
    Cancelled,
    /// The rule of its schedule skipped it.
    Skipped,
    /// It missed its start deadline.
    Expired,
}

/// The policy of a call for failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// How often it is attempted when its handler fails.
    pub attempts: u8,
    /// How often it is rerun after its pod vanished.
    pub reruns: u8,
}

/// Promises to clients about a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Told {
    /// Whether it is stored.
    pub stored: Stored,
    /// It will never start.
    pub cancelled: bool,
    /// It is running, and gets no further attempt.
    pub flagged: bool,
    /// It starts at that time, and not before.
    pub due: Option<u64>,
    /// It is run again.
    pub again: Again,
}

/// What the client that requested a rerun knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Again {
    /// There was no request.
    #[default]
    No,
    /// A reply was lost; the new call would be that one.
    Perhaps(usize),
    /// It was acknowledged.
    Yes,
}

/// What the client that scheduled a call knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stored {
    /// Nothing.
    #[default]
    No,
    /// A reply was lost.
    Perhaps,
    /// It was acknowledged.
    Yes,
}

/// A rule that produces one call after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// Ticks from one run to the next.
    pub interval: u64,
    /// It has not been ended.
    pub is_active: bool,
}

/// The state of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pod {
    /// How many processes were there before it.
    pub life: u8,
    /// It is paused.
    pub is_paused: bool,
    /// It claims and starts nothing more.
    pub is_stopping: bool,
    /// The number of its last claim.
    pub last_claim: u64,
    /// A claim in flight.
    pub asked: Option<Asked>,
    /// The claims that it believes to hold.
    pub held: Vec<Held>,
    /// Outcomes that are not stored yet.
    pub reports: Vec<Report>,
}

/// A claim in flight.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asked {
    /// Before it was sent.
    pub sent: u64,
    /// Its number.
    pub number: u64,
    /// What it took, in the database.
    pub took: Vec<Took>,
    /// The reply will never come.
    pub is_lost: bool,
}

/// A call taken by a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Took {
    /// The call.
    pub call: usize,
    /// Which of the call's claims that is.
    pub claim: u8,
    /// When it is due.
    pub due: u64,
    /// Whether its start has a deadline.
    pub limit: Limit,
}

/// Whether a claimed call's start has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// It is not the first attempt: it may start however late.
    None,
    /// It is the first attempt.
    First,
    /// It is the first attempt, and was claimed after its deadline.
    Over,
}

/// A claim held by a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Held {
    /// The call.
    pub call: usize,
    /// The claim number.
    pub number: u64,
    /// Which of the call's claims that is.
    pub claim: u8,
    /// When the call is due.
    pub due: u64,
    /// The pod's own deadline for the lease.
    pub deadline: u64,
    /// The handler runs.
    pub is_running: bool,
    /// The pod has noticed that the call is cancelled.
    pub is_cancelled: bool,
    /// Whether its start has a deadline.
    pub limit: Limit,
    /// How far its handler is with completing the call in its transaction.
    pub completion: Completion,
}

/// How far a handler is with completing its call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Completion {
    /// It has not begun.
    #[default]
    No,
    /// It waits for the reply.
    Sent,
    /// The reply is lost.
    Unknown,
}

/// An outcome on its way to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Report {
    /// The call.
    pub call: usize,
    /// The claim number.
    pub number: u64,
    /// Which of the call's claims that is.
    pub claim: u8,
    /// How the handler ended.
    pub outcome: Outcome,
}

/// How a handler ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// Successfully.
    Succeeded,
    /// With an error or a panic.
    Failed,
    /// Its pod gave it up at the end of a shutdown.
    GivenUp,
    /// It was not started: its deadline had passed.
    Expired,
}

impl World {
    /// Returns the process at that place.
    pub fn pod_id(&self, place: usize) -> Option<PodId> {
        self.pods.get(place).map(|pod| PodId { place, life: pod.life })
    }
}

impl Call {
    /// Returns whether the start of its present attempt, claimed at that time, has a deadline.
    pub fn limit(&self, claimed: u64) -> Limit {
        match self.expires {
            _ if self.attempt > 1 => Limit::None,
            Some(expires) if expires < claimed => Limit::Over,
            _ => Limit::First,
        }
    }

    /// Returns a call that has not been scheduled yet.
    pub const fn new(due: u64, policy: Policy) -> Self {
        Self {
            row: Row::Absent,
            due,
            attempt: 0,
            failures: 0,
            interruptions: 0,
            handed_back: 0,
            past: Vec::new(),
            policy,
            schedule: None,
            has_successor: false,
            told: Told { stored: Stored::No, cancelled: false, flagged: false, due: None, again: Again::No },
            expires: None,
            rerun_of: None,
            completing: None,
            claims: 0,
            starts: 0,
            ends: 0,
            writes: 0,
            rolled_back: None,
        }
    }

    /// Returns the claim that holds it.
    pub const fn claim(&self) -> Option<Claim> {
        match self.row {
            Row::Claimed(claim) => Some(claim),
            _ => None,
        }
    }

    /// Returns whether it is scheduled or claimed.
    pub const fn is_live(&self) -> bool {
        matches!(self.row, Row::Waiting | Row::Claimed(_))
    }

    /// Returns how it ended, as long as it is in the history.
    pub const fn end(&self) -> Option<End> {
        match self.row {
            Row::Over(end, _) => Some(end),
            _ => None,
        }
    }
}

impl Held {
    /// Returns a claim whose handler has not started.
    pub const fn new(took: Took, number: u64, deadline: u64) -> Self {
        let Took { call, claim, due, limit } = took;
        Self {
            call,
            number,
            claim,
            due,
            deadline,
            is_running: false,
            is_cancelled: false,
            limit,
            completion: Completion::No,
        }
    }
}

impl Policy {
    /// Returns the default policy: at most once.
    pub const ONCE: Self = Self { attempts: 1, reruns: 0 };
}

impl Pod {
    /// Returns the claim of that call that it holds.
    pub fn held(&self, call: usize) -> Option<&Held> {
        self.held.iter().find(|held| held.call == call)
    }
}
