//! Inputs that break schedulers: each is a typed error before anything is written, or comes back unchanged.

use std::time::{Duration, SystemTime};

use futurecall_runtime::chrono::{DateTime, NaiveDate, Utc};
use futurecall_runtime::prelude::*;
use futurecall_runtime::serde_json::{Value, json};
use futurecall_runtime::{ArgumentError, CallState, Moment, Role, ScheduleError, StartError};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::Journal;
use futurecall_tests::on_all_stores;

struct Echo(Journal);

impl InvokableFutureCall for Echo {
    type Data = Value;

    async fn invoke(&self, session: &Session, data: Option<Value>) -> Result<(), BoxError> {
        let identifier = session.call().identifier.as_deref().unwrap_or("");
        self.0.write(format!("{identifier}|{}", data.unwrap_or_default()));
        Ok(())
    }
}

struct Complain;

impl InvokableFutureCall for Complain {
    type Data = Value;

    async fn invoke(&self, _session: &Session, _data: Option<Value>) -> Result<(), BoxError> {
        Err(format!("zero \0 byte, \u{1b}[31mred, {}", "x".repeat(100_000)).into())
    }
}

async fn pod(backend: &Backend, journal: &Journal) -> Pod {
    let builder =
        backend.builder().role(Role::Maintenance).register_future_call("echo", Echo(journal.clone()));
    builder.register_future_call("complain", Complain).start().await.unwrap()
}

on_all_stores! {
    async fn strange_texts_come_back_as_they_were_given(backend: &Backend) {
        let journal = Journal::new();
        let pod = pod(backend, &journal).await;
        let texts = [
            "'; DROP TABLE futurecall.call; --",
            "%_\\\"$1{}",
            "日本語 🦀 \u{202e}rtl",
            "<script>alert(1)</script>",
            &"🦀".repeat(255),
        ];
        for text in texts {
            let data = json!({ "text": text, "nul": "a\u{0}b", "escape": "\u{1b}[31m" });
            pod.future_call_with_delay("echo", Some(&data), Duration::ZERO).identifier(text).await.unwrap();
            assert_eq!(pod.run_due().await.unwrap().succeeded, 1);
            assert_eq!(journal.lines().pop().unwrap(), format!("{text}|{data}"));
            pod.future_call_with_delay("echo", Some(&data), Duration::from_mins(1)).identifier(text).await.unwrap();
            assert_eq!(pod.future_calls().cancel(text).await.unwrap().calls, 1);
        }
        pod.shutdown().await;
    }

    async fn texts_that_no_database_can_keep_are_refused(backend: &Backend) {
        let pod = pod(backend, &Journal::new()).await;
        let call = || pod.future_call_with_delay("echo", Some(&1), Duration::ZERO);
        for bad in ["", "a\0b", "line\nbreak", "tab\t", &"x".repeat(256)] {
            assert!(matches!(call().identifier(bad).await, Err(ScheduleError::InvalidIdentifier { .. })), "{bad:?}");
            assert!(matches!(pod.future_calls().cancel(bad).await, Err(ScheduleError::InvalidIdentifier { .. })));
            let named = pod.future_call_with_delay(bad, Some(&1), Duration::ZERO);
            assert!(matches!(named.await, Err(ScheduleError::InvalidName { .. })), "{bad:?}");
            let error = backend.builder().register_future_call(bad, Echo(Journal::new())).start().await.unwrap_err();
            assert!(matches!(error, StartError::Setting { .. }), "{error}");
        }
        assert_eq!(pod.inspect().counts().await.unwrap().scheduled, 0);
        pod.shutdown().await;
    }

    async fn moments_are_kept_exactly_rounded_up_or_refused(backend: &Backend) {
        let pod = pod(backend, &Journal::new()).await;
        let at = |time: DateTime<Utc>| pod.future_call_at_time("later", Some(&1), time);
        let day = |year: i32| NaiveDate::from_ymd_opt(year, 6, 30).unwrap();
        let due = |id| {
            let inspect = pod.inspect();
            async move { inspect.call(id).await.unwrap().unwrap().due }
        };
        for (time, expected) in [
            (Moment::MIN.to_utc(), Moment::MIN),
            (Moment::MAX.to_utc(), Moment::MAX),
            (
                day(2040).and_hms_nano_opt(0, 0, 0, 1).unwrap().and_utc(),
                day(2040).and_hms_micro_opt(0, 0, 0, 1).unwrap().and_utc().try_into().unwrap(),
            ),
            (
                // A leap second is the same fraction of the second after it.
                day(2040).and_hms_milli_opt(23, 59, 59, 1_500).unwrap().and_utc(),
                day(2040).succ_opt().unwrap().and_hms_milli_opt(0, 0, 0, 500).unwrap().and_utc().try_into().unwrap(),
            ),
        ] {
            let id = at(time).await.unwrap();
            assert_eq!(due(id).await, expected, "{time}");
        }
        for outside in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC, day(1969).and_hms_opt(0, 0, 0).unwrap().and_utc()] {
            assert!(matches!(at(outside).await, Err(ScheduleError::MomentOutOfRange)), "{outside}");
        }
        let before_1970 = SystemTime::UNIX_EPOCH - Duration::from_nanos(1);
        let refused = pod.future_call_at_time("later", Some(&1), before_1970).await;
        assert!(matches!(refused, Err(ScheduleError::MomentOutOfRange)));
        for delay in [Duration::MAX, Duration::from_secs(u64::MAX / 1_000), Duration::from_hours(24 * 366 * 8_000)] {
            let refused = pod.future_call_with_delay("later", Some(&1), delay).await;
            assert!(matches!(refused, Err(ScheduleError::MomentOutOfRange)), "{delay:?}");
        }
        assert_eq!(pod.inspect().counts().await.unwrap().scheduled, 4);
        pod.shutdown().await;
    }

    async fn deep_and_large_arguments_are_refused(backend: &Backend) {
        let pod = pod(backend, &Journal::new()).await;
        let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        let call = |data: &Value| pod.future_call_with_delay("echo", Some(data), Duration::ZERO);
        call(&nested(90)).await.unwrap();
        let refused = call(&nested(120)).await.unwrap_err();
        assert!(matches!(refused, ScheduleError::Argument(ArgumentError::TooDeep { .. })), "{refused}");
        call(&json!("x".repeat(1_000_000))).await.unwrap();
        let refused = call(&json!("x".repeat(1_100_000))).await.unwrap_err();
        assert!(matches!(refused, ScheduleError::Argument(ArgumentError::TooLarge { .. })), "{refused}");
        assert_eq!(pod.run_due().await.unwrap().succeeded, 2);
        pod.shutdown().await;
    }

    async fn an_error_text_that_no_database_can_keep_is_kept_cleaned(backend: &Backend) {
        let pod = pod(backend, &Journal::new()).await;
        let id = pod.future_call_with_delay("complain", None::<&Value>, Duration::ZERO).await.unwrap();
        assert_eq!(pod.run_due().await.unwrap().failed, 1);
        let call = pod.inspect().call(id).await.unwrap().unwrap();
        assert_eq!(call.state, CallState::Failed);
        let error = call.error.unwrap();
        assert!(error.starts_with("zero \u{fffd} byte") && error.chars().count() == 8_000);
        pod.shutdown().await;
    }
}

