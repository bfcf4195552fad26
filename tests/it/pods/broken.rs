//! The check for broken calls at start, with many pending calls, and with a start that refuses.

use std::sync::Arc;
use std::time::Duration;

use futurecall_runtime::prelude::*;
use futurecall_runtime::store::{ClaimRequest, Held, Now, OnVanish};
use futurecall_runtime::{CallId, CallState, CheckBrokenCalls, PodId, Retention, Role, StartError};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::on_all_stores;
use futurecall_tests::overheard::Overheard;
use serde_json::{Value, json};

use super::support::Note;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// More than are looked at one by one.
const MANY: usize = 1_206;

/// Stores so many calls of a name, a minute apart from `first` on.
async fn store(pod: &Pod, name: &str, args: &Value, count: usize, first: Duration) {
    let mut calls = Vec::new();
    let mut delay = first;
    for _ in 0..count {
        calls.push(pod.future_call_with_delay(name, Some(args), delay));
        delay += Duration::from_mins(1);
    }
    pod.future_calls().schedule_all(calls).await.unwrap();
}

/// Returns a name that no other test uses, so that its log lines can be told apart.
fn unique(name: &str) -> String {
    format!("{name}-{}", CallId::new())
}

/// What the check of this pod said of calls of this name: a line for each reason.
fn warned(overheard: &Overheard, pod: &Pod, name: &str) -> Vec<String> {
    let (pod, name) = (format!("pod={}", pod.id()), format!("name={name} "));
    let mut said = overheard.said();
    said.retain(|line| line.starts_with("WARN") && line.contains(&pod) && line.contains(&name));
    said
}

/// What the check of this pod said that it looked at.
fn looked_at(overheard: &Overheard, pod: &Pod) -> String {
    let (pod, said) = (pod.id().to_string(), overheard.said());
    said.into_iter().find(|line| line.contains(&pod)).expect("the check says what it looked at")
}

