"""Transactional append: events are inserted in a transaction of the caller."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from inspect import iscoroutinefunction
from random import randrange
from typing import Any, Final, Protocol, runtime_checkable
from uuid import UUID

from ...errors import ConfigurationError, ExistsError
from ..sql.appending import AppendRequest
from ..sql.dependencies import blocked, unknown_parent
from ..sql.rows import EventRow
from .hot_append import CONTAINER
from .tables import TableNames

__all__ = ("insert_within",)

# The events are counted in a row of their own, with a negative shard. A reap adds it to the other
# counters: a change of one of those would lock it as long as the caller's transaction lasts.
_INSERT: Final = """
WITH given AS (
    SELECT * FROM unnest($3::text[]::uuid[], $4::text[], $5::float8[], $6::float8[], $7::text[],
        $8::text[], $9::text[], $10::text[], $11::float8[], $12::float8[])
    WITH ORDINALITY
    AS given (id, event_type, created_at, priority, key, costs, retry, payload, due, expires, place)
), known AS (
    SELECT given.id FROM {event} e JOIN given ON e.id = given.id ORDER BY place LIMIT 1
), new AS (
    INSERT INTO {event} (id, queue, event_type, created_at, priority, key, costs, retry, payload)
    SELECT id, $1::int, event_type, created_at, priority, key, costs, retry, payload FROM given
    WHERE NOT EXISTS (SELECT FROM known)
    ORDER BY place
    ON CONFLICT (id) DO NOTHING RETURNING number, id
), waits AS (
    INSERT INTO {ready} (queue, due, priority, number, expires)
    SELECT $1::int, due, priority, number, expires FROM new JOIN given USING (id)
), counted AS (
    INSERT INTO {counter} (queue, shard, pending)
    SELECT $1::int, $2::int, count(*) FROM new HAVING count(*) > 0
)
SELECT coalesce((SELECT id FROM known), (
    SELECT given.id FROM given LEFT JOIN new USING (id) WHERE new.id IS NULL ORDER BY place LIMIT 1
))::text
"""
"""Returns an id that was known, or that another transaction appended while the statement ran."""


_PARENTS: Final = """
SELECT array_agg(e.number ORDER BY place)
FROM unnest($1::text[]) WITH ORDINALITY p (id, place) LEFT JOIN {event} e ON e.id = p.id::uuid
"""
"""Returns the numbers of the parents in the order of their ids; NULL for one that is unknown."""

_INSERT_EDGES: Final = """
WITH given AS (
    SELECT e.number AS child, parent, place, condition
    FROM unnest($2::text[], $3::bigint[], $4::int[], $5::text[]) g (child, parent, place, condition)
    JOIN {event} e ON e.id = g.child::uuid
), edges AS (
    INSERT INTO {dependency} (parent, child, place, queue, condition)
    SELECT parent, child, place, $1, condition FROM given
), children AS (
    INSERT INTO {child} (number, queue, due, missing)
    SELECT e.number, $1, due, missing
    FROM unnest($6::text[], $7::float8[], $8::int[]) g (id, due, missing)
    JOIN {event} e ON e.id = g.id::uuid
)
INSERT INTO {parent_change} (parent, queue) SELECT DISTINCT parent, $1::int FROM given
"""
"""Locks no parent. One that finishes, or is removed, before the commit is resolved after it."""


@runtime_checkable
class _Wrapped(Protocol):
    """The methods of SQLAlchemy's ``AsyncConnection`` that are used here."""

    async def exec_driver_sql(self, statement: str) -> Any: ...
    async def get_raw_connection(self) -> Any: ...


async def insert_within(
    connection: Any, names: TableNames, queue: int, request: AppendRequest
) -> None:
    """Insert events over a connection of the caller, in its current transaction.

    All are inserted or none. If they are refused, the transaction of the caller stays usable.

    Raises:
        ConfigurationError: if the connection is of an unknown kind, or synchronous.
        ExistsError: if an id is known, or occurs twice.
        NotFoundError: if a parent is unknown to the transaction.
    """
    kind = type(connection)  # a property of an AsyncConnection named `connection` raises
    if iscoroutinefunction(getattr(kind, "connection", None)) and hasattr(kind, "run_sync"):
        connection = await connection.connection()  # of an AsyncSession
    if isinstance(connection, _Wrapped):
        await connection.exec_driver_sql("SELECT 1")  # it begins a transaction only when it must
        connection = (await connection.get_raw_connection()).driver_connection
    _check_async(connection)
    after = request.after
    rows: list[EventRow] = [
        blocked(row) if row[0] in after else row  # type: ignore[misc]
        for row in request.rows
    ]
    ids = [str(UUID(bytes=row.id)) for row in rows]
    if len(set(ids)) < len(ids):
        raise _exists(Counter(ids).most_common(1)[0][0])
    columns = ([*row[1:7], row.payload, row.due, row.state[-1]] for row in rows)
    bound = [list(column) for column in zip(*columns, strict=True)]
    async with _all_or_nothing(connection):
        row = await _fetch(connection, names.fill(_INSERT), (queue, _shard(), ids, *bound))
        if row[0] is not None:
            raise _exists(row[0])
        if after:
            await _insert_edges(connection, names, queue, request)


