//! `sqlxmq`: jobs in PostgreSQL, made and taken by functions of the database, woken by NOTIFY.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use peer_work::{Call, Due, Log, Order, Peer, Result, run};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use sqlxmq::{CurrentJob, JobRegistry, JobRunnerHandle, job};
use uuid::Uuid;

const CONNECTIONS: u32 = 20;
/// How many jobs one statement of a bulk stores.
const BULK: usize = 5_000;

const MIGRATIONS: &str = include_str!(concat!(env!("OUT_DIR"), "/migrations.sql"));

/// What the crate's own builder calls for one job, called for many, with that builder's defaults.
const BULK_INSERT: &str = "
    SELECT mq_insert(array_agg(
        (id, delay, 4, interval '1 second', 'noop', '', NULL, false, 'noop', payload, NULL)::mq_new_t))
    FROM unnest($1::uuid[], $2::interval[], $3::text[]) AS u(id, delay, payload)";

#[tokio::main]
async fn main() -> Result {
    run::<Sqlxmq>(Order::from_args(std::env::args().skip(1))?).await
}

struct Sqlxmq {
    is_tuned: bool,
    pool: PgPool,
    runner: Option<JobRunnerHandle>,
}

#[job(name = "noop", channel_name = "noop")]
async fn noop(mut job: CurrentJob, log: Arc<Log>) -> std::result::Result<(), Box<dyn Error + Send + Sync>> {
    log.ran(job.json::<Noop>()?.ok_or("the job has no payload")?.id);
    job.complete().await?;
    Ok(())
}

#[derive(serde::Deserialize, serde::Serialize)]
struct Noop {
    id: u32,
}

impl Peer for Sqlxmq {
    const NAME: &'static str = "sqlxmq 0.6.0";

    fn settings(order: &Order) -> String {
        let concurrency =
            if order.is_tuned() { "set_concurrency(50, 200)" } else { "default concurrency: 16 to 32" };
        format!(
            "{concurrency}, kept alive, NOTIFY; pool {CONNECTIONS}; bulk: its SQL function mq_insert() with {BULK} \
             at once"
        )
    }

    async fn open(order: &Order) -> Result<Self> {
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).connect(&order.database).await?;
        sqlx::raw_sql(MIGRATIONS).execute(&pool).await?;
        Ok(Self { is_tuned: order.is_tuned(), pool, runner: None })
    }

    async fn enqueue(&self, _caller: usize, call: Call) -> Result {
        noop.builder()
            .set_delay(delay(call.due))
            .set_json(&Noop { id: call.number })?
            .spawn(&self.pool)
            .await?;
        Ok(())
    }

    async fn bulk(&self, calls: Vec<Call>) -> Result {
        for part in calls.chunks(BULK) {
            let ids: Vec<Uuid> = part.iter().map(|_| Uuid::new_v4()).collect();
            let delays: Vec<Duration> = part.iter().map(|call| delay(call.due)).collect();
            let mut payloads = Vec::with_capacity(part.len());
            for call in part {
                payloads.push(serde_json::to_string(&Noop { id: call.number })?);
            }
            let insert = sqlx::query(BULK_INSERT).bind(ids).bind(delays).bind(payloads);
            insert.execute(&self.pool).await?;
        }
        Ok(())
    }

    async fn work(&mut self, log: Arc<Log>) -> Result {
        let mut registry = JobRegistry::new(&[noop]);
        registry.set_context(log);
        let mut options = registry.runner(&self.pool);
        if self.is_tuned {
            options.set_concurrency(50, 200);
        }
        self.runner = Some(options.run().await?);
        Ok(())
    }

    async fn left(&self) -> Result<u64> {
        // One row is nobody's job.
        let count = "SELECT count(*) FROM mq_msgs WHERE id <> uuid_nil()";
        let count: i64 = sqlx::query_scalar(count).fetch_one(&self.pool).await?;
        Ok(count.unsigned_abs())
    }
}

/// It has no moments, only delays, counted from when the database stores the job; in whole microseconds.
fn delay(due: Due) -> Duration {
    let delay = match due {
        Due::Now => Duration::ZERO,
        Due::At(moment) => moment.duration_since(SystemTime::now()).unwrap_or_default(),
    };
    Duration::new(delay.as_secs(), delay.subsec_micros() * 1_000)
}
