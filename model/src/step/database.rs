//! Changes of rows by a claim, and after it.

use super::{Protocol, spend_reply};
use crate::action::{Answer, Reply};
use crate::breach::Breach;
use crate::mutants::Mutant;
use crate::state::{Call, Claim, End, Outcome, PodId, Row, Stored, Took, World};

impl Protocol {
    /// Gives a call to the claim that a pod has sent, and stores its successor with it.
    pub(super) fn claim(&self, world: &mut World, pod: usize, id: usize) -> Option<Answer> {
        let by = world.pod_id(pod)?;
        let asked = world.pods.get(pod)?.asked.clone().filter(|asked| !asked.is_lost)?;
        let now = world.now;
        let call = world.calls.get_mut(id)?;
        let ahead = if call.schedule.is_some() { 0 } else { self.ahead };
        if call.row != Row::Waiting || call.due > now.checked_add(ahead)? {
            return None;
        }
        let lease_until = now.checked_add(self.lease)?;
        call.row = Row::Claimed(Claim { pod: by, number: asked.number, lease_until, is_cancelled: false });
        call.attempt = call.attempt.checked_add(1)?;
        call.claims = call.claims.checked_add(1)?;
        let took = Took { call: id, claim: call.claims, due: call.due, limit: call.limit(now) };
        let flagged = call.told.flagged;
        world.breaches.note(Breach::AttemptAfterCancel, flagged);
        world.pods.get_mut(pod)?.asked.as_mut()?.took.push(took);
        if !self.errs(Mutant::SuccessorApart) {
            self.succeed(world, id);
        }
        Some(Answer::Done)
    }

    /// Stores the next run of a schedule, unless this one has it already: at the first of its times that is in the
    /// future.
    pub(super) fn succeed(&self, world: &mut World, id: usize) -> Option<()> {
        let now = world.now;
        let call = world.calls.get_mut(id)?;
        let schedule = *world.schedules.get(call.schedule?)?;
        if !schedule.is_active || (call.has_successor && !self.errs(Mutant::SuccessorAtEveryClaim)) {
            return None;
        }
        call.has_successor = true;
        let missed = now.saturating_sub(call.due).checked_div(schedule.interval)?;
        let due = call.due.checked_add(schedule.interval.checked_mul(missed.checked_add(1)?)?)?;
        let successor = Call { row: Row::Waiting, schedule: call.schedule, ..Call::new(due, call.policy) };
        world.calls.push(successor);
        Some(())
    }

    /// Stores a successor separately: only a mutant does.
    pub(super) fn store_successor_apart(&self, world: &mut World, id: usize) -> Option<Answer> {
        if !self.errs(Mutant::SuccessorApart) || world.calls.get(id)?.claim().is_none() {
            return None;
        }
        self.succeed(world, id)?;
        Some(Answer::Done)
    }

    /// Extends a lease, if the claim is still held; returns also whether the call was cancelled meanwhile.
    pub(super) fn renew_row(
        &self,
        world: &mut World,
        by: PodId,
        (id, number, claim): (usize, u64, u8),
    ) -> Option<(Answer, bool)> {
        let lease_until = world.now.checked_add(self.lease)?;
        let errs = self.errs(Mutant::RenewWithoutFence);
        // A row that a transaction holds is skipped.
        let call = world.calls.get_mut(id).filter(|call| call.completing.is_none())?;
        let is_stale = call.claims != claim;
        let Row::Claimed(row) = &mut call.row else { return Some((Answer::Refused, false)) };
        if !errs && !is_held_by(*row, by, number) {
            return Some((Answer::Refused, false));
        }
        row.lease_until = lease_until;
        let is_cancelled = row.is_cancelled;
        world.breaches.note(Breach::StaleWrite, is_stale);
        Some((Answer::Done, is_cancelled))
    }

