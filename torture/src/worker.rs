//! A pod in its own process, which may be killed: this program, started with the argument `worker`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futurecall_runtime::prelude::*;
use futurecall_runtime::{CallError, Config, Role};
use tokio::io::AsyncReadExt as _;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};
use uuid::Uuid;

use crate::acks::Kind;
use crate::follow_ups;
use crate::lease_log::LeaseLog;
use crate::ledger::{Ledger, Run, What};
use crate::retry::{self, AttemptEnd};
use crate::settings::keeping;
use crate::{Result, clock};

/// Options of a worker.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WorkerOptions {
    #[arg(long)]
    pub(crate) url: String,
    #[arg(long)]
    pub(crate) number: usize,
    #[arg(long)]
    pub(crate) ledger: PathBuf,
    /// Milliseconds.
    #[arg(long)]
    pub(crate) lease: u64,
    /// For how many seconds succeeded calls stay in the history.
    #[arg(long)]
    pub(crate) retention: u64,
}

pub(crate) struct TortureFutureCall;

#[future_call]
impl TortureFutureCall {
    /// At most one start.
    pub(crate) async fn keep(
        session: &Session,
        milliseconds: u64,
        blocks: bool,
        #[future_call(state)] ledger: &Arc<Ledger>,
    ) {
        run(session, ledger, milliseconds, blocks, Some(Kind::Keep)).await;
    }

    /// At least one full run.
    #[future_call(on_interrupt = "rerun")]
    pub(crate) async fn rerun(
        session: &Session,
        milliseconds: u64,
        blocks: bool,
        #[future_call(state)] ledger: &Arc<Ledger>,
    ) {
        run(session, ledger, milliseconds, blocks, Some(Kind::Rerun)).await;
    }

    /// Scheduled by a handler: at most one start.
    pub(crate) async fn follow_keep(session: &Session, #[future_call(state)] ledger: &Arc<Ledger>) {
        run(session, ledger, 1, false, None).await;
    }

    /// Scheduled by a handler: at least one full run.
    #[future_call(on_interrupt = "rerun")]
    pub(crate) async fn follow_rerun(session: &Session, #[future_call(state)] ledger: &Arc<Ledger>) {
        run(session, ledger, 1, false, None).await;
    }

    /// Each attempt ends as drawn (see [`AttemptEnd`]); the policy is that of [`retry`].
    #[future_call(retry(max_attempts = 4, backoff = fixed("40ms")), timeout = "1s")]
    pub(crate) async fn tries(
        session: &Session,
        milliseconds: u64,
        #[future_call(state)] ledger: &Arc<Ledger>,
    ) -> std::result::Result<(), BoxError> {
        let mut attempt = Attempt::start(session, ledger);
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        let throw = AttemptEnd::of(attempt.run.call, attempt.run.attempt);
        attempt.what = match throw {
            AttemptEnd::Success => What::End,
            AttemptEnd::GiveUp => What::GaveUp,
            AttemptEnd::Hang => What::Stopped,
            AttemptEnd::Error | AttemptEnd::Panic | AttemptEnd::RetryIn => What::Failed,
        };
        match throw {
            AttemptEnd::Success => Ok(()),
            AttemptEnd::GiveUp => Err(CallError::give_up("drawn at random").into()),
            AttemptEnd::Hang => std::future::pending().await,
            AttemptEnd::Error => Err("drawn at random".into()),
            AttemptEnd::Panic => panic!("drawn at random"),
            AttemptEnd::RetryIn => Err(CallError::retry_in(retry::ASKED).into()),
        }
    }

    /// A run of a schedule: at most one start.
    pub(crate) async fn recur(
        session: &Session,
        milliseconds: u64,
        #[future_call(state)] ledger: &Arc<Ledger>,
    ) {
        run(session, ledger, milliseconds, false, None).await;
    }

    /// A run of a schedule: at least one full run.
    #[future_call(on_interrupt = "rerun")]
    pub(crate) async fn recur_again(
        session: &Session,
        milliseconds: u64,
        #[future_call(state)] ledger: &Arc<Ledger>,
    ) {
        run(session, ledger, milliseconds, false, None).await;
    }
}

