//! What every store does, a trait for each file of a store. [`Store`] is all of them.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use super::transaction::{OpenTransaction, TransactionRef};
use super::{
    ActionFilter, ActionRecord, Backlog, CallFilter, CallPage, CallRecord, CancelTarget, Cancelled, Claim,
    ClaimRequest, ClaimedCall, Completed, Counts, DatabaseSetting, Declared, Due, Finish, Finished, Held,
    Inserted, KeysLook, LivePod, MigrationRecord, NewAction, NewCall, NewLog, NewSchedule, Now, PausedName,
    PendingKeys, PendingName, PodBeat, PodRecord, Renewed, Rescheduled, Rescued, Retention, RunAgain, RunLog,
    ScheduleChange, ScheduleChanged, ScheduleRecord, Span, Statistics, TimelineCount, sealed,
};
use crate::id::{ActionId, CallId, PodId, ScheduleId};
use crate::moment::Moment;
use crate::store::Result;

/// A database of calls. Sealed until 1.0.
///
/// # Rules that hold for every method
///
/// - **Atomic**: a method happens whole or not at all, also when its future is dropped or its connection breaks. On SQLite
///   [`cancel`](CancelStore::cancel) and [`reschedule`](RescheduleStore::reschedule) of more than 2,000 calls happen in chunks of 2,000, each
///   whole or not at all; between two chunks others write. Which calls are meant is decided by the first. An error after
///   it has [`StoreError::outcome_unknown`](crate::error::StoreError::outcome_unknown) and says how many calls were done. The chunks that are done stay done, also
///   when the future is dropped; repeating the method does the rest.
/// - **Time is an argument.** `Now::Database` means the database's own clock, read in the statement; tests pass
///   `Now::At`. Delays count from the database's clock *after* the statement began, never from a transaction's start.
/// - **Fenced**: `renew`, `finish` and `release` change a row only while it is still claimed by exactly that pod with
///   exactly that claim number. Anything else is left alone and said so in the result.
/// - **Errors** say whether trying again may help ([`StoreError::is_transient`](crate::error::StoreError::is_transient)) and whether the work may have been
///   done all the same ([`StoreError::outcome_unknown`](crate::error::StoreError::outcome_unknown)).
/// - **Lock order** is schedule, then call, everywhere; several rows of a kind are locked in id order.
#[async_trait]
pub trait Store:
    InsertStore
    + CancelStore
    + RescheduleStore
    + ScheduleStore
    + ClaimStore
    + FinishStore
    + TransactionStore
    + PodStore
    + ListingStore
    + CountingStore
    + PendingStore
    + InspectStore
    + OperateStore
    + ActionStore
    + LogStore
    + StatisticsStore
    + Debug
    + Send
    + Sync
    + 'static
{
    /// Which database this is, in one lower-case word (`memory`, `sqlite`, `postgres`).
    fn kind(&self) -> &'static str;

    /// Brings the tables up to this version of the library. Safe when several pods start at once.
    async fn migrate(&self) -> Result<()>;

    /// A second handle on the same database with a connection of its own, opened on the runtime that polls this
    /// future. Lease renewal uses it, so that neither a busy runtime nor a drained pool can starve a lease.
    async fn separate(&self) -> Result<Box<dyn Store>>;

    /// Closes every connection of this handle, after what was begun on them, and waits for that. Afterwards whatever needs a
    /// connection fails with [`StoreError::is_closed`](crate::error::StoreError::is_closed). Closing twice is harmless; handles that [`separate`](Self::separate)
    /// gave are closed on their own. On SQLite everything stands in the file itself then, and the last handle of the last
    /// process leaves nothing beside it.
    ///
    /// Waits for transactions of [`begin`](TransactionStore::begin) that are still open. Dropping the future leaves no new work
    /// possible, and some connections open until they are idle.
    async fn close(&self);

    /// The database's clock.
    async fn now(&self) -> Result<Moment>;

    /// Whether [`changed`](Self::changed) tells at present of what others do, within a moment.
    fn hears(&self) -> bool {
        true
    }

    /// Returns how often the connection that hears of what others do was lost and made anew.
    fn reconnections(&self) -> u64 {
        0
    }

    /// Waits until another connection may have stored something that is due soon. Cancel-safe; may wake for nothing,
    /// and may miss a change (the engine's fallback poll covers that). A store that cannot hear waits for ever.
    async fn changed(&self);

    /// The database's settings that decide about durability and speed, for people and for checks:
    /// `version`, and what the database itself calls its own settings (`fsync`, `journal_mode`, …).
    async fn settings(&self) -> Result<Vec<DatabaseSetting>>;

    /// All steps of the schema, applied or not, by number. Works before [`migrate`](Self::migrate) as well.
    async fn migrations(&self) -> Result<Vec<MigrationRecord>>;
}

