//! Translation of each line of a trace into the model's actions.

use super::Replay;
use crate::action::{Action, Answer, Reply};
use crate::line::{Fate, Found, Promise, Successor, What};
use crate::state::{Call, Held, Outcome, Pod, Policy, Report, Row, Schedule, Stored};

impl Replay {
    pub(super) fn tell(&mut self, what: &What) -> Result<(), String> {
        match what {
            What::Stored { call, due, attempts, reruns } => {
                let policy = Policy { attempts: *attempts, reruns: *reruns };
                self.store(call, &Call::new(*due, policy)).map(drop)
            }
            What::Limited { call, expires } => {
                let id = self.call(call)?;
                self.row(id)?.expires = Some(*expires);
                Ok(())
            }
            What::RanAgain { of, call, due } => self.run_again(of, call, *due),
            What::Declared { schedule, call, due, interval, reruns } => {
                let policy = Policy { attempts: 1, reruns: *reruns };
                self.declare(schedule, *interval, call, &Call::new(*due, policy))
            }
            What::Ended { schedule } => self.end(schedule),
            What::Told { call, what } => self.promise(call, *what),
            What::Cancelled { call, found, successor } => self.cancel(call, *found, successor.as_ref()),
            What::Moved { call, to, found } => {
                let id = self.call(call)?;
                let answer = self.step(&Action::Move(id, *to, Reply::Lost))?;
                agree(answer, found.of_move())
            }
            What::Claimed { pod, call, number, attempt, sent, successor } => {
                self.claim(pod, call, *number, *sent)?;
                self.succeed(successor.as_ref())?;
                let id = self.call(call)?;
                let counted = self.row(id)?.attempt;
                if counted == *attempt { Ok(()) } else { Err(format!("this is attempt {counted}")) }
            }
            What::Skipped { call, successor } => {
                let id = self.call(call)?;
                self.step(&Action::Skip(id))?;
                self.succeed(successor.as_ref())
            }
            What::Started { pod, call } => {
                let (pod, id) = (self.pod(pod), self.call(call)?);
                self.step(&Action::Start(pod, id)).map(drop)
            }
            What::Renewed { pod, call, number, held } => self.renew(pod, call, *number, *held),
            What::Heard { pod, call, number } => self.hear(pod, call, *number),
            What::Finished { pod, call, number, outcome, fate } => {
                self.finish(pod, call, *number, *outcome, *fate)
            }
            What::Released { pod, call, number, fate } => self.release(pod, call, *number, *fate),
            What::Rescued { call, fate } => {
                let id = self.call(call)?;
                let answer = self.step(&Action::Rescue(id))?;
                self.settle(id, answer, *fate)
            }
            What::Pruned { call } => {
                let id = self.call(call)?;
                // A client that has not received the reply has given up by now: the history is kept for longer.
                self.row(id)?.told.stored = Stored::Yes;
                self.step(&Action::Prune(id)).map(drop)
            }
            What::Stopped { pod } => {
                let pod = self.pod(pod);
                self.step(&Action::Stop(pod)).map(drop)
            }
            // What it sent before may arrive later still: to the database it is as if it were only paused.
            What::Vanished { .. } => Ok(()),
        }
    }

    fn store(&mut self, name: &str, call: &Call) -> Result<usize, String> {
        if self.calls.contains_key(name) {
            return Err("it is stored already".to_owned());
        }
        let id = self.world().calls.len();
        self.calls.insert(name.to_owned(), id);
        self.world().calls.push(Call { schedule: None, ..call.clone() });
        self.step(&Action::Insert(id, Reply::Lost))?;
        self.row(id)?.schedule = call.schedule;
        Ok(id)
    }

    fn declare(&mut self, schedule: &str, interval: u64, name: &str, call: &Call) -> Result<(), String> {
        let number = self.world().schedules.len();
        self.world().schedules.push(Schedule { interval, is_active: true });
        self.schedules.insert(schedule.to_owned(), number);
        self.store(name, &Call { schedule: Some(number), ..call.clone() }).map(drop)
    }

    fn run_again(&mut self, of: &str, name: &str, due: u64) -> Result<(), String> {
        let (of, new) = (self.call(of)?, self.world().calls.len());
        if self.calls.contains_key(name) {
            return Err("it is stored already".to_owned());
        }
        self.calls.insert(name.to_owned(), new);
        agree(self.step(&Action::RunAgain(of, Reply::Lost))?, Answer::Done)?;
        let stored = self.row(new)?.due;
        if stored == due { Ok(()) } else { Err(format!("it should be due at {stored}")) }
    }

