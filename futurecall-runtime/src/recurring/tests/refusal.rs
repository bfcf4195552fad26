//! What is refused, and that the text says what to write instead.

use std::time::Duration;

use chrono_tz::Tz;

use super::super::{Recurrence, Rule, RuleError, ToTimeZone};

#[track_caller]
fn refused(expression: &str, part: &str) {
    let text = Rule::cron(expression, "UTC").expect_err(expression).to_string();
    assert!(text.contains(part), "{text}");
}

#[test]
fn a_wrong_field_is_named_with_what_it_takes() {
    refused("60 * * * *", "`60` is not a minute: write 0 to 59");
    refused("0 25 * * *", "`25` is not an hour: write 0 to 23");
    refused("0 0 32 * *", "`32` is not a day of the month: write 1 to 31");
    refused("0 0 * 13 *", "`13` is not a month: write 1 to 12 or JAN to DEC");
    refused("0 0 * * 8", "`8` is not a day of the week: write 0 to 7 or SUN to SAT");
    refused("99 0 0 * * *", "`99` is not a second: write 0 to 59");
    refused("0 22-2 * * *", "`22-2` is not an hour");
    refused("0 0 * * MONDAY", "`MONDAY` is not a day of the week");
    refused("0 0 * MON *", "`MON` is not a month");
    refused("JAN 0 * * *", "`JAN` is not a minute");
    refused("0 0 * * L", "`L` is not a day of the week");
    refused("0 0 * * 1#6", "`1#6` is not a day of the week");
    refused("a b c d e", "`a` is not a minute");
}

#[test]
fn wrong_shapes_are_explained() {
    refused("", "it has no fields; write 5 fields");
    refused("   ", "it has no fields");
    refused("daily", "it has 1 field;");
    refused(
        "* * * *",
        "it has 4 fields; write 5 fields (minute, hour, day of the month, month, day of the week)",
    );
    refused("0 0 0 1 1 * 2027", "years are not supported");
    refused("@midnight", "`@midnight` is not a nickname; write @hourly, @daily");
    refused("0/10 * * * *", "write `*/10`");
    refused("/10 * * * *", "write `*/10`");
    refused("*/x * * * *", "`*/x` is not a minute");
    refused("1-5/x * * * *", "`1-5/x` is not a minute");
    refused("*/90 * * * *", "use an interval");
    refused("1,,2 * * * *", "empty place in its list");
    refused(", * * * *", "empty place in its list");
    refused("0 0 * * *\u{a0}", "plain ASCII");
    refused("0 0 \u{30c} * *", "plain ASCII");
    refused("0 0 * * \u{7}", "plain ASCII");
    let tab =
        Recurrence::Cron { expression: "0\t2 * * *".into(), time_zone: "UTC".into(), starting_at: None };
    assert!(Rule { recurrence: tab, ..Rule::every(Duration::from_secs(1)).unwrap() }.validate().is_ok());
    refused(&format!("{} * * * *", "1,".repeat(600)), "longer than 1000");
    let list = |last: &str| format!("11,{}{last} * * * *", "1,".repeat(494));
    assert_eq!(list("1").len(), 1_000);
    assert!(Rule::cron(&list("1"), "UTC").is_ok(), "as long as it may be");
    refused(&list("11"), "longer than 1000");
}

#[test]
fn what_the_documentation_names_is_accepted() {
    for expression in [
        "@hourly",
        "@daily",
        "@weekly",
        "@monthly",
        "@yearly",
        "@annually",
        "@Daily",
        "0 0 * * sun",
        "0 0 * * SAT-SUN",
        "0 0 L * *",
        "0 0 LW * *",
        "0 0 15W * *",
        "0 0 * * 5L",
        "0 0 * * FRIL",
        "0 0 * * 5#2",
        "0 9 13 * +FRI",
        "*/10 8-18/2 * jan-mar mon",
        "0 0 ? * MON",
        "*/5 * * * * *",
        "0\t0 * * *",
        "0 0 29 2 *",
        "0 0 1 1 +SUN",
    ] {
        let rule = Rule::cron(expression, "UTC").unwrap();
        assert!(rule.validate().is_ok() && !rule.describe().is_empty(), "{expression}");
    }
}

#[test]
fn days_that_never_come_are_refused() {
    for expression in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 2 +MON", "* * * 30 2 +*"] {
        assert_eq!(
            Rule::cron(expression, "Europe/Berlin"),
            Err(RuleError::NeverRuns { expression: expression.to_owned() })
        );
    }
    let text = Rule::cron("0 0 30 2 *", "UTC").unwrap_err().to_string();
    assert!(text.contains("never runs") && text.contains("a day that the month has"), "{text}");
}

