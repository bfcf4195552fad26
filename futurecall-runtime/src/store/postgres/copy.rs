//! Calls as the rows of a COPY: half the work for the server of what an insert of the same rows is.

use super::sql::{Timestamp, ahead, due_or_after};
use crate::moment::Moment;
use crate::store::NewCall;

/// What the rows are for.
pub(super) const COPY: &str = "
    COPY futurecall.call
        (id, name, priority, due_at, identifier, args, format, traceparent, expires_at, created_at)
    FROM STDIN (FORMAT binary)";

/// How many columns those are.
const COLUMNS: i16 = 10;

/// PostgreSQL's mark of a stream of rows in its binary form, then no flags, and nothing more in the head.
const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// The rows so far, and the earliest due moment in them.
pub(super) struct Rows {
    bytes: Vec<u8>,
    pub(super) earliest: Option<i64>,
}

impl Rows {
    /// The rows of these calls, stored at that moment (in microseconds).
    pub(super) fn of(calls: &[NewCall], now: i64) -> Self {
        let mut bytes = Vec::with_capacity(calls.iter().map(size).sum());
        bytes.extend_from_slice(HEAD);
        let mut rows = Self { bytes, earliest: None };
        for call in calls {
            rows.push(call, now);
        }
        rows
    }

    /// All of them, as the server takes them.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        self.bytes
    }

    fn push(&mut self, call: &NewCall, now: i64) {
        let (due, after) = due_or_after(call.due);
        let due = due.unwrap_or_else(|| now.saturating_add(after.unwrap_or(0)));
        let expires = call
            .expires_after
            .map(|time| due.max(now).saturating_add(ahead(time)).min(Moment::MAX.as_micros()));
        self.earliest = Some(self.earliest.map_or(due, |earliest| earliest.min(due)));
        self.bytes.extend_from_slice(&COLUMNS.to_be_bytes());
        self.field(Some(call.id.as_uuid().as_bytes()));
        self.field(Some(call.name.as_bytes()));
        self.field(Some(&call.priority.to_be_bytes()));
        self.field(Some(&Timestamp(due).bytes()));
        self.field(call.identifier.as_deref().map(str::as_bytes));
        self.field(Some(call.args.as_bytes()));
        self.field(Some(&call.format.to_be_bytes()));
        self.field(call.traceparent.as_deref().map(str::as_bytes));
        self.field(expires.map(|at| Timestamp(at).bytes()).as_ref().map(<[u8; 8]>::as_slice));
        self.field(Some(&Timestamp(now).bytes()));
    }

    fn field(&mut self, value: Option<&[u8]>) {
        // What is longer than the server takes has a length that it refuses.
        let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap_or(i32::MAX));
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(value.unwrap_or_default());
    }
}

/// About how many bytes a row takes.
fn size(call: &NewCall) -> usize {
    let texts = [Some(&call.name), Some(&call.args), call.identifier.as_ref(), call.traceparent.as_ref()];
    100 + texts.into_iter().flatten().map(String::len).sum::<usize>()
}