/// Stores calls.
#[async_trait]
pub trait InsertStore: sealed::Sealed {
    /// Stores calls in one go; the results stand in the order of `calls`.
    ///
    /// With `again` the batch is a repetition after a lost reply: a call that is stored already, or that has already
    /// finished, counts as [`Inserted::Stored`] and is not stored twice. While there is a gap in the history
    /// ([`note_history_gap`](FinishStore::note_history_gap)), what stands nowhere may have been stored and have ended: it is not
    /// stored, and the result is [`Inserted::Unknown`].
    ///
    /// When the database refuses a row, the whole batch fails with [`StoreError::is_refused`](crate::error::StoreError::is_refused): the caller halves it
    /// until only the offender is left.
    ///
    /// `soon`: other pods are woken, after the commit, when something is due within this time. (One call that is due
    /// already need not wake them if this store claims it at once.)
    async fn insert(&self, now: Now, calls: &[NewCall], again: bool, soon: Duration)
    -> Result<Vec<Inserted>>;

    /// Stores one call that is due as one that its pod has claimed already: what [`insert`](Self::insert) and a
    /// [`claim`](ClaimStore::claim) right after it would do, in one step. `None`: a call of this id is stored already, and was
    /// left as it is; or the name is paused, and the call is stored unclaimed.
    ///
    /// Of the request count who claims, under which number, for how long, and what happens to calls of this name if the
    /// pod vanishes. Whether the call's moment has come is not looked at, for that is up to the pod, which starts it.
    /// Nobody is woken.
    ///
    /// After a lost reply [`find_claim`](ClaimStore::find_claim) says what became of it; where it finds nothing, the call is to be
    /// stored by [`insert`](Self::insert), as a repetition.
    async fn insert_claimed(
        &self,
        now: Now,
        call: &NewCall,
        request: &ClaimRequest,
    ) -> Result<Option<ClaimedCall>>;

    /// Stores calls inside the application's own transaction; they exist if it commits. Wakes other pods at the commit.
    async fn insert_in(
        &self,
        transaction: TransactionRef<'_>,
        calls: &[NewCall],
        soon: Duration,
    ) -> Result<()>;
}

/// Cancels calls, and discards those that no pod can run.
#[async_trait]
pub trait CancelStore: sealed::Sealed {
    /// Removes what has not started, ends schedules, flags what is claimed, and counts each truthfully. Removed calls
    /// go to the history as `Cancelled` (subject to retention). Repeating it is harmless.
    ///
    /// On SQLite, where many calls are cancelled in chunks, the first ends the schedules with their pending runs, and flags
    /// what is claimed; what is claimed between two chunks is flagged, and counted as running, with the next.
    async fn cancel(&self, now: Now, target: &CancelTarget, retention: &Retention) -> Result<Cancelled>;

    /// [`cancel`](Self::cancel) inside the application's own transaction: all of it or nothing. What it flags is locked until
    /// that transaction ends, so that its lease cannot be renewed meanwhile ([`Lease::Kept`](super::Lease::Kept)).
    async fn cancel_in(
        &self,
        transaction: TransactionRef<'_>,
        target: &CancelTarget,
        retention: &Retention,
    ) -> Result<Cancelled>;

