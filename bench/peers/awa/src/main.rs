//! `awa`: jobs in append-only tables of PostgreSQL that rotate, woken by NOTIFY.

use std::sync::Arc;
use std::time::Duration;

use awa::model::insert::params_with;
use awa::{
    Client, InsertOpts, JobArgs, JobError, JobResult, QueueConfig, QueueStorage, QueueStorageConfig,
    insert_with, migrations,
};
use chrono::{DateTime, Utc};
use peer_work::{Call, Due, Log, Order, Peer, Result, run};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

const CONNECTIONS: u32 = 24;
const QUEUE: &str = "noop";
/// How many jobs one COPY of a bulk stores.
const BULK: usize = 5_000;

/// Jobs, while no worker has moved any.
const STORED: &str =
    "SELECT (SELECT count(*) FROM awa.ready_entries) + (SELECT count(*) FROM awa.deferred_jobs)";

/// Jobs that have an outcome. The crate's own `queue_counts` tells the same, but takes seconds after 20,000 jobs.
const ENDED: &str = "
    SELECT coalesce((SELECT sum(completed_count) FROM awa.receipt_completion_batches), 0)::bigint
        + (SELECT count(*) FROM awa.done_entries)
        + coalesce((SELECT sum(pruned_completed_count + pruned_failed_count) FROM awa.queue_terminal_rollups), 0)::bigint";

#[tokio::main]
async fn main() -> Result {
    run::<Awa>(Order::from_args(std::env::args().skip(1))?).await
}

struct Awa {
    is_tuned: bool,
    pool: PgPool,
    storage: QueueStorage,
    /// How many jobs there were when a worker began; nothing before.
    stored: Option<u64>,
    client: Option<Client>,
}

#[derive(Serialize, Deserialize, JobArgs)]
struct Noop {
    id: u32,
}

impl Peer for Awa {
    const NAME: &'static str = "awa 0.6.9";

    fn settings(order: &Order) -> String {
        let set = if order.is_tuned() {
            "as its own benchmark: max_workers 1024, poll 50 ms, no deadline"
        } else {
            "defaults: max_workers 50, poll 200 ms, deadline of 5 min"
        };
        format!("{set}, NOTIFY; pool {CONNECTIONS}; bulk: enqueue_params_copy of {BULK}")
    }

    async fn open(order: &Order) -> Result<Self> {
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).connect(&order.database).await?;
        migrations::run(&pool).await?;
        // Before a worker has run once, jobs go to the tables of its older versions.
        let first = client(&pool, order.is_tuned(), None)?;
        first.start().await?;
        first.shutdown(Duration::from_secs(5)).await;
        let storage = QueueStorage::new(QueueStorageConfig::default())?;
        Ok(Self { is_tuned: order.is_tuned(), pool, storage, stored: None, client: None })
    }

    async fn enqueue(&self, _caller: usize, call: Call) -> Result {
        insert_with(&self.pool, &Noop { id: call.number }, options(call.due)).await?;
        Ok(())
    }

    async fn bulk(&self, calls: Vec<Call>) -> Result {
        for part in calls.chunks(BULK) {
            let mut jobs = Vec::with_capacity(part.len());
            for call in part {
                jobs.push(params_with(&Noop { id: call.number }, options(call.due))?);
            }
            self.storage.enqueue_params_copy(&self.pool, &jobs).await?;
        }
        Ok(())
    }

    async fn work(&mut self, log: Arc<Log>) -> Result {
        let stored = self.count(STORED).await?;
        let client = client(&self.pool, self.is_tuned, Some(log))?;
        client.start().await?;
        self.client = Some(client);
        self.stored = Some(stored);
        Ok(())
    }

    async fn left(&self) -> Result<u64> {
        Ok(match self.stored {
            None => self.count(STORED).await?,
            Some(stored) => stored.saturating_sub(self.count(ENDED).await?),
        })
    }
}

impl Awa {
    async fn count(&self, sql: &str) -> Result<u64> {
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&self.pool).await?;
        Ok(count.unsigned_abs())
    }
}

fn client(pool: &PgPool, is_tuned: bool, log: Option<Arc<Log>>) -> Result<Client> {
    let config = if is_tuned {
        QueueConfig {
            max_workers: 1_024,
            poll_interval: Duration::from_millis(50),
            deadline_duration: Duration::ZERO,
            ..QueueConfig::default()
        }
    } else {
        QueueConfig::default()
    };
    let client = Client::builder(pool.clone()).queue(QUEUE, config).register::<Noop, _, _>(move |args, _| {
        if let Some(log) = &log {
            log.ran(args.id);
        }
        async { Ok::<_, JobError>(JobResult::Completed) }
    });
    Ok(client.build()?)
}

fn options(due: Due) -> InsertOpts {
    let run_at = match due {
        Due::Now => None,
        Due::At(moment) => Some(DateTime::<Utc>::from(moment)),
    };
    InsertOpts { queue: QUEUE.into(), run_at, ..InsertOpts::default() }
}
