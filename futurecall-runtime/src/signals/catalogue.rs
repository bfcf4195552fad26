//! Every metric by name: no other file of the library has one as text.

/// One metric of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name: `futurecall_…`, in seconds where it is a time, ending in `_total` where it only grows.
    pub name: &'static str,
    /// How it behaves.
    pub kind: MetricKind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricKind {
    /// It only grows, from zero at the pod's start.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How values are distributed.
    Histogram,
}

/// Declares the metrics, and lists them.
macro_rules! metrics {
    ($($constant:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            pub(super) const $constant: Metric = Metric {
                name: concat!("futurecall_", $name),
                kind: MetricKind::$kind,
                labels: &[$($label),*],
                help: $help,
            };
        )*

        /// Every metric that a pod records.
        pub const METRICS: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    SCHEDULED_TOTAL: Counter "scheduled_total" ["call"]
        "Calls that this pod has stored, or handed to a transaction of the application. Runs of schedules are not counted.";
    STARTED_TOTAL: Counter "started_total" ["call"]
        "Handlers that this pod has started.";
    FINISHED_TOTAL: Counter "finished_total" ["call", "outcome"]
        "Attempts that ended on this pod, by outcome: ok, error, panic, timeout, cancelled (asked to stop, and stopped with an error), interrupted (abandoned by a shutdown), lease_lost, expired (never started), or declined (its arguments are left to a pod of another release).";
    RETRIES_TOTAL: Counter "retries_total" ["call"]
        "Attempts that failed or were interrupted, and are followed by another.";
    DEAD_TOTAL: Counter "dead_total" ["call"]
        "Calls that ended as failed: nothing runs them again by itself.";
    SCHEDULE_TO_START: Histogram "schedule_to_start_seconds" ["call"]
        "Lateness: from the moment at which an attempt was due to the start of its handler.";
    EXECUTION: Histogram "execution_seconds" ["call"]
        "How long handlers ran.";
    LEASE_LOST_TOTAL: Counter "lease_lost_total" ["call"]
        "Runs that were stopped because their lease was lost.";
    RECLAIMED_TOTAL: Counter "reclaimed_total" ["call"]
        "Calls that this pod has found claimed by a pod that vanished.";
    STALE_FINISH_REFUSED_TOTAL: Counter "stale_finish_refused_total" ["call"]
        "Outcomes that the database refused, because the claim had been lost.";
    RECURRING_MISSED_TOTAL: Counter "recurring_missed_total" []
        "Runs of schedules that their rules passed over.";
    PRUNED_TOTAL: Counter "pruned_total" []
        "Calls that were deleted from the history because of their age.";
    STORE_ERRORS_TOTAL: Counter "store_errors_total" ["op"]
        "Tries that failed in the database, by what was tried: schedule, claim, finish, release, renew, rescue, prune, look or log. Most are tried again.";
    LISTENER_RECONNECTS_TOTAL: Counter "listener_reconnects_total" []
        "How often the connection that hears of other pods' calls was made anew (PostgreSQL).";
    POLL: Histogram "poll_seconds" []
        "How long claims took in the database.";
    HEARTBEAT_DELAY: Histogram "heartbeat_delay_seconds" []
        "How much later than planned a heartbeat was written.";
    SLOTS_AVAILABLE: Gauge "slots_available" []
        "Handlers that could start at once on this pod.";
    SLOTS_USED: Gauge "slots_used" []
        "Slots of this pod that are taken.";
    RUNNING: Gauge "running" []
        "Handlers that run on this pod, or whose outcome is on its way to the database.";
    DUE: Gauge "due" []
        "Calls in the database that are due and wait, of all names; counting stops at 10,000 a lane. Every pod says the same: take the maximum.";
    OLDEST_DUE_AGE: Gauge "oldest_due_age_seconds" []
        "For how long the call that is due longest has been waiting; 0 when none waits. Every pod says the same.";
    SCHEDULED: Gauge "scheduled" []
        "Calls in the database that wait, due or not; counting stops at 10,000 a lane. Every pod says the same.";
    INSTANCES: Gauge "instances" []
        "Pods whose heartbeat is recent. Every pod says the same.";
    CLOCK_SKEW: Gauge "clock_skew_seconds" []
        "How far this machine's clock is ahead of the database's (negative: behind). Calls start by the database's.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{METRICS, MetricKind};

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len(), "no name twice");
        for metric in METRICS {
            let name = metric.name;
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == MetricKind::Counter, "{name}");
            assert_eq!(
                metric.kind == MetricKind::Histogram,
                name.ends_with("_seconds") && !name.contains("age") && !name.contains("skew"),
                "{name}"
            );
            assert!(metric.help.ends_with('.'), "{name}");
            let known = ["call", "outcome", "op"];
            assert!(metric.labels.iter().all(|label| known.contains(label)), "{name}");
        }
    }
}
