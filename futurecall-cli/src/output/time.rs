//! Formats times for people.

use chrono::{Local, SecondsFormat, TimeZone};
use futurecall_runtime::Moment;
use futurecall_runtime::text::duration;

/// How times are shown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// In the local time zone instead of UTC.
    pub(crate) local: bool,
    /// The database's current time.
    pub(crate) now: Option<Moment>,
}

impl Clock {
    /// `2026-11-26 11:05:00Z`, or `2026-11-26 12:05:00+01:00`.
    pub(crate) fn absolute(self, moment: Moment) -> String {
        let utc = moment.to_utc();
        if self.local {
            Local
                .from_utc_datetime(&utc.naive_utc())
                .to_rfc3339_opts(SecondsFormat::Secs, false)
                .replacen('T', " ", 1)
        } else {
            utc.format("%Y-%m-%d %H:%M:%SZ").to_string()
        }
    }

    /// Formats the distance from now: `in 3 h 2 min`, `5 s ago`; nothing without a current time.
    pub(crate) fn relative(self, moment: Moment) -> Option<String> {
        let now = self.now?;
        let ahead = moment.saturating_since(now);
        if ahead.is_zero() {
            Some(format!("{} ago", duration(now.saturating_since(moment))))
        } else {
            Some(format!("in {}", duration(ahead)))
        }
    }

    /// Both.
    pub(crate) fn both(self, moment: Moment) -> String {
        let absolute = self.absolute(moment);
        self.relative(moment).map_or(absolute.clone(), |relative| format!("{absolute} ({relative})"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_say_how_far_they_are() {
        let now = Moment::from_micros(1_800_000_000_000_000).unwrap();
        let clock = Clock { local: false, now: Some(now) };
        let hour = Duration::from_hours(1);
        assert_eq!(clock.both(now.checked_add(hour).unwrap()), "2027-01-15 09:00:00Z (in 1 h 0 min)");
        assert_eq!(clock.relative(now).unwrap(), "0 ms ago");
        assert_eq!(Clock::default().both(now), "2027-01-15 08:00:00Z");
    }
}
