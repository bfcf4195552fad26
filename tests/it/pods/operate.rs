//! Operators' actions, and the reaction of pods.

use std::time::Duration;

use futurecall_runtime::inspect::{CallFilter, ScheduleState, Span, Statistics};
use futurecall_runtime::operate::{ActionFilter, OperateError, ScheduleChanged, Selection};
use futurecall_runtime::recurring::Rule;
use futurecall_runtime::store::{Due, NewCall, NewSchedule, Now, ScheduleOrigin};
use futurecall_runtime::{CallId, CallState, Moment, Pod, Role, ScheduleError, ScheduleId};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::on_all_stores;

use super::support::{Fail, Note, UntilCancelled};

const HOUR: Duration = Duration::from_hours(1);

/// A pod that looks by itself once in ten minutes: what it knows in time, it has heard.
async fn hearing(backend: &Backend, journal: &Journal, names: [&str; 2]) -> Pod {
    let builder = backend.builder().config(Backend::config().scan_interval(Duration::from_mins(10)));
    let note = || Note(journal.clone());
    let builder = builder.register_future_call(names[0], note()).register_future_call(names[1], note());
    builder.start().await.unwrap()
}

async fn call(pod: &Pod, name: &str, delay: Duration) -> CallId {
    pod.future_call_with_delay(name, Some(name), delay).await.unwrap()
}

/// The verb, target and outcome of each action, the oldest first.
async fn said(pod: &Pod) -> Vec<(String, String, String)> {
    let mut actions = pod.inspect().actions(&ActionFilter::new()).await.unwrap();
    assert!(actions.iter().all(|action| action.actor == "ada"), "{actions:?}");
    actions.reverse();
    actions
        .into_iter()
        .map(|action| (action.verb, action.target, action.outcome.unwrap_or_default()))
        .collect()
}

async fn state_of(pod: &Pod, id: CallId) -> Option<CallState> {
    pod.future_calls().status(id).await.unwrap()
}

/// A schedule, as a start of a pod declares it.
async fn declare(backend: &Backend) -> ScheduleId {
    let schedule = NewSchedule {
        id: ScheduleId::new(),
        key: "ticks".to_owned(),
        former_keys: Vec::new(),
        name: "note".to_owned(),
        identifier: None,
        args: r#"{"data":"tick"}"#.to_owned(),
        format: 2,
        priority: 0,
        rule: Rule::every(HOUR).unwrap(),
        origin: ScheduleOrigin::Code,
    };
    backend.store().await.declare(Now::Database, &[schedule]).await.unwrap()[0].id
}

/// Starts a pod without background tasks that runs `note` and `fail` on request.
async fn by_hand(backend: &Backend, journal: &Journal) -> Pod {
    let builder = backend.builder().role(Role::Maintenance);
    let builder = builder.register_future_call("note", Note(journal.clone()));
    builder.register_future_call("fail", Fail(journal.clone())).start().await.unwrap()
}

