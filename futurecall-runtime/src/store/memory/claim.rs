use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::rows::{Call, End, HeldBy, State, refuse_nul};
use crate::id::{CallId, PodId};
use crate::moment::Moment;
use crate::store::policy::Turn;
use crate::store::policy::reasons::CANCELLED;
use crate::store::{
    CallState, Claim, ClaimRequest, ClaimStore, ClaimedCall, Held, MemoryStore, Now, OnVanish, Result,
};

#[async_trait]
impl ClaimStore for MemoryStore {
    async fn claim(&self, now: Now, request: &ClaimRequest) -> Result<Claim> {
        let state = &mut *self.state();
        refuse_nul("claim calls", request.names.iter().map(|(name, _)| name.as_str()))?;
        let now = state.now(now);
        let names: BTreeMap<&str, OnVanish> = request
            .names
            .iter()
            .filter(|(name, _)| !state.paused.contains_key(name))
            .map(|(name, on_vanish)| (name.as_str(), *on_vanish))
            .collect();
        let mut claim = Claim::default();
        for id in state.in_turn(now, request, &names) {
            if claim.calls.len() >= request.limit {
                break;
            }
            let Some(call) = state.call(id).cloned() else { continue };
            match state.turn(now, &call) {
                Turn::Wait | Turn::Unreadable | Turn::Taken | Turn::Gone => {}
                Turn::Skip(reason) => {
                    state.end(now, id, End::without_run(CallState::Skipped, reason), &request.retention);
                    claim.skipped += 1;
                }
                Turn::Run => {
                    let on_vanish = names.get(call.name.as_str()).copied().unwrap_or_default();
                    claim.calls.extend(state.hold(now, request, on_vanish, id));
                }
            }
        }
        claim.now = Some(now);
        claim.next = state.next_due(now, request, &names).map(|due| due.saturating_since(now));
        Ok(claim)
    }

    async fn find_claim(&self, pod: PodId, claim_no: i64) -> Result<Vec<ClaimedCall>> {
        let state = self.state();
        let mut found: Vec<_> = state.calls().filter(|call| call.is_held_by(pod, claim_no)).collect();
        found.sort_by_key(|call| (call.priority, call.due, call.id));
        Ok(found.into_iter().filter_map(claimed).collect())
    }

    async fn release(&self, now: Now, pod: PodId, held: &[Held], declined: Option<i64>) -> Result<u64> {
        let released = self.state().release(now, pod, held, declined);
        if released > 0 {
            self.wake_others();
        }
        Ok(released)
    }
}

impl State {
    pub(super) fn release(&mut self, now: Now, pod: PodId, held: &[Held], declined: Option<i64>) -> u64 {
        let now = self.now(now);
        let mut released = 0;
        for Held { id, claim_no, .. } in held {
            let Some(call) = self.call(*id).filter(|call| call.is_held_by(pod, *claim_no)) else { continue };
            let mut call = call.clone();
            let cancelled = call.held.take().is_some_and(|held| held.cancel_requested);
            call.attempt = call.attempt.saturating_sub(1);
            call.declined.extend(declined);
            self.put(call);
            if cancelled {
                // No retention is given here: that a run was cancelled is worth its row.
                let end = End::without_run(CallState::Cancelled, CANCELLED);
                self.end(now, *id, end, &crate::store::Retention::default());
            }
            released += 1;
        }
        released
    }

    /// Due calls in the order in which they are to start: lower priority first, then by turns among names (that of
    /// the oldest call first), within a lane by (due, id). At most `limit` of each lane: no more can be claimed.
    fn in_turn(&self, now: Moment, request: &ClaimRequest, names: &BTreeMap<&str, OnVanish>) -> Vec<CallId> {
        let ahead = now.checked_add(request.ahead).unwrap_or(Moment::MAX);
        let horizon = request.until.map_or(ahead, |until| until.min(ahead));
        let of_schedule = |call: &Call| call.schedule.is_some() && call.due > now;
        let mut by_priority: BTreeMap<i16, Vec<Vec<(Moment, CallId)>>> = BTreeMap::new();
        for (priority, lane) in names.keys().filter_map(|name| self.waiting.get(*name)).flatten() {
            let due: Vec<_> = lane
                .iter()
                .take_while(|(due, _)| *due <= horizon)
                .filter(|(_, id)| {
                    self.call(*id).is_some_and(|call| {
                        !of_schedule(call) && is_open(request, call) && !self.is_blocked(now, call)
                    })
                })
                .take(request.limit)
                .copied()
                .collect();
            if !due.is_empty() {
                by_priority.entry(*priority).or_default().push(due);
            }
        }
        let mut order = Vec::new();
        for (_, mut lanes) in by_priority {
            lanes.sort_by_key(|lane| lane.first().copied());
            let longest = lanes.iter().map(Vec::len).max().unwrap_or(0);
            let turns = (0..longest).flat_map(|turn| lanes.iter().filter_map(move |lane| lane.get(turn)));
            order.extend(turns.map(|(_, id)| *id));
        }
        order
    }

    pub(super) fn hold(
        &mut self,
        now: Moment,
        request: &ClaimRequest,
        on_vanish: OnVanish,
        id: CallId,
    ) -> Option<ClaimedCall> {
        let mut call = self.take(id)?;
        call.attempt = call.attempt.saturating_add(1);
        call.held = Some(HeldBy {
            pod: request.pod,
            claim_no: request.claim_no,
            claimed: now,
            lease_until: now.checked_add(request.lease).unwrap_or(Moment::MAX),
            on_vanish,
            started: false,
            cancel_requested: false,
        });
        let claimed = claimed(&call);
        self.put(call);
        claimed
    }

    /// When the next unclaimed call of these names is due. One that is due, but waits for another run of its schedule,
    /// does not count (its pod claims again when that run ends); one that lies ahead does, for its turn may have come
    /// by then.
    fn next_due(
        &self,
        now: Moment,
        request: &ClaimRequest,
        names: &BTreeMap<&str, OnVanish>,
    ) -> Option<Moment> {
        let lanes: Vec<&BTreeSet<_>> =
            names.keys().filter_map(|name| self.waiting.get(*name)).flat_map(BTreeMap::values).collect();
        let counts = |due: Moment, id: CallId| {
            self.call(id)
                .is_some_and(|call| is_open(request, call) && (due > now || !self.is_blocked(now, call)))
        };
        lanes
            .iter()
            .filter_map(|lane| lane.iter().find(|(due, id)| counts(*due, *id)))
            .map(|(due, _)| *due)
            .min()
    }
}

/// Whether no pod of the shape that the claim reads has declined the call.
fn is_open(request: &ClaimRequest, call: &Call) -> bool {
    call.declined.is_empty() || !call.declined.contains(&request.shape(&call.name))
}

fn claimed(call: &Call) -> Option<ClaimedCall> {
    let held = call.held?;
    Some(ClaimedCall {
        id: call.id,
        claim_no: held.claim_no,
        name: call.name.clone(),
        identifier: call.identifier.clone(),
        args: call.args.clone(),
        format: call.format,
        priority: call.priority,
        due: call.due,
        first_due: call.first_due.unwrap_or(call.due),
        expires: call.expires,
        failures: call.failures,
        claimed: held.claimed,
        attempt: call.attempt,
        schedule: call.schedule,
        traceparent: call.traceparent.clone(),
    })
}
