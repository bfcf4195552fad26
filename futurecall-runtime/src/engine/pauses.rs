//! Which call types an operator has paused: the claimer leaves them out.
//!
//! The names are read before the first claim, when somebody else has changed something, and with a sweep; an idle pod that
//! hears nothing reads them with every sixth of its looks, because it may cost no more than it did. When they cannot be
//! read, what is known stands.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Engine;
use crate::store::OnVanish;

/// How often they are read at most while calls are claimed and other pods store more: each of those wakes this one.
const LEAST: Duration = Duration::from_millis(250);
/// How often they are read while calls are claimed.
const OFTEN: Duration = Duration::from_secs(1);
/// With every how-many-th look of an idle pod.
const SELDOM: u32 = 6;

/// What this pod knows of them.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    known: Mutex<Known>,
    /// Something may have changed.
    heard: AtomicBool,
}

#[derive(Debug, Default)]
struct Known {
    names: BTreeSet<String>,
    /// When they were last read, and how many calls this pod had started then; `None`: that failed.
    read: Option<(Instant, Option<u64>)>,
    logged: Option<Instant>,
}

impl Pauses {
    /// Another pod, or somebody else, has changed something.
    pub(super) fn heard(&self) {
        self.heard.store(true, Ordering::Release);
    }

    /// Takes the paused ones out of these names.
    pub(super) fn leave_out(&self, names: &mut Vec<(String, OnVanish)>) {
        let known = self.lock();
        if !known.names.is_empty() {
            names.retain(|(name, _)| !known.names.contains(name));
        }
    }

    /// After which time they must be read, whatever happens; `None`: nothing was heard.
    pub(super) fn due_in(&self, now: Instant) -> Option<Duration> {
        let (at, _) = self.lock().read.filter(|_| self.heard.load(Ordering::Acquire))?;
        Some(LEAST.saturating_sub(now.saturating_duration_since(at)))
    }

    /// Whether calls of that name may be taken without another look, by a pod that hears of changes.
    pub(super) fn lets_through(&self, name: &str) -> bool {
        let known = self.lock();
        let is_known = known.read.is_some_and(|(_, read)| read.is_some());
        is_known && !self.heard.load(Ordering::Acquire) && !known.names.contains(name)
    }

    fn is_due(&self, now: Instant, sweeps: bool, started: u64, idle: Duration) -> bool {
        let Some((at, before)) = self.lock().read else { return true };
        let (since, is_idle) = (now.saturating_duration_since(at), before == Some(started));
        if self.heard.load(Ordering::Acquire) && (is_idle || since >= LEAST) {
            return true;
        }
        sweeps && since >= if is_idle { idle.saturating_mul(SELDOM) } else { OFTEN }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads them if it is time; says whether one that was paused is no more.
pub(super) async fn look(engine: &Engine, sweeps: bool) -> bool {
    let started = engine.started.load(Ordering::Relaxed);
    let is_due = engine.pauses.is_due(crate::clock::instant(), sweeps, started, engine.config.scan_interval);
    is_due && read(engine).await
}

/// Reads them now; says whether one that was paused is no more.
pub(super) async fn read(engine: &Engine) -> bool {
    let pauses = &engine.pauses;
    // Taken back before the answer: what is heard of meanwhile may not be in it.
    pauses.heard.store(false, Ordering::Release);
    let started = engine.started.load(Ordering::Relaxed);
    let read = engine.store.paused_names().await;
    let now = crate::clock::instant();
    let mut known = pauses.lock();
    known.read = Some((now, read.is_ok().then_some(started)));
    match read {
        Ok(listed) => {
            let names: BTreeSet<String> = listed.into_iter().map(|paused| paused.name).collect();
            let is_resumed = known.names.iter().any(|name| !names.contains(name));
            known.names = names;
            is_resumed
        }
        Err(error) => {
            let is_news = known.logged.is_none_or(|at| now.saturating_duration_since(at) >= OFTEN);
            if is_news {
                known.logged = Some(now);
                tracing::warn!(%error, "could not read which call types are paused; what was known stands");
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(5);

    #[test]
    fn they_are_read_when_something_was_heard_and_now_and_then() {
        let (pauses, start) = (Pauses::default(), crate::clock::instant());
        assert!(pauses.is_due(start, false, 0, IDLE), "before the first claim");
        pauses.lock().read = Some((start, Some(7)));
        let after = |millis| start + Duration::from_millis(millis);
        assert!(!pauses.is_due(after(29_999), true, 7, IDLE), "nothing was started");
        assert!(pauses.is_due(after(30_000), true, 7, IDLE));
        assert!(!pauses.is_due(after(30_000), false, 7, IDLE), "not apart from a sweep");
        assert!(!pauses.is_due(after(999), true, 8, IDLE));
        assert!(pauses.is_due(after(1_000), true, 8, IDLE));
        assert_eq!(pauses.due_in(after(10)), None);
        pauses.heard();
        assert!(pauses.is_due(after(1), false, 7, IDLE), "an idle pod reads at once");
        assert!(!pauses.is_due(after(249), false, 8, IDLE), "a busy one not each time");
        assert!(pauses.is_due(after(250), false, 8, IDLE));
        assert_eq!(pauses.due_in(after(10)), Some(Duration::from_millis(240)));
        assert_eq!(pauses.due_in(after(400)), Some(Duration::ZERO));
        pauses.lock().read = Some((start, None));
        pauses.heard.store(false, Ordering::Release);
        assert!(pauses.is_due(after(1_000), true, 7, IDLE), "it could not be read");
    }

    #[test]
    fn what_is_paused_is_left_out() {
        let pauses = Pauses::default();
        let mut names = vec![("a".to_owned(), OnVanish::Keep), ("b".to_owned(), OnVanish::Keep)];
        pauses.leave_out(&mut names);
        assert_eq!(names.len(), 2);
        pauses.lock().names.insert("a".to_owned());
        pauses.leave_out(&mut names);
        assert_eq!(names, [("b".to_owned(), OnVanish::Keep)]);
        assert!(!pauses.lets_through("b"), "nobody has read them");
        pauses.lock().read = Some((crate::clock::instant(), Some(0)));
        assert!(pauses.lets_through("b") && !pauses.lets_through("a"));
        pauses.heard();
        assert!(!pauses.lets_through("b"));
    }
}
