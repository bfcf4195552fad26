//! What Futurecall does per second, beside the same work in plain SQL, with the default settings of both databases.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml -- all [--quick]`: see README.md in this folder.

mod calls;
mod drain;
mod enqueue;
mod idle;
mod latency;
mod place;
mod postgres;
mod raw;
mod report;
mod table;

use std::time::Duration;

use futurecall_runtime::BoxError;

use self::place::Store;
use self::postgres::Server;
use self::report::Report;

type Result<T = ()> = std::result::Result<T, BoxError>;

/// When calls are due that are not to run.
const HOUR: Duration = Duration::from_hours(1);
/// The stored name of the call that does nothing.
const NOOP: &str = "bench.noop";

const USAGE: &str = "usage: futurecall-bench all|enqueue|drain|latency|idle … [--quick] [--postgres] [--sqlite]

Measures on a PostgreSQL server of its own (or the one that DATABASE_URL names) and on a SQLite file; with --postgres or
--sqlite on that one only. One JSON line a figure, and a Markdown table at the end.";

#[tokio::main]
async fn main() -> Result {
    let wanted = Wanted::from_args(std::env::args().skip(1))?;
    let mut report = Report::default();
    // So that the server is removed, whoever ends us.
    tokio::select! {
        measured = measure(&wanted, &mut report) => measured?,
        _ = tokio::signal::ctrl_c() => return Err("interrupted".into()),
    }
    println!("\n{}", table::markdown(report.lines()));
    Ok(())
}

async fn measure(wanted: &Wanted, report: &mut Report) -> Result {
    let mut server = None;
    let mut stores = Vec::new();
    if wanted.postgres {
        let url = match std::env::var("DATABASE_URL") {
            Ok(url) => url,
            Err(_) => server.insert(Server::start()?).url.clone(),
        };
        stores.push(Store::postgres(url));
    }
    if wanted.sqlite {
        stores.push(Store::sqlite());
    }
    for store in &stores {
        let sizes = &wanted.sizes;
        for figure in &wanted.figures {
            match figure {
                Figure::Enqueue => enqueue::measure(store, sizes, report).await?,
                Figure::Drain => drain::measure(store, sizes, report).await?,
                Figure::Latency => latency::measure(store, sizes, report).await?,
                Figure::Idle => idle::measure(store, sizes, report).await?,
            }
        }
    }
    Ok(())
}

/// What is to be measured.
struct Wanted {
    figures: Vec<Figure>,
    sizes: Sizes,
    postgres: bool,
    sqlite: bool,
}

#[derive(Clone, Copy)]
enum Figure {
    Enqueue,
    Drain,
    Latency,
    Idle,
}

/// How much is measured.
struct Sizes {
    /// How often ours and plain SQL take turns; the figures are the medians.
    rounds: usize,
    /// How long each round of single calls lasts.
    enqueue: Duration,
    bulk: u32,
    drain: u32,
    latency: usize,
    lateness: usize,
    /// How long a pod is left alone before it counts as idle.
    settle: Duration,
    idle: Duration,
}

impl Sizes {
    const FULL: Self = Self {
        rounds: 3,
        enqueue: Duration::from_secs(3),
        bulk: 100_000,
        drain: 20_000,
        latency: 500,
        lateness: 500,
        settle: Duration::from_secs(12),
        idle: Duration::from_secs(20),
    };
    const QUICK: Self = Self {
        rounds: 1,
        enqueue: Duration::from_millis(500),
        bulk: 10_000,
        drain: 2_000,
        latency: 50,
        lateness: 50,
        settle: Duration::from_secs(3),
        idle: Duration::from_secs(3),
    };
}

impl Wanted {
    fn from_args(args: impl Iterator<Item = String>) -> Result<Self> {
        const ALL: [Figure; 4] = [Figure::Enqueue, Figure::Drain, Figure::Latency, Figure::Idle];
        let mut wanted = Self { figures: Vec::new(), sizes: Sizes::FULL, postgres: false, sqlite: false };
        for arg in args {
            match arg.as_str() {
                "all" => wanted.figures.extend(ALL),
                "enqueue" => wanted.figures.push(Figure::Enqueue),
                "drain" => wanted.figures.push(Figure::Drain),
                "latency" => wanted.figures.push(Figure::Latency),
                "idle" => wanted.figures.push(Figure::Idle),
                "--quick" => wanted.sizes = Sizes::QUICK,
                "--postgres" => wanted.postgres = true,
                "--sqlite" => wanted.sqlite = true,
                _ => return Err(format!("{arg} is not known\n\n{USAGE}").into()),
            }
        }
        if wanted.figures.is_empty() {
            return Err(USAGE.into());
        }
        if !wanted.postgres && !wanted.sqlite {
            (wanted.postgres, wanted.sqlite) = (true, true);
        }
        Ok(wanted)
    }
}
