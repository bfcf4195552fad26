//! `Debug` of rows that shows only the size of arguments, because its output ends up in logs.

use std::collections::BTreeSet;
use std::fmt;

use super::{CallRecord, ClaimedCall, KeySet, NewCall, NewLog, NewSchedule, RunLog, ScheduleRecord};
use crate::args::Size;

/// Implements `Debug` for rows with arguments. All fields are listed, so that a new one is not forgotten.
macro_rules! without_arguments {
    ($($row:ident { $($field:ident),* $(,)? })*) => {$(
        impl fmt::Debug for $row {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Self { $($field,)* args } = self;
                let mut shown = f.debug_struct(stringify!($row));
                $(shown.field(stringify!($field), $field);)*
                shown.field("args", &Size::of(args)).finish()
            }
        }
    )*};
}

without_arguments! {
    NewCall { id, name, identifier, format, priority, due, expires_after, traceparent }
    NewSchedule { id, key, former_keys, name, identifier, format, priority, rule, origin }
    ClaimedCall {
        id, claim_no, name, identifier, format, priority, due, first_due, expires, failures, claimed, attempt, schedule,
        traceparent,
    }
    CallRecord {
        id, name, format, identifier, priority, due, state, attempt, broken, declined, next_attempt, expires, schedule, rerun_of,
        created, finished,
        pod, lease_until, start_proven, cancel_requested, error, attempts,
    }
    ScheduleRecord { id, name, identifier, declared, effective, origin, state, reason, next, anchor, created }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, keys, calls, first } = self;
        let mut shown = f.debug_struct("KeySet");
        // If a call takes a map, its keys are arguments.
        let keys = &keys.as_ref().map(BTreeSet::len);
        shown.field("format", format).field("keys", keys).field("calls", calls).field("first", first).finish()
    }
}

impl fmt::Debug for NewLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, attempt, text } = self;
        let mut shown = f.debug_struct("NewLog");
        shown.field("id", id).field("attempt", attempt).field("text", &Size::of(text)).finish()
    }
}

impl fmt::Debug for RunLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempt, text, at } = self;
        let mut shown = f.debug_struct("RunLog");
        shown.field("attempt", attempt).field("text", &Size::of(text)).field("at", at).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::CallId;
    use crate::store::Due;

    #[test]
    fn a_row_shows_how_large_its_arguments_are_and_not_what_they_say() {
        let call = NewCall {
            id: CallId::new(),
            name: "mail.send".to_owned(),
            identifier: Some("user:1".to_owned()),
            args: r#"{"to":"secret"}"#.to_owned(),
            format: 1,
            priority: 0,
            due: Due::After(std::time::Duration::ZERO),
            expires_after: None,
            traceparent: None,
        };
        let shown = format!("{call:?}");
        assert!(shown.contains("mail.send") && shown.contains("user:1"), "{shown}");
        assert!(shown.contains("args: 15 bytes"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}
