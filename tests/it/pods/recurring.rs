//! Schedules, as seen from outside.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use futurecall_runtime::inspect::{CallFilter, ScheduleState};
use futurecall_runtime::prelude::*;
use futurecall_runtime::recurring::{Missed, Overlap};
use futurecall_runtime::schedule::Cancelled;
use futurecall_runtime::store::Now;
use futurecall_runtime::{CallState, Role, ScheduleError};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::on_all_stores;

pub(crate) struct TickFutureCall;

#[future_call]
impl TickFutureCall {
    pub(crate) async fn tick(
        session: &Session,
        text: String,
        #[future_call(state)] journal: &Journal,
    ) -> Result<(), String> {
        let call = session.call();
        journal.write(format!("{} {} {text}", call.id, call.identifier.as_deref().unwrap_or("-")));
        if text == "fail" { Err("failed".to_owned()) } else { Ok(()) }
    }

    pub(crate) async fn slow(session: &Session, #[future_call(state)] journal: &Journal) {
        journal.write("slow");
        session.cancelled().await;
    }
}

pub(crate) struct NightlyFutureCall;

#[future_call]
impl NightlyFutureCall {
    #[future_call(every = "100ms")]
    pub(crate) async fn often(_session: &Session, #[future_call(state)] journal: &Journal) {
        journal.write("often");
    }

    #[future_call(cron = "0 2 * * *")]
    pub(crate) async fn nightly(_session: &Session) {}
}

const HOUR: Duration = Duration::from_hours(1);

/// A pod that runs nothing by itself.
async fn quiet_pod(backend: &Backend, journal: &Journal) -> Pod {
    let builder = backend.builder().role(Role::Maintenance).register(TickFutureCall).state(journal.clone());
    builder.start().await.unwrap()
}

