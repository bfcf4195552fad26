//! The operations of a store, in one trait for each file of an implementation. [`Store`] combines them.

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
/// - **Atomic**: a method takes effect completely or not at all, also when its future is dropped or its connection
///   breaks. On SQLite [`cancel`](CancelStore::cancel) and [`reschedule`](RescheduleStore::reschedule) of more than
///   2,000 calls work in chunks of 2,000, each
///   atomic; between two chunks other writers may write. Which calls are affected is decided by the first chunk. An
///   error after it has [`StoreError::outcome_unknown`](crate::error::StoreError::outcome_unknown) and reports how many calls were done. Completed chunks stay
///   done, also when the future is dropped; repeating the method does the rest.
/// - **Time is an argument.** `Now::Database` means the database's own clock, read in the statement; tests pass
///   `Now::At`. Delays count from the database's clock *after* the statement began, never from a transaction's start.
/// - **Fenced**: `renew`, `finish` and `release` change a row only while it is still claimed by exactly that pod with
///   exactly that claim number. Anything else is left alone and reported in the result.
/// - **Errors** report whether retrying may help ([`StoreError::is_transient`](crate::error::StoreError::is_transient)) and whether the work may have been
///   done anyway ([`StoreError::outcome_unknown`](crate::error::StoreError::outcome_unknown)).
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
    /// Returns the kind of database, in one lower-case word (`memory`, `sqlite`, `postgres`).
    fn kind(&self) -> &'static str;

    /// Migrates the tables to this version of the library. Safe when several pods start at once.
    async fn migrate(&self) -> Result<()>;

    /// Opens a second handle on the same database with a connection of its own, on the runtime that polls this
    /// future. Lease renewal uses it, so that neither a busy runtime nor an exhausted pool can starve it.
    async fn separate(&self) -> Result<Box<dyn Store>>;

    /// Closes every connection of this handle once the statements sent on it are done, and waits for that. Afterwards
    /// every method that needs a connection fails with [`StoreError::is_closed`](crate::error::StoreError::is_closed). Closing twice is harmless; handles
    /// returned by [`separate`](Self::separate) are closed separately. On SQLite everything is in the database file
    /// then, and the last handle of the last process leaves no other files.
    ///
    /// Waits for transactions of [`begin`](TransactionStore::begin) that are still open. If the future is dropped, no
    /// new work is possible, and some connections stay open until they are idle.
    async fn close(&self);

    /// Reads the database's clock.
    async fn now(&self) -> Result<Moment>;

    /// Returns whether [`changed`](Self::changed) currently reports the changes of other handles without delay.
    fn hears(&self) -> bool {
        true
    }

    /// Returns how often the connection that listens for changes was lost and opened again.
    fn reconnections(&self) -> u64 {
        0
    }

    /// Waits until another connection may have stored something that is due soon. Cancel-safe; may wake spuriously,
    /// and may miss a change (the engine's fallback poll covers that). A store without notifications waits forever.
    async fn changed(&self);

    /// Returns the database's settings that affect durability and speed, as (name, value): `version`, and settings by
    /// the database's own names (`fsync`, `journal_mode`, …).
    async fn settings(&self) -> Result<Vec<DatabaseSetting>>;

    /// Returns all migrations of the schema, applied or not, by number. Works before [`migrate`](Self::migrate) as well.
    async fn migrations(&self) -> Result<Vec<MigrationRecord>>;
}

/// Stores calls.
#[async_trait]
pub trait InsertStore: sealed::Sealed {
    /// Stores calls in one transaction; the results are in the order of `calls`.
    ///
    /// With `again` the batch is a repetition after a lost reply: a call that is stored already, or that has already
    /// finished, is reported as [`Inserted::Stored`] and is not stored twice. While there is a gap in the history
    /// ([`note_history_gap`](FinishStore::note_history_gap)), a call without any row may have been stored and have
    /// ended: it is not stored, and the result is [`Inserted::Unknown`].
    ///
    /// If the database refuses a row, the whole batch fails with [`StoreError::is_refused`](crate::error::StoreError::is_refused): the caller halves it
    /// until only the offending row is left.
    ///
    /// `soon`: other pods are woken, after the commit, when something is due within this time. (One call that is due
    /// already need not wake them if this store claims it at once.)
    async fn insert(&self, now: Now, calls: &[NewCall], again: bool, soon: Duration)
    -> Result<Vec<Inserted>>;

