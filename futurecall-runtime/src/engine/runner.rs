//! The port through which the engine runs handlers, without knowing their types or what they are given.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{Completion, Engine, RunSignals};
use crate::config::Config;
use crate::error::CallFailure;
use crate::retry::RetryPolicy;
use crate::signals::CallMeter;
use crate::store::{ClaimedCall, OnVanish, PodBeat};

/// The handlers of a pod.
pub(crate) trait Runner: Debug + Send + Sync + 'static {
    /// Returns the handler of a stored name.
    fn handler(&self, name: &str) -> Option<Arc<dyn CallHandler>>;

    /// Returns the names to claim, each with what happens to its calls if this pod vanishes.
    fn claimable(&self, config: &Config) -> Vec<(String, OnVanish)>;

    /// Returns what happens to a call of that name if this pod vanishes; `None` if there is no handler for it.
    fn on_vanish(&self, name: &str, config: &Config) -> Option<OnVanish>;

    /// Returns the hash of the shape of every name.
    fn hashes(&self) -> Arc<BTreeMap<String, i64>>;

    /// Adds the names, shapes and redacted arguments of the handlers to a heartbeat.
    fn describe(&self, beat: &mut PodBeat);
}

/// The handler of one method.
pub(crate) trait CallHandler: Send + Sync {
    /// Returns the metrics of its calls.
    fn meter(&self) -> &Arc<CallMeter>;

    /// Returns the retry policy; `None` if a failed attempt is not retried.
    fn retry(&self) -> Option<RetryPolicy>;

    /// Returns the timeout of an attempt.
    fn timeout(&self) -> Option<Duration>;

    /// Returns whether an interrupted run is run again.
    fn reruns(&self, config: &Config) -> bool;

    /// Decodes the arguments of a call and runs it.
    fn run<'a>(&'a self, run: Run<'a>) -> BoxFuture<'a, Result<(), CallFailure>>;
}

/// A run in progress, as it is passed to its handler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    pub(crate) engine: &'a Arc<Engine>,
    pub(crate) call: &'a ClaimedCall,
    pub(crate) signals: &'a Arc<RunSignals>,
    pub(crate) completion: &'a Arc<Completion>,
}
