//! Whether the pod's own loops turn, and whether it can do its work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::{Engine, NOW};
use crate::error::RUNTIME_ENDED;
use crate::id::CallId;

/// How long the database may take to answer when it is asked how it is.
const PATIENCE: Duration = Duration::from_secs(2);
/// For how long that answer is good: whoever asks often does not ask the database each time.
const FRESH: Duration = Duration::from_secs(1);
/// How much longer than planned a loop may be silent. It may be waiting for a database that is out, and a pod that was
/// started anew would wait as well.
const SLACK: Duration = Duration::from_mins(2);

/// How a pod is: see [`Pod::health`](crate::Pod::health).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Its loops turn, and its runtime runs. If not, the process has to be restarted.
    pub live: bool,
    /// It is live, its database answers and has the tables that it should have, and it is not shutting down.
    pub ready: bool,
    /// Why it is not. May name the database's error; never an argument or a password.
    pub reasons: Vec<String>,
}

/// When the loops last turned, and what the database said last.
#[derive(Debug)]
pub(super) struct Pulse {
    born: Instant,
    /// In microseconds since then.
    claimer: AtomicU64,
    lease: AtomicU64,
    probed: Mutex<Option<(Instant, Option<String>)>>,
}

impl Pulse {
    pub(super) fn new() -> Self {
        let (claimer, lease) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { born: crate::clock::instant(), claimer, lease, probed: Mutex::new(None) }
    }

    /// The claimer turns.
    pub(super) fn claimer_turns(&self) {
        self.claimer.store(self.age(), Ordering::Relaxed);
    }

    /// The loop that renews leases turns.
    pub(super) fn lease_turns(&self) {
        self.lease.store(self.age(), Ordering::Relaxed);
    }

    fn age(&self) -> u64 {
        let age = crate::clock::instant().saturating_duration_since(self.born);
        u64::try_from(age.as_micros()).unwrap_or(u64::MAX)
    }

    /// For how long that loop has been silent, if that is too long.
    fn silence(&self, turned: &AtomicU64, limit: Duration) -> Option<Duration> {
        let silent = Duration::from_micros(self.age().saturating_sub(turned.load(Ordering::Relaxed)));
        (silent > limit).then_some(silent)
    }
}

impl Engine {
    /// How this pod is.
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
            reasons.push("the pod shuts down, or has ended".to_owned());
        } else {
            let engine = Arc::clone(self);
            let probed = self.drive_while_awaited(async move { engine.probe().await }).await;
            reasons.extend(probed.unwrap_or_else(|not| Some(not.as_store("ask the database").to_string())));
        }
        Health { live, ready: reasons.is_empty(), reasons }
    }

    fn stuck(&self) -> Vec<String> {
        let (pulse, config) = (&self.pulse, &self.config);
        let claimer = self
            .claims_calls()
            .then(|| pulse.silence(&pulse.claimer, config.scan_interval * 2 + SLACK))
            .flatten()
            .map(|silent| format!("the claimer has not looked for calls for {} s", silent.as_secs()));
        let lease =
            self.runs_calls().then(|| pulse.silence(&pulse.lease, config.lease + SLACK)).flatten().map(
                |silent| format!("the thread that renews leases has been silent for {} s", silent.as_secs()),
            );
        claimer.into_iter().chain(lease).collect()
    }

    /// Looks for a call that there is not, which needs the tables that matter.
    async fn probe(&self) -> Option<String> {
        let mut probed = self.pulse.probed.lock().await;
        let now = crate::clock::instant();
        if let Some((at, answer)) = &*probed
            && now.saturating_duration_since(*at) < FRESH
        {
            return answer.clone();
        }
        let nobody = CallId::from_uuid(uuid::Uuid::nil());
        let answer = match tokio::time::timeout(PATIENCE, self.store.call(NOW, nobody)).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(format!("the database does not do its work: {error}")),
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
    fn a_loop_that_is_silent_for_too_long_is_told() {
        let mut pulse = Pulse::new();
        assert_eq!(pulse.silence(&pulse.claimer, SLACK), None);
        pulse.born = pulse.born.checked_sub(SLACK * 2).unwrap_or(pulse.born);
        let silent = pulse.silence(&pulse.claimer, SLACK);
        assert!(silent.is_some_and(|silent| silent >= SLACK * 2), "{silent:?}");
        pulse.claimer_turns();
        assert_eq!(pulse.silence(&pulse.claimer, SLACK), None);
        assert!(pulse.silence(&pulse.lease, SLACK).is_some(), "the other one still is");
    }
}
