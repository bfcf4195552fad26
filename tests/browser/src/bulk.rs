//! A database with very many calls, written by the database itself.

use sqlx::{AssertSqlSafe, PgPool, SqlitePool};

/// How many calls there are: one half pending, the other over.
pub const CALLS: u32 = 1_000_000;

/// How many names they have.
pub const NAMES: u32 = 20;

/// Fills the tables, which a pod has made before.
///
/// # Errors
///
/// What the database says.
pub async fn fill_sqlite(pool: &SqlitePool) -> sqlx::Result<()> {
    let half = CALLS / 2;
    // One moment for all statements.
    let seconds: i64 =
        sqlx::query_scalar("SELECT CAST(strftime('%s', 'now') AS INTEGER)").fetch_one(pool).await?;
    let now = seconds * 1_000_000;
    let sql = format!(
        "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {half})
         INSERT INTO futurecall_call (id, name, due_at, identifier, args, created_at)
         SELECT randomblob(16), 'work.kind_' || (n % {NAMES}), {now} + (n - 2000) * 17000000, 'account:' || (n % 10000),
             '{{\"account\":' || n || '}}', {now}
         FROM s;
         WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {half})
         INSERT INTO futurecall_finished (id, name, priority, due_at, identifier, args, format, created_at, state, attempt,
             started_at, duration_us, finished_at, error)
         SELECT randomblob(16), 'work.kind_' || (n % {NAMES}), 0, {now} - n * 2000000, 'account:' || (n % 10000),
             '{{\"account\":' || n || '}}', 1, {now} - n * 2000000, 1 + n % 4, 1, {now} - n * 2000000, 1000, {now} - n * 2000000,
             CASE WHEN n % 4 = 1 THEN 'the server refused account ' || n END
         FROM s;
         WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < 2880 * {NAMES} - 1)
         INSERT INTO futurecall_statistics
             (span, start, name, pod, succeeded, failed, retried, interrupted, expired, durations, lateness)
         SELECT 1, ({now} / 60000000 - n / {NAMES}) * 60000000, 'work.kind_' || (n % {NAMES}), zeroblob(16), 90, 10, 0, 0, 0,
             '{MINUTE}', '{MINUTE}'
         FROM s;
         WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < 48 * {NAMES} - 1)
         INSERT INTO futurecall_statistics
             (span, start, name, pod, succeeded, failed, retried, interrupted, expired, durations, lateness)
         SELECT 60, ({now} / 3600000000 - n / {NAMES}) * 3600000000, 'work.kind_' || (n % {NAMES}), zeroblob(16), 5400, 600,
             0, 0, 0, '{HOUR}', '{HOUR}'
         FROM s;
         WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 10000)
         INSERT INTO futurecall_action (id, at, actor, verb, target, outcome)
         SELECT randomblob(16), {now} - n * 600000000, 'ada', 'cancel', 'calls with identifier account:' || n, '1 done' FROM s;",
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.map(|_| ())
}

/// The same for PostgreSQL, in the schema `futurecall`. It is analyzed, as autovacuum would have done by then.
///
/// # Errors
///
/// What the database says.
pub async fn fill_postgres(pool: &PgPool) -> sqlx::Result<()> {
    let half = CALLS / 2;
    let sql = format!(
        "INSERT INTO futurecall.call (id, name, due_at, identifier, args)
         SELECT gen_random_uuid(), 'work.kind_' || (n % {NAMES}), now() + (n - 2000) * interval '17 s', 'account:' || (n % 10000),
             json_build_object('account', n)
         FROM generate_series(1, {half}) AS n;
         INSERT INTO futurecall.finished (id, name, priority, due_at, identifier, args, format, created_at, state, attempt,
             started_at, duration_us, finished_at, error)
         SELECT gen_random_uuid(), 'work.kind_' || (n % {NAMES}), 0, at, 'account:' || (n % 10000), json_build_object('account', n),
             1, at, 1 + n % 4, 1, at, 1000, at, CASE WHEN n % 4 = 1 THEN 'the server refused account ' || n END
         FROM generate_series(1, {half}) AS n, LATERAL (SELECT now() - n * interval '2 s' AS at) AS moments;
         INSERT INTO futurecall.statistics
             (span, start, name, pod, succeeded, failed, retried, interrupted, expired, durations, lateness)
         SELECT 1, date_trunc('minute', now()) - (n / {NAMES}) * interval '1 min', 'work.kind_' || (n % {NAMES}),
             '00000000-0000-0000-0000-000000000000'::uuid, 90, 10, 0, 0, 0, '{MINUTE}'::json, '{MINUTE}'::json
         FROM generate_series(0, 2880 * {NAMES} - 1) AS n
         UNION ALL
         SELECT 60, date_trunc('hour', now()) - (n / {NAMES}) * interval '1 hour', 'work.kind_' || (n % {NAMES}),
             '00000000-0000-0000-0000-000000000000'::uuid, 5400, 600, 0, 0, 0, '{HOUR}'::json, '{HOUR}'::json
         FROM generate_series(0, 48 * {NAMES} - 1) AS n;
         INSERT INTO futurecall.action (id, at, actor, verb, target, outcome)
         SELECT gen_random_uuid(), now() - n * interval '10 min', 'ada', 'cancel', 'calls with identifier account:' || n, '1 done'
         FROM generate_series(1, 10000) AS n;
         ANALYZE;",
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.map(|_| ())
}

/// A hundred durations in ten buckets.
const MINUTE: &str =
    r#"{"100":2,"110":5,"120":9,"125":14,"130":20,"135":20,"140":14,"145":9,"150":5,"160":2}"#;

/// Six thousand in as many buckets as an hour may well fill.
const HOUR: &str = r#"{"90":12,"95":18,"100":100,"102":130,"105":200,"108":250,"110":300,"112":350,"115":400,"118":410,
"120":420,"122":430,"125":440,"128":450,"130":440,"132":430,"135":300,"138":250,"140":200,"142":150,"145":120,"148":90,
"150":60,"152":30,"155":12,"160":8}"#;
