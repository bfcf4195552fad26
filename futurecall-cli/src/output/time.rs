//! Moments and durations as people read them.

use std::time::Duration;

use chrono::{Local, SecondsFormat, TimeZone};
use futurecall_runtime::Moment;

/// How moments are shown, and from when they are seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// In this machine's zone instead of UTC.
    pub(crate) local: bool,
    /// The database's clock when it was asked.
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

    /// `in 3 h 2 min`, `5 s ago`; nothing where it is not known when now is.
    pub(crate) fn relative(self, moment: Moment) -> Option<String> {
        let now = self.now?;
        let ahead = moment.saturating_since(now);
        if ahead.is_zero() {
            Some(format!("{} ago", roughly(now.saturating_since(moment))))
        } else {
            Some(format!("in {}", roughly(ahead)))
        }
    }

    /// Both.
    pub(crate) fn both(self, moment: Moment) -> String {
        let absolute = self.absolute(moment);
        self.relative(moment).map_or(absolute.clone(), |relative| format!("{absolute} ({relative})"))
    }
}

/// A duration in its two largest units.
pub(crate) fn roughly(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, 0) if duration.as_millis() == 0 && !duration.is_zero() => {
            format!("{} µs", duration.as_micros())
        }
        (0, 0, 0, 0) => format!("{} ms", duration.as_millis()),
        (0, 0, 0, seconds) if seconds < 10 => format!("{seconds}.{} s", duration.subsec_millis() / 100),
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, ..) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_their_two_largest_units() {
        for (millis, shown) in [
            (0, "0 ms"),
            (250, "250 ms"),
            (1_250, "1.2 s"),
            (59_000, "59 s"),
            (61_000, "1 min 1 s"),
            (3_600_000, "1 h 0 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(roughly(Duration::from_millis(millis)), shown);
        }
        assert_eq!(roughly(Duration::from_micros(12)), "12 µs");
    }

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
