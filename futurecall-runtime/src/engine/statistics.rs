//! Counts the ended calls of this pod, by minute and hour of the database's clock, and writes the counts with each
//! heartbeat.
//!
//! A row holds all counts of its minute or hour, and is rewritten as long as it grows, so that a lost reply is
//! harmless. Nothing is counted into a minute or hour that was written for the last time.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::backoff::Backoff;
use super::outcome::RunStatus;
use super::supervise::supervised;
use super::{BEAT, Engine};
use crate::moment::Moment;
use crate::store::{BUCKETS, ClaimedCall, Histogram, Result, Span, Statistics, bucket};

/// Rows per statement.
const CHUNK: usize = 500;

/// Counts that may still grow or are not yet written.
#[derive(Debug)]
pub(super) struct Counters {
    spans: Mutex<[Counted; Span::ALL.len()]>,
}

/// The counts of one span.
#[derive(Debug)]
struct Counted {
    span: Span,
    /// By start of the minute or hour, then name.
    rows: BTreeMap<Moment, HashMap<String, Row>>,
}

#[derive(Debug)]
struct Row {
    /// Number of ends by [`RunStatus`].
    ends: [u64; 5],
    /// By bucket of the histogram. Arrays, because counting a call must cost next to nothing.
    durations: Box<[u64; BUCKETS]>,
    lateness: Box<[u64; BUCKETS]>,
    /// Number of ends counted, and the number when it was last written.
    grown: u64,
    written: u64,
}

/// One ended call.
#[derive(Clone, Copy)]
struct CountedEnd {
    status: RunStatus,
    /// How long the handler ran and how late it started, if it did.
    ran: Option<(Duration, Duration)>,
}

impl Counters {
    fn add(&self, name: &str, end: Moment, ended: CountedEnd) {
        self.lock().iter_mut().for_each(|counted| counted.add(name, end, ended));
    }

    /// Returns the rows that have grown since they were last written, each with its `grown`.
    fn unwritten(&self) -> Vec<(Statistics, u64)> {
        self.lock().iter().flat_map(Counted::unwritten).collect()
    }

    /// Marks rows as written, and drops those that cannot grow any more.
    fn written(&self, rows: &[(Statistics, u64)]) {
        self.lock().iter_mut().for_each(|counted| counted.written(rows));
    }

    fn lock(&self) -> MutexGuard<'_, [Counted; Span::ALL.len()]> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self { spans: Mutex::new(Span::ALL.map(|span| Counted { span, rows: BTreeMap::new() })) }
    }
}

impl Counted {
    fn add(&mut self, name: &str, end: Moment, ended: CountedEnd) {
        let start = self.span.start_of(end);
        // The clock may be set back, and earlier rows may have been written for the last time.
        let start = self.rows.last_key_value().map_or(start, |(newest, _)| start.max(*newest));
        let rows = self.rows.entry(start).or_default();
        if let Some(row) = rows.get_mut(name) {
            return row.add(ended);
        }
        let mut row = Row::default();
        row.add(ended);
        rows.insert(name.to_owned(), row);
        while self.rows.len() > unsent(self.span) {
            self.rows.pop_first();
        }
    }

    fn unwritten(&self) -> Vec<(Statistics, u64)> {
        let rows = self.rows.iter().flat_map(|(start, rows)| rows.iter().map(|row| (*start, row)));
        let grown = rows.filter(|(_, (_, row))| row.grown != row.written);
        grown.map(|(start, (name, row))| (row.counted(name, self.span, start), row.grown)).collect()
    }

    fn written(&mut self, rows: &[(Statistics, u64)]) {
        for (counted, grown) in rows.iter().filter(|(counted, _)| counted.span == self.span) {
            let row = self.rows.get_mut(&counted.start).and_then(|rows| rows.get_mut(&counted.name));
            if let Some(row) = row {
                row.written = *grown;
            }
        }
        let newest = self.rows.last_key_value().map(|(newest, _)| *newest);
        self.rows.retain(|start, rows| {
            rows.retain(|_, row| Some(*start) == newest || row.grown != row.written);
            !rows.is_empty()
        });
    }
}

