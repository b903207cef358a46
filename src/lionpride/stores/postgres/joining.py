"""Taking events in within a transaction of the caller's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from random import randrange
from typing import Any, Final, Protocol, runtime_checkable
from uuid import UUID

from ...errors import ConfigurationError, ExistsError
from ..sql.forms import Place
from .names import Names

__all__ = ("insert_within",)

# What it counts goes into a row of its own, below 0, that a sweep adds to the others: to change
# one of those would lock it for as long as the caller's transaction lasts.
_INSERT: Final = """
WITH given AS (
    SELECT * FROM unnest($3::text[]::uuid[], $4::text[], $5::float8[], $6::float8[], $7::text[],
        $8::text[], $9::text[], $10::text[], $11::float8[], $12::float8[])
    WITH ORDINALITY
    AS given (id, kind, created, priority, key, costs, retry, payload, due, expires, place)
), new AS (
    INSERT INTO {event} (id, queue, kind, created, priority, key, costs, retry, payload)
    SELECT id, $1::int, kind, created, priority, key, costs, retry, payload FROM given
    WHERE NOT EXISTS (SELECT FROM {event} e JOIN given g ON e.id = g.id)
    ORDER BY place
    ON CONFLICT (id) DO NOTHING RETURNING number, id
), waits AS (
    INSERT INTO {ready} (queue, due, priority, number, expires)
    SELECT $1::int, due, priority, number, expires FROM new JOIN given USING (id)
), counted AS (
    INSERT INTO {tally} (queue, shard, pending)
    SELECT $1::int, $2::int, count(*) FROM new HAVING count(*) > 0
)
SELECT array_agg(number) FROM new
"""

# Somebody has taken in one of the ids while the statement ran: none is to be taken in.
_UNDO: Final = """
WITH back AS (
    DELETE FROM {ready} WHERE number = ANY($3::bigint[]) RETURNING number
), gone AS (
    DELETE FROM {event} WHERE number IN (SELECT number FROM back)
), counted AS (
    INSERT INTO {tally} (queue, shard, pending) SELECT $1::int, $2::int, -count(*) FROM back
)
SELECT count(*) FROM back
"""

_KNOWN: Final = """
SELECT given.id FROM unnest($1::text[]) WITH ORDINALITY AS given (id, place)
JOIN {event} e ON e.id = given.id::uuid ORDER BY place LIMIT 1
"""


@runtime_checkable
class _Wrapped(Protocol):
    """SQLAlchemy's ``AsyncConnection``, as far as it matters here."""

    async def exec_driver_sql(self, statement: str) -> Any: ...
    async def get_raw_connection(self) -> Any: ...


async def insert_within(connection: Any, names: Names, queue: int, places: Sequence[Place]) -> None:
    """Take events in on a connection of the caller's, in whatever transaction it is in.

    All of them or none: one statement does it.

    Raises:
        ConfigurationError: if it is no connection that is known here.
        ExistsError: if an id is known, or is there twice.
    """
    if isinstance(connection, _Wrapped):
        await connection.exec_driver_sql("SELECT 1")  # it begins a transaction only when it must
        connection = (await connection.get_raw_connection()).driver_connection
    ids = [str(UUID(bytes=place.id)) for place in places]
    if len(set(ids)) < len(ids):
        raise _exists(Counter(ids).most_common(1)[0][0])
    columns = ([*one[1:7], one.payload, one.due, one.state[-1]] for one in places)
    bound = [list(column) for column in zip(*columns, strict=True)]
    taken = await _fetch(connection, names.fill(_INSERT), (queue, _shard(), ids, *bound))
    numbers = taken[0] or []
    if len(numbers) == len(ids):
        return
    if numbers:
        await _fetch(connection, names.fill(_UNDO), (queue, _shard(), numbers))
    known = await _fetch(connection, names.fill(_KNOWN), (ids,))
    raise _exists(ids[0] if known is None else known[0])


def _shard() -> int:
    return -1 - randrange(2**31 - 1)  # noqa: S311


def _exists(uid: str) -> ExistsError:
    return ExistsError(
        f"an event of id {uid} is known here already: nothing was appended; append "
        "event.as_fresh_event()"
    )


async def _fetch(connection: Any, text: str, bound: tuple[Any, ...]) -> Any:
    """The one row that a statement gives, over whichever driver."""
    if hasattr(connection, "fetchrow"):  # asyncpg's, or one that its pool lends
        return await connection.fetchrow(text, *bound)
    module = type(connection).__module__.partition(".")[0]
    if module != "psycopg":
        raise ConfigurationError(
            f"connection={connection!r}: give a connection of asyncpg or psycopg, or an "
            "AsyncConnection of SQLAlchemy over one of them"
        )
    import psycopg  # late: who gives such a connection has it

    raw: Mapping[bool, Any] = {True: psycopg.AsyncRawCursor, False: psycopg.RawCursor}
    is_async = isinstance(connection, psycopg.AsyncConnection)
    cursor = raw[is_async](connection)
    done = cursor.execute(text, bound)
    if is_async:
        await done
        return await cursor.fetchone()
    return cursor.fetchone()
