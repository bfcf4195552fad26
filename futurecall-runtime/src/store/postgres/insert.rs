use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::PostgresStore;
use super::connect::{commit, step, step_one};
use super::copy::{COPY, Rows};
use super::driver_error::nothing_done;
use super::sql::{
    Query, Reading, Row, Timestamp, at, due_or_after, in_schema, interval, micros, span, timestamp,
    timestamp_or_none, vanishing,
};
use crate::error::StoreError;
use crate::store::columns::Columns as _;
use crate::store::transaction::TransactionRef;
use crate::store::{ClaimRequest, ClaimedCall, InsertStore, Inserted, NewCall, Now, Result, codec};

const DOING: &str = "store calls";

const DOING_IN: &str = "store calls in the transaction";

macro_rules! store {
    ($conflict:literal) => {
        concat!(
            "
    WITH stored AS (
        INSERT INTO futurecall.call
            (id, name, priority, due_at, identifier, args, format, traceparent, expires_at, created_at)
        SELECT u.id, u.name, u.priority, coalesce(u.due, {clock} + u.after),
            u.identifier, u.args::json, u.format, u.traceparent,
            {expiry u.due::timestamptz, u.after::interval, u.expires::interval}, {once}
        FROM unnest($2::uuid[], $3::text[], $4::smallint[], $5::timestamptz[], $6::interval[], $7::text[], $8::text[],
                $9::smallint[], $10::text[], $11::interval[])
            AS u(id, name, priority, due, after, identifier, args, format, traceparent, expires)",
            $conflict,
            "
        RETURNING id, due_at
    )
    SELECT count(*) AS stored, {us min(due_at)} AS earliest, {now_us} AS now,
        CASE WHEN $12::boolean OR count(*) <> cardinality($2::uuid[]) THEN (SELECT array_agg(id) FROM stored) END AS ids
    FROM stored"
        )
    };
}

/// $2 to $11: the columns of the calls, $12 whether to list what was stored.
const STORE: &str = store!(" ON CONFLICT (id) DO NOTHING");

/// As `STORE`, and fails if one of them is stored already. Ids are made by clients, so that this is all but never so: to
/// be prepared for it costs a look at the index and a record in the write-ahead log for each row, a quarter in all.
const STORE_NEW: &str = store!("");

