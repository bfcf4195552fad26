//! What pods tell of themselves: metrics, spans, the logs of runs, health.

mod metrics;
mod trace;
