"""Reads of one snapshot of a file; see ``sql.queries.Snapshot``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar
from uuid import UUID

from ...rules.storable_text import any_case
from ..sql.backend import Location, run
from ..sql.rows import StoredEvent
from .queries import Tables
from .statements import as_argument, fill
from .transaction import Clocks

__all__ = ("SqliteSnapshot", "read_snapshot")

T = TypeVar("T")


def read_snapshot(
    tables: Tables, clocks: Clocks, query: Callable[[SqliteSnapshot], Coroutine[Any, Any, T]]
) -> T:
    """Run a query in one read transaction."""
    found: list[T] = []
    with tables.connection:
        found.append(run(query(SqliteSnapshot(tables, clocks))))
    return found[0]


class SqliteSnapshot:
    """See ``sql.queries.Snapshot``. No read suspends.

    Args:
        tables: The tables, over a connection for reading.
        clocks: The clocks of the store.
    """

    def __init__(self, tables: Tables, clocks: Clocks) -> None:
        self._tables = tables
        self._clocks = clocks
        self.queue = tables.known_queue()
        self.queue_name = tables.name

    @property
    def time(self) -> float:
        return self._clocks.due()

    @property
    def lease_time(self) -> float:
        return self._clocks.lease()

    async def rows(self, statement: str, *arguments: Any) -> list[Any]:
        bound = tuple(map(as_argument, arguments))
        return self._tables.connection.execute(fill(statement), bound).fetchall()

    async def counts(self) -> dict[str, int]:
        return self._tables.counts()

    async def locate(self, numbers: Sequence[int]) -> dict[int, Location]:
        return self._tables.locate(numbers)

    async def find(self, numbers: Sequence[int]) -> dict[int, StoredEvent]:
        found = {number: self._tables.find(number) for number in numbers}
        return {number: each for number, each in found.items() if each is not None}

    async def numbers_of(self, ids: Sequence[UUID]) -> dict[UUID, int]:
        known = self._tables.known(uid.bytes for uid in ids)
        found = {uid: known.get(uid.bytes) for uid in ids}
        return {uid: one.number for uid, one in found.items() if one and one.queue == self.queue}

    async def last_arrival(self) -> int:
        return self._tables.last()

    async def has_time_index(self) -> bool:
        query = "SELECT 1 FROM sqlite_schema WHERE name = 'lionpride_finished_order'"
        return self._tables.connection.execute(query).get is not None

    def id_value(self, uid: UUID) -> bytes:
        return uid.bytes

    def error_pattern(self, text: str) -> str:
        each = (f"[{c}]" if len(c) > 1 or c in "*?[" else c for c in any_case(text))
        return f"*{''.join(each)}*"
