//! Pods on every store: the promises of the contract, as seen from outside.

mod at_once;
mod broken;
mod bulk;
mod closing;
mod completion;
mod endings;
mod engine;
mod hazards;
mod hostile;
mod lease;
mod locked;
mod looks;
mod many;
mod moved;
mod operate;
mod recurring;
mod redact;
mod releases;
mod retry;
pub(crate) mod support;
mod targets;
mod transactions;
mod typed;
mod urls;
