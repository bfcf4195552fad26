//! Stores that break the protocol in one way each: the checker proves itself by finding every one of them.

/// A broken store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Outcomes are stored whoever holds the call.
    FinishWithoutFence,
    /// Leases are extended whoever holds the call.
    RenewWithoutFence,
    /// Calls are given back whoever holds them.
    ReleaseWithoutFence,
    /// Calls are claimed a second before they are due.
    ClaimEarly,
    /// A cancellation says of a claimed call that it will never start.
    CancelClaimedAsWaiting,
    /// Claims are taken from pods whose leases have not ended.
    RescueTooSoon,
    /// Leases are half as long as the pods believe.
    ShortLeases,
    /// What is claimed is not noted: others may claim it as well.
    ForgetClaims,
    /// Outcomes are acknowledged, and now and then not stored.
    LoseOutcomes,
    /// Calls are acknowledged, and now and then not stored.
    LoseCalls,
    /// A repetition of an insert stores a call anew that is over.
    InsertAgainBlindly,
    /// Interrupted calls that are to be kept are run again.
    RerunEverything,
    /// Of claimed calls it is not said when they expire.
    ForgetExpiry,
    /// Every wish that a call be run again stores a new one, the repetition of a lost one too.
    RunAgainAnew,
}

impl Mutant {
    /// All of them.
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
