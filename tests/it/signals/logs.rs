//! The logs of runs, captured by a subscriber of this thread: the pods here run on it as well.

use std::time::Duration;

use futurecall_runtime::inspect::RunLog;
use futurecall_runtime::prelude::*;
use futurecall_runtime::signals::RunLogs;
use futurecall_runtime::{CallId, Config, Retention, Role, StartError};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::eventually;
use tracing_subscriber::layer::SubscriberExt;

struct TalkFutureCall;

#[future_call]
impl TalkFutureCall {
    /// Two of them take turns.
    pub(crate) async fn say(_session: &Session, word: &str) {
        for number in 1..=3 {
            tracing::info!(number, "{word}");
            tokio::task::yield_now().await;
        }
        tracing::debug!(target: "elsewhere", text = "a\0b", "nul");
    }

    #[future_call(retry(max_attempts = 2, backoff = fixed("1ms")))]
    pub(crate) async fn fail(session: &Session) -> Result<(), BoxError> {
        tracing::warn!(attempt = session.call().attempt, "trying");
        Err("told to".into())
    }

    pub(crate) async fn babble(_session: &Session) {
        for number in 0..5_000 {
            tracing::info!(number, "and so on");
        }
    }

    pub(crate) async fn silent(_session: &Session) {}
}

fn listen() -> tracing::subscriber::DefaultGuard {
    tracing::subscriber::set_default(tracing_subscriber::registry().with(RunLogs::new()))
}

async fn pod(backend: &Backend, config: Config) -> Pod {
    let builder = backend.builder().config(config).role(Role::Maintenance).register(TalkFutureCall);
    builder.start().await.unwrap()
}

async fn logs(pod: &Pod, id: CallId, count: usize) -> Vec<RunLog> {
    eventually("the logs are stored", async || {
        Some(pod.inspect().logs(id).await.unwrap()).filter(|logs| logs.len() >= count)
    })
    .await
}

/// The lines without the time.
fn lines(log: &RunLog) -> Vec<&str> {
    log.text.lines().map(|line| line.split_once("s ").map_or(line, |(_, line)| line)).collect()
}

#[tokio::test]
async fn what_a_run_logs_is_kept_with_its_call() {
    let _guard = listen();
    for backend in [Backend::memory(), Backend::sqlite(), Backend::postgres().await] {
        let pod = pod(&backend, Config::new().keep_logs(4_096)).await;
        let calls = pod.future_calls();
        let one = calls.call_now().talk().say("one").await.unwrap();
        let two = calls.call_now().talk().say("two").await.unwrap();
        let failing = calls.call_now().talk().fail().await.unwrap();
        let silent = calls.call_now().talk().silent().await.unwrap();
        tracing::info!("outside of runs");
        pod.run_due().await.unwrap();
        eventually("it has been tried twice", async || {
            pod.run_due().await.unwrap();
            let call = pod.inspect().call(failing).await.unwrap().unwrap();
            call.state.is_finished().then_some(())
        })
        .await;

        for (id, word) in [(one, "one"), (two, "two")] {
            let logs = logs(&pod, id, 1).await;
            assert_eq!((logs.len(), logs[0].attempt), (1, 1));
            let from = "INFO it::signals::logs:";
            let said: Vec<_> = (1..=3).map(|number| format!("{from} {word} number={number}")).collect();
            assert_eq!(lines(&logs[0])[..3], said);
            assert_eq!(lines(&logs[0])[3], r#"DEBUG elsewhere: nul text="a\0b""#);
        }
        let logs = logs(&pod, failing, 2).await;
        assert_eq!(logs.iter().map(|log| log.attempt).collect::<Vec<_>>(), [1, 2]);
        for (log, ending) in logs.iter().zip(["an attempt failed; the call is tried again", "a call failed"])
        {
            let lines = lines(log);
            assert_eq!(lines[0], format!("WARN it::signals::logs: trying attempt={}", log.attempt));
            assert!(lines[1].contains(ending) && lines[1].contains("told to"), "{lines:?}");
        }
        assert_eq!(pod.inspect().logs(silent).await.unwrap(), []);
        pod.shutdown().await;
        backend.drop().await;
    }
}

#[tokio::test]
async fn of_a_long_log_the_beginning_and_the_end_are_kept() {
    let _guard = listen();
    let backend = Backend::sqlite();
    let pod = pod(&backend, Config::new().keep_logs(2_048)).await;
    let id = pod.future_calls().call_now().talk().babble().await.unwrap();
    pod.run_due().await.unwrap();
    let text = logs(&pod, id, 1).await.remove(0).text;
    assert!(text.len() < 2_048 + 100, "{} bytes", text.len());
    assert!(text.contains("number=0\n") && text.ends_with("number=4999\n"), "{text}");
    assert!(text.contains(" lines left out …\n"), "{text}");
    pod.shutdown().await;
}

#[tokio::test]
async fn nothing_is_kept_unless_it_is_asked_for_and_the_call_is_kept() {
    let _guard = listen();
    let unkept = Retention { succeeded: Duration::ZERO, ..Retention::default() };
    for config in [Config::new(), Config::new().keep_logs(1_024).retention(unkept)] {
        let backend = Backend::memory();
        let pod = pod(&backend, config).await;
        let id = pod.future_calls().call_now().talk().say("x").await.unwrap();
        pod.run_due().await.unwrap();
        // Whatever was to be stored is stored when the pod has ended.
        pod.shutdown().await;
        assert_eq!(backend.store().await.logs(id).await.unwrap(), []);
    }
}

#[tokio::test]
async fn nonsense_is_refused() {
    for bytes in [1, 1_023, 1_048_577] {
        let config = Config::new().keep_logs(bytes);
        let error = Backend::memory().builder().config(config).start().await.unwrap_err();
        assert!(matches!(&error, StartError::Setting { name, .. } if name == "keep_logs"), "{error}");
    }
    let config = Config::from_vars([("FUTURECALL_KEEP_LOGS", "65536")]).unwrap();
    assert_eq!(config, Config::new().keep_logs(65_536));
    assert!(Config::from_vars([("FUTURECALL_KEEP_LOGS", "many")]).is_err());
}