    /// Records these pending, unclaimed calls as `Cancelled` with the reason (broken calls). Returns how many were.
    async fn discard(&self, now: Now, calls: &[(CallId, String)], retention: &Retention) -> Result<u64>;
}

/// Moves calls to another moment, and repeats those that have ended.
#[async_trait]
pub trait RescheduleStore: sealed::Sealed {
    /// Moves what has not started to another moment, counts it, and counts what runs, which is left alone. A moment that
    /// has passed means now. Repeating it is harmless. The rules of schedules stay: only a pending run moves.
    ///
    /// `soon`: other pods are woken, after the commit, when the new moment is due within this time.
    async fn reschedule(
        &self,
        now: Now,
        target: &CancelTarget,
        due: Due,
        soon: Duration,
    ) -> Result<Rescheduled>;

    /// Stores a call `id`, due now, that is to do again what the finished call `of` was to do, unless that succeeded: of
    /// the same name, arguments, identifier and priority, of no schedule, and naming `of` in
    /// [`CallRecord::rerun_of`]. Wakes other pods after the commit.
    ///
    /// With `again` it is a repetition after a lost reply: what is stored already, or has already finished, is not stored
    /// twice; while there is a gap in the history, what stands nowhere is not stored, as [`RunAgain::Unknown`] says.
    async fn run_again(&self, now: Now, of: CallId, id: CallId, again: bool) -> Result<RunAgain>;
}

/// Declares schedules.
#[async_trait]
pub trait ScheduleStore: sealed::Sealed {
    /// Declares schedules; the results stand in the order of `schedules`. Compares with what was *declared* before,
    /// not with what an operator has since put in effect:
    ///
    /// - unknown key, and one of the former keys is known: that schedule takes the new key and name, then as below;
    /// - unknown key: stores the schedule and its first call;
    /// - ended because nobody declared it any more: revives it; under the same rule it goes on from the run that was
    ///   pending then, so that [`Missed`](crate::recurring::Missed) decides about what it missed;
    /// - ended otherwise (cancelled, say): revives it, first run counted from now;
    /// - declared alike: changes nothing, but restores a missing pending call of an active schedule;
    /// - declared otherwise: takes the new rule, arguments and priority, and replaces the pending call.
    async fn declare(&self, now: Now, schedules: &[NewSchedule]) -> Result<Vec<Declared>>;

    /// Ends (visibly) schedules of [`ScheduleOrigin::Attribute`](super::ScheduleOrigin::Attribute) that no live pod declares any more, and returns how many:
    ///
    /// - those whose call a live pod knows, at once;
    /// - active ones whose call no live pod knows, when none has known it for longer than `grace`.
    ///
    /// The pod that asks counts as live by what `live` says of it; others by their heartbeats. A declaration revives such
    /// a schedule: see [`declare`](Self::declare).
    async fn end_undeclared(&self, now: Now, live: &LivePod, grace: Duration) -> Result<u64>;
}

/// Claims calls, and gives claims back.
#[async_trait]
pub trait ClaimStore: sealed::Sealed {
    /// Claims up to `limit` due calls of the names given: lower priority first, then by turns among names, within a
    /// lane (name and priority) by (due, id). A call of a schedule is claimed together with storing its successor
    /// (next moment from [`Rule::advance`](crate::recurring::Rule::advance)), or recorded as `Skipped`
    /// where the rule says so. Expired leases are not taken here: see [`rescue`](FinishStore::rescue).
    ///
    /// The same statement answers how long until the next call of these names is due ([`Claim::next`]).
    async fn claim(&self, now: Now, request: &ClaimRequest) -> Result<Claim>;

    /// The calls still claimed by this pod under this claim number: what a claim did whose reply was lost. Asked of the store
    /// that the claim was sent by: it knows until when that claim can have looked.
    async fn find_claim(&self, pod: PodId, claim_no: i64) -> Result<Vec<ClaimedCall>>;