#[tokio::test]
async fn names_of_schemas_and_prefixes_are_checked_before_they_stand_in_sql() {
    for bad in ["", "Upper", "with space", "x\"; DROP", "1st", "a-b", "ä", &"x".repeat(49)] {
        for builder in [Pod::builder().schema(bad), Pod::builder().table_prefix(bad)] {
            let error =
                builder.database_url("sqlite::memory:").without_discovery().start().await.unwrap_err();
            assert!(matches!(error, StartError::Setting { .. }), "{bad}: {error}");
        }
    }
    let error = Pod::builder().without_discovery().start().await.unwrap_err();
    assert!(error.to_string().contains(".database_url("), "{error}");
    let error = Pod::builder()
        .database_url("mysql://user:secret@host/db")
        .without_discovery()
        .start()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("sqlite:") && !error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn a_password_stands_in_no_error_text() {
    let url = "postgres://user:secret-word@127.0.0.1:1/db";
    let error = Pod::builder().database_url(url).without_discovery().start().await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("secret-word"), "{error:?}");
    assert!(!format!("{:?}", Pod::builder().database_url(url)).contains("secret-word"));
}

/// One of many calls that are stored in one go is refused by the database itself. The error says of all of them that nothing
/// was stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_of_which_the_database_refuses_one_are_not_stored() {
    let backend = Backend::postgres().await;
    let Backend::Postgres(database) = &backend else { unreachable!("it is one") };
    let pod = backend.builder().role(Role::Serverless).start().await.unwrap();
    let check = format!(
        "ALTER TABLE {}.call ADD CONSTRAINT refusal CHECK (identifier <> 'refused')",
        database.schema
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(check)).execute(&database.pool).await.unwrap();
    // By one statement, and as a stream of rows.
    for count in [3, 1_000] {
        let calls = (0..count).map(|n| {
            let call = pod.future_call_with_delay("elsewhere", None::<&()>, Duration::from_hours(1));
            call.identifier(if n == count / 2 { "refused" } else { "x" })
        });
        let error = pod.future_calls().schedule_all(calls).await.unwrap_err();
        assert!(!error.outcome_unknown(), "{error}");
        assert_eq!(pod.inspect().counts().await.unwrap().scheduled, 0, "{count}: {error}");
    }
    pod.shutdown().await;
    backend.drop().await;
}
