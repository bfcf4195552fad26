//! What the model remembers: the rows of the database, what each pod believes, what clients were told, and a few
//! facts about the past that only the invariants look at.

use serde::{Deserialize, Serialize};

use crate::breach::Breaches;

/// One run of a pod: a restarted process is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PodId {
    /// Which place in [`World::pods`].
    pub place: usize,
    /// How many processes were there before.
    pub life: u8,
}

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct World {
    /// The database's clock. Pods have none of their own: a lease's deadline is counted in the same ticks.
    pub now: u64,
    /// The calls, those to come too.
    pub calls: Vec<Call>,
    /// The schedules.
    pub schedules: Vec<Schedule>,
    /// The pods.
    pub pods: Vec<Pod>,
    /// How much may still go wrong.
    pub budget: Budget,
    /// What must never have happened.
    pub breaches: Breaches,
}

/// How much may go wrong, and how often people interfere: what keeps the model finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Processes that vanish.
    pub crashes: u8,
    /// Processes that stand still for as long as they like, and go on.
    pub pauses: u8,
    /// Replies that get lost after the commit.
    pub losses: u8,
    /// Cancellations.
    pub cancels: u8,
    /// Moves to another moment.
    pub moves: u8,
    /// Handlers that fail.
    pub failures: u8,
    /// Pods that are shut down.
    pub stops: u8,
    /// Claims given back unstarted without a shutdown.
    pub releases: u8,
    /// Handlers that complete their call in a transaction.
    pub transactions: u8,
    /// Wishes that a call that is over be run again.
    pub again: u8,
}

/// One call: its row, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// Where it stands.
    pub row: Row,
    /// When it is due.
    pub due: u64,
    /// Counted at the claim, given back by a release.
    pub attempt: u8,
    /// How many of its attempts failed and were followed by another.
    pub failures: u8,
    /// How often a pod that held it vanished.
    pub interruptions: u8,
    /// How often a pod that stopped handed it back for another run.
    pub handed_back: u8,
    /// Attempts on record: by whom, under which number, and how they ended.
    pub past: Vec<(PodId, u64, Outcome)>,
    /// What is to happen to it.
    pub policy: Policy,
    /// Its first attempt starts no later than that.
    pub expires: Option<u64>,
    /// The call that it does again.
    pub rerun_of: Option<usize>,
    /// A handler's transaction that ends it, and holds its row until it is committed or rolled back.
    pub completing: Option<Completing>,
    /// The schedule that it is a run of.
    pub schedule: Option<usize>,
    /// Its successor is stored.
    pub has_successor: bool,
    /// What clients were told.
    pub told: Told,
    /// How often it was claimed: tells claims apart whatever their numbers say.
    pub claims: u8,
    /// How many handlers were started.
    pub starts: u8,
    /// How often it ended.
    pub ends: u8,
    /// How often what a handler wrote in its transaction was committed.
    pub writes: u8,
    /// The claim whose handler was told that its latest transaction is rolled back.
    pub rolled_back: Option<u8>,
}

/// A handler's transaction, after the fence has held in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Completing {
    /// By whom.
    pub pod: PodId,
    /// Under which number.
    pub number: u64,
    /// Which of the call's claims that is, in truth.
    pub claim: u8,
}

/// What the database holds of a call.
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
    /// The history has forgotten it.
    Forgotten,
}

/// A claim, as it stands on the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// By whom.
    pub pod: PodId,
    /// Under which number.
    pub number: u64,
    /// Until when.
    pub lease_until: u64,
    /// Somebody has cancelled the call meanwhile.
    pub is_cancelled: bool,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum End {
    /// The handler said so.
    Succeeded,
    /// The handler said so, and no attempt is left; or its pods vanished too often.
    Failed,
    /// Its pod vanished, and it is not to be run again.
    Interrupted,
    /// Somebody wanted it.
    Cancelled,
    /// The rule of its schedule passed over it.
    Skipped,
    /// It could not start in time.
    Expired,
}

/// What is to happen to a call when things go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// How often it is attempted when its handler fails.
    pub attempts: u8,
    /// How often it is run again after its pod vanished.
    pub reruns: u8,
}

