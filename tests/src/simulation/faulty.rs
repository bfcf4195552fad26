//! The store as a pod reaches it: over a network that is slow, breaks, and loses replies. An operation that was sent is
//! done, or not, whatever happens to the pod meanwhile.

mod beside;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futurecall_runtime::store::{
    CancelStore, CancelTarget, Cancelled, Claim, ClaimRequest, ClaimStore, ClaimedCall, Completed,
    DatabaseSetting, Declared, Due, Finish, FinishStore, Finished, Held, InsertStore, Inserted, LivePod,
    MemoryStore, MigrationRecord, NewCall, NewSchedule, Now, Renewed, RescheduleStore, Rescheduled, Rescued,
    Retention, RunAgain, ScheduleStore, Store, TransactionStore,
};
use futurecall_runtime::testing::{OpenTransaction, Sealed, TransactionRef};
use futurecall_runtime::{CallId, Moment, PodId, StoreError};
use tokio::sync::oneshot;

use super::server::Server;
use super::world::{Trouble, World, of};

/// One pod's connection to the database.
#[derive(Clone, Debug)]
pub(crate) struct Faulty {
    server: Server,
}

impl Faulty {
    pub(crate) fn new(world: &Arc<World>, inner: MemoryStore, pod: String) -> Self {
        Self { server: Server::new(Arc::clone(world), inner, pod) }
    }

    /// Sends an operation, and waits for the reply. The server is not part of the pod's process: it continues when that
    /// does not.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Server) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let server = self.server.clone();
        let lot = server.world.draw(&server.pod);
        tokio::spawn(async move {
            tokio::time::sleep(lot.before).await;
            let result = serve(&server, lot.trouble, work);
            tokio::time::sleep(lot.after).await;
            let is_lost =
                result.is_ok() && (lot.trouble == Some(Trouble::Lost) || server.world.is_out(&server.pod));
            let _ = reply.send(if is_lost { Err(unknown()) } else { result });
        });
        answer.await.unwrap_or_else(|_| Err(unknown()))
    }

    /// Sends a claim. Now and then its connection is lost at once, and it is executed much later.
    async fn ask_for_calls(&self, request: ClaimRequest) -> Result<Claim, StoreError> {
        let (server, sent) = (self.server.clone(), of(self.server.world.now()));
        let Some(delay) = server.world.draw_late(&server.pod) else {
            return self.ask(move |server| server.claim(&request, sent)).await;
        };
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            if !server.world.is_out(&server.pod) {
                drop(server.claim(&request, sent));
            }
        });
        Err(unknown())
    }
}

/// A call that is stored as claimed, whose reply the pod did not get at once.
fn store_late(server: &Server, call: &NewCall, request: &ClaimRequest, sent: u64) {
    // Once its repetition is stored, it does nothing; once that is over as well, it would be stored anew: this is the one
    // end that GUARANTEES leaves open, of every insert.
    if !server.world.is_out(&server.pod) && !server.was_stored(call.id) {
        drop(server.insert_claimed(call, request, sent));
    }
}

fn serve<T>(
    server: &Server,
    trouble: Option<Trouble>,
    work: impl FnOnce(&Server) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    if server.world.is_out(&server.pod) {
        server.world.trouble(&server.pod, Duration::ZERO);
        return Err(StoreError::transient("reach the database", "it is out"));
    }
    if server.world.is_denied() || trouble == Some(Trouble::Denied) {
        return Err(StoreError::denied("reach the database", "permission denied"));
    }
    match trouble {
        Some(Trouble::Broken) => Err(StoreError::transient("reach the database", "the connection broke")),
        Some(Trouble::Busy) => Err(StoreError::busy("write", "somebody else's transaction")),
        Some(Trouble::Unsent) => Err(unknown()),
        Some(Trouble::Lost | Trouble::Denied) | None => work(server),
    }
}

fn unknown() -> StoreError {
    StoreError::unknown("hear from the database", "the connection broke")
}

impl Sealed for Faulty {}

#[async_trait]
impl Store for Faulty {
    fn kind(&self) -> &'static str {
        "simulation"
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn separate(&self) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(self.clone()))
    }

    async fn close(&self) {}

    async fn now(&self) -> Result<Moment, StoreError> {
        self.ask(|server| Ok(server.world.now())).await
    }

    async fn changed(&self) {
        self.server.changed().await;
    }

    async fn settings(&self) -> Result<Vec<DatabaseSetting>, StoreError> {
        self.ask(Server::settings).await
    }

    async fn migrations(&self) -> Result<Vec<MigrationRecord>, StoreError> {
        self.ask(Server::migrations).await
    }
}

#[async_trait]
impl InsertStore for Faulty {
    async fn insert(
        &self,
        _now: Now,
        calls: &[NewCall],
        again: bool,
        soon: Duration,
    ) -> Result<Vec<Inserted>, StoreError> {
        let calls = calls.to_vec();
        self.ask(move |server| server.insert(&calls, again, soon)).await
    }

