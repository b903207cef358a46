"""Transactional append: events are inserted in a transaction of the caller."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from random import randrange
from typing import Any, Final
from uuid import UUID

from ...errors import ExistsError
from ..sql.appending import AppendRequest
from ..sql.dependencies import blocked, unknown_parent
from ..sql.rows import EventRow
from .callers_connection import CallersConnection
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


async def insert_within(
    connection: CallersConnection, names: TableNames, queue: int, request: AppendRequest
) -> None:
    """Insert events over a connection of the caller, in its current transaction.

    All are inserted or none. If they are refused, the transaction of the caller stays usable.

    Raises:
        ExistsError: if an id is known, or occurs twice.
        NotFoundError: if a parent is unknown to the transaction.
    """
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
        row = await connection.fetch_row(names.fill(_INSERT), queue, _shard(), ids, *bound)
        if row[0] is not None:
            raise _exists(row[0])
        if after:
            await _insert_edges(connection, names, queue, request)


async def _insert_edges(
    connection: CallersConnection, names: TableNames, queue: int, request: AppendRequest
) -> None:
    """Insert the dependencies of events that were inserted.

    Raises:
        NotFoundError: if a parent is unknown to the transaction.
    """
    parents = list({uid: None for one in request.after.values() for uid in one.parents})
    found = await connection.fetch_row(names.fill(_PARENTS), [str(uid) for uid in parents])
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
    await connection.execute(names.fill(_INSERT_EDGES), queue, *columns)


_SAVEPOINT: Final = (
    ("SAVEPOINT lionpride_append",),
    ("RELEASE SAVEPOINT lionpride_append",),
    ("ROLLBACK TO SAVEPOINT lionpride_append", "RELEASE SAVEPOINT lionpride_append"),
)
_TRANSACTION: Final = ("BEGIN",), ("COMMIT",), ("ROLLBACK",)


@asynccontextmanager
async def _all_or_nothing(connection: CallersConnection) -> AsyncIterator[None]:
    """Run a block in a savepoint, so that an error leaves the transaction of the caller usable.

    Without a transaction of the caller it is a transaction of its own.
    """
    begin, commit, roll_back = _SAVEPOINT if connection.is_in_transaction else _TRANSACTION

    async def run(statements: Sequence[str]) -> None:
        for statement in statements:
            await connection.execute(statement)

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
