//! A pod in a separate process: runs the call `ledger` until its standard input ends, and writes a line for each run.
//! The call `deadly` writes a line as well, and ends the process; `hang` writes one with `H`, and never ends. The pod's
//! warnings go to standard error.
//!
//! `pod URL SCHEMA LEDGER [SCAN [BUDGET]]`, with the seconds between scans, and the crash budget of an interrupted call
//! (without it, no call is rerun): the line is `S <data> <process id>`, written with one `write` to a file opened for
//! appending, so that lines of several processes never mix and survive a kill.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use futurecall_runtime::OnInterrupt;
use futurecall_runtime::prelude::*;
use futurecall_tests::backend::Backend;
use tokio::io::AsyncReadExt;

struct Ledger(Arc<File>);

impl InvokableFutureCall for Ledger {
    type Data = u64;

    async fn invoke(&self, _session: &Session, data: Option<u64>) -> Result<(), BoxError> {
        let line = format!("S {} {}\n", data.ok_or("a ledger call needs a number")?, std::process::id());
        self.0.as_ref().write_all(line.as_bytes())?;
        Ok(())
    }
}

struct Deadly(Arc<File>);

impl InvokableFutureCall for Deadly {
    type Data = u64;

    async fn invoke(&self, _session: &Session, _data: Option<u64>) -> Result<(), BoxError> {
        self.0.as_ref().write_all(b"D\n")?;
        std::process::exit(DEAD)
    }
}

/// How a process ends that `deadly` took down.
const DEAD: i32 = 9;

struct Hang(Arc<File>);

impl InvokableFutureCall for Hang {
    type Data = u64;

    async fn invoke(&self, _session: &Session, data: Option<u64>) -> Result<(), BoxError> {
        let line = format!("H {} {}\n", data.ok_or("a hanging call needs a number")?, std::process::id());
        self.0.as_ref().write_all(line.as_bytes())?;
        std::future::pending().await
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let warnings = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN);
    warnings.with_ansi(false).with_writer(std::io::stderr).init();
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: pod URL SCHEMA LEDGER [SCAN [BUDGET]]");
    let (url, schema, ledger) = (next()?, next()?, next()?);
    let mut config = Backend::config();
    if let Some(scan) = arguments.next() {
        config = config.scan_interval(Duration::from_secs(scan.parse()?));
    }
    if let Some(budget) = arguments.next() {
        let lease = Duration::from_secs(2);
        config = config.on_interrupt(OnInterrupt::Rerun).crash_budget(budget.parse()?).lease(lease);
    }
    let ledger = Arc::new(File::options().append(true).create(true).open(ledger)?);
    let pod = Pod::builder()
        .database_url(url)
        .schema(schema)
        .without_discovery()
        .config(config)
        .register_future_call("ledger", Ledger(Arc::clone(&ledger)))
        .register_future_call("deadly", Deadly(Arc::clone(&ledger)))
        .register_future_call("hang", Hang(ledger))
        .start()
        .await?;
    println!("ready");
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    pod.shutdown().await;
    Ok(())
}
