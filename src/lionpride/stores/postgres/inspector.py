"""Queries for monitoring, with any plan that the server chooses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from ...model.execution import EventStatus
from ..sql.queries import Snapshot
from . import queries
from .session import TableConnection
from .snapshot import PostgresSnapshot

__all__ = ("PostgresInspectorReads",)

T = TypeVar("T")

_ANY_PLAN: Final = (
    "SET LOCAL plan_cache_mode = 'force_custom_plan'; SET LOCAL enable_seqscan = on; "
    "SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on; "
    "SET LOCAL enable_bitmapscan = on"
)
"""Settings of a query that may read a whole table; the plans of other statements are fixed."""

_SUMS: Final = ", ".join(f"sum({status.value})" for status in EventStatus)


class PostgresInspectorReads:
    """See ``sql.inspector.InspectorReads``.

    Args:
        read: Runs a step that reads over a connection of the store.
    """

    def __init__(
        self, read: Callable[[Callable[[TableConnection], Awaitable[Any]]], Awaitable[Any]]
    ) -> None:
        self._read = read

    async def close(self) -> None:
        """Do nothing: the connections belong to the store."""

    async def read(self, query: Callable[[Snapshot], Coroutine[Any, Any, T]]) -> T:
        """Run a query in one snapshot."""

        async def step(db: TableConnection) -> T:
            async with db.snapshot():
                await db.run(_ANY_PLAN)
                return await query(PostgresSnapshot(db, await db.known_queue()))

        found: T = await self._read(step)
        return found

    async def version(self) -> object:
        """Return a value that differs after any change."""

        async def step(db: TableConnection) -> object:
            async with db.snapshot():
                queue = await db.known_queue()
                return [
                    await queries.last(db),
                    *await db.row(f"SELECT {_SUMS} FROM {{counter}} WHERE queue = $1", queue),
                    *await db.row(
                        "SELECT sum(attempt), max(claimed_at) FROM {lease} WHERE queue = $1", queue
                    ),
                    *await db.row("SELECT sum(chunks), sum(fraction), max(note) FROM {progress}"),
                    *await db.row(
                        "SELECT string_agg(version, ',' ORDER BY name) FROM {schedule} "
                        "WHERE queue = $1",
                        queue,
                    ),
                ]

        return await self._read(step)