    /// Stores one due call as already claimed by its pod, in one step: what [`insert`](Self::insert) and a
    /// [`claim`](ClaimStore::claim) right after it would do. `None` if a call with this id is stored already, which
    /// is left as it is, or if the name is paused, and the call is stored unclaimed.
    ///
    /// Of the request only the pod, the claim number, the lease and what happens if the pod vanishes are used.
    /// Whether the call is due is not checked: that is up to the pod that starts it. Other pods are not woken.
    ///
    /// After a lost reply [`find_claim`](ClaimStore::find_claim) finds the call; if it does not, the call is to be
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
    /// Removes calls that have not started, ends schedules, flags claimed calls, and returns the number of each.
    /// Removed calls go to the history as `Cancelled` (subject to retention). Repeating it is harmless.
    ///
    /// On SQLite, which cancels many calls in chunks, the first chunk ends the schedules with their pending runs, and
    /// flags claimed calls; calls claimed between two chunks are flagged, and counted as running, by the next.
    async fn cancel(&self, now: Now, target: &CancelTarget, retention: &Retention) -> Result<Cancelled>;

    /// Cancels inside the application's own transaction, without chunks. Flagged calls are locked until that transaction
    /// ends, so that their leases cannot be renewed meanwhile ([`Lease::Kept`](super::Lease::Kept)).
    async fn cancel_in(
        &self,
        transaction: TransactionRef<'_>,
        target: &CancelTarget,
        retention: &Retention,
    ) -> Result<Cancelled>;

    /// Records these pending, unclaimed calls as `Cancelled` with a reason each (broken calls). Returns how many.
    async fn discard(&self, now: Now, calls: &[(CallId, String)], retention: &Retention) -> Result<u64>;
}

/// Reschedules calls, and repeats those that have ended.
#[async_trait]
pub trait RescheduleStore: sealed::Sealed {
    /// Reschedules calls that have not started, and returns their number and that of running calls, which are left
    /// alone. A time in the past means now. Repeating it is harmless. Of a schedule only a pending run is moved.
    ///
    /// `soon`: other pods are woken, after the commit, if the new time is within this duration.
    async fn reschedule(
        &self,
        now: Now,
        target: &CancelTarget,
        due: Due,
        soon: Duration,
    ) -> Result<Rescheduled>;

    /// Stores a call `id`, due now, that repeats the finished call `of`, unless that succeeded: with the same name,
    /// arguments, identifier and priority, without a schedule, and with `of` in [`CallRecord::rerun_of`]. Wakes other
    /// pods after the commit.
    ///
    /// With `again` it is a repetition after a lost reply: a call that is stored already, or has already finished, is
    /// not stored twice; while there is a gap in the history, a call without any row is not stored, and the result is
    /// [`RunAgain::Unknown`].
    async fn run_again(&self, now: Now, of: CallId, id: CallId, again: bool) -> Result<RunAgain>;
}

/// Declares schedules.
#[async_trait]
pub trait ScheduleStore: sealed::Sealed {
    /// Declares schedules; the results are in the order of `schedules`. Compares with what was *declared* before, not
    /// with what an operator has put in effect since:
    ///
    /// - unknown key, and one of the former keys is known: that schedule takes the new key and name, then as below;
    /// - unknown key: stores the schedule and its first call;
    /// - ended because it was no longer declared: revives it; under the same rule it continues from the run that was
    ///   pending then, so that [`Missed`](crate::recurring::Missed) decides about what it missed;
    /// - ended otherwise (cancelled, for example): revives it, first run counted from now;
    /// - declared the same: changes nothing, but restores a missing pending call of an active schedule;
    /// - declared differently: takes the new rule, arguments and priority, and replaces the pending call.
    async fn declare(&self, now: Now, schedules: &[NewSchedule]) -> Result<Vec<Declared>>;

    /// Ends schedules of [`ScheduleOrigin::Attribute`](super::ScheduleOrigin::Attribute) that no live pod declares
    /// any more, and returns how many:
    ///
    /// - those whose call a live pod has, at once;
    /// - active ones whose call no live pod has, when none has had it for longer than `grace`.
    ///
    /// The asking pod counts as live and declares what is in `live`; other pods are live by their heartbeats. A
    /// declaration revives such a schedule: see [`declare`](Self::declare).
    async fn end_undeclared(&self, now: Now, live: &LivePod, grace: Duration) -> Result<u64>;
}

