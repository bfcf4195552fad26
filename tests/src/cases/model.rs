//! The store against the model: the same random operations on it and on a fresh memory store must give the same
//! results, and leave the same rows.
//!
//! The variable `FUTURECALL_TEST_SEED`, a number, changes the seed of the walks.

mod moves;
mod rows;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futurecall_runtime::recurring::{Missed, Overlap};
use futurecall_runtime::store::{
    CallFilter, CallRecord, CancelTarget, ClaimRequest, ClaimedCall, Due, Finish, LivePod, MemoryStore,
    NewCall, NewSchedule, Now, OnVanish, Outcome, PendingName, PodBeat, Retention, ScheduleOrigin,
    ScheduleRecord, Store,
};
use futurecall_runtime::{Moment, PodId};

use self::rows::{held, is_lane_by_lane, of_claimed, of_record, plain, settled};
use crate::cases::inspect::beat;
use crate::make::{SOON, call, every, identifier, micros, retry, schedule, secs};
use crate::suite::{Fixture, cases};
use futurecall_testbed::rng::Rng;

cases![
    it_does_what_the_model_does_on_a_first_walk,
    it_does_what_the_model_does_on_a_second_walk,
    it_does_what_the_model_does_on_a_third_walk,
    it_does_what_the_model_does_with_calls_alone,
    it_does_what_the_model_does_with_schedules_alone,
];

async fn it_does_what_the_model_does_on_a_first_walk(fixture: &Fixture) {
    Walk::new(fixture, 1).go(200, &ALL).await;
}

async fn it_does_what_the_model_does_on_a_second_walk(fixture: &Fixture) {
    Walk::new(fixture, 2).go(200, &ALL).await;
}

async fn it_does_what_the_model_does_on_a_third_walk(fixture: &Fixture) {
    Walk::new(fixture, 3).go(200, &ALL).await;
}

async fn it_does_what_the_model_does_with_calls_alone(fixture: &Fixture) {
    calls_alone(fixture, 4, 200).await;
}

async fn it_does_what_the_model_does_with_schedules_alone(fixture: &Fixture) {
    schedules_alone(fixture, 5, 200).await;
}

/// One walk, of one of these kinds by its seed.
pub(crate) async fn walk(fixture: &Fixture, seed: u64, steps: usize) {
    match seed % 3 {
        0 => Walk::new(fixture, seed).go(steps, &ALL).await,
        1 => calls_alone(fixture, seed, steps).await,
        _ => schedules_alone(fixture, seed, steps).await,
    }
}

async fn calls_alone(fixture: &Fixture, seed: u64, steps: usize) {
    let choice: Vec<_> =
        ALL.into_iter().filter(|step| !matches!(step, Step::Declare | Step::Undeclare)).collect();
    let walk = Walk { limited: true, ..Walk::new(fixture, seed) };
    walk.go(steps, &choice).await;
}

async fn schedules_alone(fixture: &Fixture, seed: u64, steps: usize) {
    let choice: Vec<_> =
        ALL.into_iter().filter(|step| !matches!(step, Step::Insert | Step::InsertClaimed)).collect();
    Walk::new(fixture, seed).go(steps, &choice).await;
}

/// What a walk may do next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Insert,
    InsertClaimed,
    Claim,
    Finish,
    Renew,
    Release,
    Rescue,
    Cancel,
    CancelOne,
    Discard,
    Reschedule,
    RunAgain,
    Declare,
    Undeclare,
    Prune,
}

const ALL: [Step; 19] = [
    Step::Insert,
    Step::InsertClaimed,
    Step::Insert,
    Step::Claim,
    Step::Claim,
    Step::Claim,
    Step::Finish,
    Step::Finish,
    Step::Renew,
    Step::Release,
    Step::Rescue,
    Step::Cancel,
    Step::CancelOne,
    Step::Discard,
    Step::Reschedule,
    Step::RunAgain,
    Step::Declare,
    Step::Undeclare,
    Step::Prune,
];

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

