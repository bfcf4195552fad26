//! Stored records: pauses, actions, statistics.

use std::collections::BTreeSet;
use std::time::Duration;

use futurecall_runtime::operate::ActionId;
use futurecall_runtime::store::{
    ActionFilter, ActionRecord, CallState, NewAction, NewSchedule, Now, ScheduleState, Span, Statistics,
};
use futurecall_runtime::{CallId, Moment, PodId, ScheduleId};

use super::{end, pause};
use crate::make::{KEEP, at, call, every, schedule};
use crate::suite::Fixture;

pub(super) async fn names_are_paused_and_resumed(fixture: &Fixture) {
    let store = &fixture.store;
    assert_eq!(store.paused_names().await.unwrap(), []);
    assert!(store.pause_name(Now::At(at(1)), "mail.send", "ada", "bounces").await.unwrap());
    assert!(store.pause_name(Now::At(at(2)), "Mail.send", "bob", "").await.unwrap());
    assert!(!fixture.other.pause_name(Now::At(at(3)), "mail.send", "bob", "me too").await.unwrap());
    let paused = fixture.other.paused_names().await.unwrap();
    let said: Vec<_> =
        paused.iter().map(|p| (p.name.as_str(), p.since, p.actor.as_str(), p.reason.as_str())).collect();
    assert_eq!(said, [("Mail.send", at(2), "bob", ""), ("mail.send", at(1), "ada", "bounces")]);
    assert!(fixture.other.resume_name("mail.send").await.unwrap());
    assert!(!store.resume_name("mail.send").await.unwrap());
    assert_eq!(store.paused_names().await.unwrap().len(), 1);
}

/// Once the pause has returned, no claim takes a call of that name, also one that is stored later, or stored as claimed.
pub(super) async fn nobody_claims_what_is_paused(fixture: &Fixture) {
    let (pod, other) = (fixture.pod(), fixture.other_pod());
    let names = ["paused", "work"];
    let (before, later, claimed) = (call("paused"), call("paused"), call("paused"));
    let run = fixture
        .declare(at(0), &NewSchedule { name: "paused".to_owned(), ..schedule("ticks", every(5)) })
        .await;
    fixture.add(std::slice::from_ref(&before)).await;
    // Both have looked, and know what there is.
    assert_eq!(
        (pod.ask(at(-1), &names, 10).await.calls, other.ask(at(-1), &names, 10).await.calls),
        (vec![], vec![])
    );
    assert!(fixture.other.pause_name(Now::At(at(0)), "paused", "ada", "").await.unwrap());
    fixture.add(&[later.clone(), call("work")]).await;
    let request = pod.request(&["paused"], 1);
    let stored = fixture.store.insert_claimed(Now::At(at(1)), &claimed, &request).await.unwrap();
    assert_eq!(stored, None);
    assert_eq!(fixture.state(claimed.id).await, CallState::Scheduled);
    // Repeated, it is the one that is stored.
    assert_eq!(fixture.store.insert_claimed(Now::At(at(1)), &claimed, &request).await.unwrap(), None);
    let taken = pod.ask(at(5), &names, 10).await.calls;
    assert_eq!(taken.iter().map(|call| call.name.as_str()).collect::<Vec<_>>(), ["work"]);
    for pod in [&pod, &other, &fixture.pod()] {
        assert_eq!(pod.ask(at(5), &names, 10).await.calls, []);
    }
    assert!(fixture.store.resume_name("paused").await.unwrap());
    let taken = fixture.other_pod().ask(at(5), &names, 10).await.calls;
    assert_eq!(taken.len(), 4, "{taken:?}");
    assert!(taken.iter().any(|call| call.schedule == Some(run)));
    let ids: BTreeSet<_> = taken.iter().map(|call| call.id).collect();
    assert!([before.id, later.id, claimed.id].iter().all(|id| ids.contains(id)));
}

fn action(verb: &str) -> NewAction {
    NewAction {
        id: ActionId::new(),
        actor: "ada".to_owned(),
        verb: verb.to_owned(),
        target: "everything".to_owned(),
        call: None,
        schedule: None,
    }
}

fn verbs(actions: &[ActionRecord]) -> Vec<&str> {
    actions.iter().map(|action| action.verb.as_str()).collect()
}

