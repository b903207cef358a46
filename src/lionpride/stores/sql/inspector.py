"""Queries for monitoring, for both databases; see ``stores.inspector``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from ...model.execution import EventStatus
from ..inspector import EventFilter, FinishedEvent, LimitUsage, RunningEvent
from ..record import Record
from . import queries
from .filters import count_matching, matching_numbers
from .limits import usage_of
from .queries import Snapshot, as_uuid, records_of

__all__ = ("InspectorReads", "SqlInspector")

T = TypeVar("T")

RECENT: Final = 5_000
"""Number of finished events that are searched for recent ones if no index has them by time: those
with the highest numbers."""

_BY_TIME: Final = """
SELECT * FROM {finished} {by_time} WHERE queue = $1 AND status {in_2} AND finished_at > $3
ORDER BY finished_at DESC LIMIT $4
"""
_BY_NUMBER: Final = f"""
SELECT * FROM (SELECT * FROM {{finished}} {{not_indexed}} WHERE queue = $1
    ORDER BY number DESC LIMIT {RECENT}) newest
WHERE status {{in_2}} AND finished_at > $3 ORDER BY finished_at DESC LIMIT $4
"""
_FINISHED: Final = """
SELECT f.number, e.id, e.event_type, f.status, f.finished_at,
    CASE WHEN f.attempt = 1 THEN {{greatest}}(0, f.finished_at - f.duration - e.created_at) END,
    f.duration
FROM ({source}) f {{join}} {{event}} e ON e.number = f.number ORDER BY f.finished_at
"""
_KINDS: Final = "SELECT DISTINCT event_type FROM {event} WHERE queue = $1"
_COUNTS: Final = """
SELECT floor(finished_at / $3), status, count(*) FROM {finished} {not_indexed}
WHERE queue = $1 AND status {in_2} AND finished_at >= $4 GROUP BY 1, 2
"""
_RUNNING: Final = """
SELECT number, worker, claimed_at FROM {lease} WHERE queue = $1 ORDER BY claimed_at, number LIMIT $2
"""
_RESERVED: Final = "SELECT reserved FROM {lease} WHERE reserved IS NOT NULL"
_USED: Final = """
SELECT name, window_seconds, paused_until, coalesce((SELECT sum(amount) FROM {limit_usage}
    WHERE account = name AND at > $1 - window_seconds), 0) FROM {limit_account}
"""
_STATUSES: Final = [status.value for status in EventStatus]

Query: TypeAlias = Callable[[Snapshot], Coroutine[Any, Any, T]]


class InspectorReads(Protocol):
    """How a database answers queries that may take long."""

    def read(self, query: Query[T]) -> Awaitable[T]:
        """Run a query in one snapshot, without blocking the event loop or the workers."""

    async def version(self) -> object:
        """Return a value that differs after any change."""

    async def close(self) -> None:
        """Finish running queries, and close what is open."""


class SqlInspector:
    """Inspector of a queue in a database.

    Args:
        reads: How the database answers.
    """

    def __init__(self, reads: InspectorReads) -> None:
        self._reads = reads

    async def close(self) -> None:
        """Finish running queries, and close what is open."""
        await self._reads.close()

    async def version(self) -> object:
        return await self._reads.version()

    async def list_events(
        self,
        what: EventFilter,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> list[Record]:
        async def query(db: Snapshot) -> list[Record]:
            return await records_of(db, await matching_numbers(db, what, before, after, limit))

        return await self._reads.read(query)

    async def count_events(self, what: EventFilter) -> int:
        async def query(db: Snapshot) -> int:
            if not what.is_counted:
                return await count_matching(db, what)
            counts = await queries.counts(db)
            return sum(counts.values()) if what.status is None else counts[what.status]

        return await self._reads.read(query)

    async def kinds(self) -> Sequence[str]:
        async def query(db: Snapshot) -> list[str]:
            return sorted(kind for (kind,) in await db.rows(_KINDS, db.queue))

        return await self._reads.read(query)

    async def finished(self, since: float, limit: int = 2000) -> Sequence[FinishedEvent]:
        async def query(db: Snapshot) -> list[FinishedEvent]:
            source = _BY_TIME if await db.has_time_index() else _BY_NUMBER
            statement = _FINISHED.format(source=source)
            return [
                FinishedEvent(number, as_uuid(uid), event_type, EventStatus(status), *times)
                for number, uid, event_type, status, *times in await db.rows(
                    statement, db.queue, _STATUSES, since, limit
                )
            ]

        return await self._reads.read(query)

    async def finished_counts(
        self, since: float, width: float
    ) -> Mapping[tuple[int, EventStatus], int]:
        async def query(db: Snapshot) -> dict[tuple[int, EventStatus], int]:
            rows = await db.rows(_COUNTS, db.queue, _STATUSES, float(width), since)
            return {(int(span), EventStatus(status)): count for span, status, count in rows}

        return await self._reads.read(query)

    async def running(self, limit: int = 200) -> Sequence[RunningEvent]:
        async def query(db: Snapshot) -> list[RunningEvent]:
            rows = await db.rows(_RUNNING, db.queue, limit)
            records = {one.number: one for one in await records_of(db, [row[0] for row in rows])}
            return [
                RunningEvent(records[number], worker, claimed_at)
                for number, worker, claimed_at in rows
                if number in records
            ]

        return await self._reads.read(query)

    async def limit_usage(self) -> Sequence[LimitUsage]:
        return await self._reads.read(_limit_usage)

    async def chunks(self, record: Record, first: int) -> Sequence[Any]:
        return await self._reads.read(partial(_chunks, record=record, first=first))


async def _limit_usage(db: Snapshot) -> list[LimitUsage]:
    """Return the usage of each account, without expired amounts."""
    ((now,),) = await db.rows("SELECT {now}", db.time)
    reserved, windows = Counter[str](), dict[str, float | None]()
    for (text,) in await db.rows(_RESERVED):
        for name, (amount, window) in json.loads(text).items():
            reserved[name] += amount
            windows.setdefault(name, window)
    used, paused = dict[str, float](), dict[str, float]()
    for name, window, until, amount in await db.rows(_USED, now):
        windows.setdefault(name, window or None)
        used[name] = amount if windows[name] else 0.0
        paused[name] = until if until > now else 0.0
    return [
        usage_of(name, reserved[name] + used.get(name, 0.0), window, paused.get(name, 0.0))
        for name, window in sorted(windows.items())
    ]


async def _chunks(db: Snapshot, record: Record, first: int) -> list[Any]:
    """Return the chunks of an attempt from an index on, as long as it runs."""
    found: list[Any] = []
    while True:
        answer = await queries.chunks(db, record.number, record.attempt, first + len(found))
        if answer is None or answer[0] != record.attempt or not answer[1]:
            return found
        found += answer[1]
