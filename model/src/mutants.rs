//! Mistakes that a protocol like this one can have. Each is found by an invariant; if one is not, the invariants are
//! too weak.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// A call that is claimed ahead of its due time starts at once.
    StartAhead,
    /// An outcome is stored whichever pod holds the call.
    FinishWithoutFence,
    /// An outcome is fenced by the pod only, not by the claim number.
    FinishFencedByPodOnly,
    /// An outcome is stored although the call has ended.
    FinishWhatIsOver,
    /// A lease is extended whichever pod holds the call.
    RenewWithoutFence,
    /// A call is released by a pod that no longer holds it.
    ReleaseWithoutFence,
    /// Every claim of a pod has the same number.
    ClaimNumberStands,
    /// A cancellation reports that a running call will never start.
    CancelRunningAsRemoved,
    /// A failed attempt ignores that the call was cancelled meanwhile.
    RetryIgnoresCancel,
    /// A rescue ignores that the call was cancelled meanwhile.
    RescueIgnoresCancel,
    /// A claimed call is rescheduled as if it waited.
    MoveRunning,
    /// Rescheduling a claimed call reports that it was rescheduled.
    MoveRunningIsAcknowledged,
    /// The pod does not check its own lease before it starts a handler.
    NoLeaseCheckBeforeStart,
    /// The pod counts its lease from the reply, not from before the claim was sent.
    LeaseCountedFromReply,
    /// A rescue takes claims whose lease has not ended.
    RescueTooSoon,
    /// A rescue finds only the claims of pods that are there.
    RescueByPods,
    /// A call that takes its pod with it is rerun for ever.
    RerunForEver,
    /// Storing a call again does not check whether it has ended.
    InsertAgainBlindly,
    /// The successor of a run is stored in a separate transaction, after the claim.
    SuccessorApart,
    /// Every claim of a run stores a successor.
    SuccessorAtEveryClaim,
    /// A handler's transaction ends its call whichever pod holds it.
    CompleteWithoutFence,
    /// A handler's transaction is committed although the fence did not hold in it.
    CommitThoughRefused,
    /// The fence is checked in a handler's transaction, and the row not locked until it is committed.
    FenceNotLocked,
    /// The lookup of a commit's outcome does not wait for a transaction that is still ending.
    LookDoesNotWait,
    /// A commit whose reply is lost is assumed not to have happened.
    LostCommitIsNone,
    /// Every request for a rerun stores a new call, including the repetition of a lost one.
    RunAgainAnew,
    /// Storing it again does not check whether it has ended.
    RunAgainBlindly,
    /// The finished call is made to wait again, instead of a new one.
    RunAgainInPlace,
    /// A call that succeeded may be run again.
    RunAgainWhatSucceeded,
    /// The pod does not check whether a call has expired before it starts a handler.
    StartExpired,
    /// A call that was attempted already expires as well.
    ExpireLaterAttempts,
}

impl Mutant {
    /// All mutants, each with the setting in which it shows, and the invariant that finds it there.
    pub const ALL: [(Self, &'static str, &'static str); 31] = [
        (Self::StartAhead, "zombies", "I1 nothing starts early"),
        (Self::FinishWithoutFence, "zombies", "I7 a stale claim changes nothing"),
        (Self::FinishFencedByPodOnly, "retries", "I7 a stale claim changes nothing"),
        (Self::FinishWhatIsOver, "once", "I2 a call ends once"),
        (Self::RenewWithoutFence, "zombies", "I7 a stale claim changes nothing"),
        (Self::ReleaseWithoutFence, "shutdowns", "I7 a stale claim changes nothing"),
        (Self::ClaimNumberStands, "retries", "I7 a stale claim changes nothing"),
        (Self::CancelRunningAsRemoved, "clients", "I5 what is cancelled does not start"),
        (Self::RetryIgnoresCancel, "retries", "I5 what is cancelled does not start"),
        (Self::RescueIgnoresCancel, "zombies", "I5 what is cancelled does not start"),
        (Self::MoveRunning, "clients", "I8 no more starts than the policy allows"),
        (Self::MoveRunningIsAcknowledged, "clients", "I10 a new moment is kept"),
        (Self::NoLeaseCheckBeforeStart, "once", "I3 nothing starts after its end"),
        (Self::LeaseCountedFromReply, "zombies", "I4 no two believe to run a call"),
        (Self::RescueTooSoon, "crashes", "I4 no two believe to run a call"),
        (Self::RescueByPods, "crashes", "I6 nothing is lost or stuck"),
        (Self::RerunForEver, "crashes", "I8 no more starts than the policy allows"),
        (Self::InsertAgainBlindly, "clients", "I2 a call ends once"),
        (Self::SuccessorApart, "recurring", "I9 a schedule has one next run"),
        (Self::SuccessorAtEveryClaim, "recurring", "I9 a schedule has one next run"),
        (Self::CompleteWithoutFence, "transactions", "I7 a stale claim changes nothing"),
        (Self::CommitThoughRefused, "transactions", "I11 a handler's writes and the end of its call are one"),
        (Self::FenceNotLocked, "transactions", "I2 a call ends once"),
        (Self::LookDoesNotWait, "transactions", "I11 a handler's writes and the end of its call are one"),
        (Self::LostCommitIsNone, "transactions", "I11 a handler's writes and the end of its call are one"),
        (Self::RunAgainAnew, "again", "I12 a call is run again as often as it was wanted"),
        (Self::RunAgainBlindly, "again", "I2 a call ends once"),
        (Self::RunAgainInPlace, "again", "I2 a call ends once"),
        (Self::RunAgainWhatSucceeded, "again", "I12 a call is run again as often as it was wanted"),
        (Self::StartExpired, "expiry", "I13 what has expired does not start"),
        (Self::ExpireLaterAttempts, "expiry", "I13 what has expired does not start"),
    ];
}
