"""The append: many new events in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from asyncpg import UniqueViolationError
from asyncpg.pgproto.pgproto import UUID

from ...errors import QueueFullError
from ..append_checks import check_room
from ..sql.appending import exists
from ..sql.rows import KnownEvent, NewEventRow
from .session import TableConnection

__all__ = (
    "CONTAINER",
    "append_new",
    "insert_new",
    "is_known_id",
    "known_of",
)

CONTAINER: Final = "schema"
"""What contains all queues, in messages."""

# With ON CONFLICT the server looks up each id twice and logs each row twice: the statement takes
# 11.7 µs for an event in place of 8.4.
_APPEND: Final = """
WITH new AS (
    INSERT INTO {event} (id, queue, event_type, payload, created_at, priority)
    SELECT id, $1, event_type, payload, created_at, priority
    FROM unnest($3::uuid[], $4::text[], $5::text[], $6::float8[], $7::float8[])
        WITH ORDINALITY AS given (id, event_type, payload, created_at, priority, place)
    ORDER BY place
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


def _columns(rows: Sequence[NewEventRow]) -> list[Any]:
    """Return the arguments of ``_APPEND`` after queue and shard."""
    ids, *others = zip(*rows, strict=True)
    return [[UUID(each) for each in ids], *others]


async def append_new(
    db: TableConnection, rows: Sequence[NewEventRow], limits: Sequence[int | None]
) -> list[int | Exception]:
    """Append new events; return the number of each, or the reason why it was refused.

    The statement inserts all events or none. If an id is known, the event of that id is refused,
    and the others are inserted again. After an earlier try without an answer, an event that is
    recorded with equal content counts as appended.

    It takes one round trip, or four in a transaction if an event has a queue limit.

    Args:
        db: The tables.
        rows: The events.
        limits: The queue limit of each: the maximum number of pending events after the append, or
            None.
    """
    answers, wanted = dict[int, int | Exception](), list(range(len(rows)))
    while wanted:
        some = [rows[at] for at in wanted]
        try:
            numbers = await _insert_within(db, some, [limits[at] for at in wanted])
        except UniqueViolationError as error:
            if not is_known_id(db, error):
                raise
            known = await _answers(db, some)
            answers |= {wanted[place]: answer for place, answer in known.items()}
            wanted = [at for at in wanted if at not in answers]
        else:
            answers.update(zip(wanted, numbers, strict=True))
            break
    return [answers[at] for at in range(len(rows))]


def is_known_id(db: TableConnection, error: UniqueViolationError) -> bool:
    """Return True if an append has failed since an id is known."""
    return bool(error.constraint_name == db.names.fill("{p}event_id"))


async def _insert_within(
    db: TableConnection, rows: Sequence[NewEventRow], limits: Sequence[int | None]
) -> list[int | Exception]:
    """Insert the events that do not exceed their queue limit; return numbers and errors."""
    if all(limit is None for limit in limits):
        return [*await insert_new(db, rows)]
    async with db.transaction():
        refused = await _beyond_limit(db, rows, limits)
        numbers = await insert_new(db, [row for at, row in enumerate(rows) if at not in refused])
    answers: list[int | Exception] = [*numbers]
    for at in sorted(refused):
        answers.insert(at, refused[at])
    return answers


async def insert_new(db: TableConnection, rows: Sequence[NewEventRow]) -> list[int]:
    """Insert events; return their numbers.

    Raises:
        UniqueViolationError: if an id is known, or occurs twice.
    """
    if not rows:
        return []
    numbers: list[int] = await db.value(_APPEND, db.queue, db.shard, *_columns(rows))
    return numbers


async def _beyond_limit(
    db: TableConnection, rows: Sequence[NewEventRow], limits: Sequence[int | None]
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


async def _answers(db: TableConnection, rows: Sequence[NewEventRow]) -> dict[int, int | Exception]:
    """Return the answers for events that cannot be inserted since their id is known, by index.

    The answer is empty if another process has removed the known event meanwhile.
    """
    known = await known_of(db, [row[0] for row in rows])
    same = await _recorded(db, rows) if db.again else {}
    answers: dict[int, int | Exception] = {}
    seen, own = set(known), set[int]()
    for at, row in enumerate(rows):
        if at in same and same[at] not in own:
            answers[at] = same[at]
            own.add(same[at])
        elif row[0] in seen:
            answers[at] = exists(row[0], known.get(row[0]), db.queue, CONTAINER)
        seen.add(row[0])
    return answers


async def _recorded(db: TableConnection, rows: Sequence[NewEventRow]) -> dict[int, int]:
    """Return the numbers of events that are recorded with equal content, by their index."""
    found = await db.rows(_SAME, db.queue, *_columns([row[:5] for row in rows]))
    return {place - 1: number for number, place in found}


async def known_of(db: TableConnection, ids: Sequence[bytes]) -> dict[bytes, KnownEvent]:
    """Return the known ids, in any queue, and their events."""
    rows = await db.rows(_KNOWN, [UUID(each) for each in ids])
    return {uid.bytes: KnownEvent(*event) for uid, *event in rows}
