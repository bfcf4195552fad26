//! Metrics, captured by a recorder of this thread: the pods here run on it as well.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futurecall_runtime::prelude::*;
use futurecall_runtime::signals::{METRICS, MetricKind};
use futurecall_runtime::store::{Now, PodBeat};
use futurecall_runtime::{CallState, PodId, Role};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::eventually;
use metrics_util::MetricKind as Kind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

struct MeasuredFutureCall;

#[future_call]
impl MeasuredFutureCall {
    #[future_call(alias = "measured.older")]
    pub(crate) async fn fine(_session: &Session) {}

    pub(crate) async fn error(_session: &Session) -> Result<(), BoxError> {
        Err("told to".into())
    }

    #[future_call(retry(max_attempts = 2, backoff = fixed("1ms")))]
    pub(crate) async fn retried(_session: &Session) -> Result<(), BoxError> {
        Err("told to".into())
    }

    pub(crate) async fn panics(_session: &Session) {
        panic!("told to");
    }

    #[future_call(timeout = "5ms")]
    pub(crate) async fn slow(_session: &Session) {
        std::future::pending::<()>().await;
    }
}

/// What was recorded so far. A snapshot takes counts and samples out of the recorder, so they are gathered here.
struct Recorded {
    snapshotter: Snapshotter,
    counters: BTreeMap<(String, Vec<String>), u64>,
    gauges: BTreeMap<String, f64>,
    samples: BTreeMap<(String, Vec<String>), Vec<f64>>,
}

impl Recorded {
    fn by(recorder: &DebuggingRecorder) -> Self {
        let (counters, gauges, samples) = Default::default();
        Self { snapshotter: recorder.snapshotter(), counters, gauges, samples }
    }

    /// Gathers what is new; every metric is one that is published, with the labels that it says.
    fn gather(&mut self) {
        for (key, unit, help, value) in self.snapshotter.snapshot().into_vec() {
            let (kind, key) = key.into_parts();
            let name = key.name().to_owned();
            let Some(known) = METRICS.iter().find(|metric| metric.name == name) else {
                assert!(!name.starts_with("futurecall"), "{name} is not in the list");
                continue;
            };
            assert_eq!(help.as_deref(), Some(known.help));
            assert_eq!(unit.is_some(), name.ends_with("_seconds"), "{name}");
            let is = |published| match published {
                MetricKind::Counter => Kind::Counter,
                MetricKind::Gauge => Kind::Gauge,
                _ => Kind::Histogram,
            };
            assert_eq!(is(known.kind), kind, "{name}");
            assert!(key.labels().map(metrics::Label::key).eq(known.labels.iter().copied()), "{name}");
            let labels: Vec<_> = key.labels().map(|label| label.value().to_owned()).collect();
            match value {
                DebugValue::Counter(count) => *self.counters.entry((name, labels)).or_default() += count,
                // A snapshot takes gauges out as well, and leaves 0.
                DebugValue::Gauge(value) => {
                    let gauge = self.gauges.entry(name).or_default();
                    if value.into_inner() != 0.0 {
                        *gauge = value.into_inner();
                    }
                }
                DebugValue::Histogram(samples) => {
                    let samples = samples.into_iter().map(Into::<f64>::into);
                    self.samples.entry((name, labels)).or_default().extend(samples);
                }
            }
        }
    }

    fn count(&self, name: &str, labels: &[&str]) -> u64 {
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        self.counters.get(&(format!("futurecall_{name}"), labels)).copied().unwrap_or_default()
    }

    fn samples(&self, name: &str, labels: &[&str]) -> &[f64] {
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        self.samples.get(&(format!("futurecall_{name}"), labels)).map_or(&[], Vec::as_slice)
    }

    fn gauge(&self, name: &str) -> Option<f64> {
        self.gauges.get(&format!("futurecall_{name}")).copied()
    }
}

#[tokio::test]
async fn runs_are_counted_by_name_and_outcome() {
    let recorder = DebuggingRecorder::new();
    let mut seen = Recorded::by(&recorder);
    let _guard = metrics::set_default_local_recorder(&recorder);
    let backend = Backend::memory();
    let pod = backend.builder().role(Role::Maintenance).register(MeasuredFutureCall).start().await.unwrap();
    let calls = pod.future_calls();
    for _ in 0..3 {
        calls.call_now().measured().fine().await.unwrap();
    }
    calls.call_now().measured().error().await.unwrap();
    calls.call_now().measured().panics().await.unwrap();
    calls.call_now().measured().slow().await.unwrap();
    let retried = calls.call_now().measured().retried().await.unwrap();
    // By an older name: the same metric.
    pod.future_call_with_delay("measured.older", None::<&()>, Duration::ZERO).await.unwrap();
    let many = (0..5).map(|_| calls.call_with_delay(Duration::from_hours(1)).measured().fine());
    calls.schedule_all(many).await.unwrap();
    pod.run_due().await.unwrap();
    eventually("its attempts are spent", async || {
        pod.run_due().await.unwrap();
        let call = pod.inspect().call(retried).await.unwrap().unwrap();
        (call.state == CallState::Failed).then_some(())
    })
    .await;
    seen.gather();

    assert_eq!(seen.count("scheduled_total", &["measured.fine"]), 9);
    assert_eq!(seen.count("started_total", &["measured.fine"]), 4);
    for (name, outcome, count) in [
        ("fine", "ok", 4),
        ("fine", "error", 0),
        ("error", "error", 1),
        ("panics", "panic", 1),
        ("slow", "timeout", 1),
        ("retried", "error", 2),
    ] {
        let name = format!("measured.{name}");
        assert_eq!(seen.count("finished_total", &[&name, outcome]), count, "{name} {outcome}");
    }
    let of_retried = ["measured.retried"];
    assert_eq!((seen.count("retries_total", &of_retried), seen.count("dead_total", &of_retried)), (1, 1));
    assert_eq!(seen.count("retries_total", &["measured.error"]), 0);
    assert_eq!(seen.count("dead_total", &["measured.error"]), 1);
    for (name, count) in [("fine", 4), ("slow", 1), ("retried", 2)] {
        let name = format!("measured.{name}");
        let lateness = seen.samples("schedule_to_start_seconds", &[&name]);
        assert!(
            lateness.len() == count && lateness.iter().all(|late| (0.0..60.0).contains(late)),
            "{lateness:?}"
        );
        assert_eq!(seen.samples("execution_seconds", &[&name]).len(), count);
    }
    assert!(seen.samples("execution_seconds", &["measured.slow"])[0] >= 0.005);
    assert!(!seen.samples("poll_seconds", &[]).is_empty());
    pod.shutdown().await;
}

