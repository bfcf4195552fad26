//! The statements' common language: how a template becomes SQL, and how rows and moments are read and bound.
//!
//! Templates are written against the schema `futurecall`, as the migrations are, and name the recurring pieces in
//! braces. Every template's first parameter is the moment that `{now}` stands for.
//!
//! Statements that run all the time are planned once. Parameters whose value would change the plan are wrapped in a
//! `SELECT`, and joins with `call` are written so that a plan made on an empty table still suits a full one.

use std::fmt;
use std::time::Duration;

use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::{Oid, PgInterval};
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgHasArrayType, PgRow, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Postgres, Row as _, Type, ValueRef as _};
use uuid::Uuid;

use crate::error::StoreError;
use crate::moment::Moment;
use crate::store::columns::{Columns, StoredRow};
use crate::store::{ClaimRequest, Due, Now, OnVanish, Result};

/// A statement with its parameters.
pub(super) type Query = sqlx::query::Query<'static, Postgres, PgArguments>;

/// A row that the hot statements read by the places of its columns could not be read as what it should be.
pub(super) type Reading<T> = Result<T, sqlx::Error>;

/// A row of an answer.
pub(super) type Row = StoredRow<PgRow>;

impl Columns for Row {
    fn uuid(&self, column: &str) -> Result<Option<Uuid>> {
        self.column(column)
    }

    fn text(&self, column: &str) -> Result<Option<String>> {
        self.column(column)
    }

    fn number(&self, column: &str) -> Result<Option<i64>> {
        Ok(self.column::<Option<Integer>>(column)?.map(|number| number.0))
    }

    fn flag(&self, column: &str) -> Result<Option<bool>> {
        self.column(column)
    }

    /// What was written past the year 9999 (a lease) reads as its last moment.
    fn moment(&self, column: &str) -> Result<Option<Moment>> {
        Ok(self.column::<Option<Timestamp>>(column)?.map(|since_1970| clamped(since_1970.0)))
    }

    fn unfit(&self, column: &str, why: impl fmt::Display) -> StoreError {
        self.misfit(column, why)
    }
}

/// An integer of any width.
struct Integer(i64);

impl Type<Postgres> for Integer {
    fn type_info() -> PgTypeInfo {
        <i64 as Type<Postgres>>::type_info()
    }

    fn compatible(kind: &PgTypeInfo) -> bool {
        [<i16 as Type<Postgres>>::type_info(), <i32 as Type<Postgres>>::type_info(), Self::type_info()]
            .contains(kind)
    }
}

impl Decode<'_, Postgres> for Integer {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        // The driver reads as many bytes as there are.
        <i64 as Decode<Postgres>>::decode(value).map(Self)
    }
}

/// The SQL of a template, in that schema. The schema's name is the only text that gets into it; it was checked when the
/// store was made.
pub(super) fn expanded(template: &str, schema: &str) -> String {
    let mut sql = String::with_capacity(template.len() * 2);
    expand(template, &mut sql);
    in_schema(&sql, schema)
}

/// SQL that was written against the schema `futurecall`, for another one.
pub(super) fn in_schema(sql: &str, schema: &str) -> String {
    sql.replace("futurecall.", &format!("\"{schema}\"."))
}

/// The `{now}` of a statement: none is the database's own clock.
pub(super) fn at(now: Now) -> Option<Timestamp> {
    match now {
        Now::Database => None,
        Now::At(moment) => Some(moment.into()),
    }
}

/// A moment as PostgreSQL's own kind, which costs the server nothing to read, in microseconds since 1970. (To make one of a
/// number is half a dozen operations, set up for each statement and done for each row.)
#[derive(Clone, Copy, Debug)]
pub(super) struct Timestamp(pub(super) i64);

impl Timestamp {
    /// As the server keeps it.
    pub(super) fn bytes(self) -> [u8; 8] {
        self.0.saturating_sub(YEAR_2000).to_be_bytes()
    }
}

impl From<Moment> for Timestamp {
    fn from(moment: Moment) -> Self {
        Self(moment.as_micros())
    }
}

impl Type<Postgres> for Timestamp {
    fn type_info() -> PgTypeInfo {
        // timestamptz
        PgTypeInfo::with_oid(Oid(1184))
    }

    fn compatible(kind: &PgTypeInfo) -> bool {
        *kind == Self::type_info() || *kind == <i64 as Type<Postgres>>::type_info()
    }
}

