"""Queries on the tables of one queue."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias
from uuid import UUID

from asyncpg.pgproto import pgproto

from ...model.costs import REQUEST
from ...model.execution import EventStatus
from ...model.live import Progress
from ...model.packing import unpack_result
from ...rules.limits import Limit
from ...rules.metering import Limits
from ...rules.standing import Room, Standing, Worker, limits_at_work, room_of
from ..record import Record
from ..sql.codec import about_of, record_of, standing_of
from ..sql.process import is_dead
from ..sql.rows import FINAL, PENDING, PROCESSING, STATE, FixedColumns, StoredEvent
from .link import Db

__all__ = (
    "counts",
    "current",
    "explain",
    "find",
    "fixed_columns",
    "last",
    "limit_usage",
    "live_workers",
    "next_expiry",
    "numbers_of",
    "page",
    "published_chunks",
    "queues",
    "records",
    "statuses",
    "unwanted",
    "waiting_kinds",
)


_STATES: Final = [each.strip() for each in STATE.split(",")]


def _state(name: str) -> str:
    tables = ("l", "r", "d") if name == "expires" else ("f", "l", "r", "d")
    return f"coalesce({', '.join(f'{each}.{name}' for each in tables)})"


PLACES: Final = """\
LEFT JOIN LATERAL (SELECT * FROM {finished} w WHERE w.number = e.number LIMIT 1) f ON true
LEFT JOIN LATERAL (SELECT * FROM {lease} w WHERE w.number = e.number LIMIT 1) l ON true
LEFT JOIN LATERAL (
    SELECT * FROM {ready} w
    WHERE w.queue = e.queue AND w.due = 0 AND w.priority = e.priority AND w.number = e.number
    LIMIT 1
) r ON true
LEFT JOIN LATERAL (SELECT * FROM {ready} w WHERE w.number = e.number AND w.due > 0 LIMIT 1) d
    ON true"""
"""Joins the row with the state of an event: as ``f``, ``l``, ``r`` or ``d``.

Each row is found by its whole key. LATERAL and LIMIT keep the planner from a scan of the table per
event, which it considers equally cheap while its statistics say that the table is nearly empty.
"""

_FIND: Final = f"""
SELECT e.number, e.id, q.name, e.event_type, e.created_at, e.priority, e.key, e.costs, e.retry,
    e.unique_key, e.unique_at, e.payload,
    CASE WHEN f.number IS NOT NULL THEN f.status WHEN l.number IS NOT NULL THEN '{PROCESSING}'
        ELSE '{PENDING}' END,
    coalesce(l.due, r.due, d.due, 0), coalesce(f.finished_at, 0), {", ".join(map(_state, _STATES))}
FROM {{event}} e
JOIN {{queue}} q ON q.number = e.queue
{PLACES}
"""
_ENDED: Final = f"""
SELECT number, status, finished_at, {FINAL} FROM {{finished}} WHERE number = ANY($1::bigint[])
"""
_WAITING: Final = "FROM {ready} r JOIN {event} e ON e.number = r.number WHERE r.queue = $1"
_BESIDE: Final = "AND e.event_type <> ALL($2::text[]) AND r.number <> ALL($3::bigint[])"
_UNREAD: Final = (b"", "", "", 0.0, 0.0, None, None, None, None, None, "")
_STATUSES: Final = f"""
SELECT e.number, coalesce(f.status, CASE WHEN l.number IS NULL THEN 'pending'
    ELSE 'processing' END), coalesce(f.attempt, l.attempt, r.attempt, d.attempt)
