//! The handlers of a simulation: they record that they started, take some time, and succeed or fail.

use std::sync::Arc;
use std::time::Duration;

use futurecall_model::line::What;
use futurecall_runtime::prelude::*;
use futurecall_runtime::{CallError, Moment};

use super::world::World;

/// Calls that end with their first failure.
pub(crate) const PLAIN: &str = "sim.plain";
/// Calls that are retried when they fail.
pub(crate) const RETRY: &str = "sim.retry";
/// How many attempts a call may have.
pub(crate) const ATTEMPTS: u8 = 25;
/// Runs of a schedule.
pub(crate) const TICK: &str = "sim.tick";

/// Calls that may take no longer than [`TIME`].
pub(crate) const TIMED: &str = "sim_timed.work";
/// The timeout of those.
pub(crate) const TIME: Duration = Duration::from_secs(1);

/// A handler of one pod.
#[derive(Clone)]
pub(crate) struct Work {
    pub(crate) world: Arc<World>,
    pub(crate) pod: String,
}

impl InvokableFutureCall for Work {
    type Data = u32;

    async fn invoke(&self, session: &Session, _data: Option<u32>) -> Result<(), BoxError> {
        let call = self.world.name(session.call().id);
        self.world.write(What::Started { pod: self.pod.clone(), call });
        let _running = self.world.handler(&self.pod, session.call().id);
        let (length, fails) = self.draw();
        tokio::select! {
            biased;
            () = session.cancelled() => {}
            () = tokio::time::sleep(length) => if !fails { return Ok(()) },
        }
        if session.call().name == RETRY {
            return Err(CallError::retry_in(length.max(Duration::from_millis(700))).into());
        }
        Err("no such luck".into())
    }
}

pub(crate) struct SimTimedFutureCall;

#[future_call]
impl SimTimedFutureCall {
    #[future_call(timeout = "1s")]
    pub(crate) async fn work(session: &Session, #[future_call(state)] work: &Work) -> Result<(), BoxError> {
        let call = work.world.name(session.call().id);
        work.world.write(What::Started { pod: work.pod.clone(), call });
        let _running = work.world.handler(&work.pod, session.call().id);
        let (length, fails) = work.draw();
        let _watch = Watch { work: work.clone(), since: work.world.now() };
        tokio::time::sleep(length).await;
        if fails { Err("no such luck".into()) } else { Ok(()) }
    }
}

/// Observes how long a handler runs, whether it ends or is dropped.
struct Watch {
    work: Work,
    since: Moment,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Work { world, pod } = &self.work;
        let took = world.now().saturating_since(self.since);
        world.shared().counts.timeouts += u64::from(took == TIME);
        // Timers have milliseconds.
        if took > TIME + Duration::from_millis(2) && !world.was_troubled(pod, self.since) {
            world.violated(format!("a handler on {pod} ran for {took:?}"));
        }
    }
}

impl Work {
    /// Returns how long a run takes, and whether it fails.
    fn draw(&self) -> (Duration, bool) {
        let lease = usize::try_from(self.world.settings.lease.as_millis()).unwrap_or(0);
        let mut shared = self.world.shared();
        shared.counts.starts += 1;
        let dice = &mut shared.dice;
        let longest = match dice.below(20) {
            0..=9 => 30,
            10..=13 => 1_000,
            14..=16 => lease,
            _ => lease * 3,
        };
        (Duration::from_millis(dice.below(longest) as u64), dice.below(4) == 0)
    }
}