    /// Stores the first outcome that a pod has to report.
    pub(super) fn finish(&self, world: &mut World, pod: usize, reply: Reply) -> Option<Answer> {
        spend_reply(world, reply)?;
        let by = world.pod_id(pod)?;
        let now = world.now;
        let from = world.pods.get_mut(pod).filter(|pod| !pod.is_paused)?;
        let report = *from.reports.first()?;
        if reply == Reply::Heard {
            from.reports.remove(0);
        }
        let call = world.calls.get_mut(report.call).filter(|call| call.completing.is_none())?;
        let (claim, ours) = match call.row {
            Row::Claimed(claim) => (Some(claim), self.is_ours(claim, by, report.number)),
            Row::Over(..) => (None, self.errs(Mutant::FinishWhatIsOver)),
            Row::Absent | Row::Waiting | Row::Forgotten => (None, false),
        };
        if !ours {
            let last = Some((by, report.number));
            let is_repetition =
                matches!(call.row, Row::Over(end, of) if of == last && may_end(report.outcome, end));
            let is_on_record = call.past.contains(&(by, report.number, report.outcome));
            return Some(if is_repetition || is_on_record { Answer::Known } else { Answer::Refused });
        }
        let is_stale = call.claims != report.claim;
        let is_flagged = claim.is_some_and(|claim| claim.is_cancelled);
        let end = match report.outcome {
            Outcome::Succeeded => Some(End::Succeeded),
            Outcome::Failed | Outcome::GivenUp if is_flagged && !self.errs(Mutant::RetryIgnoresCancel) => {
                Some(End::Cancelled)
            }
            Outcome::Failed if call.failures.saturating_add(1) < call.policy.attempts => None,
            Outcome::Failed => Some(End::Failed),
            Outcome::GivenUp if call.policy.reruns > 0 => None,
            Outcome::GivenUp => Some(End::Interrupted),
            Outcome::Expired => Some(End::Expired),
        };
        let answer = if let Some(end) = end {
            call.row = Row::Over(end, Some((by, report.number)));
            call.ends = call.ends.checked_add(1)?;
            Answer::Over
        } else {
            call.row = Row::Waiting;
            call.past.push((by, report.number, report.outcome));
            if report.outcome == Outcome::Failed {
                call.failures = call.failures.saturating_add(1);
                call.due = now.checked_add(self.backoff)?;
            } else {
                call.handed_back = call.handed_back.saturating_add(1);
            }
            Answer::Again
        };
        world.breaches.note(Breach::StaleWrite, is_stale);
        Some(answer)
    }

    /// Releases a call unstarted, with its attempt.
    pub(super) fn release_row(
        &self,
        world: &mut World,
        by: PodId,
        (id, number, claim): (usize, u64, u8),
    ) -> Option<Answer> {
        let call = world.calls.get_mut(id).filter(|call| call.completing.is_none())?;
        let Row::Claimed(row) = call.row else { return Some(Answer::Refused) };
        if !self.errs(Mutant::ReleaseWithoutFence) && !is_held_by(row, by, number) {
            return Some(Answer::Refused);
        }
        let is_stale = call.claims != claim;
        call.attempt = call.attempt.saturating_sub(1);
        let answer = if row.is_cancelled {
            call.row = Row::Over(End::Cancelled, Some((by, number)));
            call.ends = call.ends.checked_add(1)?;
            Answer::Over
        } else {
            call.row = Row::Waiting;
            Answer::Again
        };
        world.breaches.note(Breach::StaleWrite, is_stale);
        Some(answer)
    }

