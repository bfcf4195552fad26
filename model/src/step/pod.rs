//! Actions of a pod: its requests, its beliefs, and faults of its process.

use super::{Protocol, spend_reply};
use crate::action::{Answer, Reply};
use crate::breach::Breach;
use crate::mutants::Mutant;
use crate::state::{Asked, Completion, Held, Limit, Outcome, Pod, Report, Row, Took, World};

impl Protocol {
    /// Sends a claim. One at a time: a lost one is looked up before the next.
    pub(super) fn ask(&self, world: &mut World, pod: usize) -> Option<Answer> {
        let sent = world.now;
        let pod = awake(world, pod).filter(|pod| !pod.is_stopping && pod.asked.is_none())?;
        if !self.errs(Mutant::ClaimNumberStands) {
            pod.last_claim = pod.last_claim.checked_add(1)?;
        }
        pod.asked = Some(Asked { sent, number: pod.last_claim, took: Vec::new(), is_lost: false });
        Some(Answer::Done)
    }

    /// Receives what its claim took. The lease counts from before the claim was sent.
    pub(super) fn receive(&self, world: &mut World, pod: usize) -> Option<Answer> {
        let now = world.now;
        let asked = awake(world, pod)?.asked.take().filter(|asked| !asked.is_lost)?;
        let from = if self.errs(Mutant::LeaseCountedFromReply) { now } else { asked.sent };
        let deadline = from.checked_add(self.lease)?;
        forget_unused(world.pods.get_mut(pod)?, &asked);
        for took in asked.took {
            hold(world.pods.get_mut(pod)?, Held::new(took, asked.number, deadline));
        }
        Some(Answer::Done)
    }

    /// Finds what its lost claim took, and still holds.
    pub(super) fn adopt(&self, world: &mut World, pod: usize) -> Option<Answer> {
        let by = world.pod_id(pod)?;
        let asked = awake(world, pod)?.asked.take().filter(|asked| asked.is_lost)?;
        let deadline = asked.sent.checked_add(self.lease)?;
        let is_ours =
            |row: Row| matches!(row, Row::Claimed(claim) if claim.pod == by && claim.number == asked.number);
        let found: Vec<_> = (0..)
            .zip(&world.calls)
            .filter(|(_, call)| is_ours(call.row))
            // No more time than that is known to have passed when it was claimed.
            .map(|(call, row)| Took { call, claim: row.claims, due: row.due, limit: row.limit(asked.sent) })
            .collect();
        forget_unused(world.pods.get_mut(pod)?, &asked);
        for took in found {
            hold(world.pods.get_mut(pod)?, Held::new(took, asked.number, deadline));
        }
        Some(Answer::Done)
    }

    /// Starts a handler, if the lease still holds by the pod's own deadline, and the call is due.
    pub(super) fn start(&self, world: &mut World, pod: usize, id: usize) -> Option<Answer> {
        let now = world.now;
        let may_be_late = self.errs(Mutant::NoLeaseCheckBeforeStart);
        let may_be_early = self.errs(Mutant::StartAhead);
        let pod = awake(world, pod).filter(|pod| !pod.is_stopping)?;
        let held = pod.held.iter_mut().find(|held| held.call == id)?;
        if held.is_running || held.is_cancelled || (now >= held.deadline && !may_be_late) {
            return None;
        }
        let is_expired = held.limit == Limit::Over;
        if is_expired && !self.errs(Mutant::StartExpired) {
            return None;
        }
        let due = held.due;
        if now < due && !may_be_early {
            return None;
        }
        held.is_running = true;
        let call = world.calls.get_mut(id)?;
        call.starts = call.starts.checked_add(1)?;
        let is_over = matches!(call.row, Row::Over(..) | Row::Forgotten);
        let told = call.told;
        world.breaches.note(Breach::Early, now < due);
        world.breaches.note(Breach::StartAfterEnd, is_over);
        world.breaches.note(Breach::StartAfterCancel, told.cancelled);
        world.breaches.note(Breach::StartAfterExpiry, is_expired);
        world.breaches.note(Breach::BeforeNewMoment, told.due.is_some_and(|due| now < due));
        Some(Answer::Done)
    }

    /// Extends a lease, and notices a cancellation. The new lease counts from before the renewal was sent.
    pub(super) fn renew(&self, world: &mut World, pod: usize, id: usize, reply: Reply) -> Option<Answer> {
        spend_reply(world, reply)?;
        let by = world.pod_id(pod)?;
        let deadline = world.now.checked_add(self.lease)?;
        let key = awake(world, pod)?.key_of(id)?;
        let (answer, is_cancelled) = self.renew_row(world, by, key)?;
        if reply == Reply::Heard {
            let pod = awake(world, pod)?;
            if answer == Answer::Refused {
                pod.held.retain(|held| held.call != id);
            }
            if let Some(held) = pod.held.iter_mut().find(|held| held.call == id) {
                held.deadline = deadline;
                held.is_cancelled |= is_cancelled;
            }
        }
        Some(answer)
    }

