//! What users write: `pod.future_calls().call_with_delay(week).drip().second_mail(user).await?`.

mod cancel;
mod pending;
mod recurring;
mod reschedule;
mod target;
mod text;

use std::fmt;
use std::time::Duration;

pub use self::cancel::CancelRequest;
pub use self::pending::{PendingCall, ScheduleAll};
pub use self::recurring::{PendingSchedule, Recurring, RecurringCallRef};
pub use self::reschedule::{RescheduleRequest, When};
pub use self::target::CallOrIdentifier;
pub(crate) use self::text::{check_identifier, check_name, identifier_text};
use crate::args::ArgumentError;
use crate::call_target::{CallTarget, EncodedCall, sealed};
use crate::error::ScheduleError;
use crate::id::CallId;
use crate::moment::ToMoment;
use crate::pod::Pod;
use crate::store::{CallState, Due};

/// Schedules and cancels calls: [`Pod::future_calls`].
///
/// ```standalone_crate
/// use std::time::Duration;
/// use futurecall_runtime::chrono::{TimeZone, Utc};
/// use futurecall_runtime::prelude::*;
/// use futurecall_runtime::{CallState, Role};
///
/// pub struct MailFutureCall;
///
/// #[future_call]
/// impl MailFutureCall {
///     pub async fn send(_session: &Session, user: i64) {
///         println!("mail for {user}");
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let pod = Pod::builder().database_url("memory:").role(Role::Maintenance).start().await?;
/// let calls = pod.future_calls();
/// let hour = Duration::from_secs(3600);
///
/// // Now, after a delay, at a moment, again and again.
/// let now = calls.call_now().mail().send(1).await?;
/// calls.call_with_delay(hour).identifier("user:2").mail().send(2).await?;
/// let new_year = Utc.with_ymd_and_hms(2035, 1, 1, 0, 0, 0).unwrap();
/// let later = calls.call_at_time(new_year).identifier("user:2").mail().send(2).await?;
/// calls.call_recurring().identifier("user:2").every(hour).mail().send(2).await?;
///
/// // Many in one go; without the extension trait in scope, `of` names the type.
/// let many = (10..20).map(|user| calls.call_with_delay(hour).of::<MailFutureCall>().send(user));
/// assert_eq!(calls.schedule_all(many).await?.len(), 10);
///
/// // What is due runs; what it did stays in the history for a day.
/// assert_eq!(pod.run_due().await?.succeeded, 1);
/// assert_eq!(calls.status(now).await?, Some(CallState::Succeeded));
///
/// // Cancelling counts what it did.
/// let cancelled = calls.cancel("user:2").await?;
/// assert_eq!((cancelled.calls, cancelled.schedules, cancelled.running), (2, 1, 0));
/// assert_eq!(calls.status(later).await?, Some(CallState::Cancelled));
/// # pod.shutdown().await;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct FutureCalls {
    pod: Pod,
}

impl FutureCalls {
    pub(crate) fn new(pod: Pod) -> Self {
        Self { pod }
    }

    /// A call due at once. A pod that runs such calls and has nothing else to do stores it as its own and starts it as
    /// soon as it is stored; otherwise it has its turn, here or on another pod.
    pub fn call_now(&self) -> FutureCallRef {
        self.call_with_delay(Duration::ZERO)
    }

    /// A call due after `delay`, counted from the database's clock when it is stored, so that a pod with a wrong clock
    /// schedules rightly. Zero means at once; finer than a microsecond rounds up. A delay that ends after the year
    /// 9999 is [`ScheduleError::MomentOutOfRange`] when awaited.
    pub fn call_with_delay(&self, delay: Duration) -> FutureCallRef {
        FutureCallRef::new(self.pod.clone(), after(delay))
    }

