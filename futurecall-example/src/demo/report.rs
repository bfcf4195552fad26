//! The report of the demonstration.

use std::path::Path;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use futurecall_runtime::inspect::Counts;

use super::Records;
use crate::calls::{DIGEST, Mail};
use crate::mail_log::MailRun;

/// Number of problems that are printed.
const SHOWN: usize = 20;

pub(super) fn print(records: &Records, counts: &Counts, problems: &[String], outbox: Option<&Path>) {
    println!("{}", table(records));
    let ran = u64::try_from(records.runs.len()).unwrap_or(u64::MAX);
    let earlier =
        if counts.succeeded > ran { ", earlier demonstrations on this database included" } else { "" };
    println!(
        "The scheduler itself counts {} scheduled, {} running, {} succeeded, {} failed, {} interrupted, {} cancelled, {} skipped{}.",
        counts.scheduled,
        counts.running,
        counts.succeeded,
        counts.failed,
        counts.interrupted,
        counts.cancelled,
        counts.skipped,
        earlier
    );
    match (outbox, &records.outbox) {
        (Some(folder), Some(mails)) => println!("{} mails are in {}", mails.len(), folder.display()),
        _ => println!("The mails were sent by SMTP; only the log was checked."),
    }
    if problems.is_empty() {
        println!(
            "Checked: every mail that was due was written exactly once, none early, none that started after its \
             account had unsubscribed."
        );
        return;
    }
    for problem in problems.iter().take(SHOWN) {
        eprintln!("problem: {problem}");
    }
    eprintln!("{} problems, {} of them shown", problems.len(), problems.len().min(SHOWN));
}

fn table(records: &Records) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["call", "scheduled", "run", "mails", "cancelled", "late p50", "late p99", "late max"]);
    for mail in Mail::ALL {
        let runs = of(records, mail.method());
        let scheduled = records.participants.len();
        // Calls that did not run for unsubscribed accounts; the check compares the sum with the cancelled ones.
        let left = records.participants.iter().filter(|participant| participant.unsubscribed.is_some());
        let ran = |id: i64| runs.iter().any(|run| run.account_id == Some(id));
        let cancelled = left.filter(|participant| !ran(participant.id)).count();
        table.add_row(row(
            &format!("drip.{}", mail.method()),
            &scheduled.to_string(),
            &cancelled.to_string(),
            &runs,
        ));
    }
    table.add_row(row("digest.send", "daily", "", &of(records, DIGEST)));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn of<'a>(records: &'a Records, mail: &str) -> Vec<&'a MailRun> {
    records.runs.iter().filter(|run| run.mail == mail).collect()
}

fn row(call: &str, scheduled: &str, cancelled: &str, runs: &[&MailRun]) -> [String; 8] {
    let mut late: Vec<i64> = runs.iter().map(|run| run.started - run.due).collect();
    late.sort_unstable();
    [
        call.to_owned(),
        scheduled.to_owned(),
        runs.len().to_string(),
        runs.iter().filter(|run| run.written.is_some()).count().to_string(),
        cancelled.to_owned(),
        shown(percentile(&late, 50)),
        shown(percentile(&late, 99)),
        shown(percentile(&late, 100)),
    ]
}

/// Returns a percentile.
fn percentile(sorted: &[i64], percent: usize) -> Option<i64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

fn shown(micros: Option<i64>) -> String {
    micros.map_or_else(String::new, |micros| format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<i64> = (1..=200).collect();
        assert_eq!(
            [50, 99, 100].map(|percent| percentile(&values, percent)),
            [Some(100), Some(198), Some(200)]
        );
        assert_eq!(percentile(&[7], 50), Some(7));
        assert_eq!(percentile(&[], 99), None);
    }

    #[test]
    fn lateness_is_shown_in_milliseconds() {
        assert_eq!(shown(Some(12_345)), "12.3 ms");
        assert_eq!(shown(None), "");
    }
}
