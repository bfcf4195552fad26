//! The port through which the engine runs calls: it knows neither what handlers are nor what they are given.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{Completion, Engine, Signals};
use crate::config::Config;
use crate::error::CallFailure;
use crate::retry::RetryPolicy;
use crate::signals::CallMeter;
use crate::store::{ClaimedCall, OnVanish, PodBeat};

/// What this pod can run.
pub(crate) trait Runner: Debug + Send + Sync + 'static {
    /// The handler that answers to a stored name.
    fn handler(&self, name: &str) -> Option<Arc<dyn CallHandler>>;

    /// What a claim asks for: each name, and what happens to its calls if this pod vanishes.
    fn claimable(&self, config: &Config) -> Vec<(String, OnVanish)>;

    /// What happens to a call of that name if this pod vanishes; `None`: nobody here answers to it.
    fn on_vanish(&self, name: &str, config: &Config) -> Option<OnVanish>;

    /// The hashes of the shapes, under every name answered to.
    fn hashes(&self) -> Arc<BTreeMap<String, i64>>;

    /// Adds to a heartbeat which calls this pod can run.
    fn describe(&self, beat: &mut PodBeat);
}

/// One method that this pod can run.
pub(crate) trait CallHandler: Send + Sync {
    /// What is measured of its calls.
    fn meter(&self) -> &Arc<CallMeter>;

    /// Whether a failed attempt is followed by another.
    fn retry(&self) -> Option<RetryPolicy>;

    /// How long an attempt may take.
    fn timeout(&self) -> Option<Duration>;

    /// Whether a run that was interrupted is followed by another.
    fn reruns(&self, config: &Config) -> bool;

    /// Decodes the arguments of a call, runs it, and says how it ended.
    fn run<'a>(&'a self, run: Run<'a>) -> BoxFuture<'a, Result<(), CallFailure>>;
}

/// A run under way, as its handler gets it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    pub(crate) engine: &'a Arc<Engine>,
    pub(crate) call: &'a ClaimedCall,
    pub(crate) signals: &'a Arc<Signals>,
    pub(crate) completion: &'a Arc<Completion>,
}
