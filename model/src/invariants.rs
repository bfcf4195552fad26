//! Properties that must hold in every state, and some that must hold in at least one: without the latter a model could
//! be right by doing nothing.

use stateright::Property;

use crate::breach::Breach;
use crate::settings::{Setting, Sight};
use crate::state::{Again, Call, End, Row, Stored, World};

/// All invariants.
pub fn always() -> Vec<Property<Setting>> {
    vec![
        Property::always("I1 nothing starts early", |_, world: &World| !world.breaches.has(Breach::Early)),
        Property::always("I2 a call ends once", |_, world: &World| {
            world.calls.iter().all(|call| call.ends <= 1)
        }),
        Property::always("I3 nothing starts after its end", |_, world: &World| {
            !world.breaches.has(Breach::StartAfterEnd)
        }),
        Property::always("I4 no two believe to run a call", |_, world: &World| believers(world) <= 1),
        Property::always("I5 what is cancelled does not start", |_, world: &World| {
            !world.breaches.has(Breach::StartAfterCancel) && !world.breaches.has(Breach::AttemptAfterCancel)
        }),
        Property::always("I6 nothing is lost or stuck", is_nothing_lost_or_stuck),
        Property::always("I7 a stale claim changes nothing", |_, world: &World| {
            !world.breaches.has(Breach::StaleWrite)
        }),
        Property::always("I8 no more starts than the policy allows", |_, world: &World| {
            world
                .calls
                .iter()
                .all(|call| call.starts <= call.policy.attempts + call.policy.reruns + call.handed_back)
        }),
        Property::always("I9 a schedule has one next run", |_, world: &World| {
            let active = (0..).zip(&world.schedules).filter(|(_, schedule)| schedule.is_active);
            active.into_iter().all(|(number, _)| has_one_next_run(world, number))
        }),
        Property::always("I10 a new moment is kept", |_, world: &World| {
            !world.breaches.has(Breach::BeforeNewMoment)
        }),
        Property::always("I11 a handler's writes and the end of its call are one", |_, world: &World| {
            !world.breaches.has(Breach::FalseRollback) && world.calls.iter().all(is_together)
        }),
        Property::always("I12 a call is run again as often as it was wanted", |_, world: &World| {
            (0..).zip(&world.calls).all(|(id, call)| is_run_again_as_wanted(world, id, call))
        }),
        Property::always("I13 what has expired does not start", |_, world: &World| {
            let has_started = |call: &Call| call.end() == Some(End::Expired) && call.starts > 0;
            !world.breaches.has(Breach::StartAfterExpiry) && !world.calls.iter().any(has_started)
        }),
    ]
}

impl Sight {
    /// Returns the property that such a state exists.
    pub fn property(self) -> Property<Setting> {
        match self {
            Self::AllOver => Property::sometimes("everything is over", |_, world: &World| is_all_over(world)),
            Self::StaleOutcome => {
                Property::sometimes("a stale outcome", |_, world: &World| has_stale_outcome(world))
            }
            Self::Zombie => Property::sometimes("a zombie", |_, world: &World| has_zombie(world)),
            Self::Rerun => Property::sometimes("a rerun", |_, world: &World| {
                any(world, |call| call.end() == Some(End::Succeeded) && call.interruptions > 0)
            }),
            Self::Dead => Property::sometimes("a call that kills its pods", |_, world: &World| {
                any(world, |call| call.end() == Some(End::Failed) && call.interruptions > call.policy.reruns)
            }),
            Self::Interrupted => Property::sometimes("an interrupted call", |_, world: &World| {
                any(world, |call| call.end() == Some(End::Interrupted))
            }),
            Self::Retried => Property::sometimes("a retry", |_, world: &World| {
                any(world, |call| {
                    call.end() == Some(End::Succeeded) && call.attempt > 1 && call.interruptions == 0
                })
            }),
            Self::CancelledRun => Property::sometimes("a cancelled run", |_, world: &World| {
                any(world, |call| call.end() == Some(End::Cancelled) && call.starts > 0)
            }),
            Self::Adopted => Property::sometimes("a lost claim that took something", |_, world: &World| {
                has_lost_claim(world)
            }),
            Self::Successor => Property::sometimes("a successor that ran", |_, world: &World| {
                world
                    .calls
                    .iter()
                    .skip(1)
                    .any(|call| call.schedule.is_some() && call.end() == Some(End::Succeeded))
            }),
            Self::Skipped => Property::sometimes("a skipped run", |_, world: &World| {
                any(world, |call| call.end() == Some(End::Skipped))
            }),
            Self::Moved => Property::sometimes("a call that was moved and ran", |_, world: &World| {
                any(world, |call| call.told.due.is_some() && call.end() == Some(End::Succeeded))
            }),
            Self::GivenBack => {
                Property::sometimes("a call that was given back and ran", |_, world: &World| {
                    any(world, |call| call.end() == Some(End::Succeeded) && call.claims > call.attempt)
                })
            }
            Self::Forgotten => Property::sometimes("a call that the history forgot", |_, world: &World| {
                any(world, |call| call.row == Row::Forgotten)
            }),
            Self::Completed => {
                Property::sometimes("a second transaction that ended it", |_, world: &World| {
                    any(world, |call| call.writes > 0) && world.budget.transactions == 0
                })
            }
            Self::RunAgain => Property::sometimes("a call that was run again", |_, world: &World| {
                any(world, |call| call.rerun_of.is_some() && call.end() == Some(End::Succeeded))
            }),
            Self::Expired => Property::sometimes("a call that expired", |_, world: &World| {
                any(world, |call| call.end() == Some(End::Expired))
            }),
        }
    }
}

