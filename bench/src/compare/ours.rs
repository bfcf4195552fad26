//! Futurecall as one of the contestants.

use std::sync::Arc;
use std::time::Duration;

use futurecall_runtime::prelude::*;
use futurecall_runtime::{Config, PodBuilder, Retention, Role};
use peer_work::{Call, Due, Order, Peer, Settings};

use crate::Result;
use crate::calls;

/// A pod. It only schedules, until there is something to run.
pub(crate) struct Futurecall {
    order: Order,
    pod: Pod,
}

/// Registered by hand, for pods of this file only.
pub(crate) struct Counted(Arc<peer_work::Log>);

#[future_call]
impl Counted {
    /// Does the same as every peer's handler.
    pub(crate) async fn noop(&self, _session: &Session, id: u32) {
        self.0.ran(id);
    }
}

impl Peer for Futurecall {
    const NAME: &'static str = "futurecall";

    fn settings(order: &Order) -> String {
        match order.settings {
            Settings::Default | Settings::Eager => "defaults: keeps history".to_owned(),
            Settings::Tuned => "defaults, but for every retention at zero: keeps no history".to_owned(),
        }
    }

    async fn open(order: &Order) -> Result<Self> {
        let pod = pod(order).role(Role::Serverless).start().await?;
        Ok(Self { order: order.clone(), pod })
    }

    async fn enqueue(&self, _caller: usize, call: Call) -> Result {
        let calls = self.pod.future_calls();
        match call.due {
            Due::Now => calls.call_now().counted().noop(call.number).await?,
            Due::At(moment) => calls.call_at_time(moment).counted().noop(call.number).await?,
        };
        Ok(())
    }

    async fn bulk(&self, many: Vec<Call>) -> Result {
        let calls = self.pod.future_calls();
        let many = many.into_iter().map(|call| match call.due {
            Due::Now => calls.call_now().counted().noop(call.number),
            Due::At(moment) => calls.call_at_time(moment).counted().noop(call.number),
        });
        calls.schedule_all(many).await?;
        Ok(())
    }

    async fn work(&mut self, log: Arc<peer_work::Log>) -> Result {
        // The other blocks of this program need a state of theirs.
        let builder = pod(&self.order).role(Role::Monolith).state(calls::Log::new(0));
        self.pod = builder.register(Counted(log)).start().await?;
        Ok(())
    }

    async fn left(&self) -> Result<u64> {
        let counts = self.pod.inspect().counts().await?;
        Ok(counts.scheduled + counts.running)
    }
}

fn pod(order: &Order) -> PodBuilder {
    let mut config = Config::new();
    if order.is_tuned() {
        let none = Duration::ZERO;
        config = config.retention(Retention {
            succeeded: none,
            failed: none,
            interrupted: none,
            cancelled: none,
            skipped: none,
        });
    }
    Pod::builder().database_url(&order.database).config(config)
}
