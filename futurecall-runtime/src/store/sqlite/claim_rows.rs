//! Calls as a claim gathers them: one JSON array for each.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use crate::id::{CallId, ScheduleId};
use crate::moment::Moment;
use crate::store::ClaimedCall;

/// A call as [`GATHER`](super::claim::GATHER) gives it: id, name, identifier, arguments, format, priority, moment, attempt, schedule, trace,
/// first moment, expiry, failures.
#[derive(Deserialize)]
pub(super) struct Gathered(
    Uuid,
    String,
    Option<String>,
    String,
    i16,
    i16,
    #[serde(deserialize_with = "moment_of")] Moment,
    u32,
    Option<Uuid>,
    Option<String>,
    #[serde(deserialize_with = "perhaps_moment_of")] Option<Moment>,
    #[serde(deserialize_with = "perhaps_moment_of")] Option<Moment>,
    u32,
);

fn moment_of<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Moment, D::Error> {
    Moment::from_micros(i64::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn perhaps_moment_of<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Moment>, D::Error> {
    let micros = Option::<i64>::deserialize(deserializer)?;
    micros.map(Moment::from_micros).transpose().map_err(D::Error::custom)
}

impl Gathered {
    pub(super) fn claimed(self, claim_no: i64, now: Moment) -> ClaimedCall {
        let Self(id, name, identifier, args, format, priority, due, attempt, schedule, traceparent, ..) =
            self;
        let Self(.., first_due, expires, failures) = self;
        ClaimedCall {
            id: CallId::from_uuid(id),
            claim_no,
            name,
            identifier,
            args,
            format,
            priority,
            due,
            first_due: first_due.unwrap_or(due),
            expires,
            failures,
            claimed: now,
            attempt,
            schedule: schedule.map(ScheduleId::from_uuid),
            traceparent,
        }
    }
}
