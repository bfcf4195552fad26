//! The bounded state spaces that are checked: each small enough to be explored completely, together all of the
//! protocol.

use crate::mutants::Mutant;
use crate::state::{Budget, Call, Pod, Policy, Row, Schedule, Stored, World};
use crate::step::Protocol;

/// An initial state, and how far to explore.
#[derive(Clone, Debug)]
pub struct Setting {
    /// What it is about.
    pub name: &'static str,
    /// The rules.
    pub protocol: Protocol,
    /// The initial state.
    pub start: World,
    /// Where the clock stops.
    pub horizon: u64,
    /// What must be reached.
    pub sights: Vec<Sight>,
}

impl Setting {
    /// Returns the same with a mistake, and without states to be reached.
    #[must_use]
    pub fn with(mut self, mutant: Mutant) -> Self {
        self.protocol.mutant = Some(mutant);
        self.sights.clear();
        self
    }
}

/// States that a setting must reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// All scheduled calls have ended.
    AllOver,
    /// A pod that was paused holds an outcome that will be refused.
    StaleOutcome,
    /// A handler is still running although another pod has its call.
    Zombie,
    /// A call succeeded after its pod had vanished.
    Rerun,
    /// A call's pods vanished too often.
    Dead,
    /// A call was recorded as interrupted.
    Interrupted,
    /// A call succeeded after it had failed.
    Retried,
    /// A run that was flagged as cancelled ended so.
    CancelledRun,
    /// A claim was found whose reply had been lost.
    Adopted,
    /// A successor succeeded.
    Successor,
    /// A run of a schedule was skipped.
    Skipped,
    /// A call ran at the time to which it had been rescheduled.
    Moved,
    /// A call was released, and succeeded under another claim.
    GivenBack,
    /// A call has been pruned from the history.
    Forgotten,
    /// A call was completed in its handler's transaction, after another one had been rolled back.
    Completed,
    /// A call succeeded that repeats another one.
    RunAgain,
    /// A call missed its start deadline.
    Expired,
}

/// All settings, with that many pods; `more` ticks are added to each.
pub fn all(pods: usize, more: u64) -> Vec<Setting> {
    let settings = [
        crashes(pods),
        zombies(pods),
        once(pods),
        retries(pods),
        clients(pods),
        recurring(pods),
        shutdowns(pods),
        transactions(pods),
        again(pods),
        expiry(pods),
    ];
    settings.into_iter().map(|setting| Setting { horizon: setting.horizon + more, ..setting }).collect()
}

/// Returns the one of that name, with two pods.
pub fn named(name: &str) -> Option<Setting> {
    all(2, 0).into_iter().find(|setting| setting.name == name)
}

const RERUN: Policy = Policy { attempts: 1, reruns: 1 };
const RETRY: Policy = Policy { attempts: 2, reruns: 0 };

fn setting(name: &'static str, pods: usize, horizon: u64, calls: Vec<Call>, budget: Budget) -> Setting {
    let pods = vec![Pod::default(); pods];
    Setting {
        name,
        protocol: Protocol { lease: 1, ahead: 0, backoff: 1, mutant: None },
        start: World { calls, pods, budget, ..World::default() },
        horizon,
        sights: Vec::new(),
    }
}

fn stored(due: u64, policy: Policy) -> Call {
    let mut call = Call { row: Row::Waiting, ..Call::new(due, policy) };
    call.told.stored = Stored::Yes;
    call
}

/// Processes vanish, and their call is rerun, but not for ever.
fn crashes(pods: usize) -> Setting {
    let calls = vec![stored(0, RERUN)];
    let budget = Budget { crashes: 2, losses: 1, ..Budget::default() };
    let sights = vec![Sight::AllOver, Sight::Rerun, Sight::Dead, Sight::Adopted];
    Setting { sights, ..setting("crashes", pods, 6, calls, budget) }
}

/// Processes are paused for longer than their lease, and resume.
fn zombies(pods: usize) -> Setting {
    let calls = vec![stored(1, RERUN)];
    let budget = Budget { pauses: 2, cancels: 1, ..Budget::default() };
    let sights = vec![Sight::AllOver, Sight::StaleOutcome, Sight::Zombie, Sight::Rerun];
    let setting = Setting { sights, ..setting("zombies", pods, 6, calls, budget) };
    Setting { protocol: Protocol { ahead: 1, ..setting.protocol }, ..setting }
}

