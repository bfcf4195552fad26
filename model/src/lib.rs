//! The protocol of calls, pods and leases as a model, small enough to be checked exhaustively.
//!
//! `state` is what is remembered, `action` what can happen, `step` what happens then; `invariants` must hold in every
//! world, and `mutants` are mistakes that they must find. `settings` are the bounded worlds, `check` walks them, and
//! `replay` walks what a real run did.

pub mod action;
pub mod breach;
pub mod check;
pub mod invariants;
pub mod line;
pub mod mutants;
pub mod replay;
pub mod settings;
pub mod state;
pub mod step;
