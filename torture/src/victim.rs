//! A process that runs once through every operation of a store, and dies at one of them: this program, started with the
//! argument `victim`.

mod operations;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use futurecall_runtime::inspect::CallFilter;
use futurecall_runtime::operate::ActionId;
use futurecall_runtime::recurring::Rule;
use futurecall_runtime::store::{
    ActionFilter, CancelTarget, ClaimRequest, Completed, Due, Finish, Held, Inserted, KeysLook, LivePod,
    NewAction, NewCall, NewLog, NewSchedule, Now, OnVanish, Outcome, PodBeat, PostgresStore, Retention,
    RunAgain, ScheduleChange, ScheduleOrigin, Span, SqliteStore, Statistics, Store,
};
use futurecall_runtime::{CallId, InTransaction as _, Moment, PodId, ScheduleId, StoreError};
use uuid::Uuid;

pub(crate) use self::operations::OPERATIONS;
use crate::Result;
use crate::ledger::{Ledger, Run, What};

/// How long its claims last.
pub(crate) const LEASE: Duration = Duration::from_secs(1);
const NOW: Now = Now::Database;
const HOUR: Duration = Duration::from_hours(1);

/// The fault at an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Boundary {
    /// Death, before anything is sent.
    Before,
    /// It is done, and its reply is lost: the process survives, and finds out.
    Lost,
    /// It is not done, and looks as if its reply were lost: the process survives, and repeats it.
    Unsent,
    /// Death, when the reply has come.
    After,
}

impl Boundary {
    /// Returns whether the process survives.
    pub(crate) const fn is_survived(self) -> bool {
        matches!(self, Self::Lost | Self::Unsent)
    }
}

/// Options of a victim.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct VictimOptions {
    #[arg(long)]
    pub(crate) url: String,
    #[arg(long)]
    pub(crate) schema: String,
    #[arg(long)]
    pub(crate) ledger: PathBuf,
    #[arg(long)]
    pub(crate) base: u128,
    #[arg(long)]
    pub(crate) operation: String,
    #[arg(long)]
    pub(crate) boundary: Boundary,
}

/// The calls of a run, by what happens to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Claimed, started and finished; kept when its pod vanishes.
    Kept,
    /// The same, and rerun when its pod vanishes.
    Rerun,
    /// Claimed and released unstarted.
    KeptReleased,
    RerunReleased,
    Cancelled,
    /// Rescheduled from in an hour to now.
    Moved,
    /// Claimed, started, and completed in a transaction.
    Completed,
    /// Stored in that transaction.
    StoredIn,
    /// Cancelled in that transaction.
    CancelledIn,
    /// Claimed, started, and failed.
    Failed,
    /// A repetition of the failed one.
    Again,
    /// Discarded as broken, and then deleted from the history.
    Discarded,
    /// An additional run of the schedule.
    Triggered,
    /// Claimed by a pod that vanished.
    Vanished,
    /// Stored as claimed, started and finished.
    AtOnce,
}

impl Part {
    pub(crate) const ALL: [Self; 15] = [
        Self::Kept,
        Self::Rerun,
        Self::KeptReleased,
        Self::RerunReleased,
        Self::Cancelled,
        Self::Moved,
        Self::Completed,
        Self::StoredIn,
        Self::CancelledIn,
        Self::Failed,
        Self::Again,
        Self::Discarded,
        Self::Triggered,
        Self::Vanished,
        Self::AtOnce,
    ];

    pub(crate) fn id(self, base: u128) -> CallId {
        CallId::from_uuid(Uuid::from_u128(base + self as u128))
    }

    fn call(self, base: u128) -> NewCall {
        let name = match self {
            Self::Rerun | Self::RerunReleased => "torture.rerun",
            Self::Vanished => "torture.vanished",
            _ => "torture.keep",
        };
        let is_late = matches!(self, Self::Cancelled | Self::Moved | Self::CancelledIn | Self::Discarded);
        NewCall {
            id: self.id(base),
            name: name.to_owned(),
            identifier: None,
            args: r#"{"milliseconds": 0, "blocks": false}"#.to_owned(),
            format: 1,
            priority: 0,
            due: Due::After(if is_late { HOUR } else { Duration::ZERO }),
            expires_after: None,
            traceparent: None,
        }
    }
}

/// Returns the store of a URL.
pub(crate) async fn open(url: &str, schema: &str) -> Result<Arc<dyn Store>> {
    if url.starts_with("sqlite:") {
        Ok(Arc::new(SqliteStore::open(url, "futurecall_").await?))
    } else {
        Ok(Arc::new(PostgresStore::open_with(url, schema, 2).await?))
    }
}

