"""What is asked of the tables without changing them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from asyncpg.pgproto import pgproto

from ...model.execution import EventStatus
from ...model.live import Progress
from ...model.packing import unpack_result
from ..record import Record
from ..sql.codec import record_of
from ..sql.rows import FINAL, PENDING, PROCESSING, STATE, FixedColumns, StoredEvent
from .link import Db

__all__ = (
    "counts",
    "find",
    "kept",
    "last",
    "next_expiry",
    "numbers_of",
    "page",
    "published_chunks",
    "queues",
    "records",
    "standing",
    "stands",
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
"""Joins the one row that says where an event stands: as ``f``, ``l``, ``r``, or ``d``.

Each is looked up by its whole key. LATERAL and LIMIT keep the planner from reading all of a table
anew for each event, which looks as cheap to it as long as it believes the table to be nearly empty.
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
_STANDING: Final = f"""
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
"""Rows of chunks that are read at a time."""


async def find(db: Db, numbers: Sequence[int]) -> dict[int, StoredEvent]:
    """All that is known of events, in whatever queue."""
    rows = (
        await db.rows(f"{_FIND} WHERE e.number = ANY($1::bigint[])", list(numbers))
        if numbers
        else []
    )
    return {row[0]: _found(row) for row in rows}


async def stands(db: Db, numbers: Sequence[int]) -> dict[int, StoredEvent]:
    """How events stand, and little else of those that have ended: neither id nor payload."""
    rows = await db.rows(_ENDED, list(numbers)) if numbers else []
    found = {row[0]: StoredEvent._make((row[0], *_UNREAD, row[1], 0.0, row[2], (*row[3:], None)))
             for row in rows}  # fmt: skip
    return found | await find(db, [number for number in numbers if number not in found])


def _found(row: Any) -> StoredEvent:
    number, uid, *kept = row[:12]
    return StoredEvent._make((number, uid.bytes, *kept, row[12], row[13], row[14], tuple(row[15:])))


async def standing(db: Db, numbers: Sequence[int]) -> dict[int, tuple[str, int]]:
    """Status and attempt of events; those that are in this queue."""
    rows = await db.rows(_STANDING, list(numbers), await db.known_queue()) if numbers else []
    return {number: (status, attempt) for number, status, attempt in rows}


async def kept(db: Db, numbers: Sequence[int]) -> dict[int, FixedColumns]:
    """What never changes of events."""
    rows = await db.rows(_KEPT, list(numbers)) if numbers else []
    return {row[0]: (row[1].bytes, *row[2:]) for row in rows}


async def numbers_of(db: Db, ids: Sequence[UUID]) -> dict[UUID, int]:
    """The numbers of the ids that are in this queue."""
    query = "SELECT id, number FROM {event} WHERE id = ANY($1::uuid[]) AND queue = $2"
    rows = await db.rows(query, [pgproto.UUID(each.bytes) for each in ids], await db.known_queue())
    return {UUID(bytes=uid.bytes): number for uid, number in rows}


async def counts(db: Db) -> dict[EventStatus, int]:
    """How many events are in each status."""
    row = await db.row(_COUNTS, await db.known_queue())
    return dict(zip(EventStatus, row, strict=True))


async def paused(db: Db) -> float:
    """The time before which nothing of the queue is claimed."""
    query = "SELECT paused_until FROM {queue} WHERE number = $1"
    return await db.value(query, await db.known_queue()) or 0.0


async def queues(db: Db) -> list[str]:
    """Return the names of all queues, in the order in which they were made."""
    query = "SELECT name FROM {queue} WHERE name <> '' ORDER BY number"
    return [name for (name,) in await db.rows(query)]


async def last(db: Db) -> int:
    """The highest number given so far."""
    number: int = await db.value(_LAST, db.names.fill("{event}"))
    return number


async def next_expiry(db: Db) -> float | None:
    """When the first of what waits and has to start by some time expires."""
    query = "SELECT min(expires) FROM {ready} WHERE queue = $1 AND expires IS NOT NULL"
    at: float | None = await db.value(query, await db.known_queue())
    return at


async def waiting_kinds(
    db: Db, kinds: Sequence[str], numbers: Sequence[int]
) -> dict[str, int] | None:
    """How many events wait, by class; None if any waits beside these classes and numbers."""
    queue = await db.known_queue()
    if await db.value(f"SELECT EXISTS (SELECT 1 {_WAITING} {_BESIDE})", queue, kinds, numbers):
        return None
    query = f"SELECT e.event_type, count(*)::bigint {_WAITING} GROUP BY e.event_type"
    return dict(await db.rows(query, queue))


async def unwanted(db: Db) -> list[int]:
    """The numbers of what is leased and is to be cancelled."""
    query = "SELECT number FROM {lease} WHERE queue = $1 AND cancel_requested"
    return [number for (number,) in await db.rows(query, await db.known_queue())]


async def page(db: Db, status: EventStatus | None, after: int, limit: int) -> list[StoredEvent]:
    """The next events of a status, by number."""
    wanted = None if status is None else status.value
    where = _PAGES.get(wanted) or _TROUBLE.format(wanted)
    numbers = f"SELECT number FROM {where} AND number > $2 ORDER BY number LIMIT $3"
    query = f"{_FIND} WHERE e.number = ANY(ARRAY({numbers})) ORDER BY e.number"
    return [_found(row) for row in await db.rows(query, await db.known_queue(), after, limit)]


async def records(db: Db, found: Sequence[StoredEvent]) -> list[Record]:
    """Records, with what is published of attempts that run."""
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
    """The attempt of an event that was written last, and chunks of it as they were yielded.

    Args:
        db: The tables.
        number: Which event.
        attempt: The attempt whose chunks are known.
        first: How many of them are.
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