/// Claims calls, and gives claims back.
#[async_trait]
pub trait ClaimStore: sealed::Sealed {
    /// Claims up to `limit` due calls of the given names: lower priority number first, then round-robin among names,
    /// within a lane (name and priority) by (due, id). A call of a schedule is claimed together with storing its
    /// successor (next time from [`Rule::advance`](crate::recurring::Rule::advance)), or recorded as `Skipped` if its
    /// rule says so. Expired leases are not taken here: see [`rescue`](FinishStore::rescue).
    ///
    /// Also returns how long until the next call of these names is due ([`Claim::next`]).
    async fn claim(&self, now: Now, request: &ClaimRequest) -> Result<Claim>;

    /// Returns the calls still claimed by this pod under this claim number, after the reply to a claim was lost. Must
    /// be called on the handle that sent the claim, which remembers until when that claim can have read the clock.
    async fn find_claim(&self, pod: PodId, claim_no: i64) -> Result<Vec<ClaimedCall>>;

    /// Gives claimed calls back unstarted, with their attempt. Returns how many were still held.
    ///
    /// `declined`: the hash of the shape under which this pod could not decode their arguments. Claims under that
    /// shape leave them alone from then on, until [`reopen`](PodStore::reopen) finds that no other shape is left to try.
    async fn release(&self, now: Now, pod: PodId, held: &[Held], declined: Option<i64>) -> Result<u64>;
}

/// Keeps leases, and records outcomes.
#[async_trait]
pub trait FinishStore: sealed::Sealed {
    /// Extends the leases of exactly these claims, and returns for each whether it is still held, and whether its
    /// call was cancelled. The results are in the order of `held`.
    async fn renew(&self, now: Now, pod: PodId, held: &[Held], lease: Duration) -> Result<Vec<Renewed>>;

    /// Records outcomes and moves the calls to the history, or makes them due again
    /// ([`Outcome::Retry`](super::Outcome::Retry), [`Outcome::Rerun`](super::Outcome::Rerun)). Returns how each was
    /// recorded, in the order of `finished`.
    ///
    /// A call that was cancelled while it ran is recorded as cancelled, whatever its outcome, unless that is
    /// [`Outcome::Succeeded`](super::Outcome::Succeeded) or [`Outcome::Expired`](super::Outcome::Expired): [`Finished::Cancelled`].
    ///
    /// Repeating it after a lost reply is safe, and returns the same: an outcome that is in the history, or in the
    /// call's list of attempts, under this pod and claim number counts as recorded. One that was rescued meanwhile is
    /// in the history as interrupted: [`Finished::Lost`]. Two cases cannot be told apart: a repeated outcome that the
    /// history does not keep is `Lost`; a cancelled call whose pod vanished is recorded as cancelled by its rescue,
    /// and an outcome that comes after that is `Cancelled`.
    async fn finish(
        &self,
        now: Now,
        pod: PodId,
        finished: &[Finish],
        retention: &Retention,
    ) -> Result<Vec<Finished>>;

    /// Rescues up to `limit` claims whose lease has expired, of any name and pod: `OnVanish::Keep` records the call
    /// as `Interrupted`, `OnVanish::Rerun` makes it due again, or records it as `Failed` when its budget is spent; a
    /// cancelled one becomes `Cancelled`. Reads only the call rows.
    async fn rescue(&self, now: Now, limit: usize, retention: &Retention) -> Result<Vec<Rescued>>;

    /// Deletes up to `limit` history rows that are older than their outcome's retention, and as many actions and
    /// statistics that are too old. Returns the number of history rows.
    async fn prune(&self, now: Now, retention: &Retention, limit: usize) -> Result<u64>;

    /// Notes a gap in the history until `lasts` from now: calls may end without a row in it, or lose theirs. Until
    /// then a repetition that finds no row of its call cannot tell whether it was stored before, and stores nothing.
    async fn note_history_gap(&self, now: Now, lasts: Duration) -> Result<()>;
}

/// Completes calls in a transaction of their handlers.
#[async_trait]
pub trait TransactionStore: sealed::Sealed {
    /// Begins a write transaction for a handler, which ends with [`complete`](Self::complete) or is rolled back when
    /// dropped. `limit`: how long it may be open where it blocks other writers (SQLite).
    ///
    /// Returns `None` if the store has no transactions, and a busy error if the lock is not acquired in time.
    async fn begin(&self, limit: Duration) -> Result<Option<OpenTransaction>>;

