//! A pod in a separate process, to be measured or killed from outside.
//!
//! The process ends when its standard input is closed, so that it never outlives its parent, however that ends.

use std::process::Stdio;
use std::time::{Duration, SystemTime};

use futurecall_runtime::Pod;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};
use uuid::Uuid;

use crate::Result;
use crate::calls::{BenchFutureCall, Log};
use crate::drain;
use crate::place::Place;

/// The argument that selects such a process.
pub(crate) const ARGUMENT: &str = "pod-of-a-benchmark";

/// When a process that does not answer counts as broken.
const PATIENCE: Duration = Duration::from_mins(2);

/// Options of such a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Orders {
    /// Whether finished calls are kept.
    pub(crate) history: bool,
    /// For calls that stamp themselves: it prints each one's time as soon as it has started.
    pub(crate) stamps: usize,
    pub(crate) lease: Option<Duration>,
}

impl Default for Orders {
    fn default() -> Self {
        Self { history: true, stamps: 0, lease: None }
    }
}

/// Such a process, as seen by its parent. Dropping it kills it.
pub(crate) struct Child {
    process: tokio::process::Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

/// Its report at the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ran {
    pub(crate) calls: u64,
    pub(crate) first: Option<SystemTime>,
}

impl Child {
    /// Starts the process; its pod starts at [`go`](Self::go).
    pub(crate) async fn start(place: &Place, orders: Orders) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([ARGUMENT, &place.url, &orders.history.to_string(), &orders.stamps.to_string()])
            .arg(orders.lease.unwrap_or_default().as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = process.stdin.take().ok_or("no standard input")?;
        let output = process.stdout.take().ok_or("no standard output")?;
        let mut child = Self { process, input, output: BufReader::new(output).lines() };
        child.hear("up").await?;
        Ok(child)
    }

    /// Starts its pod, and returns the pod's id.
    pub(crate) async fn go(&mut self) -> Result<Uuid> {
        self.tell_go().await?;
        self.started().await
    }

    /// Does the first half of [`go`](Self::go).
    pub(crate) async fn tell_go(&mut self) -> Result {
        Ok(self.input.write_all(b"go\n").await?)
    }

    /// Does the second half of [`go`](Self::go).
    pub(crate) async fn started(&mut self) -> Result<Uuid> {
        Ok(self.hear("started").await?.parse()?)
    }

    /// Waits for the start of the next call that stamps itself.
    pub(crate) async fn stamp(&mut self) -> Result<SystemTime> {
        from_micros(&self.hear("stamp").await?)
    }

    /// Shuts down the pod and ends the process.
    pub(crate) async fn end(mut self) -> Result<Ran> {
        drop(self.input);
        let said = line(&mut self.output, "ran").await?;
        let (calls, first) = said.split_once(' ').ok_or("the process says nothing of its first call")?;
        let first = if first == "never" { None } else { Some(from_micros(first)?) };
        let ran = Ran { calls: calls.parse()?, first };
        let status = self.process.wait().await?;
        if status.success() { Ok(ran) } else { Err(format!("the pod's process ended with {status}").into()) }
    }

    /// Kills it, like `kill -9`, and waits until it is gone.
    pub(crate) async fn kill(mut self) -> Result {
        Ok(self.process.kill().await?)
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        self.process.id().ok_or_else(|| "the pod's process has ended".into())
    }

    async fn hear(&mut self, word: &str) -> Result<String> {
        line(&mut self.output, word).await
    }
}

/// Returns the rest of the next line after that word.
async fn line(output: &mut Lines<BufReader<ChildStdout>>, word: &str) -> Result<String> {
    let line = tokio::time::timeout(PATIENCE, output.next_line()).await;
    let line = line.map_err(|_| format!("the pod's process does not say {word}"))??;
    let line = line.ok_or_else(|| format!("the pod's process ended before it said {word}"))?;
    let said = line.strip_prefix(word).ok_or_else(|| format!("the pod's process said {line}, not {word}"))?;
    Ok(said.trim().to_owned())
}

/// Runs the process that [`Child`] starts.
pub(crate) async fn run(mut args: impl Iterator<Item = String>) -> Result {
    let mut next = || args.next().ok_or("an argument is missing");
    let (url, history, stamps) = (next()?, next()?.parse::<bool>()?, next()?.parse::<usize>()?);
    let lease = Duration::from_millis(next()?.parse()?);
    let mut config = drain::history(history);
    if !lease.is_zero() {
        config = config.lease(lease);
    }
    println!("up");
    let mut input = BufReader::new(tokio::io::stdin());
    input.read_line(&mut String::new()).await?;
    let log = Log::new(stamps);
    let state = std::sync::Arc::clone(&log);
    let pod = Pod::builder()
        .without_discovery()
        .register(BenchFutureCall)
        .database_url(&url)
        .config(config)
        .state(state)
        .start()
        .await?;
    println!("started {}", pod.id());

    let tell = async {
        for place in 0..stamps {
            println!("stamp {}", micros(log.stamp(place).await?.started)?);
        }
        // The end of the input ends the process.
        std::future::pending::<Result>().await
    };
    let mut rest = Vec::new();
    tokio::select! {
        told = tell => told?,
        end = input.read_to_end(&mut rest) => { end?; }
    }
    pod.shutdown().await;
    match log.first() {
        Some(first) => println!("ran {} {}", log.count(), micros(first)?),
        None => println!("ran 0 never"),
    }
    Ok(())
}

fn micros(moment: SystemTime) -> Result<u128> {
    Ok(moment.duration_since(SystemTime::UNIX_EPOCH)?.as_micros())
}

fn from_micros(text: &str) -> Result<SystemTime> {
    Ok(SystemTime::UNIX_EPOCH + Duration::from_micros(text.parse()?))
}
