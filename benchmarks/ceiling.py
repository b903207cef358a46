"""(f): the same N events written to SQLite by one thread that does nothing else.

It takes a hundred at a time as they are and finds them ready as JSON. Each transaction takes
in a hundred, puts on record what the transaction before had claimed, and claims a hundred: so
many wait where a hundred callers await their append and a hundred events run. Of the schemas
that were tried (one table; a body and a narrow state; a table for each status) none is faster
at this than one table: the rows are still in the cache when they change.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import Any, TypeAlias
from uuid import UUID

from benchmarks.candidates import WORKERS, expect_all_completed, shuffled_priorities
from benchmarks.isolate import Figures

SCHEMA = """
CREATE TABLE event (
    number   INTEGER PRIMARY KEY,
    id       TEXT    NOT NULL UNIQUE,
    status   INTEGER NOT NULL DEFAULT 0,
    priority REAL    NOT NULL,
    attempt  INTEGER NOT NULL DEFAULT 0,
    worker   INTEGER,
    until    REAL,
    payload  TEXT    NOT NULL,
    result   TEXT
);
CREATE INDEX waiting ON event (priority, number) WHERE status = 0;
CREATE TABLE count (status INTEGER PRIMARY KEY, events INTEGER NOT NULL);
INSERT INTO count VALUES (0, 0), (1, 0), (2, 0);
"""
APPEND = "INSERT INTO event (id, priority, payload) VALUES (?, ?, ?)"
CLAIM = """
UPDATE event SET status = 1, attempt = attempt + 1, worker = 1, until = ?
WHERE number IN (SELECT number FROM event WHERE status = 0 ORDER BY priority, number LIMIT ?)
RETURNING number, attempt, payload
"""
SETTLE = """
UPDATE event SET status = 2, result = ?, until = NULL
WHERE number = ? AND attempt = ? AND status = 1
"""
COUNT = "UPDATE count SET events = events + ? WHERE status = ?"
RESULT = json.dumps({"status": "completed", "duration": 1.2345e-05, "response": None})
LEASE = 10.0
CACHE = 16_384
"""KiB; a bulk insert that does not fit into the default of 2 MB takes twice as long."""

Line: TypeAlias = tuple[str, float, str]
"""id, priority, JSON."""


def child(n: int, way: str, folder: str, ordered: bool = False) -> Figures:
    """`flow`: a hundred in flight; `bulk`: all in one transaction, and none is run."""
    run = {"flow": flow, "bulk": bulk}[way]
    run(connect(folder, "warm-up"), lines(min(n, 2_000), ordered))
    connection = connect(folder, "measured")
    took = run(connection, lines(n, ordered))
    connection.close()
    return {"ns": took / n}


def lines(n: int, ordered: bool) -> list[Line]:
    """The events of (e), as JSON; `ordered` gives them ids in order of time."""
    from benchmarks.ours import NoOp

    made = []
    for number, priority in enumerate(shuffled_priorities(n)):
        event = NoOp(id=in_order_of_time(number)) if ordered else NoOp()
        made.append((str(event.id), priority, json.dumps(event.to_dict("json"))))
    return made


def in_order_of_time(number: int) -> UUID:
    """An id shaped like a UUID of version 7: twenty a millisecond, the rest chance."""
    moment = (1_750_000_000_000 + number // 20).to_bytes(6, "big")
    count = (number % 20).to_bytes(2, "big")
    fields = bytearray(moment + count + os.urandom(8))
    fields[6] |= 0x70
    fields[8] = fields[8] & 0x3F | 0x80
    return UUID(bytes=bytes(fields))


def connect(folder: str, name: str) -> Any:
    import apsw

    connection = apsw.Connection(str(Path(folder, f"{name}.db")))
    for pragma in ("journal_mode = WAL", "synchronous = FULL", f"cache_size = -{CACHE}"):
        list(connection.execute(f"PRAGMA {pragma}"))
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)  # 3 % quicker, as for the store
    connection.execute(SCHEMA)
    return connection


def flow(connection: Any, waiting: Sequence[Line]) -> int:
    taken = completed = 0
    running: list[tuple[str, int, int]] = []
    began = perf_counter_ns()
    while completed < len(waiting):
        connection.execute("BEGIN IMMEDIATE")
        new = waiting[taken : taken + WORKERS]
        connection.executemany(APPEND, new)
        before = connection.total_changes()
        connection.executemany(SETTLE, running)
        assert connection.total_changes() - before == len(running), "a claim was lost"
        claimed = list(connection.execute(CLAIM, (perf_counter_ns() / 1e9 + LEASE, WORKERS)))
        changes = (len(new) - len(claimed), len(claimed) - len(running), len(running))
        connection.executemany(COUNT, [(change, status) for status, change in enumerate(changes)])
        connection.execute("COMMIT")
        taken, completed = taken + len(new), completed + len(running)
        running = [(RESULT, number, attempt) for number, attempt, _ in claimed]
    took = perf_counter_ns() - began
    ((on_record,),) = connection.execute("SELECT count(*) FROM event WHERE status = 2")
    expect_all_completed(on_record, len(waiting))
    return took


def bulk(connection: Any, waiting: Sequence[Line]) -> int:
    began = perf_counter_ns()
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(APPEND, waiting)
    connection.execute(COUNT, (len(waiting), 0))
    connection.execute("COMMIT")
    return perf_counter_ns() - began
