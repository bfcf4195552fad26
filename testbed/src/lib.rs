//! What the tests, the torture and the benchmarks run on. It is independent of Futurecall.

pub mod messages;
pub mod network;
pub mod pgbouncer;
pub mod postgres;
pub mod relay;
pub mod rng;
