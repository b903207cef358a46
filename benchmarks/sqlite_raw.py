"""The same events written to SQLite by one thread that does nothing else: the ceiling.

The events are JSON before the clock starts. Each transaction inserts a hundred events, records the
results of the hundred that the transaction before had claimed, and claims a hundred. That is the
work of any store: a unique id, the payload, a lease with attempt and time, and the counts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import Any, TypeAlias

from benchmarks.isolate import Figures
from benchmarks.workload import WARM_UP, WORKERS, expect_all_completed, shuffled_priorities

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
"""KiB."""

Line: TypeAlias = tuple[str, float, str]
"""An event: id, priority, JSON."""


def child(n: int, folder: str) -> Figures:
    """Measure n events, a hundred in flight."""
    flow(connect(folder, "warm-up"), lines(min(n, WARM_UP)))
    connection = connect(folder, "measured")
    took = flow(connection, lines(n))
    connection.close()
    return {"ns": took / n}


def lines(n: int) -> list[Line]:
    """Return n events as JSON."""
    from benchmarks.events import page

    made = []
    for number, priority in enumerate(shuffled_priorities(n)):
        event = page(number)
        made.append((str(event.id), priority, json.dumps(event.to_dict("json"))))
    return made


def connect(folder: str, name: str) -> Any:
    import apsw

    connection = apsw.Connection(str(Path(folder, f"{name}.db")))
    for pragma in ("journal_mode = WAL", "synchronous = FULL", f"cache_size = -{CACHE}"):
        list(connection.execute(f"PRAGMA {pragma}"))
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
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