    /// Gives claimed calls back unstarted, with their attempt. Returns how many were still held.
    ///
    /// `declined`: the hash of the shape under which this pod could not read their arguments. Claims under that shape
    /// leave them alone from then on, until [`reopen`](PodStore::reopen) finds that no other shape is left to try.
    async fn release(&self, now: Now, pod: PodId, held: &[Held], declined: Option<i64>) -> Result<u64>;
}

/// Keeps leases, and records outcomes.
#[async_trait]
pub trait FinishStore: sealed::Sealed {
    /// Extends the leases of exactly these claims, and says of each whether it is still held, and whether its call has
    /// been cancelled meanwhile. The results stand in the order of `held`.
    async fn renew(&self, now: Now, pod: PodId, held: &[Held], lease: Duration) -> Result<Vec<Renewed>>;

    /// Records outcomes and moves the calls to the history, or makes them due again ([`Outcome::Retry`](super::Outcome::Retry),
    /// [`Outcome::Rerun`](super::Outcome::Rerun)). Returns what became of each, in the order of `finished`.
    ///
    /// A call that was cancelled while it ran is recorded as cancelled, whatever its outcome, unless that is
    /// [`Outcome::Succeeded`](super::Outcome::Succeeded) or [`Outcome::Expired`](super::Outcome::Expired): [`Finished::Cancelled`].
    ///
    /// Repeating it after a lost reply is safe, and returns the same: what the history, or the call's list of attempts,
    /// holds under this pod and claim number counts as recorded. One that was rescued meanwhile is in the history as
    /// interrupted: [`Finished::Lost`]. Two things look alike: an outcome that the history does not keep is `Lost` when it
    /// is repeated; a cancelled call whose pod vanished is recorded as cancelled by its rescue, and an outcome that comes
    /// after that is `Cancelled`.
    async fn finish(
        &self,
        now: Now,
        pod: PodId,
        finished: &[Finish],
        retention: &Retention,
    ) -> Result<Vec<Finished>>;

    /// Takes up to `limit` claims whose lease has ended, of whatever name and pod: `OnVanish::Keep` records the call
    /// as `Interrupted`, `OnVanish::Rerun` makes it due again, or records it as `Failed` when its budget is spent; one
    /// flagged as cancelled becomes `Cancelled`. Needs nothing but the call rows.
    async fn rescue(&self, now: Now, limit: usize, retention: &Retention) -> Result<Vec<Rescued>>;

    /// Deletes up to `limit` history rows that are older than their outcome's retention, and as many actions and
    /// statistics that are too old. Returns how many of the history.
    async fn prune(&self, now: Now, retention: &Retention, limit: usize) -> Result<u64>;

    /// Notes that the history has a gap until `lasts` from now: calls may end without a row in it, or lose theirs. Until
    /// then a repetition that finds nothing of its call cannot tell whether it had been stored before, and stores nothing.
    async fn note_history_gap(&self, now: Now, lasts: Duration) -> Result<()>;
}

/// Completes calls in a transaction of their handlers.
#[async_trait]
pub trait TransactionStore: sealed::Sealed {
    /// Begins a transaction for a handler, that may write and that ends with [`complete`](Self::complete) or is rolled
    /// back when it is dropped. `limit`: for how long it may be open where everybody else waits for its end (SQLite).
    ///
    /// `None`: the store knows no transactions. Busy when its turn does not come.
    async fn begin(&self, limit: Duration) -> Result<Option<OpenTransaction>>;

    /// Records one outcome in that transaction and commits it, if the fence holds; `false` where it does not: then
    /// everything in it is rolled back. After a lost reply [`completed`](Self::completed) tells what became of it.
    async fn complete(
        &self,
        transaction: OpenTransaction,
        now: Now,
        pod: PodId,
        finish: &Finish,
        retention: &Retention,
    ) -> Result<bool>;

    /// What became of a claim whose [`complete`](Self::complete) got no reply. Waits for a transaction that is still
    /// ending.
    async fn completed(&self, pod: PodId, id: CallId, claim_no: i64) -> Result<Completed>;
}

