//! A handler's own transaction, which ends its call: the fence is checked there, and from then on the row is locked, so
//! that the handler's writes are committed with the end of its call, or not at all.

use super::Protocol;
use super::database::is_held_by;
use super::pod::awake;
use crate::action::Answer;
use crate::breach::Breach;
use crate::mutants::Mutant;
use crate::state::{Completing, Completion, End, Held, Row, World};

impl Protocol {
    /// Checks the fence, as the last statement before the commit. If it does not hold, everything is rolled back, and
    /// the handler is informed that its lease is lost.
    pub(super) fn complete(&self, world: &mut World, pod: usize, id: usize) -> Option<Answer> {
        let by = world.pod_id(pod)?;
        let is_it = |held: &Held| held.call == id && held.is_running && held.completion == Completion::No;
        let held = *awake(world, pod)?.held.iter().find(|held| is_it(held))?;
        world.budget.transactions = world.budget.transactions.checked_sub(1)?;
        let call = world.calls.get_mut(id).filter(|call| call.completing.is_none())?;
        let anyone = self.errs(Mutant::CompleteWithoutFence);
        if call.claim().is_some_and(|claim| anyone || is_held_by(claim, by, held.number)) {
            call.completing = Some(Completing { pod: by, number: held.number, claim: held.claim });
            // What the handler learned about an earlier transaction does not concern this one.
            call.rolled_back = None;
            change(world, (pod, id), |held| held.completion = Completion::Sent);
            return Some(Answer::Done);
        }
        if self.errs(Mutant::CommitThoughRefused) {
            call.writes = call.writes.checked_add(1)?;
        }
        awake(world, pod)?.held.retain(|held| !is_it(held));
        Some(Answer::Refused)
    }

    /// Looks up the outcome of a commit without a reply; this waits for a transaction which is still ending.
    pub(super) fn look(&self, world: &mut World, pod: usize, id: usize) -> Option<Answer> {
        let by = world.pod_id(pod)?;
        let is_it = |held: &Held| held.call == id && held.completion == Completion::Unknown;
        let held = *awake(world, pod)?.held.iter().find(|held| is_it(held))?;
        let call = world.calls.get_mut(id)?;
        if call.completing.is_some() && !self.errs(Mutant::LookDoesNotWait) {
            return None;
        }
        let is_done = call.row == Row::Over(End::Succeeded, Some((by, held.number)));
        let is_held = call.claim().is_some_and(|claim| is_held_by(claim, by, held.number));
        if is_held || self.errs(Mutant::LostCommitIsNone) {
            // The handler is informed that nothing was committed, and continues.
            call.rolled_back = Some(held.claim);
            world.breaches.note(Breach::FalseRollback, is_done);
            change(world, (pod, id), |held| held.completion = Completion::No);
            return Some(Answer::Nothing);
        }
        awake(world, pod)?.held.retain(|held| !is_it(held));
        Some(if is_done { Answer::Known } else { Answer::Refused })
    }
}

/// Commits the end of the call and the handler's writes together. The reply arrives, unless its pod is paused or has
/// lost the connection.
pub(super) fn commit(world: &mut World, id: usize) -> Option<Answer> {
    let call = world.calls.get_mut(id)?;
    let Completing { pod, number, claim } = call.completing.take()?;
    call.row = Row::Over(End::Succeeded, Some((pod, number)));
    call.ends = call.ends.checked_add(1)?;
    call.writes = call.writes.checked_add(1)?;
    let (is_stale, was_denied) = (call.claims != claim, call.rolled_back == Some(claim));
    world.breaches.note(Breach::StaleWrite, is_stale);
    world.breaches.note(Breach::FalseRollback, was_denied);
    if world.pod_id(pod.place) == Some(pod) {
        let pod = world.pods.get_mut(pod.place)?;
        let waits = |held: &Held| held.call == id && held.completion == Completion::Sent;
        if pod.is_paused {
            pod.held
                .iter_mut()
                .filter(|held| waits(held))
                .for_each(|held| held.completion = Completion::Unknown);
        } else {
            pod.held.retain(|held| !waits(held));
        }
    }
    Some(Answer::Over)
}

/// The process that was to commit it is gone.
pub(super) fn roll_back(world: &mut World, id: usize) -> Option<Answer> {
    let Completing { pod, .. } = world.calls.get(id)?.completing?;
    let is_there = world.pod_id(pod.place) == Some(pod);
    let held = world.pods.get(pod.place).filter(|_| is_there).and_then(|pod| pod.held(id));
    if held.is_some_and(|held| held.completion == Completion::Sent) {
        return None;
    }
    world.calls.get_mut(id)?.completing = None;
    Some(Answer::Done)
}

pub(super) fn lose_commit(world: &mut World, pod: usize, id: usize) -> Option<Answer> {
    let waits = awake(world, pod)?.held(id).is_some_and(|held| held.completion == Completion::Sent);
    world.budget.losses = world.budget.losses.checked_sub(u8::from(waits))?;
    change(world, (pod, id), |held| held.completion = Completion::Unknown);
    waits.then_some(Answer::Done)
}

fn change(world: &mut World, (pod, call): (usize, usize), how: impl Fn(&mut Held)) {
    if let Some(pod) = world.pods.get_mut(pod) {
        pod.held.iter_mut().filter(|held| held.call == call).for_each(how);
    }
}
