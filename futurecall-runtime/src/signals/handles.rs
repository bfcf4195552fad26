//! Metrics that are looked up once: what is behind each is the recorder that stands when it is made, or nothing.

use std::fmt;

use super::catalogue::Metric;

/// Declares a handle; without the feature it is empty, and does nothing.
macro_rules! handle {
    ($(#[$doc:meta])* $name:ident, $register:ident, fn $method:ident($value:ident: $type:ty) => $do:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub(crate) struct $name {
            #[cfg(feature = "metrics")]
            inner: metrics::$name,
        }

        impl $name {
            /// That metric with these labels.
            #[cfg(feature = "metrics")]
            pub(super) fn of(metric: &Metric, labels: &[(&'static str, &str)]) -> Self {
                Self { inner: metrics::with_recorder(|recorder| recorder.$register(&key(metric, labels), &ABOUT)) }
            }

            /// Nothing.
            #[cfg(not(feature = "metrics"))]
            pub(super) fn of(_metric: &Metric, _labels: &[(&'static str, &str)]) -> Self {
                Self {}
            }

            pub(crate) fn $method(&self, $value: $type) {
                #[cfg(feature = "metrics")]
                self.inner.$do($value);
                #[cfg(not(feature = "metrics"))]
                let _ = $value;
            }
        }

        impl Default for $name {
            /// One that records nothing.
            fn default() -> Self {
                Self {
                    #[cfg(feature = "metrics")]
                    inner: metrics::$name::noop(),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

handle! {
    /// What only grows.
    Counter, register_counter, fn add(number: u64) => increment
}

handle! {
    /// What goes up and down.
    Gauge, register_gauge, fn set(value: f64) => set
}

handle! {
    /// How values are distributed.
    Histogram, register_histogram, fn record(value: f64) => record
}

#[cfg(feature = "metrics")]
static ABOUT: metrics::Metadata<'static> =
    metrics::Metadata::new("futurecall_runtime", metrics::Level::INFO, Some("futurecall_runtime"));

#[cfg(feature = "metrics")]
fn key(metric: &Metric, labels: &[(&'static str, &str)]) -> metrics::Key {
    debug_assert!(labels.iter().map(|(label, _)| label).eq(metric.labels), "{}", metric.name);
    let labels: Vec<_> =
        labels.iter().map(|(label, value)| metrics::Label::new(*label, (*value).to_owned())).collect();
    metrics::Key::from_parts(metric.name, labels)
}

/// Tells the recorder what each metric says.
#[cfg(feature = "metrics")]
pub(super) fn describe() {
    use super::catalogue::{METRICS, MetricKind};
    metrics::with_recorder(|recorder| {
        for metric in METRICS {
            let (name, help) = (metrics::KeyName::from_const_str(metric.name), metric.help.into());
            let unit = metric.name.ends_with("_seconds").then_some(metrics::Unit::Seconds);
            match metric.kind {
                MetricKind::Counter => recorder.describe_counter(name, unit, help),
                MetricKind::Gauge => recorder.describe_gauge(name, unit, help),
                MetricKind::Histogram => recorder.describe_histogram(name, unit, help),
            }
        }
    });
}

/// There is nobody to tell.
#[cfg(not(feature = "metrics"))]
pub(super) fn describe() {}
