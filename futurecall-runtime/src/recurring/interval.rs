//! The boundaries of an interval: `anchor + n × interval`, always counted from the anchor, so that nothing drifts.

use std::num::NonZeroU64;

use crate::moment::Moment;

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
    const UNITS: [(u64, &str, &str); 6] = [
        (86_400_000_000, "day", "days"),
        (3_600_000_000, "hour", "h"),
        (60_000_000, "minute", "min"),
        (1_000_000, "second", "s"),
        (1_000, "millisecond", "ms"),
        (1, "microsecond", "µs"),
    ];
    if let Some((_, one, _)) = UNITS.iter().find(|(size, ..)| *size == interval_us) {
        return format!("every {one}");
    }
    let mut rest = interval_us;
    let mut words = vec!["every".to_owned()];
    for (size, one, many) in UNITS {
        let count = rest.checked_div(size).unwrap_or(0);
        rest = rest.checked_rem(size).unwrap_or(0);
        match count {
            0 => {}
            1 if one == "day" => words.push("1 day".to_owned()),
            _ => words.push(format!("{count} {many}")),
        }
    }
    words.join(" ")
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
