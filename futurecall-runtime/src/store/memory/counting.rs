//! How many calls are where.

use std::time::Duration;

use async_trait::async_trait;

use super::MemoryStore;
use super::rows::Call;
use crate::id::CallId;
use crate::moment::Moment;
use crate::store::{Backlog, CountingStore, Counts, Now, Result, TimelineCount};

#[async_trait]
impl CountingStore for MemoryStore {
    async fn counts(&self, now: Now, cap: u64) -> Result<Counts> {
        let state = self.state();
        let now = state.now(now);
        let mut counts = Counts::default();
        for call in state.calls() {
            if call.held.is_some() {
                counts.running += 1;
            } else {
                counts.scheduled += 1;
                counts.due += u64::from(call.due <= now);
                let oldest = counts.oldest_due.map_or(call.due, |oldest| oldest.min(call.due));
                counts.oldest_due = if call.due <= now { Some(oldest) } else { counts.oldest_due };
            }
        }
        for row in state.finished.values() {
            counts.add(row.state, 1);
        }
        for count in counts.all_mut() {
            *count = (*count).min(cap);
        }
        Ok(counts)
    }

    async fn ahead(&self, now: Now, id: CallId, cap: u64) -> Result<u64> {
        let state = self.state();
        let now = state.now(now);
        let Some(call) = state.call(id).filter(|call| call.held.is_none()) else { return Ok(0) };
        let goes_first = |other: &&Call| {
            other.held.is_none()
                && other.due <= now
                && (other.priority < call.priority
                    || (other.name == call.name
                        && other.priority == call.priority
                        && (other.due, other.id) < (call.due, call.id)))
        };
        Ok((state.calls().filter(goes_first).count() as u64).min(cap))
    }

    async fn timeline(&self, _now: Now, edges: &[Moment], cap: u64) -> Result<Vec<TimelineCount>> {
        let state = self.state();
        let mut counts = Vec::new();
        for (name, lanes) in &state.waiting {
            for (stretch, edge) in edges.windows(2).enumerate() {
                let [from, until] = edge else { continue };
                let within = |(due, _): &&(Moment, CallId)| from <= due && due < until;
                let calls = lanes.values().flatten().filter(within).count() as u64;
                if calls > 0 {
                    counts.push(TimelineCount::new(name.clone(), stretch, calls.min(cap)));
                }
            }
        }
        Ok(counts)
    }

    async fn backlog(&self, now: Now, cap: u64, pod_live: Duration) -> Result<Backlog> {
        let state = self.state();
        let now = state.now(now);
        let mut backlog = Backlog::default();
        for lane in state.waiting.values().flat_map(|lanes| lanes.values()) {
            let due = lane.iter().take_while(|(due, _)| *due <= now).count();
            backlog.scheduled += (lane.len() as u64).min(cap);
            backlog.due += (due as u64).min(cap);
            let oldest = lane.first().filter(|_| due > 0).map(|(due, _)| now.saturating_since(*due));
            backlog.oldest_due_age = backlog.oldest_due_age.max(oldest);
        }
        let is_live = |beat| now.saturating_since(beat) <= pod_live;
        backlog.pods = state.pods.values().filter(|pod| is_live(pod.beat)).count() as u64;
        Ok(backlog)
    }
}
