//! Cron rules: a pattern on the wall clock of a time zone, through both clock changes.
//!
//! croner reads the pattern and judges days. The search through time is ours: it walks forward on the line of UTC
//! seconds from clock change to clock change, so that its answers only ever move forward, whatever the zone does (a
//! zone that repeats half an hour, one that skips a day), and ends after a bounded number of steps.

use std::cmp::Ordering;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Timelike};
use chrono_tz::Tz;
use croner::{CronComponent, CronPattern, Weekday};

use super::expression::{self, Refusal};
use super::{RuleError, words, zone};
use crate::moment::Moment;

/// A cron expression that has been read, in its time zone.
pub(super) struct Cron {
    pattern: CronPattern,
    zone: Tz,
    seconds: Vec<u32>,
    minutes: Vec<u32>,
    hours: Vec<u32>,
    /// No part of the time of day is wild: each time happens once, even where the clock skips or repeats it.
    fixed_times: bool,
}

/// A step that misses no clock change: since 1970 no zone has changed its clock twice within six days.
const DAY: i64 = 86_400;

/// No pattern rests longer than 40 years (29 February on one weekday, where 2100 is not a leap year).
const LONGEST_REST_DAYS: usize = 41 * 366;

impl Cron {
    pub(super) fn parse(expression: &str, time_zone: &str) -> Result<Self, RuleError> {
        let pattern = expression::parse(expression).map_err(|refusal| match refusal {
            Refusal::Unreadable(reason) => {
                RuleError::InvalidCron { expression: expression.to_owned(), reason }
            }
            Refusal::NeverRuns => RuleError::NeverRuns { expression: expression.to_owned() },
        })?;
        let zone = time_zone.parse::<Tz>().map_err(|_| RuleError::UnknownTimeZone {
            name: time_zone.to_owned(),
            nearest: zone::nearest(time_zone).map(str::to_owned),
        })?;
        let fixed_times = ![&pattern.seconds, &pattern.minutes, &pattern.hours].into_iter().any(is_wild);
        let values = |field: &CronComponent| field.values().into_iter().map(u32::from).collect::<Vec<_>>();
        Ok(Self {
            zone,
            seconds: values(&pattern.seconds),
            minutes: values(&pattern.minutes),
            hours: values(&pattern.hours),
            fixed_times,
            pattern,
        })
    }

    /// The first run later than `moment`; none past the year 9999.
    pub(super) fn after(&self, moment: Moment) -> Option<Moment> {
        self.search(moment.as_micros().div_euclid(1_000_000))
    }

    /// The first run that is not before `moment`; none past the year 9999.
    pub(super) fn at_or_after(&self, moment: Moment) -> Option<Moment> {
        self.search(moment.as_micros().checked_sub(1)?.div_euclid(1_000_000))
    }

    pub(super) fn describe(&self) -> String {
        format!("{} ({})", words::describe(&self.pattern), self.zone.name())
    }

    /// The first run later than `after`, in seconds since 1970.
    fn search(&self, after: i64) -> Option<Moment> {
        let mut at = after;
        let mut offset = self.offset(at)?;
        let mut wanted = self.next_on_wall_clock(local(at.checked_add(1)?, offset)?)?;
        loop {
            let distance = seconds_from_until(local(at, offset)?, wanted)?;
            let target = at.checked_add(distance.min(DAY))?;
            if self.offset(target)? != offset {
                let change = self.clock_change(at, target, offset)?;
                let new_offset = self.offset(change)?;
                let resumed = local(change, new_offset)?;
                if self.fixed_times && wanted <= resumed {
                    // The time that is wanted was skipped, or is the first that was not: it runs at once. (A clock put
                    // back never gets here: what is wanted lies beyond the change by the old clock, and the new one shows
                    // less.)
                    return moment(change);
                }
                (at, offset) = (change, new_offset);
                wanted = self.next_on_wall_clock(resumed)?;
            } else if distance >= DAY {
                at = target;
            } else if self.fixed_times && self.is_repetition(target, wanted) {
                at = target;
                wanted = self.next_on_wall_clock(local(at.checked_add(1)?, offset)?)?;
            } else {
                return moment(target);
            }
        }
    }

    /// The first time from `from` on that the pattern matches, on a clock that never changes.
    fn next_on_wall_clock(&self, from: NaiveDateTime) -> Option<NaiveDateTime> {
        if self.runs_on(from.date())
            && let Some(time) = self.next_time_of_day(from.time())
        {
            return Some(from.date().and_time(time));
        }
        let days = std::iter::successors(from.date().succ_opt(), NaiveDate::succ_opt);
        let date = days.take(LONGEST_REST_DAYS).find(|date| self.runs_on(*date))?;
        Some(date.and_time(self.next_time_of_day(NaiveTime::MIN)?))
    }

    fn next_time_of_day(&self, from: NaiveTime) -> Option<NaiveTime> {
        let (first_minute, first_second) = (*self.minutes.first()?, *self.seconds.first()?);
        for &hour in self.hours.iter().filter(|hour| **hour >= from.hour()) {
            if hour > from.hour() {
                return NaiveTime::from_hms_opt(hour, first_minute, first_second);
            }
            for &minute in self.minutes.iter().filter(|minute| **minute >= from.minute()) {
                let second = match minute.cmp(&from.minute()) {
                    Ordering::Greater => Some(first_second),
                    _ => self.seconds.iter().copied().find(|second| *second >= from.second()),
                };
                if let Some(second) = second {
                    return NaiveTime::from_hms_opt(hour, minute, second);
                }
            }
        }
        None
    }

    fn runs_on(&self, date: NaiveDate) -> bool {
        let weekday = Weekday::from_days_from_sunday(date.weekday().num_days_from_sunday());
        expression::matches_day(&self.pattern, date.year(), date.month(), date.day(), weekday)
    }

    /// Whether the clock, at `at`, shows `shown` for the second time.
    fn is_repetition(&self, at: i64, shown: NaiveDateTime) -> bool {
        self.zone.from_local_datetime(&shown).earliest().is_some_and(|first| first.timestamp() < at)
    }

    /// The second in which the offset changes from what it was at `from`, at or before `until`.
    fn clock_change(&self, from: i64, until: i64, offset: i64) -> Option<i64> {
        let (mut before, mut changed) = (from, until);
        loop {
            let half = changed.checked_sub(before)?.div_euclid(2);
            if half == 0 {
                return Some(changed);
            }
            let middle = before.checked_add(half)?;
            if self.offset(middle)? == offset {
                before = middle;
            } else {
                changed = middle;
            }
        }
    }

    /// Seconds that the wall clock is ahead of UTC.
    fn offset(&self, at: i64) -> Option<i64> {
        let utc = DateTime::from_timestamp(at, 0)?.naive_utc();
        Some(i64::from(self.zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()))
    }
}

/// Whether a field is `*` or `*/n`, or takes every value in other words (`0-59`).
fn is_wild(field: &CronComponent) -> bool {
    field.from_wildcard || field.values().len() > usize::from(field.max.saturating_sub(field.min))
}

fn local(at: i64, offset: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp(at.checked_add(offset)?, 0).map(|shown| shown.naive_utc())
}

fn seconds_from_until(from: NaiveDateTime, until: NaiveDateTime) -> Option<i64> {
    until.and_utc().timestamp().checked_sub(from.and_utc().timestamp())
}

fn moment(seconds: i64) -> Option<Moment> {
    seconds.checked_mul(1_000_000).and_then(|micros| Moment::from_micros(micros).ok())
}
