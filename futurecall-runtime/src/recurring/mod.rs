//! Recurring rules: when a schedule runs next, as pure arithmetic. No clock is read here and nothing is stored.
#![deny(clippy::arithmetic_side_effects)]

mod cron;
mod error;
mod expression;
mod interval;
#[cfg(test)]
mod tests;
mod words;
mod zone;

use std::borrow::Cow;
use std::num::NonZeroU64;
use std::time::Duration;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::moment::Moment;
use cron::Cron;

pub use error::RuleError;

/// A recurring rule: when a schedule runs, and what becomes of runs that were missed or that would overlap.
///
/// ```
/// use std::time::Duration;
/// use futurecall_runtime::Moment;
/// use futurecall_runtime::recurring::Rule;
/// let rule = Rule::every(Duration::from_secs(900)).unwrap();
/// assert_eq!(rule.describe(), "every 15 min");
///
/// let now = Moment::from_micros(1_000_000).unwrap();
/// let first = rule.first(now).unwrap();
/// assert_eq!(first, now.checked_add(Duration::from_secs(900)).unwrap());
/// // The pod was down for an hour: the run that was due happens once, and the rule goes on from the next boundary.
/// let later = first.checked_add(Duration::from_secs(3_601)).unwrap();
/// let advance = rule.advance(first, first, later).unwrap();
/// assert!(advance.run);
/// assert_eq!(advance.next, Some(first.checked_add(Duration::from_secs(5 * 900)).unwrap()));
/// ```
///
/// # Stored format
///
/// Rules stand in the database as JSON. The names of the fields and variants below are a stored format: they may be
/// added to, never renamed. Unknown fields are ignored; `missed`, `overlap`, `starting_at` and `time_zone` may be
/// absent. Moments are microseconds since 1970.
///
/// ```
/// use futurecall_runtime::recurring::Rule;
/// use futurecall_runtime::serde_json;
/// let every = r#"{"recurrence":{"every":{"interval_us":900000000}},"missed":"run_once","overlap":"skip"}"#;
/// let cron = r#"{"recurrence":{"cron":{"expression":"0 2 * * *","time_zone":"UTC"}},"missed":"skip","overlap":"allow"}"#;
/// for stored in [every, cron] {
///     let rule: Rule = serde_json::from_str(stored).unwrap();
///     assert_eq!(serde_json::to_string(&rule).unwrap(), stored);
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rule {
    /// When the schedule runs.
    pub recurrence: Recurrence,
    /// What becomes of runs that were missed.
    #[serde(default)]
    pub missed: Missed,
    /// What becomes of a run that is due while the one before is still going.
    #[serde(default)]
    pub overlap: Overlap,
}

/// When a schedule runs: at a fixed interval, or by the calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Recurrence {
    /// At `starting_at` (or one interval after the declaration), and then every `interval_us` microseconds, without
    /// drift: run n is due exactly n intervals after the first. Clock changes do not move it.
    Every {
        /// Microseconds from one run to the next, 1,000 (one millisecond) to 100 years.
        interval_us: u64,
        /// The first run. One in the past fixes the phase: the first run is then the next boundary.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        starting_at: Option<Moment>,
    },
    /// By a cron expression, on the wall clock of a time zone. See [`Rule::cron`].
    Cron {
        /// Five fields, six with seconds first, or a nickname such as `@daily`.
        expression: String,
        /// The IANA name of the time zone.
        #[serde(default = "utc")]
        time_zone: String,
        /// No run is due before this moment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        starting_at: Option<Moment>,
    },
}

/// What becomes of runs that were missed because no pod was up to run them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Missed {
    /// However many were missed, one run makes up for them; then the rule goes on from the next boundary in the
    /// future. The default.
    #[default]
    RunOnce,
    /// None is made up for. A run counts as missed when it is looked at 60 seconds late or later, or when the run
    /// after it is due as well; a run that is merely a little late still happens.
    Skip,
    /// Every one is made up for, in order.
    RunAll,
}

/// What becomes of a run that is due while the one before is still going.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Overlap {
    /// It is skipped, visibly. The default.
    #[default]
    Skip,
    /// It starts beside the other.
    Allow,
}

/// What [`Rule::advance`] decided about one due run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Advance {
    /// Whether the run that is due happens. `false`: it was missed, and the rule says to skip missed runs.
    pub run: bool,
    /// When the run after it is due. `None`: never again within reach (the year 9999), which ends the schedule.
    pub next: Option<Moment>,
}

/// What `.time_zone(..)` takes: the IANA name as text, or a [`chrono_tz::Tz`].
///
/// ```
/// use chrono_tz::Europe;
/// use futurecall_runtime::recurring::ToTimeZone;
/// assert_eq!("Europe/Berlin".time_zone_name(), Europe::Berlin.time_zone_name());
/// ```
pub trait ToTimeZone {
    /// The name of the time zone in the IANA database, such as `Europe/Berlin`. It is checked when the rule is made.
    fn time_zone_name(&self) -> Cow<'_, str>;
}

/// A run that is looked at this late was missed.
const MISSED_AFTER: Duration = Duration::from_mins(1);

