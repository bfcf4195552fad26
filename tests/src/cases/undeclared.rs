use std::time::Duration;

use futurecall_runtime::recurring::{Missed, Rule};
use futurecall_runtime::store::{
    CallState, CancelTarget, LivePod, NewSchedule, Now, Outcome, PodBeat, ScheduleChange, ScheduleChanged,
    ScheduleOrigin, ScheduleState,
};
use futurecall_runtime::{Moment, PodId, ScheduleId};

use crate::cases::inspect::beat;
use crate::make::{KEEP, at, every, schedule, secs};
use crate::suite::{Fixture, cases};

cases![
    undeclared_schedules_of_attributes_end,
    other_live_pods_keep_their_schedules,
    a_schedule_whose_call_nobody_knows_ends_after_the_grace,
    what_pods_knew_is_remembered_when_they_are_forgotten,
    a_paused_schedule_outlives_those_who_knew_its_call,
    a_declaration_revives_an_undeclared_schedule,
    a_revived_schedule_makes_up_for_what_it_missed,
    a_schedule_that_a_person_ended_makes_up_for_nothing,
    a_rule_of_a_newer_version_is_left_alone,
    a_state_of_a_newer_version_is_left_alone,
];

/// Every minute, of the call `work`.
fn by_attribute(key: &str) -> NewSchedule {
    NewSchedule { origin: ScheduleOrigin::Attribute, ..schedule(key, every(60)) }
}

/// How long a heartbeat counts.
const LIVE: Duration = Duration::from_mins(1);

const DAY: Duration = Duration::from_hours(24);

/// How many schedules end when a pod starts that knows these names and declares these keys.
async fn end(fixture: &Fixture, now: Moment, names: &[&str], keys: &[&str], grace: Duration) -> u64 {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    let live = LivePod { names: owned(names), schedules: owned(keys), pod_live: LIVE };
    fixture.store.end_undeclared(Now::At(now), &live, grace).await.unwrap()
}

fn pod(names: &[&str], keys: &[&str]) -> PodBeat {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    PodBeat { names: owned(names), schedules: owned(keys), ..beat(PodId::new()) }
}

async fn states(fixture: &Fixture) -> Vec<(Option<String>, ScheduleState)> {
    let mut states: Vec<_> =
        fixture.store.schedules().await.unwrap().into_iter().map(|one| (one.identifier, one.state)).collect();
    states.sort_by(|one, other| one.0.cmp(&other.0));
    states
}

async fn undeclared_schedules_of_attributes_end(fixture: &Fixture) {
    let given = [by_attribute("kept"), by_attribute("gone"), schedule("code", every(60))];
    fixture.store.declare(Now::At(at(0)), &given).await.unwrap();
    assert_eq!(end(fixture, at(1), &["work"], &["kept"], DAY).await, 1);
    let expected =
        [("code", ScheduleState::Active), ("gone", ScheduleState::Ended), ("kept", ScheduleState::Active)];
    assert_eq!(states(fixture).await, expected.map(|(key, state)| (Some(key.to_owned()), state)));
    let schedules = fixture.store.schedules().await.unwrap();
    let ended = schedules.iter().find(|one| one.id == given[1].id).expect("it stays to be seen");
    assert_eq!(ended.next, None);
    assert!(ended.reason.as_ref().is_some_and(|reason| !reason.is_empty()), "it says why");
    let pending = fixture.listed(CallState::Scheduled).await;
    assert!(pending.len() == 2 && pending.iter().all(|call| call.schedule != Some(given[1].id)));
    assert_eq!(end(fixture, at(2), &["work"], &["kept"], DAY).await, 0, "once");
}

async fn other_live_pods_keep_their_schedules(fixture: &Fixture) {
    let given = [by_attribute("live"), by_attribute("stale"), by_attribute("left")];
    fixture.store.declare(Now::At(at(0)), &given).await.unwrap();
    let (live, stale, left) =
        (pod(&["work"], &["something else", "live"]), pod(&["work"], &["stale"]), pod(&["work"], &["left"]));
    fixture.store.beat(Now::At(at(0)), &stale).await.unwrap();
    fixture.store.beat(Now::At(at(90)), &live).await.unwrap();
    fixture.store.beat(Now::At(at(90)), &left).await.unwrap();
    fixture.store.leave(left.id).await.unwrap();
    // The one that asks knows nothing; that which lives knows the call, and declares one of its schedules.
    assert_eq!(end(fixture, at(100), &[], &[], DAY).await, 2);
    let expected =
        [("left", ScheduleState::Ended), ("live", ScheduleState::Active), ("stale", ScheduleState::Ended)];
    assert_eq!(states(fixture).await, expected.map(|(key, state)| (Some(key.to_owned()), state)));
}

