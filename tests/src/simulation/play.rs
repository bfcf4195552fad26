//! Plays a script: pods, clients and faults; in the end waits until everything is over.

use std::sync::Arc;
use std::time::Duration;

use futurecall_model::line::{Promise, What};
use futurecall_runtime::store::prelude::*;
use futurecall_runtime::store::{CallFilter, CallState, MemoryStore, NewSchedule, Now, Retention};
use futurecall_runtime::testing::Simulation;
use futurecall_runtime::{CallId, Pod, ScheduleError};

use super::faulty::Faulty;
use super::handlers::{SimTimedCallsExt as _, TICK, TIMED};
use super::pods::{Place, RETAINED, Running};
use super::script::{Deed, Whim};
use super::world::{World, of};
use crate::make::{every, schedule};

/// The state of one simulation.
pub(crate) struct Play<'s> {
    world: Arc<World>,
    store: MemoryStore,
    simulation: &'s Simulation,
    places: Vec<Place>,
    /// Vanished ones are kept until the end: nothing of them may run, not even their destructors.
    vanished: Vec<Running>,
}

impl<'s> Play<'s> {
    pub(crate) fn new(world: &Arc<World>, store: &MemoryStore, simulation: &'s Simulation) -> Self {
        let places = (0..world.settings.pods).map(Place::new).collect();
        Self { world: Arc::clone(world), store: store.clone(), simulation, places, vanished: Vec::new() }
    }

    /// Plays everything, from the first pod to the last.
    pub(crate) async fn perform(&mut self, script: Vec<(Duration, Deed)>) {
        self.declare().await;
        for place in &mut self.places {
            place.start(&self.world, &self.store).await;
        }
        let began = tokio::time::Instant::now();
        for (at, deed) in script {
            tokio::time::sleep_until(began + at).await;
            self.perform_one(deed).await;
        }
        self.come_to_rest().await;
    }

    async fn perform_one(&mut self, deed: Deed) {
        match deed {
            Deed::Schedule { place, name, delay, expires_after, then } => {
                let Some(running) = self.running(place) else { return };
                let (world, pod) = (Arc::clone(&self.world), running.pod.clone());
                running.spawn(async move {
                    let Some(id) = schedule_one(&world, &pod, name, delay, expires_after).await else {
                        return;
                    };
                    if let Some((after, whim)) = then {
                        tokio::time::sleep(after).await;
                        change_one(&world, &pod, id, whim).await;
                    }
                });
            }
            Deed::Pause { place, length } => {
                let Some(running) = self.running(place).cloned() else { return };
                running.pause(&self.world, length);
                tokio::spawn(async move {
                    tokio::time::sleep(length).await;
                    running.process.go_on();
                });
            }
            Deed::Kill { place, down } => {
                let (world, store) = (Arc::clone(&self.world), self.store.clone());
                let Some(place) = self.places.get_mut(place) else { return };
                self.vanished.extend(place.kill(&world));
                tokio::time::sleep(down / 4).await;
                place.start(&world, &store).await;
            }
            Deed::Shutdown { place } => {
                let (world, store) = (Arc::clone(&self.world), self.store.clone());
                let Some(place) = self.places.get_mut(place) else { return };
                if let Some(running) = place.running.take() {
                    world.trouble(&running.name, Duration::MAX);
                    let pod = running.pod.clone();
                    running.spawn(async move {
                        pod.shutdown().await;
                    });
                    self.vanished.push(running);
                }
                place.start(&world, &store).await;
            }
            Deed::Outage { length } => {
                self.world.begin_outage(length / 2);
                self.trouble_all(length);
            }
            Deed::Deny { length } => self.world.begin_denial(length),
            Deed::Suspend { length } => {
                self.simulation.suspend(length);
                for running in self.places.iter().filter_map(|place| place.running.as_ref()) {
                    self.world.stands_still(&running.name, Duration::ZERO);
                }
                self.trouble_all(Duration::ZERO);
            }
        }
    }

    /// Declares one schedule that is there from the beginning.
    async fn declare(&self) {
        let new = NewSchedule {
            name: TICK.to_owned(),
            args: "{}".to_owned(),
            format: 2,
            ..schedule("tick", every(7))
        };
        let quiet = Faulty::new(&self.world, self.store.clone(), "operator".to_owned());
        while let Err(error) = quiet.declare(Now::Database, std::slice::from_ref(&new)).await {
            assert!(error.is_transient() || error.is_denied(), "the schedule cannot be declared: {error}");
        }
    }