/// Previews stop here, so that a mistaken count cannot fill the memory.
const MOST_UPCOMING: usize = 1_000;

impl Rule {
    /// The shortest interval: one millisecond.
    ///
    /// Each run costs two short transactions, so that no database keeps up with less; below it stand only mistakes,
    /// such as a zero, or nanoseconds meant as milliseconds.
    pub const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

    /// The longest interval: 36,525 days, which are 100 years.
    pub const LONGEST_INTERVAL: Duration = Duration::from_hours(36_525 * 24);

    /// A run every `interval`, from [`SHORTEST_INTERVAL`](Self::SHORTEST_INTERVAL) to
    /// [`LONGEST_INTERVAL`](Self::LONGEST_INTERVAL); fractions of a microsecond round up.
    pub fn every(interval: Duration) -> Result<Self, RuleError> {
        let interval_us = u64::try_from(interval.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
        Self::checked(Recurrence::Every { interval_us, starting_at: None })
    }

    /// Runs by a cron expression on the wall clock of a time zone, named as in the IANA database (`"UTC"`,
    /// `"Europe/Berlin"`).
    ///
    /// The expression has five fields (minute, hour, day of the month, month, day of the week), six with seconds
    /// first, or is one of `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`, `@annually`. A field is `*`, a
    /// number, a name (`JAN`, `MON`), a list (`1,5`), a range (`1-5`) or steps (`*/10`, `8-18/2`). Sunday is 0 and 7.
    /// `L` is the last day of the month, `LW` its last working day (Monday to Friday), `15W` the working day nearest to the
    /// 15th, `5L` the last Friday, `5#2` the second Friday.
    ///
    /// # The two day fields
    ///
    /// As in Vixie cron. Where both the day of the month and the day of the week are given, a day that matches
    /// **either** runs (`0 9 13 * FRI`: each 13th, and each Friday). Where one of them begins with `*`, a day has to match
    /// **both**: a lone `*` matches every day, and a step narrows the other field (`0 9 */2 * MON`: Mondays with an odd
    /// number; `1-31/2` begins with no star, and gives all odd days and all Mondays). A `+` before the weekday asks for
    /// both as well (`0 9 13 * +FRI`: Friday the 13th).
    ///
    /// # Clock changes
    ///
    /// As Vixie cron does it. Where neither seconds, minutes nor hours are wild (`*`, `*/n` or the whole range), the
    /// rule names **fixed times**, and each happens once:
    /// - a time that the clock skips runs at the first instant after the gap (`30 2 * * *` at 03:00; several in one
    ///   gap make one run), even where a zone left out a whole day;
    /// - a time that happens twice runs the first time only.
    ///
    /// Any other rule follows the wall clock: what the clock skips does not run, what it repeats runs again.
    ///
    /// ```
    /// use futurecall_runtime::recurring::Rule;
    /// let rule = Rule::cron("0 2 * * MON-FRI", "Europe/Berlin").unwrap();
    /// assert!(rule.describe().starts_with("At 02:00, on Monday"));
    ///
    /// let refused = Rule::cron("0 25 * * *", "UTC").unwrap_err();
    /// assert!(refused.to_string().contains("`25` is not an hour: write 0 to 23"));
    /// let refused = Rule::cron("0 2 * * *", "Berlin").unwrap_err();
    /// assert!(refused.to_string().contains("Europe/Berlin"));
    /// ```
    pub fn cron(expression: &str, time_zone: &str) -> Result<Self, RuleError> {
        Self::checked(Recurrence::Cron {
            // The same rule written with other spaces is the same rule.
            expression: expression.split_ascii_whitespace().collect::<Vec<_>>().join(" "),
            time_zone: time_zone.to_owned(),
            starting_at: None,
        })
    }

    /// The same rule, starting at `moment`: an interval's runs are due then and every interval after it; a cron
    /// rule's runs are not due before.
    #[must_use]
    pub fn starting_at(mut self, moment: Moment) -> Self {
        match &mut self.recurrence {
            Recurrence::Every { starting_at, .. } | Recurrence::Cron { starting_at, .. } => {
                *starting_at = Some(moment);
            }
        }
        self
    }

    /// Whether a rule that was put together or stored elsewhere can be used. What [`every`](Self::every) and
    /// [`cron`](Self::cron) return always can.
    pub fn validate(&self) -> Result<(), RuleError> {
        match &self.recurrence {
            Recurrence::Every { interval_us, .. } => {
                let interval = Duration::from_micros(*interval_us);
                if interval < Self::SHORTEST_INTERVAL {
                    Err(RuleError::IntervalTooShort { interval })
                } else if interval > Self::LONGEST_INTERVAL {
                    Err(RuleError::IntervalTooLong { interval })
                } else {
                    Ok(())
                }
            }
            Recurrence::Cron { expression, time_zone, .. } => Cron::parse(expression, time_zone).map(|_| ()),
        }
    }

    /// The first run of a rule that takes effect at `now` by the database's clock: the rule's first moment that is
    /// not before `now`.
    ///
    /// An interval starts at `starting_at`, or one interval from `now`. Where `starting_at` has passed, the first run
    /// is the next boundary `starting_at + n × interval`, and nothing before `now` counts as missed.
    ///
    /// [`RuleError::NoFurtherRun`] where that would be after the year 9999.
    pub fn first(&self, now: Moment) -> Result<Moment, RuleError> {
        let anchor = match &self.recurrence {
            Recurrence::Every { interval_us, starting_at: None } => {
                now.checked_add(Duration::from_micros(*interval_us)).map_err(|_| RuleError::NoFurtherRun)?
            }
            Recurrence::Every { starting_at: Some(start), .. } => *start,
            Recurrence::Cron { .. } => now,
        };
        self.runs(anchor)?.at_or_after(now).ok_or(RuleError::NoFurtherRun)
    }

    /// What becomes of the run due at `due`, looked at `now`, and when the next one is due.
    ///
    /// `anchor` is the moment of the rule's first run: an interval's boundaries are counted from it, so that neither
    /// lateness nor a moved run shifts those that follow. `next` is always later than `due`, and except under
    /// [`Missed::RunAll`] later than `now`.
    pub fn advance(&self, anchor: Moment, due: Moment, now: Moment) -> Result<Advance, RuleError> {
        let runs = self.runs(anchor)?;
        let upcoming = || runs.after(now.max(due));
        Ok(match self.missed {
            Missed::RunOnce => Advance { run: true, next: upcoming() },
            Missed::RunAll => Advance { run: true, next: runs.after(due) },
            Missed::Skip => {
                let late = now.saturating_since(due) >= MISSED_AFTER;
                let overtaken = runs.after(due).is_some_and(|following| following <= now);
                Advance { run: !late && !overtaken, next: upcoming() }
            }
        })
    }

    /// The next `count` runs after `after`, for previews: at most 1,000, fewer where the rule ends (the year 9999),
    /// none where the rule is not valid.
    pub fn upcoming(&self, anchor: Moment, after: Moment, count: usize) -> Vec<Moment> {
        let Ok(runs) = self.runs(anchor) else { return Vec::new() };
        std::iter::successors(runs.after(after), |last| runs.after(*last))
            .take(count.min(MOST_UPCOMING))
            .collect()
    }

    /// The rule in words, such as `every 15 min` or `At 02:00, on Monday (Europe/Berlin)`, for people to read.
    pub fn describe(&self) -> String {
        let (words, start) = match &self.recurrence {
            Recurrence::Every { interval_us, starting_at } => (interval::describe(*interval_us), starting_at),
            Recurrence::Cron { expression, time_zone, starting_at } => {
                let words = Cron::parse(expression, time_zone).map(|cron| cron.describe());
                (words.unwrap_or_else(|_| format!("{expression} ({time_zone})")), starting_at)
            }
        };
        match start {
            Some(start) => format!("{words}, from {start}"),
            None => words,
        }
    }

    fn checked(recurrence: Recurrence) -> Result<Self, RuleError> {
        let rule = Self { recurrence, missed: Missed::default(), overlap: Overlap::default() };
        rule.validate().map(|()| rule)
    }

    fn runs(&self, anchor: Moment) -> Result<Runs, RuleError> {
        match &self.recurrence {
            Recurrence::Every { interval_us, .. } => {
                // Bounds may tighten between releases; a stored rule goes on as long as it can be computed at all.
                let interval = NonZeroU64::new(*interval_us)
                    .ok_or(RuleError::IntervalTooShort { interval: Duration::ZERO })?;
                Ok(Runs::Every { anchor, interval })
            }
            Recurrence::Cron { expression, time_zone, starting_at } => {
                let start = starting_at.unwrap_or(Moment::MIN);
                Ok(Runs::Cron { cron: Box::new(Cron::parse(expression, time_zone)?), start })
            }
        }
    }
}

/// All moments of one rule.
enum Runs {
    Every { anchor: Moment, interval: NonZeroU64 },
    Cron { cron: Box<Cron>, start: Moment },
}

impl Runs {
    fn at_or_after(&self, moment: Moment) -> Option<Moment> {
        match self {
            Self::Every { anchor, interval } => interval::at_or_after(*anchor, *interval, moment),
            Self::Cron { cron, start } => cron.at_or_after(moment.max(*start)),
        }
    }

    fn after(&self, moment: Moment) -> Option<Moment> {
        match self {
            Self::Every { anchor, interval } => interval::after(*anchor, *interval, moment),
            Self::Cron { cron, start } if moment < *start => cron.at_or_after(*start),
            Self::Cron { cron, .. } => cron.after(moment),
        }
    }
}

impl ToTimeZone for str {
    fn time_zone_name(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

impl ToTimeZone for String {
    fn time_zone_name(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

impl ToTimeZone for Tz {
    fn time_zone_name(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.name())
    }
}

impl<T: ToTimeZone + ?Sized> ToTimeZone for &T {
    fn time_zone_name(&self) -> Cow<'_, str> {
        (**self).time_zone_name()
    }
}

fn utc() -> String {
    "UTC".to_owned()
}