pub(super) async fn actions_are_on_record(fixture: &Fixture) {
    let store = &fixture.store;
    let (call, schedule) = (CallId::new(), ScheduleId::new());
    let noted = NewAction { call: Some(call), schedule: Some(schedule), ..action("cancel") };
    for seconds in [1, 2] {
        store.note_action(Now::At(at(seconds)), &noted).await.unwrap();
    }
    let actions = fixture.other.actions(&ActionFilter::new()).await.unwrap();
    assert_eq!(actions.len(), 1, "written twice it stands there once: {actions:?}");
    let record = &actions[0];
    assert_eq!((record.id, record.at, record.actor.as_str()), (noted.id, at(1), "ada"));
    assert_eq!((record.verb.as_str(), record.target.as_str()), ("cancel", "everything"));
    assert_eq!((record.call, record.schedule, &record.outcome), (Some(call), Some(schedule), &None));
    store.settle_action(noted.id, "3 done").await.unwrap();
    store.settle_action(ActionId::new(), "nobody's").await.unwrap();
    let actions = fixture.other.actions(&ActionFilter::new()).await.unwrap();
    assert_eq!(actions[0].outcome.as_deref(), Some("3 done"));
}

pub(super) async fn actions_are_listed_by_what_they_are_about(fixture: &Fixture) {
    let store = &fixture.store;
    let (call, schedule) = (CallId::new(), ScheduleId::new());
    let mut noted = [action("a"), action("b"), action("c"), action("d"), action("e")];
    noted[1].call = Some(call);
    noted[3].call = Some(call);
    noted[2].schedule = Some(schedule);
    noted[3].schedule = Some(schedule);
    // The first two at one moment: the later id is the newer.
    noted[..2].sort_by_key(|action| action.id);
    let seconds = [1, 1, 2, 3, 4];
    for (action, seconds) in noted.iter().zip(seconds) {
        store.note_action(Now::At(at(seconds)), action).await.unwrap();
    }
    let list = async |filter: ActionFilter| fixture.other.actions(&filter).await.unwrap();
    assert_eq!(verbs(&list(ActionFilter::new()).await), ["e", "d", "c", "b", "a"]);
    let all = list(ActionFilter::new().limit(2)).await;
    assert_eq!(verbs(&all), ["e", "d"]);
    let before = list(ActionFilter::new().before(all[1].id).limit(2)).await;
    assert_eq!(verbs(&before), ["c", "b"]);
    assert_eq!(verbs(&list(ActionFilter::new().before(before[1].id)).await), ["a"]);
    assert_eq!(list(ActionFilter::new().before(ActionId::new())).await, [], "before what is not there");
    assert_eq!(verbs(&list(ActionFilter::new().call(call)).await), ["d", "b"]);
    assert_eq!(verbs(&list(ActionFilter::new().schedule(schedule)).await), ["d", "c"]);
    assert_eq!(verbs(&list(ActionFilter::new().call(call).schedule(schedule)).await), ["d"]);
    assert_eq!(verbs(&list(ActionFilter::new().call(call).before(noted[3].id)).await), ["b"]);
}

fn counted(name: &str, minute: i64, succeeded: u64) -> Statistics {
    counted_by(Span::Minute, name, at(minute * 60), succeeded)
}

fn counted_by(span: Span, name: &str, start: Moment, succeeded: u64) -> Statistics {
    let mut row = Statistics::new(name.to_owned(), span, start);
    row.succeeded = succeeded;
    (row.failed, row.retried, row.interrupted, row.expired) = (1, 2, 3, 4);
    for _ in 0..succeeded {
        row.durations.add(Duration::from_millis(5));
        row.lateness.add(Duration::from_micros(succeeded));
    }
    row
}

pub(super) async fn statistics_are_summed_over_pods(fixture: &Fixture) {
    let store = &fixture.store;
    let (one, other) = (PodId::new(), PodId::new());
    store.put_statistics(one, &[]).await.unwrap();
    store.put_statistics(one, &[counted("a", 1, 1), counted("B", 1, 7), counted("a", 2, 1)]).await.unwrap();
    // What comes later replaces what was there, also within one batch.
    store.put_statistics(one, &[counted("a", 2, 3), counted("a", 2, 5)]).await.unwrap();
    store.put_statistics(other, &[counted("a", 2, 2)]).await.unwrap();
    let read = fixture.other.statistics(Span::Minute, at(0), None).await.unwrap();
    let seen: Vec<_> = read.iter().map(|row| (row.start, row.name.as_str(), row.succeeded)).collect();
    assert_eq!(seen, [(at(60), "B", 7), (at(60), "a", 1), (at(120), "a", 7)]);
    let mut sum = counted("a", 2, 5);
    sum.merge(&counted("a", 2, 2));
    assert_eq!(read[2], sum);
    assert_eq!((sum.failed, sum.retried, sum.interrupted, sum.expired), (2, 4, 6, 8));
    assert_eq!((sum.durations.count(), sum.lateness.count()), (7, 7));
    assert_eq!(fixture.other.statistics(Span::Minute, at(61), None).await.unwrap(), read[2..]);
    assert_eq!(fixture.other.statistics(Span::Minute, at(60), Some("B")).await.unwrap(), read[..1]);
    assert_eq!(fixture.other.statistics(Span::Minute, at(60), Some("b")).await.unwrap(), []);
}

