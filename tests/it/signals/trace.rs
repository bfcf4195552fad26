//! The spans of scheduling and of running, captured by a subscriber of this thread: the pods here run on it as well.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futurecall_runtime::prelude::*;
use futurecall_runtime::signals::Traceparent;
use futurecall_runtime::{CallId, Role};
use futurecall_tests::backend::Backend;
use opentelemetry::trace::{SpanKind, Status, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Instrument, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::pods::support::{Fail, Note};

const SCHEDULER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Every span of the library, with its fields, and whether it stands alone.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<BTreeMap<u64, Seen>>>);

#[derive(Clone, Debug, Default)]
struct Seen {
    name: &'static str,
    fields: BTreeMap<&'static str, String>,
    parent: Option<String>,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let metadata = attributes.metadata();
        if metadata.target().starts_with("futurecall_runtime") {
            let parent =
                context.span(id).and_then(|span| span.parent()).map(|parent| parent.name().to_owned());
            let mut seen = Seen { name: metadata.name(), parent, ..Seen::default() };
            attributes.record(&mut seen);
            self.0.lock().unwrap().insert(id.into_u64(), seen);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        if let Some(seen) = self.0.lock().unwrap().get_mut(&id.into_u64()) {
            values.record(seen);
        }
    }
}

impl Spans {
    fn named(&self, name: &str) -> Vec<Seen> {
        self.0.lock().unwrap().values().filter(|seen| seen.name == name).cloned().collect()
    }
}

impl Seen {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// A pod that runs nothing by itself, and whose handlers are of all outcomes.
async fn pod(backend: &Backend, current: Option<&'static str>) -> Pod {
    let journal = futurecall_tests::journal::Journal::new();
    let builder = backend
        .builder()
        .role(Role::Maintenance)
        .register_future_call("note", Note(journal.clone()))
        .register_future_call("fail", Fail(journal));
    let builder = match current {
        Some(text) => builder.trace_context(move || Some(text.to_owned())),
        None => builder,
    };
    builder.start().await.unwrap()
}

async fn schedule(pod: &Pod, name: &str) -> CallId {
    pod.future_call_with_delay(name, None::<&String>, Duration::ZERO).await.unwrap()
}

#[tokio::test]
async fn a_run_shows_the_trace_of_who_scheduled_it() {
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    for backend in [Backend::memory(), Backend::sqlite()] {
        let pod = pod(&backend, Some(SCHEDULER)).await;
        let id = schedule(&pod, "note").instrument(tracing::info_span!("request")).await;
        let failing = schedule(&pod, "fail").await;
        assert_eq!(pod.run_due().await.unwrap().started, 2);

        let scheduling: Vec<_> = spans.named("schedule");
        let of = |seen: &[Seen], id: CallId| {
            seen.iter().find(|seen| seen.field("id") == id.to_string()).cloned().expect("a span of the call")
        };
        let span = of(&scheduling, id);
        assert_eq!((span.field("call"), span.parent.as_deref()), ("note", Some("request")));
        let runs = spans.named("future_call");
        let run = of(&runs, id);
        assert_eq!((run.field("name"), run.field("attempt"), run.field("outcome")), ("note", "1", "\"ok\""));
        assert_eq!((run.field("traceparent"), &run.parent), (SCHEDULER, &None));
        assert_eq!(of(&runs, failing).field("outcome"), "\"error\"");
        pod.shutdown().await;
    }
}

#[tokio::test]
async fn what_is_no_traceparent_is_not_stored() {
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    for current in [Some("00-secret"), Some(""), None] {
        let pod = pod(&Backend::memory(), current).await;
        schedule(&pod, "note").await;
        pod.run_due().await.unwrap();
        pod.shutdown().await;
    }
    let runs = spans.named("future_call");
    assert_eq!(runs.len(), 3);
    assert!(runs.iter().all(|run| run.field("traceparent").is_empty()), "{runs:?}");
}

#[tokio::test]
async fn many_calls_are_stored_in_one_span() {
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    let pod = pod(&Backend::memory(), Some(SCHEDULER)).await;
    let calls = (0..3).map(|_| pod.future_call_with_delay("note", None::<&String>, Duration::ZERO));
    pod.future_calls().schedule_all(calls).await.unwrap();
    pod.run_due().await.unwrap();
    let scheduling = spans.named("schedule");
    assert_eq!(scheduling.iter().map(|seen| seen.field("calls")).collect::<Vec<_>>(), ["3"]);
    let runs = spans.named("future_call");
    assert_eq!(runs.len(), 3);
    assert!(runs.iter().all(|run| run.field("traceparent") == SCHEDULER));
    pod.shutdown().await;
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    span.attributes.iter().find(|pair| pair.key.as_str() == key).map(|pair| pair.value.to_string())
}

#[tokio::test]
async fn open_telemetry_hears_of_a_link_and_not_of_a_parent() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("tests"));
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let backend = Backend::sqlite();
    let pod = pod(&backend, None).await;
    let (note, fail) = (schedule(&pod, "note").await, schedule(&pod, "fail").await);
    pod.run_due().await.unwrap();
    pod.shutdown().await;

    let spans = exporter.get_finished_spans().unwrap();
    let find = |name: &str| {
        let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
        assert_eq!(found.len(), 1, "{name}: {spans:#?}");
        found[0]
    };
    for (name, id, error) in [("note", note, None), ("fail", fail, Some("error"))] {
        let (scheduled, run) = (find(&format!("schedule {name}")), find(&format!("process {name}")));
        assert_eq!((&scheduled.span_kind, &run.span_kind), (&SpanKind::Producer, &SpanKind::Consumer));
        let links: Vec<_> = run.links.iter().map(|link| link.span_context.clone()).collect();
        assert_eq!(links.len(), 1);
        assert_eq!(links[0].span_id(), scheduled.span_context.span_id());
        assert_eq!(links[0].trace_id(), scheduled.span_context.trace_id());
        assert!(links[0].is_remote());
        assert_ne!(run.span_context.trace_id(), scheduled.span_context.trace_id(), "a trace of its own");
        for (span, operation, kind) in [(scheduled, "schedule", "send"), (run, "process", "process")] {
            assert_eq!(attribute(span, "messaging.system").as_deref(), Some("futurecall"));
            assert_eq!(attribute(span, "messaging.operation.name").as_deref(), Some(operation));
            assert_eq!(attribute(span, "messaging.operation.type").as_deref(), Some(kind));
            assert_eq!(attribute(span, "messaging.destination.name").as_deref(), Some(name));
            assert_eq!(attribute(span, "messaging.message.id"), Some(id.to_string()));
        }
        assert_eq!(attribute(run, "error.type").as_deref(), error);
        assert_eq!(matches!(run.status, Status::Error { .. }), error.is_some());
        // What is stored is the form of the standard.
        assert!(attribute(run, "traceparent").unwrap().parse::<Traceparent>().unwrap().is_sampled());
    }
}
