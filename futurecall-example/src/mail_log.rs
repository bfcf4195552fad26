//! The log of the handlers: which call ran, when it was due, when it started, and when its mail was sent.

use chrono::Utc;
use futurecall_runtime::{CallInfo, Session};

use crate::database::{Database, on_pool};

/// One run of one call. Times are microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailRun {
    /// The call.
    pub call_id: String,
    /// The account; `None` for the operator's digest.
    pub account_id: Option<i64>,
    /// The method's name.
    pub mail: String,
    /// When it was due, by the database's clock.
    pub due: i64,
    /// When the handler started.
    pub started: i64,
    /// When the mail was sent; `None` if the account had unsubscribed.
    pub written: Option<i64>,
}

impl MailRun {
    /// Begins the log entry. Handlers call it first, so that the logged lateness is that of the scheduler.
    pub(crate) fn begin(session: &Session, account_id: Option<i64>, mail: &str) -> Self {
        let started = now();
        let CallInfo { id, due, .. } = session.call();
        Self {
            call_id: id.to_string(),
            account_id,
            mail: mail.to_owned(),
            due: due.as_micros(),
            started,
            written: None,
        }
    }

    /// Returns the id of its mail: unique, and the same for all attempts, because it is made from the call's id.
    pub fn letter_id(&self) -> String {
        let whom = self.account_id.map_or_else(|| "operator".to_owned(), |id| id.to_string());
        format!("{whom}.{}.{}", self.mail, self.call_id)
    }

    /// Records that the mail was sent.
    pub(crate) fn written(mut self) -> Self {
        self.written = Some(now());
        self
    }

    /// Stores the log entry.
    pub(crate) async fn store(&self, database: &Database) -> Result<(), sqlx::Error> {
        const INSERT: &str = "INSERT INTO mail_log (call_id, account_id, mail, due, started, written)
                              VALUES ($1, $2, $3, $4, $5, $6)";
        on_pool!(database, pool => sqlx::query(INSERT)
            .bind(&self.call_id)
            .bind(self.account_id)
            .bind(&self.mail)
            .bind(self.due)
            .bind(self.started)
            .bind(self.written)
            .execute(pool)
            .await
            .map(drop))
    }

    /// Returns all runs that started at that time or later, oldest first.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn since(database: &Database, moment: i64) -> Result<Vec<Self>, sqlx::Error> {
        const SINCE: &str = "SELECT call_id, account_id, mail, due, started, written
                             FROM mail_log WHERE started >= $1 ORDER BY id";
        type Row = (String, Option<i64>, String, i64, i64, Option<i64>);
        let rows: Vec<Row> =
            on_pool!(database, pool => sqlx::query_as(SINCE).bind(moment).fetch_all(pool).await)?;
        let run = |(call_id, account_id, mail, due, started, written)| Self {
            call_id,
            account_id,
            mail,
            due,
            started,
            written,
        };
        Ok(rows.into_iter().map(run).collect())
    }

    /// Counts the runs for accounts that started at that time or later.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn count_since(database: &Database, moment: i64) -> Result<u64, sqlx::Error> {
        const COUNT: &str = "SELECT count(*) FROM mail_log WHERE account_id IS NOT NULL AND started >= $1";
        let count: i64 =
            on_pool!(database, pool => sqlx::query_scalar(COUNT).bind(moment).fetch_one(pool).await)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

/// Returns this machine's time, in microseconds since 1970.
pub(crate) fn now() -> i64 {
    Utc::now().timestamp_micros()
}
