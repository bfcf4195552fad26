//! One kind of time inside the product: microseconds since 1970, within what both databases can hold.

use std::fmt;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeZone, Utc};
use serde::{Deserialize, Serialize};

/// A moment in time: whole microseconds since 1970-01-01 00:00:00 UTC, from the year 1970 to the end of 9999.
///
/// Finer moments round **up** to the next microsecond, so that nothing is ever early.
///
/// ```
/// use futurecall_runtime::Moment;
/// use futurecall_runtime::chrono::{TimeZone, Utc};
/// let new_year = Utc.with_ymd_and_hms(2027, 1, 1, 0, 0, 0).unwrap();
/// let moment = Moment::try_from(new_year).unwrap();
/// assert_eq!(moment.to_string(), "2027-01-01T00:00:00.000000Z");
/// assert_eq!(moment.to_utc(), new_year);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(i64);

/// A moment outside the years 1970 to 9999, which the databases cannot hold in order.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("the moment lies outside the years 1970 to 9999")]
#[non_exhaustive]
pub struct MomentOutOfRange;

/// What [`call_at_time`](crate::FutureCalls::call_at_time) takes: anything that names one instant.
///
/// Implemented for every [`DateTime<Tz>`](chrono::DateTime), [`SystemTime`] and [`Moment`]. Implement it for the types
/// of another time crate in one line, through [`Moment::from_unix_nanos`].
///
/// ```
/// use futurecall_runtime::schedule::ToMoment;
/// use futurecall_runtime::{Moment, MomentOutOfRange};
/// struct Timestamp { seconds: i64, nanos: u32 }
/// impl ToMoment for Timestamp {
///     fn to_moment(&self) -> Result<Moment, MomentOutOfRange> {
///         Moment::from_unix_nanos(i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanos))
///     }
/// }
/// assert_eq!(Timestamp { seconds: 1, nanos: 1 }.to_moment().unwrap().as_micros(), 1_000_001);
/// ```
pub trait ToMoment {
    /// The instant in UTC, rounded up to whole microseconds.
    fn to_moment(&self) -> Result<Moment, MomentOutOfRange>;
}

impl Moment {
    /// 1970-01-01 00:00:00 UTC.
    pub const MIN: Self = Self(0);
    /// The last microsecond of the year 9999, UTC.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// The moment that many microseconds after 1970 began.
    pub const fn from_micros(micros: i64) -> Result<Self, MomentOutOfRange> {
        if micros < Self::MIN.0 || micros > Self::MAX.0 { Err(MomentOutOfRange) } else { Ok(Self(micros)) }
    }

    /// The moment that many nanoseconds after 1970 began, rounded up to whole microseconds.
    pub fn from_unix_nanos(nanos: i128) -> Result<Self, MomentOutOfRange> {
        let micros = nanos.div_euclid(1_000) + i128::from(nanos.rem_euclid(1_000) != 0);
        i64::try_from(micros).map_err(|_| MomentOutOfRange).and_then(Self::from_micros)
    }

    /// Microseconds since 1970 began.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The same moment in chrono's words.
    pub fn to_utc(self) -> DateTime<Utc> {
        // In range by construction; the fallback is never taken.
        DateTime::from_timestamp_micros(self.0).unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// This moment moved forward (sub-microseconds round up), or an error past the year 9999.
    pub fn checked_add(self, delay: Duration) -> Result<Self, MomentOutOfRange> {
        let nanos = i128::try_from(delay.as_nanos()).map_err(|_| MomentOutOfRange)?;
        Self::from_unix_nanos(i128::from(self.0) * 1_000 + nanos)
    }

    /// How long after `earlier` this moment is; zero if it is not after it.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl ToMoment for Moment {
    fn to_moment(&self) -> Result<Moment, MomentOutOfRange> {
        Ok(*self)
    }
}

impl<Tz: TimeZone> ToMoment for DateTime<Tz> {
    /// A leap second (`23:59:60.5`) becomes the same fraction of the second that follows it.
    fn to_moment(&self) -> Result<Moment, MomentOutOfRange> {
        let nanos = i128::from(self.timestamp()) * 1_000_000_000 + i128::from(self.timestamp_subsec_nanos());
        Moment::from_unix_nanos(nanos)
    }
}

impl ToMoment for SystemTime {
    fn to_moment(&self) -> Result<Moment, MomentOutOfRange> {
        let since = self.duration_since(Self::UNIX_EPOCH).map_err(|_| MomentOutOfRange)?;
        Moment::MIN.checked_add(since)
    }
}

impl<Tz: TimeZone> TryFrom<DateTime<Tz>> for Moment {
    type Error = MomentOutOfRange;

    fn try_from(time: DateTime<Tz>) -> Result<Self, MomentOutOfRange> {
        time.to_moment()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_utc().format("%Y-%m-%dT%H:%M:%S%.6fZ"))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Moment({self})")
    }
}

crate::words::debug_in_words!(MomentOutOfRange);
