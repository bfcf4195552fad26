//! Intervals, and what becomes of missed runs.

use std::time::Duration;

use proptest::prelude::*;

use super::super::{Missed, Overlap, Recurrence, Rule, RuleError};
use super::{at, cron};
use crate::moment::Moment;

fn every(seconds: u64) -> Rule {
    Rule::every(Duration::from_secs(seconds)).unwrap()
}

fn second(seconds: i64) -> Moment {
    Moment::from_micros(seconds * 1_000_000).unwrap()
}

#[track_caller]
fn check(rule: &Rule, missed: Missed, (anchor, due, now): (i64, i64, i64), run: bool, next: i64) {
    let rule = Rule { missed, ..rule.clone() };
    let advance = rule.advance(second(anchor), second(due), second(now)).unwrap();
    assert_eq!((advance.run, advance.next), (run, Some(second(next))), "{missed:?}");
}

#[test]
fn the_first_run_is_one_interval_from_now_or_at_its_start() {
    assert_eq!(every(60).first(second(100)), Ok(second(160)));
    assert_eq!(every(60).starting_at(second(500)).first(second(100)), Ok(second(500)));
    assert_eq!(every(60).starting_at(second(100)).first(second(100)), Ok(second(100)));
    // A start in the past gives the phase.
    assert_eq!(every(60).starting_at(second(10)).first(second(100)), Ok(second(130)));
    assert_eq!(every(60).starting_at(second(10)).first(second(130)), Ok(second(130)));
    let nightly = cron("0 0 * * *", "UTC");
    assert_eq!(nightly.first(second(100)), Ok(second(86_400)));
    assert_eq!(nightly.clone().starting_at(second(86_400 * 3)).first(second(100)), Ok(second(86_400 * 3)));
    assert_eq!(nightly.clone().starting_at(second(86_401)).first(second(100)), Ok(second(86_400 * 2)));
    assert_eq!(nightly.starting_at(second(5)).upcoming(second(0), second(0), 1), [second(86_400)]);
}

#[test]
fn lateness_does_not_shift_the_boundaries() {
    let rule = every(60);
    let mut due = second(160);
    for run in 1..=1_000 {
        let late = due.checked_add(Duration::from_micros(3_141_592)).unwrap();
        due = rule.advance(second(160), due, late).unwrap().next.unwrap();
        assert_eq!(due, second(160 + 60 * run));
    }
    // A run that was moved by hand does not shift those that follow either.
    check(&rule, Missed::RunOnce, (160, 185, 185), true, 220);
    check(&rule, Missed::RunOnce, (160, 130, 130), true, 160);
}

#[test]
fn after_a_long_downtime_each_policy_does_what_it_says() {
    // Ten runs and a half were missed.
    let times = (100, 100, 730);
    check(&every(60), Missed::RunOnce, times, true, 760);
    check(&every(60), Missed::Skip, times, false, 760);
    check(&every(60), Missed::RunAll, times, true, 160);
    let day = 86_400;
    let times = (day, day, 4 * day + 5);
    let nightly = cron("0 0 * * *", "UTC");
    check(&nightly, Missed::RunOnce, times, true, 5 * day);
    check(&nightly, Missed::Skip, times, false, 5 * day);
    check(&nightly, Missed::RunAll, times, true, 2 * day);
}

#[test]
fn all_missed_runs_happen_in_order_and_end_in_the_future() {
    let rule = Rule { missed: Missed::RunAll, ..every(60) };
    let (mut due, mut made_up) = (second(100), 0);
    while due <= second(730) {
        let advance = rule.advance(second(100), due, second(730)).unwrap();
        assert!(advance.run);
        assert_eq!(advance.next, due.checked_add(Duration::from_mins(1)).ok());
        (due, made_up) = (advance.next.unwrap(), made_up + 1);
    }
    assert_eq!((due, made_up), (second(760), 11));
}

