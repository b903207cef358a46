-- A file of schema 1 with events in every status, as the library made it before there was a 2.
BEGIN TRANSACTION;

-- Table  chunk
DROP TABLE IF EXISTS chunk;
CREATE TABLE chunk (
    number  INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    first   INTEGER NOT NULL,  -- the place of the first of them
    chunks  TEXT    NOT NULL,  -- as a result is written
    PRIMARY KEY (number, attempt, first)
) STRICT, WITHOUT ROWID;

-- Table  event
DROP TABLE IF EXISTS event;
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
    payload  TEXT    NOT NULL                    -- its fields and metadata, as JSON
) STRICT;
INSERT INTO event VALUES(1,X'01A2130399377CD68C247F095729CE89',1,'old.Deed',1795615332.6638021,1795615332.6638021,NULL,NULL,NULL,NULL,NULL,'{"metadata":{"lion_class":"old.Deed"},"timeout":null,"streaming":false,"how":"return"}');
INSERT INTO event VALUES(2,X'01A2130399377CE4A17C3F6E6C741BA0',1,'old.Deed',1795615332.6638057,1795615332.6638057,NULL,NULL,NULL,NULL,NULL,'{"metadata":{"lion_class":"old.Deed"},"timeout":null,"streaming":false,"how":"raise"}');
INSERT INTO event VALUES(3,X'01A2130399377CF0AB7B957923088DAE',1,'old.Deed',1795615332.6638086,1795615332.6638086,NULL,NULL,NULL,NULL,NULL,'{"metadata":{"lion_class":"old.Deed"},"timeout":null,"streaming":false,"how":"skip"}');
INSERT INTO event VALUES(4,X'01A2130399377D0283FF08FDA1D07077',1,'old.Deed',1795615332.6638129,1795615332.6638129,NULL,NULL,NULL,NULL,NULL,'{"metadata":{"lion_class":"old.Deed"},"timeout":0.05,"streaming":false,"how":"hang"}');
INSERT INTO event VALUES(5,X'01A21303998973A2B9BE027ABBE72251',1,'old.Deed',1795615332.745227,1795615332.745227,NULL,NULL,NULL,'only',1795615332.74525,'{"metadata":{"lion_class":"old.Deed"},"timeout":null,"streaming":false,"how":"late"}');
INSERT INTO event VALUES(6,X'01A2130399977FB68700417CB92032DA',1,'old.Deed',1795615332.7599819,5.0,NULL,NULL,NULL,NULL,NULL,'{"metadata":{"lion_class":"old.Deed"},"timeout":null,"streaming":false,"how":"return"}');
INSERT INTO event VALUES(7,X'01A21303999A72CD8F9F8121716CD36A',1,'old.Deed',1795615332.762175,1.0,NULL,NULL,NULL,NULL,NULL,'{"metadata":{"lion_class":"old.Deed"},"timeout":null,"streaming":false,"how":"die"}');
-- Triggers and indices on  event
CREATE INDEX singles ON event (queue, single) WHERE single IS NOT NULL;

-- Table  finished
DROP TABLE IF EXISTS finished;
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
INSERT INTO finished VALUES(1,1,'completed',1795615332.6900578,1,0,0,0,5.568999995375634e-05,NULL,'{"response":{"how":"return","bytes":{"$bytes":"AA=="}}}',NULL);
INSERT INTO finished VALUES(2,1,'failed',1795615332.6905808,1,1,0,0,6.245200006560481e-05,1,'{"error":{"error":"ValueError","message":"told to"}}','[[1,1795615332.6904862,6.245200006560481e-05,"ValueError: told to"]]');
INSERT INTO finished VALUES(3,1,'skipped',1795615332.6921415,1,0,0,0,0.0014049690000774717,0,'{"error":{"error":"Skip","message":"not today","retryable":false}}',NULL);
INSERT INTO finished VALUES(4,1,'cancelled',1795615332.7427557,1,1,0,0,0.05038036799987822,1,'{"error":{"error":"LionTimeoutError","message":"took longer than its timeout of 0.05 s","retryable":true}}','[[1,1795615332.6923275,0.05038036799987822,"LionTimeoutError: took longer than its timeout of 0.05 s"]]');
-- Triggers and indices on  finished
CREATE INDEX trouble ON finished (queue, status, number) WHERE status <> 'completed';

-- Table  lease
DROP TABLE IF EXISTS lease;
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
INSERT INTO lease VALUES(7,1,0.0,1.0,1,0,0,0,NULL,NULL,NULL,NULL,NULL,'25319-a52efe6b',1795615342.7624576,0,NULL);
-- Triggers and indices on  lease
CREATE INDEX holding ON lease (number) WHERE held IS NOT NULL;

-- Table  live
DROP TABLE IF EXISTS live;
CREATE TABLE live (
    number   INTEGER PRIMARY KEY,
    attempt  INTEGER NOT NULL,
    fraction REAL,             -- of the work that is done, from 0 to 1
    note     TEXT,
    chunks   INTEGER NOT NULL  -- how many there are by now
) STRICT;

-- Table  pool
DROP TABLE IF EXISTS pool;
CREATE TABLE pool (
    name   TEXT PRIMARY KEY,
    used   REAL NOT NULL,
    per    REAL NOT NULL,  -- the length of its window in seconds
    last   REAL NOT NULL,  -- the last instant at which something was taken
    paused REAL NOT NULL   -- nothing is to be had before this time
) STRICT, WITHOUT ROWID;

-- Table  queue
DROP TABLE IF EXISTS queue;
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
INSERT INTO queue VALUES(1,'deeds',2,1,1,1,1,1,0,0.0);

-- Table  taken
DROP TABLE IF EXISTS taken;
CREATE TABLE taken (
    pool   TEXT NOT NULL,
    at     REAL NOT NULL,
    amount REAL NOT NULL,
    PRIMARY KEY (pool, at)
) STRICT, WITHOUT ROWID;

-- Table  waiting
DROP TABLE IF EXISTS waiting;
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
INSERT INTO waiting VALUES(1,4949215332.74525,1795615332.745227,5,0,0,0,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO waiting VALUES(1,4949215332.76,5.0,6,0,0,0,0,NULL,NULL,NULL,NULL,NULL);
-- Triggers and indices on  waiting
CREATE INDEX expiring ON waiting (queue, expires) WHERE expires IS NOT NULL;
CREATE INDEX later ON waiting (number) WHERE due > 0;

-- Table  worker
DROP TABLE IF EXISTS worker;
CREATE TABLE worker (
    name  TEXT    PRIMARY KEY,
    queue INTEGER NOT NULL,
    host  TEXT    NOT NULL,  -- where its process id means something
    pid   INTEGER NOT NULL,
    born  TEXT    NOT NULL,  -- when its process began, since ids are used again
    seen  REAL    NOT NULL   -- its last sign of life
) STRICT, WITHOUT ROWID;
INSERT INTO worker VALUES('25319-a52efe6b',1,'b1a29a84-12ad-401c-9a36-21217c8e4c4f/pid:[4026531836]',25319,'137103',1795615332.6793115);

-- For primary key autoincrements the next id to use is stored in
-- sqlite_sequence
DELETE FROM main.sqlite_sequence WHERE name='event';
INSERT INTO main.sqlite_sequence VALUES ('event', 7);

-- Database header
pragma user_version=1;
pragma application_id=1281978222;

COMMIT TRANSACTION;