/// Returns how many minutes or hours are kept while the database does not answer; older ones are dropped.
const fn unsent(span: Span) -> usize {
    match span {
        Span::Minute => 60,
        // The last sixty minutes span two hours.
        Span::Hour => 2,
    }
}

impl Row {
    fn add(&mut self, end: CountedEnd) {
        count(&mut self.ends, end.status as usize);
        if let Some((duration, lateness)) = end.ran {
            count(&mut *self.durations, bucket(duration).into());
            count(&mut *self.lateness, bucket(lateness).into());
        }
        self.grown = self.grown.saturating_add(1);
    }

    fn counted(&self, name: &str, span: Span, start: Moment) -> Statistics {
        let mut counted = Statistics::new(name.to_owned(), span, start);
        let [succeeded, failed, retried, expired, interrupted] = self.ends;
        (counted.succeeded, counted.failed, counted.retried) = (succeeded, failed, retried);
        (counted.expired, counted.interrupted) = (expired, interrupted);
        counted.durations = Histogram::of(&*self.durations);
        counted.lateness = Histogram::of(&*self.lateness);
        counted
    }
}

impl Default for Row {
    fn default() -> Self {
        let none = || Box::new([0; BUCKETS]);
        Self { ends: [0; 5], durations: none(), lateness: none(), grown: 0, written: 0 }
    }
}

fn count(counts: &mut [u64], which: usize) {
    if let Some(count) = counts.get_mut(which) {
        *count = count.saturating_add(1);
    }
}

/// When a call was due, was claimed, and ran.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    due: Moment,
    claimed: Moment,
    /// How long after its claim the handler started, if it did.
    pub(super) started_after: Option<Duration>,
    pub(super) ran_for: Duration,
}

impl Times {
    pub(super) fn of(call: &ClaimedCall, started_after: Option<Duration>, ran_for: Duration) -> Self {
        Self { due: call.due, claimed: call.claimed, started_after, ran_for }
    }
}

impl Engine {
    /// Counts an ended call.
    pub(super) fn count(&self, name: &str, status: RunStatus, times: Times) {
        let Times { due, claimed, started_after, ran_for } = times;
        let later = |moment: Moment, time| moment.checked_add(time).unwrap_or(Moment::MAX);
        let start = started_after.map(|after| later(claimed, after));
        let end = start.map_or(claimed, |start| later(start, ran_for));
        let ran = start.map(|start| (ran_for, start.saturating_since(due)));
        self.counters.add(name, end, CountedEnd { status, ran });
    }
}

/// Starts the task that writes the counts.
pub(super) fn start(engine: &Arc<Engine>) {
    let (writer, process) = (Arc::clone(engine), engine.process.clone());
    tokio::spawn(process.task(async move {
        supervised(&writer, "statistics", || write_until_stopped(&writer)).await;
    }));
}

async fn write_until_stopped(engine: &Engine) {
    let mut backoff = Backoff::default();
    loop {
        tokio::select! {
            biased;
            () = engine.stop.cancelled() => return,
            () = tokio::time::sleep(BEAT) => {}
        }
        match write(engine).await {
            Ok(()) => backoff.succeeded(),
            Err(error) => {
                backoff.failed();
                if backoff.may_log() {
                    tracing::warn!(%error, "could not write statistics; they are kept for the next time");
                }
            }
        }
    }
}

