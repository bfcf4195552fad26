//! Storing calls: one statement a batch.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use serde::de::IgnoredAny;

use super::connect::{self, fault};
use super::tx::{Tx, after, batch, hex, lent, micros, no_nul, run};
use super::{SqliteStore, history_gap};
use crate::error::StoreError;
use crate::id::CallId;
use crate::store::columns::Columns as _;
use crate::store::transaction::TransactionRef;
use crate::store::{
    ClaimRequest, ClaimedCall, Due, InsertStore, Inserted, NewCall, Now, OnVanish, Result, codec,
};

const DOING: &str = "store calls";

macro_rules! insert {
    ($on_conflict:literal) => {
        insert!("", "", "", $on_conflict)
    };
    ($columns:literal, $values:literal, $only:literal, $on_conflict:literal) => {
        concat!(
            "
INSERT INTO futurecall_call (id, name, identifier, args, format, priority, due_at, traceparent, expires_at, created_at",
            $columns,
            ")
SELECT unhex(v ->> 0), v ->> 1, v ->> 2, v ->> 3, v ->> 4, v ->> 5, coalesce(v ->> 6, ?2 + (v ->> 7)), v ->> 8,
    iif(v ->> 9 IS NULL, NULL, min(max(coalesce(v ->> 6, ?2 + (v ->> 7)), ?2) + (v ->> 9), 253402300799999999)), ?2",
            $values,
            "
FROM (SELECT value AS v FROM json_each(?1))
WHERE (NOT ?3 OR NOT EXISTS (SELECT 1 FROM futurecall_finished f WHERE f.id = unhex(v ->> 0)))",
            $only,
            $on_conflict
        )
    };
}

/// ?1 the calls, ?2 now, ?3 whether it is a repetition, which leaves out what has finished already.
pub(super) const INSERT: &str = insert!("");

/// The same, leaving out what is stored already, too.
const INSERT_NEW: &str = insert!(" ON CONFLICT (id) DO NOTHING");

/// The same of one call, as claimed, unless its name is paused. ?4 the pod, ?5 the claim number, ?6 when the lease ends, ?7 and ?8 what happens if
/// the pod vanishes.
pub(super) const INSERT_CLAIMED: &str = insert!(
    ", claimed_by, claim_no, claimed_at, lease_until, attempt, on_vanish, vanish_after",
    ", ?4, ?5, ?2, ?6, 1, ?7, ?8",
    " AND NOT EXISTS (SELECT 1 FROM futurecall_paused_name p WHERE p.name = v ->> 1)",
    " ON CONFLICT (id) DO NOTHING RETURNING due_at, expires_at"
);

/// Which of the calls ?1 are stored, by their places in the batch.
pub(super) const STORED: &str = "
SELECT key FROM json_each(?1) WHERE EXISTS (SELECT 1 FROM futurecall_call c WHERE c.id = unhex(value ->> 0))";

#[async_trait]
impl InsertStore for SqliteStore {
    /// `soon` needs no work here: a commit is all that other pods watch for.
    async fn insert(
        &self,
        now: Now,
        calls: &[NewCall],
        again: bool,
        _soon: Duration,
    ) -> Result<Vec<Inserted>> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let rows = rows(calls)?;
        let ids: Vec<CallId> = calls.iter().map(|call| call.id).collect();
        run!(self.write, DOING, now, |tx| store_rows(&mut tx, rows, &ids, again).await).await
    }

    async fn insert_claimed(
        &self,
        now: Now,
        call: &NewCall,
        request: &ClaimRequest,
    ) -> Result<Option<ClaimedCall>> {
        let rows = rows(std::slice::from_ref(call))?;
        let (call, request) = (call.clone(), request.clone());
        run!(self.write, DOING, now, |tx| store_claimed(&mut tx, rows, &call, &request).await).await
    }

    async fn insert_in(
        &self,
        transaction: TransactionRef<'_>,
        calls: &[NewCall],
        _soon: Duration,
    ) -> Result<()> {
        self.check(DOING)?;
        let connection = lent(DOING, transaction)?;
        if calls.is_empty() {
            return Ok(());
        }
        // One statement is atomic by itself: it needs no savepoint to leave the application's transaction sound.
        let mut tx = Tx::lent(connection, self.tables.clone(), DOING);
        let insert = tx.sql(INSERT).bind(rows(calls)?).bind(tx.now.as_micros()).bind(false);
        tx.run(insert).await.map(drop)
    }
}