    /// Reports that a call missed its start deadline: only for a first attempt that has not started.
    pub(super) fn expire(&self, world: &mut World, pod: usize, id: usize) -> Option<Answer> {
        let expires = world.calls.get(id)?.expires.filter(|expires| *expires < world.now);
        let pod = awake(world, pod).filter(|_| expires.is_some())?;
        let every = self.errs(Mutant::ExpireLaterAttempts);
        let is_it = |held: &Held| held.call == id && !held.is_running && (held.limit != Limit::None || every);
        let at = pod.held.iter().position(is_it)?;
        let held = pod.held.remove(at);
        pod.reports.push(Report {
            call: id,
            number: held.number,
            claim: held.claim,
            outcome: Outcome::Expired,
        });
        Some(Answer::Done)
    }

    /// Releases what it has not started.
    pub(super) fn release(&self, world: &mut World, pod: usize, id: usize) -> Option<Answer> {
        let by = world.pod_id(pod)?;
        let from = awake(world, pod)?;
        let at = from.held.iter().position(|held| held.call == id && !held.is_running)?;
        let held = from.held.remove(at);
        if !from.is_stopping && !held.is_cancelled {
            world.budget.releases = world.budget.releases.checked_sub(1)?;
        }
        self.release_row(world, by, (id, held.number, held.claim))
    }
}

impl Pod {
    /// Returns the call, the number, and which claim that is: also of one whose outcome is not stored yet.
    fn key_of(&self, call: usize) -> Option<(usize, u64, u8)> {
        let held = self.held(call).map(|held| (call, held.number, held.claim));
        let reported = || self.reports.iter().find(|report| report.call == call);
        held.or_else(|| reported().map(|report| (call, report.number, report.claim)))
    }
}

/// Adds a new claim: what the pod held of the same call before, it had lost.
fn hold(pod: &mut Pod, new: Held) {
    pod.held.retain(|held| held.call != new.call);
    pod.held.push(new);
    pod.held.sort_by_key(|held| held.call);
}

/// A number under which nothing was claimed can be used again: otherwise there would be a state for every claim that
/// found nothing.
const fn forget_unused(pod: &mut Pod, asked: &Asked) {
    if asked.took.is_empty() {
        pod.last_claim = pod.last_claim.saturating_sub(1);
    }
}

/// Returns a process that is not paused.
pub(super) fn awake(world: &mut World, pod: usize) -> Option<&mut Pod> {
    world.pods.get_mut(pod).filter(|pod| !pod.is_paused)
}

pub(super) fn lose_claim(world: &mut World, pod: usize) -> Option<Answer> {
    world.budget.losses = world.budget.losses.checked_sub(1)?;
    let asked = world.pods.get_mut(pod)?.asked.as_mut().filter(|asked| !asked.is_lost)?;
    asked.is_lost = true;
    Some(Answer::Done)
}

pub(super) fn end(world: &mut World, pod: usize, id: usize, outcome: Outcome) -> Option<Answer> {
    if outcome == Outcome::Failed {
        world.budget.failures = world.budget.failures.checked_sub(1)?;
    }
    let pod = awake(world, pod).filter(|pod| outcome != Outcome::GivenUp || pod.is_stopping)?;
    let is_it = |held: &Held| held.call == id && held.is_running && held.completion == Completion::No;
    let at = pod.held.iter().position(is_it)?;
    let held = pod.held.remove(at);
    pod.reports.push(Report { call: id, number: held.number, claim: held.claim, outcome });
    Some(Answer::Done)
}

pub(super) fn let_go(world: &mut World, pod: usize, id: usize) -> Option<Answer> {
    let now = world.now;
    let pod = awake(world, pod)?;
    // While the database decides, a claim that looks lost does not stop the handler.
    let is_it = |held: &Held| held.call == id && held.deadline <= now && held.completion == Completion::No;
    let at = pod.held.iter().position(is_it)?;
    pod.held.remove(at);
    Some(Answer::Done)
}

pub(super) fn stop(world: &mut World, pod: usize) -> Option<Answer> {
    world.budget.stops = world.budget.stops.checked_sub(1)?;
    let pod = awake(world, pod).filter(|pod| !pod.is_stopping)?;
    pod.is_stopping = true;
    Some(Answer::Done)
}

pub(super) fn crash(world: &mut World, pod: usize) -> Option<Answer> {
    world.budget.crashes = world.budget.crashes.checked_sub(1)?;
    let pod = world.pods.get_mut(pod)?;
    *pod = Pod { life: pod.life.checked_add(1)?, ..Pod::default() };
    Some(Answer::Done)
}

pub(super) fn pause(world: &mut World, pod: usize) -> Option<Answer> {
    world.budget.pauses = world.budget.pauses.checked_sub(1)?;
    awake(world, pod)?.is_paused = true;
    Some(Answer::Done)
}

pub(super) fn resume(world: &mut World, pod: usize) -> Option<Answer> {
    let pod = world.pods.get_mut(pod).filter(|pod| pod.is_paused)?;
    pod.is_paused = false;
    Some(Answer::Done)
}