/// Keeps the rows of pods, and reopens calls that pods have declined.
#[async_trait]
pub trait PodStore: sealed::Sealed {
    /// Writes this pod's row (heartbeat, for people and for the broken-call check), and forgets pods and shapes that have
    /// not been heard of for a day. The row names the pod's shapes by the hash of all of them; the shapes themselves are
    /// sent only where the database does not know that hash.
    ///
    /// Returns whether calls wait that a pod has declined: then it is time to [`reopen`](Self::reopen) them.
    async fn beat(&self, now: Now, pod: &PodBeat) -> Result<bool>;

    /// Lets up to `limit` waiting calls be claimed again that every shape of their name has declined of which a pod was
    /// heard within `live`. The pod that claims one next finds that no other could read it, and records that it failed.
    /// Returns how many calls these were.
    async fn reopen(&self, now: Now, live: Duration, limit: usize) -> Result<u64>;

    /// Removes this pod's row.
    async fn leave(&self, pod: PodId) -> Result<()>;

    /// All pods heard of within a day, newest heartbeat first; `live` says which beat within `within`.
    async fn pods(&self, now: Now, within: Duration) -> Result<Vec<PodRecord>>;
}

/// Lists calls.
#[async_trait]
pub trait ListingStore: sealed::Sealed {
    /// A page of calls, by (due, id) ascending over scheduled and running ones; history newest first.
    ///
    /// Where a filter has no index for something (`pod` and `error`; beside `identifier` or `schedule` everything else), a
    /// page looks through 10,000 calls of each table at most and says in [`CallPage::next`] where the next one goes on.
    /// Running calls are looked for on PostgreSQL, whose claims write no index, among the first due ones of each lane:
    /// 10,000 shared among the lanes, but 1,000 of each at least.
    async fn calls(&self, now: Now, filter: &CallFilter) -> Result<CallPage>;

    /// How many calls the filter lets through (its limit and its page do not matter), counted up to `cap`. Where a filter has
    /// no index and `cap` is 10,000 or less, only so many calls of each table are looked at as a page looks through: the
    /// figure is of those, in the listing's order, and there may be more. With a higher `cap` all are looked at.
    async fn count(&self, now: Now, filter: &CallFilter, cap: u64) -> Result<u64>;
}

/// Counts calls.
#[async_trait]
pub trait CountingStore: sealed::Sealed {
    /// How many calls are in each state, how many are due, and since when; each counted up to `cap`. Running ones as
    /// [`calls`](ListingStore::calls) finds them, where `cap` is no more than 10,000.
    async fn counts(&self, now: Now, cap: u64) -> Result<Counts>;

    /// How many due calls go before this one, counted up to `cap`: unclaimed ones of its own lane with an earlier (due, id),
    /// and those of any name at a lower priority number. Zero if it is not pending.
    async fn ahead(&self, now: Now, id: CallId, cap: u64) -> Result<u64>;

    /// How many unclaimed calls are due between each two neighbours of `edges` (ascending; the first inside, the second
    /// outside), by name; each figure counted up to `cap`. Stretches without calls are left out; by name, then stretch.
    async fn timeline(&self, now: Now, edges: &[Moment], cap: u64) -> Result<Vec<TimelineCount>>;

    /// What waits, for gauges: cheap however much there is, because counting stops at `cap` a lane. A heartbeat within
    /// `pod_live` is recent.
    async fn backlog(&self, now: Now, cap: u64, pod_live: Duration) -> Result<Backlog>;
}

/// Tells what waits, for the check of calls that no pod can run.
#[async_trait]
pub trait PendingStore: sealed::Sealed {
    /// The names of pending calls, each with how many wait (counting stops at `cap` a name).
    async fn pending_names(&self, now: Now, cap: u64) -> Result<Vec<PendingName>>;

    /// Groups the earliest waiting calls of each name by the keys of their arguments, and returns a few calls of each group;
    /// by name. Names of which none wait are left out.
    ///
    /// The cost is bounded by the look: of each priority of a name, calls are looked at in the order of their moments until
    /// its share of [`KeysLook::calls`] is used up, or their arguments fill 1 KiB for each call of that share. Whatever stands
    /// in the arguments, the look does not fail.
    async fn pending_keys(&self, now: Now, look: &KeysLook) -> Result<Vec<PendingKeys>>;
}

