//! Unsuccessful runs: retried, given up, timed out, interrupted, expired.

use std::time::Duration;

use futurecall_runtime::inspect::CallRecord;
use futurecall_runtime::prelude::*;
use futurecall_runtime::schedule::Cancelled;
use futurecall_runtime::store::{ClaimRequest, Now, OnVanish};
use futurecall_runtime::{
    Backoff, CallError, CallId, CallState, Config, OnInterrupt, PodId, Retention, RetryPolicy, Role,
    ScheduleError,
};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::on_all_stores;

use super::support::{Fail, Never, Note};

const HOUR: Duration = Duration::from_hours(1);

/// Not found by itself: its pods are given their journal.
pub(crate) struct TryFutureCall {
    journal: Journal,
}

#[future_call(retry(max_attempts = 3, backoff = fixed("1ms")))]
impl TryFutureCall {
    /// Fails so many times.
    pub(crate) async fn failing(&self, session: &Session, times: u32) -> Result<(), String> {
        self.write(session);
        if session.call().attempt <= times {
            Err(format!("failure {}", session.call().attempt))
        } else {
            Ok(())
        }
    }

    pub(crate) async fn giving_up(&self, session: &Session) -> Result<(), BoxError> {
        self.write(session);
        Err(CallError::give_up("the mailbox is gone").into())
    }

    pub(crate) async fn panicking(&self, session: &Session) {
        self.write(session);
        panic!("out of cheese");
    }

    #[future_call(timeout = "20ms")]
    pub(crate) async fn endless(&self, session: &Session) {
        self.write(session);
        std::future::pending::<()>().await;
    }

    #[future_call(retry(max_attempts = 2, backoff = custom(Self::an_hour)))]
    pub(crate) async fn patient(&self, session: &Session) -> Result<(), String> {
        self.write(session);
        Err("not now".to_owned())
    }

    #[future_call(retry(max_attempts = 2, backoff = custom(Self::no_wait)))]
    pub(crate) async fn clueless(&self, session: &Session) -> Result<(), String> {
        self.write(session);
        Err("not now".to_owned())
    }

    #[future_call(on_interrupt = "keep")]
    pub(crate) async fn kept(&self, session: &Session) {
        self.write(session);
        std::future::pending::<()>().await;
    }

    /// Stops with an error when it is asked to.
    #[future_call(retry(max_attempts = 1), on_interrupt = "rerun")]
    pub(crate) async fn obedient(&self, session: &Session) -> Result<(), &'static str> {
        self.write(session);
        session.cancelled().await;
        Err("stopped when told to")
    }

    /// The first attempt never ends.
    pub(crate) async fn rerun(&self, session: &Session) {
        self.write(session);
        if session.call().attempt == 1 {
            std::future::pending::<()>().await;
        }
    }

    fn write(&self, session: &Session) {
        self.journal.write(format!("attempt {}", session.call().attempt));
    }

    fn an_hour(_attempt: u32) -> Duration {
        HOUR
    }

    fn no_wait(attempt: u32) -> Duration {
        panic!("no idea how long after attempt {attempt}")
    }
}

/// Asks for another attempt itself, until there are none.
struct AskAgain(Journal);

impl InvokableFutureCall for AskAgain {
    type Data = u32;

    async fn invoke(&self, session: &Session, until: Option<u32>) -> Result<(), BoxError> {
        self.0.write(format!("attempt {}", session.call().attempt));
        if session.call().attempt == until.unwrap_or(u32::MAX) {
            return Ok(());
        }
        // Wrapped by an error type that hides what it took over.
        let error = anyhow::Error::new(CallError::retry_in(Duration::from_millis(1))).context("busy");
        Err(error.into())
    }
}

/// Fails, and is tried again twice.
struct FailWithPolicy(Journal);

impl InvokableFutureCall for FailWithPolicy {
    type Data = String;

    async fn invoke(&self, session: &Session, data: Option<String>) -> Result<(), BoxError> {
        Fail(self.0.clone()).invoke(session, data).await
    }

    fn retry(&self) -> Option<RetryPolicy> {
        Some(RetryPolicy::new(3).backoff(Backoff::Fixed(Duration::ZERO)))
    }
}

async fn ended(pod: &Pod, id: CallId) -> CallRecord {
    eventually(&format!("call {id} is over"), || async {
        pod.inspect().call(id).await.unwrap().filter(|call| call.state.is_finished())
    })
    .await
}