    /// A call due at a moment: any [`DateTime<Tz>`](chrono::DateTime) (resolved to UTC), [`SystemTime`](std::time::SystemTime),
    /// or type that names an instant ([`ToMoment`]). A moment in the past means at once; one outside the years 1970 to
    /// 9999 is [`ScheduleError::MomentOutOfRange`] when awaited.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "moments are small, and `&` before each would only be noise"
    )]
    pub fn call_at_time(&self, time: impl ToMoment) -> FutureCallRef {
        FutureCallRef::new(self.pod.clone(), time.to_moment().map(Due::At).map_err(ScheduleError::from))
    }

    /// A recurring call. Give it [`every`](Recurring::every) or [`cron`](Recurring::cron), then the call.
    pub fn call_recurring(&self) -> Recurring {
        Recurring::new(self.pod.clone())
    }

    /// Stores many calls in one go (facade values are calls not yet sent). Nothing is written unless every call is
    /// valid; large lists go in chunks of 5,000, and [`ScheduleAll::in_transaction`] makes them all or nothing.
    pub fn schedule_all(&self, calls: impl IntoIterator<Item = PendingCall>) -> ScheduleAll {
        ScheduleAll::new(self.pod.clone(), calls.into_iter().collect())
    }

    /// Cancels one call, by its [`CallId`], or all calls and schedules with an identifier: see [`CancelRequest`] for what
    /// that does, and [`CallOrIdentifier`] for what can be given.
    ///
    /// By its id, one run of a schedule can be cancelled; the schedule goes on with the next.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), futurecall_runtime::BoxError> {
    /// use std::time::Duration;
    /// use futurecall_runtime::Pod;
    ///
    /// let pod = Pod::builder().database_url("memory:").without_discovery().start().await?;
    /// let (calls, hour) = (pod.future_calls(), Duration::from_secs(3600));
    /// let id = pod.future_call_with_delay("elsewhere.run", Some(&1), hour).identifier("user:7").await?;
    /// pod.future_call_with_delay("elsewhere.run", Some(&2), hour).identifier("user:7").await?;
    ///
    /// assert_eq!(calls.cancel(id).await?.calls, 1);
    /// assert_eq!(calls.cancel("user:7").await?.calls, 1, "the other one");
    /// # pod.shutdown().await;
    /// # Ok(()) }
    /// ```
    pub fn cancel(&self, target: impl CallOrIdentifier) -> CancelRequest {
        CancelRequest::new(self.pod.clone(), target.__target())
    }

    /// Cancels one call: [`cancel`](Self::cancel) for an id alone.
    pub fn cancel_call(&self, id: CallId) -> CancelRequest {
        self.cancel(id)
    }

    /// Moves what has not started to another moment: one call, by its id, or all with an identifier. `when` is a delay
    /// from now or a moment, as for [`call_with_delay`](Self::call_with_delay) and
    /// [`call_at_time`](Self::call_at_time); one in the past means now.
    ///
    /// A run under way is never touched, only counted. A call that waits for its next attempt is tried at the new moment; one
    /// that must start within some time of its moment has as long after the new one. Of a schedule the pending run moves, and the rule stays as it is:
    /// after the moved run comes the rule's first moment behind it, so that a run brought forward comes in addition, and
    /// one put off takes the place of those that it passes.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), futurecall_runtime::BoxError> {
    /// use std::time::Duration;
    /// use futurecall_runtime::Pod;
    ///
    /// let pod = Pod::builder().database_url("memory:").without_discovery().start().await?;
    /// let (calls, hour) = (pod.future_calls(), Duration::from_secs(3600));
    /// let id = pod.future_call_with_delay("elsewhere.run", Some(&7), hour).identifier("user:7").await?;
    ///
    /// let moved = calls.reschedule("user:7", hour * 24).await?;
    /// assert_eq!((moved.calls, moved.running), (1, 0));
    /// let new_year = "2035-01-01T00:00:00Z".parse::<futurecall_runtime::chrono::DateTime<futurecall_runtime::chrono::Utc>>()?;
    /// calls.reschedule(id, new_year).await?;
    /// assert_eq!(pod.inspect().call(id).await?.unwrap().due.to_utc(), new_year);
    /// # pod.shutdown().await;
    /// # Ok(()) }
    /// ```
    pub fn reschedule(&self, target: impl CallOrIdentifier, when: impl When) -> RescheduleRequest {
        RescheduleRequest::new(self.pod.clone(), &target, when)
    }

    /// Makes a call due now, whatever its moment was: [`reschedule`](Self::reschedule) without a delay.
    pub fn run_now(&self, target: impl CallOrIdentifier) -> RescheduleRequest {
        self.reschedule(target, Duration::ZERO)
    }

    /// Does again what a finished call was to do: stores a new call, due now, of the same name, arguments, identifier and
    /// priority, and gives its id. `inspect()` shows which call it does again (`rerun_of`).
    ///
    /// For calls that failed, were interrupted, cancelled or skipped, or expired: every end but success. Each time it is
    /// asked for it makes another call; a lost reply never makes two. A run of a schedule is run again as a call of its own,
    /// of which the schedule takes no notice.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::UnknownCall`], [`ScheduleError::StillPending`], [`ScheduleError::AlreadySucceeded`]: nothing was
    /// stored. Else what the database said.
    pub async fn run_again(&self, id: CallId) -> Result<CallId, ScheduleError> {
        self.pod.run_again(id).await
    }

    /// Where a call stands; `None` if there is no such call, or its history row has passed its retention.
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn status(&self, id: CallId) -> Result<Option<CallState>, ScheduleError> {
        Ok(self.pod.inspect().call(id).await?.map(|call| call.state))
    }
}

