use std::future::IntoFuture;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::CallOrIdentifier;
use crate::error::ScheduleError;
use crate::moment::ToMoment;
use crate::pod::Pod;
use crate::store::{CancelTarget, Due, Rescheduled};

/// When calls are to be due: a [`Duration`] from now, by the database's clock, or whatever
/// [`call_at_time`](crate::FutureCalls::call_at_time) takes. Sealed.
pub trait When: sealed_when::Sealed {
    #[doc(hidden)]
    fn __due(self) -> Result<Due, ScheduleError>;
}

mod sealed_when {
    pub trait Sealed {}
    impl Sealed for std::time::Duration {}
    impl<T: crate::moment::ToMoment> Sealed for T {}
}

impl When for Duration {
    fn __due(self) -> Result<Due, ScheduleError> {
        super::after(self)
    }
}

impl<T: ToMoment> When for T {
    fn __due(self) -> Result<Due, ScheduleError> {
        Ok(Due::At(self.to_moment()?))
    }
}

/// A move of calls to another moment, not yet sent. Awaiting it moves what has not started, leaves alone what has, and
/// counts both in [`Rescheduled`].
///
/// On SQLite more than 2,000 calls move in chunks of 2,000, each in a transaction of its own, all to the same moment; calls
/// that are stored after the first chunk are left alone. If the database fails in the middle, the error has
/// [`outcome_unknown`](ScheduleError::outcome_unknown) and says how many calls were moved.
///
/// Repeating it is harmless, also after an error whose outcome is unknown. A call that is being claimed at the same moment
/// is counted as either moved or running, and what is counted as moved does not start before its new moment.
///
/// # Errors
///
/// [`ScheduleError`]: a bad identifier or moment before anything is written, or what the database said.
#[derive(Debug)]
#[must_use = "nothing is moved until this is awaited"]
pub struct RescheduleRequest {
    pod: Pod,
    target: Result<CancelTarget, ScheduleError>,
    due: Result<Due, ScheduleError>,
}

impl RescheduleRequest {
    pub(super) fn new(pod: Pod, target: &impl CallOrIdentifier, when: impl When) -> Self {
        Self { pod, target: target.__target(), due: when.__due() }
    }
}

impl IntoFuture for RescheduleRequest {
    type Output = Result<Rescheduled, ScheduleError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.pod.reschedule(self.target?, self.due?).await })
    }
}
