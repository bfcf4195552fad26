//! `apalis` on PostgreSQL: a worker that polls, and hears of new tasks by NOTIFY.

use std::sync::Arc;
use std::time::Duration;

use apalis::prelude::*;
use apalis_postgres::{Config, PgPool, PostgresStorage, queries};
use peer_work::{Call, Due, Log, Order, Peer, Result, Work, run};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;

const CONNECTIONS: u32 = 20;
const QUEUE: &str = "noop";
/// How many tasks one statement of a bulk stores.
const BULK: usize = 5_000;

#[tokio::main]
async fn main() -> Result {
    run::<Apalis>(Order::from_args(std::env::args().skip(1))?).await
}

struct Apalis {
    is_tuned: bool,
    pool: PgPool,
    storage: PostgresStorage<Noop>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Noop {
    id: u32,
}

async fn noop(task: Noop, log: Data<Arc<Log>>) -> std::result::Result<(), BoxDynError> {
    log.ran(task.id);
    Ok(())
}

impl Peer for Apalis {
    const NAME: &'static str = "apalis 1.0.0 + apalis-postgres 1.0.0";

    fn settings(order: &Order) -> String {
        if order.is_tuned() {
            format!(
                "NOTIFY and a poll every 500 ms, batch_size 500, lock_tasks(false); pool {CONNECTIONS}; bulk: \
                 push_tasks of {BULK} in a transaction"
            )
        } else {
            format!(
                "as its README's pubsub example: NOTIFY and a poll every 5 s, batch_size 5; pool {CONNECTIONS}"
            )
        }
    }

    fn lacks(work: Work) -> Option<&'static str> {
        (work == Work::Lateness).then_some("its tasks are due at whole seconds")
    }

    async fn open(order: &Order) -> Result<Self> {
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).connect(&order.database).await?;
        PostgresStorage::setup(&pool).await?;
        let storage = PostgresStorage::new(&pool).with_config(config(order.is_tuned()));
        Ok(Self { is_tuned: order.is_tuned(), pool, storage })
    }

    async fn enqueue(&self, _caller: usize, call: Call) -> Result {
        let task = TaskBuilder::new(Noop { id: call.number });
        self.storage.clone().push_task(due(task, call.due).build()).await?;
        Ok(())
    }

    async fn bulk(&self, calls: Vec<Call>) -> Result {
        for part in calls.chunks(BULK) {
            let mut tasks = Vec::with_capacity(part.len());
            for call in part {
                let task = TaskBuilder::new(serde_json::to_vec(&Noop { id: call.number })?);
                tasks.push(due(task, call.due).build());
            }
            let mut transaction = self.pool.begin().await?;
            queries::push_tasks(&mut *transaction, QUEUE, tasks).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    async fn work(&mut self, log: Arc<Log>) -> Result {
        let poll = if self.is_tuned { Duration::from_millis(500) } else { Duration::from_secs(5) };
        let backend = self.storage.clone().with_pubsub().poll_with_strategy(Strategy::new().interval(poll));
        let worker = WorkerBuilder::new("worker").backend(backend).data(log).build(noop);
        tokio::spawn(async move {
            if let Err(error) = worker.run().await {
                eprintln!("the worker ended: {error}");
            }
        });
        Ok(())
    }

    async fn left(&self) -> Result<u64> {
        let count = "SELECT count(*) FROM apalis.jobs WHERE status NOT IN ('Done', 'Failed', 'Killed')";
        let count: i64 = sqlx::query_scalar(count).fetch_one(&self.pool).await?;
        Ok(count.unsigned_abs())
    }
}

fn config(is_tuned: bool) -> Config {
    let config = Config::default().queue(QUEUE);
    if is_tuned { config.batch_size(500).lock_tasks(false) } else { config.batch_size(5) }
}

fn due<Args>(task: TaskBuilder<Args>, due: Due) -> TaskBuilder<Args> {
    match due {
        Due::Now => task,
        Due::At(moment) => task.run_at_time(moment),
    }
}