/// Performs all operations, unless it dies. It gets to the end if it only lost a reply.
pub(crate) async fn live(orders: VictimOptions) -> Result {
    let store = open(&orders.url, &orders.schema).await?;
    let ledger = Ledger::open(&orders.ledger, 0)?;
    let life = Life { orders, store, ledger, pod: PodId::new() };
    life.begin().await?;
    life.claim().await?;
    life.complete().await?;
    life.finish().await?;
    life.tidy().await?;
    life.operate().await?;
    life.look().await
}

struct Life {
    orders: VictimOptions,
    store: Arc<dyn Store>,
    ledger: Ledger,
    pod: PodId,
}

impl Life {
    /// Performs an operation, unless it dies there. After a reply that was lost, or seems to be, it is repeated.
    async fn step<T, F>(&self, operation: &str, mut work: impl FnMut(bool) -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, StoreError>>,
    {
        let at = (operation == self.orders.operation).then_some(self.orders.boundary);
        if at == Some(Boundary::Before) {
            std::process::abort();
        }
        if at == Some(Boundary::Unsent) {
            return Ok(work(true).await?);
        }
        let done = work(false).await?;
        match at {
            Some(Boundary::After) => std::process::abort(),
            Some(Boundary::Lost) => {
                drop(done);
                Ok(work(true).await?)
            }
            _ => Ok(done),
        }
    }

    fn id(&self, part: Part) -> CallId {
        part.id(self.orders.base)
    }

    fn target(&self, part: Part) -> CancelTarget {
        CancelTarget::Call(self.id(part))
    }

    fn call(&self, part: Part) -> NewCall {
        part.call(self.orders.base)
    }

    async fn begin(&self) -> Result {
        let (store, kept) = (&self.store, Retention::default());
        self.step("migrate", |_| store.migrate()).await?;
        self.step("separate", |_| store.separate()).await?;
        self.step("now", |_| store.now()).await?;
        let beat = PodBeat {
            id: self.pod,
            label: "victim".to_owned(),
            role: "monolith".to_owned(),
            version: "0".to_owned(),
            names: vec!["torture.keep".to_owned(), "torture.rerun".to_owned()],
            shapes: BTreeMap::new(),
            schedules: Vec::new(),
            redacted: BTreeMap::new(),
            slots: 1,
            running: 0,
        };
        self.step("beat", |_| store.beat(NOW, &beat)).await?;
        let schedules = [schedule()?];
        self.step("declare", |_| store.declare(NOW, &schedules)).await?;
        let live = LivePod::default();
        self.step("end_undeclared", |_| store.end_undeclared(NOW, &live, HOUR)).await?;
        let later = [Part::StoredIn, Part::Again, Part::Triggered, Part::AtOnce];
        let calls: Vec<NewCall> =
            Part::ALL.into_iter().filter(|part| !later.contains(part)).map(|part| self.call(part)).collect();
        self.step("insert", |again| store.insert(NOW, &calls, again, HOUR)).await?;
        let at_once = self.call(Part::AtOnce);
        let own = ClaimRequest {
            claim_no: AT_ONCE,
            ..request(self.pod, &[("torture.keep", OnVanish::Keep)], LEASE)
        };
        let (at_once, own) = (&at_once, &own);
        let stored = self.step("insert_claimed", |again| async move {
            let found = if again { store.find_claim(self.pod, AT_ONCE).await?.len() } else { 0 };
            if found > 0 {
                Ok(found)
            } else {
                Ok(store.insert_claimed(NOW, at_once, own).await?.iter().len())
            }
        });
        assert_eq!(stored.await?, 1, "it is stored, and this pod's");
        // A third pod takes a call and vanishes.
        let vanished =
            request(PodId::new(), &[("torture.vanished", OnVanish::Keep)], Duration::from_millis(1));
        let claim = store.claim(NOW, &vanished).await?;
        assert_eq!(claim.calls.len(), 1, "the call that nobody else runs");
        let cancelled = self.target(Part::Cancelled);
        self.step("cancel", |_| store.cancel(NOW, &cancelled, &kept)).await?;
        Ok(())
    }

    /// Claims all that is due, and starts some of it.
    async fn claim(&self) -> Result {
        let store = &self.store;
        let rerun = OnVanish::Rerun { budget: 1_000, after: Duration::ZERO };
        let request = request(self.pod, &[("torture.keep", OnVanish::Keep), ("torture.rerun", rerun)], LEASE);
        let request = &request;
        let claimed = self.step("claim", |again| async move {
            // A pod that lost the reply to a claim looks up what the claim took.
            let found = if again { store.find_claim(self.pod, CLAIM).await?.len() } else { 0 };
            if found > 0 { Ok(found) } else { Ok(store.claim(NOW, request).await?.calls.len()) }
        });
        assert_eq!(claimed.await?, 6, "all that is due is claimed");
        let found = self.step("find_claim", |_| store.find_claim(self.pod, CLAIM)).await?;
        assert_eq!(found.len(), 6, "what was claimed is found");
        for part in [Part::Kept, Part::Rerun, Part::Completed, Part::Failed, Part::AtOnce] {
            let (call, pod) = (self.id(part).as_uuid(), self.pod.as_uuid());
            self.ledger.write(What::Start, Run { call, pod, attempt: 1, ..Run::default() });
        }
        let at_once = Held { claim_no: AT_ONCE, ..held(self.id(Part::AtOnce)) };
        let held = [held(self.id(Part::Kept)), held(self.id(Part::Rerun)), at_once];
        self.step("renew", |_| store.renew(NOW, self.pod, &held, LEASE)).await?;
        Ok(())
    }

    fn finished(&self, part: Part, outcome: Outcome) -> Finish {
        let (id, none) = (self.id(part), Duration::ZERO);
        Finish { id, claim_no: CLAIM, outcome, started_after: Some(none), ran_for: none }
    }

    /// Ends one call together with other changes in its transaction.
    async fn complete(&self) -> Result {
        let (store, kept) = (&self.store, Retention::default());
        let open = self.step("begin", |_| store.begin(Duration::from_secs(10))).await?;
        let mut open = open.ok_or("this store has no transactions")?;
        let call = [self.call(Part::StoredIn)];
        let at = |operation: &str| (operation == self.orders.operation).then_some(self.orders.boundary);
        // A reply lost inside a transaction is the end of the transaction: there is nothing to find out.
        let die = |operation: &str, boundary| {
            if at(operation) == Some(boundary) {
                std::process::abort()
            }
        };
        die("insert_in", Boundary::Before);
        store.insert_in(open.lend(), &call, HOUR).await?;
        die("insert_in", Boundary::After);
        die("cancel_in", Boundary::Before);
        store.cancel_in(open.lend(), &self.target(Part::CancelledIn), &kept).await?;
        die("cancel_in", Boundary::After);
        let finish = self.finished(Part::Completed, Outcome::Succeeded);
        die("complete", Boundary::Before);
        let is_done = store.complete(open, NOW, self.pod, &finish, &kept).await?;
        assert!(is_done, "the claim is held");
        die("complete", Boundary::After);
        let id = self.id(Part::Completed);
        let completed = self.step("completed", |_| store.completed(self.pod, id, CLAIM)).await?;
        assert_eq!(completed, Completed::Yes);
        Ok(())
    }

    async fn finish(&self) -> Result {
        let (store, kept) = (&self.store, Retention::default());
        let failed = Outcome::Failed { error: "no such luck".to_owned() };
        let finished = [
            self.finished(Part::Kept, Outcome::Succeeded),
            self.finished(Part::Rerun, Outcome::Succeeded),
            self.finished(Part::Failed, failed),
            Finish { claim_no: AT_ONCE, ..self.finished(Part::AtOnce, Outcome::Succeeded) },
        ];
        let done = self.step("finish", |_| store.finish(NOW, self.pod, &finished, &kept)).await?;
        let is_done = done.iter().all(|done| done.is_recorded());
        assert!(is_done, "the claims are held, and to finish twice is to finish once");
        let unstarted = |part| Held { started: false, ..held(self.id(part)) };
        let held = [unstarted(Part::KeptReleased), unstarted(Part::RerunReleased)];
        self.step("release", |_| store.release(NOW, self.pod, &held, None)).await?;
        Ok(())
    }

    async fn tidy(&self) -> Result {
        let (store, kept) = (&self.store, Retention::default());
        let moved = self.target(Part::Moved);
        self.step("reschedule", |_| store.reschedule(NOW, &moved, Due::After(Duration::ZERO), HOUR)).await?;
        let (of, id) = (self.id(Part::Failed), self.id(Part::Again));
        let again = self.step("run_again", |again| store.run_again(NOW, of, id, again)).await?;
        assert_eq!(again, RunAgain::Stored);
        self.step("rescue", |_| store.rescue(NOW, 100, &kept)).await?;
        self.step("reopen", |_| store.reopen(NOW, HOUR, 100)).await?;
        self.step("prune", |_| store.prune(NOW, &kept, 100)).await?;
        let discarded = [(self.id(Part::Discarded), "broken".to_owned())];
        self.step("discard", |_| store.discard(NOW, &discarded, &kept)).await?;
        Ok(())
    }

    /// Performs an operator's actions.
    async fn operate(&self) -> Result {
        let (store, kept) = (&self.store, Retention::default());
        let schedule = store.schedules().await?.first().ok_or("the schedule is there")?.id;
        let action = NewAction {
            id: ActionId::new(),
            actor: "victim".to_owned(),
            verb: "trigger".to_owned(),
            target: schedule.to_string(),
            call: Some(self.id(Part::Triggered)),
            schedule: Some(schedule),
        };
        self.step("note_action", |_| store.note_action(NOW, &action)).await?;
        let edit = ScheduleChange::Edit(Rule::every(HOUR * 2)?);
        self.step("change_schedule", |_| store.change_schedule(NOW, schedule, &edit, &kept)).await?;
        let extra = self.id(Part::Triggered);
        let stored = self.step("trigger", |again| store.trigger(NOW, schedule, extra, again)).await?;
        assert_eq!(stored, Some(Inserted::Stored), "the schedule is there");
        let name = "torture.paused";
        self.step("pause_name", |_| store.pause_name(NOW, name, "victim", "")).await?;
        let paused = self.step("paused_names", |_| store.paused_names()).await?;
        assert!(paused.iter().any(|paused| paused.name == name), "it was paused");
        self.step("resume_name", |_| store.resume_name(name)).await?;
        let deleted = [self.id(Part::Discarded)];
        self.step("delete", |_| store.delete(NOW, &deleted)).await?;
        self.step("note_history_gap", |_| store.note_history_gap(NOW, HOUR)).await?;
        self.step("settle_action", |_| store.settle_action(action.id, "done")).await?;
        let filter = ActionFilter::new().schedule(schedule);
        let actions = self.step("actions", |_| store.actions(&filter)).await?;
        let said: Vec<_> = actions.iter().map(|action| action.outcome.as_deref()).collect();
        assert_eq!(said, [Some("done")], "it is on record once");
        let counted = [Statistics::new(name.to_owned(), Span::Hour, Moment::MIN)];
        self.step("put_statistics", |_| store.put_statistics(self.pod, &counted)).await?;
        let read = self.step("statistics", |_| store.statistics(Span::Hour, Moment::MIN, Some(name))).await?;
        assert_eq!(read, counted, "a row is written once");
        Ok(())
    }

    async fn look(&self) -> Result {
        let store = &self.store;
        let filter = CallFilter::new();
        self.step("calls", |_| store.calls(NOW, &filter)).await?;
        self.step("call", |_| store.call(NOW, self.id(Part::Kept))).await?;
        self.step("schedules", |_| store.schedules()).await?;
        self.step("pods", |_| store.pods(NOW, HOUR)).await?;
        self.step("counts", |_| store.counts(NOW, u64::MAX)).await?;
        self.step("count", |_| store.count(NOW, &filter, 100)).await?;
        self.step("ahead", |_| store.ahead(NOW, self.id(Part::Again), 100)).await?;
        let now = store.now().await?;
        let edges = [now, now.checked_add(HOUR * 2).unwrap_or(now)];
        self.step("timeline", |_| store.timeline(NOW, &edges, 100)).await?;
        let keys = KeysLook { names: vec!["torture.keep".to_owned()], from: None, calls: 100, first: 1 };
        self.step("pending_names", |_| store.pending_names(NOW, 100)).await?;
        self.step("pending_keys", |_| store.pending_keys(NOW, &keys)).await?;
        self.step("backlog", |_| store.backlog(NOW, 100, HOUR)).await?;
        let logs = [NewLog { id: self.id(Part::Kept), attempt: 1, text: "done".to_owned() }];
        self.step("keep_logs", |_| store.keep_logs(NOW, &logs)).await?;
        let kept = self.step("logs", |_| store.logs(self.id(Part::Kept))).await?;
        assert_eq!(kept.len(), 1);
        self.step("settings", |_| store.settings()).await?;
        self.step("migrations", |_| store.migrations()).await?;
        self.step("leave", |_| store.leave(self.pod)).await?;
        self.step("close", |_| async {
            store.close().await;
            Ok(())
        })
        .await
    }
}

const CLAIM: i64 = 1;
/// The claim number under which a call is stored as claimed.
const AT_ONCE: i64 = 2;

fn held(id: CallId) -> Held {
    Held { id, claim_no: CLAIM, started: true }
}

fn request(pod: PodId, names: &[(&str, OnVanish)], lease: Duration) -> ClaimRequest {
    ClaimRequest {
        pod,
        claim_no: CLAIM,
        names: names.iter().map(|(name, on_vanish)| ((*name).to_owned(), *on_vanish)).collect(),
        shapes: Arc::default(),
        limit: 100,
        lease,
        until: None,
        ahead: Duration::ZERO,
        sweep: true,
        retention: Retention::default(),
    }
}

fn schedule() -> Result<NewSchedule> {
    Ok(NewSchedule {
        id: ScheduleId::new(),
        key: "sweep".to_owned(),
        former_keys: Vec::new(),
        name: "torture.keep".to_owned(),
        identifier: None,
        args: r#"{"milliseconds": 0, "blocks": false}"#.to_owned(),
        format: 1,
        priority: 0,
        rule: Rule::every(HOUR)?,
        origin: ScheduleOrigin::Code,
    })
}