on_all_stores! {
    async fn a_recurring_call_keeps_name_arguments_and_identifier(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend.builder().register(TickFutureCall).state(journal.clone()).start().await.unwrap();
        let id = pod
            .future_calls()
            .call_recurring()
            .identifier("ticks")
            .every(Duration::from_millis(50))
            .tick()
            .tick("hello".to_owned())
            .await
            .unwrap();
        let lines = journal.wait_for(3).await;
        let mut ids: Vec<&str> = lines.iter().filter_map(|line| line.strip_suffix(" ticks hello")).collect();
        assert!(ids.len() >= 3, "{lines:?}");
        ids.dedup();
        assert_eq!(ids.len(), lines.len(), "every run is a call of its own: {lines:?}");
        let schedules = pod.inspect().schedules().await.unwrap();
        assert_eq!((schedules.len(), schedules[0].id, schedules[0].state), (1, id, ScheduleState::Active));
        let pending = pod.inspect().calls(CallFilter::new().state(CallState::Scheduled)).await.unwrap().calls;
        assert!(pending.iter().all(|call| call.schedule == Some(id) && call.identifier.as_deref() == Some("ticks")));

        let cancelled = pod.future_calls().cancel("ticks").await.unwrap();
        assert_eq!((cancelled.calls, cancelled.schedules), (0, 1));
        assert_eq!(pod.inspect().schedules().await.unwrap()[0].state, ScheduleState::Ended);
        pod.shutdown().await;
        assert_eq!(backend.store().await.counts(Now::Database, 10).await.unwrap().scheduled, 0);
    }

    async fn a_failing_run_does_not_end_the_schedule(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend.builder().register(TickFutureCall).state(journal.clone()).start().await.unwrap();
        let every = pod.future_calls().call_recurring().every(Duration::from_millis(50));
        every.tick().tick("fail".to_owned()).await.unwrap();
        journal.wait_for(3).await;
        eventually("two failures are recorded", || async {
            (pod.inspect().counts().await.unwrap().failed >= 2).then_some(())
        })
        .await;
        pod.shutdown().await;
    }

    async fn declaring_again_changes_nothing_and_a_new_rule_replaces_the_old(backend: &Backend) {
        let pod = quiet_pod(backend, &Journal::new()).await;
        let declare = |interval: Duration, text: &str| {
            pod.future_calls().call_recurring().identifier("x").every(interval).tick().tick(text.to_owned())
        };
        let first = declare(HOUR, "a").await.unwrap();
        let due = || async { pod.inspect().calls(CallFilter::new()).await.unwrap().calls[0].clone() };
        let pending = due().await;
        assert_eq!(declare(HOUR, "a").await.unwrap(), first);
        assert_eq!(due().await, pending, "the pending call is untouched");
        assert_eq!(declare(HOUR * 2, "a").await.unwrap(), first);
        assert!(due().await.due > pending.due);
        assert_eq!(declare(HOUR * 2, "b").await.unwrap(), first);
        assert!(due().await.args.contains("\"b\""));
        assert_eq!(pod.inspect().counts().await.unwrap().scheduled, 1);

        assert_eq!(pod.future_calls().cancel("x").await.unwrap(), Cancelled::new(0, 1, 0));
        assert_eq!(pod.inspect().counts().await.unwrap().scheduled, 0);
        assert_eq!(declare(HOUR * 2, "b").await.unwrap(), first, "a declaration revives a cancelled schedule");
        assert_eq!(pod.inspect().counts().await.unwrap().scheduled, 1);

        let other = pod.future_calls().call_recurring().every(HOUR).tick().tick("a".to_owned()).await.unwrap();
        let same = pod.future_calls().call_recurring().every(HOUR).tick().tick("a".to_owned()).await.unwrap();
        let third = pod.future_calls().call_recurring().every(HOUR).tick().tick("c".to_owned()).await.unwrap();
        assert!(other == same && other != third && other != first, "without identifier: by call and arguments");
        pod.shutdown().await;
    }

    async fn runs_missed_while_no_pod_was_up_follow_the_policy(backend: &Backend) {
        let journal = Journal::new();
        let pod = quiet_pod(backend, &journal).await;
        let past = SystemTime::now() - HOUR * 3 - Duration::from_mins(30);
        for (missed, name) in [(Missed::RunOnce, "once"), (Missed::Skip, "skip"), (Missed::RunAll, "all")] {
            let rule = pod.future_calls().call_recurring().identifier(name).missed(missed).starting_at(past).every(HOUR);
            rule.tick().tick(name.to_owned()).await.unwrap();
        }
        // A start in the past sets the phase only: the first run is the next boundary, half an hour from now.
        assert_eq!(pod.run_due().await.unwrap().started, 0);
        let store = backend.store().await;
        let pending = pod.inspect().calls(CallFilter::new()).await.unwrap().calls;
        assert_eq!(pending.len(), 3);
        // Nobody was up for three boundaries after that one.
        let later = Now::At(pending[0].due.checked_add(HOUR * 3 + HOUR / 4).unwrap());
        let mut ran = std::collections::BTreeMap::<String, u32>::new();
        let pod_id = futurecall_runtime::PodId::new();
        for claim_no in 1..20 {
            let request = futurecall_runtime::store::ClaimRequest {
                pod: pod_id,
                claim_no,
                names: vec![("tick.tick".to_owned(), futurecall_runtime::store::OnVanish::Keep)],
                shapes: std::sync::Arc::default(),
                limit: 10,
                lease: HOUR,
                until: None,
                ahead: Duration::ZERO,
                sweep: true,
                retention: futurecall_runtime::Retention::default(),
            };
            for call in store.claim(later, &request).await.unwrap().calls {
                *ran.entry(call.identifier.clone().unwrap()).or_default() += 1;
                let finish = futurecall_runtime::store::Finish {
                    id: call.id,
                    claim_no: call.claim_no,
                    outcome: futurecall_runtime::store::Outcome::Succeeded,
                    started_after: None,
                    ran_for: Duration::ZERO,
                };
                let kept = futurecall_runtime::Retention::default();
                let ended = store.finish(later, pod_id, &[finish], &kept).await.unwrap();
                assert!(ended[0].is_recorded());
            }
        }
        assert_eq!(ran.get("once"), Some(&1));
        assert_eq!(ran.get("skip"), None);
        assert_eq!(ran.get("all"), Some(&4));
        let pending = pod.inspect().calls(CallFilter::new().state(CallState::Scheduled)).await.unwrap().calls;
        assert_eq!(pending.len(), 3, "each schedule has exactly one successor");
        pod.shutdown().await;
    }

    async fn a_run_that_still_goes_skips_the_next_unless_allowed(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend.builder().register(TickFutureCall).state(journal.clone()).start().await.unwrap();
        let schedule = |name: &'static str, overlap: Overlap| {
            let every = pod.future_calls().call_recurring().identifier(name).every(Duration::from_millis(50));
            every.overlap(overlap).tick().slow()
        };
        schedule("skip", Overlap::Skip).await.unwrap();
        eventually("two runs are skipped", || async {
            (pod.inspect().counts().await.unwrap().skipped >= 2).then_some(())
        })
        .await;
        assert_eq!(journal.lines(), ["slow"]);
        assert_eq!(pod.future_calls().cancel("skip").await.unwrap().running, 1);
        schedule("allow", Overlap::Allow).await.unwrap();
        journal.wait_for(3).await;
        pod.future_calls().cancel("allow").await.unwrap();
        pod.shutdown().await;
    }

    async fn wrong_rules_are_refused_before_anything_is_written(backend: &Backend) {
        let pod = quiet_pod(backend, &Journal::new()).await;
        let recurring = || pod.future_calls().call_recurring();
        let wrong = [
            recurring().every(Duration::ZERO).tick().slow(),
            recurring().every(Duration::MAX).tick().slow(),
            recurring().cron("not a cron").tick().slow(),
            recurring().cron("0 0 30 2 *").tick().slow(),
            recurring().cron("0 2 * * *").time_zone("Europe/Berlni").tick().slow(),
            recurring().time_zone("Europe/Berlin").every(HOUR).tick().slow(),
        ];
        for schedule in wrong {
            let refused = schedule.await.unwrap_err();
            assert!(matches!(refused, ScheduleError::Rule(_)), "{refused}");
        }
        let refused = recurring().identifier("").every(HOUR).tick().slow().await.unwrap_err();
        assert!(matches!(refused, ScheduleError::InvalidIdentifier { .. }), "{refused}");
        assert!(pod.inspect().schedules().await.unwrap().is_empty());
        let zone = chrono_tz::Europe::Berlin;
        recurring().identifier("report").cron("0 2 * * *").time_zone(zone).tick().slow().await.unwrap();
        assert_eq!(pod.inspect().schedules().await.unwrap().len(), 1);
        pod.shutdown().await;
    }

    async fn schedules_declared_by_attribute_begin_and_end_with_the_code(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend.builder().register(NightlyFutureCall).state(journal.clone()).start().await.unwrap();
        journal.wait_for(2).await;
        assert_eq!(pod.inspect().schedules().await.unwrap().len(), 2);
        pod.shutdown().await;

        // Another service knows nothing of these calls: it leaves them alone, and what they have to do waits.
        let pod = backend.builder().start().await.unwrap();
        let schedules = pod.inspect().schedules().await.unwrap();
        assert!(schedules.iter().all(|schedule| schedule.state == ScheduleState::Active), "{schedules:?}");
        // (A run that was given back at the shutdown stands beside its successor.)
        assert!(pod.inspect().counts().await.unwrap().scheduled >= 2);
        pod.shutdown().await;

        // The grace is over.
        let config = Backend::config().schedule_grace(Duration::ZERO);
        let pod = backend.builder().config(config).start().await.unwrap();
        let schedules = pod.inspect().schedules().await.unwrap();
        assert!(schedules.iter().all(|schedule| schedule.state == ScheduleState::Ended), "{schedules:?}");
        assert!(schedules.iter().all(|schedule| schedule.reason.is_some()));
        assert_eq!(pod.inspect().counts().await.unwrap().scheduled, 0);
        pod.shutdown().await;

        let pod = backend.builder().register(NightlyFutureCall).state(journal.clone()).start().await.unwrap();
        let schedules = pod.inspect().schedules().await.unwrap();
        assert_eq!(schedules.len(), 2);
        assert!(schedules.iter().all(|schedule| schedule.state == ScheduleState::Active));
        pod.shutdown().await;
    }
}

