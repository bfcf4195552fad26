//! The pod's health: whether its loops make progress, and whether its database answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::{Engine, NOW};
use crate::error::RUNTIME_ENDED;
use crate::id::CallId;

/// Timeout of the query that checks the database.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the result of that query is reused, so that frequent health checks do not load the database.
const FRESH: Duration = Duration::from_secs(1);
/// How much longer than its interval a loop may be silent. It may be waiting for a database that is down, and a
/// restarted pod would wait as well.
const SLACK: Duration = Duration::from_mins(2);

/// The health of a pod: see [`Pod::health`](crate::Pod::health).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Whether its loops make progress and its runtime is running. If not, the process has to be restarted.
    pub live: bool,
    /// Whether it is live, its database answers and has the expected tables, and it is not shutting down.
    pub ready: bool,
    /// Why it is not live or not ready; empty if it is both. May contain the database's error, never an argument or a
    /// password.
    pub reasons: Vec<String>,
}

/// When the loops last ran, and the last answer of the database.
#[derive(Debug)]
pub(super) struct Liveness {
    born: Instant,
    /// Last iteration of the claimer, in microseconds since `born`; `lease` likewise.
    claimer: AtomicU64,
    lease: AtomicU64,
    probed: Mutex<Option<(Instant, Option<String>)>>,
}

impl Liveness {
    pub(super) fn new() -> Self {
        let (claimer, lease) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { born: crate::clock::instant(), claimer, lease, probed: Mutex::new(None) }
    }

    /// Records an iteration of the claimer.
    pub(super) fn claimer_ran(&self) {
        self.claimer.store(self.age(), Ordering::Relaxed);
    }

    /// Records an iteration of the loop that renews leases.
    pub(super) fn lease_loop_ran(&self) {
        self.lease.store(self.age(), Ordering::Relaxed);
    }

    fn age(&self) -> u64 {
        let age = crate::clock::instant().saturating_duration_since(self.born);
        u64::try_from(age.as_micros()).unwrap_or(u64::MAX)
    }

    /// Returns how long a loop has been silent, if that is longer than `limit`.
    fn silence(&self, turned: &AtomicU64, limit: Duration) -> Option<Duration> {
        let silent = Duration::from_micros(self.age().saturating_sub(turned.load(Ordering::Relaxed)));
        (silent > limit).then_some(silent)
    }
}

impl Engine {
    /// Checks this pod's health.
    pub(crate) async fn health(self: &Arc<Self>) -> Health {
        if self.has_lost_its_runtime() {
            return Health { live: false, ready: false, reasons: vec![RUNTIME_ENDED.to_owned()] };
        }
        let mut reasons = Vec::new();
        let stops = self.stop.is_cancelled();
        if !stops {
            reasons.extend(self.stuck());
        }
        let live = reasons.is_empty();
        if stops {
            reasons.push("the pod is shutting down or has ended".to_owned());
        } else {
            let engine = Arc::clone(self);
            let probed = self.drive_while_awaited(async move { engine.probe().await }).await;
            reasons.extend(probed.unwrap_or_else(|not| Some(not.as_store("ask the database").to_string())));
        }
        Health { live, ready: reasons.is_empty(), reasons }
    }

    fn stuck(&self) -> Vec<String> {
        let (liveness, config) = (&self.liveness, &self.config);
        let claimer = self
            .claims_calls()
            .then(|| liveness.silence(&liveness.claimer, config.scan_interval * 2 + SLACK))
            .flatten()
            .map(|silent| format!("the claimer has not looked for calls for {} s", silent.as_secs()));
        let lease =
            self.runs_calls().then(|| liveness.silence(&liveness.lease, config.lease + SLACK)).flatten().map(
                |silent| format!("the thread that renews leases has been silent for {} s", silent.as_secs()),
            );
        claimer.into_iter().chain(lease).collect()
    }

    /// Looks up a call that does not exist, which needs the tables. Returns the reason if that fails.
    async fn probe(&self) -> Option<String> {
        let mut probed = self.liveness.probed.lock().await;
        let now = crate::clock::instant();
        if let Some((at, answer)) = &*probed
            && now.saturating_duration_since(*at) < FRESH
        {
            return answer.clone();
        }
        let nobody = CallId::from_uuid(uuid::Uuid::nil());
        let answer = match tokio::time::timeout(PATIENCE, self.store.call(NOW, nobody)).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(format!("the database query failed: {error}")),
            Err(_) => Some(format!("the database has not answered for {} s", PATIENCE.as_secs())),
        };
        *probed = Some((crate::clock::instant(), answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_is_silent_for_too_long_is_reported() {
        let mut liveness = Liveness::new();
        assert_eq!(liveness.silence(&liveness.claimer, SLACK), None);
        liveness.born = liveness.born.checked_sub(SLACK * 2).unwrap_or(liveness.born);
        let silent = liveness.silence(&liveness.claimer, SLACK);
        assert!(silent.is_some_and(|silent| silent >= SLACK * 2), "{silent:?}");
        liveness.claimer_ran();
        assert_eq!(liveness.silence(&liveness.claimer, SLACK), None);
        assert!(liveness.silence(&liveness.lease, SLACK).is_some(), "the other one still is");
    }
}