    /// Ends all faults; whatever is pending has to end, and soon.
    async fn come_to_rest(&mut self) {
        self.world.quieten();
        for running in self.places.iter().filter_map(|place| place.running.as_ref()) {
            running.process.go_on();
        }
        let operator = Faulty::new(&self.world, self.store.clone(), "operator".to_owned());
        let target = crate::make::identifier("tick");
        if let Err(error) = operator.cancel(Now::Database, &target, &crate::make::KEEP).await {
            self.world.violated(format!("the schedule could not be ended: {error}"));
        }
        // What was sent before may arrive only now, and clients may still try.
        tokio::time::sleep(self.world.settings.lease * 2 + Duration::from_secs(15)).await;
        self.prune(&operator).await;
        let patience = self.world.settings.lease * 8 + Duration::from_secs(40);
        let end = tokio::time::Instant::now() + patience;
        while self.pending().await > 0 && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        for place in &mut self.places {
            if let Some(running) = place.running.take() {
                running.pod.shutdown().await;
            }
        }
    }

    /// Prunes from the history what ended long ago; later than any client could still repeat its insert.
    async fn prune(&self, operator: &Faulty) {
        let age = RETAINED + Duration::from_millis(self.world.shared().dice.below(10_000) as u64);
        let retention =
            Retention { succeeded: age, failed: age, interrupted: age, cancelled: age, skipped: age };
        let limit = self.world.shared().dice.below(40) + 1;
        if let Err(error) = operator.prune(Now::Database, &retention, limit).await {
            self.world.violated(format!("the history could not be pruned: {error}"));
        }
    }

    async fn pending(&self) -> usize {
        let filter = CallFilter::new().limit(10_000);
        let page = self.store.calls(Now::At(self.world.now()), &filter).await;
        let is_pending = |state| matches!(state, CallState::Scheduled | CallState::Running);
        page.map_or(0, |page| page.calls.iter().filter(|call| is_pending(call.state)).count())
    }

    fn running(&self, place: usize) -> Option<&Running> {
        self.places.get(place).and_then(|place| place.running.as_ref())
    }

    fn trouble_all(&self, length: Duration) {
        for running in self.places.iter().filter_map(|place| place.running.as_ref()).chain(&self.vanished) {
            self.world.trouble(&running.name, length);
        }
    }
}

async fn schedule_one(
    world: &World,
    pod: &Pod,
    name: &'static str,
    delay: Duration,
    expires_after: Option<Duration>,
) -> Option<CallId> {
    let call = if name == TIMED {
        pod.future_calls().call_with_delay(delay).sim_timed().work()
    } else {
        pod.future_call_with_delay(name, None::<&u32>, delay)
    };
    let call = match expires_after {
        Some(time) => call.expires_after(time),
        None => call,
    };
    let id = call.id();
    match call.await {
        Ok(_) => {
            world.write(What::Told { call: world.name(id), what: Promise::Stored });
            Some(id)
        }
        Err(ScheduleError::OutcomeUnknown { .. }) => None,
        Err(error) => {
            if world.settings.denials {
                world.violated(format!("a client was turned away: {error}"));
            }
            world.shared().refused.push(id);
            None
        }
    }
}

async fn change_one(world: &World, pod: &Pod, id: CallId, whim: Whim) {
    let told = match whim {
        Whim::Cancel => match pod.future_calls().cancel_call(id).await {
            Ok(cancelled) if cancelled.calls > 0 => Some(Promise::Cancelled),
            Ok(cancelled) if cancelled.running > 0 => Some(Promise::UnderWay),
            _ => None,
        },
        Whim::Move(delay) => {
            let to = world.now().checked_add(delay).map_or(0, of);
            match pod.future_calls().reschedule(id, delay).await {
                Ok(moved) if moved.calls > 0 => Some(Promise::Moved(to)),
                _ => None,
            }
        }
        Whim::RunAgain => {
            if pod.future_calls().run_again(id).await.is_ok() {
                world.shared().counts.reruns += 1;
            }
            None
        }
    };
    if let Some(what) = told {
        world.write(What::Told { call: world.name(id), what });
    }
}
