//! Checks the result by the application's own records: the results of sign-ups and unsubscribings, the handlers' log, and the
//! mails in the outbox. The scheduler's tables are not used.
//!
//! Times are microseconds since 1970 by this machine's clock. A call is due by the database's clock: where that is
//! another machine, a mail is found early if the two clocks differ.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::calls::Mail;
use crate::mail_log::MailRun;

/// The input of the check.
#[derive(Clone, Debug)]
pub struct Records {
    /// How long a day of the campaign took.
    pub day: Duration,
    /// The participants.
    pub participants: Vec<Participant>,
    /// The handlers' log.
    pub runs: Vec<MailRun>,
    /// [`MailRun::letter_id`] of each file in the outbox; `None`: the mails went out by SMTP.
    pub outbox: Option<Vec<String>>,
}

/// An account.
#[derive(Clone, Debug)]
pub struct Participant {
    /// The account.
    pub id: i64,
    /// A time before the sign-up was stored.
    pub signed_up: i64,
    /// The unsubscribing, if any.
    pub unsubscribed: Option<Unsubscribed>,
}

/// An account that was unsubscribed.
#[derive(Clone, Debug)]
pub struct Unsubscribed {
    /// A time after it was stored.
    pub at: i64,
    /// How many calls were cancelled.
    pub cancelled: u64,
    /// How many were running.
    pub running: u64,
}

/// Returns the problems.
pub fn check(records: &Records) -> Vec<String> {
    let mut problems = Vec::new();
    let mut of_account: HashMap<i64, Vec<&MailRun>> = HashMap::new();
    for run in &records.runs {
        of_account.entry(run.account_id.unwrap_or_default()).or_default().push(run);
        if run.started < run.due {
            problems.push(format!("{} started {} µs early", run.letter_id(), run.due - run.started));
        }
    }
    for participant in &records.participants {
        let runs = of_account.get(&participant.id).map_or(&[][..], Vec::as_slice);
        mails(participant, runs, records.day, &mut problems);
        if let Some(unsubscribed) = &participant.unsubscribed {
            after_leaving(participant.id, unsubscribed, runs, &mut problems);
        }
    }
    once(&records.runs, &mut problems);
    if let Some(outbox) = &records.outbox {
        files(&records.runs, outbox, &mut problems);
    }
    problems
}

/// Checks that each of the four mails was sent once, at its due time.
fn mails(participant: &Participant, runs: &[&MailRun], day: Duration, problems: &mut Vec<String>) {
    let id = participant.id;
    for mail in Mail::ALL {
        let method = mail.method();
        let runs: Vec<_> = runs.iter().filter(|run| run.mail == method).collect();
        if runs.len() > 1 {
            problems.push(format!("account {id}: {method} ran {} times", runs.len()));
        }
        if participant.unsubscribed.is_none() && !runs.iter().any(|run| run.written.is_some()) {
            problems.push(format!("account {id}: {method} was never written"));
        }
        let due = participant.signed_up + micros(day * mail.days());
        for run in runs.iter().filter(|run| run.due < due || run.started < due) {
            problems.push(format!("account {id}: {method} came {} µs early", due - run.due.min(run.started)));
        }
    }
}

/// Checks that no cancelled call ran and that all others did. Calls that were running at the unsubscribing may complete; no
/// call that started later may send a mail.
fn after_leaving(id: i64, left: &Unsubscribed, runs: &[&MailRun], problems: &mut Vec<String>) {
    let count = |runs: usize| u64::try_from(runs).unwrap_or(u64::MAX);
    let (all, ran) = (count(Mail::ALL.len()), count(runs.len()));
    // What was claimed, and not started yet when it was asked to stop, may be given up without a run.
    let possible = all.saturating_sub(left.cancelled + left.running)..=all.saturating_sub(left.cancelled);
    if !possible.contains(&ran) {
        problems.push(format!(
            "account {id}: of {all} calls {} were cancelled and {} under way, but {ran} ran",
            left.cancelled, left.running
        ));
    }
    let later = runs.iter().filter(|run| run.written.unwrap_or(run.started) > left.at);
    if count(later.count()) > left.running {
        problems.push(format!(
            "account {id}: more runs after unsubscribing than were under way ({})",
            left.running
        ));
    }
    for run in runs.iter().filter(|run| run.started > left.at && run.written.is_some()) {
        problems.push(format!("account {id}: {} was written after unsubscribing", run.mail));
    }
}

/// Checks that no call ran twice, including the digest.
fn once(runs: &[MailRun], problems: &mut Vec<String>) {
    for (call, count) in counted(runs.iter().map(|run| run.call_id.as_str())) {
        if count > 1 {
            problems.push(format!("call {call} ran {count} times"));
        }
    }
}

/// Checks that there is one file for each logged mail, and no other.
fn files(runs: &[MailRun], outbox: &[String], problems: &mut Vec<String>) {
    let logged: Vec<String> =
        runs.iter().filter(|run| run.written.is_some()).map(MailRun::letter_id).collect();
    let logged = counted(logged.iter().map(String::as_str));
    let files = counted(outbox.iter().map(String::as_str));
    for (mail, count) in &files {
        if *count > 1 {
            problems.push(format!("{mail} is in the outbox {count} times"));
        }
        if !logged.contains_key(mail) {
            problems.push(format!("{mail} is in the outbox, but not in the log"));
        }
    }
    for mail in logged.keys().filter(|mail| !files.contains_key(*mail)) {
        problems.push(format!("{mail} is in the log, but not in the outbox"));
    }
}

fn counted<'a>(items: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
