use std::collections::BTreeSet;
use std::sync::Arc;

use futurecall_runtime::recurring::{Missed, Recurrence, Rule};
use futurecall_runtime::store::{
    CallFilter, CallState, CancelTarget, Cancelled, NewSchedule, Now, Outcome, ScheduleOrigin, ScheduleState,
};
use futurecall_runtime::{Moment, ScheduleId};
use futures_util::future::join_all;

use crate::make::{FORGET, KEEP, at, every, failed, identifier, labelled, schedule, secs};
use crate::suite::{Fixture, cases};

cases![
    a_declaration_stores_the_schedule_and_its_first_call,
    declaring_alike_changes_nothing,
    declaring_with_keys_in_another_order_changes_nothing,
    declaring_another_rule_replaces_the_pending_call,
    declaring_other_arguments_replaces_the_pending_call,
    a_declaration_leaves_a_run_under_way_alone,
    a_call_of_a_new_name_keeps_its_schedule,
    schedules_of_other_keys_are_apart,
    results_stand_in_order,
    declarations_at_once_make_one_schedule,
    a_rule_without_a_first_moment_is_refused,
    a_first_run_can_be_given,
    a_claim_stores_the_successor,
    the_successor_stays_when_the_run_fails_or_vanishes,
    a_released_run_gets_no_second_successor,
    a_run_again_gets_no_second_successor,
    boundaries_do_not_drift,
    a_cron_rule_goes_by_its_calendar,
    a_schedule_ends_when_its_rule_does,
    a_cancelled_schedule_ends,
    a_cancelled_schedule_lets_its_run_end,
    a_declaration_revives_a_cancelled_schedule,
    an_identifier_cancels_calls_and_schedules_alike,
    cancelling_one_run_goes_on_with_the_next,
    cancelling_a_released_run_brings_no_second_successor,
    a_discarded_run_does_not_end_its_schedule,
    schedules_of_many_claims_stay_single,
];

async fn a_declaration_stores_the_schedule_and_its_first_call(fixture: &Fixture) {
    let given = NewSchedule { format: 4, priority: -3, ..schedule("nightly", every(60)) };
    let declared = fixture.store.declare(Now::At(at(0)), std::slice::from_ref(&given)).await.unwrap();
    assert_eq!(declared.len(), 1);
    assert_eq!((declared[0].id, declared[0].created, declared[0].changed), (given.id, true, false));

    let record = fixture.the_schedule().await;
    assert_eq!((record.id, &record.name, &record.args), (given.id, &given.name, &given.args));
    assert_eq!((&record.identifier, record.origin), (&given.identifier, ScheduleOrigin::Code));
    assert_eq!((&record.declared, &record.effective), (&given.rule, &given.rule));
    assert_eq!((record.state, &record.reason), (ScheduleState::Active, &None));
    assert_eq!((record.created, record.next), (at(0), Some(at(60))));

    let call = fixture.the_pending().await;
    assert_eq!((&call.name, &call.args, &call.identifier), (&given.name, &given.args, &given.identifier));
    assert_eq!((call.due, call.priority, call.schedule), (at(60), -3, Some(given.id)));
    assert_eq!((call.state, call.attempt, call.created), (CallState::Scheduled, 0, at(0)));
    let claimed = fixture.pod().claim_one(at(60), "work").await;
    assert_eq!((claimed.id, claimed.format, claimed.schedule), (call.id, 4, Some(given.id)));
}

async fn declaring_alike_changes_nothing(fixture: &Fixture) {
    let id = fixture.declare(at(0), &schedule("nightly", every(60))).await;
    let (before, pending) = (fixture.the_schedule().await, fixture.the_pending().await);
    for store in [&fixture.store, &fixture.other] {
        let again = store.declare(Now::At(at(30)), &[schedule("nightly", every(60))]).await.unwrap();
        assert_eq!((again[0].id, again[0].created, again[0].changed), (id, false, false));
        assert_eq!(fixture.the_schedule().await, before);
        assert_eq!(fixture.the_pending().await, pending);
    }
}

