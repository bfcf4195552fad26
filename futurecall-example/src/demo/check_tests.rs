//! Tests that the check detects each kind of problem.

use super::*;

const DAY: i64 = 1_000_000;

/// Two accounts: one stayed, one left after three days.
fn good() -> Records {
    let stayed = Participant { id: 1, signed_up: 500, unsubscribed: None };
    let left = Unsubscribed { at: 3 * DAY, cancelled: 2, running: 0 };
    let left = Participant { id: 2, signed_up: 700, unsubscribed: Some(left) };
    let mut runs: Vec<MailRun> = Mail::ALL.iter().map(|mail| run(&stayed, *mail)).collect();
    runs.extend([Mail::Welcome, Mail::Day].map(|mail| run(&left, mail)));
    runs.push(MailRun {
        call_id: "d".into(),
        account_id: None,
        mail: "digest".into(),
        due: 5,
        started: 6,
        written: Some(7),
    });
    let outbox = runs.iter().map(MailRun::letter_id).collect();
    Records { day: Duration::from_secs(1), participants: vec![stayed, left], runs, outbox: Some(outbox) }
}

fn run(of: &Participant, mail: Mail) -> MailRun {
    let due = of.signed_up + 30 + i64::from(mail.days()) * DAY;
    MailRun {
        call_id: format!("{}-{}", of.id, mail.method()),
        account_id: Some(of.id),
        mail: mail.method().to_owned(),
        due,
        started: due + 2_000,
        written: Some(due + 3_000),
    }
}

/// Returns the only problem of the records after the change.
#[track_caller]
fn problem(change: impl FnOnce(&mut Records)) -> String {
    let mut records = good();
    change(&mut records);
    let problems = check(&records);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.concat()
}

fn outbox(records: &mut Records) -> &mut Vec<String> {
    records.outbox.as_mut().expect("the good records have one")
}

#[test]
fn a_good_campaign_passes() {
    assert_eq!(check(&good()), Vec::<String>::new());
}

#[test]
fn a_doubled_file_is_found() {
    let found = problem(|records| {
        let mail = outbox(records)[2].clone();
        outbox(records).push(mail);
    });
    assert_eq!(found, "1.week_mail.1-week_mail is in the outbox 2 times");
}

#[test]
fn a_doubled_run_is_found_even_without_a_second_file() {
    let mut records = good();
    records.runs.push(records.runs[0].clone());
    assert_eq!(check(&records), ["account 1: welcome ran 2 times", "call 1-welcome ran 2 times"]);
}

#[test]
fn a_second_call_of_the_same_mail_is_found() {
    let found = problem(|records| {
        let again = MailRun { call_id: "other".into(), ..records.runs[0].clone() };
        outbox(records).push(again.letter_id());
        records.runs.push(again);
    });
    assert_eq!(found, "account 1: welcome ran 2 times");
}

#[test]
fn a_mail_before_its_call_was_due_is_found() {
    let found = problem(|records| records.runs[1].started = records.runs[1].due - 9);
    assert_eq!(found, "1.day_mail.1-day_mail started 9 µs early");
}

#[test]
fn a_call_that_was_due_too_early_is_found() {
    let found = problem(|records| {
        records.runs[3].due = 500 + 30 * DAY - 1;
        records.runs[3].started = records.runs[3].due + 2_000;
    });
    assert_eq!(found, "account 1: month_mail came 1 µs early");
}

#[test]
fn a_missing_mail_is_found() {
    let found = problem(|records| {
        records.runs.remove(3);
        outbox(records).remove(3);
    });
    assert_eq!(found, "account 1: month_mail was never written");
}

#[test]
fn a_mail_that_is_in_the_log_only_is_found() {
    let found = problem(|records| drop(outbox(records).remove(0)));
    assert_eq!(found, "1.welcome.1-welcome is in the log, but not in the outbox");
}

#[test]
fn a_mail_that_is_in_the_outbox_only_is_found() {
    let found = problem(|records| outbox(records).push("9.welcome.x".to_owned()));
    assert_eq!(found, "9.welcome.x is in the outbox, but not in the log");
}

#[test]
fn a_mail_after_unsubscribing_is_found() {
    let mut records = good();
    let late = run(&records.participants[1], Mail::Week);
    outbox(&mut records).push(late.letter_id());
    records.runs.push(late);
    assert_eq!(
        check(&records),
        [
            "account 2: of 4 calls 2 were cancelled and 0 under way, but 3 ran",
            "account 2: more runs after unsubscribing than were under way (0)",
            "account 2: week_mail was written after unsubscribing",
        ]
    );
}

#[test]
fn what_was_under_way_may_end_after_unsubscribing() {
    let mut records = good();
    let left = records.participants[1].unsubscribed.as_mut().expect("the second one left");
    (left.cancelled, left.running) = (1, 1);
    left.at = run(&Participant { id: 2, signed_up: 700, unsubscribed: None }, Mail::Week).due + 2_500;
    let week = run(&records.participants[1], Mail::Week);
    outbox(&mut records).push(week.letter_id());
    records.runs.push(week);
    assert_eq!(check(&records), Vec::<String>::new());
}

#[test]
fn a_call_that_was_neither_cancelled_nor_run_is_found() {
    let found = problem(|records| {
        records.participants[1].unsubscribed.as_mut().expect("the second one left").cancelled = 1;
    });
    assert_eq!(found, "account 2: of 4 calls 1 were cancelled and 0 under way, but 2 ran");
}

#[test]
fn a_cancelled_call_that_still_ran_without_a_mail_is_found() {
    let found = problem(|records| {
        let late = MailRun { written: None, ..run(&records.participants[1], Mail::Week) };
        records.participants[1].unsubscribed.as_mut().expect("the second one left").cancelled = 1;
        records.runs.push(late);
    });
    assert_eq!(found, "account 2: more runs after unsubscribing than were under way (0)");
}

#[test]
fn a_digest_that_ran_twice_is_found() {
    let found = problem(|records| {
        let again = MailRun { written: None, ..records.runs[6].clone() };
        records.runs.push(again);
    });
    assert_eq!(found, "call d ran 2 times");
}
