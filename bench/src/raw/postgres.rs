//! Plain SQL on PostgreSQL.

use std::time::{Duration, Instant};

use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use uuid::Uuid;

use super::{BATCH, BULK};
use crate::rate::rate;
use crate::{HOUR, NOOP, Result};

const TABLES: &str = "
    CREATE TABLE raw_call (LIKE futurecall.call INCLUDING ALL);
    CREATE TABLE raw_finished (LIKE futurecall.finished INCLUDING ALL);";

const OPTIONS: &str = "
    SELECT format('ALTER TABLE raw_call SET (%s)', array_to_string(reloptions, ', '))
    FROM pg_class WHERE oid = 'futurecall.call'::regclass";

const INSERT: &str = "
    INSERT INTO raw_call (id, name, due_at, args, created_at)
    VALUES ($1, $2, now() + $3 * interval '1 second', '{\"number\":1}', now())";

const BULK_INSERT: &str = "
    INSERT INTO raw_call (id, name, due_at, args, created_at)
    SELECT id, $2, now() + $3 * interval '1 second', '{\"number\":1}', now() FROM unnest($1::uuid[]) AS u(id)";

const CLAIM: &str = "
    UPDATE raw_call SET claimed_by = $1, claim_no = 1, claimed_at = now(), lease_until = now() + interval '30 seconds',
        attempt = attempt + 1
    WHERE id = ANY (ARRAY(
        SELECT id FROM raw_call WHERE name = $2 AND claimed_by IS NULL AND due_at <= now()
        ORDER BY priority, due_at, id LIMIT $3 FOR UPDATE SKIP LOCKED))
    RETURNING id, name, args::text";

const ACK: &str = "DELETE FROM raw_call WHERE id = ANY ($1) AND claimed_by = $2 AND claim_no = 1";

const ACK_AND_KEEP: &str = "
    WITH gone AS (DELETE FROM raw_call WHERE id = ANY ($1) AND claimed_by = $2 AND claim_no = 1 RETURNING *)
    INSERT INTO raw_finished (id, name, priority, due_at, identifier, args, format, schedule_id, rerun_of, traceparent,
        created_at, state, attempt, pod, claim_no, started_at, duration_us, finished_at)
    SELECT id, name, priority, due_at, identifier, args, format, schedule_id, rerun_of, traceparent,
        created_at, 1, attempt, claimed_by, claim_no, claimed_at, 1, now() FROM gone";

pub(crate) struct Raw {
    url: String,
    pool: PgPool,
}

impl Raw {
    pub(super) async fn new(url: &str) -> Result<Self> {
        let pool = PgPoolOptions::new().max_connections(1).connect(url).await?;
        sqlx::raw_sql(TABLES).execute(&pool).await?;
        let options: String = sqlx::query_scalar(OPTIONS).fetch_one(&pool).await?;
        sqlx::raw_sql(AssertSqlSafe(options)).execute(&pool).await?;
        Ok(Self { url: url.to_owned(), pool })
    }

    pub(super) async fn enqueue(&self, callers: usize, time: Duration) -> Result<f64> {
        let mut connections = Vec::with_capacity(callers);
        for _ in 0..callers {
            connections.push(PgConnection::connect(&self.url).await?);
        }
        let until = Instant::now() + time;
        let callers = connections.into_iter().map(|mut connection| async move {
            let mut stored = 0;
            while Instant::now() < until {
                let query = sqlx::query(INSERT).bind(Uuid::now_v7()).bind(NOOP).bind(HOUR.as_secs_f64());
                query.execute(&mut connection).await?;
                stored += 1;
            }
            Ok(stored)
        });
        rate(callers).await
    }

    pub(super) async fn bulk(&self, rows: usize) -> Result {
        let ids: Vec<Uuid> = (0..rows).map(|_| Uuid::now_v7()).collect();
        for part in ids.chunks(BULK) {
            let query = sqlx::query(BULK_INSERT).bind(part).bind(NOOP).bind(HOUR.as_secs_f64());
            query.execute(&self.pool).await?;
        }
        Ok(())
    }

    pub(super) async fn copy_calls(&self) -> Result {
        sqlx::query("INSERT INTO raw_call SELECT * FROM futurecall.call").execute(&self.pool).await?;
        Ok(())
    }

    pub(super) async fn drain(&self, keep: bool) -> Result<u64> {
        let worker = Uuid::now_v7();
        let mut ended = 0;
        loop {
            let claim = sqlx::query_as::<_, (Uuid, String, String)>(CLAIM).bind(worker).bind(NOOP);
            let calls = claim.bind(i64::from(BATCH)).fetch_all(&self.pool).await?;
            if calls.is_empty() {
                return Ok(ended);
            }
            let ids: Vec<Uuid> = calls.into_iter().map(|(id, ..)| id).collect();
            let ack = sqlx::query(if keep { ACK_AND_KEEP } else { ACK }).bind(ids).bind(worker);
            ended += ack.execute(&self.pool).await?.rows_affected();
        }
    }
}