/// Whatever happens, a call that is not to be rerun starts at most once.
fn once(pods: usize) -> Setting {
    let calls = vec![stored(0, Policy::ONCE)];
    let budget = Budget { pauses: 1, crashes: 1, losses: 1, releases: 1, ..Budget::default() };
    let sights = vec![Sight::AllOver, Sight::Interrupted, Sight::GivenBack];
    Setting { sights, ..setting("once", pods, 5, calls, budget) }
}

/// Handlers fail, and are cancelled meanwhile.
fn retries(pods: usize) -> Setting {
    let calls = vec![stored(0, RETRY)];
    let budget = Budget { failures: 2, cancels: 1, losses: 1, pauses: 1, ..Budget::default() };
    let sights = vec![Sight::AllOver, Sight::Retried, Sight::CancelledRun];
    Setting { sights, ..setting("retries", pods, 6, calls, budget) }
}

/// Clients schedule, reschedule and cancel, and get the result or not.
fn clients(pods: usize) -> Setting {
    let calls = vec![Call::new(1, Policy::ONCE)];
    let budget = Budget { cancels: 1, moves: 1, losses: 2, ..Budget::default() };
    let sights = vec![Sight::AllOver, Sight::Moved, Sight::CancelledRun, Sight::Forgotten];
    let setting = Setting { sights, ..setting("clients", pods, 4, calls, budget) };
    Setting { protocol: Protocol { ahead: 1, ..setting.protocol }, ..setting }
}

/// A schedule whose runs are skipped, released and interrupted.
fn recurring(pods: usize) -> Setting {
    let calls = vec![Call { schedule: Some(0), ..stored(1, Policy::ONCE) }];
    let budget = Budget { releases: 1, ..Budget::default() };
    let sights = vec![Sight::Successor, Sight::Skipped];
    let mut setting = Setting { sights, ..setting("recurring", pods, 3, calls, budget) };
    setting.start.schedules = vec![Schedule { interval: 1, is_active: true }];
    setting
}

/// Pods are shut down: they release what they have not started, and give up what does not end.
fn shutdowns(pods: usize) -> Setting {
    let calls = vec![stored(0, RERUN)];
    let budget = Budget { stops: 1, pauses: 1, losses: 1, ..Budget::default() };
    let sights = vec![Sight::AllOver, Sight::GivenBack, Sight::Rerun];
    Setting { sights, ..setting("shutdowns", pods, 6, calls, budget) }
}

/// Handlers complete their calls in their own transactions, and do not always get the reply.
fn transactions(pods: usize) -> Setting {
    let calls = vec![stored(0, RERUN)];
    let budget =
        Budget { transactions: 2, crashes: 1, losses: 1, pauses: 1, failures: 1, ..Budget::default() };
    let sights = vec![Sight::AllOver, Sight::Completed, Sight::Rerun];
    Setting { sights, ..setting("transactions", pods, 4, calls, budget) }
}

/// Failed, interrupted or cancelled calls are run again, once for each request.
fn again(pods: usize) -> Setting {
    let calls = vec![stored(0, Policy::ONCE)];
    let budget = Budget { again: 1, failures: 1, crashes: 1, losses: 1, cancels: 1, ..Budget::default() };
    let sights = vec![Sight::AllOver, Sight::RunAgain];
    Setting { sights, ..setting("again", pods, 2, calls, budget) }
}

/// A call with a start deadline, which is rerun after its pod vanished.
fn expiry(pods: usize) -> Setting {
    let calls = vec![Call { expires: Some(2), ..stored(1, RERUN) }];
    let budget = Budget { pauses: 1, crashes: 1, moves: 1, ..Budget::default() };
    let sights = vec![Sight::AllOver, Sight::Expired, Sight::Rerun, Sight::Moved];
    let setting = Setting { sights, ..setting("expiry", pods, 4, calls, budget) };
    Setting { protocol: Protocol { ahead: 1, ..setting.protocol }, ..setting }
}
