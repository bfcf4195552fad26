//! Futures of the library that their callers begin and then keep: neither polled again nor dropped.
//!
//! `FUTURECALL_FUTURES_SEEDS=… cargo test -p futurecall-tests --test it futures::rounds` plays that many rounds on each
//! store, and `FUTURECALL_FUTURES_SEED=…` a single seed.

mod checks;
mod given;
mod handlers;
mod kept;
mod list;
mod others;
mod rounds;
mod runtimes;
mod stage;
mod twins;