    async fn insert_claimed(
        &self,
        _now: Now,
        call: &NewCall,
        request: &ClaimRequest,
    ) -> Result<Option<ClaimedCall>, StoreError> {
        let (call, request) = (call.clone(), request.clone());
        let (server, sent) = (self.server.clone(), of(self.server.world.now()));
        if server.world.draw_late(&server.pod).is_none() {
            return self.ask(move |server| server.insert_claimed(&call, &request, sent)).await;
        }
        // Between the moment at which the pod has looked for it and the one at which it is stored otherwise.
        let delay = server.world.shared().dice.below(16) as u64;
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            store_late(&server, &call, &request, sent);
        });
        Err(unknown())
    }

    async fn insert_in(
        &self,
        _transaction: TransactionRef<'_>,
        _calls: &[NewCall],
        _soon: Duration,
    ) -> Result<(), StoreError> {
        Err(StoreError::wrong_database("store calls in the transaction"))
    }
}

#[async_trait]
impl CancelStore for Faulty {
    async fn cancel(
        &self,
        _now: Now,
        target: &CancelTarget,
        retention: &Retention,
    ) -> Result<Cancelled, StoreError> {
        let (target, retention) = (target.clone(), *retention);
        self.ask(move |server| server.cancel(&target, &retention)).await
    }

    async fn cancel_in(
        &self,
        _transaction: TransactionRef<'_>,
        _target: &CancelTarget,
        _retention: &Retention,
    ) -> Result<Cancelled, StoreError> {
        Err(StoreError::wrong_database("cancel in the transaction"))
    }

    async fn discard(
        &self,
        _now: Now,
        _calls: &[(CallId, String)],
        _retention: &Retention,
    ) -> Result<u64, StoreError> {
        Ok(0)
    }
}

#[async_trait]
impl RescheduleStore for Faulty {
    async fn reschedule(
        &self,
        _now: Now,
        target: &CancelTarget,
        due: Due,
        soon: Duration,
    ) -> Result<Rescheduled, StoreError> {
        let target = target.clone();
        self.ask(move |server| server.reschedule(&target, due, soon)).await
    }

    async fn run_again(
        &self,
        _now: Now,
        of: CallId,
        id: CallId,
        again: bool,
    ) -> Result<RunAgain, StoreError> {
        self.ask(move |server| server.run_again(of, id, again)).await
    }
}

#[async_trait]
impl ScheduleStore for Faulty {
    async fn declare(&self, _now: Now, schedules: &[NewSchedule]) -> Result<Vec<Declared>, StoreError> {
        let schedules = schedules.to_vec();
        self.ask(move |server| server.declare(&schedules)).await
    }

    async fn end_undeclared(&self, _now: Now, live: &LivePod, grace: Duration) -> Result<u64, StoreError> {
        let live = live.clone();
        self.ask(move |server| server.end_undeclared(&live, grace)).await
    }
}

#[async_trait]
impl ClaimStore for Faulty {
    async fn claim(&self, _now: Now, request: &ClaimRequest) -> Result<Claim, StoreError> {
        self.ask_for_calls(request.clone()).await
    }

    async fn find_claim(&self, pod: PodId, claim_no: i64) -> Result<Vec<ClaimedCall>, StoreError> {
        self.ask(move |server| server.find_claim(pod, claim_no)).await
    }

    async fn release(
        &self,
        _now: Now,
        pod: PodId,
        held: &[Held],
        declined: Option<i64>,
    ) -> Result<u64, StoreError> {
        let held = held.to_vec();
        self.ask(move |server| server.release(pod, &held, declined)).await
    }
}

#[async_trait]
impl FinishStore for Faulty {
    async fn renew(
        &self,
        _now: Now,
        pod: PodId,
        held: &[Held],
        lease: Duration,
    ) -> Result<Vec<Renewed>, StoreError> {
        let (asked, world) = (held.to_vec(), &self.server.world);
        let slow = world.draw_slow_renewal(&self.server.pod);
        let renewed = self.ask(move |server| server.renew(pod, &asked, lease)).await?;
        if let Some(delay) = slow {
            tokio::time::sleep(delay).await;
            world.cut_off(&self.server.pod);
        }
        self.server.heard(held, &renewed);
        Ok(renewed)
    }

    async fn finish(
        &self,
        _now: Now,
        pod: PodId,
        finished: &[Finish],
        retention: &Retention,
    ) -> Result<Vec<Finished>, StoreError> {
        let (finished, retention) = (finished.to_vec(), *retention);
        self.ask(move |server| server.finish(pod, &finished, &retention)).await
    }

    async fn rescue(
        &self,
        _now: Now,
        limit: usize,
        retention: &Retention,
    ) -> Result<Vec<Rescued>, StoreError> {
        let retention = *retention;
        self.ask(move |server| server.rescue(limit, &retention)).await
    }

    async fn prune(&self, _now: Now, retention: &Retention, limit: usize) -> Result<u64, StoreError> {
        let retention = *retention;
        self.ask(move |server| server.prune(&retention, limit)).await
    }

    async fn note_history_gap(&self, _now: Now, lasts: Duration) -> Result<(), StoreError> {
        self.ask(move |server| server.note_history_gap(lasts)).await
    }
}

#[async_trait]
impl TransactionStore for Faulty {
    async fn begin(&self, _limit: Duration) -> Result<Option<OpenTransaction>, StoreError> {
        Ok(None)
    }

    async fn complete(
        &self,
        _transaction: OpenTransaction,
        _now: Now,
        _pod: PodId,
        _finish: &Finish,
        _retention: &Retention,
    ) -> Result<bool, StoreError> {
        Err(StoreError::wrong_database("complete the call in its transaction"))
    }

    async fn completed(&self, pod: PodId, id: CallId, claim_no: i64) -> Result<Completed, StoreError> {
        self.ask(move |server| server.completed(pod, id, claim_no)).await
    }
}