macro_rules! store_one {
    ($column:literal, $value:literal) => {
        store_one!($column, "VALUES (", $value, ")")
    };
    ($column:literal, $values:literal, $value:literal, $end:literal) => {
        concat!(
            "
    INSERT INTO futurecall.call
        (id, name, priority, due_at, identifier, args, format, traceparent, created_at",
            $column,
            ")
    ",
            $values,
            "$2::uuid, $3::text, $4::smallint, coalesce($5::timestamptz, {clock} + $6::interval), $7::text,
        $8::text::json, $9::smallint, $10::text, {now}",
            $value,
            $end
        )
    };
}

/// As `STORE`, of one call: most calls come alone, and a plain row costs half. $2 to $10: its columns.
const STORE_ONE: &str = store_one!("", "");

/// As `STORE_ONE`, of a call that expires after $11. Apart, since what says so costs the server as much as the rest of
/// the row, also where it does not apply.
const STORE_ONE_THAT_EXPIRES: &str =
    store_one!(", expires_at", ", {expiry $5::timestamptz, $6::interval, $11::interval}");

/// As `STORE_ONE`, of a call that its pod has claimed: $11 pod, $12 claim number, $13 lease, $14 and $15 what happens if
/// the pod vanishes. Stores nothing while the call's name is paused.
const STORE_CLAIMED: &str = store_one!(
    ", claimed_by, claim_no, claimed_at, lease_until, attempt, on_vanish, vanish_after",
    "SELECT ",
    ", $11::uuid, $12::bigint, {clock}, {lease $13::interval}, 1, $14::smallint, $15::bigint",
    "
    WHERE NOT EXISTS (SELECT FROM futurecall.paused_name AS p WHERE p.name = $3::text)
    RETURNING due_at, claimed_at, expires_at"
);

/// As `STORE_CLAIMED`, of a call that expires after $16.
const STORE_CLAIMED_THAT_EXPIRES: &str = store_one!(
    ", claimed_by, claim_no, claimed_at, lease_until, attempt, on_vanish, vanish_after, expires_at",
    "SELECT ",
    ", $11::uuid, $12::bigint, {clock}, {lease $13::interval}, 1, $14::smallint, $15::bigint, \
     {expiry $5::timestamptz, $6::interval, $16::interval}",
    "
    WHERE NOT EXISTS (SELECT FROM futurecall.paused_name AS p WHERE p.name = $3::text)
    RETURNING due_at, claimed_at, expires_at"
);

/// As `STORE`, with the wake-up at the commit: $12 within that time, $13 channel.
const STORE_IN: &str = "
    WITH stored AS (
        INSERT INTO futurecall.call
            (id, name, priority, due_at, identifier, args, format, traceparent, expires_at, created_at)
        SELECT u.id, u.name, u.priority, coalesce(u.due, {clock} + u.after),
            u.identifier, u.args::json, u.format, u.traceparent,
            {expiry u.due::timestamptz, u.after::interval, u.expires::interval}, {now}
        FROM unnest($2::uuid[], $3::text[], $4::smallint[], $5::timestamptz[], $6::interval[], $7::text[], $8::text[],
                $9::smallint[], $10::text[], $11::interval[])
            AS u(id, name, priority, due, after, identifier, args, format, traceparent, expires)
        RETURNING due_at
    )
    SELECT pg_notify($13::text, {us min(due_at)}::text)::text FROM stored
    HAVING min(due_at) <= {now} + $12::interval";

#[async_trait]
impl InsertStore for PostgresStore {
    async fn insert(
        &self,
        now: Now,
        calls: &[NewCall],
        again: bool,
        soon: Duration,
    ) -> Result<Vec<Inserted>> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        if let ([call], false) = (calls, again) {
            return self.insert_one(now, call, soon).await.map(|inserted| vec![inserted]);
        }
        let stored = self.store_all(now, calls, again).await?;
        if let Some(earliest) = stored.earliest {
            self.lanes.stored(calls, earliest);
        }
        if stored.is_due_within(soon) {
            self.notify(stored.earliest);
        }
        Ok(match stored.ids {
            // Whatever a repetition did not store stood there already, or had finished.
            _ if again => calls.iter().map(|call| stored.of_repetition(call)).collect(),
            None => vec![Inserted::Stored; calls.len()],
            Some(mut new) => {
                let once = |call: &NewCall| {
                    if new.remove(&call.id.as_uuid()) { Inserted::Stored } else { Inserted::Duplicate }
                };
                calls.iter().map(once).collect()
            }
        })
    }

    async fn insert_claimed(
        &self,
        now: Now,
        call: &NewCall,
        request: &ClaimRequest,
    ) -> Result<Option<ClaimedCall>> {
        let is_to_expire = call.expires_after.is_some();
        let template = if is_to_expire { STORE_CLAIMED_THAT_EXPIRES } else { STORE_CLAIMED };
        // So that it is found under its claim number, whatever the server's clock says by then.
        self.lanes.claims_until(self.lanes.clock(now).saturating_add(EARLY));
        // Should it be given back, it is not looked for in a lane that nobody knows of.
        self.lanes.hold(&call.name, call.priority);
        let query = bind_claimed(self.query(template), now, call, request);
        let row = match self.write(DOING, query).await {
            Ok(mut rows) => rows.pop(),
            Err(error) if is_taken(&error, CALL_ID) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(row) = row else {
            // The name is paused: the call waits for whoever claims it after that.
            return self.insert_one(now, call, Duration::ZERO).await.map(|_| None);
        };
        let read = |row: &PgRow| -> Reading<_> {
            Ok((timestamp(row, 0)?, timestamp(row, 1)?, timestamp_or_none(row, 2)?))
        };
        let (due, claimed, expires) = read(&row.row).map_err(nothing_done(DOING))?;
        if now == Now::Database {
            self.lanes.saw_clock(claimed.as_micros());
        }
        Ok(Some(codec::claimed_new(call, request.claim_no, due, expires, claimed)))
    }

    async fn insert_in(
        &self,
        transaction: TransactionRef<'_>,
        calls: &[NewCall],
        soon: Duration,
    ) -> Result<()> {
        let connection = lent(DOING_IN, transaction)?;
        if calls.is_empty() {
            return Ok(());
        }
        let is_open = connection.is_in_transaction();
        let query = bind_calls(self.query(STORE_IN).bind(at(Now::Database)), calls);
        let query = query.bind(interval(soon)).bind(self.wake.channel().to_owned());
        let stored = step(DOING_IN, connection, query).await.map(drop);
        if is_open { stored } else { stored.map_err(StoreError::perhaps_done) }
    }
}

impl PostgresStore {
    async fn store_all(&self, now: Now, calls: &[NewCall], again: bool) -> Result<Stored> {
        let query = |template| bind_calls(self.query(template).bind(at(now)), calls).bind(again);
        if again {
            let (row, unknown) = self.store_again(now, query(STORE)).await?;
            return Ok(Stored { unknown, ..Stored::read(&row)? });
        }
        let new = if calls.len() >= COPIED {
            self.copy_calls(now, calls).await
        } else {
            self.write_one(DOING, query(STORE_NEW)).await.and_then(|row| Stored::read(&row))
        };
        match new {
            // Which ones, only the other statement tells.
            Err(error) if is_taken(&error, CALL_ID) => {
                Stored::read(&self.write_one(DOING, query(STORE)).await?)
            }
            new => new,
        }
    }

    /// Stores calls of which none is stored already, as a stream of rows.
    async fn copy_calls(&self, now: Now, calls: &[NewCall]) -> Result<Stored> {
        let now = match now {
            Now::At(moment) => moment.as_micros(),
            // Rows that are streamed cannot ask for the time. By the time they are there, it is a little later.
            Now::Database => self.clock().await?.as_micros(),
        };
        let rows = Rows::of(calls, now);
        let (earliest, rows) = (rows.earliest, rows.into_bytes());
        self.link.copy(DOING, in_schema(COPY, &self.schema), rows).await?;
        Ok(Stored { earliest, now, ids: None, unknown: HashSet::new() })
    }

    async fn insert_one(&self, now: Now, call: &NewCall, soon: Duration) -> Result<Inserted> {
        let (due, after) = due_or_after(call.due);
        let template = if call.expires_after.is_some() { STORE_ONE_THAT_EXPIRES } else { STORE_ONE };
        let query = bind_one(self.query(template), now, call);
        let query = match call.expires_after {
            Some(time) => query.bind(interval(time)),
            None => query,
        };
        match self.write(DOING, query).await {
            Ok(_) => {}
            Err(error) if is_taken(&error, CALL_ID) => return Ok(Inserted::Duplicate),
            Err(error) => return Err(error),
        }
        // The server's clock is only guessed: rather a little too early, which costs a look, than too late.
        let clock = self.lanes.clock(now).saturating_sub(EARLY);
        let due = due.unwrap_or_else(|| clock.saturating_add(after.unwrap_or(0)));
        self.lanes.stored(std::slice::from_ref(call), due);
        if due <= clock {
            self.notify_unless_taken(now, call, due);
        } else if due <= clock.saturating_add(EARLY).saturating_add(micros(soon)) {
            self.notify(Some(due));
        }
        Ok(Inserted::Stored)
    }

    /// Stores what may have been stored before, and says of which calls nobody knows. The conflict waits for a first try
    /// that is still under way.
    async fn store_again(&self, now: Now, query: Query) -> Result<(Row, HashSet<Uuid>)> {
        let mut transaction = self.begin(DOING).await?;
        let row = step_one(DOING, &mut transaction, query).await?;
        let ids: Option<Vec<Uuid>> = row.column("ids")?;
        let unknown = match ids {
            Some(ids) => self.take_back(DOING, &mut transaction, now, ids).await?,
            None => HashSet::new(),
        };
        commit(DOING, transaction).await?;
        Ok((row, unknown))
    }
}

/// Binds what `STORE_ONE` wants.
fn bind_one(query: Query, now: Now, call: &NewCall) -> Query {
    let (due, after) = due_or_after(call.due);
    query
        .bind(at(now))
        .bind(call.id.as_uuid())
        .bind(call.name.clone())
        .bind(call.priority)
        .bind(due.map(Timestamp))
        .bind(after.map(span))
        .bind(call.identifier.clone())
        .bind(call.args.clone())
        .bind(call.format)
        .bind(call.traceparent.clone())
}

/// Binds what `STORE_CLAIMED` wants, or `STORE_CLAIMED_THAT_EXPIRES` where it expires.
fn bind_claimed(query: Query, now: Now, call: &NewCall, request: &ClaimRequest) -> Query {
    let (on_vanish, vanish_after) = vanishing(request, &call.name);
    let query = bind_one(query, now, call)
        .bind(request.pod.as_uuid())
        .bind(request.claim_no)
        .bind(interval(request.lease))
        .bind(on_vanish)
        .bind(vanish_after);
    match call.expires_after {
        Some(time) => query.bind(interval(time)),
        None => query,
    }
}

/// From how many calls on they are streamed: fewer are as quick by one statement, which needs no look at the clock.
pub(super) const COPIED: usize = 500;

/// How much earlier than guessed the server's clock may be, in microseconds.
const EARLY: i64 = 100_000;

/// The constraints that keep ids of calls, and of ends of calls, unique.
pub(super) const CALL_ID: &str = "call_pkey";

pub(super) const FINISHED_ID: &str = "finished_pkey";

/// Returns whether a row was refused because one of that id exists. A unique index or a trigger of the application refuses
/// rows with the same code, and then there is none.
pub(super) fn is_taken(error: &StoreError, constraint: &str) -> bool {
    let Some(sqlx::Error::Database(said)) = error.driver() else { return false };
    said.is_unique_violation() && said.constraint() == Some(constraint)
}

/// The connection of the application's transaction, if it is one of PostgreSQL.
pub(super) fn lent<'c>(doing: &'static str, transaction: TransactionRef<'c>) -> Result<&'c mut PgConnection> {
    match transaction {
        TransactionRef::Postgres(connection) => Ok(connection),
        _ => Err(StoreError::wrong_database(doing)),
    }
}

/// What one insert did.
struct Stored {
    earliest: Option<i64>,
    now: i64,
    /// Which ones were stored, where it was not simply all of them.
    ids: Option<HashSet<Uuid>>,
    /// Of which ones a repetition cannot tell whether they had been stored before.
    unknown: HashSet<Uuid>,
}

impl Stored {
    fn read(row: &Row) -> Result<Self> {
        let ids: Option<Vec<Uuid>> = row.column("ids")?;
        // Where none at all was stored, there is nothing to list.
        let ids = if row.get::<i64>("stored")? == 0 { Some(ids.unwrap_or_default()) } else { ids };
        let ids = ids.map(|ids| ids.into_iter().collect());
        Ok(Self { earliest: row.find("earliest")?, now: row.get("now")?, ids, unknown: HashSet::new() })
    }

    fn of_repetition(&self, call: &NewCall) -> Inserted {
        if self.unknown.contains(&call.id.as_uuid()) { Inserted::Unknown } else { Inserted::Stored }
    }

    fn is_due_within(&self, soon: Duration) -> bool {
        self.earliest.is_some_and(|earliest| earliest <= self.now.saturating_add(micros(soon)))
    }
}

/// Binds calls, column by column, as `STORE` wants them.
fn bind_calls(query: Query, calls: &[NewCall]) -> Query {
    let (due, after): (Vec<_>, Vec<_>) = calls.iter().map(|call| due_or_after(call.due)).unzip();
    query
        .bind(calls.iter().map(|call| call.id.as_uuid()).collect::<Vec<_>>())
        .bind(calls.iter().map(|call| call.name.clone()).collect::<Vec<_>>())
        .bind(calls.iter().map(|call| call.priority).collect::<Vec<_>>())
        .bind(due.into_iter().map(|due| due.map(Timestamp)).collect::<Vec<_>>())
        .bind(after.into_iter().map(|after| after.map(span)).collect::<Vec<_>>())
        .bind(calls.iter().map(|call| call.identifier.clone()).collect::<Vec<_>>())
        .bind(calls.iter().map(|call| call.args.clone()).collect::<Vec<_>>())
        .bind(calls.iter().map(|call| call.format).collect::<Vec<_>>())
        .bind(calls.iter().map(|call| call.traceparent.clone()).collect::<Vec<_>>())
        .bind(calls.iter().map(|call| call.expires_after.map(interval)).collect::<Vec<_>>())
}
