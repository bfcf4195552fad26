//! The effects of each action: the protocol itself. `None` means that the action is impossible now.

mod client;
mod database;
mod pod;
mod transaction;

use crate::action::{Action, Answer, Reply};
use crate::mutants::Mutant;
use crate::state::World;

/// The rules that hold everywhere, and the planted mistake, if any.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// How long a lease lasts.
    pub lease: u64,
    /// How long before its due time a call may be claimed.
    pub ahead: u64,
    /// How long a failed attempt waits for the next.
    pub backoff: u64,
    /// The mistake.
    pub mutant: Option<Mutant>,
}

impl Protocol {
    /// Performs an action, and returns the database's result.
    pub fn step(&self, before: &World, action: &Action) -> Option<(World, Answer)> {
        let mut world = before.clone();
        let answer = self.act(&mut world, action)?;
        Some((world, answer))
    }

    fn act(&self, world: &mut World, action: &Action) -> Option<Answer> {
        match *action {
            Action::Tick(ticks) => tick(world, ticks),
            Action::Insert(call, reply) => self.insert(world, call, reply),
            Action::Cancel(call, reply) => self.cancel(world, call, reply),
            Action::Move(call, to, reply) => self.move_to(world, call, to, reply),
            Action::RunAgain(call, reply) => self.run_again(world, call, reply),
            Action::Ask(pod) => self.ask(world, pod),
            Action::Claim(pod, call) => self.claim(world, pod, call),
            Action::Skip(call) => database::skip(world, call),
            Action::Receive(pod) => self.receive(world, pod),
            Action::LoseClaim(pod) => pod::lose_claim(world, pod),
            Action::Adopt(pod) => self.adopt(world, pod),
            Action::Start(pod, call) => self.start(world, pod, call),
            Action::Renew(pod, call, reply) => self.renew(world, pod, call, reply),
            Action::End(pod, call, outcome) => pod::end(world, pod, call, outcome),
            Action::Expire(pod, call) => self.expire(world, pod, call),
            Action::Complete(pod, call) => self.complete(world, pod, call),
            Action::Commit(call) => transaction::commit(world, call),
            Action::RollBack(call) => transaction::roll_back(world, call),
            Action::LoseCommit(pod, call) => transaction::lose_commit(world, pod, call),
            Action::Look(pod, call) => self.look(world, pod, call),
            Action::Finish(pod, reply) => self.finish(world, pod, reply),
            Action::Release(pod, call) => self.release(world, pod, call),
            Action::LetGo(pod, call) => pod::let_go(world, pod, call),
            Action::StoreSuccessor(call) => self.store_successor_apart(world, call),
            Action::Rescue(call) => self.rescue(world, call),
            Action::Prune(call) => database::prune(world, call),
            Action::Stop(pod) => pod::stop(world, pod),
            Action::Crash(pod) => pod::crash(world, pod),
            Action::Pause(pod) => pod::pause(world, pod),
            Action::Resume(pod) => pod::resume(world, pod),
        }
    }

    /// Returns whether this mistake is planted.
    fn errs(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

fn tick(world: &mut World, ticks: u64) -> Option<Answer> {
    world.now = world.now.checked_add(ticks)?;
    Some(Answer::Done)
}

/// Takes a lost reply from the budget.
fn spend_reply(world: &mut World, reply: Reply) -> Option<()> {
    if reply == Reply::Lost {
        world.budget.losses = world.budget.losses.checked_sub(1)?;
    }
    Some(())
}