FROM {{event}} e
{PLACES}
WHERE e.number = ANY($1::bigint[]) AND e.queue = $2
"""
_KEPT: Final = """
SELECT number, id, event_type, created_at, payload, retry, unique_key, unique_at FROM {event}
WHERE number = ANY($1::bigint[])
"""
_COUNTS: Final = f"""
SELECT {", ".join(f"coalesce(sum({each.value}), 0)::bigint" for each in EventStatus)}
FROM {{counter}} WHERE queue = $1
"""
_LAST: Final = """
SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence($1, 'number')::regclass), 0)
"""
_PAGES: Final[dict[str | None, str]] = {
    None: "{event} WHERE queue = $1",
    PENDING: "{ready} WHERE queue = $1",
    PROCESSING: "{lease} WHERE queue = $1",
    EventStatus.COMPLETED.value: "{finished} WHERE queue = $1 AND status = 'completed'",
}
_TROUBLE: Final = "{{finished}} WHERE queue = $1 AND status = '{}' AND status <> 'completed'"
_PUBLISHED: Final = """
SELECT number, fraction, note, chunks FROM {progress} JOIN unnest($1::bigint[], $2::int[])
    AS given (number, attempt) USING (number, attempt)
"""
_PIECES: Final = 8
"""Maximum number of rows of chunks per read."""


async def find(db: Db, numbers: Sequence[int]) -> dict[int, StoredEvent]:
    """Return all columns of events by number, in any queue."""
    rows = (
        await db.rows(f"{_FIND} WHERE e.number = ANY($1::bigint[])", list(numbers))
        if numbers
        else []
    )
    return {row[0]: _found(row) for row in rows}


async def current(db: Db, numbers: Sequence[int]) -> dict[int, StoredEvent]:
    """Return the columns of events; for finished events, only the state is read."""
    rows = await db.rows(_ENDED, list(numbers)) if numbers else []
    found = {row[0]: StoredEvent._make((row[0], *_UNREAD, row[1], 0.0, row[2], (*row[3:], None)))
             for row in rows}  # fmt: skip
    return found | await find(db, [number for number in numbers if number not in found])


def _found(row: Any) -> StoredEvent:
    number, uid, *fixed_columns = row[:12]
    return StoredEvent._make(
        (number, uid.bytes, *fixed_columns, row[12], row[13], row[14], tuple(row[15:]))
    )


async def statuses(db: Db, numbers: Sequence[int]) -> dict[int, tuple[str, int]]:
    """Return status and attempt of the events that are in this queue."""
    rows = await db.rows(_STATUSES, list(numbers), await db.known_queue()) if numbers else []
    return {number: (status, attempt) for number, status, attempt in rows}


async def fixed_columns(db: Db, numbers: Sequence[int]) -> dict[int, FixedColumns]:
    """Return the fixed columns of events."""
    rows = await db.rows(_KEPT, list(numbers)) if numbers else []
    return {row[0]: (row[1].bytes, *row[2:]) for row in rows}


async def numbers_of(db: Db, ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return the numbers of the ids that are in this queue."""
    query = "SELECT id, number FROM {event} WHERE id = ANY($1::uuid[]) AND queue = $2"
    rows = await db.rows(query, [pgproto.UUID(each.bytes) for each in ids], await db.known_queue())
    return {UUID(bytes=uid.bytes): number for uid, number in rows}


async def counts(db: Db) -> dict[EventStatus, int]:
    """Return the number of events in each status."""
    row = await db.row(_COUNTS, await db.known_queue())
    return dict(zip(EventStatus, row, strict=True))


async def paused(db: Db) -> float:
    """Return the time before which no event of the queue is claimed."""
    query = "SELECT paused_until FROM {queue} WHERE number = $1"
    return await db.value(query, await db.known_queue()) or 0.0


async def queues(db: Db) -> list[str]:
    """Return the names of all queues, in the order in which they were made."""
    query = "SELECT name FROM {queue} WHERE name <> '' ORDER BY number"
    return [name for (name,) in await db.rows(query)]


async def last(db: Db) -> int:
    """Return the highest number given so far."""
    number: int = await db.value(_LAST, db.names.fill("{event}"))
    return number


async def next_expiry(db: Db) -> float | None:
    """Return the earliest time at which a ready event expires."""
    query = "SELECT min(expires) FROM {ready} WHERE queue = $1 AND expires IS NOT NULL"
    at: float | None = await db.value(query, await db.known_queue())
    return at


async def waiting_kinds(
    db: Db, kinds: Sequence[str], numbers: Sequence[int]
) -> dict[str, int] | None:
    """Count the ready events by type; None if there are any besides these types and numbers."""
    queue = await db.known_queue()
    if await db.value(f"SELECT EXISTS (SELECT 1 {_WAITING} {_BESIDE})", queue, kinds, numbers):
        return None
    query = f"SELECT e.event_type, count(*)::bigint {_WAITING} GROUP BY e.event_type"
    return dict(await db.rows(query, queue))


