//! Typed calls, as users write them.

use std::sync::Arc;
use std::time::Duration;

use futurecall_runtime::inspect::Redaction;
use futurecall_runtime::prelude::*;
use futurecall_runtime::{ArgumentError, CallState, Role, ScheduleError, StartError};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::Journal;
use futurecall_tests::on_all_stores;

pub(crate) struct ExampleFutureCall;

#[future_call]
impl ExampleFutureCall {
    pub(crate) async fn do_work(session: &Session, #[future_call(state)] journal: &Journal) {
        journal.write(format!("do_work attempt {}", session.call().attempt));
    }

    pub(crate) async fn do_other_work(
        session: &Session,
        data: &str,
        tags: Vec<(u32, String)>,
        note: Option<String>,
        #[future_call(state)] journal: &Journal,
    ) -> Result<(), String> {
        let identifier = session.call().identifier.as_deref().unwrap_or("none");
        journal.write(format!("{data} {tags:?} {note:?} {identifier}"));
        if data == "fail" { Err("told to".to_owned()) } else { Ok(()) }
    }

    pub(crate) async fn measure(_session: &Session, value: f64, #[future_call(state)] journal: &Journal) {
        journal.write(value.to_string());
    }

    #[expect(dead_code, clippy::unused_async, reason = "private methods are helpers, not calls")]
    async fn shared_step(_session: &Session) {}
}

pub(crate) struct CounterFutureCall {
    journal: Journal,
    prefix: Arc<str>,
}

#[future_call]
impl CounterFutureCall {
    pub(crate) async fn count(&self, session: &Session, n: u32) {
        self.journal.write(format!("{} {n}", self.prefix));
        if n > 0 {
            session.future_calls().call_now().counter().count(n - 1).await.unwrap();
        }
    }
}

/// A pod that runs nothing by itself.
async fn quiet_pod(backend: &Backend, journal: &Journal) -> Pod {
    let builder =
        backend.builder().role(Role::Maintenance).register(ExampleFutureCall).state(journal.clone());
    builder.start().await.unwrap()
}

