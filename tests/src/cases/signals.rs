use std::time::Duration;

use futurecall_runtime::store::{Backlog, NewLog, Now, Outcome, Retention, Store};
use futurecall_runtime::{CallId, Moment, PodId};

use crate::cases::inspect::beat;
use crate::make::{FORGET, KEEP, at, call, call_at, failed, retry, secs};
use crate::suite::{Fixture, cases};

cases![
    nothing_waits_in_an_empty_store,
    what_waits_is_counted_by_lane,
    what_is_claimed_does_not_wait,
    recent_heartbeats_are_counted,
    logs_are_kept_by_attempt,
    of_one_attempt_the_first_log_stays,
    logs_go_with_their_calls,
    logs_go_when_their_calls_are_deleted,
    logs_of_calls_without_a_row_go_by_age,
];

async fn backlog(fixture: &Fixture, seconds: i64, cap: u64) -> Backlog {
    fixture.store.backlog(Now::At(at(seconds)), cap, secs(15)).await.unwrap()
}

async fn nothing_waits_in_an_empty_store(fixture: &Fixture) {
    assert_eq!(backlog(fixture, 0, 10).await, Backlog::default());
}

async fn what_waits_is_counted_by_lane(fixture: &Fixture) {
    let mut calls = Vec::new();
    for (name, priority, seconds) in [
        ("a", 0, 5),
        ("a", 0, 6),
        ("a", 0, 90),
        ("a", -3, 7),
        ("a", 9, 95),
        ("b", 2, 3),
        ("b", 2, 80),
        ("c", 0, 99),
    ] {
        let mut call = call_at(name, seconds);
        call.priority = priority;
        calls.push(call);
    }
    fixture.add(&calls).await;
    let waits = |scheduled, due, oldest: Option<u64>| Backlog {
        scheduled,
        due,
        oldest_due_age: oldest.map(secs),
        pods: 0,
    };
    assert_eq!(backlog(fixture, 2, 100).await, waits(8, 0, None));
    assert_eq!(backlog(fixture, 3, 100).await, waits(8, 1, Some(0)));
    assert_eq!(backlog(fixture, 10, 100).await, waits(8, 4, Some(7)));
    assert_eq!(backlog(fixture, 100, 100).await, waits(8, 8, Some(97)));
    // Counting stops at one a lane; there are five.
    assert_eq!(backlog(fixture, 10, 1).await, waits(5, 3, Some(7)));
}

async fn what_is_claimed_does_not_wait(fixture: &Fixture) {
    fixture.add(&[call_at("a", 1), call_at("a", 2), call_at("a", 3)]).await;
    let pod = fixture.pod();
    let claimed = pod.claim(at(5), &["a"], 1).await;
    let seen = backlog(fixture, 5, 100).await;
    assert_eq!((seen.scheduled, seen.due, seen.oldest_due_age), (2, 2, Some(secs(3))));
    // It waits again for its next attempt.
    assert!(pod.finish(at(6), &claimed[0], retry("again", 60)).await);
    let seen = backlog(fixture, 6, 100).await;
    assert_eq!((seen.scheduled, seen.due, seen.oldest_due_age), (3, 2, Some(secs(4))));
}

async fn recent_heartbeats_are_counted(fixture: &Fixture) {
    for seconds in [0, 10, 20] {
        fixture.store.beat(Now::At(at(seconds)), &beat(PodId::new())).await.unwrap();
    }
    assert_eq!(backlog(fixture, 20, 10).await.pods, 2);
    assert_eq!(backlog(fixture, 25, 10).await.pods, 2);
    assert_eq!(backlog(fixture, 36, 10).await.pods, 0);
}

fn log(id: CallId, attempt: u32, text: &str) -> NewLog {
    NewLog { id, attempt, text: text.to_owned() }
}

fn kept(attempt: u32, text: &str, seconds: i64) -> (u32, String, Moment) {
    (attempt, text.to_owned(), at(seconds))
}

async fn logs(store: &dyn Store, id: CallId) -> Vec<(u32, String, Moment)> {
    let logs = store.logs(id).await.unwrap();
    logs.into_iter().map(|log| (log.attempt, log.text, log.at)).collect()
}

async fn keep(fixture: &Fixture, seconds: i64, logs: &[NewLog]) {
    fixture.store.keep_logs(Now::At(at(seconds)), logs).await.unwrap();
}

