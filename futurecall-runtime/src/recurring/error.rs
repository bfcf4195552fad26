//! Why a rule is refused, and what to write instead.

use std::time::Duration;

use super::{Rule, zone};

/// Why a recurring rule is refused. The text says what to write instead.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// The cron expression cannot be read.
    #[error("the cron expression `{expression}` cannot be used: {reason}")]
    #[non_exhaustive]
    InvalidCron {
        /// The expression as it was given.
        expression: String,
        /// What is wrong with it, and what to write instead.
        reason: String,
    },
    /// The cron expression is well formed, but no day of the calendar matches it, such as 30 February.
    #[error(
        "the cron expression `{expression}` never runs: no day of any year matches its day, month and weekday; write a day \
         that the month has (`L` is its last one)"
    )]
    #[non_exhaustive]
    NeverRuns {
        /// The expression as it was given.
        expression: String,
    },
    /// The time zone is not in the IANA database that this program was built with.
    #[error("the time zone `{name}` is not known; {}", zone::advice(name, nearest.as_deref()))]
    #[non_exhaustive]
    UnknownTimeZone {
        /// The name as it was given.
        name: String,
        /// A name that is known and looks like it. None for an offset such as `GMT+2`: the name `Etc/GMT+2` has the
        /// opposite sign.
        nearest: Option<String>,
    },
    /// A time zone was given for an interval, which has none: it counts time, not days.
    #[error(
        "an interval has no time zone; remove `.time_zone(..)`, or write a cron expression for a time of day"
    )]
    ZoneWithoutCron,
    /// The interval is shorter than [`Rule::SHORTEST_INTERVAL`].
    #[error(
        "an interval of {} is too short; write {} or more",
        humantime::format_duration(*interval),
        humantime::format_duration(Rule::SHORTEST_INTERVAL)
    )]
    #[non_exhaustive]
    IntervalTooShort {
        /// The interval as it was given.
        interval: Duration,
    },
    /// The interval is longer than [`Rule::LONGEST_INTERVAL`].
    #[error(
        "an interval of {} seconds is too long; write {} seconds (100 years) or less",
        interval.as_secs(),
        Rule::LONGEST_INTERVAL.as_secs()
    )]
    #[non_exhaustive]
    IntervalTooLong {
        /// The interval as it was given.
        interval: Duration,
    },
    /// The rule's first run would be after the year 9999.
    #[error("the first run would be after the year 9999; write an earlier start or a shorter interval")]
    NoFurtherRun,
}

crate::words::debug_in_words!(RuleError);
