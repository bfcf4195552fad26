//! Both day fields, each with everything that can stand in it, against a plain reading of Vixie's rule.

use chrono::{Datelike, NaiveDate, Weekday};

use crate::moment::Moment;
use crate::recurring::{Rule, RuleError};

const DAYS: [&str; 14] =
    ["*", "?", "*/2", "*/10", "1-31/2", "1-31", "1,15", "10-20", "10-20/3", "13", "L", "LW", "15W", "1W,30W"];

const WEEKDAYS: [&str; 18] = [
    "*",
    "?",
    "*/2",
    "*/3",
    "MON",
    "1-5",
    "1,3",
    "0",
    "7",
    "SAT,SUN",
    "0-6",
    "1-7",
    "1-5/2",
    "5L",
    "SUNL",
    "5#2",
    "SUN#5",
    "MON-TUE#1",
];

#[derive(Clone, Copy)]
struct Day {
    date: NaiveDate,
    last: u32,
}

impl Day {
    fn weekday_of(self, day: u32) -> Weekday {
        self.date.with_day(day).unwrap().weekday()
    }

    fn works(self, day: u32) -> bool {
        !matches!(self.weekday_of(day), Weekday::Sat | Weekday::Sun)
    }

    /// The nearest day from Monday to Friday within the month.
    fn nearest_working_day(self, day: u32) -> Option<u32> {
        let near = [0_i64, -1, 1, -2, 2].map(|away| u32::try_from(i64::from(day) + away).unwrap_or(0));
        (day <= self.last)
            .then(|| near.into_iter().find(|day| (1..=self.last).contains(day) && self.works(*day)))?
    }

    fn is_day(self, field: &str) -> bool {
        let today = self.date.day();
        field.split(',').any(|item| match item {
            "L" => today == self.last,
            "LW" => Some(today) == (1..=self.last).rev().find(|day| self.works(*day)),
            _ => match item.strip_suffix('W') {
                Some(day) => Some(today) == self.nearest_working_day(day.parse().unwrap()),
                None => holds(item, today, 1, 31),
            },
        })
    }

    fn is_weekday(self, field: &str) -> bool {
        let names = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
        let numbers = names.iter().enumerate();
        let field =
            numbers.fold(field.to_owned(), |text, (number, name)| text.replace(name, &number.to_string()));
        let sunday_first = self.date.weekday().num_days_from_sunday();
        let (today, place) = (self.date.day(), (self.date.day() - 1) / 7 + 1);
        field.split(',').any(|item| {
            let (item, fits) = match (item.split_once('#'), item.strip_suffix('L')) {
                (Some((item, which)), _) => (item, place.to_string() == which),
                (_, Some(item)) => (item, today + 7 > self.last),
                _ => (item, true),
            };
            // Sunday is 0 and 7.
            let shown = if sunday_first == 0 { &[0, 7][..] } else { &[sunday_first][..] };
            fits && shown.iter().any(|number| holds(item, *number, 0, 7))
        })
    }
}

fn holds(item: &str, value: u32, min: u32, max: u32) -> bool {
    let (range, step) = item.split_once('/').unwrap_or((item, "1"));
    let (from, to) = match range.split_once('-') {
        _ if range == "*" || range == "?" => (min, max),
        Some((from, to)) => (from.parse().unwrap(), to.parse().unwrap()),
        None => (range.parse().unwrap(), range.parse().unwrap()),
    };
    (from..=to).contains(&value) && (value - from).is_multiple_of(step.parse().unwrap())
}

/// Days match by both fields where either begins with a star (or the weekday with a plus), else by either.
fn matches(day: Day, of_month: &str, of_week: &str) -> bool {
    let star = |field: &str| field.starts_with(['*', '?']);
    let (wants_both, of_week) = match of_week.strip_prefix('+') {
        Some(of_week) => (true, of_week),
        None => (star(of_month) || star(of_week), of_week),
    };
    let (month, week) = (day.is_day(of_month), day.is_weekday(of_week));
    if wants_both { month && week } else { month || week }
}

#[test]
fn both_day_fields_are_read_as_vixie_cron_reads_them() {
    let first = NaiveDate::from_ymd_opt(2024, 1, 1).unwrap();
    let days: Vec<Day> = first
        .iter_days()
        .take(366 + 365)
        .map(|date| Day { date, last: u32::from(date.num_days_in_month()) })
        .collect();
    let start = Moment::try_from(first.and_hms_opt(0, 0, 0).unwrap().and_utc()).unwrap();
    let plus = WEEKDAYS.map(|field| format!("+{field}"));
    let mut wrong = Vec::new();
    for of_month in DAYS {
        for of_week in WEEKDAYS.into_iter().chain(plus.iter().map(String::as_str)) {
            let expected: Vec<NaiveDate> =
                days.iter().filter(|day| matches(**day, of_month, of_week)).map(|day| day.date).collect();
            let expression = format!("0 12 {of_month} * {of_week}");
            let rule = match Rule::cron(&expression, "UTC") {
                Ok(rule) => rule,
                Err(RuleError::NeverRuns { .. }) if expected.is_empty() => continue,
                Err(error) => panic!("{error}"),
            };
            let found = rule.upcoming(start, start, expected.len() + 1);
            let found: Vec<_> = found.iter().map(|run| run.to_utc().date_naive()).collect();
            if found.get(..expected.len()) != Some(&expected) || found[expected.len()].year() < 2026 {
                wrong.push(format!("{expression}: {}", rule.describe()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} are read otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_day_field_that_begins_with_a_star_narrows_the_other() {
    let runs = |expression| super::runs(expression, "UTC", "2026-11-01T00:00:00Z", 3);
    // The Mondays that are odd days, not the Mondays and the odd days.
    let expected = ["2026-11-09T00:00:00+00:00", "2026-11-23T00:00:00+00:00", "2026-12-07T00:00:00+00:00"];
    assert_eq!(runs("0 0 */2 * MON"), expected);
    let expected = ["2026-11-02T00:00:00+00:00", "2026-11-03T00:00:00+00:00", "2026-11-05T00:00:00+00:00"];
    assert_eq!(runs("0 0 1-31/2 * MON"), expected);
}
