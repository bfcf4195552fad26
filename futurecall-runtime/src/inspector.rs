//! `pod.inspect()`: what will happen, what happens, what has happened.

mod diagnosis;
mod why;

use std::sync::Arc;

pub use self::diagnosis::{Diagnosis, Finding, Severity};
use crate::error::StoreError;
use crate::id::CallId;
use crate::moment::Moment;
use crate::pod::Pod;
use crate::store::{
    ActionFilter, ActionRecord, CallFilter, CallPage, CallRecord, CallState, Counts, DatabaseSetting,
    MigrationRecord, Now, PausedName, PendingName, PodRecord, RunLog, ScheduleRecord, Span, Statistics,
    Store, TimelineCount,
};
use crate::why::Why;

/// Looks at the database; changes nothing.
///
/// Methods fail only with what the database said, and, once the pod has been shut down, with an error that
/// [is closed](StoreError::is_closed). Dropping a future of theirs ends the look. Actions on what is found stand on
/// [`Pod::operate`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), futurecall_runtime::BoxError> {
/// use std::time::Duration;
/// use futurecall_runtime::inspect::CallFilter;
/// use futurecall_runtime::{CallState, Pod};
///
/// let pod = Pod::builder().database_url("memory:").without_discovery().start().await?;
/// let hour = Duration::from_secs(3600);
/// pod.future_call_with_delay("elsewhere.run", Some(&7), hour).identifier("x").await?;
///
/// let page = pod.inspect().calls(CallFilter::new().identifier("x").state(CallState::Scheduled)).await?;
/// assert_eq!((page.calls.len(), page.calls[0].args.as_str()), (1, r#"{"data":7}"#));
/// assert_eq!(pod.inspect().counts().await?.scheduled, 1);
/// # pod.shutdown().await;
/// # Ok(()) }
/// ```
///
/// # JSON
///
/// What its methods return implements [`Serialize`](serde::Serialize), in the one form that `futurecall … --output json` and
/// the dashboard give: keys in `snake_case`, moments as RFC 3339 texts in UTC, durations in seconds (keys end in `_seconds`),
/// what is not known as `null`. Arguments are left out, because not everybody may see them: add them from the record, after
/// [`Redaction`](crate::store::Redaction). The attempts of a call are a list of their own.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), futurecall_runtime::BoxError> {
/// use std::time::Duration;
/// use futurecall_runtime::{Pod, serde_json};
/// # let pod = Pod::builder().database_url("memory:").without_discovery().start().await?;
/// let id = pod.future_call_with_delay("mail.send", Some(&"secret"), Duration::from_secs(60)).await?;
/// let call = pod.inspect().call(id).await?.expect("it is there");
/// let json = serde_json::to_value(&call)?;
/// assert_eq!((&json["state"], &json["due"]), (&"scheduled".into(), &call.due.to_string().into()));
/// assert!(!json.to_string().contains("secret"));
/// # pod.shutdown().await;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Inspector {
    pod: Pod,
}

impl Inspector {
    pub(crate) fn new(pod: Pod) -> Self {
        Self { pod }
    }