impl Decode<'_, Postgres> for Timestamp {
    /// Also reads microseconds since 1970. (To have the server make these of a `timestamptz` costs it more than reading the
    /// row does.)
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let is_timestamp = *value.type_info() == Self::type_info();
        let micros = <i64 as Decode<Postgres>>::decode(value)?;
        Ok(Self(if is_timestamp { micros.saturating_add(YEAR_2000) } else { micros }))
    }
}

impl PgHasArrayType for Timestamp {
    fn array_type_info() -> PgTypeInfo {
        // timestamptz[]
        PgTypeInfo::with_oid(Oid(1185))
    }
}

impl Encode<'_, Postgres> for Timestamp {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend(self.bytes());
        Ok(IsNull::No)
    }
}

/// Binds what `{claim}` wants, and for `{vanish}` what happens to calls of each name if the pod vanishes.
pub(super) fn bind_claim(query: Query, now: Now, request: &ClaimRequest) -> Query {
    let rerun = request.names.iter().filter_map(|(name, on_vanish)| match on_vanish {
        OnVanish::Rerun { budget, after } => Some((name.clone(), [i64::from(*budget), ahead(*after)].into())),
        OnVanish::Keep => None,
    });
    let rerun: serde_json::Map<String, serde_json::Value> = rerun.collect();
    bind_lease(query, now, request).bind(serde_json::Value::Object(rerun).to_string())
}

/// Binds what `{claim}` wants.
pub(super) fn bind_lease(query: Query, now: Now, request: &ClaimRequest) -> Query {
    query.bind(at(now)).bind(request.pod.as_uuid()).bind(request.claim_no).bind(interval(request.lease))
}

/// Until how many of its pods have vanished a call of that name is run again, and how many microseconds after.
pub(super) fn vanishing(request: &ClaimRequest, name: &str) -> (i16, i64) {
    match request.on_vanish(name) {
        OnVanish::Rerun { budget, after } => (i16::try_from(budget).unwrap_or(i16::MAX), ahead(after)),
        OnVanish::Keep => (0, 0),
    }
}

/// A span of time in microseconds, rounded up. What no database can hold becomes more than any can hold.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos().div_ceil(1_000)).unwrap_or(i64::MAX)
}

/// A span to be added to a moment: cut so that the sum stays within what PostgreSQL's timestamps hold, and still
/// reaches the last moment that we know.
pub(super) fn ahead(duration: Duration) -> i64 {
    micros(duration).min(Moment::MAX.as_micros())
}

/// The same as PostgreSQL's own kind of span, which costs the server nothing to read.
pub(super) fn interval(duration: Duration) -> PgInterval {
    span(ahead(duration))
}

/// So many microseconds.
pub(super) fn span(microseconds: i64) -> PgInterval {
    PgInterval { months: 0, days: 0, microseconds }
}

/// A `timestamptz` column that is never empty, by its place: to find it by its name, in each row, takes longer than to read
/// it.
pub(super) fn timestamp(row: &PgRow, column: usize) -> Reading<Moment> {
    timestamp_or_none(row, column)?.ok_or_else(|| sqlx::Error::ColumnNotFound(column.to_string()))
}

/// A `timestamptz` column by its place.
pub(super) fn timestamp_or_none(row: &PgRow, column: usize) -> Reading<Option<Moment>> {
    let value = row.try_get_raw(column)?;
    if value.is_null() {
        return Ok(None);
    }
    let since_2000 = <i64 as Decode<Postgres>>::decode(value).map_err(sqlx::Error::Decode)?;
    Ok(Some(clamped(since_2000.saturating_add(YEAR_2000))))
}

/// Microseconds from 1970 to 2000.
const YEAR_2000: i64 = 946_684_800_000_000;

/// A moment that a database knows, as one that we know.
pub(super) fn clamped(micros: i64) -> Moment {
    Moment::from_micros(micros).unwrap_or(if micros < 0 { Moment::MIN } else { Moment::MAX })
}

