-- The first schema: an event never changes; three narrow tables beside it say where it stands.
-- It is ready (or waits for its time), or is leased to a worker, or has finished: each number is
-- in exactly one of them. Times are Unix time in seconds.
--
-- What stands in braces is a name with the schema and the prefix; p is the prefix alone.
-- The hot tables are vacuumed long before a fifth of them is dead, as is usual, since a claim
-- reads past every dead row; the library's workers do so too, now and then.

CREATE TABLE {queue} (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name   text NOT NULL UNIQUE,
    paused double precision NOT NULL DEFAULT 0  -- nothing is claimed before this time
);

-- How many events of a queue are in each status: the sums over its rows. Who commits at the same
-- moment writes another row, so that nobody waits for anybody.
CREATE TABLE {tally} (
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
    number   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- of arrival, never used twice
    id       uuid    NOT NULL,
    queue    integer NOT NULL,
    kind     text    NOT NULL,   -- the registry key of its class
    created  double precision NOT NULL,
    priority double precision NOT NULL,
    key      text,
    costs    text,
    retry    text,               -- a retry policy of its own, as JSON
    single   text,               -- the value that it was appended under as ...
    since    double precision,   -- ... the only one, and when
    payload  text    NOT NULL    -- its fields and metadata, as JSON
);

CREATE UNIQUE INDEX "{p}event_id" ON {event} (id);
CREATE INDEX "{p}event_single" ON {event} (queue, single) WHERE single IS NOT NULL;

CREATE TABLE {ready} (
    queue         integer NOT NULL,
    due           double precision NOT NULL DEFAULT 0,  -- 0: at once
    priority      double precision NOT NULL,
    number        bigint  NOT NULL,
    attempt       integer NOT NULL DEFAULT 0,
    tries         integer NOT NULL DEFAULT 0,
    denials       integer NOT NULL DEFAULT 0,
    interruptions integer NOT NULL DEFAULT 0,
    duration      double precision,  -- what is on record of an attempt before, if any
    retryable     integer,
    result        text,
    attempts      text,              -- what is kept of those that failed, as JSON
    expires       double precision   -- not to be started after this time
) WITH (
    autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0
);

CREATE UNIQUE INDEX "{p}ready_next" ON {ready} (queue, priority, number) WHERE due = 0;
CREATE UNIQUE INDEX "{p}ready_later" ON {ready} (number) WHERE due > 0;
CREATE INDEX "{p}ready_due" ON {ready} (queue, due) WHERE due > 0;
CREATE INDEX "{p}ready_expires" ON {ready} (queue, expires) WHERE expires IS NOT NULL;

CREATE TABLE {lease} (
    number        bigint  PRIMARY KEY,
    queue         integer NOT NULL,
    due           double precision NOT NULL,
    priority      double precision NOT NULL,
    attempt       integer NOT NULL,  -- the fencing token
    tries         integer NOT NULL,
    denials       integer NOT NULL,
    interruptions integer NOT NULL,
    duration      double precision,
    retryable     integer,
    result        text,
    attempts      text,
    expires       double precision,
    worker        text    NOT NULL,
    until         double precision NOT NULL,  -- it lapses then, unless its worker lives longer
    cancel        boolean NOT NULL DEFAULT false,
    held          text,                       -- what it holds of limits, by pool, as JSON
    since         double precision NOT NULL DEFAULT date_part('epoch', now())  -- when it was claimed
) WITH (
    fillfactor = 80, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX "{p}lease_held" ON {lease} (number) WHERE held IS NOT NULL;
CREATE INDEX "{p}lease_cancel" ON {lease} (queue) WHERE cancel;

CREATE TABLE {finished} (
    number        bigint  PRIMARY KEY,
    queue         integer NOT NULL,
    status        text    NOT NULL,
    ended         double precision NOT NULL,
    attempt       integer NOT NULL,
    tries         integer NOT NULL,
    denials       integer NOT NULL,
    interruptions integer NOT NULL,
    duration      double precision,  -- seconds
    retryable     integer,
    result        text,              -- the response and the error, as JSON
    attempts      text
);

CREATE INDEX "{p}finished_ended" ON {finished} (queue, status, ended, number);
CREATE INDEX "{p}finished_trouble" ON {finished} (queue, status, number)
    WHERE status <> 'completed';

-- What running attempts show of themselves to other processes; it goes when they have ended.
CREATE TABLE {live} (
    number   bigint  PRIMARY KEY,
    attempt  integer NOT NULL,
    fraction double precision,  -- of the work that is done, from 0 to 1
    note     text,
    chunks   integer NOT NULL   -- how many there are by now
);

CREATE TABLE {chunk} (
    number  bigint  NOT NULL,
    attempt integer NOT NULL,
    first   integer NOT NULL,  -- the place of the first of them
    chunks  text    NOT NULL,  -- as a result is written
    PRIMARY KEY (number, attempt, first)
);

-- Who is at work. While `until` is not over, all that a worker holds is held, however long ago
-- it was claimed: so one small row is written for a sign of life, and not one for each lease.
CREATE TABLE {worker} (
    name    text PRIMARY KEY,
    queue   integer NOT NULL,
    machine text    NOT NULL,  -- the name of its machine, for people
    host    text    NOT NULL,  -- where its process id means something
    pid     integer NOT NULL,
    born    text    NOT NULL,  -- when its process began, since ids are used again
    began   double precision NOT NULL,
    seen    double precision NOT NULL,  -- its last sign of life
    until   double precision NOT NULL,
    about   text                        -- what it says of itself, as JSON
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

-- What starts have taken of limits in a time: of each pool, which is a limit or one key's share
-- of it, how much at which instant, until that has left the window.
CREATE TABLE {taken} (
    pool   text NOT NULL,
    at     double precision NOT NULL,
    amount double precision NOT NULL,
    PRIMARY KEY (pool, at)
);

CREATE TABLE {pool} (
    name   text PRIMARY KEY,
    per    double precision NOT NULL,  -- the length of its window in seconds
    last   double precision NOT NULL,  -- the last instant at which something was taken
    paused double precision NOT NULL   -- nothing is to be had before this time
) WITH (fillfactor = 50);
