"""Taking events in: many that are new in one statement, or some in a transaction of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from asyncpg.pgproto.pgproto import UUID

from ...errors import ExistsError, QueueFullError
from ..intake import check_room
from ..sql import appending
from ..sql.appending import Appending
from ..sql.backend import FinishedRow, ReadyRow
from ..sql.codec import split_rows
from ..sql.rows import PENDING, EventRow, NewEventRow
from .link import Db
from .queries import statuses
from .transaction import PostgresTransaction

__all__ = ("Append", "Enter", "enter", "exists")

PIECE: Final = 2_000
"""Events that one statement takes in."""

_ENTER: Final = """
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

_NUMBERS: Final = """
SELECT array_agg(nextval(pg_get_serial_sequence($1, 'number'))) FROM generate_series(1, $2)
"""
_INSERT: Final = """
INSERT INTO {event}
    (number, id, queue, event_type, created_at, priority, key, costs, retry, unique_key,
    unique_at, payload)
OVERRIDING SYSTEM VALUE
SELECT number, id, $1, event_type, created_at, priority, key, costs, retry, unique_key,
    unique_at, payload
FROM unnest(
    $2::bigint[], $3::uuid[], $4::text[], $5::float8[], $6::float8[], $7::text[], $8::text[],
    $9::text[], $10::text[], $11::float8[], $12::text[]
) AS given (
    number, id, event_type, created_at, priority, key, costs, retry, unique_key, unique_at, payload
)
ON CONFLICT (id) DO NOTHING
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
_NEWEST: Final = """
SELECT number, unique_at FROM {event} WHERE queue = $1 AND unique_key = $2
ORDER BY number DESC LIMIT 1
"""
_WAITING: Final = "SELECT sum(pending)::bigint FROM {counter} WHERE queue = $1"
_WAITING_AND_KNOWN: Final = """
SELECT (SELECT sum(pending)::bigint FROM {counter} WHERE queue = $1),
    (SELECT array_agg(id) FROM {event} WHERE id = ANY($2::uuid[]))
