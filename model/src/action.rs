//! All actions that can happen next.

use crate::state::Outcome;

/// Whether the client or pod receives the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// It arrives.
    Heard,
    /// It is lost after the commit.
    Lost,
}

/// One step: of the clock, a client, a pod, or the environment. Each step that touches the database is one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Time passes.
    Tick(u64),
    /// A client schedules a call, or repeats that after a lost reply.
    Insert(usize, Reply),
    /// A client cancels a call.
    Cancel(usize, Reply),
    /// A client reschedules a call.
    Move(usize, u64, Reply),
    /// A client requests a rerun of a finished call, or repeats that after a lost reply.
    RunAgain(usize, Reply),
    /// A pod sends a claim.
    Ask(usize),
    /// The database gives a call to the claim that the pod has sent.
    Claim(usize, usize),
    /// The database skips a run of a schedule, in a claim.
    Skip(usize),
    /// The reply to the claim arrives.
    Receive(usize),
    /// The reply to the claim is lost.
    LoseClaim(usize),
    /// The pod looks up what its lost claim took.
    Adopt(usize),
    /// A pod starts the handler of a call that it holds.
    Start(usize, usize),
    /// A pod extends a lease.
    Renew(usize, usize, Reply),
    /// A handler ends.
    End(usize, usize, Outcome),
    /// A pod finds that a call which it holds missed its start deadline.
    Expire(usize, usize),
    /// A handler completes its call in its transaction: the fence is checked there.
    Complete(usize, usize),
    /// The transaction that ends a call is committed.
    Commit(usize),
    /// It is rolled back: its connection is gone.
    RollBack(usize),
    /// The pod loses the connection before it receives the reply to the commit.
    LoseCommit(usize, usize),
    /// The pod looks up the outcome of the commit.
    Look(usize, usize),
    /// A pod stores the first of its pending outcomes.
    Finish(usize, Reply),
    /// A pod releases a call that it has not started.
    Release(usize, usize),
    /// A pod gives up a claim, and stops its handler.
    LetGo(usize, usize),
    /// The successor of a call is stored separately from its claim: only a mutant does that.
    StoreSuccessor(usize),
    /// Any pod finds a claim whose lease has ended.
    Rescue(usize),
    /// A call is pruned from the history.
    Prune(usize),
    /// A pod is shut down.
    Stop(usize),
    /// A process vanishes; another takes its place.
    Crash(usize),
    /// A process is paused.
    Pause(usize),
    /// A process resumes.
    Resume(usize),
}

/// The result of an action in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done, or the database was not involved.
    Done,
    /// The fence did not hold: nothing was changed.
    Refused,
    /// Cancelled before it started.
    Removed,
    /// Running: flagged, or cannot be rescheduled.
    UnderWay,
    /// There is no such call.
    Nothing,
    /// The call waits for its next attempt.
    Again,
    /// The call has ended.
    Over,
    /// It was done before.
    Known,
}