    /// Records one outcome in that transaction and commits it, if the fence holds; otherwise rolls everything back
    /// and returns `false`. After a lost reply [`completed`](Self::completed) returns the outcome.
    async fn complete(
        &self,
        transaction: OpenTransaction,
        now: Now,
        pod: PodId,
        finish: &Finish,
        retention: &Retention,
    ) -> Result<bool>;

    /// Returns the outcome of a [`complete`](Self::complete) that got no reply. Waits for a transaction that is still ending.
    async fn completed(&self, pod: PodId, id: CallId, claim_no: i64) -> Result<Completed>;
}

/// Keeps the rows of pods, and reopens calls that pods have declined.
#[async_trait]
pub trait PodStore: sealed::Sealed {
    /// Writes this pod's row (heartbeat, for people and for the broken-call check), and deletes pods and shapes
    /// without a heartbeat for a day. The row names the pod's shapes by the hash of all of them; the shapes
    /// themselves are sent only if the database does not have that hash.
    ///
    /// Returns whether calls are pending that a pod has declined: then they should be [reopened](Self::reopen).
    async fn beat(&self, now: Now, pod: &PodBeat) -> Result<bool>;

    /// Makes up to `limit` pending calls claimable again that every shape of their name with a heartbeat within
    /// `live` has declined. The pod that claims one next finds that no other can decode it, and records its failure.
    /// Returns the number of calls.
    async fn reopen(&self, now: Now, live: Duration, limit: usize) -> Result<u64>;

    /// Removes this pod's row.
    async fn leave(&self, pod: PodId) -> Result<()>;

    /// Returns all pods with a heartbeat within a day, newest first; `live` is whether it was within `within`.
    async fn pods(&self, now: Now, within: Duration) -> Result<Vec<PodRecord>>;
}

/// Lists calls.
#[async_trait]
pub trait ListingStore: sealed::Sealed {
    /// Returns a page of calls, by (due, id) ascending over scheduled and running ones; history newest first.
    ///
    /// If a filter has no index (`pod` and `error`; with `identifier` or `schedule` everything else), a page scans at
    /// most 10,000 calls of each table and returns in [`CallPage::next`] where to continue. On PostgreSQL, whose
    /// claims write no index, running calls are searched among the first due ones of each lane: 10,000 shared among
    /// the lanes, but at least 1,000 of each.
    async fn calls(&self, now: Now, filter: &CallFilter) -> Result<CallPage>;

    /// Counts the calls that match the filter (ignoring its limit and page), up to `cap`. If a filter has no index
    /// and `cap` is at most 10,000, only as many calls of each table are scanned as for a page: the count is of
    /// those, in the listing's order, and there may be more. With a higher `cap` all are scanned.
    async fn count(&self, now: Now, filter: &CallFilter, cap: u64) -> Result<u64>;
}

/// Counts calls.
#[async_trait]
pub trait CountingStore: sealed::Sealed {
    /// Counts the calls in each state and the due ones, each up to `cap`, and finds the oldest due one. Running calls
    /// are found as by [`calls`](ListingStore::calls), if `cap` is at most 10,000.
    async fn counts(&self, now: Now, cap: u64) -> Result<Counts>;

    /// Counts the due calls ahead of this one, up to `cap`: unclaimed ones of its own lane with an earlier (due, id),
    /// and those of any name at a lower priority number. Zero if it is not pending.
    async fn ahead(&self, now: Now, id: CallId, cap: u64) -> Result<u64>;

    /// Counts the unclaimed calls that are due between neighbouring `edges` (ascending; start inclusive, end
    /// exclusive), by name, each count up to `cap`. Empty intervals are left out; by name, then interval.
    async fn timeline(&self, now: Now, edges: &[Moment], cap: u64) -> Result<Vec<TimelineCount>>;

    /// Returns the counts for gauges: cheap for any number of calls, because counting stops at `cap` per lane. A
    /// heartbeat within `pod_live` is recent.
    async fn backlog(&self, now: Now, cap: u64, pod_live: Duration) -> Result<Backlog>;
}

/// Reads pending calls for the check of calls that no pod can run.
#[async_trait]
pub trait PendingStore: sealed::Sealed {
    /// Returns the names of pending calls, each with their number (counting stops at `cap` per name).
    async fn pending_names(&self, now: Now, cap: u64) -> Result<Vec<PendingName>>;

