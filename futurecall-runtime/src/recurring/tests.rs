//! What a recurring rule promises: intervals without drift, and cron through clock changes all over the world.
#![expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

mod cron;
mod days;
mod policy;
mod refusal;
mod words;

use chrono::{DateTime, TimeZone};
use chrono_tz::Tz;

use super::Rule;
use crate::moment::Moment;

/// A wall-clock time with its offset, such as `2026-03-29T03:00:00+02:00`.
fn at(text: &str) -> Moment {
    Moment::try_from(DateTime::parse_from_rfc3339(text).unwrap()).unwrap()
}

fn cron(expression: &str, zone: &str) -> Rule {
    Rule::cron(expression, zone).unwrap()
}

/// The runs after `after`, on the wall clock of the rule's own zone, with their offsets.
fn runs(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let tz: Tz = zone.parse().unwrap();
    let after = at(after);
    let shown = |run: &Moment| tz.from_utc_datetime(&run.to_utc().naive_utc()).to_rfc3339();
    cron(expression, zone).upcoming(after, after, count).iter().map(shown).collect()
}
