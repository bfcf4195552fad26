//! Scheduling by name: for code that cannot have the type (another service, a script, a plug-in).

use std::any::type_name;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::ArgumentError;
use crate::args::by_name::{self as data, FORMAT, KEY};
use crate::error::{BoxError, CallFailure, ScheduleError, StartError};
use crate::facade::{CallOrIdentifier, CancelRequest, FutureCallRef, PendingCall, check_name};
use crate::moment::ToMoment;
use crate::pod::Pod;
use crate::pod::PodBuilder;
use crate::registry::{Arguments, Fate, Handler};
use crate::retry::RetryPolicy;
use crate::session::Session;

/// A call that is registered and scheduled by name.
///
/// ```standalone_crate
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futurecall_runtime::prelude::*;
/// use std::time::Duration;
///
/// struct SendReport;
/// impl InvokableFutureCall for SendReport {
///     type Data = u32;
///     async fn invoke(&self, _session: &Session, month: Option<u32>) -> Result<(), BoxError> {
///         println!("the report of month {month:?}");
///         Ok(())
///     }
/// }
///
/// let pod = Pod::builder().database_url("memory:").register_future_call("sendReport", SendReport).start().await?;
/// pod.future_call_with_delay("sendReport", Some(&7), Duration::from_secs(3600)).identifier("r-7").await?;
/// assert_eq!(pod.cancel_future_call("r-7").await?.calls, 1);
/// # pod.shutdown().await;
/// # Ok(()) }
/// ```
pub trait InvokableFutureCall: Send + Sync + 'static {
    /// What is stored with each call, as `{"data": …}`.
    type Data: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Runs one call. `data` is `None` if it was scheduled without.
    fn invoke(
        &self,
        session: &Session,
        data: Option<Self::Data>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Whether a failed run is followed by another; asked once, when the call is registered. By default none is.
    fn retry(&self) -> Option<RetryPolicy> {
        None
    }

    /// Whether people who look at calls are not to be shown its data; asked once, when the call is registered. By default
    /// they are.
    fn redact(&self) -> bool {
        false
    }
}

/// Scheduling by name. A name that this pod does not know is accepted: another service runs it. A typed call takes an
/// object keyed by its parameters.
impl Pod {
    /// Adds a call by name while the pod runs; it is claimed from now on.
    ///
    /// # Errors
    ///
    /// [`StartError::DuplicateName`] if the pod runs that name already.
    pub fn register_future_call<C: InvokableFutureCall>(
        &self,
        name: impl Into<String>,
        call: C,
    ) -> Result<(), StartError> {
        self.registry().add(handler(name.into(), call)?)?;
        self.engine().wake();
        self.engine().beat_now();
        Ok(())
    }

    /// Schedules a call by name, due after `delay`.
    pub fn future_call_with_delay<T: Serialize + ?Sized>(
        &self,
        name: &str,
        data: Option<&T>,
        delay: Duration,
    ) -> PendingCall {
        self.pending(self.future_calls().call_with_delay(delay), name, data)
    }

    /// Schedules a call by name, due at a moment.
    pub fn future_call_at_time<T: Serialize + ?Sized>(
        &self,
        name: &str,
        data: Option<&T>,
        time: impl ToMoment,
    ) -> PendingCall {
        self.pending(self.future_calls().call_at_time(time), name, data)
    }

    /// Cancels one call, by its id, or everything with an identifier, however it was scheduled:
    /// [`FutureCalls::cancel`](crate::FutureCalls::cancel).
    pub fn cancel_future_call(&self, target: impl CallOrIdentifier) -> CancelRequest {
        self.future_calls().cancel(target)
    }

    fn pending<T: Serialize + ?Sized>(
        &self,
        at: FutureCallRef,
        name: &str,
        value: Option<&T>,
    ) -> PendingCall {
        let checked = check_name(name);
        // A typed call has its attribute's priority however it is scheduled, where this pod knows it.
        let priority = self.registry().get(name).map_or(0, |handler| handler.priority);
        at.named(name, FORMAT, data::encode(name, value)).priority(priority).checked(checked)
    }
}

/// The handler of a call by name.
pub(crate) fn handler<C: InvokableFutureCall>(name: String, call: C) -> Result<Handler, StartError> {
    check_name(&name)
        .map_err(|error: ScheduleError| StartError::setting("register_future_call", error.to_string()))?;
    let fate = Fate { retry: call.retry(), ..Fate::default() };
    let redacted: &[&str] = if call.redact() { &[KEY] } else { &[] };
    let call = Arc::new(call);
    Ok(Handler {
        name: name.into(),
        aliases: &[],
        type_name: type_name::<C>(),
        run: Arc::new(move |given, text| {
            let (call, session) = (Arc::clone(&call), Session::of(given));
            async move {
                let value = data::decode::<C::Data>(session.call().name.as_str(), text)?;
                call.invoke(&session, value).await.map_err(CallFailure::Error)
            }
            .boxed()
        }),
        arguments: Arguments::Data { check: check::<C::Data>, ty: type_name::<C::Data> },
        redacted,
        meter: Arc::default(),
        state: Vec::new(),
        recurring: None,
        priority: 0,
        fate,
        by_name: true,
        registry: Weak::new(),
    })
}

fn check<D: DeserializeOwned>(text: &str) -> Result<(), ArgumentError> {
    data::decode::<D>("", text).map(crate::bounded::drop_quietly)
}

impl PodBuilder {
    /// Registers a call by name.
    pub fn register_future_call<C: InvokableFutureCall>(self, name: impl Into<String>, call: C) -> Self {
        self.add_named(handler(name.into(), call))
    }
}
