-- Futurecall on SQLite, version 1. Moments are microseconds since 1970, UTC.
--
-- Teams that migrate by hand run this file as it stands (with another prefix: replace "futurecall_"); a pod started
-- afterwards finds nothing left to do.

CREATE TABLE futurecall_migration (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT;

-- What is scheduled or running; nothing finished. The CHECKs keep out what a slip by hand could write and no pod
-- could read.
CREATE TABLE futurecall_call (
    id               BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    name             TEXT NOT NULL,
    priority         INTEGER NOT NULL DEFAULT 0 CHECK (priority BETWEEN -32768 AND 32767),
    -- Of the next attempt, or of the one that runs.
    due_at           INTEGER NOT NULL CHECK (due_at BETWEEN 0 AND 253402300799999999),
    -- Of the first attempt, once the call has been made due again.
    first_due_at     INTEGER,
    -- No handler is started after this, unless one was before.
    expires_at       INTEGER,
    identifier       TEXT,
    args             TEXT NOT NULL,
    format           INTEGER NOT NULL DEFAULT 1,
    schedule_id      BLOB CHECK (length(schedule_id) = 16),
    unique_key       TEXT,
    rerun_of         BLOB,
    traceparent      TEXT,
    created_at       INTEGER NOT NULL,
    claimed_by       BLOB CHECK (length(claimed_by) = 16),
    claim_no         INTEGER,
    claimed_at       INTEGER,
    lease_until      INTEGER,
    -- What is to happen if the pod vanishes: 0 keep as interrupted; otherwise run again, that many microseconds later,
    -- until as many of its pods have vanished.
    on_vanish        INTEGER NOT NULL DEFAULT 0,
    -- How many attempts have failed and are followed by another, and how many of its pods have vanished.
    failures         INTEGER NOT NULL DEFAULT 0,
    vanished         INTEGER NOT NULL DEFAULT 0,
    attempt          INTEGER NOT NULL DEFAULT 0,
    vanish_after     INTEGER,
    -- The newest attempts that ended and are followed by another, as one JSON array; none is NULL.
    attempts         TEXT,
    started          INTEGER NOT NULL DEFAULT 0,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    error            TEXT,
    -- The hashes of the shapes under which pods could not read its arguments, and gave it back for a pod of another one:
    -- each between two commas.
    declined         TEXT,
    CHECK ((claimed_by IS NULL) = (claim_no IS NULL) AND (claimed_by IS NULL) = (lease_until IS NULL))
) STRICT;

-- `claimed_by` (always NULL) and `declined` are in it only because SQLite would otherwise look them up in the table.
CREATE INDEX futurecall_call_due ON futurecall_call (name, priority, due_at, id, claimed_by, declined)
    WHERE claimed_by IS NULL;
CREATE INDEX futurecall_call_declined ON futurecall_call (id) WHERE declined IS NOT NULL;
CREATE INDEX futurecall_call_claimed ON futurecall_call (lease_until) WHERE claimed_by IS NOT NULL;
CREATE INDEX futurecall_call_identifier ON futurecall_call (identifier, due_at, id) WHERE identifier IS NOT NULL;
CREATE INDEX futurecall_call_schedule ON futurecall_call (schedule_id, due_at, id) WHERE schedule_id IS NOT NULL;
-- The runs of schedules that are under way: a handful, looked at by every claim.
CREATE INDEX futurecall_call_run ON futurecall_call (schedule_id, lease_until)
    WHERE schedule_id IS NOT NULL AND claimed_by IS NOT NULL;
CREATE UNIQUE INDEX futurecall_call_unique ON futurecall_call (name, unique_key) WHERE unique_key IS NOT NULL;

-- What is over: insert-only, deleted by age.
CREATE TABLE futurecall_finished (
    id          BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    name        TEXT NOT NULL,
    priority    INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    identifier  TEXT,
    args        TEXT NOT NULL,
    format      INTEGER NOT NULL,
    schedule_id BLOB,
    rerun_of    BLOB,
    traceparent TEXT,
    created_at  INTEGER NOT NULL,
    -- 1 succeeded, 2 failed, 3 interrupted, 4 cancelled, 5 expired, 6 skipped.
    state       INTEGER NOT NULL CHECK (state BETWEEN 1 AND 6),
    attempt     INTEGER NOT NULL,
    pod         BLOB,
    claim_no    INTEGER,
    started_at  INTEGER,
    duration_us INTEGER,
    finished_at INTEGER NOT NULL,
    error       TEXT,
    -- The attempts before the last one.
    attempts    TEXT
) STRICT;

-- By lanes, as what is pending: the listing of any names and states is merged from them, and pruning goes along each.
CREATE INDEX futurecall_finished_at ON futurecall_finished (name, state, finished_at, id);
CREATE INDEX futurecall_finished_identifier ON futurecall_finished (identifier, finished_at)
    WHERE identifier IS NOT NULL;
CREATE INDEX futurecall_finished_schedule ON futurecall_finished (schedule_id, finished_at, id)
    WHERE schedule_id IS NOT NULL;

-- Recurring rules. The rule that code declared stands apart from the rule in effect, so that an operator's edit
-- survives until the code itself changes.
CREATE TABLE futurecall_schedule (
    id          BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    key         TEXT NOT NULL UNIQUE,
    name        TEXT NOT NULL,
    identifier  TEXT,
    args        TEXT NOT NULL,
    format      INTEGER NOT NULL,
    priority    INTEGER NOT NULL,
    declared    TEXT NOT NULL,
    effective   TEXT NOT NULL,
    -- The first run's moment: interval boundaries are anchor + n * interval, without drift.
    anchor      INTEGER NOT NULL,
    -- 0 code, 1 attribute.
    origin      INTEGER NOT NULL,
    -- 0 active, 1 paused, 2 ended.
    state       INTEGER NOT NULL DEFAULT 0,
    reason      TEXT,
    -- When its call was last known: when it was declared, or the last heartbeat of a pod that has left and knew the call.
    known_at    INTEGER NOT NULL,
    -- The run that was pending when the schedule ended because nobody declared it: from there a revived one goes on.
    missed_from INTEGER,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX futurecall_schedule_identifier ON futurecall_schedule (identifier) WHERE identifier IS NOT NULL;

-- Who is alive, for people and for the broken-call check; leases stand on the calls, not here.
CREATE TABLE futurecall_pod (
    id         BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    label      TEXT NOT NULL,
    role       TEXT NOT NULL,
    version    TEXT NOT NULL,
    names      TEXT NOT NULL,
    schedules  TEXT NOT NULL,
    -- Arguments that are not to be shown: by stored name, their keys.
    redacted   TEXT NOT NULL,
    slots      INTEGER NOT NULL,
    running    INTEGER NOT NULL,
    -- Its row in the table of shapes.
    shapes     INTEGER,
    started_at INTEGER NOT NULL,
    beat_at    INTEGER NOT NULL
) STRICT;

-- What releases store and read of each call: by stored name its parameters, and the hash of that. A row for all pods that
-- agree in everything.
CREATE TABLE futurecall_shapes (
    hash    INTEGER PRIMARY KEY,
    shapes  TEXT NOT NULL,
    hashes  TEXT NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT;

-- What runs have logged, where that is asked for.
CREATE TABLE futurecall_log (
    call_id BLOB NOT NULL CHECK (length(call_id) = 16),
    attempt INTEGER NOT NULL,
    text    TEXT NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (call_id, attempt)
) STRICT;

CREATE INDEX futurecall_log_at ON futurecall_log (at);

-- Call types that no pod claims calls of until they are resumed.
CREATE TABLE futurecall_paused_name (
    name   TEXT PRIMARY KEY NOT NULL,
    since  INTEGER NOT NULL,
    actor  TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;

-- What operators did. The outcome is added when it is known.
CREATE TABLE futurecall_action (
    id          BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    at          INTEGER NOT NULL,
    actor       TEXT NOT NULL,
    verb        TEXT NOT NULL,
    target      TEXT NOT NULL,
    call_id     BLOB,
    schedule_id BLOB,
    outcome     TEXT
) STRICT;

CREATE INDEX futurecall_action_at ON futurecall_action (at, id);
CREATE INDEX futurecall_action_call ON futurecall_action (call_id, at, id) WHERE call_id IS NOT NULL;
CREATE INDEX futurecall_action_schedule ON futurecall_action (schedule_id, at, id) WHERE schedule_id IS NOT NULL;

-- Until when calls may have ended without a row in the history: a repeated request to store one cannot tell until then. One
-- row at most.
CREATE TABLE futurecall_history_gap (
    is_one INTEGER PRIMARY KEY NOT NULL CHECK (is_one = 1),
    until  INTEGER NOT NULL
) STRICT;

-- What each pod has counted of each call type in each minute, and the same once more in each hour; written anew while that
-- lasts. The span is its length in minutes: 1 or 60. The histograms are objects of counts by bucket.
CREATE TABLE futurecall_statistics (
    span        INTEGER NOT NULL,
    start       INTEGER NOT NULL,
    name        TEXT NOT NULL,
    pod         BLOB NOT NULL CHECK (length(pod) = 16),
    succeeded   INTEGER NOT NULL,
    failed      INTEGER NOT NULL,
    retried     INTEGER NOT NULL,
    interrupted INTEGER NOT NULL,
    expired     INTEGER NOT NULL,
    durations   TEXT NOT NULL,
    lateness    TEXT NOT NULL,
    PRIMARY KEY (span, start, name, pod)
) STRICT, WITHOUT ROWID;

INSERT INTO futurecall_migration (version, name, applied_at) VALUES (1, 'calls', CAST(strftime('%s', 'now') AS INTEGER) * 1000000);