async def unwanted(db: Db) -> list[int]:
    """Return the numbers of leased events with a requested cancel."""
    query = "SELECT number FROM {lease} WHERE queue = $1 AND cancel_requested"
    return [number for (number,) in await db.rows(query, await db.known_queue())]


async def page(db: Db, status: EventStatus | None, after: int, limit: int) -> list[StoredEvent]:
    """Return the next events in a status, in order of their numbers."""
    wanted = None if status is None else status.value
    where = _PAGES.get(wanted) or _TROUBLE.format(wanted)
    numbers = f"SELECT number FROM {where} AND number > $2 ORDER BY number LIMIT $3"
    query = f"{_FIND} WHERE e.number = ANY(ARRAY({numbers})) ORDER BY e.number"
    return [_found(row) for row in await db.rows(query, await db.known_queue(), after, limit)]


async def records(db: Db, found: Sequence[StoredEvent]) -> list[Record]:
    """Return records, with the live progress of running attempts."""
    made = [record_of(each) for each in found]
    runs = [each for each in made if each.status is EventStatus.PROCESSING]
    if not runs:
        return made
    bound = [each.number for each in runs], [each.attempt for each in runs]
    seen = {number: rest for number, *rest in await db.rows(_PUBLISHED, *bound)}
    return [_with(each, seen.get(each.number)) for each in made]


def _with(record: Record, seen: Any) -> Record:
    if seen is None:
        return record
    fraction, note, chunks = seen
    progress = None if note is None else Progress(fraction, note)
    return replace(record, progress=progress, chunks=chunks)


async def published_chunks(
    db: Db, number: int, attempt: int, first: int
) -> tuple[int, list[Any]] | None:
    """Return the running attempt of an event, and its chunks.

    Args:
        db: The tables.
        number: The number of the event.
        attempt: The attempt whose chunks the caller has.
        first: The number of these chunks.
    """
    written: int | None = await db.value("SELECT attempt FROM {progress} WHERE number = $1", number)
    if written is None:
        return None
    query = (
        "SELECT chunks FROM {chunk} WHERE number = $1 AND attempt = $2 AND first >= $3 "
        "ORDER BY first LIMIT $4"
    )
    known = first if written == attempt else 0
    pieces = [
        unpack_result(text)["_response"]
        for (text,) in await db.rows(query, number, written, known, _PIECES)
    ]
    return written, [chunk for piece in pieces for chunk in piece]


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


async def explain(db: Db, uid: UUID, limits: Limits | None, with_own: WithOwn) -> Standing | None:
    """Return the standing of an event; None if it is unknown.

    Args:
        db: The tables.
        uid: The id of the event.
        limits: The limits of its claim; None for those of the live workers.
        with_own: Replaces the stored state of this process's own workers by the current one.
    """
    async with db.snapshot():
        numbers = list((await numbers_of(db, [uid])).values())
        found = (await find(db, numbers)).get(numbers[0]) if numbers else None
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
    """Return the first due event, and what it needs of limits."""
    number = await db.value(_FIRST, db.now, queue)
    first = None if number is None else (await find(db, [number])).get(number)
    if first is None:
        return None
    return first, () if limits is None else await _rooms(db, first, limits, now)


async def limit_usage(db: Db, limits: Limits | None, with_own: WithOwn) -> list[Room]:
    """Return the usage of limits; the arguments are those of ``explain``."""
    async with db.snapshot():
        now: float = await db.value("SELECT {now}", db.now)
        workers = with_own(await _workers(db, await db.known_queue()))
        under, held = limits_at_work(workers) if limits is None else limits, await _held(db)
        shared = [each for each in (under or {}).values() if not each.per_key]
        return [await _room(db, limit, None, 0.0, now, held) for limit in shared]


async def live_workers(db: Db) -> list[Worker]:
    """Return the live workers of the queue."""
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
    """Return the amounts that all leases reserve, by account."""
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