/// A one-shot call whose moment is set and whose method is not: `.example()` comes next.
#[derive(Debug)]
#[must_use = "nothing is scheduled until a call is named and awaited"]
pub struct FutureCallRef {
    pod: Pod,
    due: Result<Due, ScheduleError>,
    identifier: Option<String>,
    priority: Option<i16>,
    expires_after: Option<Duration>,
}

impl FutureCallRef {
    fn new(pod: Pod, due: Result<Due, ScheduleError>) -> Self {
        Self { pod, due, identifier: None, priority: None, expires_after: None }
    }

    /// Labels the call, to cancel it together with others of that identifier. Not unique; 1 to 255 characters, no
    /// control characters, kept to the byte.
    ///
    /// Whatever is given becomes a text, a [`CallId`] too: calls that are labelled with the id of another call are
    /// cancelled by `cancel(id.to_string())`, since `cancel(id)` means that other call itself.
    pub fn identifier(mut self, identifier: impl fmt::Display) -> Self {
        self.identifier = Some(identifier_text(&identifier));
        self
    }

    /// Lower goes first when slots are scarce; 0 is the default. Wins over the attribute's `priority`.
    pub fn priority(mut self, priority: i16) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Gives the call that long to start, counted from its moment (or from now, if that has passed already): one that no
    /// pod could start within it, because all were down or busy, is recorded as [`CallState::Expired`] and never
    /// started. Without it a call is run however late.
    ///
    /// It is for calls that nobody wants late, such as a reminder of a meeting. It bounds the start of the first attempt:
    /// a run may last longer, and attempts that follow one go by `retry(…)`. A call that expired still shows as
    /// scheduled, and late, until a pod looks at it. Zero is [`ScheduleError::ZeroExpiry`] when awaited.
    pub fn expires_after(mut self, time: Duration) -> Self {
        self.expires_after = Some(time);
        self
    }

    pub(crate) fn named(self, name: &str, format: i16, args: Result<String, ArgumentError>) -> PendingCall {
        let Self { pod, due, identifier, priority, expires_after } = self;
        PendingCall::new(pod, name, due, args, format).with(identifier, priority, expires_after)
    }
}

impl sealed::Sealed for FutureCallRef {}

impl CallTarget for FutureCallRef {
    type Pending = PendingCall;

    fn __call(mut self, call: EncodedCall) -> PendingCall {
        self.priority = Some(self.priority.unwrap_or(call.priority));
        self.named(call.name, crate::args::FORMAT, call.args)
    }
}

/// That long from now, unless it ends after the year 9999.
fn after(delay: Duration) -> Result<Due, ScheduleError> {
    crate::clock::wall().checked_add(delay).map(|_| Due::After(delay)).map_err(ScheduleError::from)
}

impl Pod {
    /// Returns the handle for scheduling and cancelling.
    pub fn future_calls(&self) -> FutureCalls {
        FutureCalls::new(self.clone())
    }

    /// [`future_calls`](Self::future_calls) in the spelling of the system that this one is modelled on.
    #[expect(non_snake_case, reason = "the spelling that users of the model know")]
    pub fn futureCalls(&self) -> FutureCalls {
        self.future_calls()
    }
}