fn errors(call: &CallRecord) -> Vec<&str> {
    call.attempts.iter().map(|attempt| attempt.error.as_deref().unwrap_or("none")).collect()
}

async fn trying(backend: &Backend, journal: &Journal) -> Pod {
    backend.builder().register(TryFutureCall { journal: journal.clone() }).start().await.unwrap()
}

on_all_stores! {
    async fn a_failed_call_is_tried_again_until_it_succeeds(backend: &Backend) {
        let journal = Journal::new();
        let pod = trying(backend, &journal).await;
        let id = pod.future_calls().call_now().of::<TryFutureCall>().failing(2).await.unwrap();
        let call = ended(&pod, id).await;
        assert_eq!(journal.lines(), ["attempt 1", "attempt 2", "attempt 3"]);
        assert_eq!((call.state, call.attempt, call.error.as_deref()), (CallState::Succeeded, 3, None));
        assert_eq!(errors(&call), ["failure 1", "failure 2", "none"]);
        let outcomes: Vec<_> = call.attempts.iter().map(|attempt| attempt.outcome).collect();
        assert_eq!(outcomes, [CallState::Failed, CallState::Failed, CallState::Succeeded]);
        for pair in call.attempts.windows(2) {
            // Not before its wait is over, by the database's clock.
            let wait = pair[1].started.unwrap().saturating_since(pair[0].ended.unwrap());
            assert!(wait >= Duration::from_millis(1), "{wait:?}");
        }
        pod.shutdown().await;
    }

    async fn the_last_attempt_ends_a_call_as_failed(backend: &Backend) {
        let journal = Journal::new();
        let pod = trying(backend, &journal).await;
        let id = pod.future_calls().call_now().of::<TryFutureCall>().failing(9).await.unwrap();
        let panicking = pod.future_calls().call_now().of::<TryFutureCall>().panicking().await.unwrap();
        let endless = pod.future_calls().call_now().of::<TryFutureCall>().endless().await.unwrap();
        let call = ended(&pod, id).await;
        assert_eq!((call.state, call.attempt, call.error.as_deref()), (CallState::Failed, 3, Some("failure 3")));
        assert_eq!(errors(&call), ["failure 1", "failure 2", "failure 3"]);
        let call = ended(&pod, panicking).await;
        assert_eq!((call.state, errors(&call)), (CallState::Failed, vec!["panicked: out of cheese"; 3]));
        let call = ended(&pod, endless).await;
        assert_eq!((call.state, errors(&call)), (CallState::Failed, vec!["timed out after 20ms"; 3]));
        assert!(call.attempts.iter().all(|attempt| attempt.duration.unwrap() >= Duration::from_millis(20)));
        pod.shutdown().await;
        assert_eq!(journal.lines().len(), 9);
    }

    async fn an_error_decides_for_itself(backend: &Backend) {
        let (tried, asked) = (Journal::new(), Journal::new());
        let pod = backend
            .builder()
            .register(TryFutureCall { journal: tried.clone() })
            .register_future_call("ask", AskAgain(asked.clone()))
            .start()
            .await
            .unwrap();
        let id = pod.future_calls().call_now().of::<TryFutureCall>().giving_up().await.unwrap();
        let call = ended(&pod, id).await;
        assert_eq!((call.state, call.attempt), (CallState::Failed, 1));
        assert_eq!(call.error.as_deref(), Some("given up: the mailbox is gone"));
        assert_eq!(tried.lines(), ["attempt 1"]);
        // Without a policy it is tried again for as long as it asks.
        let id = pod.future_call_with_delay("ask", Some(&4), Duration::ZERO).await.unwrap();
        let call = ended(&pod, id).await;
        assert_eq!((call.state, call.attempt), (CallState::Succeeded, 4));
        assert_eq!(errors(&call)[0], "busy: to be tried again in 1ms: the handler asked for it");
        // But not for ever.
        let id = pod.future_call_with_delay("ask", Some(&9_999), Duration::ZERO).await.unwrap();
        let call = ended(&pod, id).await;
        assert_eq!((call.state, call.attempt, call.attempts.len()), (CallState::Failed, 25, 25));
        pod.shutdown().await;
    }

    async fn a_call_by_name_may_have_a_policy_as_well(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend
            .builder()
            .role(Role::Maintenance)
            .register_future_call("fail", FailWithPolicy(journal.clone()))
            .start()
            .await
            .unwrap();
        let id = pod.future_call_with_delay("fail", None::<&str>, Duration::ZERO).await.unwrap();
        let mut retried = 0;
        while !pod.inspect().call(id).await.unwrap().unwrap().state.is_finished() {
            let summary = pod.run_due().await.unwrap();
            assert!(summary.started <= 1 && summary.started == summary.retried + summary.failed, "{summary:?}");
            retried += summary.retried;
        }
        let call = pod.inspect().call(id).await.unwrap().unwrap();
        assert_eq!((call.state, call.attempt, retried), (CallState::Failed, 3, 2));
        assert_eq!(journal.lines().len(), 3);
        pod.shutdown().await;
    }

    async fn without_a_policy_nothing_is_tried_again(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend
            .builder()
            .register(TryFutureCall { journal: journal.clone() })
            .register_future_call("fail", Fail(journal.clone()))
            .start()
            .await
            .unwrap();
        let failed = pod.future_call_with_delay("fail", None::<&str>, Duration::ZERO).await.unwrap();
        assert_eq!((ended(&pod, failed).await.state, ended(&pod, failed).await.attempt), (CallState::Failed, 1));
        // Nor are arguments that do not decode, whatever the policy says: they would not the next time.
        let broken = pod.future_call_with_delay("try.failing", Some(&"text"), Duration::ZERO).await;
        let broken = match broken {
            Ok(id) => ended(&pod, id).await,
            Err(error) => panic!("{error}"),
        };
        assert_eq!((broken.state, broken.attempt), (CallState::Failed, 1));
        // Nor where the policy's own function has no answer.
        let clueless = pod.future_calls().call_now().of::<TryFutureCall>().clueless().await.unwrap();
        assert_eq!(errors(&ended(&pod, clueless).await), ["not now"]);
        pod.shutdown().await;
    }

    async fn a_call_that_waits_for_its_retry_is_shown_and_can_be_cancelled(backend: &Backend) {
        let journal = Journal::new();
        let pod = trying(backend, &journal).await;
        let calls = pod.future_calls();
        let id = calls.call_now().identifier("x").of::<TryFutureCall>().patient().await.unwrap();
        let call = eventually("it waits", || async {
            pod.inspect().call(id).await.unwrap().filter(|call| call.next_attempt.is_some())
        })
        .await;
        assert_eq!((call.state, call.attempt, errors(&call)), (CallState::Scheduled, 1, vec!["not now"]));
        let wait = call.next_attempt.unwrap().saturating_since(call.attempts[0].ended.unwrap());
        assert_eq!((wait, call.due < call.next_attempt.unwrap()), (HOUR, true));
        assert_eq!(calls.cancel("x").await.unwrap(), Cancelled::new(1, 0, 0));
        assert_eq!(ended(&pod, id).await.state, CallState::Cancelled);
        pod.shutdown().await;
        assert_eq!(journal.lines(), ["attempt 1"]);
    }

    async fn a_shutdown_gives_back_what_may_run_again(backend: &Backend) {
        let journal = Journal::new();
        let impatient = || Backend::config().shutdown_grace(Duration::ZERO);
        let start = |config: Config, journal: Journal| {
            backend
                .builder()
                .config(config)
                .register_future_call("never", Never(journal.clone()))
                .register(TryFutureCall { journal })
                .start()
        };
        let pod = start(impatient(), journal.clone()).await.unwrap();
        let rerun = pod.future_calls().call_now().of::<TryFutureCall>().rerun().await.unwrap();
        let kept = pod.future_calls().call_now().of::<TryFutureCall>().kept().await.unwrap();
        let by_name = pod.future_call_with_delay("never", None::<&str>, Duration::ZERO).await.unwrap();
        let obedient = pod.future_calls().call_now().of::<TryFutureCall>().obedient().await.unwrap();
        journal.wait_for(4).await;
        assert_eq!(pod.shutdown().await.interrupted, 3);

        let watcher = backend.builder().role(Role::Serverless).start().await.unwrap();
        let look = async |id| watcher.inspect().call(id).await.unwrap().unwrap();
        let call = look(rerun).await;
        assert_eq!((call.state, call.attempt, call.attempts[0].outcome), (CallState::Scheduled, 1, CallState::Interrupted));
        assert!(errors(&call)[0].starts_with("the pod shut down"), "{call:?}");
        assert_eq!((look(kept).await.state, look(by_name).await.state), (CallState::Interrupted, CallState::Interrupted));

        // An error of who was asked to stop is no failure of the call. (A cancelled one stays cancelled.)
        let call = look(obedient).await;
        assert_eq!((call.state, errors(&call)), (CallState::Scheduled, vec!["stopped when told to"]));
        assert_eq!(watcher.future_calls().cancel_call(obedient).await.unwrap(), Cancelled::new(1, 0, 0));

        let second = Journal::new();
        let pod = start(impatient().on_interrupt(OnInterrupt::Rerun), second.clone()).await.unwrap();
        let call = ended(&pod, rerun).await;
        assert_eq!((call.state, call.attempt, second.lines()), (CallState::Succeeded, 2, vec!["attempt 2".to_owned()]));
        // What the pod says holds for calls whose method says nothing.
        let by_name = pod.future_call_with_delay("never", None::<&str>, Duration::ZERO).await.unwrap();
        second.wait_for(2).await;
        pod.shutdown().await;
        assert_eq!(look(by_name).await.state, CallState::Scheduled);
        watcher.shutdown().await;
    }

    async fn calls_of_vanished_pods_run_again_within_their_budget(backend: &Backend) {
        let store = backend.store().await;
        let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
        let schedule = async || scheduler.future_call_with_delay("note", Some("x"), Duration::ZERO).await.unwrap();
        let (again, spent) = (schedule().await, schedule().await);
        for (claim_no, budget) in [(1, 2), (2, 1)] {
            let request = ClaimRequest {
                pod: PodId::new(),
                claim_no,
                names: vec![("note".to_owned(), OnVanish::Rerun { budget, after: Duration::ZERO })],
                shapes: std::sync::Arc::default(),
                limit: 1,
                lease: Duration::from_millis(1),
                until: None,
                ahead: Duration::ZERO,
                sweep: true,
                retention: Retention::default(),
            };
            assert_eq!(store.claim(Now::Database, &request).await.unwrap().calls.len(), 1);
        }
        let journal = Journal::new();
        let pod = backend.builder().register_future_call("note", Note(journal.clone())).start().await.unwrap();
        let call = ended(&pod, again).await;
        assert_eq!((call.state, call.attempt, call.attempts[0].outcome), (CallState::Succeeded, 2, CallState::Interrupted));
        let call = ended(&pod, spent).await;
        assert_eq!((call.state, call.attempt), (CallState::Failed, 1));
        assert!(call.error.unwrap().starts_with("1 of its pods vanished, so it is not run again"));
        pod.shutdown().await;
        scheduler.shutdown().await;
        assert_eq!(journal.lines(), ["x"]);
    }

    async fn a_call_that_expired_while_no_pod_was_up_is_recorded_and_not_run(backend: &Backend) {
        let store = backend.store().await;
        let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
        let note = |text: &'static str| scheduler.future_call_with_delay("note", Some(text), Duration::ZERO);
        let expired = note("too late").expires_after(Duration::from_millis(1)).await.unwrap();
        let in_time = note("in time").expires_after(HOUR).await.unwrap();
        let whenever = note("whenever").await.unwrap();
        let refused = note("refused").expires_after(Duration::ZERO).await;
        assert!(matches!(refused, Err(ScheduleError::ZeroExpiry)), "{refused:?}");
        let expires = scheduler.inspect().call(expired).await.unwrap().unwrap().expires.unwrap();
        eventually("its time is over", || async { (store.now().await.unwrap() > expires).then_some(()) }).await;
        assert_eq!(scheduler.future_calls().status(expired).await.unwrap(), Some(CallState::Scheduled));

        let journal = Journal::new();
        let builder = backend.builder().role(Role::Maintenance).register_future_call("note", Note(journal.clone()));
        let pod = builder.start().await.unwrap();
        let summary = pod.run_due().await.unwrap();
        assert_eq!((summary.started, summary.succeeded, summary.expired, summary.failed), (2, 2, 1, 0));
        let mut lines = journal.lines();
        lines.sort();
        assert_eq!(lines, ["in time", "whenever"]);
        let call = ended(&pod, expired).await;
        assert_eq!((call.state, call.attempt, call.attempts.len()), (CallState::Expired, 0, 0));
        assert_eq!(call.error, Some(format!("it could not start before {expires}")));
        for id in [in_time, whenever] {
            assert_eq!(ended(&pod, id).await.state, CallState::Succeeded);
        }
        pod.shutdown().await;
        scheduler.shutdown().await;
    }
}
