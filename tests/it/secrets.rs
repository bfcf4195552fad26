//! Arguments belong to the application: they appear in no output, except that of the handler.

use std::error::Error;
use std::fmt::Debug;
use std::time::Duration;

use futurecall_runtime::inspect::CallFilter;
use futurecall_runtime::prelude::*;
use futurecall_runtime::recurring::Rule;
use futurecall_runtime::store::{
    CancelTarget, ClaimRequest, Due, NewCall, NewSchedule, Now, OnVanish, Retention, ScheduleOrigin,
};
use futurecall_runtime::{CallId, CallState, CheckBrokenCalls, PodId, Role, ScheduleId, StoreError};
use futurecall_tests::backend::Backend;
use futurecall_tests::on_all_stores;
use futurecall_tests::overheard::Overheard;

const SECRET: &str = "marzipan-4711";

const HOUR: Duration = Duration::from_hours(1);

pub(crate) struct SecretFutureCall;

#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Strict {
    known: u32,
}

#[future_call]
impl SecretFutureCall {
    pub(crate) async fn take(_session: &Session, _what: &str) {}

    pub(crate) async fn fail(_session: &Session, what: &str) -> Result<(), String> {
        Err(format!("refused {} bytes", what.len()))
    }

    pub(crate) async fn panic(_session: &Session, what: &str) {
        panic!("cannot hold {} bytes", what.len());
    }

    pub(crate) async fn count(_session: &Session, _number: u32) {}

    pub(crate) async fn choose(_session: &Session, _choice: CallChoice) {}

    pub(crate) async fn know(_session: &Session, _what: Strict) {}
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) enum CallChoice {
    One,
    Other,
}

/// Whatever can be shown of a value that holds the secret, or of an error about it.
#[track_caller]
fn keeps_quiet(what: &str, shown: &impl Debug) {
    for shown in [format!("{shown:?}"), format!("{shown:#?}")] {
        assert!(!shown.contains(SECRET), "{what} shows its arguments: {shown}");
    }
}

