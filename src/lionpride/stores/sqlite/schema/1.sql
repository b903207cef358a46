-- The schema. A row of lionpride_event never changes. Three narrow tables contain its state: an
-- event is ready, leased to a worker, or finished, and its number is in exactly one of them.
-- Times are Unix times in seconds. All names have a prefix: a file may contain the tables of
-- another program.

CREATE TABLE lionpride_version (
    number INTEGER PRIMARY KEY,  -- of the schema; the highest one is that of the file
    at     REAL    NOT NULL DEFAULT ((julianday('now') - 2440587.5) * 86400.0)
) STRICT;

CREATE TABLE lionpride_queue (
    number       INTEGER PRIMARY KEY,
    name         TEXT    NOT NULL UNIQUE,
    -- The number of its events in each status. Every transaction updates them.
    pending      INTEGER NOT NULL DEFAULT 0,
    processing   INTEGER NOT NULL DEFAULT 0,
    completed    INTEGER NOT NULL DEFAULT 0,
    failed       INTEGER NOT NULL DEFAULT 0,
    cancelled    INTEGER NOT NULL DEFAULT 0,
    skipped      INTEGER NOT NULL DEFAULT 0,
    aborted      INTEGER NOT NULL DEFAULT 0,
    paused_until REAL    NOT NULL DEFAULT 0,  -- no event is claimed before this time
    paused_by    TEXT,                        -- who has paused it by hand, and when
    paused_at    REAL
) STRICT;

CREATE TABLE lionpride_event (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,  -- in the order of arrival, never reused
    id         BLOB    NOT NULL UNIQUE,            -- the 16 bytes of a UUID
    queue      INTEGER NOT NULL REFERENCES lionpride_queue,
    event_type TEXT    NOT NULL,                   -- the registry key of its class
    created_at REAL    NOT NULL,
    priority   REAL    NOT NULL,
    key        TEXT,
    costs      TEXT,
    retry      TEXT,                               -- its own retry policy, as JSON
    unique_key TEXT,                               -- the key of a unique append ...
    unique_at  REAL,                               -- ... and the time of that append
    payload    TEXT    NOT NULL                    -- its fields and metadata, as JSON, without
                                                   -- common values (model/serialization/payload.py)
) STRICT;

CREATE INDEX lionpride_event_unique_key ON lionpride_event (queue, unique_key)
    WHERE unique_key IS NOT NULL;

