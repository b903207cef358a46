"""The pool of connections to the server; they are opened when they are needed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from .migrations import check_tables
from .settings import prepare, startup, transaction_with_settings
from .tables import TableNames

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]

__all__ = ("ConnectionPool", "Connector")

_STATEMENTS: Final = 500
"""Maximum number of prepared statements of a connection."""

_HALF: Final = 1.0
"""Seconds that the opening of a connection may go on after the caller was cancelled."""

_CLOSING: Final = 2.0
"""Maximum time in seconds to close a connection."""


class Connector:
    """Opens connections.

    Args:
        url: The server and the database.
        names: The tables.
        pgbouncer: True if a pooler may give each transaction another connection.
        patience: Maximum time in seconds to open a connection, and for a statement.

    Attributes:
        is_direct: True if a connection has the same session all the time.
    """

    def __init__(self, url: str, names: TableNames, *, pgbouncer: bool, patience: float) -> None:
        self._url = url
        self._names = names
        self._patience = max(patience, 0.1)
        self._settings = {} if pgbouncer else startup(url)
        self._statements = 0 if pgbouncer else _STATEMENTS
        self.is_direct = not pgbouncer

    async def open(self) -> Connection:
        """Open a connection, without a check of the tables.

        If the caller is cancelled, it waits a little: a connection that is half open cannot be
        closed.
        """
        opening = asyncio.get_running_loop().create_task(self._connect())
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            if not (await asyncio.wait([opening], timeout=_HALF))[0]:
                opening.cancel()
                await asyncio.wait([opening])
            if not opening.cancelled() and opening.exception() is None:
                opening.result().terminate()
            raise

    async def _connect(self) -> Connection:
        connection: Connection = await asyncpg.connect(
            self._url,
            timeout=min(self._patience, 10.0),
            command_timeout=max(self._patience, 10.0),
            statement_cache_size=self._statements,
            max_cached_statement_lifetime=0,
            server_settings=self._settings,
        )
        try:
            if self.is_direct:
                await prepare(connection, self._url)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def transaction(self, connection: Connection) -> AbstractAsyncContextManager[Any]:
        """Return a block that is a transaction, whatever the settings of a role or database are.

        Inside another transaction it is a savepoint, but not behind PgBouncer: there asyncpg
        refuses it.
        """
        if self.is_direct or connection.is_in_transaction():
            return connection.transaction(isolation="read_committed")
        return transaction_with_settings(connection)

    def snapshot(self, connection: Connection) -> AbstractAsyncContextManager[Any]:
        """Return a block whose reads see the same state of the tables."""
        if self.is_direct:
            return connection.transaction(isolation="repeatable_read", readonly=True)
        return transaction_with_settings(connection, "ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def statement(self, connection: Connection) -> AbstractAsyncContextManager[Any]:
        """Return the block in which a single statement runs: behind PgBouncer a transaction."""
        if self.is_direct or connection.is_in_transaction():
            return nullcontext()
        return transaction_with_settings(connection)

    async def open_first(self) -> Connection:
        """Open a connection; check the tables, and create them if they do not exist."""
        connection = await self.open()
        try:
            await check_tables(connection, self._names)
        except BaseException:
            connection.terminate()
            raise
        return connection


class ConnectionPool:
    """Lends the connections of one event loop.

    Args:
        connector: Opens them.
        size: Maximum number of connections.
        on_reopen: Called when all connections are replaced, after a failover.

    Attributes:
        kept: Connections that a session prefers; other sessions get them only if no other is free.
        last_ending: The last time at which an event finished, by a given clock.
        warned_at: The time of the last warning that the server is unavailable, by ``monotonic``.
    """

    def __init__(
        self, connector: Connector, size: int, on_reopen: Callable[[], object] = lambda: None
    ) -> None:
        self._connector = connector
        self._size = size
        self._on_reopen = on_reopen
        self._generation = 0
        self._opened: dict[Connection, int] = {}  # and the generation in which each was opened
        self.warned_at = float("-inf")
        self.last_ending = 0.0
        self.kept: set[Connection] = set()
        self._free: list[Connection] = []
        self._count = 0
        self._known = False  # the tables are there
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def connector(self) -> Connector:
        """Opens the connections."""
        return self._connector

    async def take(self, wanted: Connection | None = None) -> Connection:
        """Return a connection that no other step uses.

        Args:
            wanted: The preferred connection: it has prepared the statements of the caller.
        """
        while not self._free and self._count >= self._size:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except BaseException:
                if turn.done() and not turn.cancelled():
                    self._call()
                raise
        while self._free:
            connection = self._best(wanted)
            self._free.remove(connection)
            if not connection.is_closed():
                return connection
            self._forget(connection)
        self._count += 1
        generation = self._generation
        try:
            connection = await (
                self._connector.open() if self._known else self._connector.open_first()
            )
        except BaseException:
            self._count -= 1
            self._call()
            raise
        self._known = True
        self._opened[connection] = generation
        return connection

    def _best(self, wanted: Connection | None) -> Connection:
        """Return the wanted free connection, or one that no session prefers, or any."""
        if wanted is not None and wanted in self._free:
            return wanted
        return next((each for each in self._free if each not in self.kept), self._free[0])

    def _forget(self, connection: Connection) -> None:
        """Remove a closed connection."""
        self._count -= 1
        self.kept.discard(connection)
        self._opened.pop(connection, None)

    def give(self, connection: Connection) -> None:
        """Take a connection back."""
        if connection.is_closed():
            self._forget(connection)
        elif connection.is_in_transaction() or self._opened[connection] < self._generation:
            connection.terminate()  # the end of its transaction has failed, or it is out of date
            self._forget(connection)
        else:
            self._free.append(connection)
        self._call()

    def drop(self, connection: Connection) -> None:
        """Close a connection that cannot be used any more."""
        connection.terminate()
        self._forget(connection)
        self._call()

    def drop_all(self, connection: Connection) -> None:
        """Close a connection whose server is read-only, and all that are as old as it is.

        Its server is no longer the primary. Connections that only read would not notice that. The
        free ones are closed at once, the others when given. If all were closed since it was
        opened, the newer ones stay: they may have reached the new primary.
        """
        is_old = self._opened.get(connection) != self._generation
        self.drop(connection)
        if is_old:
            return
        self._generation += 1
        free, self._free = self._free, []
        for each in free:
            self.drop(each)
        self._on_reopen()

    def _call(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    async def close(self) -> None:
        """Close the free connections; no other is in use."""
        free, self._free = self._free, []
        self._count -= len(free)
        for connection in free:
            with suppress(Exception):  # it is closed in any case
                await connection.close(timeout=_CLOSING)
