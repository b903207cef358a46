"""The append: many new events in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from asyncpg.pgproto.pgproto import UUID

from ...errors import ExistsError, QueueFullError
from ..append_checks import check_room
from ..sql import appending
from ..sql.rows import NewEventRow
from .link import Db

__all__ = ("APPEND", "append_new", "columns_of", "exists", "known_of", "recorded")

APPEND: Final = """
WITH new AS (
    INSERT INTO {event} (id, queue, event_type, payload, created_at, priority)
    SELECT id, $1, event_type, payload, created_at, priority
    FROM unnest($3::uuid[], $4::text[], $5::text[], $6::float8[], $7::float8[])
        WITH ORDINALITY AS given (id, event_type, payload, created_at, priority, place)
    ORDER BY place
    ON CONFLICT (id) DO NOTHING
    RETURNING number, priority
), waits AS (
    INSERT INTO {ready} (queue, priority, number)
    SELECT $1, priority, number FROM new ORDER BY priority, number
), counted AS (
    UPDATE {counter} SET pending = pending + (SELECT count(*) FROM new)
    WHERE queue = $1 AND shard = $2
)
SELECT array_agg(number ORDER BY number) FROM new
"""

_KNOWN: Final = """
SELECT e.id, e.number, e.queue, q.name FROM {event} e JOIN {queue} q ON q.number = e.queue
WHERE e.id = ANY($1::uuid[])
"""
_SAME: Final = """
SELECT e.number, given.place FROM unnest(
    $2::uuid[], $3::text[], $4::text[], $5::float8[], $6::float8[]
) WITH ORDINALITY AS given (id, event_type, payload, created_at, priority, place)
JOIN {event} e ON e.id = given.id AND e.queue = $1 AND e.event_type = given.event_type
    AND e.payload = given.payload AND e.created_at = given.created_at
    AND e.priority = given.priority
"""
_WAITING_AND_KNOWN: Final = """
SELECT (SELECT sum(pending)::bigint FROM {counter} WHERE queue = $1),
    (SELECT array_agg(id) FROM {event} WHERE id = ANY($2::uuid[]))
"""


def columns_of(rows: Sequence[NewEventRow]) -> list[Any]:
    """Return the arguments of ``APPEND`` after queue and shard."""
    ids, *others = zip(*rows, strict=True)
    return [[UUID(each) for each in ids], *others]


async def append_new(
    db: Db, rows: Sequence[NewEventRow], limits: Sequence[int | None]
) -> list[int | Exception]:
    """Append new events; return the number of each, or the reason why it was refused.

    It takes one round trip, or four in a transaction if an event has a queue limit. After an
    earlier try without an answer, an event that is recorded with equal content counts as appended.

    Args:
        db: The tables.
        rows: The events.
        limits: The queue limit of each: the maximum number of pending events after the append, or
            None.
    """
    wanted, refused = rows, dict[int, Exception]()
    if any(limit is not None for limit in limits):
        async with db.transaction():
            refused = await _beyond_limit(db, rows, limits)
            wanted = [row for at, row in enumerate(rows) if at not in refused]
            numbers = await _insert(db, wanted)
    else:
        numbers = await _insert(db, rows)
    answers: list[int | Exception] = list(numbers)
    if len(numbers) < len(wanted):
        answers = await _answers(db, wanted, set(numbers))
    for at in sorted(refused):
        answers.insert(at, refused[at])
    return answers


async def _insert(db: Db, rows: Sequence[NewEventRow]) -> list[int]:
    """Insert events; return the numbers of those whose ids were unknown."""
    if not rows:
        return []
    numbers: list[int] | None = await db.value(APPEND, db.queue, db.shard, *columns_of(rows))
    return numbers or []


async def _beyond_limit(
    db: Db, rows: Sequence[NewEventRow], limits: Sequence[int | None]
) -> dict[int, Exception]:
    """Return an error for each event that exceeds its queue limit, by its index, in order.

    A lock holds back all other appends with a queue limit, in all processes, until this one is
    committed. So no two of them count the same space.
    """
    await db.lock(f"room {db.queue}")
    row = await db.row(_WAITING_AND_KNOWN, db.queue, [UUID(one[0]) for one in rows])
    waiting, known = row[0], {each.bytes for each in row[1] or ()}
    refused: dict[int, Exception] = {}
    for at, (one, limit) in enumerate(zip(rows, limits, strict=True)):
        if one[0] in known:
            continue  # it is refused as known
        try:
            check_room(waiting, 1, limit)
        except QueueFullError as error:
            refused[at] = error
        else:
            known.add(one[0])
            waiting += 1
    return refused


async def _answers(db: Db, rows: Sequence[NewEventRow], new: set[int]) -> list[int | Exception]:
    """Return the answers to an append of which some ids were known, or occurred twice.

    Args:
        db: The tables.
        rows: The events.
        new: The numbers of the events that were inserted.
    """
    known = await known_of(db, [one[0] for one in rows])
    same = await recorded(db, rows) if db.again else {}
    # Inserted here and removed by others since; numbers follow the order of the events.
    removed = iter(sorted(new - {number for number, *_ in known.values()}))
    answers: list[int | Exception] = []
    for at, one in enumerate(rows):
        number = known[one[0]][0] if one[0] in known else next(removed, 0)
        if number in new:
            new.discard(number)
            answers.append(number)
        else:
            answers.append(same.pop(at) if at in same else exists(db, one[0], known))
    return answers


async def recorded(db: Db, rows: Sequence[NewEventRow]) -> dict[int, int]:
    """Return the numbers of events that are recorded with equal content, by their index."""
    found = await db.rows(_SAME, db.queue, *columns_of([row[:5] for row in rows]))
    return {place - 1: number for number, place in found}


async def known_of(db: Db, ids: Sequence[bytes]) -> dict[bytes, tuple[int, int, str]]:
    """Return the number of each known id, with the number and the name of its queue."""
    rows = await db.rows(_KNOWN, [UUID(each) for each in ids])
    return {uid.bytes: (number, queue, name) for uid, number, queue, name in rows}


def exists(db: Db, uid: bytes, known: dict[bytes, tuple[int, int, str]]) -> ExistsError:
    """Return the error for a known id; it names the queue if that is another one."""
    there = known.get(uid)
    is_own = there is None or db.is_own(there[1])
    return appending.exists(uid, None if is_own or there is None else there[2], "schema")