/// Returns the maximum number of handlers of one call whose pods may consider their leases valid.
fn believers(world: &World) -> usize {
    let running = |call: usize| {
        let held = world.pods.iter().flat_map(|pod| &pod.held);
        held.filter(|held| held.call == call && held.is_running && held.deadline >= world.now).count()
    };
    (0..world.calls.len()).map(running).max().unwrap_or(0)
}

/// Checks that a call whose client knows it to be stored is there, and that a claimed call can be rescued as soon as
/// its lease has ended, which is no later than one lease from now.
fn is_nothing_lost_or_stuck(setting: &Setting, world: &World) -> bool {
    (0..).zip(&world.calls).all(|(id, call)| match call.row {
        Row::Absent => call.told.stored != Stored::Yes,
        Row::Claimed(claim) => {
            let rescue = crate::action::Action::Rescue(id);
            // A transaction that holds the row ends by itself.
            let is_free = call.completing.is_none();
            claim.lease_until <= world.now + setting.protocol.lease
                && (claim.lease_until >= world.now
                    || !is_free
                    || setting.protocol.step(world, &rescue).is_some())
        }
        Row::Waiting | Row::Over(..) | Row::Forgotten => true,
    })
}

/// Checks that a handler's writes in its transaction are there once, and only if that transaction ended the call.
fn is_together(call: &Call) -> bool {
    let is_done = matches!(call.row, Row::Over(End::Succeeded, _) | Row::Forgotten);
    call.writes == 0 || (call.writes == 1 && is_done)
}

fn is_run_again_as_wanted(world: &World, id: usize, call: &Call) -> bool {
    let times = world.calls.iter().filter(|other| other.rerun_of == Some(id)).count();
    let is_over = call.end().is_some_and(|end| end != End::Succeeded) || call.row == Row::Forgotten;
    times == 0 || (times == 1 && is_over && call.told.again != Again::No)
}

fn has_one_next_run(world: &World, schedule: usize) -> bool {
    let runs = || world.calls.iter().filter(move |call| call.schedule == Some(schedule));
    let next = runs().filter(|call| !call.has_successor).count();
    let mut moments: Vec<_> = runs().map(|call| call.due).collect();
    moments.sort_unstable();
    moments.dedup();
    next == 1 && moments.len() == runs().count() && runs().all(|call| call.has_successor || call.is_live())
}

fn is_all_over(world: &World) -> bool {
    world
        .calls
        .iter()
        .all(|call| call.schedule.is_some() || matches!(call.row, Row::Over(..) | Row::Forgotten))
}

fn has_stale_outcome(world: &World) -> bool {
    let reports = world.pods.iter().flat_map(|pod| &pod.reports);
    reports.into_iter().any(|report| {
        world.calls.get(report.call).is_some_and(|call| call.claims != report.claim && call.is_live())
    })
}

fn has_zombie(world: &World) -> bool {
    let held = world.pods.iter().flat_map(|pod| &pod.held);
    held.into_iter().any(|held| {
        held.is_running
            && world
                .calls
                .get(held.call)
                .is_some_and(|call| call.claims != held.claim && call.claim().is_some())
    })
}

fn has_lost_claim(world: &World) -> bool {
    (0..).zip(&world.pods).any(|(place, pod)| {
        let Some(asked) = pod.asked.as_ref().filter(|asked| asked.is_lost) else { return false };
        let by = world.pod_id(place);
        any(world, |call| {
            call.claim().is_some_and(|claim| Some(claim.pod) == by && claim.number == asked.number)
        })
    })
}

fn any(world: &World, is_it: impl Fn(&Call) -> bool) -> bool {
    world.calls.iter().any(is_it)
}
