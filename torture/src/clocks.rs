//! Sets the machine's clock back between two processes of one SQLite file: one is already running, the other starts
//! afterwards.
//!
//! There are no other faults, so nothing is excused. Each process schedules calls for itself and for the other; the
//! ledger, which no shifted clock affects, shows when they ran.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futurecall_runtime::{Config, Pod, Role};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use uuid::Uuid;

use crate::acks::Kind;
use crate::clock_shim::{self, Library};
use crate::ledger::{Event, Ledger, What};
use crate::run_folder::Folder;
use crate::worker::{TortureCallsExt as _, TortureFutureCall};
use crate::{Result, clock, ledger};

/// How far the clock is set back.
const BACK: Duration = Duration::from_hours(1);
/// When a call is due that no process may start meanwhile.
const LATER: Duration = Duration::from_mins(10);
/// When a call is due that must start, by the clock that was set back.
const SOON: Duration = Duration::from_secs(2);
/// How much later than its due time a call may start or end on a loaded machine. Ignoring the clock would cost an hour.
const PATIENCE: Duration = Duration::from_secs(30);

/// The arguments of a peer.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PeerOptions {
    #[arg(long)]
    url: String,
    #[arg(long)]
    number: usize,
    #[arg(long)]
    ledger: PathBuf,
    /// Milliseconds; the library's default if absent.
    #[arg(long)]
    lease: Option<u64>,
}

/// One call that a peer is asked to schedule.
#[derive(Clone, Copy, Debug)]
struct Asked {
    kind: Kind,
    delay: Duration,
    takes: Duration,
}

/// Runs calls until standard input ends, and schedules the calls that it reads there, one per line: kind, delay and
/// length in milliseconds. It replies with the call's id, and to `clock` with its wall clock.
pub(crate) async fn live(orders: PeerOptions) -> Result {
    let ledger = Arc::new(Ledger::open(&orders.ledger, orders.number)?);
    let config = Config::new().shutdown_grace(PATIENCE);
    let config = match orders.lease {
        Some(lease) => config.lease(Duration::from_millis(lease)),
        None => config,
    };
    let builder = Pod::builder().database_url(&orders.url).role(Role::Monolith).without_discovery();
    let pod = builder.register(TortureFutureCall).state(ledger).config(config).start().await?;
    println!("ready");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["clock"] => println!("{}", clock::wall()),
            [kind, delay, takes] => {
                let calls =
                    pod.future_calls().call_with_delay(Duration::from_millis(delay.parse()?)).torture();
                let takes = takes.parse()?;
                let call = if *kind == "keep" { calls.keep(takes, false) } else { calls.rerun(takes, false) };
                println!("{}", call.await?);
            }
            _ => return Err(format!("no order: {line}").into()),
        }
    }
    pod.shutdown().await;
    Ok(())
}

/// A process with a pod, as seen by its parent. Dropping it kills it.
struct Peer {
    child: Child,
    stdin: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    async fn start(place: &Place, number: usize) -> Result<Self> {
        let log = File::options().append(true).create(true).open(place.folder.log(number))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("peer").args(["--url", &place.url, "--number", &number.to_string()]);
        command.arg("--ledger").arg(place.folder.ledger());
        if let Some(lease) = place.lease {
            command.args(["--lease", &lease.as_millis().to_string()]);
        }
        command.envs(place.library.of_all(&place.clock));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or("a peer has no standard output")?;
        let mut peer = Self { child, stdin, answers: BufReader::new(stdout).lines() };
        match peer.answer().await?.as_str() {
            "ready" => Ok(peer),
            other => Err(format!("a peer said {other} where it was to be ready").into()),
        }
    }

    async fn answer(&mut self) -> Result<String> {
        let line = tokio::time::timeout(PATIENCE, self.answers.next_line()).await??;
        line.ok_or_else(|| "a peer has ended by itself".into())
    }

    async fn ask(&mut self, line: &str) -> Result<String> {
        let stdin = self.stdin.as_mut().ok_or("a peer is told nothing any more")?;
        stdin.write_all(format!("{line}\n").as_bytes()).await?;
        self.answer().await
    }

    async fn schedule(&mut self, asked: Asked) -> Result<Uuid> {
        let Asked { kind, delay, takes } = asked;
        let kind = if kind == Kind::Keep { "keep" } else { "rerun" };
        Ok(self.ask(&format!("{kind} {} {}", delay.as_millis(), takes.as_millis())).await?.parse()?)
    }

    /// Returns an error unless its wall clock is off by that much: without a shifted clock, nothing is proven.
    async fn expect_clock(&mut self, by: i64) -> Result {
        let said: i64 = self.ask("clock").await?.parse()?;
        let off = said - clock::real();
        if (off - by).abs() > clock::micros(PATIENCE) {
            return Err(format!("a peer's clock is off by {off} µs, and was set to be off by {by} µs").into());
        }
        Ok(())
    }

    async fn end(&mut self) -> Result {
        drop(self.stdin.take());
        let status = tokio::time::timeout(2 * PATIENCE, self.child.wait()).await??;
        if status.success() { Ok(()) } else { Err(format!("a peer ended with {status}").into()) }
    }
}

/// The database and settings of two peers.
struct Place {
    folder: Folder,
    url: String,
    /// One for all processes, as a machine has one.
    clock: PathBuf,
    library: Library,
    /// `None` is the default.
    lease: Option<Duration>,
}

