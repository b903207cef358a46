"""Reads of the tables of one queue; see ``sql.queries.Snapshot``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from asyncpg.pgproto import pgproto

from ...rules.storable_text import any_case
from ..sql.backend import Location
from ..sql.rows import StoredEvent
from . import queries
from .session import TableConnection

__all__ = ("PostgresSnapshot",)


class PostgresSnapshot:
    """See ``sql.queries.Snapshot``.

    Args:
        db: A connection.
        queue: The number of the queue; 0 if it does not exist yet.
    """

    def __init__(self, db: TableConnection, queue: int) -> None:
        self._db = db
        self.queue = queue
        self.queue_name = db.queue_name
        self.time = self.lease_time = db.now

    async def rows(self, statement: str, *arguments: Any) -> list[Any]:
        return await self._db.rows(statement, *arguments)

    async def counts(self) -> dict[str, int]:
        found = await queries.counts(self._db)
        return {status.value: count for status, count in found.items()}

    async def locate(self, numbers: Sequence[int]) -> dict[int, Location]:
        found = await queries.statuses(self._db, numbers)
        return {number: Location(*each) for number, each in found.items()}

    async def find(self, numbers: Sequence[int]) -> dict[int, StoredEvent]:
        return await queries.find(self._db, numbers)

    async def numbers_of(self, ids: Sequence[UUID]) -> dict[UUID, int]:
        return await queries.numbers_of(self._db, ids)

    async def last_arrival(self) -> int:
        return await queries.last(self._db)

    async def has_time_index(self) -> bool:
        return True

    def id_value(self, uid: UUID) -> Any:
        return pgproto.UUID(uid.bytes)

    def error_pattern(self, text: str) -> str:
        return "".join(
            f"[{c}]" if len(c) > 1 else f"\\{c}" if c.isascii() and not c.isalnum() else c
            for c in any_case(text)
        )
