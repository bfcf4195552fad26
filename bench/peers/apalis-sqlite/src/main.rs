//! `apalis` on SQLite: a worker that polls, and hears of new tasks by the update hook of its own connections.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use apalis::prelude::*;
use apalis_sqlite::{Config, SqlitePool, SqliteStorage, queries};
use futures_util::{Stream, StreamExt as _};
use peer_work::{Call, Due, Log, Order, Peer, Result, Work, run};
use serde::{Deserialize, Serialize};

const QUEUE: &str = "noop";
/// How many tasks one statement of a bulk stores.
const BULK: usize = 5_000;

#[tokio::main]
async fn main() -> Result {
    run::<Apalis>(Order::from_args(std::env::args().skip(1))?).await
}

type Woken = Pin<Box<dyn Stream<Item = Vec<()>> + Send + Sync>>;

struct Apalis {
    pool: SqlitePool,
    /// Of the update hook, until a worker has it.
    woken: Option<Woken>,
    storage: SqliteStorage<Noop>,
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
    const NAME: &'static str = "apalis 1.0.0 + apalis-sqlite 1.0.0";

    fn settings(order: &Order) -> String {
        let durability =
            "WAL; its setup() sets synchronous=OFF on one of its pool's connections, the others keep FULL";
        if order.is_tuned() {
            format!(
                "update hook and a poll every 500 ms, batch_size 500, lock_tasks(false); bulk: push_tasks of {BULK} in \
                 a transaction; {durability}"
            )
        } else {
            format!(
                "as its README's hooked example: update hook and a poll every 500 ms, batch_size 5; {durability}"
            )
        }
    }

    fn lacks(work: Work) -> Option<&'static str> {
        (work == Work::Lateness).then_some("its tasks are due at whole seconds")
    }

    async fn open(order: &Order) -> Result<Self> {
        let (pool, listener) = SqliteStorage::connect_with_callback(&format!("{}?mode=rwc", order.database))?;
        SqliteStorage::setup(&pool).await?;
        let config = config(order.is_tuned());
        let woken: Woken = Box::pin(listener.ready_chunks(config.batch_size));
        let storage = SqliteStorage::new(&pool).with_config(config);
        Ok(Self { pool, woken: Some(woken), storage })
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
            queries::push_tasks(&mut *transaction, QUEUE, &tasks).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    async fn work(&mut self, log: Arc<Log>) -> Result {
        // As a worker that starts later does: it has SQLite look at the tables as they are now. Without that, and with
        // 20,000 calls stored before, it runs a hundred times slower.
        SqliteStorage::setup(&self.pool).await?;
        let woken = self.woken.take().ok_or("it works already")?;
        let strategy = Strategy::new().stream(woken).interval(Duration::from_millis(500));
        let backend = self.storage.clone().poll_with_strategy(strategy);
        let worker = WorkerBuilder::new("worker").backend(backend).data(log).build(noop);
        tokio::spawn(async move {
            if let Err(error) = worker.run().await {
                eprintln!("the worker ended: {error}");
            }
        });
        Ok(())
    }

    async fn left(&self) -> Result<u64> {
        let count = "SELECT count(*) FROM Jobs WHERE status NOT IN ('Done', 'Failed', 'Killed')";
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