    fn end(&mut self, schedule: &str) -> Result<(), String> {
        let number = *self.schedules.get(schedule).ok_or("nobody has declared it")?;
        let schedule = self.world().schedules.get_mut(number).ok_or("nobody has declared it")?;
        schedule.is_active = false;
        Ok(())
    }

    fn promise(&mut self, call: &str, promise: Promise) -> Result<(), String> {
        let id = self.call(call)?;
        let told = &mut self.row(id)?.told;
        match promise {
            Promise::Stored => told.stored = Stored::Yes,
            Promise::Cancelled => told.cancelled = true,
            Promise::UnderWay => told.flagged = true,
            Promise::Moved(to) => told.due = Some(to),
        }
        Ok(())
    }

    fn cancel(&mut self, call: &str, found: Found, successor: Option<&Successor>) -> Result<(), String> {
        let id = self.call(call)?;
        let answer = self.step(&Action::Cancel(id, Reply::Lost))?;
        agree(answer, found.of_cancellation())?;
        self.succeed(successor)
    }

    /// Sends the claim, commits it and receives the reply. A claim takes several calls under one number, one line each.
    fn claim(&mut self, pod: &str, call: &str, number: u64, sent: u64) -> Result<(), String> {
        let (pod, id) = (self.pod(pod), self.call(call)?);
        let asking = self.world().pods.get_mut(pod).ok_or("no such pod")?;
        // A claim whose connection was lost may commit after later ones of its pod.
        let latest = asking.last_claim.max(number);
        asking.last_claim = number.saturating_sub(1);
        self.step(&Action::Ask(pod))?;
        if let Some(asked) = self.world().pods.get_mut(pod).and_then(|pod| pod.asked.as_mut()) {
            asked.sent = sent;
        }
        self.step(&Action::Claim(pod, id))?;
        self.step(&Action::Receive(pod))?;
        self.world().pods.get_mut(pod).ok_or("no such pod")?.last_claim = latest;
        Ok(())
    }

    /// Checks that the model has stored the same run, or none.
    fn succeed(&mut self, successor: Option<&Successor>) -> Result<(), String> {
        let known = self.calls.len();
        let stored = self.world().calls.get(known).map(|call| call.due);
        if stored != successor.map(|successor| successor.due) {
            return Err(format!("the next run should be due at {stored:?}"));
        }
        if let Some(successor) = successor {
            self.calls.insert(successor.call.clone(), known);
        }
        Ok(())
    }

    fn renew(&mut self, pod: &str, call: &str, number: u64, held: bool) -> Result<(), String> {
        let (pod, id) = (self.pod(pod), self.call(call)?);
        let knew = self.world().pods.get(pod).and_then(|pod| pod.held(id)).copied();
        // It may hold the call again by a claim that committed late, before it has noticed the end of the one that it
        // renews.
        if knew.is_some_and(|held| held.number != number) || !self.believes(pod, id, number) {
            return self.refuse(pod, id, number, held);
        }
        let answer = self.step(&Action::Renew(pod, id, Reply::Heard))?;
        // It notices a cancellation when the reply arrives: until then it may start.
        if let (Some(knew), Some(held)) = (knew, self.held(pod, id)) {
            held.is_cancelled = knew.is_cancelled;
        }
        agree(answer, if held { Answer::Done } else { Answer::Refused })
    }

    fn hear(&mut self, pod: &str, call: &str, number: u64) -> Result<(), String> {
        let (pod, id) = (self.pod(pod), self.call(call)?);
        if let Some(held) = self.held(pod, id).filter(|held| held.number == number) {
            held.is_cancelled = true;
        }
        Ok(())
    }

    fn held(&mut self, pod: usize, id: usize) -> Option<&mut Held> {
        self.world().pods.get_mut(pod)?.held.iter_mut().find(|held| held.call == id)
    }