#[test]
fn a_run_that_is_a_little_late_is_not_missed() {
    check(&every(3_600), Missed::Skip, (0, 3_600, 3_659), true, 7_200);
    check(&every(3_600), Missed::Skip, (0, 3_600, 3_660), false, 7_200);
    // With a short interval, the next boundary having passed is what makes it missed.
    check(&every(10), Missed::Skip, (0, 10, 19), true, 20);
    check(&every(10), Missed::Skip, (0, 10, 20), false, 30);
}

#[test]
fn the_next_run_is_later_than_the_due_one_even_if_looked_at_early() {
    for missed in [Missed::RunOnce, Missed::Skip, Missed::RunAll] {
        check(&every(60), missed, (100, 160, 90), true, 220);
    }
}

#[test]
fn a_nightly_run_keeps_its_wall_clock_time_over_the_change() {
    let nightly = cron("0 2 * * *", "Europe/Berlin");
    let due = at("2026-10-24T02:00:00+02:00");
    let next = nightly.advance(due, due, due).unwrap().next;
    assert_eq!(next, Some(at("2026-10-25T02:00:00+02:00")));
    assert_eq!(
        nightly.advance(due, next.unwrap(), next.unwrap()).unwrap().next,
        Some(at("2026-10-26T02:00:00+01:00"))
    );
}

