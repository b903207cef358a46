"""Reads that are frequent, or whose plan matters: a statement of PostgreSQL for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from asyncpg.pgproto import pgproto

from ...model.execution import EventStatus
from ..sql.rows import FINAL, PENDING, PROCESSING, STATE, FixedColumns, StoredEvent
from .session import TableConnection

__all__ = ("counts", "current", "find", "fixed_columns", "last", "numbers_of", "statuses")


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


async def find(db: TableConnection, numbers: Sequence[int]) -> dict[int, StoredEvent]:
    """Return all columns of events by number, in any queue."""
    rows = (
        await db.rows(f"{_FIND} WHERE e.number = ANY($1::bigint[])", list(numbers))
        if numbers
        else []
    )
    return {row[0]: _found(row) for row in rows}


async def current(db: TableConnection, numbers: Sequence[int]) -> dict[int, StoredEvent]:
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


async def statuses(db: TableConnection, numbers: Sequence[int]) -> dict[int, tuple[str, int]]:
    """Return status and attempt of the events that are in this queue."""
    rows = await db.rows(_STATUSES, list(numbers), await db.known_queue()) if numbers else []
    return {number: (status, attempt) for number, status, attempt in rows}


async def fixed_columns(db: TableConnection, numbers: Sequence[int]) -> dict[int, FixedColumns]:
    """Return the fixed columns of events."""
    rows = await db.rows(_KEPT, list(numbers)) if numbers else []
    return {row[0]: (row[1].bytes, *row[2:]) for row in rows}


async def numbers_of(db: TableConnection, ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return the numbers of the ids that are in this queue."""
    query = "SELECT id, number FROM {event} WHERE id = ANY($1::uuid[]) AND queue = $2"
    rows = await db.rows(query, [pgproto.UUID(each.bytes) for each in ids], await db.known_queue())
    return {UUID(bytes=uid.bytes): number for uid, number in rows}


async def counts(db: TableConnection) -> dict[EventStatus, int]:
    """Return the number of events in each status."""
    row = await db.row(_COUNTS, await db.known_queue())
    return dict(zip(EventStatus, row, strict=True))


async def last(db: TableConnection) -> int:
    """Return the highest number given so far."""
    number: int = await db.value(_LAST, db.names.fill("{event}"))
    return number