on_all_stores! {
    async fn renamed_methods_are_reported_however_many_calls_wait(backend: &Backend) {
        let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
        // Near each other: of the same id.
        let id = CallId::new();
        let [old, new, elsewhere] = ["old", "new", "other"].map(|name| format!("renamed-{name}-{id}"));
        store(&scheduler, &old, &json!("x"), MANY, HOUR).await;
        store(&scheduler, &elsewhere, &json!("x"), 3, HOUR).await;
        let note = || Note(Journal::new());
        let other = backend.builder().register_future_call(elsewhere.clone(), note()).start().await.unwrap();
        let overheard = Overheard::word("renamed-");
        let pod = backend.builder().register_future_call(new.clone(), note()).start().await.unwrap();
        let said = overheard.said();
        let told = |name: &str, words: &[&str]| {
            let name = format!("name={name} ");
            said.iter().any(|line| {
                line.starts_with("WARN") && line.contains(&name) && words.iter().all(|word| line.contains(word))
            })
        };
        let why = format!("no call of that name (the nearest is `{new}`)");
        assert!(told(&old, &["calls=1206 ", &why, "runs_elsewhere=false"]), "{said:#?}");
        assert!(told(&elsewhere, &["calls=3 ", "runs_elsewhere=true"]), "{said:#?}");
        for pod in [pod, other, scheduler] {
            pod.shutdown().await;
        }
    }

    async fn a_sample_finds_every_set_of_keys_and_says_what_it_left_out(backend: &Backend) {
        let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
        let overheard = Overheard::word("checked");
        let (broken, alone) = (Overheard::word("sampled.remind"), unique("alone"));
        let broken_alone = Overheard::word(&format!("name={alone} "));
        store(&scheduler, "sampled.remind", &json!({ "user": 7, "text": "x" }), MANY, HOUR).await;
        // One right behind the first, and one that waits for months, behind all others.
        store(&scheduler, "sampled.remind", &json!({ "user": 7, "words": "x" }), 1, HOUR).await;
        store(&scheduler, "sampled.remind", &json!({ "account": 7, "text": "x" }), 1, 60 * DAY).await;
        // And the only one of its name, behind the first thousand and before those that wait for days.
        store(&scheduler, &alone, &json!(7), 1, HOUR * 20).await;
        let builder = || backend.builder().register(SampledFutureCall).register_future_call(alone.clone(), Note(Journal::new()));
        let pod = builder().start().await.unwrap();
        // Other tests have calls of that name as well.
        let by_it = |line: &String| line.starts_with("WARN") && line.contains(&pod.id().to_string());
        let said: Vec<_> = broken.said().into_iter().filter(by_it).collect();
        for parameter in ["`text`", "`user`"] {
            let line = said.iter().find(|line| line.contains(parameter)).unwrap_or_else(|| panic!("{said:#?}"));
            assert!(line.contains("calls=1 ") && line.contains("waiting=1208"), "{line}");
        }
        let said = broken_alone.said();
        assert!(said.iter().any(|line| line.contains("calls=1 ") && line.contains("`data`")), "{said:#?}");
        let summary = looked_at(&overheard, &pod);
        let number = |field: &str| -> u64 {
            let (_, rest) = summary.split_once(&format!(" {field}=")).unwrap_or_else(|| panic!("{summary}"));
            rest.split_whitespace().next().unwrap().parse().unwrap()
        };
        assert_eq!((number("names"), number("waiting")), (2, 1_209), "{summary}");
        assert_eq!((number("keys_read"), number("sets_of_keys")), (1_209, 4), "{summary}");
        assert!((500..1_209).contains(&number("decoded")), "{summary}");
        assert_eq!(number("decoded") + number("not_decoded"), 1_209, "{summary}");
        assert!(summary.contains("a sample"), "{summary}");
        pod.shutdown().await;
        // When asked for, it leaves nothing out.
        let config = Backend::config().check_broken_calls(CheckBrokenCalls::Always);
        let pod = builder().config(config).start().await.unwrap();
        let summary = looked_at(&overheard, &pod);
        assert!(summary.contains("decoded=1209 ") && summary.contains("not_decoded=0"), "{summary}");
        pod.shutdown().await;
        scheduler.shutdown().await;
    }

    async fn a_start_that_refuses_broken_calls_claims_nothing(backend: &Backend) {
        let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
        let journal = Journal::new();
        let start = |names: &[&str]| {
            let config = Backend::config().check_broken_calls(CheckBrokenCalls::Refuse);
            let mut builder = backend.builder().config(config).register(SampledFutureCall);
            for name in names {
                builder = builder.register_future_call(*name, Note(journal.clone()));
            }
            builder.start()
        };
        // Few and many, by name and by arguments.
        let args = json!({ "user": "seven", "text": "x" });
        let undecodable = scheduler.future_call_with_delay("sampled.remind", Some(&args), HOUR).await.unwrap();
        let due = scheduler.future_call_with_delay("good", Some("x"), Duration::ZERO).await.unwrap();
        for count in [1, MANY] {
            store(&scheduler, "notes.old", &json!("x"), count, HOUR).await;
            let error = start(&["good", "notes.new"]).await.unwrap_err();
            assert!(!error.is_transient() && !error.outcome_unknown(), "{error}");
            let StartError::BrokenCalls { found } = &error else { panic!("{error:?}") };
            assert_eq!(found.len(), 2, "{found:?}");
            let waiting = if count == 1 { "1 call:" } else { "1207 calls:" };
            let told = error.to_string();
            for text in [&format!("`notes.old`, {waiting}"), "`notes.new`", "`sampled.remind`, 1 ", "`user`", "alias"] {
                assert!(told.contains(text), "{text}: {told}");
            }
            assert_eq!(scheduler.future_calls().status(due).await.unwrap(), Some(CallState::Scheduled));
            assert_eq!(scheduler.inspect().call(due).await.unwrap().unwrap().attempt, 0);
            assert!(scheduler.inspect().pods().await.unwrap().iter().all(|pod| pod.names.is_empty()), "it has left");
        }
        assert_eq!(journal.lines(), [""; 0]);
        // What a live pod knows is not broken, and what this one knows runs.
        let undone = [(undecodable, "not for this test".to_owned())];
        backend.store().await.discard(Now::Database, &undone, &Retention::default()).await.unwrap();
        let other = backend.builder().register_future_call("notes.old", Note(Journal::new())).start().await.unwrap();
        let pod = start(&["good", "notes.new"]).await.unwrap();
        eventually("what was due runs", || async {
            (scheduler.future_calls().status(due).await.unwrap() == Some(CallState::Succeeded)).then_some(())
        })
        .await;
        for pod in [pod, other, scheduler] {
            pod.shutdown().await;
        }
    }

    async fn an_older_set_of_keys_is_found_behind_thousands_of_good_calls(backend: &Backend) {
        let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
        // Due within four days; and an older release's, by name and typed, right behind them.
        store(&scheduler, "sampled.remind", &json!({ "user": 7, "text": "x" }), 5_000, HOUR).await;
        store(&scheduler, "sampled.remind", &json!({ "user": 7, "words": "x" }), 3, 4 * DAY).await;
        let typed = scheduler.future_calls().call_with_delay(5 * DAY).of::<old::Old>();
        typed.remind(7, "x".to_owned()).await.unwrap();
        let overheard = Overheard::word("sampled.remind");
        let looked = Overheard::word("checked");
        let pod = backend.builder().register(SampledFutureCall).start().await.unwrap();
        let said = warned(&overheard, &pod, "sampled.remind");
        let [line] = &said[..] else { panic!("{said:#?}") };
        for text in ["calls=4 ", "same_keys=4 ", "`text`", "runs_elsewhere=false", "waiting=5004"] {
            assert!(line.contains(text), "{text}: {line}");
        }
        let summary = looked_at(&looked, &pod);
        for text in ["waiting=5004 ", "keys_read=5004 ", "sets_of_keys=3 "] {
            assert!(summary.contains(text), "{text}: {summary}");
        }
        for pod in [pod, scheduler] {
            pod.shutdown().await;
        }
    }

    async fn what_a_live_pod_of_another_release_may_read_is_left_to_it(backend: &Backend) {
        let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
        // It is live and has the name, and runs nothing before it is asked to.
        let other = backend.builder().role(Role::Maintenance).register(old::Old).start().await.unwrap();
        let config = || Backend::config();
        let delete = || config().check_broken_calls(CheckBrokenCalls::Always).delete_broken_calls(true);
        let refuse = || config().check_broken_calls(CheckBrokenCalls::Refuse);
        let start = |config| backend.builder().config(config).register(SampledFutureCall).start();
        let overheard = Overheard::word("sampled.remind");
        let old = scheduler.future_calls().call_with_delay(HOUR).of::<old::Old>();
        let id = old.remind(7, "x".to_owned()).await.unwrap();
        let state = || async { scheduler.future_calls().status(id).await.unwrap() };
        // Few and many.
        for count in [0, MANY] {
            store(&scheduler, "sampled.remind", &json!({ "user": 7, "text": "x" }), count, 2 * HOUR).await;
            for config in [delete(), refuse()] {
                let pod = start(config).await.unwrap();
                let said = warned(&overheard, &pod, "sampled.remind");
                assert!(said.len() == 1 && said[0].contains("runs_elsewhere=true"), "{said:#?}");
                pod.shutdown().await;
            }
        }
        assert_eq!(state().await, Some(CallState::Scheduled));
        // Once that release has declined it as well, nobody is left to read it.
        decline(backend, id, old::shape(&other).await).await;
        let error = start(refuse()).await.unwrap_err();
        assert!(matches!(&error, StartError::BrokenCalls { found } if found.len() == 1), "{error:?}");
        let pod = start(delete()).await.unwrap();
        assert_eq!(state().await, Some(CallState::Cancelled));
        // And nobody is once it has ended.
        let old = scheduler.future_calls().call_with_delay(HOUR).of::<old::Old>();
        old.remind(7, "x".to_owned()).await.unwrap();
        other.shutdown().await;
        let error = start(refuse()).await.unwrap_err();
        assert!(error.to_string().contains("`sampled.remind`, 1 "), "{error}");
        for pod in [pod, scheduler] {
            pod.shutdown().await;
        }
    }
}

