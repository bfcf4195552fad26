use std::time::Duration;

use super::rows::State;
use crate::store::{Backlog, Now};

impl State {
    pub(super) fn backlog(&self, now: Now, cap: u64, pod_live: Duration) -> Backlog {
        let now = self.now(now);
        let mut backlog = Backlog::default();
        for lane in self.waiting.values().flat_map(|lanes| lanes.values()) {
            let due = lane.iter().take_while(|(due, _)| *due <= now).count();
            backlog.scheduled += (lane.len() as u64).min(cap);
            backlog.due += (due as u64).min(cap);
            let oldest = lane.first().filter(|_| due > 0).map(|(due, _)| now.saturating_since(*due));
            backlog.oldest_due_age = backlog.oldest_due_age.max(oldest);
        }
        let is_live = |beat| now.saturating_since(beat) <= pod_live;
        backlog.pods = self.pods.values().filter(|pod| is_live(pod.beat)).count() as u64;
        backlog
    }
}