async fn logs_are_kept_by_attempt(fixture: &Fixture) {
    let (one, other, none) = (CallId::new(), CallId::new(), CallId::new());
    let text = "INFO smtp: sent to=\"é\\\" {}\nWARN slow\n\ttab '; DROP TABLE call";
    keep(fixture, 1, &[log(one, 2, "second"), log(other, 1, text)]).await;
    keep(fixture, 2, &[log(one, 1, "first"), log(one, 10, "")]).await;
    let expected = [kept(1, "first", 2), kept(2, "second", 1), kept(10, "", 2)];
    assert_eq!(logs(&*fixture.other, one).await, expected);
    assert_eq!(logs(&*fixture.other, other).await, [kept(1, text, 1)]);
    assert_eq!(logs(&*fixture.other, none).await, []);
    keep(fixture, 3, &[]).await;
    let nul = fixture.store.keep_logs(Now::At(at(3)), &[log(none, 1, "a\0b")]).await;
    assert!(nul.unwrap_err().is_refused());
}

async fn of_one_attempt_the_first_log_stays(fixture: &Fixture) {
    let id = CallId::new();
    keep(fixture, 1, &[log(id, 1, "first"), log(id, 1, "twice in one go")]).await;
    keep(fixture, 2, &[log(id, 1, "a repetition"), log(id, 2, "second")]).await;
    assert_eq!(logs(&*fixture.store, id).await, [kept(1, "first", 1), kept(2, "second", 2)]);
}

async fn logs_go_with_their_calls(fixture: &Fixture) {
    fixture.add(&[call("work"), call("work"), call("work")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim(at(0), &["work"], 3).await;
    let ids: Vec<_> = claimed.iter().map(|call| call.id).collect();
    keep(fixture, 1, &ids.iter().map(|id| log(*id, 1, "x")).collect::<Vec<_>>()).await;
    assert!(pod.finish(at(1), &claimed[0], Outcome::Succeeded).await);
    assert!(pod.finish(at(1), &claimed[1], failed("x")).await);
    let retention = Retention { succeeded: secs(10), failed: secs(100), ..KEEP };
    let prune = async |seconds| {
        fixture.store.prune(Now::At(at(seconds)), &retention, 100).await.unwrap();
        let mut left = Vec::new();
        for id in &ids {
            left.push(fixture.store.logs(*id).await.unwrap().len());
        }
        left
    };
    assert_eq!(prune(11).await, [1, 1, 1]);
    assert_eq!(prune(12).await, [0, 1, 1]);
    assert_eq!(prune(102).await, [0, 0, 1], "the third is still running");
}

async fn logs_go_when_their_calls_are_deleted(fixture: &Fixture) {
    fixture.add(&[call("work"), call("work"), call("work")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim(at(0), &["work"], 3).await;
    let ids: Vec<_> = claimed.iter().map(|call| call.id).collect();
    let both = |id: &CallId| [log(*id, 1, "x"), log(*id, 2, "y")];
    keep(fixture, 1, &ids.iter().flat_map(both).collect::<Vec<_>>()).await;
    assert!(pod.finish(at(1), &claimed[0], Outcome::Succeeded).await);
    assert!(pod.finish(at(1), &claimed[1], failed("x")).await);
    let deleted = fixture.store.delete(Now::Database, &[ids[0], ids[2], CallId::new()]).await.unwrap();
    let mut left = Vec::new();
    for id in &ids {
        left.push(logs(&*fixture.other, *id).await.len());
    }
    assert_eq!((deleted, left), (1, vec![0, 2, 2]), "the third is still running");
}

async fn logs_of_calls_without_a_row_go_by_age(fixture: &Fixture) {
    let unowned: Vec<_> = (0..5).map(|_| log(CallId::new(), 1, "x")).collect();
    for (seconds, log) in (0..).zip(&unowned) {
        keep(fixture, seconds, std::slice::from_ref(log)).await;
    }
    let longest = Duration::from_secs(10);
    let retention = Retention { cancelled: longest, ..FORGET };
    let pruned = fixture.store.prune(Now::At(at(12)), &retention, 100).await.unwrap();
    assert_eq!(pruned, 0, "it counts calls");
    let mut left = Vec::new();
    for log in &unowned {
        left.push(fixture.store.logs(log.id).await.unwrap().len());
    }
    assert_eq!(left, [0, 0, 1, 1, 1]);
}