/// Gives a call back as one that pods of this shape could not read.
async fn decline(backend: &Backend, id: CallId, shape: i64) {
    let store = backend.store().await;
    let due = store.call(Now::Database, id).await.unwrap().unwrap().due;
    let request = ClaimRequest {
        pod: PodId::new(),
        claim_no: 1,
        names: vec![("sampled.remind".to_owned(), OnVanish::Keep)],
        shapes: Arc::default(),
        limit: 1,
        lease: HOUR,
        until: None,
        ahead: Duration::ZERO,
        sweep: true,
        retention: Retention::default(),
    };
    let claimed = store.claim(Now::At(due), &request).await.unwrap().calls;
    assert_eq!(claimed.iter().map(|call| call.id).collect::<Vec<_>>(), [id]);
    let held = [Held { id, claim_no: 1, started: false }];
    assert_eq!(store.release(Now::At(due), request.pod, &held, Some(shape)).await.unwrap(), 1);
}

/// The release before, which called an argument otherwise.
mod old {
    use super::*;

    pub(super) struct Old;

    #[future_call(name = "sampled")]
    impl Old {
        pub(super) async fn remind(_session: &Session, _user: u64, _words: String) {}
    }

    /// The shape of its call, as its pod has published it.
    pub(super) async fn shape(pod: &Pod) -> i64 {
        let pods = pod.inspect().pods().await.unwrap();
        pods.iter().find(|one| one.id == pod.id()).unwrap().shapes["sampled.remind"].hash()
    }
}

struct SampledFutureCall;

#[future_call(name = "sampled")]
impl SampledFutureCall {
    pub(crate) async fn remind(_session: &Session, _user: u64, _text: &str) {}
}
