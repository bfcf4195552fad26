//! How each piece of work is measured.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::io::AsyncReadExt as _;
use tokio::task::JoinSet;

use crate::figure::Figure;
use crate::log::Log;
use crate::{Call, Due, Order, Peer, Result, Work};

/// For what a start does besides.
const SETTLE: Duration = Duration::from_secs(1);
/// Between the end of one call and the next, when they come one by one.
const PAUSE: Duration = Duration::from_millis(5);
/// Not in step with anything that happens every so many milliseconds.
const UNEVEN: Duration = Duration::from_micros(437);
/// Between two due moments; not a whole number of milliseconds.
const SPACING: Duration = Duration::from_micros(10_137);
const HOUR: Duration = Duration::from_hours(1);

/// Does one piece of work and prints its figure.
pub async fn run<P: Peer>(order: Order) -> Result {
    if let Some(reason) = P::lacks(order.work) {
        return Figure::new::<P>(&order, order.work.name(), "").with("lacks", reason).print();
    }
    let peer = P::open(&order).await?;
    match order.work {
        Work::Enqueue(callers) => enqueue(peer, callers, &order).await,
        Work::Bulk => bulk(peer, &order).await,
        Work::Drain => drain(peer, &order).await,
        Work::Latency => latency(peer, &order).await,
        Work::Lateness => lateness(peer, &order).await,
        Work::Idle => idle(peer, &order).await,
    }
}

/// From the first caller's first call until every caller's last one is stored.
async fn enqueue<P: Peer>(peer: P, callers: usize, order: &Order) -> Result {
    let peer = Arc::new(peer);
    let due = Due::At(in_an_hour());
    let began = Instant::now();
    let until = began + order.time;
    let mut tasks: JoinSet<Result<u32>> = (0..callers)
        .map(|caller| {
            let peer = Arc::clone(&peer);
            async move {
                let mut stored = 0;
                while Instant::now() < until {
                    peer.enqueue(caller, Call { number: stored, due }).await?;
                    stored += 1;
                }
                Ok(stored)
            }
        })
        .collect();
    let mut stored = 0;
    while let Some(done) = tasks.join_next().await {
        stored += done??;
    }
    let elapsed = began.elapsed();
    check_stored(peer.left().await?, stored)?;
    let noun = if callers == 1 { "caller" } else { "callers" };
    Figure::new::<P>(order, format!("enqueue by {callers} {noun}"), "calls/s")
        .with("value", f64::from(stored) / elapsed.as_secs_f64())
        .with("n", stored)
        .print()
}

/// From before the calls are made until they are stored.
async fn bulk<P: Peer>(peer: P, order: &Order) -> Result {
    let due = Due::At(in_an_hour());
    let began = Instant::now();
    peer.bulk((0..order.count).map(|number| Call { number, due }).collect()).await?;
    let elapsed = began.elapsed();
    check_stored(peer.left().await?, order.count)?;
    Figure::new::<P>(order, format!("bulk enqueue of {}", order.count), "calls/s")
        .with("value", f64::from(order.count) / elapsed.as_secs_f64())
        .print()
}

/// From the first handler's start until no call is without outcome, asked of the database.
async fn drain<P: Peer>(mut peer: P, order: &Order) -> Result {
    let due = Due::Now;
    peer.bulk((0..order.count).map(|number| Call { number, due }).collect()).await?;
    check_stored(peer.left().await?, order.count)?;
    let log = Log::new(0);
    let started = Instant::now();
    peer.work(Arc::clone(&log)).await?;
    let cap = started + order.cap;
    log.reaches(u64::from(order.count), order.cap).await;
    let ran = Instant::now();
    let mut left = peer.left().await?;
    while left > 0 && Instant::now() < cap {
        tokio::time::sleep(Duration::from_millis(1)).await;
        left = peer.left().await?;
    }
    let ended = Instant::now();
    let first = log.first().unwrap_or(started);
    let done = f64::from(order.count - u32::try_from(left)?);
    Figure::new::<P>(order, format!("drain of {} due calls", order.count), "calls/s")
        .with("value", done / (ended - first).as_secs_f64())
        .with("with_start", done / (ended - started).as_secs_f64())
        .with("until_ran", f64::from(u32::try_from(log.runs())?) / (ran - first).as_secs_f64())
        .with("runs", log.runs())
        .with("capped", left > 0)
        .print()
}

