//! The operator's digest: a recurring call.

use futurecall_runtime::prelude::*;

use crate::database::{Database, on_pool};
use crate::mail_log::MailRun;
use crate::mailer::{Letter, Mailer};

/// The operator's digest.
#[derive(Debug)]
pub struct DigestFutureCall;

#[future_call]
impl DigestFutureCall {
    /// Sends the numbers of accounts and mails.
    ///
    /// The service declares its rule at start, because that of the demo differs. A call with a fixed rule would declare it
    /// here, with `#[future_call(cron = "0 7 * * *")]`.
    pub async fn send(
        session: &Session,
        #[future_call(state)] mailer: &Mailer,
        #[future_call(state)] database: &Database,
    ) -> Result<(), BoxError> {
        let run = MailRun::begin(session, None, DIGEST);
        let (accounts, unsubscribed, mails) = figures(database).await?;
        let letter = Letter {
            id: run.letter_id(),
            name: "Operator",
            email: "operator@example.org",
            subject: "Digest",
            body: format!(
                "{accounts} accounts, {unsubscribed} of them unsubscribed; {mails} mails sent so far.\n"
            ),
        };
        mailer.send(letter).await?;
        Ok(run.written().store(database).await?)
    }
}

/// Its name in the mail log and in the mails.
pub(crate) const DIGEST: &str = "digest";

async fn figures(database: &Database) -> Result<(i64, i64, i64), sqlx::Error> {
    const FIGURES: &str = "SELECT (SELECT count(*) FROM account),
                                  (SELECT count(unsubscribed) FROM account),
                                  (SELECT count(written) FROM mail_log)";
    on_pool!(database, pool => sqlx::query_as(FIGURES).fetch_one(pool).await)
}