    /// A page of calls. Scheduled ones that this pod could not run say why in `broken`.
    ///
    /// Answers come down indexes, however many calls there are. What has none (`pod`, `error`) is looked through 10,000
    /// calls at a time, so that a page may be short, or empty, and still have a [`next`](CallPage::next):
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), futurecall_runtime::BoxError> {
    /// use futurecall_runtime::inspect::CallFilter;
    /// use futurecall_runtime::{CallState, Pod};
    /// # let pod = Pod::builder().database_url("memory:").without_discovery().start().await?;
    /// let mut filter = CallFilter::new().state(CallState::Failed).error("connection refused");
    /// let mut refused = Vec::new();
    /// loop {
    ///     let page = pod.inspect().calls(filter.clone()).await?;
    ///     refused.extend(page.calls);
    ///     let Some(next) = page.next else { break };
    ///     filter = filter.after(next);
    /// }
    /// assert!(refused.is_empty());
    /// # pod.shutdown().await;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn calls(&self, filter: CallFilter) -> Result<CallPage, StoreError> {
        let mut page = self.ask(|store| async move { store.calls(Now::Database, &filter).await }).await?;
        for call in &mut page.calls {
            self.explain(call);
        }
        Ok(page)
    }

    /// One call with its attempts; `None` if there is none of that id, or its history row has passed its retention.
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn call(&self, id: CallId) -> Result<Option<CallRecord>, StoreError> {
        let mut found = self.ask(|store| async move { store.call(Now::Database, id).await }).await?;
        if let Some(call) = &mut found {
            self.explain(call);
        }
        Ok(found)
    }

    /// What the attempts of a call have logged, oldest first, where that is kept
    /// ([`Config::keep_logs`](crate::Config::keep_logs)). It is stored when an attempt ends, and goes with its call.
    ///
    /// # Errors
    ///
    /// The database could not be asked, or does not let this role see logs (`migrations/roles.sql`).
    pub async fn logs(&self, id: CallId) -> Result<Vec<RunLog>, StoreError> {
        self.ask(|store| async move { store.logs(id).await }).await
    }

    /// All schedules, ended ones too.
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn schedules(&self) -> Result<Vec<ScheduleRecord>, StoreError> {
        self.ask(|store| async move { store.schedules().await }).await
    }

    /// All pods heard of within a day, newest heartbeat first.
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn pods(&self) -> Result<Vec<PodRecord>, StoreError> {
        let live = self.pod.engine().pod_live();
        self.ask(|store| async move { store.pods(Now::Database, live).await }).await
    }

    /// How many calls are in each state, counted to the last: of millions that takes a while. See
    /// [`counts_up_to`](Self::counts_up_to).
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        self.counts_up_to(u64::MAX).await
    }

    /// How many calls are in each state. Counting stops at `cap`, so that it stays cheap however many there are: a figure
    /// that equals it means *that many or more*. Running calls are looked for among the first due ones of each lane on
    /// PostgreSQL: those of a lane that has more than 1,000 overdue calls before them may be missed.
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn counts_up_to(&self, cap: u64) -> Result<Counts, StoreError> {
        self.ask(|store| async move { store.counts(Now::Database, cap).await }).await
    }

    /// How many calls a filter lets through, whatever its limit and page; counted up to `cap`, which means *that many or
    /// more*. Where the filter has no index (`pod`, `error`) and `cap` is 10,000 or less, only the first 10,000 calls of its
    /// listing are looked at: then there may be more than the figure says. With a higher `cap` the figure is exact up to it,
    /// and all calls may have to be looked at.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), futurecall_runtime::BoxError> {
    /// use std::time::Duration;
    /// use futurecall_runtime::inspect::CallFilter;
    /// use futurecall_runtime::Pod;
    /// # let pod = Pod::builder().database_url("memory:").without_discovery().start().await?;
    /// for n in 0..5 {
    ///     pod.future_call_with_delay("mail.send", Some(&n), Duration::from_secs(60 * n)).await?;
    /// }
    /// let hour = pod.inspect().now().await?.checked_add(Duration::from_secs(3600)).unwrap();
    /// let soon = CallFilter::new().name("mail.send").until(hour);
    /// assert_eq!(pod.inspect().count(&soon, 1_000).await?, 5);
    /// assert_eq!(pod.inspect().count(&soon, 3).await?, 3);
    /// # pod.shutdown().await;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn count(&self, filter: &CallFilter, cap: u64) -> Result<u64, StoreError> {
        let filter = filter.clone();
        self.ask(|store| async move { store.count(Now::Database, &filter, cap).await }).await
    }

    /// How many pending calls are due between each two neighbours of `edges` (ascending moments; the first inside, the second
    /// outside), by name, each figure counted up to `cap`. Schedules have one pending call each: their later runs are told
    /// by [`ScheduleRecord::upcoming`]. At most as many calls are read as there are stretches, names, priorities and `cap`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), futurecall_runtime::BoxError> {
    /// use std::time::Duration;
    /// use futurecall_runtime::Pod;
    /// # let pod = Pod::builder().database_url("memory:").without_discovery().start().await?;
    /// for minutes in [5, 90, 95] {
    ///     pod.future_call_with_delay("mail.send", Some(&minutes), Duration::from_secs(60 * minutes)).await?;
    /// }
    /// let now = pod.inspect().now().await?;
    /// let hours = [0, 1, 2].map(|hours| now.checked_add(Duration::from_secs(3600 * hours)).unwrap());
    /// let told: Vec<_> = pod.inspect().timeline(&hours, 1_000).await?.iter().map(|one| (one.stretch, one.calls)).collect();
    /// assert_eq!(told, [(0, 1), (1, 2)]);
    /// # pod.shutdown().await;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn timeline(&self, edges: &[Moment], cap: u64) -> Result<Vec<TimelineCount>, StoreError> {
        let edges = edges.to_vec();
        self.ask(|store| async move { store.timeline(Now::Database, &edges, cap).await }).await
    }

    /// The names of pending calls, each with how many wait (counting stops at `cap` a name).
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn pending_names(&self, cap: u64) -> Result<Vec<PendingName>, StoreError> {
        self.ask(|store| async move { store.pending_names(Now::Database, cap).await }).await
    }

    /// What all pods have counted by the minute or by the hour (of one name, if given) in those that began at `since` or
    /// later, by time, then name. Kept for 48 hours, whatever the retention of the history; at most ten seconds old.
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn statistics(
        &self,
        span: Span,
        since: Moment,
        name: Option<&str>,
    ) -> Result<Vec<Statistics>, StoreError> {
        let name = name.map(str::to_owned);
        self.ask(|store| async move { store.statistics(span, since, name.as_deref()).await }).await
    }

    /// The names that are paused.
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn paused_names(&self) -> Result<Vec<PausedName>, StoreError> {
        self.ask(|store| async move { store.paused_names().await }).await
    }

    /// What operators did, newest first: see [`Operator`](crate::operate::Operator).
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn actions(&self, filter: &ActionFilter) -> Result<Vec<ActionRecord>, StoreError> {
        let filter = filter.clone();
        self.ask(|store| async move { store.actions(&filter).await }).await
    }

    /// The database's settings that decide about durability and speed.
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn settings(&self) -> Result<Vec<DatabaseSetting>, StoreError> {
        self.ask(|store| async move { store.settings().await }).await
    }

    /// All steps of the schema, applied or not.
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn migrations(&self) -> Result<Vec<MigrationRecord>, StoreError> {
        self.ask(|store| async move { store.migrations().await }).await
    }

    /// The database's clock: what *now* means for everything here.
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn now(&self) -> Result<Moment, StoreError> {
        self.ask(|store| async move { store.now().await }).await
    }

    /// Which database this is, in one lower-case word (`memory`, `sqlite`, `postgres`).
    pub fn database(&self) -> &'static str {
        self.pod.engine().store.kind()
    }

    /// Why a call has not run yet, or what became of it; `None` if there is none of that id.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), futurecall_runtime::BoxError> {
    /// use std::time::Duration;
    /// use futurecall_runtime::inspect::Reason;
    /// use futurecall_runtime::{Pod, Role};
    /// let pod =
    ///     Pod::builder().database_url("memory:").without_discovery().role(Role::Serverless).start().await?;
    /// let id = pod.future_call_with_delay("mail.send", Some(&7), Duration::ZERO).await?;
    /// let why = pod.inspect().why(id).await?.expect("it is there");
    /// assert_eq!(why.reasons, [Reason::NoPod]);
    /// assert_eq!(why.to_string(), "no live pod runs calls: start one");
    /// # pod.shutdown().await;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn why(&self, id: CallId) -> Result<Option<Why>, StoreError> {
        why::why(self, id).await
    }

    /// Asks the store in a task of the pod: a future of the caller's that is kept unpolled holds no connection.
    async fn ask<T, F>(&self, question: impl FnOnce(Arc<dyn Store>) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let engine = self.pod.engine();
        engine.open_store("look at the calls")?;
        let asked = engine.drive_while_awaited(question(Arc::clone(&engine.store))).await;
        asked.unwrap_or_else(|not| Err(not.as_store("look at the calls")))
    }

    /// Only a pod that runs calls can say that one is broken.
    fn explain(&self, call: &mut CallRecord) {
        let runs = !self.pod.registry().is_empty();
        if runs && call.state == CallState::Scheduled {
            call.broken = crate::pod::why_broken(&self.pod, call);
        }
    }
}

impl Pod {
    /// Returns the read-only view of calls, schedules, pods and counts.
    pub fn inspect(&self) -> Inspector {
        Inspector::new(self.clone())
    }
}
