//! The protocol of calls, pods and leases as a model, small enough to be checked exhaustively.
//!
//! `state` has the state, `action` the possible actions, `step` their effects; `invariants` must hold in every state,
//! and `mutants` are mistakes that they must find. `settings` are the bounded state spaces, `check` explores them, and
//! `replay` replays what a real run did.

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