pub(super) async fn statistics_by_minute_and_by_hour_stand_apart(fixture: &Fixture) {
    let store = &fixture.store;
    let (one, other) = (PodId::new(), PodId::new());
    let (minute, hour) = (counted("a", 0, 1), counted_by(Span::Hour, "a", at(0), 5));
    // One moment, name and pod, in one batch.
    store.put_statistics(one, &[minute.clone(), hour.clone(), counted("a", 60, 2)]).await.unwrap();
    store.put_statistics(other, &[counted_by(Span::Hour, "a", at(3_600), 3)]).await.unwrap();
    store.put_statistics(other, &[counted_by(Span::Hour, "a", at(3_600), 4)]).await.unwrap();
    let read = async |span, since, name| fixture.other.statistics(span, since, name).await.unwrap();
    assert_eq!(read(Span::Minute, at(0), None).await, [minute, counted("a", 60, 2)]);
    let hours = [hour, counted_by(Span::Hour, "a", at(3_600), 4)];
    assert_eq!(read(Span::Hour, at(0), None).await, hours);
    assert_eq!(read(Span::Hour, at(1), Some("a")).await, hours[1..]);
    assert_eq!(read(Span::Hour, at(0), Some("b")).await, []);
}

pub(super) async fn what_is_too_old_is_pruned(fixture: &Fixture) {
    let store = &fixture.store;
    let day = 24 * 3_600;
    for verb in ["old", "older", "kept"] {
        let moment = if verb == "kept" { at(10) } else { at(0) };
        store.note_action(Now::At(moment), &action(verb)).await.unwrap();
    }
    let hours = [0, 1].map(|hour| counted_by(Span::Hour, "a", at(hour * 3_600), 1));
    store.put_statistics(PodId::new(), &[counted("a", 0, 1), counted("a", 1, 1)]).await.unwrap();
    store.put_statistics(PodId::new(), &hours).await.unwrap();
    let left = async |span| {
        let left = store.statistics(span, at(0), None).await.unwrap();
        left.iter().map(|row| row.start).collect::<Vec<_>>()
    };
    assert_eq!(store.prune(Now::At(at(2 * day + 60)), &KEEP, 100).await.unwrap(), 0);
    assert_eq!(left(Span::Minute).await, [at(0), at(60)], "48 hours since it ended");
    store.prune(Now::At(at(2 * day + 61)), &KEEP, 100).await.unwrap();
    assert_eq!(left(Span::Minute).await, [at(60)]);
    store.prune(Now::At(at(2 * day + 3_600)), &KEEP, 100).await.unwrap();
    assert_eq!((left(Span::Minute).await, left(Span::Hour).await), (vec![], vec![at(0), at(3_600)]));
    store.prune(Now::At(at(2 * day + 3_601)), &KEEP, 100).await.unwrap();
    assert_eq!(left(Span::Hour).await, [at(3_600)]);
    assert_eq!(store.actions(&ActionFilter::new()).await.unwrap().len(), 3);
    store.prune(Now::At(at(90 * day + 1)), &KEEP, 100).await.unwrap();
    assert_eq!(verbs(&store.actions(&ActionFilter::new()).await.unwrap()), ["kept"]);
    assert_eq!((left(Span::Minute).await, left(Span::Hour).await), (vec![], vec![]));
}

pub(super) async fn texts_that_no_database_holds_are_refused(fixture: &Fixture) {
    let store = &fixture.store;
    let id = fixture.declare(at(0), &schedule("nightly", every(60))).await;
    let bad = "a\0b";
    let now = Now::At(at(1));
    let mut refused = vec![
        store.change_schedule(now, id, &pause(bad), &KEEP).await.map(drop),
        store.change_schedule(now, id, &end(bad), &KEEP).await.map(drop),
        store.settle_action(ActionId::new(), bad).await,
        store.put_statistics(PodId::new(), &[counted(bad, 0, 1)]).await,
        store.note_action(now, &action(bad)).await,
        store.note_action(now, &NewAction { actor: bad.to_owned(), ..action("x") }).await,
        store.note_action(now, &NewAction { target: bad.to_owned(), ..action("x") }).await,
    ];
    for (name, actor, reason) in [(bad, "", ""), ("a", bad, ""), ("a", "", bad)] {
        refused.push(store.pause_name(now, name, actor, reason).await.map(drop));
    }
    for result in refused {
        let error = result.expect_err("no database holds a NUL");
        assert!(error.is_refused(), "{error}");
    }
    assert_eq!(store.paused_names().await.unwrap(), []);
    assert_eq!(fixture.the_schedule().await.state, ScheduleState::Active);
    assert_eq!(fixture.the_pending().await.due, at(60));
}