/// Writes the template with its pieces in full.
fn expand(template: &str, sql: &mut String) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        sql.push_str(before);
        let (piece, after) = after.split_once('}').unwrap_or((after, ""));
        match piece.split_once(' ') {
            Some(("at", moment)) => push_moment(moment, sql),
            Some(("span", micros)) => push_span(micros, sql),
            Some(("ago", micros)) => {
                // In microseconds, because PostgreSQL's timestamps do not reach as far back as a span may.
                let mut ago = String::new();
                expand("greatest({now_us} - ", &mut ago);
                push_moment(&(ago + micros + ", 0)"), sql);
            }
            Some(("lease", micros)) => {
                // A lease without end ends with the last moment that we know.
                expand("least({now} + ", sql);
                push_span(micros, sql);
                sql.push_str(", timestamptz '9999-12-31 23:59:59.999999+00')");
            }
            Some(("expiry", spans)) => push_expiry(spans, sql),
            Some(("few", id)) => {
                // True of every id. A plan that was made when the table was all but empty would read the whole table for
                // what it takes to be ten rows, and still do so when there are a million: of a range that it can only
                // guess at, the planner takes next to nothing to be left, and goes by the index.
                sql.extend(["(", id, " BETWEEN '00000000-0000-0000-0000-000000000000'::uuid"]);
                sql.push_str(" AND 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)");
            }
            Some(("open", shape)) => {
                // No pod of that shape has declined the call `c`; nobody has declined most.
                sql.extend(["(c.declined IS NULL OR ", shape, " <> ALL (c.declined))"]);
            }
            Some(("us", moment)) => {
                // Through numeric, which is exact; a double is not from the year 2255 on.
                sql.extend(["(extract(epoch FROM ", moment, ") * 1000000)::bigint"]);
            }
            _ => expand(piece_of(piece), sql),
        }
        rest = after;
    }
    sql.push_str(rest);
}

/// A number of microseconds since 1970 as a moment; what is said to be one stays.
fn push_moment(micros: &str, sql: &mut String) {
    if micros.ends_with("::timestamptz") {
        sql.push_str(micros);
        return;
    }
    sql.push_str("(timestamptz 'epoch' + ");
    push_span(micros, sql);
    sql.push(')');
}

/// A span of microseconds as an interval. An interval times a number goes through a double: whole seconds and the
/// microseconds within one are exact in it, microseconds since 1970 are not from the year 2255 on. What is said to be an
/// interval stays.
fn push_span(micros: &str, sql: &mut String) {
    if micros.ends_with("::interval") {
        sql.push_str(micros);
        return;
    }
    sql.extend(["((", micros, ") / 1000000 * interval '1 second' + "]);
    sql.extend(["(", micros, ") % 1000000 * interval '1 microsecond')"]);
}

/// When a new call expires: that long after it is due, or after now, whichever is later; at the last moment that we
/// know at most. The spans are its moment, its delay and the time it is given; most have none.
fn push_expiry(spans: &str, sql: &mut String) {
    let mut spans = spans.split(", ");
    let mut next = || spans.next().unwrap_or("NULL");
    let (due, after, expires) = (next(), next(), next());
    sql.extend(["CASE WHEN ", expires, " IS NOT NULL THEN least(greatest(coalesce("]);
    push_moment(due, sql);
    expand(", {clock} + ", sql);
    push_span(after, sql);
    expand("), {now}) + ", sql);
    push_span(expires, sql);
    sql.push_str(", timestamptz '9999-12-31 23:59:59.999999+00') END");
}

