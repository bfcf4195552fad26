//! Which connections are trusted with a statement.

use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection};

/// A connection that stood idle for longer is asked whether it still lives before a statement is trusted to it: a
/// write on a dead one would end in an outcome that nobody knows. Under load no connection is idle for as long.
pub(super) const TRUSTED: Duration = Duration::from_millis(50);

/// How long its answer may take. A network that has forgotten a connection (a firewall, a host that is gone) says nothing of
/// it, and the operating system gives it up after a quarter of an hour at the earliest.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Asks a connection whether it still lives. `None`: it does not say.
pub(super) async fn answers(connection: &mut PgConnection) -> Option<Result<(), sqlx::Error>> {
    tokio::time::timeout(ANSWERS_WITHIN, connection.ping()).await.ok()
}

/// A pool that asks a connection whether it still lives where it has stood idle. One that does not say is closed, and another
/// one opened in its place.
pub(super) fn ping_idle(options: PgPoolOptions) -> PgPoolOptions {
    options.test_before_acquire(false).before_acquire(|connection, about| {
        Box::pin(async move {
            if about.idle_for <= TRUSTED {
                return Ok(true);
            }
            answers(connection).await.map_or(Ok(false), |answer| answer.map(|()| true))
        })
    })
}
