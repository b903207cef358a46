"""Queries for monitoring, and the list of workers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

from ...model.execution import EventStatus
from ..inspector import (
    ClaimedEvent,
    EventFilter,
    FinishedEvent,
    LimitUsage,
    RunningEvent,
    WorkerRecord,
)
from ..record import Record
from ..sql.codec import about_of
from ..sql.limits import usage_of
from ..sql.process import is_dead
from . import queries
from .filters import ANY_PLAN, count_of, numbers_of
from .link import Db

__all__ = (
    "PostgresInspector",
    "workers",
)


T = TypeVar("T")

_STAYS: Final = """
SELECT f.number, e.id, e.event_type, f.status, f.finished_at,
    CASE WHEN f.attempt = 1 THEN greatest(0, f.finished_at - f.duration - e.created_at) END,
    f.duration
FROM (SELECT * FROM {finished} WHERE queue = $1 AND status = ANY($2::text[]) AND finished_at > $3
    ORDER BY finished_at DESC LIMIT $4) f
JOIN {event} e ON e.number = f.number ORDER BY f.finished_at
"""
_TALLY: Final = """
SELECT floor(finished_at / $3)::bigint, status, count(*) FROM {finished}
WHERE queue = $1 AND status = ANY($4::text[]) AND finished_at >= $2 GROUP BY 1, 2
"""
_RUNS: Final = """
SELECT number, worker, claimed_at FROM {lease} WHERE queue = $1 ORDER BY claimed_at, number LIMIT $2
"""
_TAKEN: Final = """
SELECT name, window_seconds, paused_until, coalesce((SELECT sum(amount) FROM {limit_usage}
    WHERE account = name AND at > $1 - window_seconds), 0) FROM {limit_account}
