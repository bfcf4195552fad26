//! Stores that violate the protocol in one way each: the checker must find every one of them.

/// A broken store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Outcomes are stored whichever pod holds the call.
    FinishWithoutFence,
    /// Leases are extended whichever pod holds the call.
    RenewWithoutFence,
    /// Calls are released whichever pod holds them.
    ReleaseWithoutFence,
    /// Calls are claimed a second before they are due.
    ClaimEarly,
    /// A cancellation reports of a claimed call that it will never start.
    CancelClaimedAsWaiting,
    /// Claims are taken from pods whose leases have not ended.
    RescueTooSoon,
    /// Leases are half as long as the pods believe.
    ShortLeases,
    /// A claim is not recorded: others may claim the call as well.
    ForgetClaims,
    /// Outcomes are acknowledged, and now and then not stored.
    LoseOutcomes,
    /// Calls are acknowledged, and now and then not stored.
    LoseCalls,
    /// A repetition of an insert stores a finished call again.
    InsertAgainBlindly,
    /// Interrupted calls that are to be kept are rerun.
    RerunEverything,
    /// A claim does not return when its calls expire.
    ForgetExpiry,
    /// Every request for a rerun stores a new call, including the repetition of a lost one.
    RunAgainAnew,
}

impl Mutant {
    /// All mutants.
    pub const ALL: [Self; 14] = [
        Self::FinishWithoutFence,
        Self::RenewWithoutFence,
        Self::ReleaseWithoutFence,
        Self::ClaimEarly,
        Self::CancelClaimedAsWaiting,
        Self::RescueTooSoon,
        Self::ShortLeases,
        Self::ForgetClaims,
        Self::LoseOutcomes,
        Self::LoseCalls,
        Self::InsertAgainBlindly,
        Self::RerunEverything,
        Self::ForgetExpiry,
        Self::RunAgainAnew,
    ];
}
