//! `graphile_worker`: jobs in PostgreSQL, woken by NOTIFY, with an optional queue in the worker's memory.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RefetchDelayConfig, TaskHandler, WorkerContext,
    WorkerOptions, WorkerUtils,
};
use peer_work::{Call, Due, Log, Order, Peer, Result, Settings, run};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

/// As many as the crate's own pool would have.
const CONNECTIONS: u32 = 20;

#[tokio::main]
async fn main() -> Result {
    run::<GraphileWorker>(Order::from_args(std::env::args().skip(1))?).await
}

struct GraphileWorker {
    settings: Settings,
    pool: PgPool,
    utils: WorkerUtils,
}

#[derive(Clone, Deserialize, Serialize)]
struct Noop {
    id: u32,
}

impl TaskHandler for Noop {
    const IDENTIFIER: &'static str = "noop";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        let log = context.get_ext::<Arc<Log>>().ok_or("the log is missing")?;
        log.ran(self.id);
        Ok::<(), &str>(())
    }
}

impl Peer for GraphileWorker {
    const NAME: &'static str = "graphile_worker 0.14.1";

    fn settings(order: &Order) -> String {
        let fetch = match order.settings {
            Settings::Tuned => "with a refetch delay of 100 ms (threshold 5, abort at 20)",
            Settings::Eager => "without a refetch delay",
            Settings::Default => {
                return format!(
                    "defaults: concurrency = processors, no local queue, no completion in batches, poll 1 s, NOTIFY; \
                     pool {CONNECTIONS}"
                );
            }
        };
        format!(
            "concurrency 24, local queues 2 x 500 {fetch}, completion in batches every 2 ms, poll 100 ms, NOTIFY; \
             pool {CONNECTIONS}"
        )
    }

    async fn open(order: &Order) -> Result<Self> {
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).connect(&order.database).await?;
        let utils = WorkerUtils::new(pool.clone(), "graphile_worker");
        utils.migrate().await?;
        Ok(Self { settings: order.settings, pool, utils })
    }

    async fn enqueue(&self, _caller: usize, call: Call) -> Result {
        self.utils.add_job(Noop { id: call.number }, spec(call.due)).await?;
        Ok(())
    }

    async fn bulk(&self, calls: Vec<Call>) -> Result {
        let specs: Vec<JobSpec> = calls.iter().map(|call| spec(call.due)).collect();
        let jobs: Vec<(Noop, &JobSpec)> =
            calls.iter().zip(&specs).map(|(call, spec)| (Noop { id: call.number }, spec)).collect();
        self.utils.add_jobs(&jobs).await?;
        Ok(())
    }

    async fn work(&mut self, log: Arc<Log>) -> Result {
        let options =
            WorkerOptions::default().pg_pool(self.pool.clone()).add_extension(log).define_job::<Noop>();
        let worker = set(options, self.settings).init().await?;
        tokio::spawn(async move {
            if let Err(error) = worker.run().await {
                eprintln!("the worker ended: {error}");
            }
        });
        Ok(())
    }

    async fn left(&self) -> Result<u64> {
        let count = "SELECT count(*) FROM graphile_worker._private_jobs";
        let count: i64 = sqlx::query_scalar(count).fetch_one(&self.pool).await?;
        Ok(count.unsigned_abs())
    }
}

fn set(options: WorkerOptions, settings: Settings) -> WorkerOptions {
    if settings == Settings::Default {
        return options;
    }
    let mut queue = LocalQueueConfig::default().with_size(500).with_queue_count(2);
    if settings == Settings::Tuned {
        let delay = RefetchDelayConfig::default().with_duration(Duration::from_millis(100));
        queue = queue.with_refetch_delay(delay.with_threshold(5).with_max_abort_threshold(20));
    }
    options
        .concurrency(24)
        .poll_interval(Duration::from_millis(100))
        .complete_job_batch_delay(Duration::from_millis(2))
        .local_queue(queue)
}

fn spec(due: Due) -> JobSpec {
    match due {
        Due::Now => JobSpec::default(),
        Due::At(moment) => JobSpec { run_at: Some(DateTime::<Utc>::from(moment)), ..JobSpec::default() },
    }
}
