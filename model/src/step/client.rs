//! Requests of clients.

use super::{Protocol, spend_reply};
use crate::action::{Answer, Reply};
use crate::mutants::Mutant;
use crate::state::{Again, Call, End, Row, Stored, World};

impl Protocol {
    /// Stores a call, or stores it again after a lost reply: one that is there already, or has ended, is left alone.
    pub(super) fn insert(&self, world: &mut World, id: usize, reply: Reply) -> Option<Answer> {
        let call = world.calls.get_mut(id)?;
        if call.told.stored == Stored::Yes || call.schedule.is_some() {
            return None;
        }
        let is_blind = self.errs(Mutant::InsertAgainBlindly) && call.told.stored == Stored::Perhaps;
        match call.row {
            Row::Absent => call.row = Row::Waiting,
            Row::Over(..) if is_blind => call.row = Row::Waiting,
            Row::Waiting | Row::Claimed(_) | Row::Over(..) => {}
            // Whether it was stored and pruned cannot be known any more: the client gets that result, and nothing is
            // done.
            Row::Forgotten => return None,
        }
        call.told.stored = if reply == Reply::Heard { Stored::Yes } else { Stored::Perhaps };
        spend_reply(world, reply)?;
        Some(Answer::Done)
    }

    /// Removes a call that has not started, flags one that is claimed.
    pub(super) fn cancel(&self, world: &mut World, id: usize, reply: Reply) -> Option<Answer> {
        spend_reply(world, reply)?;
        world.budget.cancels = world.budget.cancels.checked_sub(1)?;
        // It waits for a transaction that holds the row.
        let call = world.calls.get_mut(id).filter(|call| call.completing.is_none())?;
        let answer = match &mut call.row {
            Row::Waiting => {
                call.row = Row::Over(End::Cancelled, None);
                call.ends += 1;
                Answer::Removed
            }
            Row::Claimed(claim) => {
                claim.is_cancelled = true;
                Answer::UnderWay
            }
            Row::Absent | Row::Over(..) | Row::Forgotten => Answer::Nothing,
        };
        if reply == Reply::Heard {
            let says_removed = answer == Answer::Removed
                || (answer == Answer::UnderWay && self.errs(Mutant::CancelRunningAsRemoved));
            call.told.cancelled |= says_removed;
            call.told.flagged |= answer == Answer::UnderWay;
        }
        if answer == Answer::Removed {
            // One run was cancelled; the schedule that it belongs to continues.
            self.succeed(world, id);
        }
        Some(answer)
    }

    /// Reschedules a waiting call; a claimed one stays as it is.
    pub(super) fn move_to(&self, world: &mut World, id: usize, to: u64, reply: Reply) -> Option<Answer> {
        spend_reply(world, reply)?;
        world.budget.moves = world.budget.moves.checked_sub(1)?;
        let call =
            world.calls.get_mut(id).filter(|call| call.schedule.is_none() && call.completing.is_none())?;
        let answer = match call.row {
            Row::Waiting => Answer::Done,
            Row::Claimed(_) if self.errs(Mutant::MoveRunning) => {
                call.row = Row::Waiting;
                Answer::Done
            }
            Row::Claimed(_) if self.errs(Mutant::MoveRunningIsAcknowledged) => Answer::Done,
            Row::Claimed(_) => Answer::UnderWay,
            Row::Absent | Row::Over(..) | Row::Forgotten => Answer::Nothing,
        };
        if answer == Answer::Done {
            if call.row == Row::Waiting {
                // Its start deadline moves with it, unless there was an attempt before.
                let time = call.expires.map(|expires| expires.saturating_sub(call.due));
                call.expires = if call.past.is_empty() { time.map(|time| to + time) } else { call.expires };
                call.due = to;
            }
            // Of two reschedulings in unknown order, neither is a promise.
            call.told.due = if reply == Reply::Heard { Some(to) } else { None };
        }
        Some(answer)
    }

    /// Stores a new call that repeats a finished one, unless that succeeded; or stores it again after a lost reply: one
    /// that is there already, or has ended, is left alone.
    pub(super) fn run_again(&self, world: &mut World, of: usize, reply: Reply) -> Option<Answer> {
        spend_reply(world, reply)?;
        let (now, next) = (world.now, world.calls.len());
        let old = world.calls.get_mut(of)?;
        let is_new = match old.told.again {
            Again::No => true,
            Again::Perhaps(_) => self.errs(Mutant::RunAgainAnew),
            Again::Yes => return None,
        };
        let new = if let (Again::Perhaps(new), false) = (old.told.again, is_new) { new } else { next };
        if is_new {
            let may_be = |end| end != End::Succeeded || self.errs(Mutant::RunAgainWhatSucceeded);
            old.end().filter(|end| may_be(*end))?;
        }
        let again = if reply == Reply::Heard { Again::Yes } else { Again::Perhaps(new) };
        let was_wanted = std::mem::replace(&mut old.told.again, again) != Again::No;
        if is_new && self.errs(Mutant::RunAgainInPlace) {
            old.row = Row::Waiting;
        } else if is_new {
            let mut call = Call { row: Row::Waiting, rerun_of: Some(of), ..Call::new(now, old.policy) };
            call.told.stored = Stored::Yes;
            world.calls.push(call);
        }
        if !was_wanted {
            world.budget.again = world.budget.again.checked_sub(1)?;
            return Some(Answer::Done);
        }
        let stored = world.calls.get_mut(new)?;
        if self.errs(Mutant::RunAgainBlindly) && stored.end().is_some() {
            stored.row = Row::Waiting;
        }
        Some(Answer::Known)
    }
}