/// Reads single records.
#[async_trait]
pub trait InspectStore: sealed::Sealed {
    /// One call with its attempts, pending or finished.
    async fn call(&self, now: Now, id: CallId) -> Result<Option<CallRecord>>;

    /// All schedules, ended ones too.
    async fn schedules(&self) -> Result<Vec<ScheduleRecord>>;
}

/// Does what an operator asks for.
#[async_trait]
pub trait OperateStore: sealed::Sealed {
    /// Removes finished calls from the history, and what their runs have logged. Returns how many were there. Pending ones
    /// are left alone.
    async fn delete(&self, now: Now, ids: &[CallId]) -> Result<u64>;

    /// Changes a schedule at run time. Repeating it is harmless.
    async fn change_schedule(
        &self,
        now: Now,
        id: ScheduleId,
        change: &ScheduleChange,
        retention: &Retention,
    ) -> Result<ScheduleChanged>;

    /// Stores one more run of a schedule, due now: a call `id` of it in addition to those of its rule, which takes no notice
    /// of it. Also of a paused or ended one. `None`: there is no such schedule. With `again` it is a repetition, as that of an
    /// [`insert`](InsertStore::insert). Wakes other pods after the commit.
    async fn trigger(
        &self,
        now: Now,
        schedule: ScheduleId,
        id: CallId,
        again: bool,
    ) -> Result<Option<Inserted>>;

    /// Lets nobody claim calls of that name until it is resumed: no claim that begins after this has returned takes one.
    /// `false`: it was paused already (that pause stays).
    async fn pause_name(&self, now: Now, name: &str, actor: &str, reason: &str) -> Result<bool>;

    /// Ends the pause of a name, and wakes other pods, whose next claim takes its calls. `false`: it was not paused.
    async fn resume_name(&self, name: &str) -> Result<bool>;

    /// The names that are paused, by name.
    async fn paused_names(&self) -> Result<Vec<PausedName>>;
}

/// Keeps a record of what operators do.
#[async_trait]
pub trait ActionStore: sealed::Sealed {
    /// Writes down what an operator is about to do. Repeating it is harmless.
    async fn note_action(&self, now: Now, action: &NewAction) -> Result<()>;

    /// Adds what came of it.
    async fn settle_action(&self, id: ActionId, outcome: &str) -> Result<()>;

    /// What operators did, newest first. Kept for 90 days: [`prune`](FinishStore::prune) deletes what is older.
    async fn actions(&self, filter: &ActionFilter) -> Result<Vec<ActionRecord>>;
}

/// Keeps what runs have logged.
#[async_trait]
pub trait LogStore: sealed::Sealed {
    /// Keeps what runs have logged. Repeating it is harmless: of one attempt the first log stays. They go when their call
    /// leaves the history ([`prune`](FinishStore::prune)), or when they are older than any outcome is kept.
    async fn keep_logs(&self, now: Now, logs: &[NewLog]) -> Result<()>;

    /// What was kept of one call, by attempt.
    async fn logs(&self, id: CallId) -> Result<Vec<RunLog>>;
}

/// Keeps what pods have counted.
#[async_trait]
pub trait StatisticsStore: sealed::Sealed {
    /// Writes what this pod has counted: each row replaces the one of the same pod, name, span and time. Kept until it ended
    /// 48 hours ago: [`prune`](FinishStore::prune) deletes what is older.
    async fn put_statistics(&self, pod: PodId, counted: &[Statistics]) -> Result<()>;

    /// What all pods have counted by that span (of one name, if given) in minutes or hours that began at `since` or later, by
    /// time, then name: one row for each of both, whose figures are the sums of all pods'.
    async fn statistics(&self, span: Span, since: Moment, name: Option<&str>) -> Result<Vec<Statistics>>;
}
