//! The JSON of records, shared by the command line, the dashboard and users' own pages.
//!
//! Keys are in `snake_case`, times are RFC 3339 strings in UTC, durations are seconds under keys that end in
//! `_seconds`, and unknown values are `null`. Arguments are left out: a caller that may show them adds them, after
//! [redaction](super::Redaction).

use std::time::Duration;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::{
    ActionRecord, AttemptRecord, CallRecord, CallState, Counts, DatabaseSetting, MigrationRecord, PausedName,
    PendingName, PodRecord, RunLog, ScheduleOrigin, ScheduleRecord, ScheduleState, Span, Statistics,
    TimelineCount,
};
use crate::moment::Moment;

/// A value as it is written to JSON. (A [`Moment`] by itself serializes as a number.)
pub(crate) trait Shown {
    fn shown(&self) -> impl Serialize + '_;
}

impl Shown for Moment {
    fn shown(&self) -> impl Serialize + '_ {
        self.to_string()
    }
}

impl Shown for Option<Moment> {
    fn shown(&self) -> impl Serialize + '_ {
        self.map(|moment| moment.to_string())
    }
}

/// In seconds.
impl Shown for Option<Duration> {
    fn shown(&self) -> impl Serialize + '_ {
        self.map(|duration| duration.as_secs_f64())
    }
}

/// Implements `Serialize` for records, with all of their fields except those left out. All fields are listed, so that
/// a new one is not forgotten.
macro_rules! json {
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
    (@value $field:ident) => { $field };
    (@value $field:ident shown) => { &$field.shown() };
    ($($record:ident without [$($left_out:ident),*] {
        $($field:ident $(as $key:literal)? $(: $form:ident)?),*
        $(; $($more:literal: $value:expr),*)?
    })*) => {$(
        impl Serialize for $record {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let Self { $($field,)* $($left_out,)* } = self;
                $(let _ = $left_out;)*
                let keys: &[&str] = &[$(json!(@key $field $($key)?),)* $($($more),*)?];
                let mut record = serializer.serialize_struct(stringify!($record), keys.len())?;
                $(record.serialize_field(json!(@key $field $($key)?), json!(@value $field $($form)?))?;)*
                $($(record.serialize_field($more, &$value)?;)*)?
                record.end()
            }
        }
    )*};
}

json! {
    CallRecord without [args, format, declined, attempts] {
        id, name, state, identifier, due: shown, next_attempt: shown, expires: shown, created: shown, finished: shown,
        attempt, priority, schedule, rerun_of, pod, lease_until: shown, start_proven, cancel_requested, broken, error
    }
    AttemptRecord without [] {
        number, outcome, started: shown, ended: shown, duration as "duration_seconds": shown, pod, error
    }
    ScheduleRecord without [args] {
        id, name, identifier, state, next: shown, reason, declared, effective, origin, anchor: shown, created: shown;
        "words": effective.describe(), "declared_words": declared.describe(), "edited": declared != effective
    }
    PodRecord without [shapes, redacted] {
        id, label, live, role, version, running, slots, started: shown, beat as "heartbeat": shown, names
    }
    Counts without [] {
        scheduled, due, running, succeeded, failed, interrupted, cancelled, expired, skipped, oldest_due: shown
    }
    Statistics without [durations, lateness] {
        name, span, start: shown, succeeded, failed, retried, interrupted, expired;
        "duration_p50_seconds": durations.quantile(0.5).shown(),
        "duration_p95_seconds": durations.quantile(0.95).shown(),
        "duration_p99_seconds": durations.quantile(0.99).shown(),
        "lateness_p50_seconds": lateness.quantile(0.5).shown(),
        "lateness_p95_seconds": lateness.quantile(0.95).shown(),
        "lateness_p99_seconds": lateness.quantile(0.99).shown()
    }
    ActionRecord without [] { id, at: shown, actor, verb, target, call, schedule, outcome }
    PausedName without [] { name, since: shown, actor, reason }
    RunLog without [] { attempt, at: shown, text }
    TimelineCount without [] { name, stretch, calls }
    PendingName without [] { name, calls }
    DatabaseSetting without [] { name, value }
    MigrationRecord without [sql] { version, name, applied: shown }
}

macro_rules! words {
    ($($kind:ident($value:ident) => $word:expr;)*) => {$(
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $value = self;
                serializer.serialize_str($word)
            }
        }
    )*};
}

words! {
    CallState(state) => state.as_str();
    ScheduleState(state) => state.as_str();
    ScheduleOrigin(origin) => match origin {
        ScheduleOrigin::Code => "code",
        ScheduleOrigin::Attribute => "attribute",
    };
    Span(span) => match span {
        Span::Minute => "minute",
        Span::Hour => "hour",
    };
}