pub(crate) struct MapFutureCall;

#[future_call(name = "of_a_map")]
impl MapFutureCall {
    pub(crate) async fn map(_session: &Session, _map: HashMap<String, HashMap<u8, u8>>) {}
    pub(crate) async fn two(_session: &Session, _one: u32, _two: String) {}
}

/// Of a release that has reordered the parameters.
pub(crate) struct ReorderedFutureCall;

#[future_call(name = "of_a_map")]
impl ReorderedFutureCall {
    pub(crate) async fn two(_session: &Session, _two: String, _one: u32) {}
}

/// Another one is written in another order, as a later start of a service has it.
fn a_map() -> HashMap<String, HashMap<u8, u8>> {
    (0..8).map(|n| (format!("key {n}"), (0..8).map(|n| (n, n)).collect())).collect()
}

on_all_stores! {
    async fn a_declaration_is_known_in_whatever_order_its_keys_are_written(backend: &Backend) {
        let pod = backend.builder().role(Role::Maintenance).register(MapFutureCall).start().await.unwrap();
        let every = || pod.future_calls().call_recurring().every(HOUR).of::<MapFutureCall>();
        let first = every().map(a_map()).await.unwrap();
        for _ in 0..5 {
            assert_eq!(every().map(a_map()).await.unwrap(), first);
        }
        let mut other = a_map();
        other.insert("one more".to_owned(), HashMap::new());
        assert_ne!(every().map(other).await.unwrap(), first, "other arguments are another schedule");

        let before = every().two(1, "a".to_owned()).await.unwrap();
        let builder = backend.builder().role(Role::Maintenance).register(ReorderedFutureCall);
        let later = builder.start().await.unwrap();
        let every = later.future_calls().call_recurring().every(HOUR).of::<ReorderedFutureCall>();
        assert_eq!(every.two("a".to_owned(), 1).await.unwrap(), before);
        assert_eq!(pod.inspect().schedules().await.unwrap().len(), 3);
        later.shutdown().await;
        pod.shutdown().await;
    }

    async fn a_pause_outlasts_declarations_in_whatever_order_their_keys_are_written(backend: &Backend) {
        let pod = backend.builder().role(Role::Maintenance).register(MapFutureCall).start().await.unwrap();
        let every = || pod.future_calls().call_recurring().identifier("x").every(HOUR).of::<MapFutureCall>();
        let id = every().map(a_map()).await.unwrap();
        pod.operate("ada").pause_schedule(id, "for the test").await.unwrap();
        for _ in 0..5 {
            assert_eq!(every().map(a_map()).await.unwrap(), id);
            assert_eq!(pod.inspect().schedules().await.unwrap()[0].state, ScheduleState::Paused);
        }
        every().map(HashMap::new()).await.unwrap();
        assert_eq!(pod.inspect().schedules().await.unwrap()[0].state, ScheduleState::Active);
        pod.shutdown().await;
    }
}