/// Takes that long, and schedules a call of this kind now and then.
pub(crate) async fn run(
    session: &Session,
    ledger: &Ledger,
    milliseconds: u64,
    blocks: bool,
    next: Option<Kind>,
) {
    let mut attempt = Attempt::start(session, ledger);
    let time = Duration::from_millis(milliseconds);
    if blocks {
        std::thread::sleep(time);
    } else {
        tokio::time::sleep(time).await;
    }
    if let Some(kind) = next.filter(|_| !blocks && follow_ups::is_followed(attempt.run.call, milliseconds)) {
        follow_up(session, ledger, kind).await;
    }
    attempt.what = What::End;
}

/// One run; its result is written when it is dropped.
struct Attempt<'l> {
    ledger: &'l Ledger,
    run: Run,
    what: What,
}

impl<'l> Attempt<'l> {
    fn start(session: &Session, ledger: &'l Ledger) -> Self {
        let call = session.call();
        let run = Run {
            call: call.id.as_uuid(),
            pod: session.pod().id().as_uuid(),
            attempt: call.attempt,
            schedule: call.schedule.map_or(Uuid::nil(), |schedule| schedule.as_uuid()),
            due: call.due.as_micros(),
        };
        ledger.write(What::Start, run);
        Self { ledger, run, what: What::Stopped }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.ledger.write(self.what, self.run);
    }
}

/// Schedules a call, and records the request before and the result afterwards.
async fn follow_up(session: &Session, ledger: &Ledger, kind: Kind) {
    let calls = session.pod().future_calls().call_now().torture();
    let call = if kind == Kind::Keep { calls.follow_keep() } else { calls.follow_rerun() };
    let pod = session.pod().id().as_uuid();
    let run = Run { call: call.id().as_uuid(), pod, attempt: follow_ups::number(kind), ..Run::default() };
    ledger.write(What::Asked, run);
    match call.await {
        Ok(_) => ledger.write(What::Stored, run),
        Err(error) if error.outcome_unknown() => {}
        Err(_) => ledger.write(What::Refused, run),
    }
}

/// Returns the settings that all pods of a run share.
pub(crate) fn config(lease: Duration) -> Config {
    Config::new()
        .lease(lease)
        // So many pods vanish here that a call which outlives them all has killed none of them.
        .crash_budget(1_000)
        .concurrency_limit(16)
        .scan_interval(Duration::from_millis(500))
        // The longest handler takes 8 s: a shutdown waits for all of them.
        .shutdown_grace(Duration::from_secs(15))
}

/// Runs calls until standard input ends. Prints `ready` once it runs.
pub(crate) async fn work(orders: WorkerOptions) -> Result {
    let ledger = Arc::new(Ledger::open(&orders.ledger, orders.number)?);
    let shown = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let shown =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_filter(shown);
    let heard = LeaseLog(Arc::clone(&ledger)).with_filter(LevelFilter::WARN);
    tracing_subscriber::registry().with(shown).with(heard).init();
    let watch = Arc::clone(&ledger);
    std::thread::spawn(move || watch_for_gaps(&watch));
    let builder = || {
        Pod::builder()
            .database_url(&orders.url)
            .role(Role::Monolith)
            .without_discovery()
            .register(TortureFutureCall)
            .state(Arc::clone(&ledger))
            .config(keeping(config(Duration::from_millis(orders.lease)), orders.retention))
    };
    // Started in the middle of a fault, it tries again, like a service's supervisor.
    let pod = loop {
        match builder().start().await {
            Ok(pod) => break pod,
            Err(error) => {
                eprintln!("could not start: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    };
    println!("ready");
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    pod.shutdown().await;
    Ok(())
}

/// Records when this process got no CPU time: the machine's fault alone.
pub(crate) fn watch_for_gaps(ledger: &Ledger) {
    const PAUSE: Duration = Duration::from_millis(20);
    /// Microseconds.
    const GAP: i64 = 100_000;
    let mut before = clock::monotonic();
    loop {
        std::thread::sleep(PAUSE);
        let now = clock::monotonic();
        if now - before > GAP {
            let milliseconds = u32::try_from((now - before) / 1_000).unwrap_or(u32::MAX);
            ledger.write(What::Gap, Run { attempt: milliseconds, ..Run::default() });
        }
        before = now;
    }
}
