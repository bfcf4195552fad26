-- Futurecall on PostgreSQL, version 1.
--
-- Teams that migrate by hand run this file as it stands (with another schema name: replace "futurecall." and the
-- name in CREATE SCHEMA), then insert the row at the end; a pod started afterwards finds nothing left to do.

CREATE SCHEMA IF NOT EXISTS futurecall;

CREATE TABLE futurecall.migration (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- What is scheduled or running; nothing finished. A claim updates the row in place: fillfactor leaves room for the
-- new version, which is 40 bytes longer, on the same page (50 left too little for a quarter of the smallest rows), and
-- no index names a column that a claim changes, so the update is HOT.
CREATE TABLE futurecall.call (
    id               uuid PRIMARY KEY,
    name             text NOT NULL,
    priority         smallint NOT NULL DEFAULT 0,
    -- Of the next attempt, or of the one that runs.
    due_at           timestamptz NOT NULL,
    -- Of the first attempt, once the call has been made due again.
    first_due_at     timestamptz,
    -- No handler is started after this, unless one was before.
    expires_at       timestamptz,
    identifier       text,
    args             json NOT NULL,
    format           smallint NOT NULL DEFAULT 1,
    schedule_id      uuid,
    unique_key       text,
    rerun_of         uuid,
    traceparent      text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    claimed_by       uuid,
    claim_no         bigint,
    claimed_at       timestamptz,
    lease_until      timestamptz,
    -- What is to happen if the pod vanishes: 0 keep as interrupted; otherwise run again, that many microseconds later,
    -- until as many of its pods have vanished. (Never NULL: a claim then makes the row no longer than it must.)
    vanish_after     bigint NOT NULL DEFAULT 0,
    on_vanish        smallint NOT NULL DEFAULT 0,
    -- How many attempts have failed and are followed by another, and how many of its pods have vanished.
    failures         smallint NOT NULL DEFAULT 0,
    vanished         smallint NOT NULL DEFAULT 0,
    attempt          integer NOT NULL DEFAULT 0,
    -- The newest attempts that ended and are followed by another, as one array; none is NULL.
    attempts         jsonb,
    started          boolean NOT NULL DEFAULT false,
    cancel_requested boolean NOT NULL DEFAULT false,
    error            text,
    -- The hashes of the shapes under which pods could not read its arguments, and gave it back for a pod of another one.
    declined         bigint[],
    CHECK (due_at >= '1970-01-01 00:00:00+00' AND due_at < '10000-01-01 00:00:00+00'),
    CHECK ((claimed_by IS NULL) = (claim_no IS NULL) AND (claimed_by IS NULL) = (lease_until IS NULL))
) WITH (
    fillfactor = 40,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX call_due ON futurecall.call (name, priority, due_at, id);
CREATE INDEX call_run ON futurecall.call (name, priority, due_at, id) WHERE schedule_id IS NOT NULL;
CREATE INDEX call_identifier ON futurecall.call (identifier, due_at, id) WHERE identifier IS NOT NULL;
CREATE INDEX call_schedule ON futurecall.call (schedule_id) WHERE schedule_id IS NOT NULL;
CREATE INDEX call_declined ON futurecall.call (id) WHERE declined IS NOT NULL;
CREATE UNIQUE INDEX call_unique ON futurecall.call (name, unique_key) WHERE unique_key IS NOT NULL;

-- What is over: insert-only, deleted by age.
CREATE TABLE futurecall.finished (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    priority    smallint NOT NULL,
    due_at      timestamptz NOT NULL,
    identifier  text,
    args        json NOT NULL,
    format      smallint NOT NULL,
    schedule_id uuid,
    rerun_of    uuid,
    traceparent text,
    created_at  timestamptz NOT NULL,
    -- 1 succeeded, 2 failed, 3 interrupted, 4 cancelled, 5 expired, 6 skipped.
    state       smallint NOT NULL CHECK (state BETWEEN 1 AND 6),
    attempt     integer NOT NULL,
    pod         uuid,
    claim_no    bigint,
    started_at  timestamptz,
    duration_us bigint,
    finished_at timestamptz NOT NULL,
    error       text,
    -- The attempts before the last one.
    attempts    jsonb
);

-- By lanes, as what is pending: the listing of any names and states is merged from them, and pruning goes along each.
CREATE INDEX finished_at ON futurecall.finished (name, state, finished_at, id);
CREATE INDEX finished_identifier ON futurecall.finished (identifier, finished_at) WHERE identifier IS NOT NULL;
CREATE INDEX finished_schedule ON futurecall.finished (schedule_id, finished_at, id) WHERE schedule_id IS NOT NULL;

-- Recurring rules. The rule that code declared stands apart from the rule in effect, so that an operator's edit
-- survives until the code itself changes.
CREATE TABLE futurecall.schedule (
    id          uuid PRIMARY KEY,
    key         text NOT NULL UNIQUE,
    name        text NOT NULL,
    identifier  text,
    args        json NOT NULL,
    format      smallint NOT NULL,
    priority    smallint NOT NULL,
    declared    json NOT NULL,
    effective   json NOT NULL,
    -- The first run's moment: interval boundaries are anchor + n * interval, without drift.
    anchor      timestamptz NOT NULL,
    -- 0 code, 1 attribute.
    origin      smallint NOT NULL,
    -- 0 active, 1 paused, 2 ended.
    state       smallint NOT NULL DEFAULT 0,
    reason      text,
    -- When its call was last known: when it was declared, or the last heartbeat of a pod that has left and knew the call.
    known_at    timestamptz NOT NULL,
    -- The run that was pending when the schedule ended because nobody declared it: from there a revived one goes on.
    missed_from timestamptz,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);

CREATE INDEX schedule_identifier ON futurecall.schedule (identifier) WHERE identifier IS NOT NULL;

-- Who is alive, for people and for the broken-call check; leases stand on the calls, not here.
CREATE TABLE futurecall.pod (
    id         uuid PRIMARY KEY,
    label      text NOT NULL,
    role       text NOT NULL,
    version    text NOT NULL,
    names      text[] NOT NULL,
    schedules  text[] NOT NULL,
    -- Arguments that are not to be shown: by stored name, their keys.
    redacted   jsonb NOT NULL,
    slots      integer NOT NULL,
    running    integer NOT NULL,
    -- Its row in the table of shapes.
    shapes     bigint,
    started_at timestamptz NOT NULL,
    beat_at    timestamptz NOT NULL
) WITH (fillfactor = 50);

-- What releases store and read of each call: by stored name its parameters, and the hash of that. A row for all pods that
-- agree in everything.
CREATE TABLE futurecall.shapes (
    hash    bigint PRIMARY KEY,
    shapes  jsonb NOT NULL,
    hashes  jsonb NOT NULL,
    seen_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- What runs have logged, where that is asked for.
CREATE TABLE futurecall.log (
    call_id uuid NOT NULL,
    attempt integer NOT NULL,
    text    text NOT NULL,
    at      timestamptz NOT NULL,
    PRIMARY KEY (call_id, attempt)
);

CREATE INDEX log_at ON futurecall.log (at);

-- Call types that no pod claims calls of until they are resumed.
CREATE TABLE futurecall.paused_name (
    name   text PRIMARY KEY,
    since  timestamptz NOT NULL,
    actor  text NOT NULL,
    reason text NOT NULL
);

-- What operators did. The outcome is added when it is known.
CREATE TABLE futurecall.action (
    id          uuid PRIMARY KEY,
    at          timestamptz NOT NULL,
    actor       text NOT NULL,
    verb        text NOT NULL,
    target      text NOT NULL,
    call_id     uuid,
    schedule_id uuid,
    outcome     text
);

CREATE INDEX action_at ON futurecall.action (at, id);
CREATE INDEX action_call ON futurecall.action (call_id, at, id) WHERE call_id IS NOT NULL;
CREATE INDEX action_schedule ON futurecall.action (schedule_id, at, id) WHERE schedule_id IS NOT NULL;

-- Until when calls may have ended without a row in the history: a repeated request to store one cannot tell until then. One
-- row at most.
CREATE TABLE futurecall.history_gap (
    is_one boolean PRIMARY KEY DEFAULT true CHECK (is_one),
    until  timestamptz NOT NULL
);

-- What each pod has counted of each call type in each minute, and the same once more in each hour; written anew while that
-- lasts. The span is its length in minutes: 1 or 60. The histograms are objects of counts by bucket.
CREATE TABLE futurecall.statistics (
    span        smallint NOT NULL,
    start       timestamptz NOT NULL,
    name        text NOT NULL,
    pod         uuid NOT NULL,
    succeeded   bigint NOT NULL,
    failed      bigint NOT NULL,
    retried     bigint NOT NULL,
    interrupted bigint NOT NULL,
    expired     bigint NOT NULL,
    durations   json NOT NULL,
    lateness    json NOT NULL,
    PRIMARY KEY (span, start, name, pod)
) WITH (fillfactor = 70);

INSERT INTO futurecall.migration (version, name) VALUES (1, 'calls');
