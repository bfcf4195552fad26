//! What Futurecall does per second, compared with the same work in plain SQL, with the default settings of both
//! databases.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml -- all [--quick]`: see README.md in this folder.

mod backlog;
mod calls;
mod charts;
mod child;
mod compare;
mod compile;
mod cost;
mod drain;
mod enqueue;
mod horizon;
mod idle;
mod kind;
mod latency;
mod lateness;
mod machine;
mod memory;
mod place;
mod pods;
mod postgres;
mod process;
mod rate;
mod raw;
mod recovery;
mod report;
mod settings;
mod sizes;
mod start;
mod table;
mod wanted;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use futurecall_runtime::BoxError;
use tokio::signal::unix::{SignalKind, signal};

use self::place::Store;
use self::postgres::Server;
use self::report::{Line, Report};
use self::sizes::Sizes;
use self::wanted::{Figure, Wanted};

type Result<T = ()> = std::result::Result<T, BoxError>;

/// When calls are due that are not to run.
const HOUR: Duration = Duration::from_hours(1);
/// The stored name of the no-op call.
const NOOP: &str = "bench.noop";

#[tokio::main]
async fn main() -> Result {
    let mut args = std::env::args().skip(1).peekable();
    if args.next_if(|arg| arg == child::ARGUMENT).is_some() {
        return child::run(args).await;
    }
    if args.next_if(|arg| arg == "compare").is_some() {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        return tokio::select! {
            compared = compare::run(args) => compared,
            _ = interrupt.recv() => Err("interrupted".into()),
            _ = terminate.recv() => Err("terminated".into()),
        };
    }
    let wanted = Wanted::from_args(args)?;
    if !wanted.render.is_empty() {
        return write(&wanted, &Line::read(&wanted.render)?);
    }
    // Before anything is started, so that everything is ended, however this program ends.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut server = None;
    let stores = stores(&wanted, &mut server)?;
    let mut report = Report::default();
    let measured = tokio::select! {
        measured = measure(&wanted, &stores, &mut report) => measured,
        _ = interrupt.recv() => Err("interrupted".into()),
        _ = terminate.recv() => Err("terminated".into()),
    };
    for store in &stores {
        store.clean().await?;
    }
    measured?;
    write(&wanted, report.lines())
}

/// Returns the stores to measure; starts the server if one is needed.
fn stores(wanted: &Wanted, server: &mut Option<Server>) -> Result<Vec<Store>> {
    let mut stores = Vec::new();
    if wanted.figures.iter().all(|figure| *figure == Figure::Compile) {
        return Ok(stores);
    }
    if wanted.postgres {
        let url = match std::env::var("DATABASE_URL") {
            Ok(url) => url,
            Err(_) => server.insert(Server::start()?).url.clone(),
        };
        stores.push(Store::postgres(url).across(wanted.round_trip));
    }
    if wanted.sqlite {
        stores.push(Store::sqlite());
    }
    Ok(stores)
}

async fn measure(wanted: &Wanted, stores: &[Store], report: &mut Report) -> Result {
    report.push(machine::line(stores).await?)?;
    for store in stores {
        if !store.may_make_databases().await? {
            return Err("the user in DATABASE_URL must be allowed to create databases".into());
        }
        for figure in &wanted.figures {
            measure_at(store, *figure, &wanted.sizes, report).await?;
        }
    }
    if wanted.figures.contains(&Figure::Compile) {
        compile::measure(&wanted.sizes, report).await?;
    }
    Ok(())
}

async fn measure_at(store: &Store, figure: Figure, sizes: &Sizes, report: &mut Report) -> Result {
    match figure {
        Figure::Enqueue => enqueue::measure(store, sizes, report).await,
        Figure::Bulk => enqueue::measure_bulk(store, sizes, report).await,
        Figure::Drain => drain::measure(store, sizes, report).await,
        Figure::LargeDrain => drain::measure_large(store, sizes, report).await,
        Figure::Start => start::measure(store, sizes, report).await,
        Figure::Latency => latency::measure(store, sizes, report).await,
        Figure::Lateness => lateness::measure(store, sizes, report).await,
        Figure::Backlog => backlog::measure(store, sizes, report).await,
        Figure::Horizon => horizon::measure(store, sizes, report).await,
        Figure::Idle => idle::measure(store, sizes, report).await,
        Figure::Pods => pods::measure(store, sizes, report).await,
        Figure::Recovery => recovery::measure(store, sizes, report).await,
        Figure::Cost => cost::measure(store, sizes, report).await,
        Figure::Memory => memory::measure(store, sizes, report).await,
        Figure::Limits => settings::measure_limits(store, sizes, report).await,
        Figure::IdleSettings => settings::measure_idle(store, sizes, report).await,
        // Once, and not with any store.
        Figure::Compile => Ok(()),
    }
}

/// Writes the table, to standard output and to the given file, and the charts.
fn write(wanted: &Wanted, lines: &[Line]) -> Result {
    let table = table::markdown(lines);
    println!("\n{table}");
    if let Some(file) = &wanted.lines {
        Line::write(lines, file)?;
    }
    if let Some(file) = &wanted.markdown {
        table::put_into(file, &table)?;
    }
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/figures");
    let folder: &Path = wanted.charts.as_deref().unwrap_or(&own);
    charts::write(lines, folder)
}