async fn declaring_with_keys_in_another_order_changes_nothing(fixture: &Fixture) {
    let with = |args: &str| NewSchedule { args: args.to_owned(), ..schedule("nightly", every(60)) };
    let id = fixture.declare(at(0), &with(r#"{"a":{"x":[1,2],"y":2},"b":"{}"}"#)).await;
    let (before, pending) = (fixture.the_schedule().await, fixture.the_pending().await);
    let again = [with(r#"{"b":"{}","a":{"y":2,"x":[1,2]}}"#)];
    let again = fixture.store.declare(Now::At(at(30)), &again).await.unwrap();
    assert_eq!((again[0].id, again[0].created, again[0].changed), (id, false, false));
    assert_eq!((fixture.the_schedule().await, fixture.the_pending().await), (before, pending));
    // The order of a list is part of it.
    let other = [with(r#"{"b":"{}","a":{"y":2,"x":[2,1]}}"#)];
    assert!(fixture.store.declare(Now::At(at(30)), &other).await.unwrap()[0].changed);
    assert_eq!(fixture.the_pending().await.args, other[0].args);
}

async fn declaring_another_rule_replaces_the_pending_call(fixture: &Fixture) {
    let id = fixture.declare(at(0), &schedule("nightly", every(60))).await;
    let mut other_policy = every(90);
    other_policy.missed = Missed::RunAll;
    for (rule, now, due) in [(every(90), 10, 100), (other_policy, 20, 110)] {
        let declared =
            fixture.store.declare(Now::At(at(now)), &[schedule("nightly", rule.clone())]).await.unwrap();
        assert_eq!((declared[0].id, declared[0].created, declared[0].changed), (id, false, true));
        let record = fixture.the_schedule().await;
        assert_eq!((&record.declared, &record.effective), (&rule, &rule));
        assert_eq!((record.next, record.created), (Some(at(due)), at(0)));
        assert_eq!(fixture.the_pending().await.due, at(due), "one pending call, counted from now");
    }
    assert_eq!(fixture.pod().claim_one(at(110), "work").await.due, at(110));
    assert_eq!(fixture.the_pending().await.due, at(200), "counted from the new anchor");
}

async fn declaring_other_arguments_replaces_the_pending_call(fixture: &Fixture) {
    let given = schedule("nightly", every(60));
    let id = fixture.declare(at(0), &given).await;
    let args = NewSchedule { args: r#"{"n": 2}"#.to_owned(), ..given.clone() };
    let urgent = NewSchedule { priority: -9, ..args.clone() };
    for changed in [args, urgent] {
        let declared = fixture.store.declare(Now::At(at(10)), std::slice::from_ref(&changed)).await.unwrap();
        assert_eq!((declared[0].id, declared[0].created, declared[0].changed), (id, false, true));
        assert_eq!(fixture.the_schedule().await.args, changed.args);
        let pending = fixture.the_pending().await;
        assert_eq!((pending.args, pending.priority), (changed.args, changed.priority));
    }
}

async fn a_call_of_a_new_name_keeps_its_schedule(fixture: &Fixture) {
    let id = fixture.declare(at(0), &schedule("old", every(60))).await;
    let pending = fixture.the_pending().await;
    let renamed = NewSchedule {
        name: "renamed".to_owned(),
        former_keys: vec!["older".to_owned(), "old".to_owned()],
        ..schedule("new", every(60))
    };
    // The identifier is the user's, and stays; here it goes with the key.
    let renamed = NewSchedule { identifier: Some("old".to_owned()), ..renamed };
    for _ in 0..2 {
        assert_eq!(fixture.declare(at(10), &renamed).await, id);
        let call = fixture.the_pending().await;
        assert_eq!((call.name.as_str(), call.due), ("renamed", pending.due));
        assert_eq!(fixture.the_schedule().await.name, "renamed");
    }
    // Once the alias is gone from the code, the new key is known.
    assert_eq!(fixture.declare(at(20), &NewSchedule { former_keys: Vec::new(), ..renamed }).await, id);
    fixture.pod().claim_one(at(60), "renamed").await;
    assert_eq!(fixture.the_pending().await.name, "renamed");
}

async fn a_declaration_leaves_a_run_under_way_alone(fixture: &Fixture) {
    fixture.declare(at(0), &schedule("nightly", every(60))).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(60), "work").await;
    fixture.declare(at(70), &schedule("nightly", every(500))).await;
    let record = fixture.record(claimed.id).await;
    assert_eq!((record.state, record.cancel_requested), (CallState::Running, false));
    assert!(pod.finish(at(71), &claimed, Outcome::Succeeded).await);
    assert_eq!(fixture.the_pending().await.due, at(570));
}

async fn schedules_of_other_keys_are_apart(fixture: &Fixture) {
    let (a, b) = (schedule("a", every(60)), NewSchedule { identifier: None, ..schedule("b", every(60)) });
    fixture.declare(at(0), &a).await;
    fixture.declare(at(5), &b).await;
    assert_eq!(fixture.store.schedules().await.unwrap().len(), 2);
    let claimed = fixture.pod().claim(at(100), &["work"], 10).await;
    assert_eq!(claimed.iter().map(|call| call.schedule).collect::<Vec<_>>(), [Some(a.id), Some(b.id)]);
    let pending = fixture.listed(CallState::Scheduled).await;
    assert_eq!(pending.iter().map(|call| call.due).collect::<Vec<_>>(), [at(120), at(125)]);
    assert_eq!(fixture.list(CallFilter::new().schedule(b.id)).await.len(), 2);
}

async fn results_stand_in_order(fixture: &Fixture) {
    fixture.declare(at(0), &schedule("key 7", every(60))).await;
    let mut batch: Vec<_> = (0..50).map(|n| schedule(&format!("key {n}"), every(60))).collect();
    batch.push(schedule("key 3", every(60)));
    let declared = fixture.store.declare(Now::At(at(1)), &batch).await.unwrap();
    assert_eq!(declared.len(), 51);
    for (n, (given, declared)) in batch.iter().zip(&declared).enumerate() {
        let known = n == 7 || n == 50;
        assert_eq!((declared.created, declared.id == given.id), (!known, !known), "number {n}");
    }
    assert_eq!(declared[50].id, declared[3].id, "a key twice in one batch is one schedule");
    assert_eq!(fixture.listed(CallState::Scheduled).await.len(), 50);
    assert_eq!(fixture.store.declare(Now::At(at(1)), &[]).await.unwrap(), []);
}

async fn declarations_at_once_make_one_schedule(fixture: &Fixture) {
    let tasks = (0..8).map(|task| {
        let store = Arc::clone(if task % 2 == 0 { &fixture.store } else { &fixture.other });
        // Every pod declares both, in an order of its own.
        let mut given = vec![schedule("a", every(60)), schedule("b", every(90))];
        given.rotate_left(task % 2);
        tokio::spawn(async move { store.declare(Now::At(at(0)), &given).await.unwrap() })
    });
    let declared: Vec<_> = join_all(tasks).await.into_iter().flat_map(|some| some.expect("a pod")).collect();
    assert_eq!(declared.len(), 16);
    assert_eq!(declared.iter().filter(|declared| declared.created).count(), 2);
    assert!(declared.iter().all(|declared| !declared.changed));
    let lasting: BTreeSet<_> = declared.iter().map(|declared| declared.id).collect();
    assert_eq!(lasting.len(), 2);
    assert_eq!(fixture.store.schedules().await.unwrap().len(), 2);
    assert_eq!(fixture.listed(CallState::Scheduled).await.len(), 2);
}

async fn a_rule_without_a_first_moment_is_refused(fixture: &Fixture) {
    let batch = [schedule("a", every(60)), schedule("b", every(86_400))];
    let almost_over = Moment::from_micros(Moment::MAX.as_micros() - 3_600_000_000).unwrap();
    assert!(batch[1].rule.first(almost_over).is_err(), "the day after is out of range");
    let error = fixture.store.declare(Now::At(almost_over), &batch).await.unwrap_err();
    assert!(error.is_refused() && !error.is_transient(), "{error}");
    assert_eq!(fixture.store.schedules().await.unwrap(), [], "nor is the other stored");
    assert_eq!(fixture.list(CallFilter::new()).await, []);
}

fn starting(interval: u64, start: Moment) -> Rule {
    let mut rule = every(interval);
    rule.recurrence = Recurrence::Every { interval_us: interval * 1_000_000, starting_at: Some(start) };
    rule
}

async fn a_first_run_can_be_given(fixture: &Fixture) {
    fixture.declare(at(0), &schedule("nightly", starting(60, at(7)))).await;
    assert_eq!(fixture.the_pending().await.due, at(7));
    fixture.pod().claim_one(at(9), "work").await;
    assert_eq!(fixture.the_pending().await.due, at(67), "and then every interval from it");
}

async fn a_claim_stores_the_successor(fixture: &Fixture) {
    let given = NewSchedule { format: 2, priority: 5, ..schedule("nightly", every(60)) };
    fixture.declare(at(0), &given).await;
    let pod = fixture.pod();
    let claim = pod.ask(at(60), &["work"], 10).await;
    assert_eq!((claim.calls.len(), claim.skipped, claim.next), (1, 0, Some(secs(60))));
    let claimed = &claim.calls[0];
    let successor = fixture.the_pending().await;
    assert_ne!(successor.id, claimed.id);
    assert_eq!((&successor.name, &successor.args), (&claimed.name, &claimed.args));
    assert_eq!((&successor.identifier, successor.priority), (&claimed.identifier, 5));
    assert_eq!((successor.due, successor.schedule), (at(120), claimed.schedule));
    assert_eq!((successor.attempt, successor.state), (0, CallState::Scheduled));
    assert_eq!(fixture.the_schedule().await.next, Some(at(120)));
    assert!(pod.finish(at(61), claimed, Outcome::Succeeded).await);
    let next = pod.claim_one(at(121), "work").await;
    assert_eq!((next.id, next.format, next.attempt), (successor.id, 2, 1));
}

async fn the_successor_stays_when_the_run_fails_or_vanishes(fixture: &Fixture) {
    fixture.declare(at(0), &schedule("nightly", every(60))).await;
    let pod = fixture.pod();
    let first = pod.claim_one(at(60), "work").await;
    assert!(pod.finish(at(61), &first, failed("no")).await);
    let second = pod.claim_one(at(120), "work").await;
    assert_eq!(fixture.rescue(at(170)).await.len(), 1);
    assert_eq!(fixture.state(second.id).await, CallState::Interrupted);
    let third = fixture.other_pod().claim_one(at(180), "work").await;
    assert_eq!((third.due, third.schedule), (at(180), first.schedule));
    assert_eq!(fixture.the_pending().await.due, at(240));
    assert_eq!(fixture.the_schedule().await.state, ScheduleState::Active);
}

async fn a_released_run_gets_no_second_successor(fixture: &Fixture) {
    fixture.declare(at(0), &schedule("nightly", every(60))).await;
    let pod = fixture.pod();
    let first = pod.claim_one(at(60), "work").await;
    assert_eq!(pod.release(at(61), &first).await, 1);
    assert_eq!(fixture.listed(CallState::Scheduled).await.len(), 2);
    let again = fixture.other_pod().claim_one(at(62), "work").await;
    assert_eq!((again.id, again.attempt), (first.id, 1));
    assert_eq!(fixture.the_pending().await.due, at(120), "the one it had already");
}

async fn a_run_again_gets_no_second_successor(fixture: &Fixture) {
    fixture.declare(at(0), &schedule("nightly", every(600))).await;
    let first = fixture.pod().rerunning().claim_one(at(600), "work").await;
    assert!(fixture.rescue(at(640)).await[0].rerun);
    let pod = fixture.other_pod();
    let again = pod.claim_one(at(800), "work").await;
    assert_eq!((again.id, again.attempt), (first.id, 2), "however late, it is not taken for missed");
    assert_eq!(fixture.the_pending().await.due, at(1_200));
    assert!(pod.finish(at(801), &again, Outcome::Succeeded).await);
    assert_eq!(pod.claim_one(at(1_200), "work").await.attempt, 1);
    assert_eq!(fixture.the_pending().await.due, at(1_800));
}

async fn boundaries_do_not_drift(fixture: &Fixture) {
    fixture.declare(at(0), &schedule("nightly", every(60))).await;
    let pod = fixture.pod();
    for run in 1..=10 {
        let late = at(run * 60 + 7 + run);
        let claimed = pod.claim_one(late, "work").await;
        assert_eq!(claimed.due, at(run * 60));
        assert!(pod.finish(late, &claimed, Outcome::Succeeded).await);
    }
}

async fn a_cron_rule_goes_by_its_calendar(fixture: &Fixture) {
    let rule = Rule::cron("*/5 * * * *", "UTC").unwrap();
    fixture.declare(at(3), &schedule("report", rule.clone())).await;
    let pod = fixture.pod();
    let anchor = rule.first(at(3)).unwrap();
    let mut due = anchor;
    for _ in 0..3 {
        assert_eq!(fixture.the_pending().await.due, due);
        let now = due.checked_add(secs(2)).unwrap();
        let claimed = pod.claim_one(now, "work").await;
        assert!(pod.finish(now, &claimed, Outcome::Succeeded).await);
        due = rule.advance(anchor, due, now).unwrap().next.expect("it goes on");
    }
    let record = fixture.the_schedule().await;
    assert_eq!((record.declared, record.next), (rule, Some(due)));
}

async fn a_schedule_ends_when_its_rule_does(fixture: &Fixture) {
    let last = Moment::from_micros(Moment::MAX.as_micros() - 3_600_000_000).unwrap();
    fixture.declare(at(0), &schedule("nightly", starting(86_400, last))).await;
    let pod = fixture.pod();
    let claim = pod.ask(last, &["work"], 10).await;
    assert_eq!((claim.calls.len(), claim.next), (1, None), "the last run is a run");
    let record = fixture.the_schedule().await;
    assert_eq!((record.state, record.next), (ScheduleState::Ended, None));
    assert!(record.reason.is_some_and(|reason| !reason.is_empty()), "never silently");
    assert!(pod.finish(last, &claim.calls[0], Outcome::Succeeded).await);
}

async fn a_cancelled_schedule_ends(fixture: &Fixture) {
    fixture.declare(at(0), &schedule("nightly", every(60))).await;
    let pending = fixture.the_pending().await;
    assert_eq!(fixture.cancel(at(1), &identifier("nightly")).await, Cancelled::new(0, 1, 0));
    let record = fixture.the_schedule().await;
    assert_eq!((record.state, record.next), (ScheduleState::Ended, None));
    assert_eq!(record.reason.as_deref(), Some("cancelled"));
    assert_eq!(fixture.state(pending.id).await, CallState::Cancelled);
    assert_eq!(fixture.pod().claim(at(100), &["work"], 10).await, []);
    assert_eq!(fixture.cancel(at(2), &identifier("nightly")).await, Cancelled::default());
}

async fn a_cancelled_schedule_lets_its_run_end(fixture: &Fixture) {
    fixture.declare(at(0), &schedule("nightly", every(60))).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(60), "work").await;
    assert_eq!(fixture.cancel(at(61), &identifier("nightly")).await, Cancelled::new(0, 1, 1));
    assert_eq!(fixture.listed(CallState::Scheduled).await, []);
    assert!(pod.renew(at(62), &claimed).await.cancelled);
    assert!(pod.finish(at(63), &claimed, Outcome::Succeeded).await);
    assert_eq!(fixture.state(claimed.id).await, CallState::Succeeded);
    assert_eq!(pod.claim(at(500), &["work"], 10).await, []);
}

async fn a_declaration_revives_a_cancelled_schedule(fixture: &Fixture) {
    let id = fixture.declare(at(0), &schedule("nightly", every(60))).await;
    fixture.cancel(at(90), &identifier("nightly")).await;
    let again = fixture.store.declare(Now::At(at(100)), &[schedule("nightly", every(60))]).await.unwrap();
    assert_eq!((again[0].id, again[0].created), (id, true));
    let record = fixture.the_schedule().await;
    assert_eq!((record.state, record.reason, record.next), (ScheduleState::Active, None, Some(at(160))));
    assert_eq!(fixture.the_pending().await.due, at(160), "counted from now");
    let again = fixture.store.declare(Now::At(at(110)), &[schedule("nightly", every(60))]).await.unwrap();
    assert_eq!((again[0].created, again[0].changed), (false, false));
    fixture.pod().claim_one(at(160), "work").await;
    assert_eq!(fixture.the_pending().await.due, at(220));
}

async fn an_identifier_cancels_calls_and_schedules_alike(fixture: &Fixture) {
    let nameless = NewSchedule { identifier: None, ..schedule("c", every(60)) };
    let mut same = [schedule("a", every(60)), schedule("b", every(90))];
    for one in &mut same {
        one.identifier = Some("x".to_owned());
    }
    fixture
        .store
        .declare(Now::At(at(0)), &[same[0].clone(), nameless.clone(), same[1].clone()])
        .await
        .unwrap();
    fixture.add(&[labelled("play", "x"), labelled("play", "y")]).await;
    assert_eq!(fixture.cancel(at(1), &identifier("x")).await, Cancelled::new(1, 2, 0));
    let left = fixture.listed(CallState::Scheduled).await;
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|call| call.identifier.as_deref() != Some("x")));
    for record in fixture.store.schedules().await.unwrap() {
        let expected = if record.id == nameless.id { ScheduleState::Active } else { ScheduleState::Ended };
        assert_eq!(record.state, expected);
    }
}

async fn cancelling_one_run_goes_on_with_the_next(fixture: &Fixture) {
    fixture.declare(at(0), &schedule("nightly", every(60))).await;
    let first = fixture.the_pending().await;
    assert_eq!(fixture.cancel(at(5), &CancelTarget::Call(first.id)).await, Cancelled::new(1, 0, 0));
    assert_eq!(fixture.state(first.id).await, CallState::Cancelled);
    let next = fixture.the_pending().await;
    assert_eq!((next.due, next.schedule), (at(120), first.schedule));
    assert_eq!(fixture.the_schedule().await.state, ScheduleState::Active);

    let running = fixture.pod().claim_one(at(120), "work").await;
    assert_eq!(fixture.cancel(at(121), &CancelTarget::Call(running.id)).await, Cancelled::new(0, 0, 1));
    assert_eq!(fixture.the_pending().await.due, at(180), "its successor was there before");
}

async fn cancelling_a_released_run_brings_no_second_successor(fixture: &Fixture) {
    fixture.declare(at(0), &schedule("nightly", every(60))).await;
    let pod = fixture.pod();
    let first = pod.claim_one(at(60), "work").await;
    assert_eq!(pod.release(at(61), &first).await, 1);
    assert_eq!(fixture.cancel(at(62), &CancelTarget::Call(first.id)).await, Cancelled::new(1, 0, 0));
    assert_eq!(fixture.the_pending().await.due, at(120));
    assert_eq!(fixture.the_schedule().await.state, ScheduleState::Active);
}

async fn a_discarded_run_does_not_end_its_schedule(fixture: &Fixture) {
    fixture.declare(at(0), &schedule("nightly", every(60))).await;
    let first = fixture.the_pending().await;
    let broken = [(first.id, "missing field `n`".to_owned())];
    assert_eq!(fixture.store.discard(Now::At(at(1)), &broken, &KEEP).await.unwrap(), 1);
    // At the latest the next start brings the next run.
    let again = fixture.store.declare(Now::At(at(70)), &[schedule("nightly", every(60))]).await.unwrap();
    assert!(!again[0].created && !again[0].changed);
    let pending = fixture.the_pending().await;
    assert_ne!(pending.id, first.id);
    assert_eq!(pending.due, at(120));
    assert_eq!(fixture.the_schedule().await.state, ScheduleState::Active);
}

async fn schedules_of_many_claims_stay_single(fixture: &Fixture) {
    let given: Vec<_> = (0..20).map(|n| schedule(&format!("key {n}"), every(60))).collect();
    fixture.store.declare(Now::At(at(0)), &given).await.unwrap();
    let pods: Vec<_> = (0..6).map(|n| if n % 2 == 0 { fixture.pod() } else { fixture.other_pod() }).collect();
    let mut runs = 0;
    for turn in 1..=3 {
        let claims = join_all(pods.iter().map(|pod| async {
            let mut mine = Vec::new();
            while mine.len() < 100 {
                let claim = pod.ask(at(turn * 60), &["work"], 3).await;
                mine.extend(claim.calls);
                // Soon, not at once: another claim is at what is due. Later: the successors alone are left.
                let Some(soon) = claim.next.filter(|next| *next < secs(1)) else { break };
                tokio::time::sleep(soon).await;
            }
            for call in &mine {
                assert!(pod.finish_keeping(at(turn * 60), call, Outcome::Succeeded, &FORGET).await);
            }
            mine
        }));
        let claimed: Vec<_> = claims.await.into_iter().flatten().collect();
        let schedules: BTreeSet<Option<ScheduleId>> = claimed.iter().map(|call| call.schedule).collect();
        assert_eq!((claimed.len(), schedules.len()), (20, 20), "turn {turn}: each once");
        runs += claimed.len();
        let pending = fixture.listed(CallState::Scheduled).await;
        assert_eq!(pending.len(), 20, "one successor each");
        assert!(pending.iter().all(|call| call.due == at((turn + 1) * 60)));
    }
    assert_eq!(runs, 60);
}
