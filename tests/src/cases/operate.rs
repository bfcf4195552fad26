mod records;

use futurecall_runtime::store::{
    CallFilter, CallState, CancelTarget, Cancelled, ClaimedCall, Due, Finished, Inserted, NewSchedule, Now,
    Outcome, PendingName, Rescheduled, ScheduleChange, ScheduleChanged, ScheduleState,
};
use futurecall_runtime::{CallId, Moment, ScheduleId};
use futures_util::future::join_all;

use self::records::{
    actions_are_listed_by_what_they_are_about, actions_are_on_record, names_are_paused_and_resumed,
    nobody_claims_what_is_paused, statistics_are_summed_over_pods,
    statistics_by_minute_and_by_hour_stand_apart, texts_that_no_database_holds_are_refused,
    what_is_too_old_is_pruned,
};
use crate::make::{
    FORGET, KEEP, Pod, SOON, at, call, call_at, every, failed, finish, new_ids, retry, schedule,
};
use crate::suite::{Fixture, cases};

cases![
    chosen_calls_are_cancelled_in_one_go,
    chosen_calls_are_cancelled_in_a_transaction,
    chosen_runs_are_followed_by_their_schedules_next,
    chosen_calls_are_moved_in_one_go,
    finished_calls_are_deleted,
    a_paused_schedule_produces_nothing,
    a_pause_leaves_runs_under_way_alone,
    a_pause_outlasts_declarations_until_the_code_changes,
    a_resumed_schedule_goes_on_with_its_rule,
    an_edited_rule_outlasts_declarations_until_the_code_changes,
    an_edit_of_a_paused_schedule_changes_its_rule_alone,
    a_rule_without_a_first_moment_is_not_put_in_effect,
    an_ended_schedule_is_revived_by_a_declaration_alone,
    changes_of_a_schedule_from_many_sides_leave_one_next_run,
    a_triggered_run_is_one_more,
    a_triggered_run_waits_for_the_one_under_way,
    any_known_schedule_can_be_triggered,
    names_are_paused_and_resumed,
    nobody_claims_what_is_paused,
    actions_are_on_record,
    actions_are_listed_by_what_they_are_about,
    statistics_are_summed_over_pods,
    statistics_by_minute_and_by_hour_stand_apart,
    what_is_too_old_is_pruned,
    texts_that_no_database_holds_are_refused,
];

fn these(ids: impl IntoIterator<Item = CallId>) -> CancelTarget {
    CancelTarget::Calls(ids.into_iter().collect())
}

fn pause(reason: &str) -> ScheduleChange {
    ScheduleChange::Pause { reason: reason.to_owned() }
}

fn end(reason: &str) -> ScheduleChange {
    ScheduleChange::End { reason: reason.to_owned() }
}

const STORED: Option<Inserted> = Some(Inserted::Stored);

impl Fixture {
    pub(crate) async fn change(
        &self,
        now: Moment,
        id: ScheduleId,
        change: &ScheduleChange,
    ) -> ScheduleChanged {
        self.store.change_schedule(Now::At(now), id, change, &KEEP).await.expect("a change")
    }

    async fn trigger(&self, now: Moment, schedule: ScheduleId, id: CallId) -> Option<Inserted> {
        self.store.trigger(Now::At(now), schedule, id, false).await.expect("an answer")
    }

    /// Claims the run that is due.
    async fn run_due(&self, now: Moment) -> ClaimedCall {
        self.pod().claim_one(now, "work").await
    }
}

