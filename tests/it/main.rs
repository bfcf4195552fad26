//! Every test that needs more than one crate, in one binary.

mod catalogue;
mod differential;
mod expansion;
mod futures;
mod fuzzed;
mod histories;
mod hygiene;
mod interleavings;
mod memory;
mod mutants;
mod network;
mod pods;
mod pooler;
mod postgres;
mod programs;
mod roles;
mod secrets;
mod seed;
mod signals;
mod simulation;
mod sqlite;
mod stored_args;
mod tidy;
mod transactions;