struct Walk<'a> {
    fixture: &'a Fixture,
    model: Arc<dyn Store>,
    dice: Rng,
    seed: u64,
    /// Grows with every step; its microseconds are never the same, so that no two schedules share a boundary.
    now: Moment,
    pods: [PodId; 3],
    claim_no: i64,
    /// What was ever claimed: in the model's words, and in the store's.
    claimed: Vec<(PodId, ClaimedCall, ClaimedCall)>,
    done: Vec<String>,
    /// Whether claims have small limits. Which of several lanes gets the room of a skipped call is left to the store,
    /// so that walks with schedules claim without a limit.
    limited: bool,
}

impl<'a> Walk<'a> {
    fn new(fixture: &'a Fixture, seed: u64) -> Self {
        let elsewhere = std::env::var("FUTURECALL_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.wrapping_add(elsewhere.unwrap_or(0_u64).wrapping_mul(1_000));
        Self {
            fixture,
            model: Arc::new(MemoryStore::new()),
            dice: Rng::new(seed),
            seed,
            now: micros(0),
            pods: [PodId::new(), PodId::new(), PodId::new()],
            claim_no: 0,
            claimed: Vec::new(),
            done: Vec::new(),
            limited: false,
        }
    }

    async fn go(mut self, steps: usize, choice: &[Step]) {
        for number in 0..steps {
            let advance = [0, 1, 5, 20, 70, 400][self.dice.below(6)] * 1_000_000 + 1;
            self.now = self.now.checked_add(Duration::from_micros(advance)).expect("within the range");
            let step = *self.dice.one_of(choice).expect("a step");
            self.done.push(format!("{number} at {}: {step:?}", self.now));
            self.take(step).await;
            self.compare().await;
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Insert => self.insert().await,
            Step::InsertClaimed => self.insert_claimed().await,
            Step::Claim => self.claim().await,
            Step::Finish => self.finish().await,
            Step::Renew => self.renew().await,
            Step::Release => self.release().await,
            Step::Rescue => self.rescue().await,
            Step::Cancel => self.cancel().await,
            Step::CancelOne => self.cancel_one().await,
            Step::Discard => self.discard().await,
            Step::Reschedule => self.reschedule().await,
            Step::RunAgain => self.run_again().await,
            Step::Declare => self.declare().await,
            Step::Undeclare => self.undeclare().await,
            Step::Prune => {
                let (now, retention, limit) = (self.clock(), self.retention(), self.dice.below(4));
                let expected = self.model.prune(now, &retention, limit).await.unwrap();
                let actual = self.fixture.store.prune(now, &retention, limit).await.unwrap();
                // Of rows of one age either may go first; so all of them go.
                self.same("pruned", &expected, &actual);
                for store in [&self.model, &self.fixture.store] {
                    store.prune(now, &retention, usize::MAX).await.unwrap();
                }
            }
        }
    }

    async fn insert(&mut self) {
        let calls: Vec<_> = (0..=self.dice.below(4))
            .map(|_| {
                let due = if self.dice.below(2) == 0 {
                    Due::After(secs(self.dice.below(90) as u64))
                } else {
                    let offset = i64::try_from(self.dice.below(120)).unwrap_or(0) - 60;
                    let micros = self.now.as_micros() + offset * 1_000_000;
                    Due::At(Moment::from_micros(micros).expect("within the range"))
                };
                let name = *self.dice.one_of(&NAMES).expect("a name");
                let identifier = (self.dice.below(3) > 0).then(|| format!("label {}", self.dice.below(3)));
                let expires_after = (self.dice.below(4) == 0).then(|| secs(self.dice.below(40) as u64));
                NewCall { due, identifier, expires_after, priority: self.dice.small(3), ..call(name) }
            })
            .collect();
        let again = self.dice.below(4) == 0;
        let expected = self.model.insert(self.clock(), &calls, again, SOON).await.unwrap();
        let actual = self.fixture.store.insert(self.clock(), &calls, again, SOON).await.unwrap();
        self.same("inserted", &expected, &actual);
    }

    async fn claim(&mut self) {
        let names = NAMES.iter().filter(|_| self.dice.below(4) > 0).map(|name| (*name).to_owned());
        let names: Vec<_> = names.collect();
        let rerun = OnVanish::Rerun { budget: 2, after: secs(self.dice.below(3) as u64 * 10) };
        let on_vanish = [OnVanish::Keep, rerun][self.dice.below(2)];
        let until = (self.dice.below(5) == 0)
            .then(|| Moment::from_micros(self.now.as_micros() - 20_000_000).expect("within the range"));
        let request = ClaimRequest {
            pod: *self.dice.one_of(&self.pods).expect("a pod"),
            claim_no: self.claim_no,
            names: names.into_iter().map(|name| (name, on_vanish)).collect(),
            shapes: Arc::default(),
            limit: if self.limited { self.dice.below(6) } else { 1_000 },
            lease: secs(30),
            until,
            ahead: [Duration::ZERO, Duration::ZERO, secs(20)][self.dice.below(3)],
            sweep: true,
            retention: self.retention(),
        };
        // A successor that is due already may be claimed by the same claim or by the next: asked until nothing more
        // comes, all stores have taken the same.
        let (mut expected, mut actual) = (Vec::new(), Vec::new());
        let (mut skipped, mut next) = ((0, 0), (None, None));
        for _ in 0..1_000 {
            self.claim_no += 1;
            let claim_no = self.claim_no;
            let limit =
                |taken: usize| ClaimRequest { claim_no, limit: request.limit - taken, ..request.clone() };
            let model = self.model.claim(self.clock(), &limit(expected.len())).await.unwrap();
            let store = self.fixture.store.claim(self.clock(), &limit(actual.len())).await.unwrap();
            // Among names it is settled where no call of a schedule was passed over.
            if self.limited {
                self.same("claimed in order", &plain(&model.calls), &plain(&store.calls));
            } else if !is_lane_by_lane(&store.calls) {
                self.fail("claimed in order", &model.calls, &store.calls);
            }
            let over = model.calls.is_empty() && store.calls.is_empty() && model.skipped + store.skipped == 0;
            expected.extend(model.calls);
            actual.extend(store.calls);
            skipped = (skipped.0 + model.skipped, skipped.1 + store.skipped);
            next = (model.next, store.next);
            if over {
                break;
            }
        }
        self.same("skipped", &skipped.0, &skipped.1);
        // Whether a call that is due, but later than asked for, counts as the next is left to the store; likewise whether
        // one that can be claimed ahead counts as due.
        if request.until.is_none() && request.ahead.is_zero() {
            self.same("next", &next.0, &next.1);
        }
        let pairs: Vec<_> = expected
            .iter()
            .map(|model| {
                let which = of_claimed(model);
                let store = actual.iter().find(|store| which == of_claimed(store));
                (
                    request.pod,
                    model.clone(),
                    store.unwrap_or_else(|| self.fail("claimed", &expected, &actual)).clone(),
                )
            })
            .collect();
        self.same("claimed", &expected.len(), &actual.len());
        for (_, model, store) in &pairs {
            let same_id = ClaimedCall { id: model.id, ..store.clone() };
            self.same("claimed", model, &same_id);
        }
        self.claimed.extend(pairs);
    }

    /// Some claims, old ones too, of one pod: of which it may still hold each or not.
    fn some_claims(&mut self) -> (PodId, Vec<(ClaimedCall, ClaimedCall)>) {
        let pod = *self.dice.one_of(&self.pods).expect("a pod");
        let newest = self.claimed.iter().rev().filter(|(of, ..)| *of == pod).take(12);
        let mut some: Vec<_> = newest.map(|(_, model, store)| (model.clone(), store.clone())).collect();
        some.retain(|_| self.dice.below(3) == 0);
        (pod, some)
    }

    async fn finish(&mut self) {
        let (pod, some) = self.some_claims();
        let retention = self.retention();
        let ends: Vec<_> = some
            .iter()
            .map(|_| {
                let outcome = match self.dice.below(8) {
                    0 => Outcome::Failed { error: "no".to_owned() },
                    1 => Outcome::Interrupted { error: "given up".to_owned() },
                    2 | 3 => retry("not yet", self.dice.below(90) as u64),
                    4 => Outcome::Rerun { error: "shutting down".to_owned() },
                    5 => Outcome::Expired { error: "too late".to_owned() },
                    _ => Outcome::Succeeded,
                };
                let started_after = (self.dice.below(4) > 0).then(|| secs(1));
                (outcome, started_after)
            })
            .collect();
        let all = |of_model: bool| -> Vec<_> {
            let calls = some.iter().map(|(model, store)| if of_model { model } else { store });
            let finish = |call: &ClaimedCall, (outcome, started_after): &(Outcome, Option<_>)| Finish {
                id: call.id,
                claim_no: call.claim_no,
                outcome: outcome.clone(),
                started_after: *started_after,
                ran_for: secs(2),
            };
            calls.zip(&ends).map(|(call, end)| finish(call, end)).collect()
        };
        let expected = self.model.finish(self.clock(), pod, &all(true), &retention).await.unwrap();
        let actual = self.fixture.store.finish(self.clock(), pod, &all(false), &retention).await.unwrap();
        self.same("finished", &expected, &actual);
    }

    async fn renew(&mut self) {
        let (pod, some) = self.some_claims();
        let started: Vec<_> = some.iter().map(|_| self.dice.below(2) == 0).collect();
        let (model, store) = held(&some, &started);
        let expected = self.model.renew(self.clock(), pod, &model, secs(60)).await.unwrap();
        let actual = self.fixture.store.renew(self.clock(), pod, &store, secs(60)).await.unwrap();
        self.same("renewed", &expected, &actual);
    }

    async fn release(&mut self) {
        let (pod, some) = self.some_claims();
        let (model, store) = held(&some, &vec![false; some.len()]);
        let expected = self.model.release(self.clock(), pod, &model, None).await.unwrap();
        let actual = self.fixture.store.release(self.clock(), pod, &store, None).await.unwrap();
        self.same("released", &expected, &actual);
    }

    async fn rescue(&mut self) {
        let retention = self.retention();
        let expected = self.model.rescue(self.clock(), 1_000, &retention).await.unwrap();
        let actual = self.fixture.store.rescue(self.clock(), 1_000, &retention).await.unwrap();
        let told = |rescued: Vec<futurecall_runtime::store::Rescued>| {
            let mut told: Vec<_> = rescued.into_iter().map(|one| (one.name, one.pod, one.rerun)).collect();
            told.sort();
            told
        };
        self.same("rescued", &told(expected), &told(actual));
    }

    async fn cancel(&mut self) {
        let label = [format!("label {}", self.dice.below(3)), format!("key {}", self.dice.below(4))];
        let target = identifier(self.dice.one_of(&label).expect("a label"));
        let retention = self.retention();
        let expected = self.model.cancel(self.clock(), &target, &retention).await.unwrap();
        let actual = self.fixture.store.cancel(self.clock(), &target, &retention).await.unwrap();
        self.same("cancelled", &expected, &actual);
    }

    /// One call that is not over, in the model's words and in the store's.
    async fn some_call(&mut self) -> Option<(CallRecord, CallRecord)> {
        let (model, store) = (self.listing(&self.model).await, self.listing(&self.fixture.store).await);
        let open: Vec<_> = model.into_iter().filter(|record| !record.state.is_finished()).collect();
        let one = self.dice.one_of(&open)?.clone();
        let which = of_record(&one);
        let same = store.into_iter().find(|record| of_record(record) == which)?;
        Some((one, same))
    }

    async fn cancel_one(&mut self) {
        let Some((model, store)) = self.some_call().await else { return };
        let retention = self.retention();
        let expected =
            self.model.cancel(self.clock(), &CancelTarget::Call(model.id), &retention).await.unwrap();
        let target = CancelTarget::Call(store.id);
        let actual = self.fixture.store.cancel(self.clock(), &target, &retention).await.unwrap();
        self.same("cancelled one", &expected, &actual);
    }

    async fn discard(&mut self) {
        // What becomes of a schedule whose call is discarded is left to the store.
        let Some((model, store)) = self.some_call().await.filter(|(model, _)| model.schedule.is_none())
        else {
            return;
        };
        let (retention, reason) = (self.retention(), "broken".to_owned());
        let expected =
            self.model.discard(self.clock(), &[(model.id, reason.clone())], &retention).await.unwrap();
        let actual =
            self.fixture.store.discard(self.clock(), &[(store.id, reason)], &retention).await.unwrap();
        self.same("discarded", &expected, &actual);
    }

    async fn declare(&mut self) {
        let number = self.dice.below(4);
        let mut rule = every([30, 60, 300][self.dice.below(3)]);
        rule.missed = [Missed::RunOnce, Missed::Skip, Missed::RunAll][self.dice.below(3)];
        rule.overlap = [Overlap::Skip, Overlap::Allow][self.dice.below(2)];
        let given = NewSchedule {
            name: NAMES[number].to_owned(),
            origin: [ScheduleOrigin::Code, ScheduleOrigin::Attribute][self.dice.below(2)],
            ..schedule(&format!("key {number}"), rule)
        };
        self.done.push(format!("    {given:?}"));
        let given = [given];
        let expected = self.model.declare(self.clock(), &given).await.unwrap();
        let actual = self.fixture.store.declare(self.clock(), &given).await.unwrap();
        self.same("declared", &expected, &actual);
    }

    async fn undeclare(&mut self) {
        let keys: Vec<_> =
            (0..4).filter(|_| self.dice.below(2) == 0).map(|key| format!("key {key}")).collect();
        let names = NAMES.iter().filter(|_| self.dice.below(2) == 0).map(|&name| name.to_owned()).collect();
        let live = LivePod { names, schedules: keys.iter().take(1).cloned().collect(), pod_live: secs(10) };
        let grace = Duration::from_secs(if self.dice.below(2) == 0 { 10 } else { 3_600 });
        let said = PodBeat { schedules: keys, ..beat(self.pods[0]) };
        let mut results = Vec::new();
        for store in [&self.model, &self.fixture.store] {
            store.beat(self.clock(), &said).await.unwrap();
            results.push(store.end_undeclared(self.clock(), &live, grace).await.unwrap());
        }
        self.same("undeclared", &results[0], &results[1]);
    }

    async fn compare(&self) {
        let (model, store) = (&self.model, &self.fixture.store);
        let (expected, actual) = (self.listing(model).await, self.listing(store).await);
        let pending = |records: &[CallRecord]| -> Vec<_> {
            records.iter().filter(|record| !record.state.is_finished()).map(of_record).collect()
        };
        self.same("the order of what is pending", &pending(&expected), &pending(&actual));
        self.same("the rows", &settled(expected), &settled(actual));
        let now = self.clock();
        let (expected, actual) =
            (model.counts(now, u64::MAX).await.unwrap(), store.counts(now, u64::MAX).await.unwrap());
        self.same("the counts", &expected, &actual);
        let by_id = |mut records: Vec<ScheduleRecord>| {
            records.sort_by_key(|record| record.id);
            // How the end of a schedule is worded is left to the store, but for one.
            for reason in records.iter_mut().filter_map(|record| record.reason.as_mut()) {
                if reason != "cancelled" {
                    "ended".clone_into(reason);
                }
            }
            records
        };
        let (expected, actual) = (model.schedules().await.unwrap(), store.schedules().await.unwrap());
        self.same("the schedules", &by_id(expected), &by_id(actual));
        let sorted = |mut names: Vec<PendingName>| {
            names.sort();
            names
        };
        let (expected, actual) =
            (model.pending_names(now, 3).await.unwrap(), store.pending_names(now, 3).await.unwrap());
        self.same("the names", &sorted(expected), &sorted(actual));
        let (expected, actual) =
            (model.backlog(now, 3, secs(20)).await.unwrap(), store.backlog(now, 3, secs(20)).await.unwrap());
        self.same("what waits", &expected, &actual);
    }

    async fn listing(&self, store: &Arc<dyn Store>) -> Vec<CallRecord> {
        let page = store.calls(self.clock(), &CallFilter::new().limit(10_000)).await.unwrap();
        assert_eq!(page.next, None);
        page.calls
    }

    fn clock(&self) -> Now {
        Now::At(self.now)
    }

    /// Now and then some outcome is not kept at all.
    fn retention(&mut self) -> Retention {
        let mut age = || secs([0, 50, 500, 5_000, 5_000, 5_000][self.dice.below(6)]);
        Retention { succeeded: age(), failed: age(), interrupted: age(), cancelled: age(), skipped: age() }
    }

    #[track_caller]
    fn same<T: PartialEq + Debug>(&self, what: &str, expected: &T, actual: &T) {
        if expected != actual {
            self.fail(what, expected, actual);
        }
    }

    #[track_caller]
    fn fail(&self, what: &str, expected: impl Debug, actual: impl Debug) -> ! {
        let done = self.done.join("\n");
        panic!("{what} differ.\n model: {expected:?}\n store: {actual:?}\nwalk {} was:\n{done}", self.seed)
    }
}
