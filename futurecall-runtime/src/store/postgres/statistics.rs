//! What pods have counted.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresStore;
use super::connect::nothing_done;
use super::sql::{Reading, count, moment};
use crate::error::StoreError;
use crate::id::PodId;
use crate::moment::Moment;
use crate::store::codec::{counts_of, histogram_of, histogram_text, newest};
use crate::store::{Statistics, sums};

const WRITING: &str = "store statistics";
const READING: &str = "read statistics";

/// $1 the pod, $2 to $10 the rows, in the order of their keys.
const PUT: &str = "
    INSERT INTO futurecall.statistics
        (minute, name, pod, succeeded, failed, retried, interrupted, expired, durations, lateness)
    SELECT {at u.minute}, u.name, $1::uuid, u.succeeded, u.failed, u.retried, u.interrupted, u.expired,
        u.durations::json, u.lateness::json
    FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
            $9::text[], $10::text[])
        AS u(minute, name, succeeded, failed, retried, interrupted, expired, durations, lateness)
    ON CONFLICT (minute, name, pod) DO UPDATE SET succeeded = excluded.succeeded, failed = excluded.failed,
        retried = excluded.retried, interrupted = excluded.interrupted, expired = excluded.expired,
        durations = excluded.durations, lateness = excluded.lateness";

/// $1 the first minute, $2 the name.
const READ: &str = "
    SELECT {us s.minute} AS minute, s.name, s.succeeded, s.failed, s.retried, s.interrupted, s.expired,
        s.durations::text AS durations, s.lateness::text AS lateness
    FROM futurecall.statistics AS s
    WHERE s.minute >= {at $1::bigint} AND ($2::text IS NULL OR s.name = $2::text)";

impl PostgresStore {
    pub(super) async fn write_statistics(
        &self,
        pod: PodId,
        counted: &[Statistics],
    ) -> Result<(), StoreError> {
        let rows = newest(counted);
        if rows.is_empty() {
            return Ok(());
        }
        let counts: Vec<[i64; 5]> = rows.iter().map(|row| counts_of(row)).collect();
        let query = self
            .query(PUT)
            .bind(pod.as_uuid())
            .bind(rows.iter().map(|row| row.minute.as_micros()).collect::<Vec<_>>())
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

    pub(super) async fn read_statistics(
        &self,
        since: Moment,
        name: Option<&str>,
    ) -> Result<Vec<Statistics>, StoreError> {
        let query = self.query(READ).bind(since.as_micros()).bind(name.map(str::to_owned));
        let rows = self.read(READING, query).await?;
        let rows: Vec<Statistics> =
            rows.iter().map(read).collect::<Reading<_>>().map_err(nothing_done(READING))?;
        Ok(sums(rows))
    }
}

fn read(row: &PgRow) -> Reading<Statistics> {
    let histogram = |column: &str| row.try_get::<String, _>(column).map(|text| histogram_of(&text));
    Ok(Statistics {
        name: row.try_get("name")?,
        minute: moment(row, "minute")?,
        succeeded: count(row, "succeeded")?,
        failed: count(row, "failed")?,
        retried: count(row, "retried")?,
        interrupted: count(row, "interrupted")?,
        expired: count(row, "expired")?,
        durations: histogram("durations")?,
        lateness: histogram("lateness")?,
    })
}