CREATE TABLE lionpride_ready (
    queue         INTEGER NOT NULL,
    due           REAL    NOT NULL,  -- 0: at once
    priority      REAL    NOT NULL,
    number        INTEGER NOT NULL,
    attempt       INTEGER NOT NULL,
    failures      INTEGER NOT NULL,
    denials       INTEGER NOT NULL,
    interruptions INTEGER NOT NULL,
    duration      REAL,              -- of the last attempt, if any; so the next two
    retryable     INTEGER,
    result        TEXT,
    attempts      TEXT,              -- the records of failed attempts, as JSON
    expires       REAL,              -- it is not started after this time
    PRIMARY KEY (queue, due, priority, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX lionpride_ready_later ON lionpride_ready (number) WHERE due > 0;
CREATE INDEX lionpride_ready_expires ON lionpride_ready (queue, expires)
    WHERE expires IS NOT NULL;

CREATE TABLE lionpride_lease (
    number           INTEGER PRIMARY KEY,
    queue            INTEGER NOT NULL,
    due              REAL    NOT NULL,
    priority         REAL    NOT NULL,
    attempt          INTEGER NOT NULL,  -- the fencing token
    failures         INTEGER NOT NULL,
    denials          INTEGER NOT NULL,
    interruptions    INTEGER NOT NULL,
    duration         REAL,
    retryable        INTEGER,
    result           TEXT,
    attempts         TEXT,
    expires          REAL,
    worker           TEXT    NOT NULL,
    leased_until     REAL    NOT NULL,  -- or until leases_until of its worker, if that is later
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    reserved         TEXT,              -- what it reserves of limits, by account, as JSON
    spends           INTEGER NOT NULL DEFAULT 0,  -- changes of its costs, each made once
    claimed_at       REAL    NOT NULL DEFAULT (unixepoch('subsec'))
) STRICT;

CREATE INDEX lionpride_lease_reserved ON lionpride_lease (number) WHERE reserved IS NOT NULL;

CREATE TABLE lionpride_finished (
    number        INTEGER PRIMARY KEY,
    queue         INTEGER NOT NULL,
    status        TEXT    NOT NULL,
    finished_at   REAL    NOT NULL,
    attempt       INTEGER NOT NULL,
    failures      INTEGER NOT NULL,
    denials       INTEGER NOT NULL,
    interruptions INTEGER NOT NULL,
    duration      REAL,              -- seconds
    retryable     INTEGER,
    result        TEXT,              -- the response and the error, as JSON
    attempts      TEXT
) STRICT;

-- The index lionpride_finished_order (queue, status, finished_at) lists what to prune next. The
-- first prune makes it: without a prune, no event pays for it.
CREATE INDEX lionpride_finished_trouble ON lionpride_finished (queue, status, number)
    WHERE status <> 'completed';

-- The progress of running attempts, for other processes. Its rows are deleted when they finish.
CREATE TABLE lionpride_progress (
    number   INTEGER PRIMARY KEY,
    attempt  INTEGER NOT NULL,
    fraction REAL,             -- the finished part of the work, from 0 to 1
    note     TEXT,
    chunks   INTEGER NOT NULL  -- the number of chunks so far
) STRICT;

CREATE TABLE lionpride_chunk (
    number  INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    first   INTEGER NOT NULL,  -- the position of the first of these chunks
    chunks  TEXT    NOT NULL,  -- in the format of results
    PRIMARY KEY (number, attempt, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE lionpride_worker (
    name          TEXT    PRIMARY KEY,
    queue         INTEGER NOT NULL,
    machine       TEXT    NOT NULL,  -- its name, for people
    host          TEXT    NOT NULL,  -- where the process id is valid
    pid           INTEGER NOT NULL,
    process_start TEXT    NOT NULL,  -- when the process began: process ids are reused
    started_at    REAL    NOT NULL,
    heartbeat_at  REAL    NOT NULL,
    leases_until  REAL    NOT NULL,  -- all its leases hold until this time, or for longer
    description   TEXT               -- slots, limits and more, as JSON
) STRICT, WITHOUT ROWID;

-- The amounts that starts have used of limits, until they leave the window. An account is a limit,
-- or the share of one key.
CREATE TABLE lionpride_limit_usage (
    account TEXT NOT NULL,
    at      REAL NOT NULL,
    amount  REAL NOT NULL,
    PRIMARY KEY (account, at)
) STRICT, WITHOUT ROWID;

CREATE TABLE lionpride_limit_account (
    name           TEXT PRIMARY KEY,
    window_seconds REAL NOT NULL,
    paused_until   REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- A child waits for its parents: an edge for each parent. Parents may be in other queues.
CREATE TABLE lionpride_dependency (
    parent    INTEGER NOT NULL,
    child     INTEGER NOT NULL,
    place     INTEGER NOT NULL,  -- the index of the parent among those of the child
    queue     INTEGER NOT NULL,  -- of the child
    condition TEXT    NOT NULL,  -- how the parent has to finish: completed, failed or finished
    met       INTEGER,           -- NULL until the parent has finished, and that is resolved
    PRIMARY KEY (parent, child)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX lionpride_dependency_child ON lionpride_dependency (child, place);

-- The events that were appended with parents. While a child is blocked, its row in lionpride_ready
-- is due at infinity.
CREATE TABLE lionpride_child (
    number       INTEGER PRIMARY KEY,
    queue        INTEGER NOT NULL,
    due          REAL    NOT NULL,  -- its earliest start, once it is released; 0: at once
    missing      INTEGER NOT NULL,  -- the number of its edges that are not met
    cancelled_by INTEGER            -- the parent for which it was cancelled
) STRICT;

-- Events whose results other events compute. Children of `number` wait for `next` in its place.
CREATE TABLE lionpride_continuation (
    number INTEGER PRIMARY KEY,
    next   INTEGER NOT NULL
) STRICT;

-- Parents to look at: they have finished, or were retried, or have new children. A resolver of the
-- queue of the children deletes the row with what it changes.
CREATE TABLE lionpride_parent_change (
    number   INTEGER PRIMARY KEY,
    parent   INTEGER NOT NULL,
    queue    INTEGER NOT NULL,  -- of the children
    is_retry INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX lionpride_parent_change_queue ON lionpride_parent_change (queue, number);

-- Who has cancelled or retried an event, and when. Only calls that give a name are recorded.
CREATE TABLE lionpride_action (
    number   INTEGER NOT NULL,  -- of the event
    at       REAL    NOT NULL,
    what     TEXT    NOT NULL,  -- cancel or retry
    asked_by TEXT    NOT NULL,
    PRIMARY KEY (number, at, what)
) STRICT, WITHOUT ROWID;

-- Schedules append events at instants of a rule. A change replaces the row if its version is known.
CREATE TABLE lionpride_schedule (
    queue   INTEGER NOT NULL,
    name    TEXT    NOT NULL,
    version TEXT    NOT NULL,  -- another one after each change
    body    TEXT    NOT NULL,  -- the record, as JSON (stores/schedule_record.py)
    PRIMARY KEY (queue, name)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER lionpride_note_ended AFTER INSERT ON lionpride_finished
WHEN EXISTS (SELECT 1 FROM lionpride_dependency WHERE parent = NEW.number)
BEGIN
    INSERT INTO lionpride_parent_change (parent, queue)
    SELECT DISTINCT parent, queue FROM lionpride_dependency
    WHERE parent = NEW.number AND met IS NULL;
END;
