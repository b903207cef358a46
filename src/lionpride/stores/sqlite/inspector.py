"""Queries for monitoring over their own connection, in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import time_ns
from typing import Any, TypeVar

from ..sql.queries import Snapshot
from .file import connect, translated_errors
from .queries import Tables
from .snapshot import read_snapshot
from .transaction import Clocks

__all__ = ("SqliteInspectorReads",)

T = TypeVar("T")


class SqliteInspectorReads:
    """See ``sql.inspector.InspectorReads``.

    A query over a million rows takes long. It runs in a thread, where SQLite releases the GIL; in a
    write-ahead log, readers do not block writers.

    Args:
        path: The file, which has been opened before.
        queue: The name of the queue.
        clocks: The clocks of the store; called in the thread.
        check: Raises a StoreError if the file was replaced; called in the thread.
    """

    def __init__(self, path: Path, queue: str, clocks: Clocks, check: Callable[[], None]) -> None:
        self._path = path
        self._queue = queue
        self._clocks = clocks
        self._check = check
        self._opened_at = time_ns()
        self._thread = ThreadPoolExecutor(1, f"lionpride-inspector {queue}")
        self._tables: Tables | None = None

    async def close(self) -> None:
        """Finish running queries, and close the connection."""
        await self._in_thread(self._close)
        self._thread.shutdown()

    def _close(self) -> None:
        tables, self._tables = self._tables, None
        if tables is not None:
            tables.connection.close()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def read(self, query: Callable[[Snapshot], Coroutine[Any, Any, T]]) -> T:
        """Run a query in the thread, in one read transaction."""

        def read() -> T:
            with translated_errors(self._path):
                return read_snapshot(self._opened(), self._clocks, query)

        return await self._in_thread(read)

    async def version(self) -> object:
        """Return a value that differs after any change; it belongs to this connection."""

        def read() -> object:
            with translated_errors(self._path):
                return self._opened().connection.pragma("data_version")

        return self._opened_at, await self._in_thread(read)

    def _opened(self) -> Tables:
        self._check()
        if self._tables is None:
            connection = connect(self._path)
            connection.execute("PRAGMA query_only = 1")
            self._tables = Tables(connection, self._queue)
        return self._tables