async fn a_schedule_whose_call_nobody_knows_ends_after_the_grace(fixture: &Fixture) {
    fixture.declare(at(0), &by_attribute("mine")).await;
    let mine = pod(&["work"], &["mine"]);
    fixture.store.beat(Now::At(at(30)), &mine).await.unwrap();
    // Another service deploys again and again while ours is down.
    for seconds in [100, 200, 3_000, 3_630] {
        let stranger = pod(&["other"], &[]);
        fixture.store.beat(Now::At(at(seconds)), &stranger).await.unwrap();
        let ended = end(fixture, at(seconds), &["other"], &[], secs(3_600)).await;
        assert_eq!(ended, 0, "{seconds} s: less than the grace after the last heartbeat");
        fixture.store.leave(stranger.id).await.unwrap();
    }
    assert_eq!(fixture.the_pending().await.due, at(60), "its run waits for a pod that knows it");
    assert_eq!(end(fixture, at(3_631), &["other"], &[], secs(3_600)).await, 1);
    assert_eq!(fixture.the_schedule().await.state, ScheduleState::Ended);
}

async fn what_pods_knew_is_remembered_when_they_are_forgotten(fixture: &Fixture) {
    let (hour, day) = (3_600, 86_400);
    fixture.declare(at(0), &by_attribute("mine")).await;
    let (left, crashed) = (pod(&["work"], &["mine"]), pod(&["work"], &["mine"]));
    fixture.store.beat(Now::At(at(day)), &left).await.unwrap();
    fixture.store.leave(left.id).await.unwrap();
    let grace = secs(3_600);
    assert_eq!(end(fixture, at(day + hour), &[], &[], grace).await, 0, "counted from its last heartbeat");
    fixture.store.beat(Now::At(at(2 * day)), &crashed).await.unwrap();
    // Others beat until the crashed pod's row is gone.
    let stranger = pod(&["other"], &[]);
    fixture.store.beat(Now::At(at(4 * day)), &stranger).await.unwrap();
    assert_eq!(fixture.store.pods(Now::At(at(4 * day)), LIVE).await.unwrap().len(), 1);
    let since = |seconds: u64| secs(2 * 86_400 + seconds);
    assert_eq!(end(fixture, at(4 * day), &["other"], &[], since(0)).await, 0);
    assert_eq!(end(fixture, at(4 * day + 1), &["other"], &[], since(0)).await, 1);
}

async fn a_paused_schedule_outlives_those_who_knew_its_call(fixture: &Fixture) {
    let id = fixture.declare(at(0), &by_attribute("mine")).await;
    let pause = ScheduleChange::Pause { reason: "a person's wish".to_owned() };
    fixture.store.change_schedule(Now::At(at(1)), id, &pause, &KEEP).await.unwrap();
    assert_eq!(end(fixture, at(9_000), &["other"], &[], secs(60)).await, 0, "pausing lasts");
    assert_eq!(end(fixture, at(9_000), &["work"], &[], secs(60)).await, 1, "it is declared no more");
}

async fn a_declaration_revives_an_undeclared_schedule(fixture: &Fixture) {
    let id = fixture.declare(at(0), &by_attribute("nightly")).await;
    let running = fixture.pod().claim_one(at(60), "work").await;
    assert_eq!(end(fixture, at(61), &["work"], &[], DAY).await, 1);
    assert_eq!(fixture.state(running.id).await, CallState::Running, "a run under way goes on");
    let again = fixture.store.declare(Now::At(at(100)), &[by_attribute("nightly")]).await.unwrap();
    assert_eq!((again[0].id, again[0].created), (id, true));
    assert_eq!(fixture.the_pending().await.due, at(120), "it keeps its rhythm");
    // Another rule starts from the beginning.
    assert_eq!(end(fixture, at(101), &["work"], &[], DAY).await, 1);
    let other = NewSchedule { rule: every(90), ..by_attribute("nightly") };
    fixture.store.declare(Now::At(at(200)), &[other]).await.unwrap();
    assert_eq!(fixture.the_pending().await.due, at(290));
    // Code takes over what an attribute declared: then it no longer ends by itself.
    fixture.declare(at(201), &schedule("nightly", every(90))).await;
    assert_eq!(end(fixture, at(202), &["work"], &[], DAY).await, 0);
    assert_eq!(fixture.the_schedule().await.origin, ScheduleOrigin::Code);
}

async fn a_revived_schedule_makes_up_for_what_it_missed(fixture: &Fixture) {
    // Due at second 60, ended before, revived at second 200: those of 60, 120 and 180 were missed.
    let expected = [
        (Missed::RunOnce, vec![at(60)], at(240), 0),
        (Missed::Skip, vec![], at(240), 1),
        (Missed::RunAll, vec![at(60), at(120), at(180)], at(240), 0),
    ];
    let worker = fixture.pod();
    for (missed, runs, next, skipped) in expected {
        let mut rule: Rule = every(60);
        rule.missed = missed;
        let given = NewSchedule { rule, ..by_attribute("mine") };
        let cancelled = CancelTarget::Identifier("mine".to_owned());
        fixture.store.declare(Now::At(at(0)), std::slice::from_ref(&given)).await.unwrap();
        assert_eq!(end(fixture, at(1), &["work"], &[], DAY).await, 1);
        fixture.store.declare(Now::At(at(200)), std::slice::from_ref(&given)).await.unwrap();
        let (mut ran, mut skips) = (Vec::new(), 0);
        for _ in 0..5 {
            let claim = worker.ask(at(200), &["work"], 1).await;
            skips += claim.skipped;
            for call in claim.calls {
                ran.push(call.due);
                assert!(worker.finish(at(200), &call, Outcome::Succeeded).await);
            }
        }
        assert_eq!((ran, skips), (runs, skipped), "{missed:?}");
        assert_eq!(fixture.the_pending().await.due, next, "{missed:?}");
        fixture.store.cancel(Now::At(at(0)), &cancelled, &KEEP).await.unwrap();
    }
}

