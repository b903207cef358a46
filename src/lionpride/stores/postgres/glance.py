"""Answers for those who look at a database while others work."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

from ...model.execution import EventStatus
from ..record import Record
from ..seen import Runs, Sought, Stay, Usage
from ..sql.limits import usage_of
from . import reading
from .link import Db
from .seeking import WIDELY, count_of, numbers_of

__all__ = ("Glance",)

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


class Glance:
    """See ``Seen``.

    Args:
        read: Has a step read, as the store's own are.
        clock: The time that limits count by.
    """

    def __init__(
        self,
        read: Callable[[Callable[[Db], Awaitable[Any]]], Awaitable[Any]],
        clock: Callable[[], float],
    ) -> None:
        self._read = read
        self._clock = clock

    async def _look(self, look: Callable[[Db], Awaitable[T]]) -> T:
        """What ``look`` finds, in one view of all the tables, by whatever plan is best."""

        async def step(db: Db) -> T:
            async with db.snapshot():
                await db.run(WIDELY)
                return await look(db)

        found: T = await self._read(step)
        return found

    # -- the questions: see Seen -------------------------------------------------------------

    async def version(self) -> object:
        async def look(db: Db) -> object:
            sums = ", ".join(f"sum({each})" for each in _STATUSES)
            queue = await db.known_queue()
            return [
                await reading.last(db),
                *await db.row(f"SELECT {sums} FROM {{counter}} WHERE queue = $1", queue),
                *await db.row(
                    "SELECT sum(attempt), max(claimed_at) FROM {lease} WHERE queue = $1", queue
                ),
                *await db.row("SELECT sum(chunks), sum(fraction), max(note) FROM {progress}"),
            ]

        return await self._look(look)

    async def sought(
        self, what: Sought, *, before: int | None = None, after: int | None = None, limit: int = 50
    ) -> list[Record]:
        async def look(db: Db) -> list[Record]:
            return await _records(db, await numbers_of(db, what, before, after, limit))

        return await self._look(look)

    async def how_many(self, what: Sought) -> int:
        async def look(db: Db) -> int:
            if not what.is_counted:
                return await count_of(db, what)
            counts = await reading.counts(db)
            return sum(counts.values()) if what.status is None else counts[what.status]

        return await self._look(look)

    async def ended(self, since: float, limit: int = 2000) -> Sequence[Stay]:
        async def look(db: Db) -> list[Stay]:
            rows = await db.rows(_STAYS, await db.known_queue(), _STATUSES, since, limit)
            return [
                Stay(number, UUID(bytes=uid.bytes), kind, EventStatus(status), *times)
                for number, uid, kind, status, *times in rows
            ]

        return await self._look(look)

    async def tallied(self, since: float, width: float) -> Mapping[tuple[int, EventStatus], int]:
        async def look(db: Db) -> dict[tuple[int, EventStatus], int]:
            queue = await db.known_queue()
            rows = await db.rows(_TALLY, queue, since, float(width), _STATUSES)
            return {(span, EventStatus(status)): number for span, status, number in rows}

        return await self._look(look)

    async def runs(self, limit: int = 200) -> Sequence[Runs]:
        async def look(db: Db) -> list[Runs]:
            rows = await db.rows(_RUNS, await db.known_queue(), limit)
            records = {one.number: one for one in await _records(db, [row[0] for row in rows])}
            return [
                Runs(records[number], worker, since)
                for number, worker, since in rows
                if number in records
            ]

        return await self._look(look)

    async def usage(self) -> Sequence[Usage]:
        async def look(db: Db) -> list[Usage]:
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
                answer = await reading.published_chunks(db, number, attempt, first + len(found))
                if answer is None or answer[0] != attempt or not answer[1]:
                    return found
                found += answer[1]

        return await self._look(look)


async def _records(db: Db, numbers: Sequence[int]) -> list[Record]:
    found = await reading.find(db, numbers)
    return await reading.records(db, [found[number] for number in numbers if number in found])