async fn store_rows(tx: &mut Tx<'_>, rows: String, ids: &[CallId], again: bool) -> Result<Vec<Inserted>> {
    if again && history_gap::is_open(tx).await? {
        return repeat(tx, rows, ids).await;
    }
    let now = tx.now.as_micros();
    let stored = match tx.try_run(tx.sql(INSERT).bind(rows.clone()).bind(now).bind(again)).await {
        Ok(_) => return Ok(vec![Inserted::Stored; ids.len()]),
        // The statement has undone itself; the transaction goes on.
        Err(error) if connect::code(&error) == Some(connect::CONSTRAINT_PRIMARYKEY) => {
            let stored = tx.rows(tx.sql(STORED).bind(rows.clone())).await?;
            tx.run(tx.sql(INSERT_NEW).bind(rows).bind(now).bind(again)).await?;
            stored
        }
        Err(error) => return Err(fault(DOING, error)),
    };
    if again {
        return Ok(vec![Inserted::Stored; ids.len()]);
    }
    let stored = stored.iter().map(|row| row.get("key")).collect::<Result<HashSet<i64>>>()?;
    // A batch that names an id twice stores it once.
    let mut seen = HashSet::new();
    let result = |(id, place): (&CallId, i64)| {
        if seen.insert(*id) && !stored.contains(&place) { Inserted::Stored } else { Inserted::Duplicate }
    };
    Ok(ids.iter().zip(0_i64..).map(result).collect())
}

/// A repetition while the history has a gap. What stands nowhere may have been stored and have ended.
async fn repeat(tx: &mut Tx<'_>, rows: String, ids: &[CallId]) -> Result<Vec<Inserted>> {
    let known = history_gap::known(tx, rows).await?;
    let inserted = |place| if known.contains(&place) { Inserted::Stored } else { Inserted::Unknown };
    Ok((0_i64..).take(ids.len()).map(inserted).collect())
}

async fn store_claimed(
    tx: &mut Tx<'_>,
    rows: String,
    call: &NewCall,
    request: &ClaimRequest,
) -> Result<Option<ClaimedCall>> {
    let (budget, again) = match request.on_vanish(&call.name) {
        OnVanish::Rerun { budget, after } => (budget, Some(micros(after))),
        OnVanish::Keep => (0, None),
    };
    let sql = tx
        .sql(INSERT_CLAIMED)
        .bind(rows.clone())
        .bind(tx.now.as_micros())
        .bind(false)
        .bind(request.pod.as_uuid())
        .bind(request.claim_no)
        .bind(after(tx.now, request.lease).as_micros())
        .bind(budget)
        .bind(again);
    let Some(row) = tx.row(sql).await? else {
        // It is stored already, or its name is paused: then it waits.
        return store_rows(tx, rows, &[call.id], false).await.map(|_| None);
    };
    let (due, expires) = (row.get("due_at")?, row.find("expires_at")?);
    Ok(Some(codec::claimed_new(call, request.claim_no, due, expires, tx.now)))
}

/// The batch as the statements take it.
fn rows(calls: &[NewCall]) -> Result<String> {
    let mut rows = Vec::with_capacity(calls.len());
    for call in calls {
        check(call)?;
        let (at, delay) = match call.due {
            Due::At(moment) => (Some(moment.as_micros()), None),
            Due::After(delay) => (None, Some(micros(delay))),
        };
        let id = hex(call.id.as_uuid());
        let (name, identifier) = (call.name.as_str(), call.identifier.as_deref());
        let traceparent = call.traceparent.as_deref();
        rows.push((
            id,
            name,
            identifier,
            call.args.as_str(),
            call.format,
            call.priority,
            at,
            delay,
            traceparent,
            call.expires_after.map(micros),
        ));
    }
    batch(DOING, &rows)
}

/// What PostgreSQL refuses by itself.
fn check(call: &NewCall) -> Result<()> {
    no_nul(DOING, "a name", &call.name)?;
    no_nul(DOING, "an identifier", call.identifier.as_deref().unwrap_or_default())?;
    no_nul(DOING, "a trace", call.traceparent.as_deref().unwrap_or_default())?;
    check_json(DOING, &call.args)
}

/// Refuses arguments that are not JSON.
pub(super) fn check_json(doing: &'static str, args: &str) -> Result<()> {
    serde_json::from_str::<IgnoredAny>(args)
        .map(drop)
        .map_err(|error| StoreError::refused(doing, format!("the arguments are not JSON: {error}")))
}