/// From before the call is stored until the handler's first line.
async fn latency<P: Peer>(mut peer: P, order: &Order) -> Result {
    let log = Log::new(order.count);
    peer.work(Arc::clone(&log)).await?;
    tokio::time::sleep(SETTLE).await;
    let (count, cap, heard) = (order.count, order.cap, Arc::clone(&log));
    let one_by_one = async move {
        let mut millis = Vec::new();
        for number in 0..count {
            let began = Instant::now();
            peer.enqueue(0, Call { number, due: Due::Now }).await?;
            heard.reaches(u64::from(number) + 1, cap).await;
            let Some(stamp) = heard.stamp(number) else {
                millis.push(cap.as_secs_f64() * 1e3);
                return Ok((millis, true));
            };
            // A handler may start before the one who stored the call has heard that it is stored; not before it began.
            millis.push(stamp.at.saturating_duration_since(began).as_secs_f64() * 1e3);
            tokio::time::sleep(PAUSE + UNEVEN * (number % 16)).await;
        }
        Result::Ok((millis, false))
    };
    // As the handlers of a service's requests are: on a thread of the runtime, not on the one that waits for all of it.
    let (millis, capped) = tokio::spawn(one_by_one).await??;
    Figure::new::<P>(order, "enqueue to start, idle", "ms")
        .with_spread(millis)
        .with("runs", log.runs())
        .with("capped", capped)
        .print()
}

/// The handler's first line minus the due moment, by this machine's clock, which is the database's as well.
async fn lateness<P: Peer>(mut peer: P, order: &Order) -> Result {
    let log = Log::new(order.count);
    peer.work(Arc::clone(&log)).await?;
    tokio::time::sleep(SETTLE).await;
    let first = whole_micros(SystemTime::now() + SETTLE);
    let due = |number| first + SPACING * number;
    for number in 0..order.count {
        peer.enqueue(0, Call { number, due: Due::At(due(number)) }).await?;
    }
    let all_stored = SystemTime::now();
    let last = due(order.count).duration_since(all_stored).unwrap_or_default();
    let reached = log.reaches(u64::from(order.count), last + order.cap).await;
    let mut millis = Vec::new();
    let mut early = 0;
    for number in 0..order.count {
        let Some(stamp) = log.stamp(number) else { continue };
        millis.push(match stamp.moment.duration_since(due(number)) {
            Ok(late) => late.as_secs_f64() * 1e3,
            Err(before) => {
                early += 1;
                -before.duration().as_secs_f64() * 1e3
            }
        });
    }
    Figure::new::<P>(order, format!("lateness of {} calls, idle", order.count), "ms")
        .with_spread(millis)
        .with("early", early)
        .with("stored_in_time", all_stored < first)
        .with("runs", log.runs())
        .with("capped", !reached)
        .print()
}

/// Whoever started this program watches it and its database from outside, and ends its standard input.
async fn idle<P: Peer>(mut peer: P, order: &Order) -> Result {
    peer.work(Log::new(0)).await?;
    Figure::new::<P>(order, "idle", "").with("ready", true).print()?;
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}

fn check_stored(left: u64, stored: u32) -> Result {
    if left == u64::from(stored) {
        return Ok(());
    }
    Err(format!("{stored} calls were stored, and the database knows {left}").into())
}

fn in_an_hour() -> SystemTime {
    whole_micros(SystemTime::now() + HOUR)
}

/// Databases keep no more.
fn whole_micros(moment: SystemTime) -> SystemTime {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::new(since.as_secs(), since.subsec_micros() * 1_000)
}