#[test]
fn the_stored_form_is_kept() {
    let rule = every(900).starting_at(second(7));
    let stored = r#"{"recurrence":{"every":{"interval_us":900000000,"starting_at":7000000}},"missed":"run_once","overlap":"skip"}"#;
    assert_eq!(serde_json::to_string(&rule).unwrap(), stored);
    assert_eq!(serde_json::from_str::<Rule>(stored).unwrap(), rule);

    let bare = r#"{"recurrence":{"cron":{"expression":"0 2 * * *","later":1}},"later":[2]}"#;
    assert_eq!(serde_json::from_str::<Rule>(bare).unwrap(), cron("0  2 * * * ", "UTC"));
    for (missed, overlap, text) in [
        (Missed::RunOnce, Overlap::Skip, r#""missed":"run_once","overlap":"skip""#),
        (Missed::Skip, Overlap::Allow, r#""missed":"skip","overlap":"allow""#),
        (Missed::RunAll, Overlap::Allow, r#""missed":"run_all","overlap":"allow""#),
    ] {
        let rule = Rule { missed, overlap, ..every(1) };
        let stored = serde_json::to_string(&rule).unwrap();
        assert!(stored.contains(text), "{stored}");
        assert_eq!(serde_json::from_str::<Rule>(&stored).unwrap(), rule);
    }
}

#[test]
fn rules_are_told_in_words() {
    let words = |micros| Rule::every(Duration::from_micros(micros)).unwrap().describe();
    assert_eq!(words(900_000_000), "every 15 min");
    assert_eq!(words(5_400_000_000), "every 1 h 30 min");
    assert_eq!(words(86_400_000_000), "every day");
    assert_eq!(words(3_600_000_000), "every hour");
    assert_eq!(words(7 * 86_400_000_000), "every 7 d");
    assert_eq!(words(90_061_500_000), "every 1 d 1 h 1 min 1 s 500 ms");
    assert_eq!(every(60).starting_at(second(0)).describe(), "every minute, from 1970-01-01T00:00:00.000000Z");
    assert_eq!(cron("0 2 * * *", "Europe/Berlin").describe(), "At 02:00 (Europe/Berlin)");
    assert_eq!(cron("*/5 * * * *", "UTC").describe(), "At every 5 minutes (UTC)");
}

#[test]
fn a_preview_is_bounded() {
    assert_eq!(every(1).upcoming(second(1), second(0), usize::MAX).len(), 1_000);
    assert_eq!(cron("* * * * * *", "UTC").upcoming(second(1), second(0), usize::MAX).len(), 1_000);
    assert_eq!(every(1).upcoming(second(1), second(0), 0), []);
    assert_eq!(every(10).upcoming(second(5), second(5), 2), [second(15), second(25)]);
    assert_eq!(every(10).upcoming(second(50), second(5), 2), [second(50), second(60)]);
}

#[test]
fn the_end_of_time_ends_a_rule() {
    let last = Rule::every(Rule::LONGEST_INTERVAL).unwrap();
    assert_eq!(last.first(Moment::MAX), Err(RuleError::NoFurtherRun));
    let advance = last.advance(Moment::MAX, Moment::MAX, Moment::MAX).unwrap();
    assert_eq!((advance.run, advance.next), (true, None));
    assert_eq!(cron("* * * * * *", "UTC").first(Moment::MAX), Err(RuleError::NoFurtherRun));
}

fn moments() -> impl Strategy<Value = Moment> {
    let all = 0..=Moment::MAX.as_micros();
    prop_oneof![all, Just(0), Just(Moment::MAX.as_micros()), Just(Moment::MAX.as_micros() - 1)]
        .prop_map(|micros| Moment::from_micros(micros).unwrap())
}

fn intervals() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0..5_u64, 1_000..200_000_000_000_u64, Just(u64::MAX)]
}

fn policies() -> impl Strategy<Value = Missed> {
    prop_oneof![Just(Missed::RunOnce), Just(Missed::Skip), Just(Missed::RunAll)]
}

proptest! {
    #[test]
    fn no_stored_interval_panics_and_boundaries_are_kept(
        interval_us in intervals(),
        start in proptest::option::of(moments()),
        missed in policies(),
        (anchor, due, now) in (moments(), moments(), moments()),
    ) {
        let recurrence = Recurrence::Every { interval_us, starting_at: start };
        let rule = Rule { recurrence, missed, overlap: Overlap::Skip };
        prop_assert!(!rule.describe().is_empty());
        prop_assert_eq!(rule.validate().is_ok(), (1_000..=3_155_760_000_000_000).contains(&interval_us));
        if let Ok(first) = rule.first(now) {
            prop_assert!(first >= now);
            let from = i128::from(start.unwrap_or(now).as_micros());
            prop_assert_eq!((i128::from(first.as_micros()) - from) % i128::from(interval_us), 0);
        }
        match rule.advance(anchor, due, now) {
            Err(_) => prop_assert_eq!(interval_us, 0),
            Ok(advance) => {
                prop_assert!(advance.run || missed == Missed::Skip);
                if let Some(next) = advance.next {
                    prop_assert!(next > due && (next > now || missed == Missed::RunAll) && next >= anchor);
                    let from_anchor = i128::from(next.as_micros()) - i128::from(anchor.as_micros());
                    prop_assert_eq!(from_anchor % i128::from(interval_us), 0);
                    let earlier = i128::from(next.as_micros()) - i128::from(interval_us);
                    let after = if missed == Missed::RunAll { due } else { due.max(now) };
                    prop_assert!(next == anchor || earlier <= i128::from(after.as_micros()), "no boundary is left out");
                }
            }
        }
    }

    #[test]
    fn no_moment_panics_a_cron_rule(
        (due, now) in (moments(), moments()),
        missed in policies(),
        start in proptest::option::of(moments()),
        zone in proptest::sample::select(vec!["UTC", "Pacific/Kiritimati", "Pacific/Niue", "Europe/Berlin"]),
    ) {
        let mut rule = Rule { missed, ..cron("*/10 * 29 2 +MON", zone) };
        if let Some(start) = start {
            rule = rule.starting_at(start);
        }
        let advance = rule.advance(due, due, now).unwrap();
        prop_assert!(advance.next.is_none_or(|next| next > due && Some(next) >= start));
        prop_assert!(rule.first(now).is_ok_and(|first| first >= now) || now.to_utc() > at("9950-01-01T00:00:00Z").to_utc() || start.is_some());
    }
}