async fn chosen_calls_are_cancelled_in_one_go(fixture: &Fixture) {
    let pod = fixture.pod();
    let calls = [call("done"), call("running"), call("gone"), call_at("later", 60), call_at("left", 60)];
    fixture.add(&calls).await;
    let done = pod.claim_one(at(0), "done").await;
    assert!(pod.finish(at(1), &done, Outcome::Succeeded).await);
    let running = pod.claim_one(at(1), "running").await;
    let twice = calls.iter().chain(&calls).filter(|call| call.name != "left").map(|call| call.id);
    let target = these(twice.chain([CallId::new()]));
    assert_eq!(fixture.cancel(at(2), &target).await, Cancelled::new(2, 0, 1));
    assert!(pod.renew(at(3), &running).await.cancelled, "it is told");
    let states = [CallState::Succeeded, CallState::Running, CallState::Cancelled, CallState::Cancelled];
    for (call, state) in calls.iter().zip(states) {
        assert_eq!(fixture.state(call.id).await, state, "{}", call.name);
    }
    assert_eq!(fixture.record(calls[2].id).await.error.as_deref(), Some("cancelled"));
    assert_eq!(fixture.state(calls[4].id).await, CallState::Scheduled);
    assert_eq!(fixture.cancel(at(2), &target).await, Cancelled::new(0, 0, 1), "once more");
    // One whose lease has ended runs no more, and is told for the case that it does.
    assert_eq!(fixture.cancel(at(100), &target).await, Cancelled::new(0, 0, 0));
    assert_eq!(fixture.cancel(at(2), &these([])).await, Cancelled::default());
}

async fn chosen_calls_are_cancelled_in_a_transaction(fixture: &Fixture) {
    let calls: Vec<_> = (0..1_000).map(|_| call_at("work", 3_600)).collect();
    fixture.add(&calls).await;
    let target = these(new_ids(&calls));
    for commits in [false, true] {
        let Some(mut transaction) = fixture.database.begin().await else { return };
        let cancelled = fixture.store.cancel_in(transaction.lend().lend(), &target, &KEEP).await.unwrap();
        assert_eq!(cancelled, Cancelled::new(1_000, 0, 0));
        if commits {
            transaction.commit().await;
        } else {
            transaction.rollback().await;
        }
        let left = if commits { vec![] } else { vec![PendingName::new("work".to_owned(), 1_000)] };
        assert_eq!(fixture.store.pending_names(Now::At(Moment::MAX), 5_000).await.unwrap(), left);
    }
}

async fn chosen_runs_are_followed_by_their_schedules_next(fixture: &Fixture) {
    let mut ids = Vec::new();
    for key in ["a", "b", "c"] {
        ids.push(fixture.declare(at(0), &schedule(key, every(60))).await);
    }
    let runs: Vec<_> = fixture.listed(CallState::Scheduled).await.iter().map(|run| run.id).collect();
    assert_eq!(fixture.cancel(at(10), &these(runs)).await, Cancelled::new(3, 0, 0));
    let next = fixture.listed(CallState::Scheduled).await;
    assert_eq!(next.iter().map(|run| run.due).collect::<Vec<_>>(), [at(120); 3]);
    let schedules = fixture.store.schedules().await.unwrap();
    assert!(schedules.iter().all(|schedule| schedule.state == ScheduleState::Active));
}

async fn chosen_calls_are_moved_in_one_go(fixture: &Fixture) {
    let pod = fixture.pod();
    let calls = [call("running"), call_at("a", 60), call_at("a", 70), call_at("b", 80), call_at("left", 90)];
    fixture.add(&calls).await;
    fixture.declare(at(0), &schedule("run", every(300))).await;
    let run = fixture.the_schedule().await;
    let run = fixture.list(CallFilter::new().schedule(run.id)).await.remove(0);
    pod.claim_one(at(0), "running").await;
    let ids = calls.iter().chain(&calls).filter(|call| call.name != "left").map(|call| call.id);
    let target = these(ids.chain([run.id, CallId::new()]));
    let moved = fixture.store.reschedule(Now::At(at(1)), &target, Due::At(at(5)), SOON).await.unwrap();
    assert_eq!(moved, Rescheduled::new(4, 1));
    for id in [calls[1].id, calls[2].id, calls[3].id, run.id] {
        assert_eq!(fixture.record(id).await.due, at(5));
    }
    assert_eq!(fixture.record(calls[4].id).await.due, at(90));
    let due = pod.claim(at(5), &["a", "b", "left", "work"], 10).await;
    assert_eq!(due.len(), 4, "{due:?}");
    let moved = fixture.store.reschedule(Now::At(at(6)), &these([]), Due::At(at(5)), SOON).await.unwrap();
    assert_eq!(moved, Rescheduled::default());
}