impl Place {
    fn new(library: &Library, lease: Option<Duration>) -> Result<Self> {
        let folder = Folder::new()?;
        let url = format!("sqlite:{}?mode=rwc", folder.database().join("calls.db").display());
        let clock = folder.server_clock();
        clock_shim::set_by(&clock, 0)?;
        Ok(Self { folder, url, clock, library: library.clone(), lease })
    }

    /// Waits until that has happened to all of these calls, or until the timeout.
    async fn wait_for(&self, calls: &[Uuid], what: What, patience: Duration) -> Result {
        let began = Instant::now();
        while began.elapsed() < patience {
            let events = events(&self.folder.ledger())?;
            let happened = |call: &Uuid| times(&events, *call, what) > 0;
            if calls.iter().all(happened) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

/// Reads the ledger; a missing one is empty, as its first line is still to come.
fn events(path: &Path) -> Result<Vec<Event>> {
    if path.exists() { ledger::read(path) } else { Ok(Vec::new()) }
}

fn times(events: &[Event], call: Uuid, what: What) -> usize {
    events.iter().filter(|event| event.run.call == call && event.what == what).count()
}

/// Runs with a short lease and with the default one.
pub(crate) async fn clocks() -> Result<ExitCode> {
    let library = Library::find().ok_or(
        "no clock can be set back: libfaketime was not found (Debian: apt-get install libfaketime; elsewhere \
         FUTURECALL_FAKETIME names the file)",
    )?;
    let short = play(&library, Some(Duration::from_secs(3)), Duration::from_secs(9));
    // Pods look for calls of vanished pods every ten seconds.
    let default = play(&library, None, Duration::from_secs(25));
    let (short, default) = tokio::join!(short, default);
    let (mut calls, mut violations) = (0, 0);
    for (name, played) in [("3 s", short?), ("default", default?)] {
        calls += played.calls;
        violations += played.violations.len();
        played.violations.iter().for_each(|violation| eprintln!("lease {name}: {violation}"));
    }
    println!("clocks sqlite calls={calls} violations={violations}");
    Ok(if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The result for one place.
struct Played {
    calls: usize,
    violations: Vec<String>,
}

async fn play(library: &Library, lease: Option<Duration>, takes: Duration) -> Result<Played> {
    let place = Place::new(library, lease)?;
    let long = |kind| Asked { kind, delay: Duration::ZERO, takes };
    let short = |kind, delay| Asked { kind, delay, takes: Duration::from_millis(50) };
    let mut expected = BTreeMap::new();
    let mut old = Peer::start(&place, 0).await?;
    old.expect_clock(0).await?;
    let mut running = Vec::new();
    for kind in [Kind::Keep, Kind::Rerun] {
        running.push(old.schedule(long(kind)).await?);
    }
    expected.extend(running.iter().map(|call| (*call, "started before the step")));
    place.wait_for(&running, What::Start, PATIENCE).await?;

    let back = -clock::micros(BACK);
    clock_shim::set_by(&place.clock, back)?;
    let mut new = Peer::start(&place, 1).await?;
    let (mut later, mut soon) = (Vec::new(), Vec::new());
    for peer in [&mut old, &mut new] {
        peer.expect_clock(back).await?;
        for kind in [Kind::Keep, Kind::Rerun] {
            later.push(peer.schedule(short(kind, LATER)).await?);
            let asked = clock::monotonic();
            soon.push((peer.schedule(short(kind, SOON)).await?, asked));
            for _ in 0..3 {
                running.push(peer.schedule(long(kind)).await?);
            }
        }
    }
    expected.extend(soon.iter().map(|(call, _)| (*call, "due in 2 s")));
    expected.extend(running.iter().map(|call| (*call, "long")));
    let all: Vec<Uuid> = expected.keys().copied().collect();
    place.wait_for(&all, What::End, takes + PATIENCE).await?;
    let mut violations = Vec::new();
    let meanwhile = events(&place.folder.ledger())?;
    for call in later.iter().filter(|call| times(&meanwhile, **call, What::Start) > 0) {
        violations.push(format!("{call} is due in ten minutes, and ran at once"));
    }

    // Calls that waited become due when the clock is set right again.
    clock_shim::set_by(&place.clock, 0)?;
    place.wait_for(&later, What::End, PATIENCE).await?;
    expected.extend(later.iter().map(|call| (*call, "due in ten minutes")));
    old.end().await?;
    new.end().await?;
    let events = events(&place.folder.ledger())?;
    for (call, asked) in soon {
        let starts = |event: &&Event| event.run.call == call && event.what == What::Start;
        let after = events.iter().find(starts).map(|start| start.at - asked);
        if after.is_some_and(|after| after < clock::micros(SOON)) {
            violations.push(format!("{call} is due in 2 s, and started after {after:?} µs"));
        }
    }
    for (call, what) in &expected {
        let count = |what| times(&events, *call, what);
        let ran = (count(What::Start), count(What::End), count(What::Stopped));
        if ran != (1, 1, 0) {
            let (started, ended, stopped) = ran;
            violations.push(format!(
                "{call} ({what}) started {started}, ended {ended} and was stopped {stopped} times"
            ));
        }
    }
    Ok(Played { calls: expected.len(), violations })
}
