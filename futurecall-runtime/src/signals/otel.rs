//! What OpenTelemetry is told, by its conventions for messaging (version 1.44, in development).

use opentelemetry::trace::{SpanContext, TraceContextExt, TraceState};
use opentelemetry::{SpanId, TraceFlags, TraceId};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::Traceparent;
use crate::store::{ClaimedCall, NewCall};

/// The system that the conventions ask for.
const SYSTEM: &str = "futurecall";

/// The context of the span that this is called in, if OpenTelemetry's layer knows it.
pub(super) fn current() -> Option<Traceparent> {
    let context = Span::current().context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| Traceparent {
        trace_id: u128::from_be_bytes(span.trace_id().to_bytes()),
        parent_id: u64::from_be_bytes(span.span_id().to_bytes()),
        flags: span.trace_flags().to_u8(),
    })
}

/// One call is stored.
pub(super) fn scheduling(span: &Span, call: &NewCall) {
    operation(span, "schedule", "send");
    span.set_attribute("messaging.destination.name", call.name.clone());
    span.set_attribute("messaging.message.id", call.id.to_string());
}

/// Several calls are stored at once.
pub(super) fn scheduling_many(span: &Span, calls: usize) {
    operation(span, "schedule", "send");
    span.set_attribute("messaging.batch.message_count", i64::try_from(calls).unwrap_or(i64::MAX));
}

/// A call is run.
pub(super) fn running(span: &Span, call: &ClaimedCall, scheduled_by: Option<Traceparent>) {
    if span.is_disabled() {
        return;
    }
    operation(span, "process", "process");
    span.set_attribute("messaging.destination.name", call.name.clone());
    span.set_attribute("messaging.message.id", call.id.to_string());
    if let Some(Traceparent { trace_id, parent_id, flags }) = scheduled_by {
        span.add_link(SpanContext::new(
            TraceId::from(trace_id),
            SpanId::from(parent_id),
            TraceFlags::new(flags),
            true,
            TraceState::default(),
        ));
    }
}

/// It did not end well.
pub(super) fn failed(span: &Span, error_type: &'static str) {
    span.set_attribute("error.type", error_type);
    span.record("otel.status_code", "ERROR");
}

fn operation(span: &Span, name: &'static str, kind: &'static str) {
    span.set_attribute("messaging.system", SYSTEM);
    span.set_attribute("messaging.operation.name", name);
    span.set_attribute("messaging.operation.type", kind);
}
