//! Parses times and durations of options.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futurecall_runtime::Moment;
use futurecall_runtime::schedule::ToMoment;

use crate::exit::Failure;

/// A time: absolute, or relative to the database's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    At(DateTime<Utc>),
    Ahead(Duration),
    Back(Duration),
}

impl When {
    /// Returns the time, given the current one.
    pub(crate) fn moment(self, now: Moment) -> Result<Moment, Failure> {
        let out_of_range = |error| Failure::usage(format!("{error}"));
        match self {
            Self::At(moment) => moment.to_moment().map_err(out_of_range),
            Self::Ahead(span) => now.checked_add(span).map_err(out_of_range),
            // Nothing is stored before 1970.
            Self::Back(span) => {
                let back = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
                Ok(Moment::from_micros(now.as_micros().saturating_sub(back).max(0)).unwrap_or(Moment::MIN))
            }
        }
    }
}

/// Parses `2027-01-31T08:00:00+01:00`, `+2h`, `-1d` or `now`.
pub(crate) fn when(text: &str) -> Result<When, String> {
    if text == "now" {
        return Ok(When::Ahead(Duration::ZERO));
    }
    if let Some(span) = text.strip_prefix('+') {
        return span_of(span).map(When::Ahead);
    }
    if let Some(span) = text.strip_prefix('-') {
        return span_of(span).map(When::Back);
    }
    moment(text).map(When::At)
}

/// Parses a time with its offset.
pub(crate) fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text).map(|moment| moment.to_utc()).map_err(|_| {
        "write a time with its offset, such as 2027-01-31T08:00:00Z or 2027-01-31T09:00:00+01:00".to_owned()
    })
}

/// Parses `90s`, `1h 30m`, `2days`; a plain 0 as well.
pub(crate) fn span_of(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text).map_err(|error| format!("{error}; write 30s, 15m, 1h 30m or 2days"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_fixed_or_counted_from_now() {
        let now = Moment::from_micros(3_600_000_000).unwrap();
        let at = |text| when(text).unwrap().moment(now).unwrap().to_string();
        assert_eq!(at("now"), "1970-01-01T01:00:00.000000Z");
        assert_eq!(at("+1h 30m"), "1970-01-01T02:30:00.000000Z");
        assert_eq!(at("-30m"), "1970-01-01T00:30:00.000000Z");
        assert_eq!(at("-1d"), "1970-01-01T00:00:00.000000Z");
        assert_eq!(at("2027-01-31T09:00:00+01:00"), "2027-01-31T08:00:00.000000Z");
    }

    #[test]
    fn mistakes_say_how_it_is_written() {
        assert!(when("2027-01-31 08:00").unwrap_err().contains("2027-01-31T08:00:00Z"));
        assert!(when("+soon").unwrap_err().contains("write 30s"));
        let far = when("+9000years").unwrap().moment(Moment::MAX).unwrap_err();
        assert!(far.to_string().contains("9999"));
    }
}
