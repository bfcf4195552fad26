//! Whether a connection has a server session of its own, or a pooler lends sessions to any client for a transaction.
//!
//! LISTEN belongs to a session. On one that is lent out it would stay behind for whoever gets the session next, and
//! nothing would be heard by who asked for it. So a connection that is to listen first shows that its session is its own:
//!
//! - Its statements are asked which session they run in, and so are those of another connection in between. While a
//!   connection that keeps its session is open, its own always run in the same one, and no others do. A pooler that lends
//!   sessions gives an idle one to the next who asks: the last one used, or the one that has waited longest. Either shows
//!   in the first round, also where the pooler has a single session; on a busy pooler each round may go either way, and
//!   several are needed.
//! - Then it listens, asks nothing, and waits for a notification of its own. A pooler passes it on only to a client that
//!   the session belongs to at that moment, and no client that asks nothing has one unless it keeps it. Where it does
//!   not come (several poolers behind one address, each with sessions of its own), the LISTEN is taken back.

use sqlx::postgres::{PgListener, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};

use super::connect::Link;

const ROUNDS: usize = 5;

/// How often a statement is sent that is meant for one session.
const TRIES: usize = 20;

const SESSION: &str = "SELECT pg_backend_pid() AS session";

/// Whether somebody else is given the session in which that connection's statements run.
pub(super) async fn is_shared(own: &mut PgListener, link: &Link) -> Result<bool, sqlx::Error> {
    if let Some(mut other) = link.spare() {
        return do_they_share(own, &mut other).await;
    }
    let mut other = PgConnection::connect_with(&link.pool.connect_options()).await?;
    let share = do_they_share(own, &mut other).await;
    other.close().await?;
    share
}

async fn do_they_share(own: &mut PgListener, other: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let kept = session(own, SESSION.to_owned()).await?;
    for _ in 0..ROUNDS {
        if read(&other.fetch_one(SESSION).await?)? == kept {
            return Ok(true);
        }
        for _ in 0..2 {
            if session(own, SESSION.to_owned()).await? != kept {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The session that listens.
pub(super) struct Kept(i32);

impl Kept {
    pub(super) async fn listen(own: &mut PgListener, channel: &str) -> Result<Self, sqlx::Error> {
        session(own, format!("LISTEN \"{channel}\"; {SESSION}")).await.map(Self)
    }

    /// Ends it, where this connection still comes to that session.
    pub(super) async fn withdraw(&self, own: &mut PgListener, channel: &str) -> Result<(), sqlx::Error> {
        for _ in 0..TRIES {
            if session(own, format!("UNLISTEN \"{channel}\"; {SESSION}")).await? == self.0 {
                break;
            }
        }
        Ok(())
    }
}

/// Runs statements as one message, which stay in one session; says in which.
async fn session(own: &mut PgListener, statements: String) -> Result<i32, sqlx::Error> {
    read(&own.fetch_one(AssertSqlSafe(statements)).await?)
}

fn read(row: &PgRow) -> Result<i32, sqlx::Error> {
    row.try_get("session")
}
