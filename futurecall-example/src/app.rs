//! The service itself: signing up and unsubscribing, each in one transaction with what it schedules or cancels.

use std::time::Duration;

use futurecall_runtime::inspect::{CallFilter, CallRecord};
use futurecall_runtime::schedule::Cancelled;
use futurecall_runtime::{BoxError, CallId, CallState, Pod, ScheduleError, StoreError};

use crate::account::{self, Account};
use crate::calls::{DigestCallsExt as _, campaign};
use crate::database::{Database, in_transaction};
use crate::mail_log::now;
use crate::mailer::Mailer;

/// The state of the service. Clones share it.
#[derive(Clone, Debug)]
pub struct App {
    /// The application's own tables.
    pub database: Database,
    /// The pod that schedules and runs calls.
    pub pod: Pod,
    /// How long a day of the campaign takes: 24 hours, unless time is scaled for a demonstration.
    pub day: Duration,
}

/// The rule of the digest.
#[derive(Clone, Debug)]
pub enum DigestRule {
    /// A cron expression, in UTC.
    Cron(String),
    /// An interval.
    Every(Duration),
}

/// The result of a sign-up.
#[derive(Clone, Debug)]
pub struct SignedUp {
    /// The new account.
    pub id: i64,
    /// Time in microseconds since 1970, before anything was stored.
    pub at: i64,
    /// The scheduled mails.
    pub calls: Vec<CallId>,
}

/// Why a request failed.
#[derive(Debug)]
pub enum AppError {
    /// There is no such account.
    NoAccount(i64),
    /// The name or the address is invalid, with the reason.
    BadInput(String),
    /// The calls could not be scheduled or cancelled.
    Schedule(ScheduleError),
    /// The database failed.
    Database(BoxError),
}

impl App {
    /// Starts the pod, and declares the digest. `space` keeps the calls of several services, or of the demonstration,
    /// apart in one database.
    ///
    /// # Errors
    ///
    /// If the pod does not start.
    pub async fn start(
        database: Database,
        mailer: Mailer,
        space: &str,
        day: Duration,
        digest: DigestRule,
    ) -> Result<Self, BoxError> {
        // The types in `calls` need no registration: the pod finds them. What their methods are marked to take as state
        // is given here, and checked now rather than when the first of them runs.
        let pod = database
            .pod()
            .schema(space)
            .table_prefix(format!("{space}_"))
            .override_from_env()
            .state(mailer)
            .state(database.clone())
            .start()
            .await?;
        // Declared again at every start, and by every process: it stays one schedule.
        let recurring = pod.future_calls().call_recurring().identifier("digest");
        match digest {
            DigestRule::Cron(expression) => recurring.cron(expression).digest().send().await?,
            DigestRule::Every(interval) => recurring.every(interval).digest().send().await?,
        };
        Ok(Self { database, pod, day })
    }

    /// Inserts the account and schedules its four mails: both, or neither.
    ///
    /// # Errors
    ///
    /// If the input is invalid or the database fails; nothing is stored then.
    pub async fn sign_up(&self, name: &str, email: &str) -> Result<SignedUp, AppError> {
        const INSERT: &str = "INSERT INTO account (name, email, signed_up) VALUES ($1, $2, $3) RETURNING id";
        let (name, email) = valid(name, email)?;
        let at = now();
        let calls = self.pod.future_calls();
        Ok(in_transaction!(&self.database, tx => {
            let id: i64 =
                sqlx::query_scalar(INSERT).bind(name).bind(email).bind(at).fetch_one(&mut *tx).await?;
            let calls = calls.schedule_all(campaign(&calls, id, self.day)).in_transaction(&mut tx).await?;
            SignedUp { id, at, calls }
        }))
    }

    /// Marks the account as unsubscribed and cancels its pending mails: both, or neither. It is idempotent.
    ///
    /// # Errors
    ///
    /// If there is no such account, or the database fails.
    pub async fn unsubscribe(&self, id: i64) -> Result<Cancelled, AppError> {
        const MARK: &str = "UPDATE account SET unsubscribed = coalesce(unsubscribed, $2) WHERE id = $1";
        Ok(in_transaction!(&self.database, tx => {
            let marked = sqlx::query(MARK).bind(id).bind(now()).execute(&mut *tx).await?;
            if marked.rows_affected() == 0 {
                return Err(AppError::NoAccount(id));
            }
            self.pod.future_calls().cancel(account::identifier(id)).in_transaction(&mut tx).await?
        }))
    }

    /// Returns an account with its pending mails.
    ///
    /// # Errors
    ///
    /// If there is no such account, or the database fails.
    pub async fn account(&self, id: i64) -> Result<(Account, Vec<CallRecord>), AppError> {
        let account = Account::find(&self.database, id).await?.ok_or(AppError::NoAccount(id))?;
        let pending = CallFilter::new().identifier(account::identifier(id)).state(CallState::Scheduled);
        Ok((account, self.pod.inspect().calls(pending).await?.calls))
    }
}

/// Parses the length of a campaign day.
///
/// # Errors
///
/// If it is not a duration between a millisecond and 24 hours.
pub fn parse_day(text: &str) -> Result<Duration, String> {
    let day = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (Duration::from_millis(1)..=Duration::from_hours(24)).contains(&day) {
        return Ok(day);
    }
    Err("a day takes from 1ms to 24h".to_owned())
}

/// Returns name and address without surrounding spaces, if they are valid.
fn valid<'a>(name: &'a str, email: &'a str) -> Result<(&'a str, &'a str), AppError> {
    let (name, email) = (name.trim(), email.trim());
    if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(AppError::BadInput("name: 1 to 100 characters, please".to_owned()));
    }
    match email.parse::<lettre::Address>() {
        Ok(_) => Ok((name, email)),
        Err(error) => Err(AppError::BadInput(format!("email: {error}"))),
    }
}

impl std::fmt::Display for AppError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoAccount(id) => write!(f, "there is no account {id}"),
            Self::BadInput(what) => f.write_str(what),
            Self::Schedule(error) => error.fmt(f),
            Self::Database(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AppError {}

impl From<sqlx::Error> for AppError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        Self::Database(error.into())
    }
}

impl From<ScheduleError> for AppError {
    fn from(error: ScheduleError) -> Self {
        Self::Schedule(error)
    }
}