on_all_stores! {
    async fn a_paused_name_waits_on_every_pod_until_it_is_resumed(backend: &Backend) {
        let journal = Journal::new();
        let operating = backend.builder().role(Role::Serverless).start().await.unwrap();
        let ada = operating.operate("ada");
        for gate in ["gate.a", "gate.b"] {
            assert!(ada.pause_name(gate, "for the test").await.unwrap());
        }
        let pods = [
            hearing(backend, &journal, ["gate.a", "note"]).await,
            hearing(backend, &journal, ["gate.b", "note"]).await,
        ];
        assert!(ada.pause_name("note", "bounces").await.unwrap());
        assert!(!ada.pause_name("note", "again").await.unwrap());
        // A pod that runs what was resumed has read the pauses after `note` was paused.
        for (at, gate) in ["gate.a", "gate.b"].into_iter().enumerate() {
            call(&operating, gate, Duration::ZERO).await;
            assert!(ada.resume_name(gate).await.unwrap());
            assert_eq!(journal.wait_for(at + 1).await.len(), at + 1);
        }
        let waits = call(&operating, "note", Duration::ZERO).await;
        for gate in ["gate.a", "gate.b"] {
            call(&operating, gate, Duration::ZERO).await;
        }
        assert_eq!(journal.wait_for(4).await[2..].iter().filter(|line| *line == "note").count(), 0);
        assert_eq!(state_of(&operating, waits).await, Some(CallState::Scheduled));
        assert!(ada.resume_name("note").await.unwrap());
        assert!(!ada.resume_name("note").await.unwrap());
        assert_eq!(journal.wait_for(5).await[4], "note");
        for pod in pods {
            pod.shutdown().await;
        }
        operating.shutdown().await;
    }

    async fn nothing_that_is_stored_after_a_pause_starts(backend: &Backend) {
        const CALLS: usize = 40;
        let journal = Journal::new();
        let pods = [
            hearing(backend, &journal, ["note", "other"]).await,
            hearing(backend, &journal, ["note", "other"]).await,
        ];
        let operating = backend.builder().role(Role::Serverless).start().await.unwrap();
        assert!(operating.operate("ada").pause_name("note", "").await.unwrap());
        // By a pod that runs such calls itself, and by one that does not.
        let mut paused = Vec::new();
        for number in 0..CALLS {
            let by = if number % 2 == 0 { &pods[0] } else { &operating };
            paused.push(call(by, "note", Duration::ZERO).await);
        }
        // Whoever claims these, would have claimed those: they have been due for longer.
        for number in 0..10 {
            call(&operating, "other", Duration::ZERO).await;
            assert_eq!(journal.wait_for(number + 1).await.len(), number + 1);
        }
        for id in &paused {
            assert_eq!(state_of(&operating, *id).await, Some(CallState::Scheduled));
        }
        assert!(journal.lines().iter().all(|line| line == "other"));
        assert!(operating.operate("ada").resume_name("note").await.unwrap());
        let lines = journal.wait_for(10 + CALLS).await;
        assert_eq!(lines.iter().filter(|line| *line == "note").count(), CALLS);
        for pod in pods {
            pod.shutdown().await;
        }
        operating.shutdown().await;
    }

    async fn a_pod_that_starts_knows_what_is_paused(backend: &Backend) {
        let journal = Journal::new();
        let operating = backend.builder().role(Role::Serverless).start().await.unwrap();
        operating.operate("ada").pause_name("note", "").await.unwrap();
        let waits = call(&operating, "note", Duration::ZERO).await;
        call(&operating, "other", Duration::ZERO).await;
        let pod = hearing(backend, &journal, ["note", "other"]).await;
        assert_eq!(journal.wait_for(1).await, ["other"]);
        assert_eq!(state_of(&pod, waits).await, Some(CallState::Scheduled));
        // Through itself it needs not even to hear of it.
        assert!(pod.operate("ada").resume_name("note").await.unwrap());
        assert_eq!(journal.wait_for(2).await[1], "note");
        pod.shutdown().await;
        operating.shutdown().await;
    }

    async fn run_due_leaves_paused_names_alone(backend: &Backend) {
        let journal = Journal::new();
        let pod = by_hand(backend, &journal).await;
        let waits = call(&pod, "note", Duration::ZERO).await;
        backend.store().await.pause_name(Now::Database, "note", "bob", "elsewhere").await.unwrap();
        assert_eq!(pod.run_due().await.unwrap().started, 0);
        assert_eq!(state_of(&pod, waits).await, Some(CallState::Scheduled));
        assert!(pod.operate("ada").resume_name("note").await.unwrap());
        assert_eq!(pod.run_due().await.unwrap().succeeded, 1);
        pod.shutdown().await;
    }

    async fn calls_are_changed_by_hand_and_it_is_on_record(backend: &Backend) {
        let journal = Journal::new();
        let pod = by_hand(backend, &journal).await;
        let ada = pod.operate("ada");
        let (one, two) = (call(&pod, "note", HOUR).await, call(&pod, "note", HOUR).await);
        let (fails, unknown) = (call(&pod, "fail", HOUR).await, CallId::new());

        let acted = ada.cancel(Selection::Calls(vec![one, unknown])).await.unwrap();
        assert_eq!((acted.done, acted.running, acted.passed_over), (1, 0, 1));
        assert_eq!(state_of(&pod, one).await, Some(CallState::Cancelled));
        let acted = ada.reschedule(Selection::call(two), HOUR * 2).await.unwrap();
        assert_eq!((acted.done, acted.passed_over), (1, 0));
        let acted = ada.run_now(Selection::Calls(vec![two, fails])).await.unwrap();
        assert_eq!(acted.done, 2);
        let summary = pod.run_due().await.unwrap();
        assert_eq!((summary.succeeded, summary.failed), (1, 1));
        let acted = ada.run_again(Selection::Calls(vec![one, two, fails])).await.unwrap();
        assert_eq!((acted.done, acted.passed_over, acted.new_calls.len()), (2, 1, 2));
        let again = pod.inspect().call(acted.new_calls[1]).await.unwrap().unwrap();
        assert_eq!((again.rerun_of, again.name.as_str()), (Some(fails), "fail"));
        let acted = ada.delete(Selection::Calls(vec![one, two, again.id])).await.unwrap();
        assert_eq!((acted.done, acted.passed_over), (2, 1), "what is pending is no history");
        assert_eq!(state_of(&pod, one).await, None);

        let refused = ada.reschedule(Selection::call(fails), Duration::MAX).await.unwrap_err();
        assert!(matches!(refused, OperateError::Schedule(ScheduleError::MomentOutOfRange)), "{refused}");
        let records = said(&pod).await;
        let two = two.to_string();
        let expected = [
            ("cancel", "2 chosen calls", "1 done, 1 passed over"),
            ("reschedule", two.as_str(), "1 done"),
            ("run_now", "2 chosen calls", "2 done"),
            ("run_again", "3 chosen calls", "2 done, 1 passed over"),
            ("delete", "3 chosen calls", "2 done, 1 passed over"),
        ];
        let records: Vec<_> =
            records.iter().map(|(verb, target, outcome)| (verb.as_str(), target.as_str(), outcome.as_str())).collect();
        assert_eq!(records, expected);
        let about = pod.inspect().actions(&ActionFilter::new().call(fails)).await.unwrap();
        assert_eq!(about, [], "an action on several stands with none of them");
        pod.shutdown().await;
        let ended = ada.cancel(Selection::call(fails)).await.unwrap_err();
        assert!(matches!(ended, OperateError::Schedule(ScheduleError::Stopped)), "{ended}");
    }

    async fn a_call_that_is_named_twice_is_met_once(backend: &Backend) {
        let journal = Journal::new();
        let pod = by_hand(backend, &journal).await;
        let (failed, waits) = (call(&pod, "fail", Duration::ZERO).await, call(&pod, "note", HOUR).await);
        assert_eq!(pod.run_due().await.unwrap().failed, 1);
        let (ada, twice) = (pod.operate("ada"), |id| Selection::Calls(vec![id, id]));
        let again = ada.run_again(twice(failed)).await.unwrap();
        assert_eq!((again.done, again.passed_over, again.new_calls.len()), (1, 0, 1));
        let cancelled = ada.cancel(twice(waits)).await.unwrap();
        assert_eq!((cancelled.done, cancelled.passed_over), (1, 0));
        let actions = pod.inspect().actions(&ActionFilter::new().call(waits)).await.unwrap();
        assert_eq!((actions.len(), actions[0].target.as_str()), (1, waits.to_string().as_str()));
        pod.shutdown().await;
    }

    async fn what_runs_is_told(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend.builder().register_future_call("wait", UntilCancelled(journal.clone())).start().await.unwrap();
        let id = call(&pod, "wait", Duration::ZERO).await;
        journal.wait_for(1).await;
        let acted = pod.operate("ada").run_now(Selection::call(id)).await.unwrap();
        assert_eq!((acted.done, acted.running, acted.passed_over), (0, 1, 0));
        let acted = pod.operate("ada").cancel(Selection::call(id)).await.unwrap();
        assert_eq!((acted.done, acted.running, acted.passed_over), (0, 1, 0));
        assert_eq!(journal.wait_for(2).await, ["started", "stopped"]);
        let records = said(&pod).await;
        assert_eq!(records[1], ("cancel".to_owned(), id.to_string(), "0 done, 1 running".to_owned()));
        pod.shutdown().await;
    }

    async fn schedules_are_changed_by_hand_and_it_is_on_record(backend: &Backend) {
        let journal = Journal::new();
        let pod = by_hand(backend, &journal).await;
        let ada = pod.operate("ada");
        let id = declare(backend).await;
        let seen = async || pod.inspect().schedules().await.unwrap().remove(0);

        assert_eq!(ada.pause_schedule(id, "too loud").await.unwrap(), ScheduleChanged::Changed);
        assert_eq!(ada.pause_schedule(id, "again").await.unwrap(), ScheduleChanged::Unchanged);
        let extra = ada.trigger(id).await.unwrap();
        assert_eq!(pod.run_due().await.unwrap().succeeded, 1);
        assert_eq!((state_of(&pod, extra).await, journal.lines()), (Some(CallState::Succeeded), vec!["tick".to_owned()]));
        let rule = Rule::every(HOUR * 2).unwrap();
        assert_eq!(ada.edit_schedule(id, rule.clone()).await.unwrap(), ScheduleChanged::Changed);
        assert_eq!((seen().await.state, seen().await.next), (ScheduleState::Paused, None));
        // As every start does: neither the pause nor the edit is undone.
        assert_eq!(declare(backend).await, id);
        let schedule = seen().await;
        assert_eq!((schedule.state, &schedule.effective), (ScheduleState::Paused, &rule));
        assert_eq!(ada.resume_schedule(id).await.unwrap(), ScheduleChanged::Changed);
        assert!(seen().await.next.is_some());
        assert_eq!(ada.end_schedule(id, "enough").await.unwrap(), ScheduleChanged::Changed);
        assert_eq!(ada.resume_schedule(id).await.unwrap(), ScheduleChanged::Ended);
        let schedule = seen().await;
        assert_eq!((schedule.state, schedule.reason.as_deref()), (ScheduleState::Ended, Some("enough")));

        let triggered = format!("call {extra}");
        let outcomes: Vec<_> = said(&pod).await.into_iter().map(|(verb, _, outcome)| (verb, outcome)).collect();
        let expected = [
            ("pause_schedule", "changed"),
            ("pause_schedule", "was so already"),
            ("trigger", triggered.as_str()),
            ("edit_schedule", "changed"),
            ("resume_schedule", "changed"),
            ("end_schedule", "changed"),
            ("resume_schedule", "had ended"),
        ];
        assert_eq!(outcomes, expected.map(|(verb, outcome)| (verb.to_owned(), outcome.to_owned())));
        let about = pod.inspect().actions(&ActionFilter::new().schedule(id).limit(3)).await.unwrap();
        assert_eq!(about.len(), 3);
        assert_eq!(pod.inspect().actions(&ActionFilter::new().call(extra)).await.unwrap().len(), 1);
        pod.shutdown().await;
    }

    async fn an_action_that_fails_is_on_record_as_well(backend: &Backend) {
        let pod = backend.builder().role(Role::Serverless).start().await.unwrap();
        let ada = pod.operate("ada");
        let id = ScheduleId::new();
        let text = format!("there is no schedule {id}: `inspect().schedules()` lists them");
        let error = ada.pause_schedule(id, "").await.unwrap_err();
        assert!(matches!(error, OperateError::UnknownSchedule(unknown) if unknown == id), "{error}");
        assert_eq!((error.to_string(), error.is_transient(), error.summary()), (text.clone(), false, None));
        assert!(matches!(ada.trigger(id).await, Err(OperateError::UnknownSchedule(_))));
        // A reason that no database can hold.
        let known = declare(backend).await;
        let error = ada.end_schedule(known, "a\0b").await.unwrap_err();
        assert!(matches!(error, OperateError::Schedule(_)) && error.to_string().contains("NUL") || !error.is_transient(), "{error}");
        let records = said(&pod).await;
        assert_eq!(records.iter().map(|(verb, ..)| verb.as_str()).collect::<Vec<_>>(), ["pause_schedule", "trigger", "end_schedule"]);
        assert_eq!((&records[0].1, &records[0].2), (&id.to_string(), &format!("failed: {text}")));
        assert_eq!(records[1].2, format!("failed: {text}"));
        assert_eq!(records[2].2, format!("failed: {error}"));
        // An action that cannot be written down is not done.
        assert!(pod.operate("a\0b").end_schedule(known, "").await.is_err());
        assert_eq!(pod.inspect().schedules().await.unwrap()[0].state, ScheduleState::Active);
        assert_eq!(said(&pod).await.len(), 3);
        pod.shutdown().await;
    }

    async fn all_calls_of_a_filter_are_acted_on_while_others_run(backend: &Backend) {
        const MANY: usize = 5_000;
        let journal = Journal::new();
        let pod = backend
            .builder()
            .register_future_call("mine", Note(journal.clone()))
            .register_future_call("others", Note(Journal::new()))
            .start()
            .await
            .unwrap();
        let store = backend.store().await;
        let calls = |name: &str, count: usize, due: Duration| {
            let new = |_| NewCall {
                id: CallId::new(),
                name: name.to_owned(),
                identifier: Some("batch".to_owned()),
                args: r#"{"data":"x"}"#.to_owned(),
                format: 2,
                priority: 0,
                due: Due::After(due),
                expires_after: None,
                traceparent: None,
            };
            (0..count).map(new).collect::<Vec<_>>()
        };
        store.insert(Now::Database, &calls("mine", MANY, HOUR), false, HOUR).await.unwrap();
        let ada = pod.operate("ada");
        let mine = || Selection::Matching(CallFilter::new().name("mine").limit(7));
        let busy = async {
            for _ in 0..20 {
                store.insert(Now::Database, &calls("others", 50, Duration::ZERO), false, HOUR).await.unwrap();
            }
        };
        let (acted, ()) = tokio::join!(ada.reschedule(mine(), HOUR * 2), busy);
        let acted = acted.unwrap();
        assert_eq!((acted.done, acted.running, acted.passed_over), (5_000, 0, 0));
        let acted = ada.run_now(mine()).await.unwrap();
        assert_eq!(acted.done + acted.running + acted.passed_over, 5_000, "{acted:?}");
        // They run by now: what is cancelled never starts, and all others do.
        let cancelled = ada.cancel(mine()).await.unwrap();
        eventually("all are over", || async {
            let counts = store.counts(Now::Database, u64::MAX).await.unwrap();
            (counts.scheduled == 0 && counts.running == 0).then_some(())
        })
        .await;
        let over = |state| CallFilter::new().name("mine").state(state).limit(10_000);
        let is_cancelled = store.calls(Now::Database, &over(CallState::Cancelled)).await.unwrap().calls.len();
        let has_run = store.calls(Now::Database, &over(CallState::Succeeded)).await.unwrap().calls.len();
        // What a pod had claimed and not started yet counts as running, and ends as cancelled as well.
        assert!((cancelled.done..=cancelled.done + cancelled.running).contains(&(is_cancelled as u64)), "{cancelled:?}");
        assert_eq!((is_cancelled + has_run, journal.lines().len()), (MANY, has_run));
        let again = ada.run_again(Selection::Matching(over(CallState::Cancelled))).await.unwrap();
        assert_eq!((again.done, again.new_calls.len()), (is_cancelled as u64, is_cancelled.min(1_000)));
        let records = said(&pod).await;
        assert_eq!((records[0].1.as_str(), records[0].2.as_str()), ("all calls name=mine", "5000 done"));
        assert_eq!(records[3].1, "all calls state=cancelled name=mine");
        pod.shutdown().await;
    }

    async fn a_pod_counts_what_it_ran_by_name_minute_and_hour(backend: &Backend) {
        let journal = Journal::new();
        let pod = by_hand(backend, &journal).await;
        for name in ["note", "note", "fail", "note"] {
            call(&pod, name, Duration::ZERO).await;
        }
        let summary = pod.run_due().await.unwrap();
        assert_eq!((summary.succeeded, summary.failed), (3, 1));
        let store = backend.store().await;
        let read = async |span| store.statistics(span, Moment::MIN, None).await.unwrap();
        assert_eq!(read(Span::Minute).await, [], "written with a heartbeat, or at the end");
        assert_eq!(read(Span::Hour).await, []);
        pod.shutdown().await;
        for span in Span::ALL {
            let rows = read(span).await;
            let mut counted = Statistics::new("note".to_owned(), span, Moment::MIN);
            assert!(rows.iter().all(|row| row.span == span && span.start_of(row.start) == row.start), "{rows:?}");
            rows.iter().filter(|row| row.name == "note").for_each(|row| counted.merge(row));
            assert_eq!((counted.succeeded, counted.failed), (3, 0));
            assert_eq!((counted.durations.count(), counted.lateness.count()), (3, 3));
            assert!(counted.lateness.quantile(1.0).unwrap() < HOUR);
            let failed: u64 = rows.iter().filter(|row| row.name == "fail").map(|row| row.failed).sum();
            assert_eq!(failed, 1);
        }
    }
}
