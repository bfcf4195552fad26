//! What pods report: metrics, spans, the logs of runs, health.

mod health;
mod logs;
mod metrics;
mod operations;
mod outcomes;
mod trace;
