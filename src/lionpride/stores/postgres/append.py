"""Appends of many events, all or none, each append in a transaction of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from asyncpg import UniqueViolationError
from asyncpg.pgproto.pgproto import UUID

from ...errors import ExistsError
from ..append_checks import check_room
from ..sql.appending import AppendRequest
from ..sql.backend import FinishedRow, ReadyRow
from ..sql.codec import split_rows
from ..sql.rows import PENDING, EventRow, NewEventRow
from .hot_append import APPEND, columns_of, exists, is_known_id, known_of, recorded
from .queries import statuses
from .session import TableConnection
from .transaction import PostgresTransaction

__all__ = ("AppendNewTransaction", "AppendTransaction")

PIECE: Final = 2_000
"""Maximum number of events that one statement appends."""

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

_NEWEST: Final = """
SELECT number, unique_at FROM {event} WHERE queue = $1 AND unique_key = $2
ORDER BY number DESC LIMIT 1
"""
_WAITING: Final = "SELECT sum(pending)::bigint FROM {counter} WHERE queue = $1"


@dataclass(slots=True)
class AppendNewTransaction:
    """Append events that have no record yet, all or none.

    Returns:
        The number of each.

    Attributes:
        fresh: The events.
        room: The queue limit.
    """

    fresh: Sequence[NewEventRow]
    room: int | None = None

    async def __call__(self, db: TableConnection) -> list[int]:
        while True:
            try:
                return await self._all(db)
            except (ExistsError, UniqueViolationError) as error:
                # The server may have committed an earlier try only now: this one waited for that.
                if db.again and (taken := await _same(db, self.fresh)):
                    return taken
                if isinstance(error, ExistsError) or not is_known_id(db, error):
                    raise
            await self._check_ids(db)

    async def _all(self, db: TableConnection) -> list[int]:
        async with db.transaction():
            queue = db.queue
            if self.room is not None:
                await self._check_room(db, queue, self.room)
            numbers: list[int] = []
            for piece in split_rows(self.fresh, lambda one: one[2], PIECE):
                numbers += await db.value(APPEND, queue, db.shard, *columns_of(piece))
        return numbers

    async def _check_room(self, db: TableConnection, queue: int, room: int) -> None:
        await db.lock(f"room {queue}")
        if known := await known_of(db, [one[0] for one in self.fresh]):
            raise exists(db, next(iter(known)), known)  # which no later time would change
        check_room(await db.value(_WAITING, queue), len(self.fresh), room)

    async def _check_ids(self, db: TableConnection) -> None:
        """Raise an error if an id is known, or occurs twice.

        Neither may be true after a failed append: another process may have removed the known event.
        """
        ids = [one[0] for one in self.fresh]
        if known := await known_of(db, ids):
            raise exists(db, next(uid for uid in ids if uid in known), known)
        uid, count = Counter(ids).most_common(1)[0]
        if count > 1:
            raise exists(db, uid, {})


async def _same(db: TableConnection, fresh: Sequence[NewEventRow]) -> list[int]:
    """Return the numbers of the events if all are recorded with equal content, else nothing."""
    same = await recorded(db, fresh)
    return [same[at] for at in range(len(fresh))] if len(same) == len(fresh) else []


@dataclass(slots=True)
class AppendTransaction:
    """Append events, all or none, of which some may be known.

    Returns:
        The number of each, and True if it is new.

    Attributes:
        request: The events.
    """

    request: AppendRequest

    async def __call__(self, db: TableConnection) -> list[tuple[int, bool]]:
        while True:
            try:
                async with db.transaction():
                    return await self._all(db)
            except _Overtaken:
                continue  # another process has appended one of them meanwhile: look again

    async def _all(self, db: TableConnection) -> list[tuple[int, bool]]:
        queue, request = db.queue, self.request
        there = await self._standing_for(db, queue)
        if there is None and request.room is not None:
            await db.lock(f"room {queue}")
        known: dict[bytes, tuple[int, int, str]] = {}
        if there is None or db.again:
            known = await known_of(db, [place.id for place in request.places])
        # An earlier try is looked for last: the server may have committed it only just now.
        if db.again and known and (taken := await self._taken(db)):
            return taken
        if there is not None:
            request.check_held([there])
            return [(there, False)]
        for uid, (_, other, _) in known.items():
            if other != queue:
                raise exists(db, uid, known)
        fresh = request.fresh(known, lambda uid: exists(db, uid, known))
        if request.room is not None:
            check_room(await db.value(_WAITING, queue), len(fresh), request.room)
        request.check_held(number for number, *_ in known.values())
        new: dict[bytes, int] = {}
        places = list(fresh.values())
        for piece in split_rows(places, lambda place: place.payload, PIECE):
            numbers = await insert(db, queue, piece)
            new |= zip((place.id for place in piece), numbers, strict=True)
        return request.answer({uid: number for uid, (number, *_) in known.items()}, new)

    async def _taken(self, db: TableConnection) -> list[tuple[int, bool]]:
        """Return the answer of an earlier try that was committed; nothing if there is none."""
        fresh: list[NewEventRow] = [
            (one.id, one.kind, one.payload, one.created, one.priority)
            for one in self.request.places
        ]
        same = await _same(db, fresh)
        return [(number, True) for number in same]

    async def _standing_for(self, db: TableConnection, queue: int) -> int | None:
        """Return the event with the same unique key that replaces the event; None if none does."""
        single = self.request.single
        if single is None:
            return None
        await db.lock(f"unique {queue} {single}")
        newest = await db.row(_NEWEST, queue, single)
        stands = None if newest is None else (await statuses(db, [newest[0]])).get(newest[0])
        if newest is None or stands is None:
            return None
        number, since = newest
        return number if self.request.is_stood_for(since, stands[0]) else None


class _Overtaken(Exception):
    """Another transaction has appended an id that was unknown a moment ago."""


async def insert(db: TableConnection, queue: int, places: Sequence[EventRow]) -> list[int]:
    """Insert events of unknown ids, in any status; return their numbers."""
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
