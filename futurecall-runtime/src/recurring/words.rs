//! A cron rule in words, for people to read.
//!
//! The words are croner's. What it would say of some patterns is not what they do; the pattern is put before it in another
//! form then.

use croner::{CronComponent, CronPattern};

const LAST_DAY: &str = "the last day of the month";
const LAST_WEEKDAY: &str = "the last weekday (Monday to Friday) of the month";
const NEAREST: &str = "the weekday nearest day";
const NEAREST_WEEKDAY: &str = "the weekday (Monday to Friday) nearest day";

/// Says when a rule runs, such as `At 02:00, on Monday`, without a full stop.
pub(super) fn describe(pattern: &CronPattern) -> String {
    let fields: Vec<&str> = pattern.as_str().split_ascii_whitespace().collect();
    let mut said = pattern.clone();
    // From the right: the first of five fields is the minute, of six the second.
    let places = [
        &mut said.days_of_week,
        &mut said.months,
        &mut said.days,
        &mut said.hours,
        &mut said.minutes,
        &mut said.seconds,
    ];
    for (component, field) in places.into_iter().zip(fields.iter().rev()) {
        if !goes_round(component, field) {
            // Its values are listed.
            component.step = 1;
        }
    }
    // Sunday is 0 and 7, and is said once.
    for bits in 0..u8::BITS {
        // An error means that the field knows no such thing.
        let _ = said.days_of_week.unset_bit(7, 1 << bits);
    }
    let mut words = said.describe();
    let day = fields.iter().rev().nth(2).copied().unwrap_or_default();
    if day.split(',').any(|item| item.eq_ignore_ascii_case("LW")) {
        words = words.replace(LAST_DAY, LAST_WEEKDAY);
    }
    let words = words.replace(NEAREST, NEAREST_WEEKDAY);
    words.strip_suffix('.').unwrap_or(&words).to_owned()
}

/// Whether a field is `*/n`, and n divides what the field counts: only then it is every n-th, without end.
fn goes_round(component: &CronComponent, field: &str) -> bool {
    let count = u32::from(component.max).saturating_sub(u32::from(component.min)).saturating_add(1);
    let step = field.strip_prefix(['*', '?']).and_then(|rest| rest.strip_prefix('/'));
    step.and_then(|step| step.parse::<u32>().ok()).is_some_and(|step| step > 0 && count.is_multiple_of(step))
}
