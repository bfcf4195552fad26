//! On PostgreSQL: `UPDATE … RETURNING` claims a batch, `DELETE` ends it, each in a transaction of its own.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use peer_work::{Call, Due, Log, Order, Peer, Result, Work};
use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, Client, NoTls, Statement};

use crate::payload;

const TABLE: &str = "
    CREATE TABLE job (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        due_at timestamptz NOT NULL,
        payload jsonb NOT NULL,
        claimed_at timestamptz,
        claimed_by integer
    );
    CREATE INDEX job_due ON job (due_at) WHERE claimed_at IS NULL;";

const INSERT: &str = "INSERT INTO job (due_at, payload) VALUES (coalesce($1, now()), $2::text::jsonb)";

const INSERT_AND_TELL: &str = "
    WITH stored AS (INSERT INTO job (due_at, payload) VALUES (coalesce($1, now()), $2::text::jsonb))
    SELECT pg_notify('job', '')";

const BULK: &str = "
    INSERT INTO job (due_at, payload)
    SELECT coalesce(due_at, now()), payload::jsonb FROM unnest($1::timestamptz[], $2::text[]) AS u(due_at, payload)";

const CLAIM: &str = "
    UPDATE job SET claimed_at = now(), claimed_by = $1
    WHERE id = ANY (ARRAY(
        SELECT id FROM job WHERE claimed_at IS NULL AND due_at <= now()
        ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED))
    RETURNING id, payload::text";

const END: &str = "DELETE FROM job WHERE id = ANY ($1)";

/// In seconds; nothing where no call waits.
const NEXT: &str = "
    SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 FROM job WHERE claimed_at IS NULL";

/// How many rows one insert of many stores.
const BULK_ROWS: usize = 5_000;
/// How long a worker sleeps that knows of no call.
const POLL: Duration = Duration::from_secs(1);

pub(crate) struct Raw {
    url: String,
    /// One for each caller.
    callers: Vec<Caller>,
    workers: i32,
    batch: i64,
}

struct Caller {
    client: Client,
    insert: Statement,
}

impl Peer for Raw {
    const NAME: &'static str = "raw SQL (tokio-postgres 0.7)";

    fn settings(order: &Order) -> String {
        let (workers, batch) = size(order);
        format!(
            "{workers} workers, each on its own connection, claim {batch} with one UPDATE and end them with one DELETE; \
             a table without history, retries or leases; bulk: INSERT of {BULK_ROWS}; NOTIFY only where latency is measured"
        )
    }

    async fn open(order: &Order) -> Result<Self> {
        let url = understood(&order.database);
        connect(&url).await?.batch_execute(TABLE).await?;
        let tells = matches!(order.work, Work::Latency | Work::Lateness);
        let mut callers = Vec::new();
        for _ in 0..order.callers() {
            let client = connect(&url).await?;
            let insert = client.prepare(if tells { INSERT_AND_TELL } else { INSERT }).await?;
            callers.push(Caller { client, insert });
        }
        let (workers, batch) = size(order);
        Ok(Self { url, callers, workers, batch })
    }

    async fn enqueue(&self, caller: usize, call: Call) -> Result {
        let Caller { client, insert } = &self.callers[caller];
        client.execute(insert, &[&moment(call.due), &payload::text(call.number)]).await?;
        Ok(())
    }

    async fn bulk(&self, calls: Vec<Call>) -> Result {
        let client = &self.callers[0].client;
        let insert = client.prepare(BULK).await?;
        for part in calls.chunks(BULK_ROWS) {
            let due: Vec<Option<SystemTime>> = part.iter().map(|call| moment(call.due)).collect();
            let payloads: Vec<String> = part.iter().map(|call| payload::text(call.number)).collect();
            client.execute(&insert, &[&due, &payloads]).await?;
        }
        Ok(())
    }

    async fn work(&mut self, log: Arc<Log>) -> Result {
        for number in 0..self.workers {
            let wake = Arc::new(Notify::new());
            listen(&self.url, Arc::clone(&wake)).await?;
            let client = connect(&self.url).await?;
            let worker = worker(client, number, self.batch, Arc::clone(&log), wake);
            tokio::spawn(async move {
                if let Err(error) = worker.await {
                    eprintln!("a worker ended: {error}");
                }
            });
        }
        Ok(())
    }

    async fn left(&self) -> Result<u64> {
        let row = self.callers[0].client.query_one("SELECT count(*) FROM job", &[]).await?;
        Ok(row.get::<_, i64>(0).unsigned_abs())
    }
}

/// What this driver knows of a URL: the server may be known by a folder alone, and of options by that folder.
fn understood(url: &str) -> String {
    let url = url.replace("@localhost/", "@/").replace("@localhost:5432/", "@/");
    let Some((url, options)) = url.split_once('?') else { return url };
    let host = options.split('&').find(|option| option.starts_with("host=")).unwrap_or_default();
    format!("{url}?{host}")
}

fn size(order: &Order) -> (i32, i64) {
    if order.is_tuned() { (2, 1_000) } else { (1, 100) }
}

fn moment(due: Due) -> Option<SystemTime> {
    match due {
        Due::Now => None,
        Due::At(moment) => Some(moment),
    }
}

async fn worker(client: Client, number: i32, batch: i64, log: Arc<Log>, wake: Arc<Notify>) -> Result {
    let (claim, end) = (client.prepare(CLAIM).await?, client.prepare(END).await?);
    let next = client.prepare(NEXT).await?;
    loop {
        let rows = client.query(&claim, &[&number, &batch]).await?;
        if rows.is_empty() {
            let seconds: Option<f64> = client.query_one(&next, &[]).await?.get(0);
            let sleep = seconds.map_or(POLL, |seconds| Duration::from_secs_f64(seconds.max(0.0)).min(POLL));
            // Woken or slept enough, there may be something.
            let _ = tokio::time::timeout(sleep, wake.notified()).await;
            continue;
        }
        let mut ids: Vec<i64> = Vec::with_capacity(rows.len());
        for row in rows {
            ids.push(row.get(0));
            log.ran(payload::number(row.get(1))?);
        }
        client.execute(&end, &[&ids]).await?;
    }
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Wakes one worker whenever somebody says that a call was stored.
async fn listen(url: &str, wake: Arc<Notify>) -> Result {
    let (client, mut connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if matches!(message, AsyncMessage::Notification(_)) {
                wake.notify_one();
            }
        }
    });
    client.batch_execute("LISTEN job").await?;
    // The connection ends with its client.
    tokio::spawn(async move {
        let _client = client;
        std::future::pending::<()>().await;
    });
    Ok(())
}