async def _insert_edges(
    connection: Any, names: TableNames, queue: int, request: AppendRequest
) -> None:
    """Insert the dependencies of events that were inserted.

    Raises:
        NotFoundError: if a parent is unknown to the transaction.
    """
    parents = list({uid: None for one in request.after.values() for uid in one.parents})
    found = await _fetch(connection, names.fill(_PARENTS), ([str(uid) for uid in parents],))
    numbers = dict(zip(parents, found[0], strict=True))
    for uid, number in numbers.items():
        if number is None:
            raise unknown_parent(uid, CONTAINER)
    edges, children = list[tuple[Any, ...]](), list[tuple[Any, ...]]()
    for row in request.rows:
        if (one := request.after.get(row[0])) is not None:
            child = str(UUID(bytes=row[0]))
            places = enumerate(one.parents)
            edges += [(child, numbers[parent], place, one.when) for place, parent in places]
            children.append((child, row.due, len(one.parents)))  # type: ignore[union-attr]
    columns = [list(each) for each in (*zip(*edges, strict=True), *zip(*children, strict=True))]
    await _ask(connection, names.fill(_INSERT_EDGES), (queue, *columns))


_SAVEPOINT: Final = (
    ("SAVEPOINT lionpride_append",),
    ("RELEASE SAVEPOINT lionpride_append",),
    ("ROLLBACK TO SAVEPOINT lionpride_append", "RELEASE SAVEPOINT lionpride_append"),
)
_TRANSACTION: Final = ("BEGIN",), ("COMMIT",), ("ROLLBACK",)


@asynccontextmanager
async def _all_or_nothing(connection: Any) -> AsyncIterator[None]:
    """Run a block in a savepoint, so that an error leaves the transaction of the caller usable.

    Without a transaction of the caller it is a transaction of its own.
    """
    begin, commit, roll_back = _SAVEPOINT if _is_in_transaction(connection) else _TRANSACTION

    async def run(statements: Sequence[str]) -> None:
        for statement in statements:
            await _ask(connection, statement)

    await run(begin)
    try:
        yield
    except BaseException:
        with suppress(Exception):  # the connection may be lost, and the error says so
            await run(roll_back)
        raise
    await run(commit)


def _shard() -> int:
    return -1 - randrange(2**31 - 1)  # noqa: S311


def _exists(uid: str) -> ExistsError:
    return ExistsError(
        f"an event of id {uid} is known here already: nothing was appended; append "
        "event.as_fresh_event()"
    )


def _is_asyncpg(connection: Any) -> bool:
    """Return True for a connection of asyncpg, also if it is from a pool.

    Otherwise it is one of psycopg: ``_check_async`` has refused all others.
    """
    return hasattr(connection, "fetchrow")


def _check_async(connection: Any) -> None:
    """Raise an error unless this is an asynchronous connection of a supported driver.

    Raises:
        ConfigurationError: if it is not.
    """
    if _is_asyncpg(connection):
        return
    kind = type(connection)
    library = kind.__module__.partition(".")[0]
    if library == "psycopg" and iscoroutinefunction(connection.execute):
        return
    problem = "is no connection that is known here"
    if library in _SYNCHRONOUS:
        problem = "is synchronous: it would block the event loop until the server answers"
    raise ConfigurationError(
        f"connection={kind.__module__}.{kind.__qualname__} {problem}. Give an asynchronous one: a "
        "connection of asyncpg, psycopg.AsyncConnection, or AsyncSession or AsyncConnection of "
        "SQLAlchemy over one of them"
    )


_SYNCHRONOUS: Final = ("django", "pg8000", "psycopg", "psycopg2", "sqlalchemy", "sqlite3")
"""Libraries with synchronous connections, which are refused."""


def _is_in_transaction(connection: Any) -> bool:
    """Return True if a statement on this connection is not committed by itself."""
    if _is_asyncpg(connection):
        return bool(connection.is_in_transaction())
    return not connection.autocommit or connection.info.transaction_status.name != "IDLE"


async def _ask(connection: Any, text: str, bound: tuple[Any, ...] | None = None) -> Any:
    """Run a statement with either driver; return the cursor of psycopg."""
    if _is_asyncpg(connection):
        return await connection.execute(text, *bound or ())
    import psycopg  # late: a caller with such a connection has it installed

    # The row factory of the connection may return other rows, or fail for this statement.
    cursor = psycopg.AsyncRawCursor(connection, row_factory=psycopg.rows.tuple_row)
    await cursor.execute(text, bound)
    return cursor


async def _fetch(connection: Any, text: str, bound: tuple[Any, ...]) -> Any:
    """Return the first row of a statement with either driver; None if there is none."""
    if _is_asyncpg(connection):
        return await connection.fetchrow(text, *bound)
    return await (await _ask(connection, text, bound)).fetchone()