"""


def _columns(fresh: Sequence[NewEventRow]) -> list[Any]:
    ids, *others = zip(*fresh, strict=True)
    return [[UUID(each) for each in ids], *others]


async def enter(
    db: Db, fresh: Sequence[NewEventRow], limits: Sequence[int | None]
) -> list[int | Exception]:
    """Append new events; return the number of each, or the reason why it was refused.

    Args:
        db: The tables.
        fresh: The events.
        limits: The queue limit of each: the maximum number of pending events after the append, or
            None.
    """
    wanted, refused = fresh, dict[int, Exception]()
    if any(limit is not None for limit in limits):
        async with db.transaction():
            refused = await _beyond(db, fresh, limits)
            wanted = [one for at, one in enumerate(fresh) if at not in refused]
            numbers = await _insert_all(db, wanted)
    else:
        numbers = await _insert_all(db, fresh)
    answers: list[int | Exception] = list(numbers)
    if len(numbers) < len(wanted):
        answers = await _some(db, wanted, db.queue, set(numbers))
    for at in sorted(refused):
        answers.insert(at, refused[at])
    return answers


async def _insert_all(db: Db, fresh: Sequence[NewEventRow]) -> list[int]:
    """Insert new events; return the numbers of those whose ids were unknown."""
    if not fresh:
        return []
    numbers: list[int] | None = await db.value(_ENTER, db.queue, db.shard, *_columns(fresh))
    return numbers or []


async def _beyond(
    db: Db, fresh: Sequence[NewEventRow], limits: Sequence[int | None]
) -> dict[int, Exception]:
    """Return an error for each event that exceeds its queue limit, by its index, in order.

    A lock holds back all other appends with a queue limit, in all processes, until this one is
    committed. So no two of them count the same space.
    """
    await db.lock(f"room {db.queue}")
    row = await db.row(_WAITING_AND_KNOWN, db.queue, [UUID(one[0]) for one in fresh])
    waiting, known = row[0], {each.bytes for each in row[1] or ()}
    refused: dict[int, Exception] = {}
    for at, (one, limit) in enumerate(zip(fresh, limits, strict=True)):
        if one[0] in known:
            continue  # it is refused as known, which no later time would change
        try:
            check_room(waiting, 1, limit)
        except QueueFullError as error:
            refused[at] = error
        else:
            known.add(one[0])
            waiting += 1
    return refused


async def _some(
    db: Db, fresh: Sequence[NewEventRow], queue: int, new: set[int]
) -> list[int | Exception]:
    """What came of events of which some were known, or were there twice."""
    known = await _known(db, [one[0] for one in fresh])
    same: dict[int, int] = {}
    if db.again:  # the first try may have taken them in, and its answer was lost
        same = await _same_by_place(db, queue, fresh)
    # Inserted here and removed by others since; numbers follow the order of the events.
    removed = iter(sorted(new - {number for number, *_ in known.values()}))
    answers: list[int | Exception] = []
    for at, one in enumerate(fresh):
        number = known[one[0]][0] if one[0] in known else next(removed, 0)
        if number in new:
            new.discard(number)
            answers.append(number)
        else:
            answers.append(same.pop(at) if at in same else exists(db, one[0], known))
    return answers


async def _same_by_place(db: Db, queue: int, fresh: Sequence[NewEventRow]) -> dict[int, int]:
    """The numbers of those that are here already, with all that they say."""
    columns = _columns([one[:5] for one in fresh])
    rows = await db.rows(_SAME, queue, *columns)
    return {place - 1: number for number, place in rows}


async def _same(db: Db, queue: int, fresh: Sequence[NewEventRow]) -> list[int]:
    """The numbers of all of them, if they are here already; else none."""
    same = await _same_by_place(db, queue, fresh)
    return [same[at] for at in range(len(fresh))] if len(same) == len(fresh) else []


async def _known(db: Db, ids: Sequence[bytes]) -> dict[bytes, tuple[int, int, str]]:
    """Of ids that are here, in whatever queue: their number, their queue and its name."""
    rows = await db.rows(_KNOWN, [UUID(each) for each in ids])
    return {uid.bytes: (number, queue, name) for uid, number, queue, name in rows}


def exists(db: Db, uid: bytes, known: dict[bytes, tuple[int, int, str]]) -> ExistsError:
    """Says that an id is known, and in which queue if that is another one."""
    there = known.get(uid)
    is_own = there is None or db.is_own(there[1])
    return appending.exists(uid, None if is_own or there is None else there[2], "schema")


@dataclass(slots=True)
class Enter:
    """Take in events with nothing on record, all or none; the number of each.

    Attributes:
        fresh: The events.
        room: How many may wait afterwards.
    """

    fresh: Sequence[NewEventRow]
    room: int | None = None

    async def __call__(self, db: Db) -> list[int]:
        try:
            return await self._all(db)
        except ExistsError:
            # The server may have committed an earlier try only now: this one waited for that.
            if db.again and (taken := await _same(db, db.queue, self.fresh)):
                return taken
            raise

    async def _all(self, db: Db) -> list[int]:
        async with db.transaction():
            queue = db.queue
            if self.room is not None:
                await self._check_room(db, queue, self.room)
            numbers: list[int] = []
            for piece in split_rows(self.fresh, lambda one: one[2], PIECE):
                taken = await db.value(_ENTER, queue, db.shard, *_columns(piece)) or []
                if len(taken) < len(piece):
                    raise await self._known(db, numbers + taken)
                numbers += taken
        return numbers

    async def _check_room(self, db: Db, queue: int, room: int) -> None:
        await db.lock(f"room {queue}")
        if known := await _known(db, [one[0] for one in self.fresh]):
            raise exists(db, next(iter(known)), known)  # which no later time would change
        check_room(await db.value(_WAITING, queue), len(self.fresh), room)

    async def _known(self, db: Db, new: Sequence[int]) -> ExistsError:
        """Says which of the ids was there before, or is there twice."""
        ids, taken = [one[0] for one in self.fresh], set(new)
        known = await _known(db, ids)
        there = [uid for uid, (number, *_) in known.items() if number not in taken]
        return exists(db, there[0] if there else Counter(ids).most_common(1)[0][0], known)


class Append(Appending):
    """Takes events in, all or none; the number of each, and whether it is new."""

    __slots__ = ()

    async def __call__(self, db: Db) -> list[tuple[int, bool]]:
        while True:
            try:
                async with db.transaction():
                    return await self._all(db)
            except _Overtaken:
                continue  # another process has appended one of them meanwhile: look again

    async def _all(self, db: Db) -> list[tuple[int, bool]]:
        queue = db.queue
        there = await self._standing_for(db, queue)
        if there is None and self.room is not None:
            await db.lock(f"room {queue}")
        known: dict[bytes, tuple[int, int, str]] = {}
        if there is None or db.again:
            known = await _known(db, [place.id for place in self.places])
        # An earlier try is looked for last: the server may have committed it only just now.
        if db.again and known and (taken := await self._taken(db, queue)):
            return taken
        if there is not None:
            self.check_held([there])
            return [(there, False)]
        for uid, (_, other, _) in known.items():
            if other != queue:
                raise exists(db, uid, known)
        fresh = self.fresh(known, lambda uid: exists(db, uid, known))
        if self.room is not None:
            check_room(await db.value(_WAITING, queue), len(fresh), self.room)
        self.check_held(number for number, *_ in known.values())
        new: dict[bytes, int] = {}
        places = list(fresh.values())
        for piece in split_rows(places, lambda place: place.payload, PIECE):
            numbers = await insert(db, queue, piece)
            new |= zip((place.id for place in piece), numbers, strict=True)
        return self.answer({uid: number for uid, (number, *_) in known.items()}, new)

    async def _taken(self, db: Db, queue: int) -> list[tuple[int, bool]]:
        """Return the answer of an earlier try that was committed; nothing if there is none."""
        fresh: list[NewEventRow] = [
            (one.id, one.kind, one.payload, one.created, one.priority) for one in self.places
        ]
        same = await _same(db, queue, fresh)
        return [(number, True) for number in same]

    async def _standing_for(self, db: Db, queue: int) -> int | None:
        """The event that stands for the one to append; None if there is none."""
        if self.single is None:
            return None
        await db.lock(f"unique {queue} {self.single}")
        newest = await db.row(_NEWEST, queue, self.single)
        stands = None if newest is None else (await statuses(db, [newest[0]])).get(newest[0])
        if newest is None or stands is None:
            return None
        number, since = newest
        return number if self.is_stood_for(since, stands[0]) else None


class _Overtaken(Exception):
    """Somebody has taken in an id that was unknown a moment ago."""


async def insert(db: Db, queue: int, places: Sequence[EventRow]) -> list[int]:
    """Take in events of ids that are not known, in whatever status they are; their numbers."""
    numbers: list[int] = await db.value(_NUMBERS, db.names.fill("{event}"), len(places))
    ids, *columns = zip(*(place[:10] for place in places), strict=True)
    written = await db.run(_INSERT, queue, numbers, [UUID(each) for each in ids], *columns)
    if written < len(places):
        raise _Overtaken
    back, ended = [], []
    for number, place in zip(numbers, places, strict=True):
        if place.status == PENDING:
            back.append(ReadyRow(number, place.due, place.priority, place.state))
        else:
            ended.append(FinishedRow(number, place.status, place.state, place.ended))
    tx = PostgresTransaction(db)
    await tx.insert_ready(back)
    await tx.insert_finished(ended)
    await tx.write_counts()
    return numbers