    fn finish(
        &mut self,
        pod: &str,
        call: &str,
        number: u64,
        outcome: Outcome,
        fate: Fate,
    ) -> Result<(), String> {
        let (pod, id) = (self.pod(pod), self.call(call)?);
        let runs = |pod: &Pod| pod.held(id).is_some_and(|held| held.number == number && held.is_running);
        if self.world().pods.get(pod).is_some_and(runs) {
            if outcome == Outcome::GivenUp {
                self.world().pods.get_mut(pod).ok_or("no such pod")?.is_stopping = true;
            }
            self.step(&Action::End(pod, id, outcome))?;
        }
        let waits = |pod: &Pod| pod.held(id).is_some_and(|held| held.number == number && !held.is_running);
        if outcome == Outcome::Expired && self.world().pods.get(pod).is_some_and(waits) {
            self.step(&Action::Expire(pod, id))?;
        }
        let reports = &mut self.world().pods.get_mut(pod).ok_or("no such pod")?.reports;
        let is_it = |report: &Report| report.call == id && report.number == number;
        let Some(at) = reports.iter().position(is_it) else {
            let of = self.world().pod_id(pod).map(|by| (by, number));
            let ended_so = |row: Row| matches!(row, Row::Over(_, by) if by.is_some() && by == of);
            // A rescue has recorded the same result, and the call may have been run again since: nothing changes.
            let is_known =
                fate == Fate::Known && (ended_so(self.row(id)?.row) || outcome == Outcome::GivenUp);
            return self.refuse(pod, id, number, fate != Fate::Refused && !is_known);
        };
        reports.swap(0, at);
        let answer = self.step(&Action::Finish(pod, Reply::Lost))?;
        self.settle(id, answer, fate)
    }

    fn release(&mut self, pod: &str, call: &str, number: u64, fate: Fate) -> Result<(), String> {
        let (pod, id) = (self.pod(pod), self.call(call)?);
        if !self.believes(pod, id, number) {
            return self.refuse(pod, id, number, fate != Fate::Refused);
        }
        let answer = self.step(&Action::Release(pod, id))?;
        self.settle(id, answer, fate)
    }

    /// Checks that the model and the real run have the same result for a claimed call.
    fn settle(&mut self, id: usize, answer: Answer, fate: Fate) -> Result<(), String> {
        let row = self.row(id)?;
        match (answer, fate) {
            // Whether a repetition is reported as known or refused changes nothing.
            (Answer::Refused, Fate::Refused) | (Answer::Known, Fate::Known | Fate::Refused) => Ok(()),
            (Answer::Over, Fate::Over(end)) if row.end() == Some(end) => Ok(()),
            (Answer::Again, Fate::Again(due)) => {
                row.due = due;
                Ok(())
            }
            _ => Err(format!("it should be {answer:?}, and {:?}", row.row)),
        }
    }

    /// Returns a claim that the pod can no longer believe in: whatever it requests must be refused.
    fn refuse(&mut self, pod: usize, id: usize, number: u64, was_granted: bool) -> Result<(), String> {
        let by = self.world().pod_id(pod);
        let is_held =
            self.row(id)?.claim().is_some_and(|claim| Some(claim.pod) == by && claim.number == number);
        if was_granted || is_held {
            return Err(format!("the pod holds no such claim: {:?}", self.row(id)?.row));
        }
        Ok(())
    }

    fn believes(&mut self, pod: usize, id: usize, number: u64) -> bool {
        self.world().pods.get(pod).is_some_and(|pod| {
            let held = pod.held(id).is_some_and(|held| held.number == number);
            held || pod.reports.iter().any(|report| report.call == id && report.number == number)
        })
    }

    fn call(&self, name: &str) -> Result<usize, String> {
        self.calls.get(name).copied().ok_or_else(|| format!("{name} was never stored"))
    }

    fn row(&mut self, id: usize) -> Result<&mut Call, String> {
        self.world().calls.get_mut(id).ok_or_else(|| "there is no such call".to_owned())
    }

    fn pod(&mut self, name: &str) -> usize {
        if let Some(pod) = self.pods.get(name) {
            return *pod;
        }
        let pod = self.world().pods.len();
        self.world().pods.push(Pod::default());
        self.pods.insert(name.to_owned(), pod);
        pod
    }
}

impl Found {
    const fn of_cancellation(self) -> Answer {
        match self {
            Self::Waiting => Answer::Removed,
            Self::Claimed => Answer::UnderWay,
            Self::Nothing => Answer::Nothing,
        }
    }

    const fn of_move(self) -> Answer {
        match self {
            Self::Waiting => Answer::Done,
            Self::Claimed => Answer::UnderWay,
            Self::Nothing => Answer::Nothing,
        }
    }
}

fn agree(answer: Answer, told: Answer) -> Result<(), String> {
    if answer == told { Ok(()) } else { Err(format!("it should be {answer:?}, not {told:?}")) }
}
