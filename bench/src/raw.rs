//! The same work as plain SQL: on a table like the one for calls, with its columns, indexes and options.

mod postgres;
mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use crate::Result;
use crate::place::{Kind, Place};

/// How many calls a claim of plain SQL takes, and its acknowledgement ends.
const BATCH: u16 = 500;
/// How many rows a bulk insert of plain SQL stores at once: as many as `schedule_all`.
const BULK: usize = 5_000;

/// The table `raw_call`, created like `futurecall.call`, and the statements that empty and fill it.
pub(crate) enum Raw {
    Postgres(postgres::Raw),
    Sqlite(Box<sqlite::Raw>),
}

impl Raw {
    /// Creates the tables. A pod must have started there before, so that there is something to copy.
    pub(crate) async fn new(place: &Place) -> Result<Self> {
        Ok(match place.kind {
            Kind::Postgres => Self::Postgres(postgres::Raw::new(&place.url).await?),
            Kind::Sqlite => Self::Sqlite(Box::new(sqlite::Raw::new(&place.url).await?)),
        })
    }

    /// Performs single inserts by that many callers, each awaiting its own, for that long; returns rows per second.
    pub(crate) async fn enqueue(self: &Arc<Self>, callers: usize, time: Duration) -> Result<f64> {
        match &**self {
            Self::Postgres(raw) => raw.enqueue(callers, time).await,
            Self::Sqlite(raw) => raw.enqueue(callers, time).await,
        }
    }

    /// Stores that many rows in large inserts.
    pub(crate) async fn bulk(&self, rows: usize) -> Result {
        match self {
            Self::Postgres(raw) => raw.bulk(rows).await,
            Self::Sqlite(raw) => raw.bulk(rows).await,
        }
    }

    /// Copies the stored calls.
    pub(crate) async fn copy_calls(&self) -> Result {
        match self {
            Self::Postgres(raw) => raw.copy_calls().await,
            Self::Sqlite(raw) => raw.copy_calls().await,
        }
    }

    /// Claims and finishes everything that is due, alternating on one connection; returns how many rows that were.
    pub(crate) async fn drain(&self, keep: bool) -> Result<u64> {
        match self {
            Self::Postgres(raw) => raw.drain(keep).await,
            Self::Sqlite(raw) => raw.drain(keep).await,
        }
    }
}