#[track_caller]
fn error_keeps_quiet(what: &str, error: &(dyn Error + 'static)) {
    let mut next = Some(error);
    while let Some(error) = next {
        keeps_quiet(what, &error);
        assert!(!error.to_string().contains(SECRET), "{what} says its arguments: {error}");
        next = error.source();
    }
}

fn secret_call(name: &str) -> NewCall {
    NewCall {
        id: CallId::new(),
        name: name.to_owned(),
        identifier: None,
        args: format!("{{\"data\":\"{SECRET}\"}}"),
        format: 2,
        priority: 0,
        due: Due::After(Duration::ZERO),
        expires_after: None,
        traceparent: None,
    }
}

fn secret_schedule() -> NewSchedule {
    NewSchedule {
        id: ScheduleId::new(),
        key: "secret".to_owned(),
        former_keys: Vec::new(),
        name: "elsewhere.often".to_owned(),
        identifier: None,
        args: format!("{{\"data\":\"{SECRET}\"}}"),
        format: 2,
        priority: 0,
        rule: Rule::every(HOUR).unwrap(),
        origin: ScheduleOrigin::Code,
    }
}

/// Makes the database refuse every row of calls named `elsewhere.refused`, with all that it says of such a row.
async fn refuse_some(backend: &Backend) {
    match backend {
        Backend::Memory(_) => {}
        Backend::Sqlite(file) => {
            let trigger = "CREATE TRIGGER refusal BEFORE INSERT ON futurecall_call WHEN new.name = 'elsewhere.refused' \
                BEGIN SELECT RAISE(ABORT, 'not that one'); END";
            sqlx::raw_sql(trigger).execute(&file.pool().await).await.unwrap();
        }
        Backend::Postgres(database) => {
            let check = format!(
                "ALTER TABLE {}.call ADD CONSTRAINT refusal CHECK (name <> 'elsewhere.refused')",
                database.schema
            );
            sqlx::raw_sql(sqlx::AssertSqlSafe(check)).execute(&database.pool).await.unwrap();
        }
    }
}

on_all_stores! {
    async fn no_span_event_error_or_debug_text_holds_an_argument(backend: &Backend) {
        let overheard = Overheard::word(SECRET);
        backend.store().await;
        refuse_some(backend).await;
        calls_that_run(backend).await;
        calls_that_do_not_decode(backend).await;
        rows_that_are_refused(backend).await;
        rows_of_the_store(backend).await;
        assert_eq!(overheard.said(), [""; 0]);
    }

    /// So that the test above would notice: what a handler says itself is logged.
    async fn what_a_handler_says_is_heard(backend: &Backend) {
        let word = format!("nougat-{}", CallId::new());
        let overheard = Overheard::word(&word);
        let pod = backend.builder().role(Role::Maintenance).register_future_call("say", Say).start().await.unwrap();
        pod.future_call_with_delay("say", Some(&word), Duration::ZERO).await.unwrap();
        assert_eq!(pod.run_due().await.unwrap().failed, 1);
        pod.shutdown().await;
        let said = overheard.said();
        assert!(said.iter().any(|line| line.contains("a call failed")), "{said:?}");
    }
}

/// Fails with its data.
struct Say;

impl InvokableFutureCall for Say {
    type Data = String;

    async fn invoke(&self, _session: &Session, data: Option<String>) -> Result<(), BoxError> {
        Err(data.unwrap_or_default().into())
    }
}

async fn calls_that_run(backend: &Backend) {
    let pod = backend.builder().role(Role::Maintenance).register(SecretFutureCall).start().await.unwrap();
    let calls = pod.future_calls();
    let pending = calls.call_now().identifier("x").secret().take(SECRET);
    keeps_quiet("a pending call", &pending);
    let id = pending.await.unwrap();
    keeps_quiet("the future of a call", &calls.schedule_all([calls.call_now().secret().fail(SECRET)]));
    calls
        .schedule_all([calls.call_now().secret().fail(SECRET), calls.call_now().secret().panic(SECRET)])
        .await
        .unwrap();
    let recurring = calls.call_recurring().every(HOUR).secret().take(SECRET);
    keeps_quiet("a pending schedule", &recurring);
    recurring.await.unwrap();
    calls.call_with_delay(HOUR).identifier("cancelled").secret().take(SECRET).await.unwrap();
    keeps_quiet("a cancellation", &calls.cancel("cancelled").await.unwrap());

    keeps_quiet("a record", &pod.inspect().call(id).await.unwrap());
    keeps_quiet("a page", &pod.inspect().calls(CallFilter::new()).await.unwrap());
    keeps_quiet("schedules", &pod.inspect().schedules().await.unwrap());
    let records = (pod.inspect().call(id).await.unwrap(), pod.inspect().schedules().await.unwrap());
    assert!(records.0.is_some() && !records.1.is_empty());
    keeps_quiet("the JSON of records", &serde_json::to_string(&records).unwrap());
    let summary = pod.run_due().await.unwrap();
    assert_eq!((summary.succeeded, summary.failed), (1, 2), "{summary:?}");
    let page = pod.inspect().calls(CallFilter::new()).await.unwrap();
    assert!(page.calls.iter().all(|call| call.args.contains(SECRET)), "they are stored all the same");
    keeps_quiet("the history", &page);
    keeps_quiet("a pod", &pod);
    pod.shutdown().await;
}

/// Arguments of the wrong type, as found at the start of a pod, in inspection, and when they are due.
async fn calls_that_do_not_decode(backend: &Backend) {
    let elsewhere = backend.builder().role(Role::Serverless).start().await.unwrap();
    let wrong = [
        ("secret.count", serde_json::json!({ "_number": SECRET })),
        ("secret.count", serde_json::json!({ SECRET: 1 })),
        ("secret.choose", serde_json::json!({ "_choice": SECRET })),
        ("secret.choose", serde_json::json!({ "_choice": { SECRET: SECRET } })),
        ("secret.know", serde_json::json!({ "_what": { "known": 1, SECRET: SECRET } })),
        ("secret.know", serde_json::json!({ "_what": { "known": SECRET } })),
        ("secret.know", serde_json::json!({ "_what": [SECRET] })),
        ("secret.take", serde_json::json!([SECRET])),
        ("secret.take", serde_json::json!(SECRET)),
    ];
    for (name, args) in &wrong {
        elsewhere.future_call_with_delay(name, Some(args), Duration::ZERO).await.unwrap();
    }
    elsewhere.shutdown().await;
    let config = Backend::config().check_broken_calls(CheckBrokenCalls::Always);
    let builder = backend.builder().role(Role::Maintenance).config(config).register(SecretFutureCall);
    let pod = builder.start().await.unwrap();
    let page = pod.inspect().calls(CallFilter::new().state(CallState::Scheduled)).await.unwrap();
    let broken: Vec<_> = page.calls.iter().filter_map(|call| call.broken.as_deref()).collect();
    assert_eq!(broken.len(), wrong.len(), "{broken:?}");
    keeps_quiet("what is broken", &broken);
    assert_eq!(pod.run_due().await.unwrap().failed, wrong.len() as u64);
    let page = pod.inspect().calls(CallFilter::new().state(CallState::Failed)).await.unwrap();
    assert!(page.calls.len() >= wrong.len());
    keeps_quiet("the errors in the history", &page);
    pod.shutdown().await;
}

async fn rows_that_are_refused(backend: &Backend) {
    let pod = backend.builder().role(Role::Serverless).start().await.unwrap();
    let refused = pod.future_call_with_delay("elsewhere.refused", Some(SECRET), Duration::ZERO).await;
    match (backend, refused) {
        (Backend::Memory(_), refused) => drop(refused.unwrap()),
        (_, refused) => error_keeps_quiet("a refused call", &refused.unwrap_err()),
    }
    pod.shutdown().await;

    let store = backend.store().await;
    let broken = [
        NewCall { args: format!("{{\"data\":\"{SECRET}\0\"}}"), ..secret_call("elsewhere.run") },
        NewCall { args: format!("{{\"data\":\"{SECRET}"), ..secret_call("elsewhere.run") },
        NewCall { args: SECRET.to_owned(), ..secret_call("elsewhere.run") },
        NewCall { name: "a\0b".to_owned(), ..secret_call("elsewhere.run") },
        NewCall { due: Due::After(Duration::MAX), ..secret_call("elsewhere.run") },
        secret_call("elsewhere.refused"),
    ];
    let mut refused = 0;
    for call in broken {
        keeps_quiet("a new call", &call);
        for batch in [&[call.clone()][..], &[secret_call("elsewhere.run"), call]] {
            for again in [false, true] {
                if let Err(error) = store.insert(Now::Database, batch, again, HOUR).await {
                    error_keeps_quiet("a refused row", &error);
                    refused += 1;
                }
            }
        }
    }
    assert!(refused >= 8, "NUL and what is out of range is refused by every store: {refused}");
    let nul = NewSchedule { key: "a\0b".to_owned(), ..secret_schedule() };
    keeps_quiet("a new schedule", &nul);
    error_keeps_quiet("a refused schedule", &store.declare(Now::Database, &[nul]).await.unwrap_err());
}

async fn rows_of_the_store(backend: &Backend) {
    let store = backend.store().await;
    store.insert(Now::Database, &[secret_call("elsewhere.claimed")], false, HOUR).await.unwrap();
    store.declare(Now::Database, &[secret_schedule()]).await.unwrap();
    let request = ClaimRequest {
        pod: PodId::new(),
        claim_no: 1,
        names: vec![("elsewhere.claimed".to_owned(), OnVanish::Keep)],
        shapes: std::sync::Arc::default(),
        limit: 10,
        lease: HOUR,
        until: None,
        ahead: Duration::ZERO,
        sweep: true,
        retention: Retention::default(),
    };
    let claim = store.claim(Now::Database, &request).await.unwrap();
    assert!(claim.calls.len() == 1 && claim.calls[0].args.contains(SECRET));
    keeps_quiet("a claim", &claim);
    keeps_quiet("a found claim", &store.find_claim(request.pod, 1).await.unwrap());
    let nobody = CancelTarget::Identifier("nobody".to_owned());
    keeps_quiet(
        "a cancellation",
        &store.cancel(Now::Database, &nobody, &Retention::default()).await.unwrap(),
    );
    keeps_quiet("a store", &store);
    // An error may travel in another one, and be shown as the cause of it.
    let error: BoxError = StoreError::refused("store calls", "no").into();
    error_keeps_quiet("an error in a box", error.as_ref());
}
