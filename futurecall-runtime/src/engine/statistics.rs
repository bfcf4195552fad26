//! What this pod counts of the calls that it runs, minute by minute of the database's clock, and writes with each heartbeat.
//!
//! A row holds all that was counted in its minute, and is written anew as long as it grows, so that a lost reply is harmless.
//! Nothing is ever counted into a minute that has been written for good.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::backoff::Backoff;
use super::run::How;
use super::supervise::supervised;
use super::{BEAT, Engine};
use crate::error::StoreError;
use crate::moment::Moment;
use crate::store::{BUCKETS, ClaimedCall, Histogram, Statistics, bucket};

/// Rows of one statement.
const CHUNK: usize = 500;
/// How many minutes may wait for a database that does not answer; older ones are given up.
const UNSENT: usize = 60;
const MINUTE: i64 = 60_000_000;

/// What was counted and is not written for good.
#[derive(Debug, Default)]
pub(super) struct Counters {
    minutes: Mutex<BTreeMap<Moment, HashMap<String, Row>>>,
}

#[derive(Debug)]
struct Row {
    /// How many ended how, as [`How`] counts.
    ends: [u64; 5],
    /// By bucket of the histogram: a call must cost next to nothing.
    durations: Box<[u64; BUCKETS]>,
    lateness: Box<[u64; BUCKETS]>,
    /// How often it has grown, and how often when it was last written.
    grown: u64,
    written: u64,
}

/// One end of a call.
#[derive(Clone, Copy)]
struct End {
    how: How,
    /// How long the handler ran and how late it started, if it did.
    ran: Option<(Duration, Duration)>,
}

impl Counters {
    fn add(&self, name: &str, end: Moment, ended: End) {
        let minute = minute_of(end);
        let mut minutes = self.lock();
        // The clock may be set back, and the minute before may be written for good.
        let minute = minutes.last_key_value().map_or(minute, |(newest, _)| minute.max(*newest));
        let rows = minutes.entry(minute).or_default();
        if let Some(row) = rows.get_mut(name) {
            return row.add(ended);
        }
        let mut row = Row::default();
        row.add(ended);
        rows.insert(name.to_owned(), row);
        while minutes.len() > UNSENT {
            minutes.pop_first();
        }
    }

    /// What has grown since it was last written, each row with how often it had.
    fn unwritten(&self) -> Vec<(Statistics, u64)> {
        let minutes = self.lock();
        let rows = minutes.iter().flat_map(|(minute, rows)| rows.iter().map(|row| (*minute, row)));
        let grown = rows.filter(|(_, (_, row))| row.grown != row.written);
        grown.map(|(minute, (name, row))| (row.counted(name, minute), row.grown)).collect()
    }

    /// These are written. What cannot grow any more is forgotten.
    fn written(&self, rows: &[(Statistics, u64)]) {
        let mut minutes = self.lock();
        for (counted, grown) in rows {
            let row = minutes.get_mut(&counted.minute).and_then(|rows| rows.get_mut(&counted.name));
            if let Some(row) = row {
                row.written = *grown;
            }
        }
        let newest = minutes.last_key_value().map(|(newest, _)| *newest);
        minutes.retain(|minute, rows| {
            rows.retain(|_, row| Some(*minute) == newest || row.grown != row.written);
            !rows.is_empty()
        });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Moment, HashMap<String, Row>>> {
        self.minutes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Row {
    fn add(&mut self, end: End) {
        count(&mut self.ends, end.how as usize);
        if let Some((duration, lateness)) = end.ran {
            count(&mut *self.durations, bucket(duration).into());
            count(&mut *self.lateness, bucket(lateness).into());
        }
        self.grown = self.grown.saturating_add(1);
    }

    fn counted(&self, name: &str, minute: Moment) -> Statistics {
        let mut counted = Statistics::new(name.to_owned(), minute);
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

impl Engine {
    /// Counts an end. `started_after`: how long after its claim the handler started, if it did.
    pub(super) fn count(
        &self,
        call: &ClaimedCall,
        how: How,
        started_after: Option<Duration>,
        ran_for: Duration,
    ) {
        let later = |moment: Moment, time| moment.checked_add(time).unwrap_or(Moment::MAX);
        let start = started_after.map(|after| later(call.claimed, after));
        let end = start.map_or(call.claimed, |start| later(start, ran_for));
        let ran = start.map(|start| (ran_for, start.saturating_since(call.due)));
        self.counters.add(&call.name, end, End { how, ran });
    }
}

/// Starts the task that writes.
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

/// Writes what has grown.
pub(super) async fn write(engine: &Engine) -> Result<(), StoreError> {
    for rows in engine.counters.unwritten().chunks(CHUNK) {
        let counted: Vec<Statistics> = rows.iter().map(|(counted, _)| counted.clone()).collect();
        engine.store.put_statistics(engine.pod, &counted).await?;
        engine.counters.written(rows);
    }
    Ok(())
}

fn minute_of(moment: Moment) -> Moment {
    let micros = moment.as_micros();
    Moment::from_micros(micros - micros.rem_euclid(MINUTE)).unwrap_or(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Moment {
        Moment::from_micros(seconds * 1_000_000).unwrap()
    }

    fn succeed(counters: &Counters, seconds: i64) {
        counters.add("a", at(seconds), End { how: How::Succeeded, ran: None });
    }

    fn seen(rows: &[(Statistics, u64)]) -> Vec<(Moment, u64)> {
        rows.iter().map(|(row, _)| (row.minute, row.succeeded)).collect()
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
        assert_eq!(seen(&second), [(at(60), 2)], "it grew while it was written");
        counters.written(&second);
        assert!(counters.unwritten().is_empty());
        succeed(&counters, 100);
        assert_eq!(seen(&counters.unwritten()), [(at(60), 3)], "all of its minute");
    }

    #[test]
    fn a_minute_that_is_written_for_good_never_grows_again() {
        let counters = Counters::default();
        succeed(&counters, 61);
        succeed(&counters, 121);
        counters.written(&counters.unwritten());
        assert_eq!(counters.lock().len(), 1, "only the newest is kept");
        succeed(&counters, 61);
        assert_eq!(seen(&counters.unwritten()), [(at(120), 2)], "the clock was set back");
    }

    #[test]
    fn every_end_is_counted_as_what_it_is() {
        let counters = Counters::default();
        let (ms, ends) = (
            Duration::from_millis(1),
            [How::Succeeded, How::Failed, How::Retried, How::Expired, How::Interrupted],
        );
        for (many, how) in (1..).zip(ends) {
            for _ in 0..many {
                let ran = (how != How::Expired).then_some((ms, ms * 9));
                counters.add("a", at(60), End { how, ran });
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
        assert_eq!(counters.lock().len(), UNSENT);
        let newest = seen(&counters.unwritten()).into_iter().map(|(minute, _)| minute).max();
        assert_eq!(newest, Some(at(99 * 60)));
    }
}
