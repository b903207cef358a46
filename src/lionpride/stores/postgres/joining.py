"""Taking an event in within a transaction of the caller's own."""

from __future__ import annotations

from collections.abc import Mapping
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
WITH new AS (
    INSERT INTO {event} (id, queue, kind, created, priority, key, costs, retry, payload)
    VALUES ($3::text::uuid, $1::int, $4::text, $5::float8, $6::float8, $7::text, $8::text, $9::text,
        $10::text)
    ON CONFLICT (id) DO NOTHING RETURNING number
), waits AS (
    INSERT INTO {ready} (queue, due, priority, number, expires)
    SELECT $1::int, $11::float8, $6::float8, number, $12::float8 FROM new
), counted AS (
    INSERT INTO {tally} (queue, shard, pending) SELECT $1::int, $2::int, 1 FROM new
)
SELECT number FROM new
"""


@runtime_checkable
class _Wrapped(Protocol):
    """SQLAlchemy's ``AsyncConnection``, as far as it matters here."""

    async def exec_driver_sql(self, statement: str) -> Any: ...
    async def get_raw_connection(self) -> Any: ...


async def insert_within(connection: Any, names: Names, queue: int, place: Place) -> None:
    """Take an event in on a connection of the caller's, in whatever transaction it is in.

    Raises:
        ConfigurationError: if it is no connection that is known here.
        ExistsError: if the id is known.
    """
    if isinstance(connection, _Wrapped):
        await connection.exec_driver_sql("SELECT 1")  # it begins a transaction only when it must
        connection = (await connection.get_raw_connection()).driver_connection
    expires = place.state[-1]
    bound = (
        queue,
        -1 - randrange(2**31 - 1),  # noqa: S311
        str(UUID(bytes=place.id)),
        place.kind,
        place.created,
        place.priority,
        place.key,
        place.costs,
        place.retry,
        place.payload,
        place.due,
        expires,
    )
    if await _fetch(connection, names.fill(_INSERT), bound) is None:
        raise ExistsError(
            f"an event of id {UUID(bytes=place.id)} is known here already: nothing was appended; "
            "append event.as_fresh_event()"
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
