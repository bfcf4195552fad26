//! Commits whose outcome is found out where the reply was lost, for what cannot be repeated with the same answer.

use std::time::Duration;

use sqlx::{Postgres, Transaction};

use super::PostgresStore;
use super::connect::{commit, step_one};
use super::sql::Row;
use crate::clock::{self, Deadline};
use crate::store::Result;
use crate::store::columns::Columns as _;

/// How long the server is asked.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(50);

/// The number of this transaction, when it began, and which server it is. (Its statistics are not asked for here: before
/// PostgreSQL 15 they are read from a file, which takes as long as a cancellation does.)
const NUMBER: &str = "
    SELECT pg_current_xact_id()::text AS number, (extract(epoch FROM now()) * 1000000)::bigint AS began,
        (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS server";

/// $1 the number of a transaction, $2 when it began, $3 the server. The status is null where the server has forgotten it.
/// Statistics begin anew after a crash.
const STATUS: &str = "
    SELECT pg_xact_status($1::text::xid8) AS status,
        (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint <> $3::bigint
            OR coalesce((extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time()) * 1000000)::bigint > $2::bigint, false)
            AS is_another";

impl PostgresStore {
    /// Commits a transaction that has written. Where the connection breaks meanwhile, the server is asked what became of it:
    /// `Ok` is done, a transient error is not done, and the outcome is unknown only if the server cannot be asked, or has
    /// crashed or was restarted in between. A server that crashed gives the number of a transaction whose commit it had not written out to
    /// another one, and would answer for that.
    pub(super) async fn commit_known(
        &self,
        doing: &'static str,
        mut transaction: Transaction<'static, Postgres>,
    ) -> Result<()> {
        let row = step_one(doing, &mut transaction, self.link.fixed(NUMBER)).await?;
        let (number, began, server): (String, i64, i64) =
            (row.get("number")?, row.get("began")?, row.get("server")?);
        let unknown = match commit(doing, transaction).await {
            Err(error) if error.outcome_unknown() => error,
            known => return known,
        };
        let give_up = Deadline::new(clock::read(), PATIENCE);
        loop {
            let asking = self.link.fixed(STATUS).bind(number.clone()).bind(began).bind(server);
            let status = self.read(doing, asking).await;
            match status.map(|rows| rows.first().and_then(|row| Status::read(row).ok())) {
                Ok(Some(status)) if status.is_another => return Err(unknown),
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
    /// It has crashed or was restarted since the transaction began, or another one has taken over.
    is_another: bool,
}

impl Status {
    fn read(row: &Row) -> Result<Self> {
        Ok(Self { status: row.get("status")?, is_another: row.get("is_another")? })
    }
}