async fn finished_calls_are_deleted(fixture: &Fixture) {
    let pod = fixture.pod();
    let calls = [call("a"), call("b"), call_at("c", 60)];
    fixture.add(&calls).await;
    for (name, outcome) in [("a", Outcome::Succeeded), ("b", failed("no"))] {
        let claimed = pod.claim_one(at(0), name).await;
        assert!(pod.finish(at(1), &claimed, outcome).await);
    }
    let ids = [calls[0].id, calls[0].id, calls[2].id, CallId::new()];
    assert_eq!(fixture.store.delete(Now::At(at(100)), &ids).await.unwrap(), 1, "pending ones are left alone");
    assert_eq!(fixture.find(calls[0].id).await, None);
    assert_eq!(fixture.state(calls[1].id).await, CallState::Failed);
    assert_eq!(fixture.state(calls[2].id).await, CallState::Scheduled);
    assert_eq!(fixture.store.delete(Now::At(at(100)), &ids).await.unwrap(), 0);
    assert_eq!(fixture.store.delete(Now::At(at(100)), &[]).await.unwrap(), 0);
}

async fn a_paused_schedule_produces_nothing(fixture: &Fixture) {
    let id = fixture.declare(at(0), &schedule("nightly", every(60))).await;
    let pending = fixture.the_pending().await.id;
    assert_eq!(fixture.change(at(10), id, &pause("too loud")).await, ScheduleChanged::Changed);
    let record = fixture.the_schedule().await;
    assert_eq!((record.state, record.next), (ScheduleState::Paused, None));
    assert_eq!(record.reason.as_deref(), Some("too loud"));
    assert_eq!(fixture.listed(CallState::Scheduled).await, []);
    let cancelled = fixture.record(pending).await;
    assert_eq!(cancelled.state, CallState::Cancelled);
    assert_eq!(cancelled.error.as_deref(), Some("its schedule was paused"));
    assert_eq!(fixture.change(at(11), id, &pause("again")).await, ScheduleChanged::Unchanged);
    assert_eq!(fixture.the_schedule().await.reason.as_deref(), Some("too loud"));
    assert_eq!(fixture.pod().claim(at(1_000), &["work"], 10).await, []);

    // Where cancelled calls are not kept, none is written down.
    let id =
        fixture.declare(at(0), &NewSchedule { name: "other".to_owned(), ..schedule("b", every(60)) }).await;
    let pending = fixture.the_pending().await.id;
    let changed = fixture.store.change_schedule(Now::At(at(1)), id, &pause(""), &FORGET).await.unwrap();
    assert_eq!(changed, ScheduleChanged::Changed);
    assert_eq!(fixture.find(pending).await, None);
}

async fn a_pause_leaves_runs_under_way_alone(fixture: &Fixture) {
    let pod = fixture.pod();
    let id = fixture.declare(at(0), &schedule("nightly", every(60))).await;
    let run = fixture.run_due(at(60)).await;
    assert_eq!(fixture.change(at(61), id, &pause("")).await, ScheduleChanged::Changed);
    assert_eq!(fixture.listed(CallState::Scheduled).await, [], "its successor is gone");
    assert_eq!(fixture.state(run.id).await, CallState::Running);
    let owner = fixture.record(run.id).await.pod.unwrap();
    let finished = [finish(&run, retry("not yet", 10))];
    assert_eq!(
        fixture.store.finish(Now::At(at(62)), owner, &finished, &KEEP).await.unwrap(),
        [Finished::Recorded]
    );
    // It is tried again although the schedule is paused, and brings no successor.
    let again = pod.claim_one(at(80), "work").await;
    assert_eq!((again.id, again.attempt), (run.id, 2));
    assert_eq!(pod.release(at(81), &again).await, 1);
    assert_eq!(fixture.the_pending().await.id, run.id);
    let again = pod.claim_one(at(82), "work").await;
    assert!(pod.finish(at(83), &again, Outcome::Succeeded).await);
    assert_eq!(fixture.listed(CallState::Scheduled).await, []);
    assert_eq!(fixture.change(at(90), id, &ScheduleChange::Resume).await, ScheduleChanged::Changed);
    assert_eq!(fixture.the_pending().await.due, at(120));
}

