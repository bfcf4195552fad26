//! `pod.inspect()`: what will happen, what happens, what has happened.

use crate::error::StoreError;
use crate::id::CallId;
use crate::pod::Pod;
use crate::store::{
    CallFilter, CallPage, CallRecord, CallState, Counts, Now, PodRecord, RunLog, ScheduleRecord,
};

/// Looks at the database; changes nothing.
///
/// Every method asks the database once and fails only with what it said.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), futurecall_runtime::BoxError> {
/// use std::time::Duration;
/// use futurecall_runtime::{CallFilter, CallState, Pod};
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
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn calls(&self, filter: CallFilter) -> Result<CallPage, StoreError> {
        let mut page = self.pod.engine().store.calls(Now::Database, &filter).await?;
        for call in &mut page.calls {
            self.diagnose(call);
        }
        Ok(page)
    }

    /// One call with its attempts; `None` if there is none of that id, or its history row has passed its retention.
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn call(&self, id: CallId) -> Result<Option<CallRecord>, StoreError> {
        let mut found = self.pod.engine().store.call(Now::Database, id).await?;
        if let Some(call) = &mut found {
            self.diagnose(call);
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
        self.pod.engine().store.logs(id).await
    }

    /// All schedules, ended ones too.
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn schedules(&self) -> Result<Vec<ScheduleRecord>, StoreError> {
        self.pod.engine().store.schedules().await
    }

    /// All pods heard of within a day, newest heartbeat first.
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn pods(&self) -> Result<Vec<PodRecord>, StoreError> {
        let engine = self.pod.engine();
        engine.store.pods(Now::Database, engine.pod_live()).await
    }

    /// How many calls are in each state.
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        self.pod.engine().store.counts(Now::Database).await
    }

    /// Only a pod that runs calls can say that one is broken.
    fn diagnose(&self, call: &mut CallRecord) {
        let runs = !self.pod.engine().registry().is_empty();
        if runs && call.state == CallState::Scheduled {
            call.broken = crate::pod::why_broken(self.pod.engine(), call);
        }
    }
}
