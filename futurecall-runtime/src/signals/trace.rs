//! The spans of scheduling and of running, and what links them.

use std::fmt;
use std::sync::Arc;

use tracing::{Span, field};

use super::{Ending, Traceparent};
use crate::store::{ClaimedCall, NewCall};

/// Whom to ask for the `traceparent` of whoever schedules.
#[derive(Clone, Default)]
pub(crate) struct TraceContext {
    provider: Option<Arc<dyn Fn() -> Option<String> + Send + Sync>>,
}

impl TraceContext {
    pub(crate) fn new(provider: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Self { provider: Some(Arc::new(provider)) }
    }

    /// What links a call that is scheduled now, in this span, to its trace.
    fn current(&self) -> Option<Traceparent> {
        let Some(provider) = &self.provider else { return by_default() };
        let text = provider()?;
        match text.parse() {
            Ok(traceparent) => Some(traceparent),
            Err(error) => {
                tracing::debug!(%error, "the trace context of a call is left out");
                None
            }
        }
    }

    /// The span in which calls are stored; each remembers it.
    pub(crate) fn schedule(&self, calls: &mut [NewCall]) -> Span {
        let span = schedule_span(calls);
        if let Some(traceparent) = span.in_scope(|| self.current()) {
            let text = traceparent.to_string();
            for call in calls.iter_mut().filter(|call| call.traceparent.is_none()) {
                call.traceparent = Some(text.clone());
            }
        }
        span
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceContext").field("provider", &self.provider.is_some()).finish()
    }
}

/// A span of the names that OpenTelemetry's layer looks for, where there is one, and ours.
macro_rules! span {
    ([$($parent:tt)*] $name:literal, $kind:literal, $shown:expr, $($field:tt)*) => {{
        #[cfg(feature = "opentelemetry")]
        let span = tracing::info_span!(
            $($parent)* $name, otel.kind = $kind, otel.name = field::Empty, otel.status_code = field::Empty, $($field)*
        );
        #[cfg(not(feature = "opentelemetry"))]
        let span = tracing::info_span!($($parent)* $name, $($field)*);
        #[cfg(feature = "opentelemetry")]
        if !span.is_disabled() {
            span.record("otel.name", $shown);
        }
        span
    }};
}

fn schedule_span(calls: &[NewCall]) -> Span {
    let [call] = calls else {
        let span = span!([] "schedule", "producer", "schedule", calls = calls.len());
        #[cfg(feature = "opentelemetry")]
        super::otel::scheduling_many(&span, calls.len());
        return span;
    };
    let span = span!([] "schedule", "producer", format!("schedule {}", call.name).as_str(), call = %call.name, id = %call.id);
    #[cfg(feature = "opentelemetry")]
    super::otel::scheduling(&span, call);
    span
}

/// The span of a run, apart from whatever the pod is doing: a call a week later must not extend a trace. It is linked to
/// the one that scheduled the call.
pub(crate) fn run_span(call: &ClaimedCall) -> Span {
    let scheduled_by = call.traceparent.as_deref().and_then(|text| text.parse::<Traceparent>().ok());
    let span = span!(
        [parent: None,] "future_call", "consumer", format!("process {}", call.name).as_str(),
        id = %call.id, name = %call.name, attempt = call.attempt,
        traceparent = scheduled_by.map(field::display), outcome = field::Empty
    );
    #[cfg(feature = "opentelemetry")]
    super::otel::running(&span, call, scheduled_by);
    span
}

/// How the run ended.
pub(crate) fn ended(span: &Span, ending: Ending) {
    span.record("outcome", ending.as_str());
    #[cfg(feature = "opentelemetry")]
    if ending != Ending::Ok {
        super::otel::failed(span, ending.as_str());
    }
}

#[cfg(feature = "opentelemetry")]
fn by_default() -> Option<Traceparent> {
    super::otel::current()
}

#[cfg(not(feature = "opentelemetry"))]
fn by_default() -> Option<Traceparent> {
    None
}
