//! Everything that can happen next.

use crate::state::Outcome;

/// Whether whoever asked hears the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// It arrives.
    Heard,
    /// It is lost after the commit.
    Lost,
}

/// One step: of the clock, of a client, of a pod, or of fate. What touches the database is one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Time passes.
    Tick(u64),
    /// A client schedules a call; also the repetition after a lost reply.
    Insert(usize, Reply),
    /// A client cancels a call.
    Cancel(usize, Reply),
    /// A client moves a call to another moment.
    Move(usize, u64, Reply),
    /// A client wants a call that is over to be run again; also the repetition after a lost reply.
    RunAgain(usize, Reply),
    /// A pod sends a claim.
    Ask(usize),
    /// The database gives a call to the claim that the pod has sent.
    Claim(usize, usize),
    /// The database passes over a run of a schedule, in a claim.
    Skip(usize),
    /// The reply to the claim arrives.
    Receive(usize),
    /// The reply to the claim is lost.
    LoseClaim(usize),
    /// The pod looks for what its lost claim took.
    Adopt(usize),
    /// A pod starts the handler of a call that it holds.
    Start(usize, usize),
    /// A pod extends a lease.
    Renew(usize, usize, Reply),
    /// A handler ends.
    End(usize, usize, Outcome),
    /// A pod finds that a call which it holds could not start in time.
    Expire(usize, usize),
    /// A handler completes its call in its transaction: the fence is asked there.
    Complete(usize, usize),
    /// The transaction that ends a call is committed.
    Commit(usize),
    /// It is rolled back: its connection is gone.
    RollBack(usize),
    /// The pod loses the connection before it hears of the commit.
    LoseCommit(usize, usize),
    /// The pod asks what became of it.
    Look(usize, usize),
    /// A pod stores the outcome that stands first among its reports.
    Finish(usize, Reply),
    /// A pod gives a call back that it has not started.
    Release(usize, usize),
    /// A pod stops believing in a claim, and stops its handler.
    LetGo(usize, usize),
    /// The successor of a call is stored apart from its claim: only a mutant does that.
    StoreSuccessor(usize),
    /// Any pod finds a claim whose lease has ended.
    Rescue(usize),
    /// The history forgets a call.
    Prune(usize),
    /// A pod is told to stop.
    Stop(usize),
    /// A process vanishes; another takes its place.
    Crash(usize),
    /// A process stands still.
    Pause(usize),
    /// A process goes on.
    Resume(usize),
}

/// What the database answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done, or nothing was asked of the database.
    Done,
    /// The fence did not hold: nothing was changed.
    Refused,
    /// Cancelled before it started.
    Removed,
    /// Under way: flagged, or not to be moved.
    UnderWay,
    /// There is no such call.
    Nothing,
    /// The call waits for its next attempt.
    Again,
    /// The call is over.
    Over,
    /// It was done before.
    Known,
}
