//! Cron on the wall clocks of the world.

use chrono::{DateTime, Datelike, Offset, TimeZone, Timelike, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use proptest::prelude::*;
use proptest::sample::select;

use super::{at, cron, runs};
use crate::moment::Moment;

#[test]
fn a_fixed_time_that_the_clock_skips_runs_right_after_the_gap() {
    let expected = ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"];
    assert_eq!(runs("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00+01:00", 3), expected);
    let expected = ["2026-03-07T02:30:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"];
    assert_eq!(runs("30 2 * * *", "America/New_York", "2026-03-07T00:00:00-05:00", 3), expected);
}

#[test]
fn several_fixed_times_in_one_gap_make_one_run() {
    let expected = ["2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T01:00:00+02:00"];
    assert_eq!(runs("0 1,2,3 * * *", "Europe/Berlin", "2026-03-29T00:00:00+01:00", 3)[..2], expected[..2]);
    assert_eq!(runs("0,30 1,2 * * *", "Europe/Berlin", "2026-03-29T01:30:00+01:00", 2), expected[1..]);
}

#[test]
fn the_gap_is_seen_from_its_last_second_on() {
    for after in ["2026-03-29T01:59:59+01:00", "2026-03-29T01:59:59.999999+01:00"] {
        assert_eq!(runs("30 2 * * *", "Europe/Berlin", after, 1), ["2026-03-29T03:00:00+02:00"]);
    }
    let after = "2026-03-29T03:00:00+02:00";
    assert_eq!(runs("30 2 * * *", "Europe/Berlin", after, 1), ["2026-03-30T02:30:00+02:00"]);
}

#[test]
fn a_fixed_time_that_the_clock_repeats_runs_the_first_time_only() {
    let expected = ["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"];
    assert_eq!(runs("30 1 * * *", "America/New_York", "2026-11-01T00:00:00-04:00", 2), expected);
    // Also where the look falls between the two, or on the second one.
    for after in ["2026-11-01T01:45:00-04:00", "2026-11-01T01:10:00-05:00", "2026-11-01T01:30:00-05:00"] {
        assert_eq!(runs("30 1 * * *", "America/New_York", after, 1), expected[1..]);
    }
    // A list of times is as fixed as a single one.
    let expected = ["2026-10-25T02:00:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-25T14:00:00+01:00"];
    assert_eq!(runs("0,30 2,14 * * *", "Europe/Berlin", "2026-10-25T00:00:00+02:00", 3), expected);
}

#[test]
fn a_wild_rule_follows_the_wall_clock_through_both_changes() {
    let expected = [
        "2026-11-01T01:00:00-04:00",
        "2026-11-01T01:30:00-04:00",
        "2026-11-01T01:00:00-05:00",
        "2026-11-01T01:30:00-05:00",
    ];
    assert_eq!(runs("*/30 1 * * *", "America/New_York", "2026-11-01T00:00:00-04:00", 4), expected);
    assert_eq!(runs("*/30 * * * *", "America/New_York", "2026-11-01T00:59:00-04:00", 4), expected);
    let expected = ["2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00"];
    assert_eq!(runs("*/30 * * * *", "Europe/Berlin", "2026-03-29T01:00:00+01:00", 3), expected);
    // The hour that does not exist is left out, and the rest of the day is not.
    let expected = ["2026-03-08T00:30:00-05:00", "2026-03-08T04:30:00-04:00", "2026-03-08T06:30:00-04:00"];
    assert_eq!(runs("30 */2 * * *", "America/New_York", "2026-03-08T00:00:00-05:00", 3), expected);
    // `0-23` is every hour in other words, not 24 fixed times.
    let hours = runs("0 0-23 * * *", "America/New_York", "2026-11-01T00:00:00-04:00", 3);
    assert_eq!(
        hours,
        ["2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T02:00:00-05:00"]
    );
}

#[test]
fn lord_howe_repeats_half_an_hour() {
    let expected = ["2026-04-05T01:00:00+11:00", "2026-04-05T02:00:00+10:30", "2026-04-05T03:00:00+10:30"];
    assert_eq!(runs("0 * * * *", "Australia/Lord_Howe", "2026-04-05T00:30:00+11:00", 3), expected);
    let expected = ["2026-04-05T01:45:00+11:00", "2026-04-05T01:45:00+10:30", "2026-04-05T02:45:00+10:30"];
    assert_eq!(runs("45 * * * *", "Australia/Lord_Howe", "2026-04-05T01:00:00+11:00", 3), expected);
    assert_eq!(
        runs("45 1 * * *", "Australia/Lord_Howe", "2026-04-05T01:00:00+11:00", 2),
        ["2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"]
    );
    assert_eq!(
        runs("15 2 * * *", "Australia/Lord_Howe", "2026-10-04T01:00:00+10:30", 1),
        ["2026-10-04T02:30:00+11:00"]
    );
}

#[test]
fn sao_paulo_skips_midnight() {
    let expected = ["2018-11-03T00:00:00-03:00", "2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"];
    assert_eq!(runs("0 0 * * *", "America/Sao_Paulo", "2018-11-02T12:00:00-03:00", 3), expected);
    assert_eq!(runs("@daily", "America/Sao_Paulo", "2018-11-02T12:00:00-03:00", 3), expected);
}

#[test]
fn a_gap_before_midnight_runs_after_it() {
    // Nuuk goes from Saturday 22:59:59 to Sunday 00:00:00.
    let expected = ["2026-03-29T00:00:00-01:00", "2026-04-04T23:30:00-01:00"];
    assert_eq!(runs("30 23 * * SAT", "America/Nuuk", "2026-03-22T00:00:00-02:00", 2), expected);
}

#[test]
fn apia_left_out_a_whole_day() {
    // 30 December 2011 did not exist: its fixed times run when the 31st begins.
    let expected = ["2011-12-29T02:30:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T02:30:00+14:00"];
    assert_eq!(runs("30 2 * * *", "Pacific/Apia", "2011-12-29T00:00:00-10:00", 3), expected);
    assert_eq!(runs("0 9 30 * *", "Pacific/Apia", "2011-12-01T00:00:00-10:00", 1), expected[1..2]);
    let expected = ["2011-12-29T23:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T01:00:00+14:00"];
    assert_eq!(runs("0 * * * *", "Pacific/Apia", "2011-12-29T22:00:00-10:00", 3), expected);
}

#[test]
fn casablanca_changes_its_clock_around_ramadan() {
    let expected = ["2026-02-14T02:30:00+01:00", "2026-02-15T02:30:00+01:00", "2026-02-16T02:30:00+00:00"];
    assert_eq!(runs("30 2 * * *", "Africa/Casablanca", "2026-02-14T00:00:00+01:00", 3), expected);
    let expected = ["2026-03-22T03:00:00+01:00", "2026-03-23T02:30:00+01:00"];
    assert_eq!(runs("30 2 * * *", "Africa/Casablanca", "2026-03-22T00:00:00+00:00", 2), expected);
}

#[test]
fn zones_without_changes_run_plainly() {
    let expected = ["2026-01-01T06:00:00+05:45", "2026-01-02T06:00:00+05:45"];
    assert_eq!(runs("0 6 * * *", "Asia/Kathmandu", "2026-01-01T00:00:00+00:00", 2), expected);
    let expected = ["2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"];
    assert_eq!(runs("0 0 * * *", "UTC", "2025-12-31T23:59:59.999999Z", 2), expected);
    let expected = ["2026-01-01T00:00:01+00:00", "2026-01-01T00:00:31+00:00"];
    assert_eq!(runs("1,31 * * * * *", "UTC", "2026-01-01T00:00:00Z", 2), expected);
}

#[test]
fn days_match_by_month_or_by_week_and_by_both_with_a_plus() {
    let expected = ["2026-02-06T00:00:00+00:00", "2026-02-13T00:00:00+00:00", "2026-02-20T00:00:00+00:00"];
    assert_eq!(runs("0 0 13 * FRI", "UTC", "2026-02-01T00:00:00Z", 3), expected);
    let expected = ["2026-02-13T00:00:00+00:00", "2026-03-13T00:00:00+00:00", "2026-11-13T00:00:00+00:00"];
    assert_eq!(runs("0 0 13 * +FRI", "UTC", "2026-02-01T00:00:00Z", 3), expected);
    assert_eq!(
        runs("0 0 * * 0", "UTC", "2026-02-01T00:00:00Z", 9),
        runs("0 0 * * 7", "UTC", "2026-02-01T00:00:00Z", 9)
    );
    assert_eq!(
        runs("0 0 L 2 *", "UTC", "2027-01-01T00:00:00Z", 2),
        ["2027-02-28T00:00:00+00:00", "2028-02-29T00:00:00+00:00"]
    );
    assert_eq!(runs("0 0 * * 5L", "UTC", "2026-01-01T00:00:00Z", 1), ["2026-01-30T00:00:00+00:00"]);
    assert_eq!(runs("0 0 * * FRI#2", "UTC", "2026-01-01T00:00:00Z", 1), ["2026-01-09T00:00:00+00:00"]);
    assert_eq!(runs("0 0 LW * *", "UTC", "2026-01-01T00:00:00Z", 1), ["2026-01-30T00:00:00+00:00"]);
}

#[test]
fn rare_days_are_found() {
    let expected = ["2096-02-29T00:00:00+00:00", "2104-02-29T00:00:00+00:00"];
    assert_eq!(runs("0 0 29 2 *", "UTC", "2092-03-01T00:00:00Z", 2), expected);
    // 29 February on a Monday, across the year 2100: the longest rest there is.
    let expected = ["2072-02-29T00:00:00+00:00", "2112-02-29T00:00:00+00:00"];
    assert_eq!(runs("0 0 29 2 +MON", "UTC", "2044-03-01T00:00:00Z", 2), expected);
}

#[test]
fn the_search_ends_with_the_year_9999() {
    let rule = cron("0 0 1 1 *", "Pacific/Kiritimati");
    assert_eq!(
        rule.upcoming(Moment::MIN, at("9998-12-01T00:00:00Z"), 3),
        [at("9998-12-31T10:00:00Z"), at("9999-12-31T10:00:00Z")]
    );
    assert_eq!(rule.upcoming(Moment::MIN, Moment::MAX, 3), []);
    assert_eq!(
        cron("* * * * *", "America/New_York").upcoming(Moment::MIN, Moment::MIN, 1),
        [at("1970-01-01T00:01:00Z")]
    );
    assert_eq!(cron("0 0 1 1 *", "UTC").first(Moment::MIN), Ok(Moment::MIN));
}

/// All clock changes of a zone from 1970 to 2040, found without the code under test.
fn changes(zone: Tz) -> Vec<i64> {
    let offset =
        |at: i64| zone.offset_from_utc_datetime(&DateTime::from_timestamp(at, 0).unwrap().naive_utc()).fix();
    let mut found = Vec::new();
    for day in 0..25_600 {
        let (mut low, mut high) = (day * 86_400, (day + 1) * 86_400);
        if offset(low) != offset(high) {
            while high - low > 1 {
                let middle = i64::midpoint(low, high);
                if offset(middle) == offset(low) { low = middle } else { high = middle }
            }
            found.push(high);
        }
    }
    found
}

/// The runs after `after` and up to `until`, minute by minute: slow, and plain enough to be believed.
fn by_minutes(zone: Tz, fixed: bool, matches: impl Fn(u32, u32) -> bool, after: i64, until: i64) -> Vec<i64> {
    let shown =
        |at: i64| zone.from_utc_datetime(&DateTime::<Utc>::from_timestamp(at, 0).unwrap().naive_utc());
    let mut found = Vec::new();
    let mut latest_shown = shown(after - 86_400 * 3).naive_local();
    for at in (after - 86_400 * 3 + 60..=until).step_by(60) {
        let now = shown(at).naive_local();
        let repeated = now <= latest_shown;
        let hit = if !fixed {
            matches(now.hour(), now.minute())
        } else if repeated {
            false
        } else {
            // Every minute that the clock went through or skipped since it was last looked at.
            let minutes = (now - latest_shown).num_minutes();
            (0..minutes).any(|back| {
                let then = now - chrono::TimeDelta::minutes(back);
                matches(then.hour(), then.minute())
            })
        };
        latest_shown = latest_shown.max(now);
        if hit && at > after {
            found.push(at);
        }
    }
    found
}

#[test]
fn every_change_of_every_zone_agrees_with_a_walk_by_minutes() {
    // A sample: all changes of all zones take five minutes (and agree).
    for zone in TZ_VARIANTS.iter().step_by(11) {
        for change in changes(*zone).into_iter().step_by(7) {
            check_around(*zone, change);
        }
    }
}

#[test]
fn the_strangest_changes_agree_with_a_walk_by_minutes() {
    for name in [
        "Pacific/Apia",
        "Antarctica/Casey",
        "Antarctica/Troll",
        "Australia/Lord_Howe",
        "Africa/Monrovia",
        "Pacific/Kwajalein",
        "Africa/Casablanca",
        "Europe/Dublin",
        "America/Caracas",
        "Asia/Pyongyang",
    ] {
        let zone: Tz = name.parse().unwrap();
        for change in changes(zone) {
            check_around(zone, change);
        }
    }
}

/// Whether a rule wants an hour and minute.
type TimeOfDay = Box<dyn Fn(u32, u32) -> bool>;

#[track_caller]
fn check_around(zone: Tz, change: i64) {
    // From a whole minute on, some hours before the change; zones with seconds in their offsets change in between.
    let shown = zone.from_utc_datetime(&DateTime::from_timestamp(change, 0).unwrap().naive_utc());
    if shown.offset().fix().local_minus_utc() % 60 != 0 || change % 60 != 0 {
        return;
    }
    let before = zone.from_utc_datetime(&DateTime::from_timestamp(change - 1, 0).unwrap().naive_utc());
    if before.offset().fix().local_minus_utc() % 60 != 0 {
        return;
    }
    let (after, until) = (change - 4 * 3_600, change + 4 * 3_600);
    let (hour, minute) = (shown.hour(), shown.minute());
    let earlier = before.hour();
    let rules: [(String, bool, TimeOfDay); 5] = [
        ("*/15 * * * *".to_owned(), false, Box::new(|_, m| m % 15 == 0)),
        (format!("20 {earlier} * * *"), true, Box::new(move |h, m| h == earlier && m == 20)),
        (format!("{minute} {hour} * * *"), true, Box::new(move |h, m| (h, m) == (hour, minute))),
        ("10,40 0-22 * * *".to_owned(), true, Box::new(|h, m| h < 23 && (m == 10 || m == 40))),
        ("50 */2 * * *".to_owned(), false, Box::new(|h, m| h % 2 == 0 && m == 50)),
    ];
    for (expression, fixed, matches) in rules {
        let expected = by_minutes(zone, fixed, matches, after, until);
        let start = Moment::from_micros(after.max(0) * 1_000_000).unwrap();
        let found = cron(&expression, zone.name()).upcoming(start, start, 64);
        let found: Vec<i64> =
            found.iter().map(|run| run.as_micros() / 1_000_000).filter(|run| *run <= until).collect();
        assert_eq!(found, expected, "{expression} in {zone} around {shown}");
    }
}

fn field(values: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    select(values)
}

fn expressions() -> impl Strategy<Value = String> {
    (
        field(&["", "0 ", "*/20 ", "15,45 ", "59 "]),
        field(&["*", "0", "30", "*/7", "5-10", "0,59"]),
        field(&["*", "0", "2", "1,2,3", "*/5", "23", "22-23"]),
        field(&["*", "1", "29", "31", "L", "15W", "13"]),
        field(&["*", "2", "3,10", "*/3", "DEC"]),
        field(&["*", "MON", "0", "5L", "FRI#2", "+MON", "1-5"]),
    )
        .prop_map(|(second, minute, hour, day, month, weekday)| {
            format!("{second}{minute} {hour} {day} {month} {weekday}")
        })
        .prop_filter("a day that exists", |text| crate::recurring::Rule::cron(text, "UTC").is_ok())
}

fn zones() -> impl Strategy<Value = Tz> {
    (0..TZ_VARIANTS.len()).prop_map(|place| TZ_VARIANTS[place])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn runs_are_later_match_and_are_where_croner_finds_them(
        expression in expressions(),
        zone in zones(),
        micros in 0..4_000_000_000_000_000_i64,
    ) {
        let after = Moment::from_micros(micros).unwrap();
        let rule = cron(&expression, zone.name());
        let found = rule.upcoming(after, after, 5);
        prop_assert_eq!(found.len(), 5);
        prop_assert!(after < found[0] && found.is_sorted_by(|one, other| one < other));
        let read = croner::parser::CronParser::new().parse(&expression).unwrap();
        let mut previous = zone.from_utc_datetime(&after.to_utc().naive_utc());
        for run in &found {
            let run = zone.from_utc_datetime(&run.to_utc().naive_utc());
            // Fixed times moved out of a gap are the only runs that do not match; they follow a change at once.
            let before = run - chrono::TimeDelta::seconds(1);
            let after_gap = run.offset().fix() != before.offset().fix();
            prop_assert!(after_gap || read.is_time_matching(&run).unwrap(), "{} in {} at {}", expression, zone, run);
            // croner's own search is asked too, but for what it treats otherwise: lists of fixed times and long gaps.
            if let Ok(theirs) = read.find_next_occurrence(&previous, false)
                && run.year() < 2_500 && !near_change(zone, run.timestamp()) && !near_change(zone, theirs.timestamp())
            {
                prop_assert_eq!(&theirs, &run, "{} in {} after {}", expression, zone, previous);
            }
            previous = run;
        }
    }

    #[test]
    fn an_earlier_look_never_finds_a_later_run(
        expression in expressions(),
        zone in zones(),
        micros in 0..4_000_000_000_000_000_i64,
        ahead in 0..200_000_000_000_i64,
    ) {
        let rule = cron(&expression, zone.name());
        let (one, other) = (Moment::from_micros(micros).unwrap(), Moment::from_micros(micros + ahead).unwrap());
        let (first, second) = (rule.first(one).unwrap(), rule.first(other).unwrap());
        prop_assert!(one <= first && first <= second);
        prop_assert!(first < other || first == second);
        prop_assert_eq!(rule.first(first).unwrap(), first, "a run is its own first run");
    }
}

fn near_change(zone: Tz, at: i64) -> bool {
    let offset =
        |at: i64| zone.offset_from_utc_datetime(&DateTime::from_timestamp(at, 0).unwrap().naive_utc()).fix();
    offset(at - 86_400) != offset(at) || offset(at) != offset(at + 86_400)
}