/// What clients were told of a call: promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Told {
    /// Whether it is stored.
    pub stored: Stored,
    /// It will never start.
    pub cancelled: bool,
    /// It is running, and gets no further attempt.
    pub flagged: bool,
    /// It starts at that moment, and not before.
    pub due: Option<u64>,
    /// It is run again.
    pub again: Again,
}

/// What whoever wanted a call to be run again knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Again {
    /// Nobody wanted it.
    #[default]
    No,
    /// A reply was lost; the new call would be that one.
    Perhaps(usize),
    /// It was acknowledged.
    Yes,
}

/// What whoever scheduled a call knows.
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

/// A rule that gives one call after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// Ticks from one run to the next.
    pub interval: u64,
    /// Nobody has ended it.
    pub is_active: bool,
}

/// What one process believes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pod {
    /// How many processes were there before it.
    pub life: u8,
    /// It stands still.
    pub is_paused: bool,
    /// It claims and starts nothing more.
    pub is_stopping: bool,
    /// The number of its last claim.
    pub last_claim: u64,
    /// A claim on its way.
    pub asked: Option<Asked>,
    /// The claims that it believes to hold.
    pub held: Vec<Held>,
    /// Outcomes that are not stored yet.
    pub reports: Vec<Report>,
}

/// A claim on its way.
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

/// A call as a claim took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Took {
    /// Which.
    pub call: usize,
    /// Which of the call's claims that is, in truth.
    pub claim: u8,
    /// When it is due.
    pub due: u64,
    /// Whether its start is bound to a time.
    pub limit: Limit,
}

/// Whether a claimed call's start is bound to a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// An attempt was before it: it may start however late.
    None,
    /// It is the first attempt.
    First,
    /// It is the first attempt, and was claimed after it might start.
    Over,
}

/// A claim in the hands of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Held {
    /// Of which call.
    pub call: usize,
    /// Under which number.
    pub number: u64,
    /// Which of the call's claims that is, in truth.
    pub claim: u8,
    /// When the call is due.
    pub due: u64,
    /// Until when the pod may believe in it.
    pub deadline: u64,
    /// The handler runs.
    pub is_running: bool,
    /// The pod has heard that the call is cancelled.
    pub is_cancelled: bool,
    /// Whether its start is bound to a time.
    pub limit: Limit,
    /// How far its handler is with completing the call in its transaction.
    pub completion: Completion,
}

/// How far a handler is with completing its call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Completion {
    /// It is not at it.
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
    /// Of which call.
    pub call: usize,
    /// Under which number.
    pub number: u64,
    /// Which of the call's claims that is, in truth.
    pub claim: u8,
    /// How the handler ended.
    pub outcome: Outcome,
}

/// How a handler ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// Well.
    Succeeded,
    /// With an error or a panic.
    Failed,
    /// Its pod gave it up at the end of a shutdown.
    GivenUp,
    /// It was not started: its time was over.
    Expired,
}

impl World {
    /// The process at that place.
    pub fn pod_id(&self, place: usize) -> Option<PodId> {
        self.pods.get(place).map(|pod| PodId { place, life: pod.life })
    }
}

impl Call {
    /// Whether the start of its present attempt, claimed at that moment, is bound to a time.
    pub fn limit(&self, claimed: u64) -> Limit {
        match self.expires {
            _ if self.attempt > 1 => Limit::None,
            Some(expires) if expires < claimed => Limit::Over,
            _ => Limit::First,
        }
    }

    /// A call that nobody has scheduled yet.
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

    /// The claim that holds it.
    pub const fn claim(&self) -> Option<Claim> {
        match self.row {
            Row::Claimed(claim) => Some(claim),
            _ => None,
        }
    }

    /// Scheduled or claimed.
    pub const fn is_live(&self) -> bool {
        matches!(self.row, Row::Waiting | Row::Claimed(_))
    }

    /// How it ended, as long as the history knows.
    pub const fn end(&self) -> Option<End> {
        match self.row {
            Row::Over(end, _) => Some(end),
            _ => None,
        }
    }
}

impl Held {
    /// A claim whose handler has not started.
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
    /// At most once: the default.
    pub const ONCE: Self = Self { attempts: 1, reruns: 0 };
}

impl Pod {
    /// The claim of that call in its hands.
    pub fn held(&self, call: usize) -> Option<&Held> {
        self.held.iter().find(|held| held.call == call)
    }
}
