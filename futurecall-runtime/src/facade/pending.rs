use std::fmt;
use std::future::IntoFuture;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{check_identifier, identifier_text};
use crate::args::ArgumentError;
use crate::error::ScheduleError;
use crate::id::CallId;
use crate::pod::Pod;
use crate::store::transaction::InTransaction;
use crate::store::{Due, NewCall};

/// A call that is encoded and not yet sent: await it, or hand it to [`in_transaction`](Self::in_transaction) or
/// [`schedule_all`](crate::FutureCalls::schedule_all).
///
/// Awaiting gives the [`CallId`]; when it is `Ok`, the call is durably stored. Dropping the future that awaits it
/// leaves the call stored or not, never half. A broken connection is retried without making a second call.
///
/// # Errors
///
/// [`ScheduleError`]: bad input before anything is written, or what the database said.
#[derive(Debug)]
#[must_use = "a call is not stored until it is awaited"]
pub struct PendingCall {
    pod: Pod,
    id: CallId,
    call: Result<NewCall, ScheduleError>,
}

impl PendingCall {
    pub(crate) fn new(
        pod: Pod,
        name: &str,
        due: Result<Due, ScheduleError>,
        args: Result<String, ArgumentError>,
        format: i16,
    ) -> Self {
        let id = CallId::new();
        let call = due.and_then(|due| {
            let args = args?;
            Ok(NewCall {
                id,
                name: name.to_owned(),
                identifier: None,
                args,
                format,
                priority: 0,
                due,
                expires_after: None,
                traceparent: None,
            })
        });
        Self { pod, id, call }
    }

    pub(crate) fn with(
        mut self,
        identifier: Option<String>,
        priority: Option<i16>,
        expires_after: Option<Duration>,
    ) -> Self {
        if let Some(identifier) = identifier {
            self = self.identifier(identifier);
        }
        if let Some(priority) = priority {
            self = self.priority(priority);
        }
        match expires_after {
            Some(time) => self.expires_after(time),
            None => self,
        }
    }

    /// Refused unless the check passed.
    pub(crate) fn checked(mut self, check: Result<(), ScheduleError>) -> Self {
        if let Err(error) = check {
            self.call = Err(error);
        }
        self
    }

    /// The call's id, known before it is stored.
    pub fn id(&self) -> CallId {
        self.id
    }

    /// Labels the call, as [`FutureCallRef::identifier`](crate::schedule::FutureCallRef::identifier) does.
    pub fn identifier(mut self, identifier: impl fmt::Display) -> Self {
        let identifier = identifier_text(&identifier);
        self.call = self.call.and_then(|mut call| {
            check_identifier(&identifier)?;
            call.identifier = Some(identifier);
            Ok(call)
        });
        self
    }

    /// Lower goes first when slots are scarce; 0 is the default.
    pub fn priority(mut self, priority: i16) -> Self {
        if let Ok(call) = &mut self.call {
            call.priority = priority;
        }
        self
    }

    /// Gives the call that long to start: see [`FutureCallRef::expires_after`](crate::schedule::FutureCallRef::expires_after).
    pub fn expires_after(mut self, time: Duration) -> Self {
        self.call = self.call.and_then(|mut call| {
            if time.is_zero() {
                return Err(ScheduleError::ZeroExpiry);
            }
            call.expires_after = Some(time);
            Ok(call)
        });
        self
    }

    /// Stores the call inside the application's own transaction: it exists if, and when, that commits.
    ///
    /// Takes `&mut` of a sqlx transaction or connection of the pod's database. Everything is validated before the
    /// first statement, so a refusal never poisons the transaction. On a connection without a transaction the call is stored at
    /// once; if that connection breaks before the reply, the error has [`outcome_unknown`](ScheduleError::outcome_unknown).
    ///
    /// # Errors
    ///
    /// [`ScheduleError::WrongDatabase`] for a transaction of the other database, else as awaiting it.
    pub async fn in_transaction(self, transaction: &mut impl InTransaction) -> Result<CallId, ScheduleError> {
        let mut call = self.call?;
        self.pod.insert_in(transaction.lend(), std::slice::from_mut(&mut call)).await?;
        Ok(self.id)
    }
}

impl IntoFuture for PendingCall {
    type Output = Result<CallId, ScheduleError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let call = self.call?;
            self.pod.enqueue(call).await?;
            Ok(self.id)
        })
    }
}

/// Many calls, not yet sent. Awaiting gives their ids, in their order.
///
/// Up to 5,000 calls are all stored, or none of them. More go in chunks of 5,000, and a failure in the midst of it leaves some
/// chunks stored, whatever the error says: [`ids`](Self::ids), taken beforehand, tells which calls to look for.
/// [`in_transaction`](Self::in_transaction) is all or nothing.
#[derive(Debug)]
#[must_use = "calls are not stored until this is awaited"]
pub struct ScheduleAll {
    pod: Pod,
    calls: Vec<PendingCall>,
}

impl ScheduleAll {
    pub(crate) fn new(pod: Pod, calls: Vec<PendingCall>) -> Self {
        Self { pod, calls }
    }

    /// The calls' ids, known before they are stored.
    pub fn ids(&self) -> Vec<CallId> {
        self.calls.iter().map(PendingCall::id).collect()
    }

    /// Stores all of them inside the application's own transaction.
    ///
    /// # Errors
    ///
    /// As [`PendingCall::in_transaction`]; the first invalid call refuses them all, before anything is written.
    pub async fn in_transaction(
        self,
        transaction: &mut impl InTransaction,
    ) -> Result<Vec<CallId>, ScheduleError> {
        let (pod, mut calls) = self.validated()?;
        for chunk in calls.chunks_mut(CHUNK) {
            pod.insert_in(transaction.lend(), chunk).await?;
        }
        Ok(calls.iter().map(|call| call.id).collect())
    }

    fn validated(self) -> Result<(Pod, Vec<NewCall>), ScheduleError> {
        let calls: Result<Vec<_>, _> = self.calls.into_iter().map(|pending| pending.call).collect();
        Ok((self.pod, calls?))
    }
}

/// Rows a statement: large enough that the statement's own cost vanishes, small enough that other work of the pod's
/// connections gets its turn.
const CHUNK: usize = 5_000;

/// Chunks under way at once: while the server stores one, the next is made ready.
const AT_ONCE: usize = 2;

impl IntoFuture for ScheduleAll {
    type Output = Result<Vec<CallId>, ScheduleError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (pod, calls) = self.validated()?;
            let ids = calls.iter().map(|call| call.id).collect();
            let mut calls = calls.into_iter();
            let chunks = std::iter::from_fn(move || {
                let chunk: Vec<_> = calls.by_ref().take(CHUNK).collect();
                (!chunk.is_empty()).then_some(chunk)
            });
            let stored = stream::iter(chunks).map(|chunk| pod.enqueue_chunk(chunk)).buffered(AT_ONCE);
            stored.try_collect::<()>().await?;
            Ok(ids)
        })
    }
}
