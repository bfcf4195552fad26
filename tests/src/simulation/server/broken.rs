//! The mutants' violations of the protocol.

use std::time::Duration;

use futurecall_runtime::store::prelude::*;
use futurecall_runtime::store::{ClaimRequest, ClaimedCall, Held, Now, OnVanish};
use futurecall_runtime::{CallId, PodId};

use super::{Server, done};
use crate::simulation::mutants::Mutant;

impl Server {
    /// Returns whether this mistake is planted.
    pub(super) fn errs(&self, mutant: Mutant) -> bool {
        self.world.settings.mutant == Some(mutant)
    }

    /// Returns whether it occurs this time.
    pub(super) fn rolls(&self, percent: usize) -> bool {
        self.world.shared().dice.below(100) < percent
    }

    /// Returns the requested fence; or, without a fence, whatever claim is on the row.
    pub(super) fn fence(&self, mutant: Mutant, pod: PodId, id: CallId, number: i64) -> (PodId, i64) {
        if !self.errs(mutant) {
            return (pod, number);
        }
        let shared = self.world.shared();
        shared.claims.get(&id).map_or((pod, number), |holder| (holder.id, holder.number))
    }

    pub(super) fn claim_time(&self) -> Now {
        let early = Duration::from_secs(u64::from(self.errs(Mutant::ClaimEarly)));
        Now::At(self.world.now().checked_add(early).expect("simulations are short"))
    }

    pub(super) fn rescue_time(&self) -> Now {
        let lease = self.world.settings.lease;
        let early = if self.errs(Mutant::RescueTooSoon) { lease } else { Duration::ZERO };
        Now::At(self.world.now().checked_add(early).expect("simulations are short"))
    }

    /// Returns the claim request as it is executed.
    pub(super) fn request(&self, asked: &ClaimRequest) -> ClaimRequest {
        let mut request = asked.clone();
        if self.errs(Mutant::RerunEverything) {
            let again = OnVanish::Rerun { budget: 1_000, after: Duration::ZERO };
            request.names.iter_mut().for_each(|(_, on_vanish)| *on_vanish = again);
        }
        if self.errs(Mutant::ShortLeases) {
            request.lease /= 2;
        }
        request
    }

    /// Releases at once what was claimed, without reporting it.
    pub(super) fn forget(&self, pod: PodId, calls: &[ClaimedCall]) {
        let held: Vec<_> =
            calls.iter().map(|call| Held { id: call.id, claim_no: call.claim_no, started: false }).collect();
        let released = done(self.inner.release(self.now(), pod, &held, None));
        debug_assert!(released.is_ok(), "{released:?}");
    }
}
