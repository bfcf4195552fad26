//! A bounded state space, as the checker explores it.

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::action::{Action, Reply};
use crate::invariants::always;
use crate::settings::{Setting, Sight};
use crate::state::{Again, Call, Completion, Held, Outcome, Pod, PodId, Row, World};

/// The result of exploring a setting.
#[derive(Clone, Debug)]
pub struct Walk {
    /// The number of distinct states.
    pub worlds: usize,
    /// The length of the longest shortest path to one.
    pub depth: usize,
    /// The violated invariants, each with the shortest path to a violation.
    pub broken: Vec<(&'static str, Vec<Action>)>,
    /// Expected states that were not reached.
    pub unseen: Vec<&'static str>,
}

/// Explores every state of a setting.
pub fn walk(setting: Setting, threads: usize) -> Walk {
    let checker = setting.checker().threads(threads).spawn_bfs().join();
    let (mut broken, mut unseen) = (Vec::new(), Vec::new());
    for property in checker.model().properties() {
        let found = checker.discovery(property.name);
        match (property.expectation.discovery_is_failure(), found) {
            (true, Some(path)) => broken.push((property.name, path.into_actions())),
            (false, None) => unseen.push(property.name),
            _ => {}
        }
    }
    Walk { worlds: checker.unique_state_count(), depth: checker.max_depth(), broken, unseen }
}

/// Finds the shortest path that violates an invariant.
pub fn break_it(setting: Setting, invariant: &'static str) -> Option<Vec<Action>> {
    let found = HasDiscoveries::AnyOf(BTreeSet::from([invariant]));
    let checker = setting.checker().finish_when(found).spawn_bfs().join();
    checker.discovery(invariant).map(stateright::Path::into_actions)
}

impl Model for Setting {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.start.clone()]
    }

    /// Returns all actions that can be tried; `Protocol::step` rejects those that are impossible.
    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.push(Action::Tick(1));
        for (id, call) in (0..).zip(&world.calls) {
            of_call(self, world, id, call, actions);
        }
        for pod in 0..world.pods.len() {
            of_pod(world, self.protocol.ahead, pod, actions);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        self.protocol.step(world, &action).map(|(after, _)| plain(after))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let sights = self.sights.iter().map(|sight| sight.property());
        always().into_iter().chain(sights).collect()
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.now <= self.horizon
    }
}

/// Returns the canonical form of a state: pods in order, because they differ in their places only; and of finished
/// calls only what can still be requested.
fn plain(mut world: World) -> World {
    let mut order: Vec<usize> = (0..world.pods.len()).collect();
    order.sort_by(|one, other| world.pods.get(*one).cmp(&world.pods.get(*other)));
    let is_moved = order.iter().enumerate().any(|(to, from)| to != *from);
    for call in &mut world.calls {
        if let Row::Over(_, last) = &mut call.row {
            *last = last.filter(|(by, number)| is_awaited(&world.pods, *by, *number));
        }
        call.past.retain(|(by, number, _)| is_awaited(&world.pods, *by, *number));
        let by = match &mut call.row {
            Row::Claimed(claim) => Some(&mut claim.pod),
            Row::Over(_, Some((by, _))) => Some(by),
            _ => None,
        };
        let completing = call.completing.as_mut().map(|completing| &mut completing.pod);
        if is_moved {
            for by in by.into_iter().chain(completing).chain(call.past.iter_mut().map(|(by, ..)| by)) {
                by.place = order.iter().position(|from| *from == by.place).unwrap_or(by.place);
            }
        }
    }
    if is_moved {
        world.pods.sort();
    }
    world
}

/// Returns whether that pod has an outcome of that claim to store, or is looking it up.
fn is_awaited(pods: &[Pod], by: PodId, number: u64) -> bool {
    let pod = pods.get(by.place).filter(|pod| pod.life == by.life);
    pod.is_some_and(|pod| {
        let is_asked_for = |held: &Held| held.number == number && held.completion != Completion::No;
        pod.reports.iter().any(|report| report.number == number) || pod.held.iter().any(is_asked_for)
    })
}

fn of_call(setting: &Setting, world: &World, id: usize, call: &Call, actions: &mut Vec<Action>) {
    let row = call.row;
    let is_scheduled = row != Row::Absent;
    for reply in [Reply::Heard, Reply::Lost] {
        actions.push(Action::Insert(id, reply));
        if is_scheduled {
            actions.push(Action::Cancel(id, reply));
            actions.push(Action::Move(id, world.now + 2, reply));
        }
        if world.budget.again > 0 || matches!(call.told.again, Again::Perhaps(_)) {
            actions.push(Action::RunAgain(id, reply));
        }
    }
    if call.completing.is_some() {
        actions.extend([Action::Commit(id), Action::RollBack(id)]);
    }
    match row {
        Row::Waiting => actions.push(Action::Skip(id)),
        Row::Claimed(_) => actions.extend([Action::Rescue(id), Action::StoreSuccessor(id)]),
        Row::Over(..) if setting.sights.contains(&Sight::Forgotten) => actions.push(Action::Prune(id)),
        Row::Absent | Row::Over(..) | Row::Forgotten => {}
    }
}

fn of_pod(world: &World, ahead: u64, place: usize, actions: &mut Vec<Action>) {
    let Some(pod) = world.pods.get(place) else { return };
    actions.extend([Action::Crash(place), Action::Stop(place)]);
    actions.push(if pod.is_paused { Action::Resume(place) } else { Action::Pause(place) });
    match &pod.asked {
        None if is_claimable(world, ahead) => actions.push(Action::Ask(place)),
        None => {}
        Some(asked) if asked.is_lost => actions.push(Action::Adopt(place)),
        Some(_) => {
            actions.extend((0..world.calls.len()).map(|call| Action::Claim(place, call)));
            actions.extend([Action::Receive(place), Action::LoseClaim(place)]);
        }
    }
    for held in &pod.held {
        let call = held.call;
        actions.extend([Action::Renew(place, call, Reply::Heard), Action::LetGo(place, call)]);
        if held.is_running {
            let ends = [Outcome::Succeeded, Outcome::Failed, Outcome::GivenUp];
            actions.extend(ends.map(|outcome| Action::End(place, call, outcome)));
            actions.push(match held.completion {
                Completion::No => Action::Complete(place, call),
                Completion::Sent => Action::LoseCommit(place, call),
                Completion::Unknown => Action::Look(place, call),
            });
        } else {
            let unstarted =
                [Action::Start(place, call), Action::Release(place, call), Action::Expire(place, call)];
            actions.extend(unstarted);
        }
    }
    if !pod.reports.is_empty() {
        actions.extend([Action::Finish(place, Reply::Heard), Action::Finish(place, Reply::Lost)]);
    }
}

fn is_claimable(world: &World, ahead: u64) -> bool {
    world.calls.iter().any(|call| call.row == Row::Waiting && call.due <= world.now + ahead)
}
