-- The schema. A row of event never changes. Three narrow tables contain its state: an event is
-- ready (perhaps for a later time), leased to a worker, or finished, and its number is in exactly
-- one of them. Times are Unix times in seconds.
--
-- A name in braces stands for schema, prefix and name; p is the prefix alone.
-- A claim reads past every dead row, so the hot tables are vacuumed long before the usual fifth
-- of their rows is dead. The workers vacuum them at times, too.

CREATE TABLE {queue} (
    number       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL UNIQUE,
    paused_until double precision NOT NULL DEFAULT 0,  -- no event is claimed before this time
    paused_by    text,                                 -- who has paused it by hand, and when
    paused_at    double precision
);

-- The number of events of a queue in each status: the sums over its rows. Transactions that commit
-- at the same time write different rows, so they do not wait for each other.
CREATE TABLE {counter} (
    queue      integer NOT NULL,
    shard      integer NOT NULL,
    pending    bigint NOT NULL DEFAULT 0,
    processing bigint NOT NULL DEFAULT 0,
    completed  bigint NOT NULL DEFAULT 0,
    failed     bigint NOT NULL DEFAULT 0,
    cancelled  bigint NOT NULL DEFAULT 0,
    skipped    bigint NOT NULL DEFAULT 0,
    aborted    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (queue, shard)
) WITH (fillfactor = 25, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

CREATE TABLE {event} (
    number     bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- in the order of arrival
    id         uuid    NOT NULL,
    queue      integer NOT NULL,
    event_type text    NOT NULL,   -- the registry key of its class
    created_at double precision NOT NULL,
    priority   double precision NOT NULL,
    key        text,
    costs      text,
    retry      text,               -- its own retry policy, as JSON
    unique_key text,               -- the key of a unique append ...
    unique_at  double precision,   -- ... and the time of that append
    payload    text    NOT NULL    -- its fields and metadata, as JSON
);

CREATE UNIQUE INDEX "{p}event_id" ON {event} (id);
CREATE INDEX "{p}event_unique_key" ON {event} (queue, unique_key) WHERE unique_key IS NOT NULL;

CREATE TABLE {ready} (
    queue         integer NOT NULL,
    due           double precision NOT NULL DEFAULT 0,  -- 0: at once
    priority      double precision NOT NULL,
    number        bigint  NOT NULL,
    attempt       integer NOT NULL DEFAULT 0,
    failures      integer NOT NULL DEFAULT 0,
    denials       integer NOT NULL DEFAULT 0,
    interruptions integer NOT NULL DEFAULT 0,
    duration      double precision,  -- of the last attempt, if any; so the next two
    retryable     integer,
    result        text,
    attempts      text,              -- the records of failed attempts, as JSON
    expires       double precision   -- it is not started after this time
) WITH (
    autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0
);

CREATE UNIQUE INDEX "{p}ready_next" ON {ready} (queue, priority, number) WHERE due = 0;
CREATE UNIQUE INDEX "{p}ready_later" ON {ready} (number) WHERE due > 0;
CREATE INDEX "{p}ready_due" ON {ready} (queue, due) WHERE due > 0;
CREATE INDEX "{p}ready_expires" ON {ready} (queue, expires) WHERE expires IS NOT NULL;

-- A table in a publication needs a replica identity before a row can be updated or deleted. This
-- table has no primary key, and its unique indexes are partial, which an identity may not be. FULL
-- costs nothing unless wal_level is logical: then the log contains each deleted row.
ALTER TABLE {ready} REPLICA IDENTITY FULL;

CREATE TABLE {lease} (
    number           bigint  PRIMARY KEY,
    queue            integer NOT NULL,
    due              double precision NOT NULL,
    priority         double precision NOT NULL,
    attempt          integer NOT NULL,  -- the fencing token
    failures         integer NOT NULL,
    denials          integer NOT NULL,
    interruptions    integer NOT NULL,
    duration         double precision,
    retryable        integer,
    result           text,
    attempts         text,
    expires          double precision,
    worker           text    NOT NULL,
    leased_until     double precision NOT NULL,  -- it holds longer while its worker is alive
    cancel_requested boolean NOT NULL DEFAULT false,
    reserved         text,                       -- of limits, by account, as JSON
    claimed_at       double precision NOT NULL DEFAULT date_part('epoch', now()),
    spends           integer NOT NULL DEFAULT 0  -- recorded changes of its costs: a repetition of
                                                 -- one is told by its number
) WITH (
    fillfactor = 80, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX "{p}lease_reserved" ON {lease} (number) WHERE reserved IS NOT NULL;
CREATE INDEX "{p}lease_cancel_requested" ON {lease} (queue) WHERE cancel_requested;

CREATE TABLE {finished} (
    number        bigint  PRIMARY KEY,
    queue         integer NOT NULL,
    status        text    NOT NULL,
    finished_at   double precision NOT NULL,
    attempt       integer NOT NULL,
    failures      integer NOT NULL,
    denials       integer NOT NULL,
    interruptions integer NOT NULL,
    duration      double precision,  -- seconds
    retryable     integer,
    result        text,              -- the response and the error, as JSON
    attempts      text
);

CREATE INDEX "{p}finished_order" ON {finished} (queue, status, finished_at, number);
CREATE INDEX "{p}finished_trouble" ON {finished} (queue, status, number)
    WHERE status <> 'completed';

-- The progress of running attempts, for other processes. Its rows are deleted when they finish.
CREATE TABLE {progress} (
    number   bigint  PRIMARY KEY,
    attempt  integer NOT NULL,
    fraction double precision,  -- the finished part of the work, from 0 to 1
    note     text,
    chunks   integer NOT NULL   -- the number of chunks so far
);

CREATE TABLE {chunk} (
    number  bigint  NOT NULL,
    attempt integer NOT NULL,
    first   integer NOT NULL,  -- the position of the first of these chunks
    chunks  text    NOT NULL,  -- in the format of results
    PRIMARY KEY (number, attempt, first)
);

-- The workers. Until `leases_until`, all leases of a worker hold, however long ago it claimed
-- them: a heartbeat writes this small row and no lease.
CREATE TABLE {worker} (
    name          text PRIMARY KEY,
    queue         integer NOT NULL,
    machine       text    NOT NULL,  -- its name, for people
    host          text    NOT NULL,  -- where the process id is valid
    pid           integer NOT NULL,
    process_start text    NOT NULL,  -- when the process began: process ids are reused
    started_at    double precision NOT NULL,
    heartbeat_at  double precision NOT NULL,
    leases_until  double precision NOT NULL,
    description   text                        -- slots, limits and more, as JSON
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

-- The amounts that starts have used of limits, until they leave the window. An account is a limit,
-- or the share of one key.
CREATE TABLE {limit_usage} (
    account text NOT NULL,
    at      double precision NOT NULL,
    amount  double precision NOT NULL,
    PRIMARY KEY (account, at)
);

CREATE TABLE {limit_account} (
    name           text PRIMARY KEY,
    window_seconds double precision NOT NULL,
    paused_until   double precision NOT NULL
) WITH (fillfactor = 50);

-- A child waits for its parents: an edge for each parent. Parents may be in other queues.
CREATE TABLE {dependency} (
    parent    bigint  NOT NULL,
    child     bigint  NOT NULL,
    place     integer NOT NULL,  -- the index of the parent among those of the child
    queue     integer NOT NULL,  -- of the child
    condition text    NOT NULL,  -- how the parent has to finish: completed, failed or finished
    met       boolean,           -- NULL until the parent has finished, and that is resolved
    PRIMARY KEY (parent, child)
);

CREATE UNIQUE INDEX "{p}dependency_child" ON {dependency} (child, place);

-- The events that were appended with parents. While a child is blocked, its row in `ready` is due
-- at infinity.
CREATE TABLE {child} (
    number       bigint  PRIMARY KEY,
    queue        integer NOT NULL,
    due          double precision NOT NULL,  -- its earliest start, once it is released; 0: at once
    missing      integer NOT NULL,           -- the number of its edges that are not met
    cancelled_by bigint                      -- the parent for which it was cancelled
) WITH (fillfactor = 50);

-- Events whose results other events compute. Children of `number` wait for `next` in its place.
CREATE TABLE {continuation} (
    number bigint PRIMARY KEY,
    next   bigint NOT NULL
);

-- Parents to look at: they have finished, or were retried, or have new children. A resolver of the
-- queue of the children deletes the row with what it changes.
CREATE TABLE {parent_change} (
    number   bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    parent   bigint  NOT NULL,
    queue    integer NOT NULL,  -- of the children
    is_retry boolean NOT NULL DEFAULT false
) WITH (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

CREATE INDEX "{p}parent_change_queue" ON {parent_change} (queue, number);

-- Who has cancelled or retried an event, and when. Only calls that give a name are recorded.
CREATE TABLE {action} (
    number   bigint NOT NULL,  -- of the event
    at       double precision NOT NULL,
    what     text   NOT NULL,  -- cancel or retry
    asked_by text   NOT NULL,
    PRIMARY KEY (number, at, what)
);

-- Schedules append events at instants of a rule. A change replaces the row if its version is known.
CREATE TABLE {schedule} (
    queue   integer NOT NULL,
    name    text    NOT NULL,
    version text    NOT NULL,  -- another one after each change
    body    text    NOT NULL,  -- the record, as JSON (stores/schedule_record.py)
    PRIMARY KEY (queue, name)
);

-- Every statement that inserts into `finished` calls this function with the numbers. It returns
-- true if one of them has children that wait. The statements of a function see what was committed
-- before they began, also if the calling statement has waited for a row lock meanwhile.
-- The first query takes 4 µs in a schema without dependencies. BETWEEN and LIMIT: an equality lets
-- the planner read a whole table that it believes to be empty.
CREATE FUNCTION {note_ended}(ended bigint[]) RETURNS boolean LANGUAGE plpgsql STRICT AS $$
DECLARE
    parents bigint[];
BEGIN
    IF NOT EXISTS (SELECT FROM {dependency}) THEN
        RETURN false;
    END IF;
    parents := ARRAY(
        SELECT one.number FROM unnest(ended) AS one (number) CROSS JOIN LATERAL (
            SELECT FROM {dependency} d
            WHERE d.parent BETWEEN one.number AND one.number AND d.met IS NULL LIMIT 1
        ) edge
    );
    IF cardinality(parents) = 0 THEN
        RETURN false;
    END IF;
    INSERT INTO {parent_change} (parent, queue)
    SELECT DISTINCT parent, queue FROM {dependency} WHERE parent = ANY(parents) AND met IS NULL;
    RETURN true;
END $$;
