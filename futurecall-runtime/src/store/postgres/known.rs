//! Commits whose outcome is found out where the reply was lost, for what cannot be repeated with the same answer.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row as _, Transaction};

use super::PostgresStore;
use super::connect::{commit, empty, nothing_done, step};
use super::sql::Reading;
use crate::clock::{self, Deadline};
use crate::error::StoreError;

/// How long the server is asked.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(50);

/// The number of this transaction, and since when the server has counted: it begins anew after a crash and in another server
/// that takes over.
const NUMBER: &str =
    "SELECT pg_current_xact_id()::text AS number, pg_stat_get_bgwriter_stat_reset_time()::text AS since";

/// $1 the number of a transaction; null where the server has forgotten it.
const STATUS: &str = "
    SELECT pg_xact_status($1::text::xid8) AS status, pg_stat_get_bgwriter_stat_reset_time()::text AS since";

impl PostgresStore {
    /// Commits a transaction that has written. Where the connection breaks meanwhile, the server is asked what became of it:
    /// `Ok` is done, a transient error is not done, and the outcome is unknown only if the server cannot be asked, or has
    /// crashed in between. A server that crashed gives the number of a transaction whose commit it had not written out to
    /// another one, and would answer for that.
    pub(super) async fn commit_known(
        &self,
        doing: &'static str,
        mut transaction: Transaction<'static, Postgres>,
    ) -> Result<(), StoreError> {
        let row = step(doing, &mut transaction, self.link.fixed(NUMBER)).await?.pop();
        let row = row.ok_or_else(|| empty(doing))?;
        let number: String = row.try_get("number").map_err(nothing_done(doing))?;
        let since: Option<String> = row.try_get("since").map_err(nothing_done(doing))?;
        let unknown = match commit(doing, transaction).await {
            Err(error) if error.outcome_unknown() => error,
            known => return known,
        };
        let give_up = Deadline::new(clock::read(), PATIENCE);
        loop {
            let status = self.read(doing, self.link.fixed(STATUS).bind(number.clone())).await;
            match status.map(|rows| rows.first().and_then(|row| Status::read(row).ok())) {
                Ok(Some(status)) if status.since != since => return Err(unknown),
                Ok(Some(status)) if status.status == "committed" => return Ok(()),
                Ok(Some(status)) if status.status == "aborted" => return Err(unknown.undone()),
                Ok(Some(_)) => {}
                Err(error) if error.is_transient() => {}
                Ok(None) | Err(_) => return Err(unknown),
            }
            if give_up.left(clock::read()) < PAUSE {
                return Err(unknown);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// What the server says of a transaction.
struct Status {
    status: String,
    /// Since when it has counted.
    since: Option<String>,
}

impl Status {
    fn read(row: &PgRow) -> Reading<Self> {
        Ok(Self { status: row.try_get("status")?, since: row.try_get("since")? })
    }
}