async fn a_pause_outlasts_declarations_until_the_code_changes(fixture: &Fixture) {
    let declared = schedule("nightly", every(60));
    let id = fixture.declare(at(0), &declared).await;
    fixture.change(at(10), id, &pause("ask ada")).await;
    for seconds in [20, 200] {
        assert_eq!(fixture.declare(at(seconds), &declared).await, id);
        let record = fixture.the_schedule().await;
        assert_eq!((record.state, record.reason.as_deref()), (ScheduleState::Paused, Some("ask ada")));
        assert_eq!(fixture.listed(CallState::Scheduled).await, []);
    }
    let changed = NewSchedule { args: r#"{"n": 2}"#.to_owned(), ..declared };
    assert_eq!(fixture.declare(at(250), &changed).await, id);
    let record = fixture.the_schedule().await;
    assert_eq!((record.state, record.reason), (ScheduleState::Active, None));
    assert_eq!((record.next, record.anchor), (Some(at(310)), at(310)), "it begins anew");
}

async fn a_resumed_schedule_goes_on_with_its_rule(fixture: &Fixture) {
    let id = fixture.declare(at(0), &schedule("nightly", every(60))).await;
    fixture.change(at(10), id, &pause("")).await;
    assert_eq!(fixture.change(at(1_000), id, &ScheduleChange::Resume).await, ScheduleChanged::Changed);
    let record = fixture.the_schedule().await;
    assert_eq!((record.state, record.reason, record.next), (ScheduleState::Active, None, Some(at(1_020))));
    assert_eq!(fixture.pod().claim(at(1_019), &["work"], 10).await, [], "what was missed stays missed");
    assert_eq!(fixture.change(at(1_001), id, &ScheduleChange::Resume).await, ScheduleChanged::Unchanged);
    assert_eq!(fixture.the_pending().await.due, at(1_020));
    // Before its first run as well.
    fixture.change(at(1_002), id, &end("")).await;
    let later = NewSchedule { rule: every(60).starting_at(at(5_000)), ..schedule("nightly", every(60)) };
    assert_eq!(fixture.declare(at(1_003), &later).await, id);
    fixture.change(at(1_004), id, &pause("")).await;
    fixture.change(at(1_005), id, &ScheduleChange::Resume).await;
    assert_eq!(fixture.the_pending().await.due, at(5_000));
}

async fn an_edited_rule_outlasts_declarations_until_the_code_changes(fixture: &Fixture) {
    let declared = schedule("nightly", every(60));
    let id = fixture.declare(at(0), &declared).await;
    let edit = ScheduleChange::Edit(every(10));
    assert_eq!(fixture.change(at(5), id, &edit).await, ScheduleChanged::Changed);
    assert_eq!(fixture.change(at(6), id, &edit).await, ScheduleChanged::Unchanged);
    for seconds in [7, 8] {
        let record = fixture.the_schedule().await;
        assert_eq!((&record.declared, &record.effective), (&every(60), &every(10)));
        assert_eq!((record.anchor, record.next), (at(15), Some(at(15))));
        assert_eq!(fixture.declare(at(seconds), &declared).await, id);
    }
    let run = fixture.run_due(at(15)).await;
    assert_eq!((run.due, fixture.the_pending().await.due), (at(15), at(25)), "it goes by the edited rule");
    let changed = NewSchedule { rule: every(30), ..declared };
    assert_eq!(fixture.declare(at(20), &changed).await, id);
    let record = fixture.the_schedule().await;
    assert_eq!((record.declared, record.effective, record.next), (every(30), every(30), Some(at(50))));
}

async fn an_edit_of_a_paused_schedule_changes_its_rule_alone(fixture: &Fixture) {
    let id = fixture.declare(at(0), &schedule("nightly", every(60))).await;
    fixture.change(at(1), id, &pause("")).await;
    assert_eq!(fixture.change(at(2), id, &ScheduleChange::Edit(every(10))).await, ScheduleChanged::Changed);
    let record = fixture.the_schedule().await;
    assert_eq!((record.state, record.next, record.effective), (ScheduleState::Paused, None, every(10)));
    assert_eq!(fixture.listed(CallState::Scheduled).await, []);
    fixture.change(at(14), id, &ScheduleChange::Resume).await;
    assert_eq!(fixture.the_pending().await.due, at(22));
}

async fn a_rule_without_a_first_moment_is_not_put_in_effect(fixture: &Fixture) {
    let id = fixture.declare(at(0), &schedule("nightly", every(60))).await;
    let almost_over = Moment::from_micros(Moment::MAX.as_micros() - 3_600_000_000).unwrap();
    let edit = ScheduleChange::Edit(every(86_400));
    let error = fixture.store.change_schedule(Now::At(almost_over), id, &edit, &KEEP).await.unwrap_err();
    assert!(error.is_refused() && !error.is_transient(), "{error}");
    assert_eq!(fixture.the_schedule().await.effective, every(60));
    assert_eq!(fixture.the_pending().await.due, at(60));
}

async fn an_ended_schedule_is_revived_by_a_declaration_alone(fixture: &Fixture) {
    let declared = schedule("nightly", every(60));
    let id = fixture.declare(at(0), &declared).await;
    let pending = fixture.the_pending().await.id;
    assert_eq!(fixture.change(at(1), id, &end("no longer wanted")).await, ScheduleChanged::Changed);
    let record = fixture.the_schedule().await;
    assert_eq!((record.state, record.reason.as_deref()), (ScheduleState::Ended, Some("no longer wanted")));
    assert_eq!(fixture.record(pending).await.error.as_deref(), Some("its schedule was ended"));
    for change in [pause(""), ScheduleChange::Resume, ScheduleChange::Edit(every(5))] {
        assert_eq!(fixture.change(at(2), id, &change).await, ScheduleChanged::Ended, "{change:?}");
    }
    assert_eq!(fixture.change(at(2), id, &end("")).await, ScheduleChanged::Unchanged);
    assert_eq!(fixture.declare(at(3), &declared).await, id);
    assert_eq!(fixture.the_schedule().await.next, Some(at(63)));
    let unknown = ScheduleId::new();
    for change in [pause(""), ScheduleChange::Resume, ScheduleChange::Edit(every(5)), end("")] {
        assert_eq!(fixture.change(at(2), unknown, &change).await, ScheduleChanged::Unknown, "{change:?}");
    }
}

async fn changes_of_a_schedule_from_many_sides_leave_one_next_run(fixture: &Fixture) {
    let declared = schedule("busy", every(1));
    let id = fixture.declare(at(0), &declared).await;
    let sides = (0..8_i64).map(|side| {
        let declared = &declared;
        async move {
            let store = if side % 2 == 0 { &fixture.store } else { &fixture.other };
            let pod = Pod::on(store);
            for step in 0..6 {
                let now = at(side * 10 + step);
                let change = match (side + step) % 4 {
                    0 => pause("now and then"),
                    1 => ScheduleChange::Resume,
                    2 => ScheduleChange::Edit(every(u64::try_from(2 + side).unwrap())),
                    _ => ScheduleChange::Edit(every(1)),
                };
                store.change_schedule(Now::At(now), id, &change, &KEEP).await.expect("a change");
                for run in pod.claim(now, &["work"], 2).await {
                    store.cancel(Now::At(now), &these([run.id]), &KEEP).await.expect("a cancellation");
                    pod.finish(now, &run, Outcome::Succeeded).await;
                }
                store.declare(Now::At(now), std::slice::from_ref(declared)).await.expect("a declaration");
            }
        }
    });
    join_all(sides).await;
    fixture.change(at(200), id, &ScheduleChange::Resume).await;
    assert_eq!(fixture.the_schedule().await.state, ScheduleState::Active);
    fixture.the_pending().await;
}

async fn a_triggered_run_is_one_more(fixture: &Fixture) {
    let declared = NewSchedule { priority: 3, ..schedule("nightly", every(60)) };
    let id = fixture.declare(at(0), &declared).await;
    let extra = CallId::new();
    for _ in 0..2 {
        assert_eq!(fixture.trigger(at(10), id, extra).await, STORED);
    }
    let record = fixture.record(extra).await;
    assert_eq!((record.name.as_str(), record.args.as_str(), record.priority), ("work", r#"{"n": 1}"#, 3));
    assert_eq!((record.schedule, record.identifier), (Some(id), declared.identifier));
    assert_eq!((record.state, record.due, record.created), (CallState::Scheduled, at(10), at(10)));
    assert_eq!(fixture.the_schedule().await.next, Some(at(60)));
    let run = fixture.run_due(at(11)).await;
    assert_eq!((run.id, run.schedule, run.attempt), (extra, Some(id), 1));
    assert_eq!(fixture.the_pending().await.due, at(60), "no successor but the rule's own");
    let owner = fixture.record(extra).await.pod.unwrap();
    let finished = [finish(&run, Outcome::Succeeded)];
    assert_eq!(
        fixture.store.finish(Now::At(at(12)), owner, &finished, &KEEP).await.unwrap(),
        [Finished::Recorded]
    );
    assert_eq!(fixture.trigger(at(13), id, extra).await, STORED, "it has run already");
    assert_eq!(fixture.the_pending().await.due, at(60));
    assert_eq!(fixture.run_due(at(60)).await.due, at(60));
    assert_eq!(fixture.the_pending().await.due, at(120));
}

async fn a_triggered_run_waits_for_the_one_under_way(fixture: &Fixture) {
    let pod = fixture.pod();
    let id = fixture.declare(at(0), &schedule("nightly", every(60))).await;
    let run = pod.claim_one(at(60), "work").await;
    let extra = CallId::new();
    assert_eq!(fixture.trigger(at(61), id, extra).await, STORED);
    assert_eq!(pod.claim(at(62), &["work"], 10).await, [], "runs of this rule do not overlap");
    assert!(pod.finish(at(63), &run, Outcome::Succeeded).await);
    assert_eq!(pod.claim_one(at(64), "work").await.id, extra);
}

async fn any_known_schedule_can_be_triggered(fixture: &Fixture) {
    let id = fixture.declare(at(0), &schedule("nightly", every(60))).await;
    for (seconds, change) in [(1, pause("")), (2, end(""))] {
        // A paused one cannot be ended and triggered in one go: each by itself.
        assert_eq!(fixture.change(at(seconds), id, &change).await, ScheduleChanged::Changed);
        let extra = CallId::new();
        assert_eq!(fixture.trigger(at(seconds), id, extra).await, STORED);
        let run = fixture.run_due(at(seconds)).await;
        assert_eq!(run.id, extra);
        assert_eq!(fixture.listed(CallState::Scheduled).await, [], "and nothing follows");
        let owner = fixture.record(extra).await.pod.unwrap();
        let finished = [finish(&run, Outcome::Succeeded)];
        assert_eq!(
            fixture.store.finish(Now::At(at(seconds)), owner, &finished, &KEEP).await.unwrap(),
            [Finished::Recorded]
        );
    }
    let call = CallId::new();
    assert_eq!(fixture.trigger(at(3), ScheduleId::new(), call).await, None);
    assert_eq!(fixture.find(call).await, None);
}