    /// Rescues a claim whose lease has ended. It needs nothing but the row.
    pub(super) fn rescue(&self, world: &mut World, id: usize) -> Option<Answer> {
        let now = world.now;
        let claim = world.calls.get(id)?.claim()?;
        let early = u64::from(self.errs(Mutant::RescueTooSoon)) * 2;
        if claim.lease_until >= now.checked_add(early)? {
            return None;
        }
        let is_there = world.pod_id(claim.pod.place) == Some(claim.pod);
        if self.errs(Mutant::RescueByPods) && !is_there {
            return None;
        }
        let is_open = self.errs(Mutant::FenceNotLocked);
        // A row that a transaction holds is skipped.
        let call = world.calls.get_mut(id).filter(|call| call.completing.is_none() || is_open)?;
        let is_cancelled = claim.is_cancelled && !self.errs(Mutant::RescueIgnoresCancel);
        let end = if is_cancelled { Some(End::Cancelled) } else { self.interrupt(call) };
        if let Some(end) = end {
            call.row = Row::Over(end, Some((claim.pod, claim.number)));
            call.ends = call.ends.checked_add(1)?;
            return Some(Answer::Over);
        }
        call.row = Row::Waiting;
        call.past.push((claim.pod, claim.number, Outcome::GivenUp));
        Some(Answer::Again)
    }

    /// Returns the end of a call whose pod vanished; `None`: it is rerun.
    fn interrupt(&self, call: &mut Call) -> Option<End> {
        let before = call.interruptions;
        call.interruptions = before.saturating_add(1);
        if call.policy.reruns == 0 {
            Some(End::Interrupted)
        } else if before < call.policy.reruns || self.errs(Mutant::RerunForEver) {
            None
        } else {
            Some(End::Failed)
        }
    }

    fn is_ours(&self, claim: Claim, by: PodId, number: u64) -> bool {
        self.errs(Mutant::FinishWithoutFence)
            || is_held_by(claim, by, number)
            || (self.errs(Mutant::FinishFencedByPodOnly) && claim.pod == by)
    }
}

/// Skips a due run of a schedule whose previous run is still running.
pub(super) fn skip(world: &mut World, id: usize) -> Option<Answer> {
    let now = world.now;
    let call = world.calls.get(id).filter(|call| call.row == Row::Waiting && call.due <= now)?;
    let schedule = call.schedule?;
    let runs = |call: &Call| call.claim().is_some_and(|claim| claim.lease_until >= now);
    if !world.calls.iter().any(|other| other.schedule == Some(schedule) && runs(other)) {
        return None;
    }
    let interval = world.schedules.get(schedule)?.interval;
    let call = world.calls.get_mut(id)?;
    call.row = Row::Over(End::Skipped, None);
    call.ends = call.ends.checked_add(1)?;
    if !call.has_successor {
        call.has_successor = true;
        let missed = now.saturating_sub(call.due).checked_div(interval)?;
        let due = call.due.checked_add(interval.checked_mul(missed.checked_add(1)?)?)?;
        let successor = Call { row: Row::Waiting, schedule: call.schedule, ..Call::new(due, call.policy) };
        world.calls.push(successor);
    }
    Some(Answer::Over)
}

/// Prunes a call from the history. Repetitions of its insert come within seconds, and the history is kept for longer.
pub(super) fn prune(world: &mut World, id: usize) -> Option<Answer> {
    let call = world.calls.get_mut(id)?;
    let may_be_repeated = call.told.stored == Stored::Perhaps;
    if !matches!(call.row, Row::Over(..)) || may_be_repeated {
        return None;
    }
    call.row = Row::Forgotten;
    Some(Answer::Done)
}

/// Returns whether a call with that end can have ended with that outcome. One that was rescued meanwhile has not: its
/// pod comes too late.
const fn may_end(outcome: Outcome, end: End) -> bool {
    match outcome {
        Outcome::Succeeded => matches!(end, End::Succeeded),
        Outcome::Failed => matches!(end, End::Failed | End::Cancelled),
        Outcome::GivenUp => matches!(end, End::Interrupted | End::Cancelled),
        Outcome::Expired => matches!(end, End::Expired),
    }
}

pub(super) fn is_held_by(claim: Claim, by: PodId, number: u64) -> bool {
    claim.pod == by && claim.number == number
}
