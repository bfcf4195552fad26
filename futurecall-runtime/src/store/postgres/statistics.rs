//! What pods have counted.

use async_trait::async_trait;

use super::PostgresStore;

use crate::id::PodId;
use crate::moment::Moment;
use crate::store::codec::{counts_of, histogram_text, newest};
use crate::store::{Result, Span, Statistics, StatisticsStore, records, sums};

const WRITING: &str = "store statistics";

const READING: &str = "read statistics";

/// $1 the pod, $2 to $11 the rows, in the order of their keys.
const PUT: &str = "
    INSERT INTO futurecall.statistics
        (span, start, name, pod, succeeded, failed, retried, interrupted, expired, durations, lateness)
    SELECT u.span, {at u.start}, u.name, $1::uuid, u.succeeded, u.failed, u.retried, u.interrupted, u.expired,
        u.durations::json, u.lateness::json
    FROM unnest($2::smallint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
            $9::bigint[], $10::text[], $11::text[])
        AS u(span, start, name, succeeded, failed, retried, interrupted, expired, durations, lateness)
    ON CONFLICT (span, start, name, pod) DO UPDATE SET succeeded = excluded.succeeded, failed = excluded.failed,
        retried = excluded.retried, interrupted = excluded.interrupted, expired = excluded.expired,
        durations = excluded.durations, lateness = excluded.lateness";

/// $1 the span, $2 the first moment, $3 the name.
const READ: &str = "
    SELECT {us s.start} AS start, s.name, s.succeeded, s.failed, s.retried, s.interrupted, s.expired,
        s.durations::text AS durations, s.lateness::text AS lateness
    FROM futurecall.statistics AS s
    WHERE s.span = $1::smallint AND s.start >= {at $2::bigint} AND ($3::text IS NULL OR s.name = $3::text)";

#[async_trait]
impl StatisticsStore for PostgresStore {
    async fn put_statistics(&self, pod: PodId, counted: &[Statistics]) -> Result<()> {
        let rows = newest(counted);
        if rows.is_empty() {
            return Ok(());
        }
        let counts: Vec<[i64; 5]> = rows.iter().map(|row| counts_of(row)).collect();
        let query = self
            .query(PUT)
            .bind(pod.as_uuid())
            .bind(rows.iter().map(|row| row.span.minutes()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.start.as_micros()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.name.clone()).collect::<Vec<_>>())
            .bind(counts.iter().map(|[succeeded, ..]| *succeeded).collect::<Vec<_>>())
            .bind(counts.iter().map(|[_, failed, ..]| *failed).collect::<Vec<_>>())
            .bind(counts.iter().map(|[_, _, retried, ..]| *retried).collect::<Vec<_>>())
            .bind(counts.iter().map(|[.., interrupted, _]| *interrupted).collect::<Vec<_>>())
            .bind(counts.iter().map(|[.., expired]| *expired).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| histogram_text(&row.durations)).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| histogram_text(&row.lateness)).collect::<Vec<_>>());
        self.write(WRITING, query).await.map(drop)
    }

    async fn statistics(&self, span: Span, since: Moment, name: Option<&str>) -> Result<Vec<Statistics>> {
        let query =
            self.query(READ).bind(span.minutes()).bind(since.as_micros()).bind(name.map(str::to_owned));
        let rows = self.read(READING, query).await?;
        let rows = rows.iter().map(|row| records::statistics(row, span)).collect::<Result<Vec<_>>>()?;
        Ok(sums(rows))
    }
}
