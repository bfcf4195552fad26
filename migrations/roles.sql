-- Futurecall on PostgreSQL: four roles, each with what it needs and no more.
--
--   psql -f migrations/roles.sql "$DATABASE_URL"
--   GRANT futurecall_worker TO the_login_of_your_service;
--
-- Run it once the tables are there (0001_calls.sql, or the first start of a pod), as a superuser, or as the tables' owner
-- with CREATEROLE; and again after every upgrade, as often as you like. It sets the four roles' rights on the tables to
-- what stands here, and touches nothing else. With another schema: replace every "futurecall" by its name; the roles,
-- which a server's databases share, are then named after it.
--
--   owner     owns schema and tables; migrates. A pod that starts as another role finds the migrations done, or fails.
--   worker    a pod that runs calls: schedules, claims, finishes, rescues, prunes. It cannot change what is to be
--             called, nor the arguments, of a call that is stored.
--   producer  a pod that only schedules (Role::Serverless), reschedules, cancels, declares schedules and asks for the
--             status of a call. It can neither claim a call nor delete history. It reads the arguments of pending calls,
--             because cancelling one moves it, with them, to the history; those in the history it does not, and so it
--             cannot run a finished call again.
--   viewer    looks, and sees no arguments: they are shown empty. Whoever may see them: GRANT SELECT (args) ON
--             futurecall.call, futurecall.finished, futurecall.schedule to that login, beside this role; and whoever may
--             see what runs have logged: GRANT SELECT ON futurecall.log.

BEGIN;

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['futurecall_owner', 'futurecall_worker', 'futurecall_producer', 'futurecall_viewer'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        END IF;
    END LOOP;
    -- Only a member of a role may hand a table to it; a superuser is one of every role.
    IF NOT pg_catalog.pg_has_role('futurecall_owner', 'MEMBER') THEN
        EXECUTE format('GRANT futurecall_owner TO %I', current_user);
    END IF;
END
$$;

-- To own a table in a schema, a role must be allowed to create one there: the schema goes first.
ALTER SCHEMA futurecall OWNER TO futurecall_owner;
DO $$
DECLARE
    part regclass;
BEGIN
    FOR part IN SELECT c.oid FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = 'futurecall'::regnamespace AND c.relkind IN ('r', 'p')
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO futurecall_owner', part);
    END LOOP;
END
$$;

-- From nothing, so that what an earlier version granted does not linger. Nobody sees the state in between.
REVOKE ALL ON SCHEMA futurecall FROM PUBLIC, futurecall_worker, futurecall_producer, futurecall_viewer;
REVOKE ALL ON ALL TABLES IN SCHEMA futurecall
    FROM PUBLIC, futurecall_worker, futurecall_producer, futurecall_viewer;

GRANT USAGE ON SCHEMA futurecall TO futurecall_worker, futurecall_producer, futurecall_viewer;
-- Every start asks whether the migrations are done.
GRANT SELECT ON futurecall.migration TO futurecall_worker, futurecall_producer, futurecall_viewer;

GRANT SELECT, INSERT, DELETE ON futurecall.call TO futurecall_worker, futurecall_producer;
GRANT SELECT, INSERT, UPDATE ON futurecall.schedule TO futurecall_worker, futurecall_producer;
-- What is stored once more, because the reply was lost, must not be what has run already.
GRANT SELECT, INSERT, UPDATE ON futurecall.history_gap TO futurecall_worker, futurecall_producer;

GRANT SELECT, INSERT, DELETE ON futurecall.finished TO futurecall_worker;
-- Pruning locks what it deletes, for which the server asks for the right to change some column.
GRANT UPDATE (finished_at) ON futurecall.finished TO futurecall_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON futurecall.pod, futurecall.shapes TO futurecall_worker;

-- Not for the viewer: what a handler logs may quote its arguments.
GRANT SELECT, INSERT, DELETE ON futurecall.log TO futurecall_worker;

-- What an operator does by hand goes through a pod, and with its rights: a worker's may pause call types, and delete
-- history and what is too old.
GRANT SELECT, INSERT, DELETE ON futurecall.paused_name, futurecall.action TO futurecall_worker;
GRANT UPDATE (outcome) ON futurecall.action TO futurecall_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON futurecall.statistics TO futurecall_worker;

-- A producer's pauses schedules, as it may end them; whether others run a call type is not for it to say.
GRANT SELECT ON futurecall.paused_name TO futurecall_producer;
GRANT SELECT, INSERT, UPDATE (outcome) ON futurecall.action TO futurecall_producer;

GRANT INSERT ON futurecall.finished TO futurecall_producer;
-- A call under way is flagged as cancelled, one that waits may be moved to another moment, and a schedule whose call has a
-- new name takes its pending calls along. (Where a row is to be locked, the right to change one column is what the server
-- asks for.)
GRANT UPDATE (cancel_requested, due_at, expires_at, name) ON futurecall.call TO futurecall_producer;

GRANT SELECT ON futurecall.pod, futurecall.shapes, futurecall.paused_name, futurecall.action, futurecall.statistics
    TO futurecall_viewer;

DO $$
DECLARE
    columns text;
    part text;
BEGIN
    -- What a worker may change of a stored call: not what it is.
    SELECT string_agg(quote_ident(a.attname), ', ') INTO columns FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = 'futurecall.call'::regclass AND a.attnum > 0 AND NOT a.attisdropped
        AND a.attname <> ALL (ARRAY['id', 'args', 'format', 'identifier', 'schedule_id', 'unique_key', 'rerun_of',
            'traceparent', 'created_at']);
    EXECUTE format('GRANT UPDATE (%s) ON futurecall.call TO futurecall_worker', columns);

    -- Everything but the arguments.
    FOREACH part IN ARRAY ARRAY['call', 'finished', 'schedule'] LOOP
        SELECT string_agg(quote_ident(a.attname), ', ') INTO columns FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = format('futurecall.%I', part)::regclass AND a.attnum > 0 AND NOT a.attisdropped
            AND a.attname <> 'args';
        EXECUTE format('GRANT SELECT (%s) ON futurecall.%I TO futurecall_viewer', columns, part);
        IF part = 'finished' THEN
            EXECUTE format('GRANT SELECT (%s) ON futurecall.%I TO futurecall_producer', columns, part);
        END IF;
    END LOOP;
END
$$;

COMMIT;