    /// Groups the earliest pending calls of each name by the keys of their arguments, and returns a few calls of each
    /// group, by name. Names without pending calls are left out.
    ///
    /// The cost is bounded: of each priority of a name, calls are read in the order of their due times until its
    /// share of [`KeysLook::calls`] is used up, or their arguments fill 1 KiB for each call of that share. Malformed
    /// arguments do not make it fail.
    async fn pending_keys(&self, now: Now, look: &KeysLook) -> Result<Vec<PendingKeys>>;
}

/// Reads single records.
#[async_trait]
pub trait InspectStore: sealed::Sealed {
    /// Returns one call with its attempts, pending or finished.
    async fn call(&self, now: Now, id: CallId) -> Result<Option<CallRecord>>;

    /// Returns all schedules, including ended ones.
    async fn schedules(&self) -> Result<Vec<ScheduleRecord>>;
}

/// Carries out an operator's actions.
#[async_trait]
pub trait OperateStore: sealed::Sealed {
    /// Deletes finished calls and their logs from the history. Returns how many there were. Pending calls are left alone.
    async fn delete(&self, now: Now, ids: &[CallId]) -> Result<u64>;

    /// Changes a schedule at run time. Repeating it is harmless.
    async fn change_schedule(
        &self,
        now: Now,
        id: ScheduleId,
        change: &ScheduleChange,
        retention: &Retention,
    ) -> Result<ScheduleChanged>;

    /// Stores one more run of a schedule, due now: a call `id` in addition to those of its rule, which ignores it.
    /// Also of a paused or ended schedule. `None` if there is no such schedule. With `again` it is a repetition, as
    /// for [`insert`](InsertStore::insert). Wakes other pods after the commit.
    async fn trigger(
        &self,
        now: Now,
        schedule: ScheduleId,
        id: CallId,
        again: bool,
    ) -> Result<Option<Inserted>>;

    /// Pauses a name: no claim that begins after this has returned takes its calls until it is resumed. Returns
    /// `false` if it was paused already (that pause stays).
    async fn pause_name(&self, now: Now, name: &str, actor: &str, reason: &str) -> Result<bool>;

    /// Resumes a name, and wakes other pods, whose next claim takes its calls. Returns `false` if it was not paused.
    async fn resume_name(&self, name: &str) -> Result<bool>;

    /// Returns the paused names, by name.
    async fn paused_names(&self) -> Result<Vec<PausedName>>;
}

/// Keeps a record of what operators do.
#[async_trait]
pub trait ActionStore: sealed::Sealed {
    /// Records what an operator is about to do. Repeating it is harmless.
    async fn note_action(&self, now: Now, action: &NewAction) -> Result<()>;

    /// Adds the outcome of an action.
    async fn settle_action(&self, id: ActionId, outcome: &str) -> Result<()>;

    /// Returns operators' actions, newest first. Kept for 90 days: [`prune`](FinishStore::prune) deletes older ones.
    async fn actions(&self, filter: &ActionFilter) -> Result<Vec<ActionRecord>>;
}

/// Keeps the logs of runs.
#[async_trait]
pub trait LogStore: sealed::Sealed {
    /// Stores the logs of runs. Repeating it is harmless: the first log of an attempt stays. They are deleted when
    /// their call leaves the history ([`prune`](FinishStore::prune)), or when they are older than any outcome is kept.
    async fn keep_logs(&self, now: Now, logs: &[NewLog]) -> Result<()>;

    /// Returns the logs of one call, by attempt.
    async fn logs(&self, id: CallId) -> Result<Vec<RunLog>>;
}

/// Keeps the statistics of pods.
#[async_trait]
pub trait StatisticsStore: sealed::Sealed {
    /// Writes this pod's statistics: each row replaces the one of the same pod, name, span and time. Kept until 48
    /// hours after its end: [`prune`](FinishStore::prune) deletes older ones.
    async fn put_statistics(&self, pod: PodId, counted: &[Statistics]) -> Result<()>;

    /// Returns the statistics of that span (of one name, if given) for minutes or hours that began at `since` or
    /// later, by time, then name: one row for each, summed over all pods.
    async fn statistics(&self, span: Span, since: Moment, name: Option<&str>) -> Result<Vec<Statistics>>;
}