fn piece_of(piece: &str) -> &'static str {
    match piece {
        // Stable within the statement, so that an index can be searched by it; the clock's own function is not.
        "now" => "coalesce($1::timestamptz, statement_timestamp())",
        // The same for what is done to each of many rows: worked out once for all of them.
        "once" => "(SELECT {now})",
        "now_us" => "{us coalesce($1::timestamptz, statement_timestamp())}",
        // What delays count from. Never in a predicate: it is read anew for every row.
        "clock" => "coalesce($1::timestamptz, clock_timestamp())",
        // How a claim changes a row; none of these columns is in an index, which keeps the update HOT.
        // What is to happen if the pod vanishes comes from `l`: see `vanish`.
        "claim" => {
            "claimed_by = $2::uuid, claim_no = $3::bigint, claimed_at = {once}, \
             lease_until = (SELECT {lease $4::interval}), attempt = c.attempt + 1, started = false, \
             on_vanish = l.on_vanish, vanish_after = l.vanish_after"
        }
        // Of the name of a call `u`.
        "vanish" => {
            "coalesce(((SELECT $5::text::jsonb) -> u.name ->> 0)::smallint, 0::smallint) AS on_vanish, \
             coalesce(((SELECT $5::text::jsonb) -> u.name ->> 1)::bigint, 0) AS vanish_after"
        }
        "unclaim" => {
            "claimed_by = NULL, claim_no = NULL, claimed_at = NULL, lease_until = NULL, started = false, \
             on_vanish = 0, vanish_after = 0"
        }
        // Makes a claimed call `c` due again, once its due_at is set; `l` says how its attempt ended. Of the attempts
        // the newest 100 stay.
        "again" => {
            "first_due_at = coalesce(c.first_due_at, c.due_at), error = l.said, \
             attempts = CASE WHEN jsonb_array_length(c.attempts) >= 100 THEN c.attempts - 0 \
             ELSE coalesce(c.attempts, '[]') END || jsonb_build_array(jsonb_build_object('attempt', c.attempt, \
             'pod', c.claimed_by, 'claim_no', c.claim_no, 'state', l.state, 'started_at', {us l.began}, \
             'duration_us', l.ran_for, 'ended_at', {now_us}, 'error', l.said)), {unclaim}"
        }
        "claimed" => {
            "c.id, c.claim_no, c.name, c.identifier, c.args::text AS args, c.format, c.priority, \
             c.due_at AS due, c.claimed_at AS claimed, c.attempt, c.schedule_id, c.traceparent, c.first_due_at, \
             c.expires_at, c.failures::integer AS failures"
        }
        // How many of the claims in $3 are `gone`; which ones, where it is not simply all of them; and which of them are of
        // calls that were cancelled.
        "gone" => {
            "SELECT count(*) AS done, CASE WHEN count(*) <> cardinality($3::uuid[]) \
             THEN (SELECT array_agg(g.place) FROM gone AS g) END AS places, \
             array_agg(place) FILTER (WHERE cancel_requested) AS cancelled"
        }
        // Completed by: state, attempt, pod, claim_no, started_at, duration_us, finished_at, error FROM … AS g.
        "history" => {
            "INSERT INTO futurecall.finished (id, name, priority, due_at, identifier, args, format, schedule_id, \
             rerun_of, traceparent, created_at, attempts, state, attempt, pod, claim_no, started_at, duration_us, \
             finished_at, error) \
             SELECT g.id, g.name, g.priority, coalesce(g.first_due_at, g.due_at), g.identifier, g.args, g.format, \
             g.schedule_id, g.rerun_of, g.traceparent, g.created_at, g.attempts,"
        }
        // True of every lane that there is. Of a list that it can only guess at, the planner takes such a range to leave
        // next to nothing; without it, it expects hundreds of lanes, and compiles the statement for longer (JIT) than
        // the statement runs.
        "a_lane" => "l.priority BETWEEN -32768 AND 32767",
        // All lanes that hold a call, found by skipping through the due index.
        "lanes" => {
            "lane AS (\
             (SELECT c.name, c.priority FROM futurecall.call AS c ORDER BY c.name, c.priority LIMIT 1) \
             UNION ALL \
             SELECT n.name, n.priority FROM lane AS l CROSS JOIN LATERAL (\
             SELECT c.name, c.priority FROM futurecall.call AS c \
             WHERE (c.name, c.priority) > (l.name, l.priority) ORDER BY c.name, c.priority LIMIT 1) AS n)"
        }
        // All lanes of the history: names, each with the states that it has ended in.
        "past" => {
            "past AS (\
             (SELECT f.name, f.state FROM futurecall.finished AS f ORDER BY f.name, f.state LIMIT 1) \
             UNION ALL \
             SELECT n.name, n.state FROM past AS p CROSS JOIN LATERAL (\
             SELECT f.name, f.state FROM futurecall.finished AS f \
             WHERE (f.name, f.state) > (p.name, p.state) ORDER BY f.name, f.state LIMIT 1) AS n)"
        }
        _ => {
            debug_assert!(false, "no such piece: {piece}");
            ""
        }
    }
}

pub(super) fn due_or_after(due: Due) -> (Option<i64>, Option<i64>) {
    match due {
        Due::At(moment) => (Some(moment.as_micros()), None),
        Due::After(delay) => (None, Some(micros(delay))),
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_expand_to_the_schema_they_are_for() {
        let mut sql = String::new();
        expand("SELECT {us c.due_at} FROM futurecall.call AS c WHERE c.due_at <= {now}", &mut sql);
        let sql = in_schema(&sql, "jobs");
        assert!(
            sql.starts_with("SELECT (extract(epoch FROM c.due_at) * 1000000)::bigint FROM \"jobs\".call")
        );
        assert!(sql.ends_with("<= coalesce($1::timestamptz, statement_timestamp())"), "{sql}");
        assert!(!sql.contains(['{', '}']), "{sql}");
    }

    #[test]
    fn spans_round_up_and_never_overflow() {
        assert_eq!(micros(Duration::from_nanos(1)), 1);
        assert_eq!(micros(Duration::from_micros(1)), 1);
        assert_eq!(micros(Duration::MAX), i64::MAX);
        assert_eq!(ahead(Duration::MAX), Moment::MAX.as_micros());
    }
}
