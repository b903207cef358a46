"""Where an event stands among those that wait, and what it needs of limits."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias
from uuid import UUID

from ...model.costs import REQUEST
from ...rules.limits import Limit
from ...rules.metering import Limits
from ...rules.standing import Room, Standing, Worker, limits_at_work, room_of
from ..sql.codec import about_of, standing_of
from ..sql.process import is_dead
from ..sql.rows import PENDING, StoredEvent
from . import reading
from .link import Db

__all__ = ("live_workers", "standing", "usage")

WithOwn: TypeAlias = Callable[[Iterable[Worker]], list[Worker]]

_AHEAD: Final = """
SELECT (SELECT count(*) FROM {ready} WHERE queue = $2 AND due = 0 AND (priority, number) < ($3, $4))
    + (SELECT count(*) FROM {ready} WHERE queue = $2 AND due > 0 AND due <= (SELECT {now})
        AND (priority, number) < ($3, $4))
"""
_FIRST: Final = """
SELECT number FROM (
    (SELECT priority, number FROM {ready} WHERE queue = $2 AND due = 0
        ORDER BY priority, number LIMIT 1)
    UNION ALL
    (SELECT priority, number FROM {ready} WHERE queue = $2 AND due > 0 AND due <= (SELECT {now})
        ORDER BY priority, number LIMIT 1)
) first ORDER BY priority, number LIMIT 1
"""
_WORKERS: Final = """
SELECT w.name, w.host, w.pid, w.process_start, w.leases_until >= {now}, w.description,
    (SELECT count(*) FROM {lease} l WHERE l.worker = w.name)
FROM {worker} w WHERE w.queue = $2 ORDER BY w.started_at, w.name
"""


async def standing(db: Db, uid: UUID, limits: Limits | None, with_own: WithOwn) -> Standing | None:
    """Where an event stands; None if it is not here.

    Args:
        db: The tables.
        uid: Its id.
        limits: Under which it is claimed; None: those of the workers at work.
        with_own: Replaces the stored state of this process's own workers by the current one.
    """
    async with db.snapshot():
        numbers = list((await reading.numbers_of(db, [uid])).values())
        found = (await reading.find(db, numbers)).get(numbers[0]) if numbers else None
        if found is None:
            return None
        now: float = await db.value("SELECT {now}", db.now)
        queue, waits = await db.known_queue(), found.status == PENDING
        workers = with_own(await _workers(db, queue))
        under = limits_at_work(workers) if limits is None else limits
        ahead, first = 0, None
        if waits and found.due <= now:
            ahead = await db.value(_AHEAD, db.now, queue, found.priority, found.number)
            first = await _first(db, queue, under, now) if ahead else None
        query = "SELECT worker FROM {lease} WHERE number = $1"
        return standing_of(
            found,
            now,
            ahead=ahead,
            paused=await db.value("SELECT paused_until FROM {queue} WHERE number = $1", queue),
            rooms=await _rooms(db, found, under, now) if waits and under is not None else (),
            workers=workers,
            holder=await db.value(query, found.number),
            first=first,
        )


async def _first(
    db: Db, queue: int, limits: Limits | None, now: float
) -> tuple[StoredEvent, Sequence[Room]] | None:
    """The first of all that are due, and what it needs of limits."""
    number = await db.value(_FIRST, db.now, queue)
    first = None if number is None else (await reading.find(db, [number])).get(number)
    if first is None:
        return None
    return first, () if limits is None else await _rooms(db, first, limits, now)


async def usage(db: Db, limits: Limits | None, with_own: WithOwn) -> list[Room]:
    """What is taken of limits; the arguments are those of ``standing``."""
    async with db.snapshot():
        now: float = await db.value("SELECT {now}", db.now)
        workers = with_own(await _workers(db, await db.known_queue()))
        under, held = limits_at_work(workers) if limits is None else limits, await _held(db)
        shared = [each for each in (under or {}).values() if not each.per_key]
        return [await _room(db, limit, None, 0.0, now, held) for limit in shared]


async def live_workers(db: Db) -> list[Worker]:
    """The live workers of the queue."""
    return [one for one in await _workers(db, await db.known_queue()) if one.is_live]


async def _workers(db: Db, queue: int) -> list[Worker]:
    rows: Any = await db.rows(_WORKERS, db.now, queue)
    return [
        Worker(name, lives and not is_dead(host, pid, born), claimed, about_of(about))
        for name, host, pid, born, lives, about, claimed in rows
    ]


async def _rooms(db: Db, found: StoredEvent, limits: Limits, now: float) -> Sequence[Room]:
    costs = REQUEST if found.costs is None else json.loads(found.costs)
    held = await _held(db)
    return [
        await _room(db, limit, found.key, cost, now, held)
        for limit, cost in limits.amounts(costs, found.key)
    ]


async def _held(db: Db) -> Counter[str]:
    """What all leases hold together, by pool."""
    amounts: Counter[str] = Counter()
    for (text,) in await db.rows("SELECT reserved FROM {lease} WHERE reserved IS NOT NULL"):
        for pool, (amount, _) in json.loads(text).items():
            amounts[pool] += amount
    return amounts


async def _room(
    db: Db, limit: Limit, key: str | None, cost: float, now: float, held: Counter[str]
) -> Room:
    pool = f"{limit.pool}\x1f{key}" if limit.per_key else limit.pool
    paused: float = (
        await db.value("SELECT paused_until FROM {limit_account} WHERE name = $1", pool) or 0.0
    )
    taken: Any = await db.rows(
        "SELECT at, amount FROM {limit_usage} WHERE account = $1 ORDER BY at", pool
    )
    return room_of(limit, key, cost, now, held=held[pool], paused=paused, taken=taken)