#[test]
fn an_unknown_zone_is_answered_with_the_nearest() {
    let nearest = |name: &str| match Rule::cron("0 2 * * *", name) {
        Err(RuleError::UnknownTimeZone { nearest, .. }) => nearest,
        other => panic!("{name}: {other:?}"),
    };
    for (name, expected) in [
        ("Berlin", Some("Europe/Berlin")),
        ("europe/berlin", Some("Europe/Berlin")),
        ("Europe/Berln", Some("Europe/Berlin")),
        ("new york", Some("America/New_York")),
        ("America/Sao Paulo", Some("America/Sao_Paulo")),
        ("Atlantis", None),
        ("", None),
        ("\u{1f600}", None),
    ] {
        assert_eq!(nearest(name).as_deref(), expected, "{name}");
    }
    assert_eq!(nearest(&"x".repeat(100_000)), None);
    let text = Rule::cron("0 2 * * *", "Berlin").unwrap_err().to_string();
    assert_eq!(text, "the time zone `Berlin` is not known; did you mean `Europe/Berlin`?");
}

#[test]
fn an_offset_is_never_answered_with_its_opposite() {
    let text = |name: &str| Rule::cron("0 2 * * *", name).unwrap_err().to_string();
    for (name, ahead, right) in [
        ("GMT+2", "2 hours ahead of", "Etc/GMT-2"),
        ("gmt+2", "2 hours ahead of", "Etc/GMT-2"),
        ("UTC+2", "2 hours ahead of", "Etc/GMT-2"),
        ("UTC +02:00", "2 hours ahead of", "Etc/GMT-2"),
        ("Etc/UTC+2", "2 hours ahead of", "Etc/GMT-2"),
        ("etc/gmt+2", "2 hours ahead of", "Etc/GMT-2"),
        ("+02:00", "2 hours ahead of", "Etc/GMT-2"),
        ("+0200", "2 hours ahead of", "Etc/GMT-2"),
        ("+14", "14 hours ahead of", "Etc/GMT-14"),
        ("GMT-5", "5 hours behind", "Etc/GMT+5"),
        ("UTC-1", "1 hour behind", "Etc/GMT+1"),
        ("\u{2212}05:00", "5 hours behind", "Etc/GMT+5"),
    ] {
        let text = text(name);
        assert!(text.contains(&format!("{ahead} UTC it is `{right}`")), "{text}");
        assert!(text.contains("opposite sign") && text.contains("a city"), "{text}");
        assert!(!text.contains("did you mean"), "{text}");
    }
    // No zone has these offsets by name.
    for name in ["+05:30", "UTC+5:45", "GMT+15", "UTC-13", "+99"] {
        let text = text(name);
        assert!(
            text.contains("a city") && !text.contains("Etc/") && !text.contains("did you mean"),
            "{text}"
        );
    }
    for name in ["UTC+0", "+00:00", "GMT-00"] {
        assert!(text(name).ends_with("write `UTC`"), "{}", text(name));
    }
    // Abbreviations and POSIX rules are near to names of quite other clocks.
    for name in [
        "PST",
        "JST",
        "IST",
        "BST",
        "CST",
        "EDT",
        "GMT2",
        "CET-1CEST",
        "AST4ADT",
        "EST6EDT",
        "<+02>-2",
        "UTC2",
    ] {
        assert!(text(name).contains("write a name of the IANA database"), "{}", text(name));
    }
    // These are names of the database.
    for name in ["EST5EDT", "Etc/GMT+2", "GMT", "UTC", "Etc/UTC", "GMT+0"] {
        assert!(Rule::cron("0 2 * * *", name).is_ok(), "{name}");
    }
}

#[test]
fn intervals_have_a_floor_and_a_ceiling() {
    let text = |interval| Rule::every(interval).unwrap_err().to_string();
    assert_eq!(text(Duration::ZERO), "an interval of 0s is too short; write 1ms or more");
    assert_eq!(text(Duration::from_micros(999)), "an interval of 999us is too short; write 1ms or more");
    assert!(text(Duration::MAX).ends_with("write 3155760000 seconds (100 years) or less"));
    assert!(Rule::every(Rule::SHORTEST_INTERVAL).is_ok() && Rule::every(Rule::LONGEST_INTERVAL).is_ok());
    // Fractions of a microsecond round up: nothing is ever early.
    assert_eq!(Rule::every(Duration::from_nanos(1_000_001)), Rule::every(Duration::from_micros(1_001)));
    assert!(Rule::every(Rule::LONGEST_INTERVAL + Duration::from_nanos(1)).is_err());
}

#[test]
fn time_zones_are_named_by_text_or_type() {
    fn name(zone: impl ToTimeZone) -> String {
        zone.time_zone_name().into_owned()
    }
    assert_eq!(name("Europe/Berlin"), "Europe/Berlin");
    let owned = "Europe/Berlin".to_owned();
    assert_eq!(name(&owned), "Europe/Berlin");
    assert_eq!(name(owned), "Europe/Berlin");
    assert_eq!(name(Tz::Europe__Berlin), "Europe/Berlin");
}
