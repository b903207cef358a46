"""FileQueries for monitoring, over a connection and in a thread of their own."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import time, time_ns
from typing import Any, Final, TypeVar
from uuid import UUID

import apsw

from ...model.execution import EventStatus
from ..inspector import EventFilter, FinishedEvent, LimitUsage, RunningEvent
from ..record import Record
from ..sql.limits import usage_of
from .file import connect, speaking
from .filters import count_of, numbers_of
from .queries import FileQueries, Tables

__all__ = ("SqliteInspector",)


T = TypeVar("T")

RECENT: Final = 5_000
"""Number of finished events that are searched for recent ones: those with the highest numbers."""

_LATELY: Final = (
    "SELECT * FROM (SELECT * FROM lionpride_finished NOT INDEXED WHERE queue = :queue "
    f"ORDER BY number DESC LIMIT {RECENT}) WHERE finished_at > :since ORDER BY finished_at DESC "
    "LIMIT :limit"
)
_LATELY_INDEXED: Final = (
    "SELECT * FROM lionpride_finished INDEXED BY lionpride_finished_order WHERE queue = :queue "
    "AND status IN "
    f"({', '.join(repr(each.value) for each in EventStatus)}) AND finished_at > :since "
    "ORDER BY finished_at DESC LIMIT :limit"
)
_STAYS: Final = (
    "SELECT f.number, e.id, e.event_type, f.status, f.finished_at, "
    "CASE WHEN f.attempt = 1 THEN max(0, f.finished_at - f.duration - e.created_at) END, "
    "f.duration "
    "FROM ({}) f CROSS JOIN lionpride_event e ON e.number = f.number ORDER BY f.finished_at"
)


class SqliteInspector:
    """Inspector of a queue in a file; the store creates it with the first query.

    A query over a million rows takes long. It runs in a thread, where SQLite releases the GIL; in a
    write-ahead log, readers do not block writers.

    Args:
        path: The file, which has been opened before.
        queue: The name of the queue.
        check: Raises a StoreError if the file was replaced; called in a thread.
    """

    def __init__(self, path: Path, queue: str, check: Callable[[], None]) -> None:
        self._check = check
        self._path = path
        self._queue = queue
        self._made = time_ns()
        self._thread = ThreadPoolExecutor(1, f"glance {queue}")
        self._db: apsw.Connection | None = None

    async def close(self) -> None:
        """Finish running queries, and close the connection."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()

    async def _ask(self, look: Callable[[apsw.Connection], T]) -> T:
        """Run a query in the thread, in one read transaction."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, look)

    def _answer(self, look: Callable[[apsw.Connection], T]) -> T:
        with speaking(self._path):
            self._check()
            if self._db is None:
                self._db = connect(self._path)
                self._db.execute("PRAGMA query_only = 1")
            db = self._db
            db.execute("BEGIN")
            try:
                return look(db)
            finally:
                db.execute("ROLLBACK")

    def _number(self, db: apsw.Connection) -> int:
        return (
            db.execute("SELECT number FROM lionpride_queue WHERE name = ?", (self._queue,)).get or 0
        )

    # -- the queries: see Inspector ----------------------------------------------------------

    async def version(self) -> object:
        # The number is valid for one connection only.
        return self._made, await self._ask(lambda db: db.execute("PRAGMA data_version").get)

    async def list_events(
        self,
        what: EventFilter,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> list[Record]:
        def look(db: apsw.Connection) -> list[Record]:
            numbers = numbers_of(db, self._number(db), what, before, after, limit)
            return self._records(db, numbers)

        return await self._ask(look)

    async def count_events(self, what: EventFilter) -> int:
        def look(db: apsw.Connection) -> int:
            if not what.is_counted:
                return count_of(db, self._number(db), what)
            counts = FileQueries(db, self._queue).counts()
            return sum(counts.values()) if what.status is None else counts[what.status]

        return await self._ask(look)

    async def finished(self, since: float, limit: int = 2000) -> Sequence[FinishedEvent]:
        def look(db: apsw.Connection) -> list[FinishedEvent]:
            indexed = db.execute(
                "SELECT 1 FROM sqlite_schema WHERE name = 'lionpride_finished_order'"
            ).get
            query = _STAYS.format(_LATELY_INDEXED if indexed else _LATELY)
            bound = {"queue": self._number(db), "since": since, "limit": limit}
            return [
                FinishedEvent(number, UUID(bytes=uid), kind, EventStatus(status), *times)
                for number, uid, kind, status, *times in db.execute(query, bound)
            ]

        return await self._ask(look)

    async def finished_counts(
        self, since: float, width: float
    ) -> Mapping[tuple[int, EventStatus], int]:
        query = (
            "SELECT CAST(finished_at / ? AS INTEGER), status, count(*) FROM lionpride_finished "
            "NOT INDEXED "
            "WHERE queue = ? AND finished_at >= ? GROUP BY 1, 2"
        )

        def look(db: apsw.Connection) -> Mapping[tuple[int, EventStatus], int]:
            rows = db.execute(query, (width, self._number(db), since))
            return {(int(span), EventStatus(status)): int(n) for span, status, n in rows}

        return await self._ask(look)

    async def running(self, limit: int = 200) -> Sequence[RunningEvent]:
        query = (
            "SELECT number, worker, claimed_at FROM lionpride_lease WHERE queue = ? "
            "ORDER BY claimed_at, number LIMIT ?"
        )

        def look(db: apsw.Connection) -> list[RunningEvent]:
            rows: list[Any] = list(db.execute(query, (self._number(db), limit)))
            records = self._records(db, [number for number, _, _ in rows])
            return [
                RunningEvent(record, worker, since)
                for record, (_, worker, since) in zip(records, rows, strict=True)
            ]

        return await self._ask(look)

    async def limit_usage(self) -> Sequence[LimitUsage]:
        return await self._ask(_usage)

    async def chunks(self, record: Record, first: int) -> Sequence[Any]:
        def look(db: apsw.Connection) -> list[Any]:
            found: list[Any] = []
            reader = FileQueries(db, self._queue)
            while True:
                answer = reader.chunks(record.number, record.attempt, first + len(found))
                if answer is None or answer[0] != record.attempt or not answer[1]:
                    return found
                found += answer[1]

        return await self._ask(look)

    def _records(self, db: apsw.Connection, numbers: Sequence[int]) -> list[Record]:
        reader, tables = FileQueries(db, self._queue), Tables(db, self._queue)
        found = [tables.find(number) for number in numbers]
        return [reader.record(one) for one in found if one is not None]


def _usage(db: apsw.Connection) -> list[LimitUsage]:
    """Return the current usage of each account of the file, without expired amounts."""
    now = time()
    held: Counter[str] = Counter()
    spans: dict[str, float | None] = {}
    for (text,) in db.execute("SELECT reserved FROM lionpride_lease WHERE reserved IS NOT NULL"):
        for name, (amount, per) in json.loads(str(text)).items():
            held[name] += amount
            spans.setdefault(name, per)
    paused: dict[str, float] = {}
    rows: Any = db.execute("SELECT name, window_seconds, paused_until FROM lionpride_limit_account")
    for name, per, until in rows:
        spans.setdefault(name, per or None)
        paused[name] = until if until > now else 0.0
    query = "SELECT total(amount) FROM lionpride_limit_usage WHERE account = ? AND at > ?"
    return [
        usage_of(
            name,
            held[name] + float(db.execute(query, (name, now - per)).get if per else 0.0),
            per,
            paused.get(name, 0.0),
        )
        for name, per in sorted(spans.items())
    ]