/// A call by name whose data is of this type.
struct Of<D>(std::marker::PhantomData<fn() -> D>);

impl<D: serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static> InvokableFutureCall
    for Of<D>
{
    type Data = D;

    async fn invoke(&self, _session: &Session, _data: Option<D>) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_declined_call_has_not_started() {
    let recorder = DebuggingRecorder::new();
    let mut seen = Recorded::by(&recorder);
    let _guard = metrics::set_default_local_recorder(&recorder);
    let backend = Backend::memory();
    let maintenance = || backend.builder().role(Role::Maintenance);
    let of_numbers = Of::<u8>(std::marker::PhantomData);
    let of_words = Of::<String>(std::marker::PhantomData);
    let old = maintenance().register_future_call("sized", of_numbers).start().await.unwrap();
    let new = maintenance().register_future_call("sized", of_words).start().await.unwrap();
    new.future_call_with_delay("sized", Some("large"), Duration::ZERO).await.unwrap();
    assert_eq!(old.run_due().await.unwrap().started, 0);
    seen.gather();
    assert_eq!(seen.count("finished_total", &["sized", "declined"]), 1);
    assert_eq!(seen.count("started_total", &["sized"]), 0);
    assert!(seen.samples("schedule_to_start_seconds", &["sized"]).is_empty());
    assert_eq!(new.run_due().await.unwrap().succeeded, 1);
    // Where nobody else could read it, the attempt counts.
    new.future_call_with_delay("sized", Some(&[1]), Duration::ZERO).await.unwrap();
    new.shutdown().await;
    assert_eq!(old.run_due().await.unwrap().failed, 1);
    seen.gather();
    assert_eq!(seen.count("started_total", &["sized"]), 2);
    assert_eq!(seen.samples("schedule_to_start_seconds", &["sized"]).len(), 2);
    old.shutdown().await;
}

#[tokio::test]
async fn names_that_a_pod_does_not_run_have_a_bounded_number_of_labels() {
    let recorder = DebuggingRecorder::new();
    let mut seen = Recorded::by(&recorder);
    let _guard = metrics::set_default_local_recorder(&recorder);
    let pod = Backend::memory().builder().role(Role::Serverless).start().await.unwrap();
    for number in 0..250 {
        let name = format!("elsewhere.n{number}");
        pod.future_call_with_delay(&name, None::<&()>, Duration::ZERO).identifier("secret").await.unwrap();
    }
    seen.gather();
    let labels: BTreeSet<_> = seen.counters.keys().flat_map(|(_, labels)| labels.clone()).collect();
    assert_eq!(labels.iter().filter(|label| label.starts_with("elsewhere.")).count(), 200);
    assert_eq!(seen.count("scheduled_total", &["elsewhere.n7"]), 1);
    assert_eq!(seen.count("scheduled_total", &["other"]), 50);
    assert!(!labels.contains("secret"));
    pod.shutdown().await;
}

#[tokio::test]
async fn gauges_say_what_waits_and_who_lives() {
    let recorder = DebuggingRecorder::new();
    let mut seen = Recorded::by(&recorder);
    let _guard = metrics::set_default_local_recorder(&recorder);
    let backend = Backend::sqlite();
    let store = backend.store().await;
    let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
    for delay in [0, 0, 3_600] {
        scheduler
            .future_call_with_delay("elsewhere.run", None::<&()>, Duration::from_secs(delay))
            .await
            .unwrap();
    }
    let beat = PodBeat {
        id: PodId::new(),
        label: "another".to_owned(),
        role: "monolith".to_owned(),
        version: "0.1.0".to_owned(),
        names: Vec::new(),
        shapes: BTreeMap::new(),
        schedules: Vec::new(),
        redacted: BTreeMap::new(),
        slots: 1,
        running: 0,
    };
    store.beat(Now::Database, &beat).await.unwrap();
    let pod = backend.builder().register(MeasuredFutureCall).start().await.unwrap();
    // What is read of the slots comes from another thread.
    let due = eventually("the pod has looked", || {
        seen.gather();
        let looked = seen.gauge("slots_available") == Some(64.0);
        std::future::ready(seen.gauge("due").filter(|due| looked && *due > 0.0))
    })
    .await;
    let gauge = |name| seen.gauge(name).unwrap();
    assert_eq!((due, gauge("scheduled"), gauge("instances")), (2.0, 3.0, 2.0));
    assert!((0.0..60.0).contains(&gauge("oldest_due_age_seconds")), "{:?}", seen.gauges);
    assert!(gauge("clock_skew_seconds").abs() < 10.0, "{:?}", seen.gauges);
    assert_eq!((gauge("slots_used"), gauge("slots_available"), gauge("running")), (0.0, 64.0, 0.0));
    pod.shutdown().await;
    scheduler.shutdown().await;
}
