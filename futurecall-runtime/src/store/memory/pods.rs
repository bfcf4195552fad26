//! The rows of pods: heartbeats, and what pods know.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;

use super::MemoryStore;
use super::rows::{Call, Pod, State, refuse_nul};
use crate::id::PodId;
use crate::moment::Moment;
use crate::shape::hash_of_all;
use crate::store::{Now, PodBeat, PodRecord, PodStore, Result};

/// How long a pod that is not heard of any more is remembered.
const REMEMBERED: Duration = Duration::from_hours(24);

#[async_trait]
impl PodStore for MemoryStore {
    async fn beat(&self, now: Now, pod: &PodBeat) -> Result<bool> {
        let state = &mut *self.state();
        refuse_nul("write the pod's heartbeat", pod.texts())?;
        let (now, hash) = (state.now(now), hash_of_all(&pod.shapes));
        state.forget_pods(|_, known| now.saturating_since(known.beat) > REMEMBERED);
        let started = state.pods.get(&pod.id).map_or(now, |before| before.started);
        state.pods.insert(pod.id, Pod { said: pod.clone(), started, beat: now });
        let named: BTreeSet<i64> = state.pods.values().map(|known| hash_of_all(&known.said.shapes)).collect();
        state
            .shapes
            .retain(|hash, (_, seen)| named.contains(hash) || now.saturating_since(*seen) <= REMEMBERED);
        state.shapes.entry(hash).or_insert_with(|| (pod.shapes.clone(), now)).1 = now;
        Ok(state.declined().next().is_some())
    }

    async fn reopen(&self, now: Now, live: Duration, limit: usize) -> Result<u64> {
        let state = &mut *self.state();
        let now = state.now(now);
        let may_read = |call: &Call| {
            let live = state.shapes.values().filter(|(_, seen)| now.saturating_since(*seen) <= live);
            let mut shapes = live.filter_map(|(shapes, _)| shapes.get(&call.name));
            shapes.any(|shape| !call.declined.contains(&shape.hash()))
        };
        let open = state.declined().filter(|call| !may_read(call)).take(limit);
        let open: Vec<Call> = open.cloned().collect();
        let calls = open.len() as u64;
        for call in open {
            state.put(Call { declined: BTreeSet::new(), ..call });
        }
        Ok(calls)
    }

    async fn leave(&self, pod: PodId) -> Result<()> {
        self.state().forget_pods(|id, _| *id == pod);
        Ok(())
    }

    async fn pods(&self, now: Now, within: Duration) -> Result<Vec<PodRecord>> {
        let state = self.state();
        let now = state.now(now);
        let heard = state.pods.values().filter(|pod| now.saturating_since(pod.beat) <= REMEMBERED);
        let mut records: Vec<_> = heard.map(|pod| pod_record(pod, now, within)).collect();
        records.sort_by_key(|record| (std::cmp::Reverse(record.beat), record.id));
        Ok(records)
    }
}

fn pod_record(pod: &Pod, now: Moment, within: Duration) -> PodRecord {
    PodRecord {
        id: pod.said.id,
        label: pod.said.label.clone(),
        role: pod.said.role.clone(),
        version: pod.said.version.clone(),
        names: pod.said.names.clone(),
        shapes: pod.said.shapes.clone(),
        redacted: pod.said.redacted.clone(),
        slots: pod.said.slots,
        running: pod.said.running,
        started: pod.started,
        beat: pod.beat,
        live: now.saturating_since(pod.beat) <= within,
    }
}

impl State {
    /// Calls that wait, and were declined.
    fn declined(&self) -> impl Iterator<Item = &Call> {
        self.calls().filter(|call| !call.declined.is_empty() && call.held.is_none())
    }
}