async fn a_schedule_that_a_person_ended_makes_up_for_nothing(fixture: &Fixture) {
    let given = by_attribute("mine");
    fixture.declare(at(0), &given).await;
    let target = CancelTarget::Identifier("mine".to_owned());
    fixture.store.cancel(Now::At(at(1)), &target, &KEEP).await.unwrap();
    let again = NewSchedule { id: ScheduleId::new(), ..given };
    fixture.store.declare(Now::At(at(200)), &[again]).await.unwrap();
    assert_eq!(fixture.the_pending().await.due, at(260), "its runs were not missed, but cancelled");
}

async fn a_rule_of_a_newer_version_is_left_alone(fixture: &Fixture) {
    let strange = [
        r#"{"recurrence":{"lunar":{"phase":"full"}}}"#,
        r#"{"recurrence":{"every":{"interval_us":60000000}},"missed":"ask_first"}"#,
        r#"{"recurrence":{"cron":{"expression":"0 2 * * *","time_zone":"Mars/Olympus"}}}"#,
    ];
    fixture.declare(at(0), &schedule("strange", every(60))).await;
    let run = fixture.the_pending().await.id;
    fixture.declare(at(0), &schedule("ordinary", every(60))).await;
    let pod = fixture.pod();
    let mut now = 60;
    for rule in strange {
        let sql = format!("UPDATE {{}}schedule SET effective = '{rule}' WHERE key = 'strange'");
        if !fixture.database.write(&sql).await {
            return;
        }
        for _ in 0..3 {
            now += 60;
            let claim = pod.ask(at(now), &["work"], 10).await;
            let claimed: Vec<_> = claim.calls.iter().map(|call| call.identifier.as_deref()).collect();
            assert_eq!((claimed, claim.skipped), (vec![Some("ordinary")], 0), "{rule}");
            assert!(claim.next.is_some_and(|next| next > secs(0)), "it keeps nobody busy: {:?}", claim.next);
            let again = pod.ask(at(now), &["work"], 10).await;
            assert_eq!((again.calls.len(), again.skipped), (0, 0), "{rule}");
            assert!(pod.finish(at(now), &claim.calls[0], Outcome::Succeeded).await);
            assert_eq!(fixture.record(run).await.attempt, 0, "no attempt is counted");
        }
    }
    // A person may have it run all the same once its rule can be read: here it is again the one that was declared.
    fixture.database.write("UPDATE {}schedule SET effective = declared WHERE key = 'strange'").await;
    let schedules = fixture.store.schedules().await.unwrap();
    assert!(schedules.iter().all(|one| one.state == ScheduleState::Active), "{schedules:?}");
    let claimed = pod.claim(at(now), &["work"], 10).await;
    assert!(claimed.iter().any(|call| call.id == run), "it waited for who can read its rule");
}

async fn a_state_of_a_newer_version_is_left_alone(fixture: &Fixture) {
    let given = by_attribute("strange");
    let id = fixture.declare(at(0), &given).await;
    let run = fixture.the_pending().await.id;
    if !fixture.database.write("UPDATE {}schedule SET state = 7").await {
        return;
    }
    let pod = fixture.pod();
    let claim = pod.ask(at(120), &["work"], 10).await;
    assert_eq!((claim.calls.len(), claim.skipped), (0, 0));

    let other = NewSchedule { id: ScheduleId::new(), rule: every(5), ..given };
    let declared = fixture.store.declare(Now::At(at(121)), &[other]).await.unwrap();
    assert_eq!((declared[0].id, declared[0].created, declared[0].changed), (id, false, false));
    for change in [ScheduleChange::Resume, ScheduleChange::Edit(every(5))] {
        assert_eq!(fixture.change(at(122), id, &change).await, ScheduleChanged::Unreadable, "{change:?}");
    }
    assert_eq!(end(fixture, at(123), &["work"], &[], DAY).await, 0);
    assert!(fixture.store.schedules().await.unwrap().is_empty(), "what it is in cannot be shown");

    fixture.database.write("UPDATE {}schedule SET state = 0").await;
    let claimed = pod.claim(at(124), &["work"], 10).await;
    assert_eq!(
        claimed.iter().map(|call| call.id).collect::<Vec<_>>(),
        [run],
        "it waited for who can read it"
    );
    let schedules = fixture.store.schedules().await.unwrap();
    assert_eq!(schedules[0].effective, every(60), "as before");
}
