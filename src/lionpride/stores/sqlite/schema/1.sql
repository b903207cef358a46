-- The first schema: an event never changes; three narrow tables beside it say where it stands.
-- It waits, or is leased to a worker, or has finished: each number is in exactly one of them.

CREATE TABLE queue (
    number     INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    -- How many of its events are in each status, kept by every transaction.
    pending    INTEGER NOT NULL DEFAULT 0,
    processing INTEGER NOT NULL DEFAULT 0,
    completed  INTEGER NOT NULL DEFAULT 0,
    failed     INTEGER NOT NULL DEFAULT 0,
    cancelled  INTEGER NOT NULL DEFAULT 0,
    skipped    INTEGER NOT NULL DEFAULT 0,
    aborted    INTEGER NOT NULL DEFAULT 0,
    paused     REAL    NOT NULL DEFAULT 0  -- nothing is claimed before this time
) STRICT;

CREATE TABLE event (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,  -- of arrival, never used twice
    id       BLOB    NOT NULL UNIQUE,            -- the 16 bytes of a UUID
    queue    INTEGER NOT NULL REFERENCES queue,
    kind     TEXT    NOT NULL,                   -- the registry key of its class
    created  REAL    NOT NULL,                   -- Unix time in seconds, as all times here
    priority REAL    NOT NULL,
    key      TEXT,
    costs    TEXT,
    retry    TEXT,                               -- a retry policy of its own, as JSON
    single   TEXT,                               -- the value that it was appended under as ...
    since    REAL,                               -- ... the only one, and when
    payload  TEXT    NOT NULL                    -- its fields and metadata, as JSON: what is not
                                                 -- said is that of most (model/packing.py)
) STRICT;

CREATE INDEX singles ON event (queue, single) WHERE single IS NOT NULL;

CREATE TABLE waiting (
    queue         INTEGER NOT NULL,
    due           REAL    NOT NULL,  -- 0: at once
    priority      REAL    NOT NULL,
    number        INTEGER NOT NULL,
    attempt       INTEGER NOT NULL,
    tries         INTEGER NOT NULL,
    denials       INTEGER NOT NULL,
    interruptions INTEGER NOT NULL,
    duration      REAL,              -- what is on record of an attempt before, if any
    retryable     INTEGER,
    result        TEXT,
    attempts      TEXT,              -- what is kept of those that failed, as JSON
    expires       REAL,              -- not to be started after this time
    PRIMARY KEY (queue, due, priority, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX later ON waiting (number) WHERE due > 0;
CREATE INDEX expiring ON waiting (queue, expires) WHERE expires IS NOT NULL;

CREATE TABLE lease (
    number        INTEGER PRIMARY KEY,
    queue         INTEGER NOT NULL,
    due           REAL    NOT NULL,
    priority      REAL    NOT NULL,
    attempt       INTEGER NOT NULL,  -- the fencing token
    tries         INTEGER NOT NULL,
    denials       INTEGER NOT NULL,
    interruptions INTEGER NOT NULL,
    duration      REAL,
    retryable     INTEGER,
    result        TEXT,
    attempts      TEXT,
    expires       REAL,
    worker        TEXT    NOT NULL,
    until         REAL    NOT NULL,  -- it lapses then
    cancel        INTEGER NOT NULL DEFAULT 0,
    held          TEXT               -- what it holds of limits, by pool, as JSON
) STRICT;

CREATE INDEX holding ON lease (number) WHERE held IS NOT NULL;

CREATE TABLE finished (
    number        INTEGER PRIMARY KEY,
    queue         INTEGER NOT NULL,
    status        TEXT    NOT NULL,
    ended         REAL    NOT NULL,
    attempt       INTEGER NOT NULL,
    tries         INTEGER NOT NULL,
    denials       INTEGER NOT NULL,
    interruptions INTEGER NOT NULL,
    duration      REAL,              -- seconds
    retryable     INTEGER,
    result        TEXT,              -- the response and the error, as JSON
    attempts      TEXT
) STRICT;

-- What is pruned next stands in an index `ended` (queue, status, ended), which is made when
-- somebody prunes for the first time: others need not pay for it with each event.
CREATE INDEX trouble ON finished (queue, status, number) WHERE status <> 'completed';

-- What running attempts show of themselves to other processes; it goes when they have ended.
CREATE TABLE live (
    number   INTEGER PRIMARY KEY,
    attempt  INTEGER NOT NULL,
    fraction REAL,             -- of the work that is done, from 0 to 1
    note     TEXT,
    chunks   INTEGER NOT NULL  -- how many there are by now
) STRICT;

CREATE TABLE chunk (
    number  INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    first   INTEGER NOT NULL,  -- the place of the first of them
    chunks  TEXT    NOT NULL,  -- as a result is written
    PRIMARY KEY (number, attempt, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE worker (
    name  TEXT    PRIMARY KEY,
    queue INTEGER NOT NULL,
    host  TEXT    NOT NULL,  -- where its process id means something
    pid   INTEGER NOT NULL,
    born  TEXT    NOT NULL,  -- when its process began, since ids are used again
    seen  REAL    NOT NULL   -- its last sign of life
) STRICT, WITHOUT ROWID;

-- What starts have taken of limits in a time: of each pool, which is a limit or one key's share
-- of it, how much at which instant, until that has left the window; and the sum of it.
CREATE TABLE taken (
    pool   TEXT NOT NULL,
    at     REAL NOT NULL,
    amount REAL NOT NULL,
    PRIMARY KEY (pool, at)
) STRICT, WITHOUT ROWID;

CREATE TABLE pool (
    name   TEXT PRIMARY KEY,
    used   REAL NOT NULL,
    per    REAL NOT NULL,  -- the length of its window in seconds
    last   REAL NOT NULL,  -- the last instant at which something was taken
    paused REAL NOT NULL   -- nothing is to be had before this time
) STRICT, WITHOUT ROWID;
