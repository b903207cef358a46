-- A lease says when it was claimed.
CREATE TABLE renewed (
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
    held          TEXT,              -- what it holds of limits, by pool, as JSON
    since         REAL    NOT NULL DEFAULT (unixepoch('subsec'))
) STRICT;

INSERT INTO renewed (number, queue, due, priority, attempt, tries, denials, interruptions, duration,
                     retryable, result, attempts, expires, worker, until, cancel, held, since)
SELECT number, queue, due, priority, attempt, tries, denials, interruptions, duration, retryable,
       result, attempts, expires, worker, until, cancel, held,
       (julianday('now') - 2440587.5) * 86400.0
FROM lease;

DROP TABLE lease;
ALTER TABLE renewed RENAME TO lease;
CREATE INDEX holding ON lease (number) WHERE held IS NOT NULL;

-- A claim of what the very transaction has taken in: one row, from the first number to the last.
-- It says what as many leases of first attempts would say. It goes when all of them have completed
-- together; before anything else happens to one of them, leases take its place.
CREATE TABLE span (
    first  INTEGER PRIMARY KEY,
    last   INTEGER NOT NULL,
    queue  INTEGER NOT NULL,
    worker TEXT    NOT NULL,
    until  REAL    NOT NULL,
    since  REAL    NOT NULL DEFAULT (unixepoch('subsec'))
) STRICT;

-- The leases that stand in its place.
CREATE VIEW unfolded AS
SELECT e.number, e.queue, 0.0 AS due, e.priority, 1 AS attempt, 0 AS tries, 0 AS denials,
       0 AS interruptions, NULL AS duration, NULL AS retryable, NULL AS result, NULL AS attempts,
       NULL AS expires, s.worker, s.until, s.since
FROM span s CROSS JOIN event e ON e.number BETWEEN s.first AND s.last;

-- All that is claimed, for who reads.
CREATE VIEW leased AS
SELECT number, queue, due, priority, attempt, tries, denials, interruptions, duration, retryable,
       result, attempts, expires, worker, until, since
FROM lease
UNION ALL
SELECT number, queue, due, priority, attempt, tries, denials, interruptions, duration, retryable,
       result, attempts, expires, worker, until, since
FROM unfolded;