on_all_stores! {
    async fn arguments_arrive_as_they_were_given(backend: &Backend) {
        let journal = Journal::new();
        let pod = quiet_pod(backend, &journal).await;
        let calls = pod.future_calls();
        calls.call_now().example().do_work().await.unwrap();
        let tags = vec![(1, "a\u{0}b".to_owned()), (2, "é\"\\".to_owned())];
        let id = calls
            .call_now()
            .identifier("an-identifying-string")
            .example()
            .do_other_work("2", tags.clone(), None)
            .await
            .unwrap();
        calls.call_now().of::<ExampleFutureCall>().measure(0.1 + 0.2).await.unwrap();
        let summary = pod.run_due().await.unwrap();
        assert_eq!(summary.succeeded, 3, "{summary:?} {:?}", pod.inspect().call(id).await);
        let mut lines = journal.lines();
        lines.sort();
        assert_eq!(
            lines,
            ["0.30000000000000004", &format!("2 {tags:?} None an-identifying-string"), "do_work attempt 1"]
        );
        pod.shutdown().await;
    }

    async fn what_json_cannot_hold_is_refused_before_anything_is_written(backend: &Backend) {
        let pod = quiet_pod(backend, &Journal::new()).await;
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let refused = pod.future_calls().call_now().example().measure(value).await.unwrap_err();
            let ScheduleError::Argument(ArgumentError::NotFinite { parameter, .. }) = &refused else {
                panic!("{refused}")
            };
            assert_eq!(parameter, "value");
        }
        let long = "x".repeat(2 * 1024 * 1024);
        let refused = pod.future_calls().call_now().example().do_other_work(&long, vec![], None).await.unwrap_err();
        assert!(matches!(refused, ScheduleError::Argument(ArgumentError::TooLarge { .. })), "{refused}");
        assert_eq!(pod.inspect().counts().await.unwrap().scheduled, 0);
        pod.shutdown().await;
    }

    async fn a_call_may_schedule_itself_and_run_on_its_instance(backend: &Backend) {
        let journal = Journal::new();
        let instance = CounterFutureCall { journal: journal.clone(), prefix: "count".into() };
        let pod = backend.builder().register(instance).start().await.unwrap();
        pod.future_calls().call_now().counter().count(3).await.unwrap();
        assert_eq!(journal.wait_for(4).await, ["count 3", "count 2", "count 1", "count 0"]);
        pod.shutdown().await;
    }

    async fn a_typed_call_can_be_scheduled_by_name(backend: &Backend) {
        let journal = Journal::new();
        let pod = quiet_pod(backend, &journal).await;
        let args = futurecall_runtime::serde_json::json!({ "data": "by name", "tags": [[7, "x"]] });
        pod.future_call_with_delay("example.do_other_work", Some(&args), Duration::ZERO).await.unwrap();
        assert_eq!(pod.run_due().await.unwrap().succeeded, 1);
        assert_eq!(journal.lines(), [r#"by name [(7, "x")] None none"#]);
        pod.shutdown().await;
    }

    async fn wrong_stored_arguments_never_run_and_say_which(backend: &Backend) {
        let journal = Journal::new();
        let pod = quiet_pod(backend, &journal).await;
        let args = futurecall_runtime::serde_json::json!({ "data": "x", "tags": "not a list" });
        let id = pod.future_call_with_delay("example.do_other_work", Some(&args), Duration::ZERO).await.unwrap();
        let broken = pod.inspect().call(id).await.unwrap().unwrap().broken.unwrap();
        assert!(broken.contains("`tags`"), "{broken}");
        assert_eq!(pod.run_due().await.unwrap().failed, 1);
        let call = pod.inspect().call(id).await.unwrap().unwrap();
        assert_eq!(call.state, CallState::Failed);
        assert!(call.error.unwrap().contains("argument `tags` of `example.do_other_work`"));
        assert!(journal.lines().is_empty());
        pod.shutdown().await;
    }
}

#[tokio::test]
async fn state_that_is_missing_is_an_error_at_start() {
    let backend = Backend::memory();
    let error = backend.builder().register(ExampleFutureCall).start().await.unwrap_err();
    assert!(matches!(error, StartError::MissingState { .. }), "{error}");
    assert!(error.to_string().contains("example.do_work takes `journal: &"), "{error}");
}

#[tokio::test]
async fn two_states_of_one_type_are_an_error_at_start() {
    for role in [Role::Monolith, Role::Serverless] {
        let builder = Backend::memory().builder().role(role).state(1_u8).state(Journal::new());
        let error = builder.state(2_u8).state("other").state(Journal::new()).start().await.unwrap_err();
        assert!(matches!(error, StartError::StateTwice { .. }), "{error}");
        let text = "state of one type was given twice: `u8`, `futurecall_tests::journal::Journal`; keep one value, or \
                    give each a type of its own, such as `struct Sender(String)`";
        assert_eq!(error.to_string(), text);
    }
}

pub(crate) struct UnusedFutureCall;

#[future_call(name = "used_later")]
impl UnusedFutureCall {
    pub(crate) async fn hello(_session: &Session, _user: u32) {}
}

pub(crate) struct UsedFutureCall;

#[future_call(name = "used_later")]
impl UsedFutureCall {
    pub(crate) async fn hello(
        _session: &Session,
        #[future_call(alias = "_user", redact)] account: u32,
        #[future_call(state)] journal: &Journal,
    ) {
        journal.write(account.to_string());
    }
}

/// What was not used stands under its name without the underscore, and is found by the name that the parameter had.
#[tokio::test]
async fn an_alias_is_the_parameters_old_name_with_its_underscore() {
    let (backend, journal) = (Backend::memory(), Journal::new());
    let old = backend.builder().role(Role::Serverless).start().await.unwrap();
    let id = old.future_calls().call_now().of::<UnusedFutureCall>().hello(7).await.unwrap();
    let builder = backend.builder().role(Role::Maintenance).register(UsedFutureCall).state(journal.clone());
    let new = builder.start().await.unwrap();
    let args = new.inspect().call(id).await.unwrap().unwrap().args;
    let redaction = Redaction::of(&new.inspect().pods().await.unwrap());
    assert_eq!(redaction.hide("used_later.hello", &args), r#"{"user":"[redacted]"}"#);
    assert_eq!(new.run_due().await.unwrap().succeeded, 1);
    assert_eq!(journal.lines(), ["7"]);
    old.shutdown().await;
    new.shutdown().await;
}
