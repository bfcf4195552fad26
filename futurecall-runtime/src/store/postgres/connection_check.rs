//! Which connections are trusted with a statement.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection, PgPool, Postgres};

use crate::clock;

/// A connection that stood idle for longer is asked whether it still lives before a statement is trusted to it: a
/// write on a dead one would end in an outcome that nobody knows. Under load no connection is idle for as long.
pub(super) const TRUSTED: Duration = Duration::from_millis(50);

/// How long its answer may take. A network that has forgotten a connection (a firewall, a host that is gone) says nothing of
/// it, and the operating system gives it up after a quarter of an hour at the earliest.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// When a server last refused to write. Whether a session may is mostly decided when it begins (by the settings of its role
/// and database, or by what its server is), so that one that was begun before is not used again: another may write.
static READ_ONLY: Mutex<Option<Instant>> = Mutex::new(None);

/// How long a connection is waited for: a server that restarts is a delay, not an error.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Notes that a server refused to write.
pub(super) fn was_read_only() {
    *READ_ONLY.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock::instant());
}

/// Returns whether a connection that was opened then is not to be used again.
pub(super) fn is_outdated(opened: Instant) -> bool {
    READ_ONLY.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|refused| opened <= refused)
}

/// Asks a connection whether it still lives. `None`: it does not say.
pub(super) async fn answers(connection: &mut PgConnection) -> Option<Result<(), sqlx::Error>> {
    tokio::time::timeout(ANSWERS_WITHIN, connection.ping()).await.ok()
}

/// A pool that asks a connection whether it still lives where it has stood idle. One that does not say is closed, and another
/// one opened in its place.
pub(super) fn ping_idle(options: PgPoolOptions) -> PgPoolOptions {
    options.test_before_acquire(false).before_acquire(|connection, about| {
        Box::pin(async move {
            if clock::instant().checked_sub(about.age).is_some_and(is_outdated) {
                return Ok(false);
            }
            if about.idle_for <= TRUSTED {
                return Ok(true);
            }
            answers(connection).await.map_or(Ok(false), |answer| answer.map(|()| true))
        })
    })
}

/// A connection kept aside for the next statement.
#[derive(Debug)]
pub(super) struct Warm {
    pub(super) connection: PoolConnection<Postgres>,
    pub(super) taken: Instant,
    pub(super) used: Instant,
}

impl Warm {
    pub(super) async fn of(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let connection = pool.acquire().await?;
        let now = clock::instant();
        Ok(Self { connection, taken: now, used: now })
    }
}
