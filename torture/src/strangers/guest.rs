//! Pods in their own processes: two releases of one service, and another service on the same tables.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use futurecall_runtime::prelude::*;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use crate::Result;
use crate::ledger::Ledger;
use crate::run_folder::Folder;
use crate::worker::{self, TortureFutureCall};

/// How long a lease lasts: nothing is killed here.
pub(super) const LEASE: Duration = Duration::from_secs(5);

/// The role of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Service {
    /// The older release of our service.
    Older,
    /// The newer release of our service: a parameter has another name.
    Newer,
    /// Another service, on the same tables.
    Neighbour,
}

impl Service {
    const fn name(self) -> &'static str {
        match self {
            Self::Older => "older",
            Self::Newer => "newer",
            Self::Neighbour => "neighbour",
        }
    }
}

/// Options of a process.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct GuestOptions {
    #[arg(long)]
    url: String,
    #[arg(long)]
    ledger: PathBuf,
    #[arg(long, value_enum)]
    service: Service,
}

pub(crate) struct OlderFutureCall;

#[future_call(name = "release")]
impl OlderFutureCall {
    pub(crate) async fn pass(session: &Session, user: i64, #[future_call(state)] ledger: &Arc<Ledger>) {
        let _ = user;
        worker::run(session, ledger, 1, false, None).await;
    }
}

pub(crate) struct NewerFutureCall;

#[future_call(name = "release")]
impl NewerFutureCall {
    pub(crate) async fn pass(
        session: &Session,
        #[future_call(alias = "user")] account: i64,
        #[future_call(state)] ledger: &Arc<Ledger>,
    ) {
        let _ = account;
        worker::run(session, ledger, 1, false, None).await;
    }
}

pub(crate) struct OursFutureCall;

#[future_call]
impl OursFutureCall {
    #[future_call(every = "700ms")]
    pub(crate) async fn beat(session: &Session, #[future_call(state)] ledger: &Arc<Ledger>) {
        worker::run(session, ledger, 1, false, None).await;
    }
}

pub(crate) struct NeighbourFutureCall;

#[future_call]
impl NeighbourFutureCall {
    #[future_call(every = "600ms")]
    pub(crate) async fn tick(session: &Session, #[future_call(state)] ledger: &Arc<Ledger>) {
        worker::run(session, ledger, 1, false, None).await;
    }
}

/// Runs calls until standard input ends. Prints `ready` once it runs.
pub(crate) async fn live(orders: GuestOptions) -> Result {
    let ledger = Arc::new(Ledger::open(&orders.ledger, orders.service as usize)?);
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let watch = Arc::clone(&ledger);
    std::thread::spawn(move || worker::watch_for_gaps(&watch));
    let builder = Pod::builder()
        .database_url(&orders.url)
        .without_discovery()
        .state(ledger)
        .config(worker::config(LEASE));
    let builder = match orders.service {
        Service::Older => {
            builder.register(OlderFutureCall).register(TortureFutureCall).register(OursFutureCall)
        }
        Service::Newer => {
            builder.register(NewerFutureCall).register(TortureFutureCall).register(OursFutureCall)
        }
        Service::Neighbour => builder.register(NeighbourFutureCall),
    };
    let pod = builder.start().await?;
    println!("ready");
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    pod.shutdown().await;
    Ok(())
}

/// How guests are started.
#[derive(Debug)]
pub(super) struct GuestSetup {
    pub(super) folder: Arc<Folder>,
    pub(super) url: String,
}

/// One process, as seen by its parent. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Guest {
    child: Child,
    stdin: Option<ChildStdin>,
    service: Service,
}

impl Guest {
    /// Starts one, and waits until it runs calls.
    pub(super) async fn start(setup: &GuestSetup, service: Service) -> Result<Self> {
        let log = File::options().append(true).create(true).open(setup.folder.said_by(service.name()))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("guest").args(["--url", &setup.url, "--service", service.name()]);
        command.arg("--ledger").arg(setup.folder.ledger());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().ok_or("a guest has no standard output")?).lines();
        let ready = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await;
        match ready {
            Ok(Ok(Some(_))) => Ok(Self { child, stdin, service }),
            other => Err(format!("{} did not start: {other:?}", service.name()).into()),
        }
    }

    /// Asks it to end, and waits until it has.
    pub(super) async fn end(mut self) -> Result {
        drop(self.stdin.take());
        let status = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        match status {
            Ok(Ok(status)) if status.success() => Ok(()),
            other => Err(format!("{} did not end: {other:?}", self.service.name()).into()),
        }
    }
}