"""
_STATUSES: Final = [each.value for each in EventStatus]


class PostgresInspector:
    """Inspector of a queue in a database.

    Args:
        read: Runs a reading step over a connection of the store.
        clock: Returns the time for limits.
    """

    def __init__(
        self,
        read: Callable[[Callable[[Db], Awaitable[Any]]], Awaitable[Any]],
        clock: Callable[[], float],
    ) -> None:
        self._read = read
        self._clock = clock

    async def _look(self, look: Callable[[Db], Awaitable[T]]) -> T:
        """Run a query in one snapshot, with any plan that the server chooses."""

        async def step(db: Db) -> T:
            async with db.snapshot():
                await db.run(ANY_PLAN)
                return await look(db)

        found: T = await self._read(step)
        return found

    # -- the queries: see Inspector ----------------------------------------------------------

    async def version(self) -> object:
        async def look(db: Db) -> object:
            sums = ", ".join(f"sum({each})" for each in _STATUSES)
            queue = await db.known_queue()
            return [
                await queries.last(db),
                *await db.row(f"SELECT {sums} FROM {{counter}} WHERE queue = $1", queue),
                *await db.row(
                    "SELECT sum(attempt), max(claimed_at) FROM {lease} WHERE queue = $1", queue
                ),
                *await db.row("SELECT sum(chunks), sum(fraction), max(note) FROM {progress}"),
            ]

        return await self._look(look)

    async def list_events(
        self,
        what: EventFilter,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> list[Record]:
        async def look(db: Db) -> list[Record]:
            return await _records(db, await numbers_of(db, what, before, after, limit))

        return await self._look(look)

    async def count_events(self, what: EventFilter) -> int:
        async def look(db: Db) -> int:
            if not what.is_counted:
                return await count_of(db, what)
            counts = await queries.counts(db)
            return sum(counts.values()) if what.status is None else counts[what.status]

        return await self._look(look)

    async def finished(self, since: float, limit: int = 2000) -> Sequence[FinishedEvent]:
        async def look(db: Db) -> list[FinishedEvent]:
            rows = await db.rows(_STAYS, await db.known_queue(), _STATUSES, since, limit)
            return [
                FinishedEvent(number, UUID(bytes=uid.bytes), kind, EventStatus(status), *times)
                for number, uid, kind, status, *times in rows
            ]

        return await self._look(look)

    async def finished_counts(
        self, since: float, width: float
    ) -> Mapping[tuple[int, EventStatus], int]:
        async def look(db: Db) -> dict[tuple[int, EventStatus], int]:
            queue = await db.known_queue()
            rows = await db.rows(_TALLY, queue, since, float(width), _STATUSES)
            return {(span, EventStatus(status)): number for span, status, number in rows}

        return await self._look(look)

    async def running(self, limit: int = 200) -> Sequence[RunningEvent]:
        async def look(db: Db) -> list[RunningEvent]:
            rows = await db.rows(_RUNS, await db.known_queue(), limit)
            records = {one.number: one for one in await _records(db, [row[0] for row in rows])}
            return [
                RunningEvent(records[number], worker, since)
                for number, worker, since in rows
                if number in records
            ]

        return await self._look(look)

    async def limit_usage(self) -> Sequence[LimitUsage]:
        async def look(db: Db) -> list[LimitUsage]:
            held, spans = Counter[str](), dict[str, float | None]()
            for (text,) in await db.rows("SELECT reserved FROM {lease} WHERE reserved IS NOT NULL"):
                for name, (amount, per) in json.loads(text).items():
                    held[name] += amount
                    spans.setdefault(name, per)
            now, rest = self._clock(), dict[str, tuple[float, float]]()
            for name, per, paused, taken in await db.rows(_TAKEN, now):
                spans.setdefault(name, per or None)
                rest[name] = taken, paused if paused > now else 0.0
            none = 0.0, 0.0
            return [
                usage_of(
                    name,
                    held[name] + (rest.get(name, none)[0] if per else 0.0),
                    per,
                    rest.get(name, none)[1],
                )
                for name, per in sorted(spans.items())
            ]

        return await self._look(look)

    async def chunks(self, record: Record, first: int) -> Sequence[Any]:
        async def look(db: Db) -> list[Any]:
            found: list[Any] = []
            number, attempt = record.number, record.attempt
            while True:
                answer = await queries.published_chunks(db, number, attempt, first + len(found))
                if answer is None or answer[0] != attempt or not answer[1]:
                    return found
                found += answer[1]

        return await self._look(look)


async def _records(db: Db, numbers: Sequence[int]) -> list[Record]:
    found = await queries.find(db, numbers)
    return await queries.records(db, [found[number] for number in numbers if number in found])


_WORKERS: Final = """
SELECT name, machine, host, pid, process_start, started_at, heartbeat_at, leases_until,
    {now} AS now, description
FROM {worker} WHERE queue = $2 ORDER BY started_at, name
"""
_HELD: Final = """
SELECT l.worker, l.number, e.id, e.event_type, l.attempt, greatest(l.leased_until, w.leases_until)
FROM {lease} l JOIN {event} e ON e.number = l.number LEFT JOIN {worker} w ON w.name = l.worker
WHERE l.queue = $1 ORDER BY l.number
"""


async def workers(db: Db) -> list[WorkerRecord]:
    """Return the workers of the queue, in order of their start."""
    queue = await db.known_queue()
    held: dict[str, list[ClaimedEvent]] = {}
    async with db.snapshot():
        rows = await db.rows(_WORKERS, db.now, queue)
        for worker, number, uid, kind, attempt, until in await db.rows(_HELD, queue):
            held.setdefault(worker, []).append(ClaimedEvent(number, uid, kind, attempt, until))
    return [
        WorkerRecord(
            name=name,
            queue=db.queue_name,
            host=machine,
            pid=pid,
            since=began,
            seen=seen,
            silent=max(0.0, now - seen),
            alive=until >= now and not is_dead(host, pid, born),
            held=tuple(held.get(name, ())),
            about=about_of(about),
        )
        for name, machine, host, pid, born, began, seen, until, now, about in rows
    ]
