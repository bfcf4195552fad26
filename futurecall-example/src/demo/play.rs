//! Runs the campaign: people sign up, some of them unsubscribe, and all others get four mails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futurecall_runtime::BoxError;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::people::Person;
use super::{Participant, Unsubscribed};
use crate::app::{App, AppError};
use crate::calls::Mail;
use crate::mail_log::{MailRun, now};

/// Days over which the sign-ups are spread.
const SIGN_UP_DAYS: u32 = 3;
/// How long after its due time a mail may arrive before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the campaign to its end, and returns the participants.
pub(super) async fn campaign(
    app: &App,
    people: Vec<Person>,
    began: i64,
) -> Result<Vec<Participant>, BoxError> {
    let expected = people.len() * Mail::ALL.len();
    let cancelled = Arc::new(AtomicU64::new(0));
    let mut watch = tokio::spawn(watch(app.clone(), began, u64::try_from(expected)?, Arc::clone(&cancelled)));

    let gap = app.day * SIGN_UP_DAYS / u32::try_from(people.len().max(1))?;
    let mut next = Instant::now();
    let mut participants = Vec::new();
    let mut leaving = JoinSet::new();
    for (index, person) in people.iter().enumerate() {
        tokio::time::sleep_until(next).await;
        next += gap;
        let signed_up = app.sign_up(&person.name, &person.email).await?;
        if let Some(after) = leaves_after(index, app.day) {
            leaving.spawn(leave(app.clone(), index, signed_up.id, after, Arc::clone(&cancelled)));
        }
        participants.push(Participant { id: signed_up.id, signed_up: signed_up.at, unsubscribed: None });
    }
    let last_mail = Instant::now() + app.day * Mail::Month.days();

    while let Some(left) = leaving.join_next().await {
        let (index, unsubscribed) = left??;
        participants[index].unsubscribed = Some(unsubscribed);
    }
    match tokio::time::timeout_at(last_mail + PATIENCE, &mut watch).await {
        Ok(ended) => ended??,
        // The check reports missing mails.
        Err(_) => watch.abort(),
    }
    Ok(participants)
}

/// One account in ten leaves, spread over the first ten days by halves. Some of these moments are those at which a
/// mail is due, which is where cancelling and running meet.
fn leaves_after(index: usize, day: Duration) -> Option<Duration> {
    let halves = u32::try_from(index / 10 % 20).ok()? + 1;
    (index % 10 == 3).then(|| day * halves / 2)
}

async fn leave(
    app: App,
    index: usize,
    id: i64,
    after: Duration,
    cancelled: Arc<AtomicU64>,
) -> Result<(usize, Unsubscribed), AppError> {
    tokio::time::sleep(after).await;
    let outcome = app.unsubscribe(id).await?;
    // After the commit: from here on nothing may start for this account.
    let at = now();
    cancelled.fetch_add(outcome.calls, Ordering::Relaxed);
    Ok((index, Unsubscribed { at, cancelled: outcome.calls, running: outcome.running }))
}

/// Shows the progress (on a terminal) until every call has either run or been cancelled.
async fn watch(app: App, began: i64, expected: u64, cancelled: Arc<AtomicU64>) -> Result<(), sqlx::Error> {
    let bar = ProgressBar::new(expected);
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {elapsed}") {
        bar.set_style(style.progress_chars("=> "));
    }
    let mut look = tokio::time::interval(Duration::from_millis(100));
    loop {
        look.tick().await;
        let runs = MailRun::count_since(&app.database, began).await?;
        let cancelled = cancelled.load(Ordering::Relaxed);
        bar.set_message(format!("{runs} run, {cancelled} cancelled"));
        bar.set_position(runs + cancelled);
        if runs + cancelled >= expected {
            bar.finish_and_clear();
            return Ok(());
        }
    }
}