/// Writes the rows that have grown.
pub(super) async fn write(engine: &Engine) -> Result<()> {
    for rows in engine.counters.unwritten().chunks(CHUNK) {
        let counted: Vec<Statistics> = rows.iter().map(|(counted, _)| counted.clone()).collect();
        engine.store.put_statistics(engine.pod, &counted).await?;
        engine.counters.written(rows);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Moment {
        Moment::from_micros(seconds * 1_000_000).unwrap()
    }

    fn succeed(counters: &Counters, seconds: i64) {
        counters.add("a", at(seconds), CountedEnd { status: RunStatus::Succeeded, ran: None });
    }

    /// The start and the number of successes of each row of that span.
    fn seen(rows: &[(Statistics, u64)], span: Span) -> Vec<(Moment, u64)> {
        let rows = rows.iter().filter(|(row, _)| row.span == span);
        rows.map(|(row, _)| (row.start, row.succeeded)).collect()
    }

    fn kept(counters: &Counters) -> [usize; 2] {
        counters.lock().each_ref().map(|counted| counted.rows.len())
    }

    #[test]
    fn a_row_is_written_as_long_as_it_grows() {
        let counters = Counters::default();
        assert!(counters.unwritten().is_empty());
        succeed(&counters, 61);
        let first = counters.unwritten();
        succeed(&counters, 119);
        counters.written(&first);
        let second = counters.unwritten();
        assert_eq!(seen(&second, Span::Minute), [(at(60), 2)], "it grew while it was written");
        assert_eq!(seen(&second, Span::Hour), [(at(0), 2)], "so did its hour");
        counters.written(&second);
        assert!(counters.unwritten().is_empty());
        succeed(&counters, 100);
        assert_eq!(seen(&counters.unwritten(), Span::Minute), [(at(60), 3)], "all of its minute");
        assert_eq!(seen(&counters.unwritten(), Span::Hour), [(at(0), 3)], "all of its hour");
    }

    #[test]
    fn an_hour_goes_on_where_a_minute_is_over() {
        let counters = Counters::default();
        succeed(&counters, 3_599);
        counters.written(&counters.unwritten());
        succeed(&counters, 3_600);
        succeed(&counters, 3_660);
        let rows = counters.unwritten();
        assert_eq!(seen(&rows, Span::Minute), [(at(3_600), 1), (at(3_660), 1)]);
        assert_eq!(seen(&rows, Span::Hour), [(at(3_600), 2)], "and the hour before is not written again");
        counters.written(&rows);
        succeed(&counters, 3_720);
        let rows = counters.unwritten();
        assert_eq!(seen(&rows, Span::Minute), [(at(3_720), 1)]);
        assert_eq!(seen(&rows, Span::Hour), [(at(3_600), 3)]);
    }

    #[test]
    fn what_is_written_for_good_never_grows_again() {
        let counters = Counters::default();
        succeed(&counters, 61);
        succeed(&counters, 121);
        counters.written(&counters.unwritten());
        assert_eq!(kept(&counters), [1, 1], "only the newest is kept");
        succeed(&counters, 61);
        assert_eq!(seen(&counters.unwritten(), Span::Minute), [(at(120), 2)], "the clock was set back");
        succeed(&counters, 7_200);
        counters.written(&counters.unwritten());
        succeed(&counters, 61);
        assert_eq!(seen(&counters.unwritten(), Span::Hour), [(at(7_200), 2)], "by hours");
    }

    #[test]
    fn every_end_is_counted_as_what_it_is() {
        let counters = Counters::default();
        let (ms, ends) = (
            Duration::from_millis(1),
            [
                RunStatus::Succeeded,
                RunStatus::Failed,
                RunStatus::Retried,
                RunStatus::Expired,
                RunStatus::Interrupted,
            ],
        );
        for (many, status) in (1..).zip(ends) {
            for _ in 0..many {
                let ran = (status != RunStatus::Expired).then_some((ms, ms * 9));
                counters.add("a", at(60), CountedEnd { status, ran });
            }
        }
        let (row, _) = counters.unwritten().remove(0);
        assert_eq!((row.succeeded, row.failed, row.retried), (1, 2, 3));
        assert_eq!((row.expired, row.interrupted), (4, 5));
        let mut durations = Histogram::default();
        (0..11).for_each(|_| durations.add(ms));
        assert_eq!((&row.durations, row.lateness.count()), (&durations, 11));
        assert!(row.lateness.quantile(0.5).unwrap() >= ms * 9);
    }

    #[test]
    fn what_cannot_be_written_is_bounded() {
        let counters = Counters::default();
        for minute in 0..100 {
            succeed(&counters, minute * 60);
        }
        assert_eq!(kept(&counters), [60, 2]);
        for (span, newest) in [(Span::Minute, at(99 * 60)), (Span::Hour, at(3_600))] {
            let newest_kept = seen(&counters.unwritten(), span).into_iter().map(|(start, _)| start).max();
            assert_eq!(newest_kept, Some(newest));
        }
        for hour in 2..10 {
            succeed(&counters, hour * 3_600);
        }
        assert_eq!(kept(&counters), [60, 2]);
    }
}
