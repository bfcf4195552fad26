//! The boundaries of an interval: `anchor + n × interval`, always counted from the anchor, so that nothing drifts.

use std::num::NonZeroU64;

use crate::moment::Moment;
use crate::text::exact;

/// The first boundary that is not before `moment`; none past the year 9999.
pub(super) fn at_or_after(anchor: Moment, interval: NonZeroU64, moment: Moment) -> Option<Moment> {
    boundary_after(anchor, interval, i128::from(moment.as_micros()).checked_sub(1)?)
}

/// The first boundary later than `moment`; none past the year 9999.
pub(super) fn after(anchor: Moment, interval: NonZeroU64, moment: Moment) -> Option<Moment> {
    boundary_after(anchor, interval, i128::from(moment.as_micros()))
}

/// An interval in words: `every 15 min`, `every 1 h 30 min`, `every day`.
pub(super) fn describe(interval_us: u64) -> String {
    let words = exact(interval_us);
    match words.as_str() {
        "1 d" => "every day".to_owned(),
        "1 h" => "every hour".to_owned(),
        "1 min" => "every minute".to_owned(),
        "1 s" => "every second".to_owned(),
        _ => format!("every {words}"),
    }
}

fn boundary_after(anchor: Moment, interval: NonZeroU64, micros: i128) -> Option<Moment> {
    let anchor_us = i128::from(anchor.as_micros());
    if micros < anchor_us {
        return Some(anchor);
    }
    let interval = i128::from(interval.get());
    let whole = micros.checked_sub(anchor_us)?.checked_div(interval)?;
    let boundary = whole.checked_add(1)?.checked_mul(interval)?.checked_add(anchor_us)?;
    i64::try_from(boundary).ok().and_then(|micros| Moment::from_micros(micros).ok())
}
