//! The campaign: four mails to each account.

use std::time::Duration;

use futurecall_runtime::prelude::*;
use futurecall_runtime::{FutureCalls, PendingCall};

use crate::account::{self, Account};
use crate::database::Database;
use crate::mail_log::MailRun;
use crate::mailer::{Letter, Mailer};

/// The mails of the campaign.
#[derive(Debug)]
pub struct DripFutureCall;

// Each method is one future call. The parameters after the session are stored with the call, as JSON by parameter name;
// those marked as state are borrowed from the pod that runs it, and are neither in the facade nor in the database.
#[future_call]
impl DripFutureCall {
    /// Immediately: thanks for signing up.
    pub async fn welcome(
        session: &Session,
        account: i64,
        #[future_call(state)] mailer: &Mailer,
        #[future_call(state)] database: &Database,
    ) -> Result<(), BoxError> {
        send(session, account, Mail::Welcome, mailer, database).await
    }

    /// After a day: how to begin.
    pub async fn day_mail(
        session: &Session,
        account: i64,
        #[future_call(state)] mailer: &Mailer,
        #[future_call(state)] database: &Database,
    ) -> Result<(), BoxError> {
        send(session, account, Mail::Day, mailer, database).await
    }

    /// After a week: what else there is.
    pub async fn week_mail(
        session: &Session,
        account: i64,
        #[future_call(state)] mailer: &Mailer,
        #[future_call(state)] database: &Database,
    ) -> Result<(), BoxError> {
        send(session, account, Mail::Week, mailer, database).await
    }

    /// After a month: how it went.
    pub async fn month_mail(
        session: &Session,
        account: i64,
        #[future_call(state)] mailer: &Mailer,
        #[future_call(state)] database: &Database,
    ) -> Result<(), BoxError> {
        send(session, account, Mail::Month, mailer, database).await
    }
}

/// Returns the four calls of an account, not stored yet: the sign-up stores them in its transaction.
pub fn campaign(calls: &FutureCalls, account: i64, day: Duration) -> Vec<PendingCall> {
    let after = |mail: Mail| {
        calls.call_with_delay(day.saturating_mul(mail.days())).identifier(account::identifier(account)).drip()
    };
    vec![
        after(Mail::Welcome).welcome(account),
        after(Mail::Day).day_mail(account),
        after(Mail::Week).week_mail(account),
        after(Mail::Month).month_mail(account),
    ]
}

/// One of the four mails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mail {
    /// Immediately.
    Welcome,
    /// After a day.
    Day,
    /// After a week.
    Week,
    /// After 30 days.
    Month,
}

impl Mail {
    /// All mails, in order.
    pub const ALL: [Self; 4] = [Self::Welcome, Self::Day, Self::Week, Self::Month];

    /// The name of its method.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
            Self::Day => "day_mail",
            Self::Week => "week_mail",
            Self::Month => "month_mail",
        }
    }

    /// How many days after the sign-up it is due.
    pub const fn days(self) -> u32 {
        match self {
            Self::Welcome => 0,
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
        }
    }

    const fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::Welcome => {
                ("Welcome", "thank you for signing up. Here is what happens next: nothing you have to do.")
            }
            Self::Day => ("Your first day", "three things are worth trying first. They take a minute each."),
            Self::Week => ("A week already", "here is what most people miss in their first week."),
            Self::Month => ("One month in", "how did it go? Answer this mail, and a person will read it."),
        }
    }
}

async fn send(
    session: &Session,
    account: i64,
    mail: Mail,
    mailer: &Mailer,
    database: &Database,
) -> Result<(), BoxError> {
    let run = MailRun::begin(session, Some(account), mail.method());
    let account =
        Account::find(database, account).await?.ok_or_else(|| format!("there is no account {account}"))?;
    if account.unsubscribed.is_some() {
        // The account was unsubscribed between the claim of this call and its start, so the run counted as running.
        return Ok(run.store(database).await?);
    }
    let (subject, text) = mail.text();
    let letter = Letter {
        id: run.letter_id(),
        name: &account.name,
        email: &account.email,
        subject,
        body: format!("Dear {},\n\n{text}\n\nUnsubscribe: POST /unsubscribe/{}\n", account.name, account.id),
    };
    mailer.send(letter).await?;
    Ok(run.written().store(database).await?)
}
