//! What a pod tells of itself: metrics, traces, the logs of runs.
//!
//! # Metrics
//!
//! With the feature `metrics` (on by default) a pod records through the facade of the crate
//! [`metrics`](https://docs.rs/metrics): install any exporter's recorder **before** the pod starts. Without a recorder
//! nothing is recorded. [`METRICS`] lists them all; `docs/operations` has a dashboard and alert rules.
//!
//! Labels are bounded: `call` is a stored name that this pod runs (an alias counts as its present name), or one of the
//! first 200 names that it has scheduled; every other one is `other`. No label holds an id, an identifier or an argument.
//! Several pods in one process share their gauges: the last to write wins.
//!
//! # Traces
//!
//! Storing calls is a `tracing` span `schedule` (`call` and `id`, or how many `calls`), a run is a span `future_call` (`id`,
//! `name`, `attempt`, then its `outcome`), both of level `INFO`. A call remembers the W3C [`Traceparent`] of whoever
//! scheduled it, and the run's span shows it; it is a **link**, not a parent, because a call that runs a week later must
//! not extend a trace. Where the context comes from:
//!
//! - with the feature `opentelemetry`: from `tracing_opentelemetry`'s layer, which is told the link and the attributes of the
//!   conventions for messaging as well;
//! - otherwise from [`PodBuilder::trace_context`](crate::PodBuilder::trace_context), which wins over the layer.
//!
//! # Logs of runs
//!
//! With the feature `logs`, a layer `RunLogs` in the application's subscriber, and
//! [`Config::keep_logs`](crate::Config::keep_logs), what is logged inside a run is stored with its call when the attempt
//! ends, up to so many bytes, and shown by [`Inspector::logs`](crate::inspect::Inspector::logs) for as long as the call is.

mod catalogue;
mod handles;
#[cfg(feature = "logs")]
mod logs;
mod meter;
#[cfg(feature = "opentelemetry")]
mod otel;
pub(crate) mod trace;
mod traceparent;

pub use self::catalogue::{METRICS, Metric, MetricKind};
#[cfg(feature = "logs")]
pub(crate) use self::logs::Collecting;
#[cfg(feature = "logs")]
pub use self::logs::RunLogs;
pub(crate) use self::meter::{CallMeter, Ending, Meter, Op};
pub use self::traceparent::{ParseTraceparentError, Traceparent};

/// A connection that listens for other pods' calls has been lost and made anew.
pub(crate) fn listener_reconnected(times: u64) {
    handles::Counter::of(&catalogue::LISTENER_RECONNECTS_TOTAL, &[]).add(times);
}
