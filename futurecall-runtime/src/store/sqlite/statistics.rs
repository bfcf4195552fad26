//! What pods have counted.

use async_trait::async_trait;

use super::SqliteStore;
use super::tx::{batch, no_nul, run};
use crate::id::PodId;
use crate::moment::Moment;
use crate::store::{Now, Result, Span, Statistics, StatisticsStore, codec, records, sums};

const WRITING: &str = "store statistics";

/// ?1 the rows, ?2 the pod.
const PUT: &str = "
INSERT INTO futurecall_statistics
    (span, start, name, pod, succeeded, failed, retried, interrupted, expired, durations, lateness)
SELECT value ->> 0, value ->> 1, value ->> 2, ?2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
    value ->> 8, value ->> 9
FROM json_each(?1) WHERE true
ON CONFLICT (span, start, name, pod) DO UPDATE SET succeeded = excluded.succeeded, failed = excluded.failed,
    retried = excluded.retried, interrupted = excluded.interrupted, expired = excluded.expired,
    durations = excluded.durations, lateness = excluded.lateness";

/// ?1 the span, ?2 the first moment, ?3 the name.
pub(super) const READ: &str = "
SELECT start, name, succeeded, failed, retried, interrupted, expired, durations, lateness
FROM futurecall_statistics WHERE span = ?1 AND start >= ?2 AND (?3 IS NULL OR name = ?3)";

#[async_trait]
impl StatisticsStore for SqliteStore {
    async fn put_statistics(&self, pod: PodId, counted: &[Statistics]) -> Result<()> {
        if counted.is_empty() {
            return Ok(());
        }
        for row in counted {
            no_nul(WRITING, "a name", &row.name)?;
        }
        let rows: Vec<_> = codec::newest(counted)
            .into_iter()
            .map(|row| {
                let [succeeded, failed, retried, interrupted, expired] = codec::counts_of(row);
                let [durations, lateness] = [&row.durations, &row.lateness].map(codec::histogram_text);
                let (span, start) = (row.span.minutes(), row.start.as_micros());
                (
                    span,
                    start,
                    &row.name,
                    succeeded,
                    failed,
                    retried,
                    interrupted,
                    expired,
                    durations,
                    lateness,
                )
            })
            .collect();
        let (rows, pod) = (batch(WRITING, &rows)?, pod.as_uuid());
        run!(self.write, WRITING, Now::Database, |tx| tx
            .run(tx.sql(PUT).bind(rows).bind(pod))
            .await
            .map(drop))
        .await
    }

    async fn statistics(&self, span: Span, since: Moment, name: Option<&str>) -> Result<Vec<Statistics>> {
        let name = name.map(str::to_owned);
        run!(self.read, "read statistics", Now::Database, |tx| {
            let rows = tx.rows(tx.sql(READ).bind(span.minutes()).bind(since.as_micros()).bind(name)).await?;
            let rows = rows.iter().map(|row| records::statistics(row, span)).collect::<Result<Vec<_>>>()?;
            Ok(sums(rows))
        })
        .await
    }
}
